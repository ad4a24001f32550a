//! Telling people: what the engine finds worth telling goes to the sinks of the configuration.
//!
//! The loop hands over news and goes on; everything else happens on a thread of its own, so that no
//! disk and no mail server is ever in the engine's way. Modules in reading order: `news` is what is
//! told, `pace` when, `desk` and `book` to whom and whether at all, `store` keeps it, `message` says it, `send`
//! sends it, and `work` is the thread that turns.

mod book;
mod desk;
mod message;
mod news;
mod pace;
mod send;
mod store;
mod work;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use checkd_core::plan::{Plan, SinkPlan};
use checkd_core::policy::{Notice, NoticeKind};
use checkd_core::report::SinkReport;
use tokio::sync::mpsc::{self, UnboundedSender};
use tokio::sync::{oneshot, watch};

use crate::api::Live;
use message::Document;
use news::News;

/// So much news may be on its way to the thread: two pieces about each of the most members that one
/// daemon serves.
const ON_THE_WAY: usize = 200_000;
/// So much of it is taken and written down at once.
const AT_ONCE: usize = 10_000;
/// How long last messages may take when the daemon ends. What is not sent then, the next one sends.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// The loop's end of it.
#[derive(Debug)]
pub struct Notifier {
    setup: work::Setup,
    /// There is none until somebody is to be told.
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    news: mpsc::Sender<News>,
    lost: Arc<AtomicU64>,
    report: watch::Receiver<Vec<SinkReport>>,
    end: oneshot::Sender<()>,
    ended: oneshot::Receiver<()>,
}

impl Notifier {
    /// Nobody is told yet. `state_dir` is where what waits is kept, `base` the directory that paths
    /// of the configuration are seen from, `live` answers what is to be explained, and to `said`
    /// goes what the person who watches should read.
    pub fn new(state_dir: &Path, base: &Path, live: Live, said: UnboundedSender<String>) -> Self {
        let setup = work::Setup {
            file: state_dir.join("notify.db"),
            base: base.to_owned(),
            live,
            said,
        };
        Self {
            setup,
            running: None,
        }
    }

    /// Begins when the plan in force has sinks. While it runs it follows the plan by itself.
    pub fn follow(&mut self, plan: &Plan) {
        if self.running.is_some() || plan.notify.is_empty() {
            return;
        }
        let (news, incoming) = mpsc::channel(ON_THE_WAY);
        let (reports, report) = watch::channel(Vec::new());
        let (end, ending) = oneshot::channel();
        let (done, ended) = oneshot::channel();
        let lost = Arc::new(AtomicU64::new(0));
        let (setup, counter) = (self.setup.clone(), Arc::clone(&lost));
        let begun = std::thread::Builder::new()
            .name("notify".to_owned())
            .spawn(move || {
                work::run(setup, incoming, &counter, &reports, ending);
                drop(done);
            });
        match begun {
            Ok(_) => {
                self.running = Some(Running {
                    news,
                    lost,
                    report,
                    end,
                    ended,
                });
            }
            Err(error) => {
                let text =
                    format!("nobody can be told anything: no thread can be started: {error}");
                drop(self.setup.said.send(text));
            }
        }
    }

    /// Hands news over; never waits. `at_ms` is when it happened, in milliseconds since 1970.
    pub fn tell(&self, notice: &Notice, plan: &Plan, at_ms: i64) {
        self.hand_over(|| News::of(notice, plan, at_ms));
    }

    /// As [`tell`](Self::tell), of a plugin.
    pub fn tell_of_plugin(&self, name: &str, kind: NoticeKind, text: &str, at_ms: i64) {
        self.hand_over(|| News::of_plugin(name, kind, text, at_ms));
    }

    fn hand_over(&self, news: impl FnOnce() -> News) {
        let Some(running) = &self.running else { return };
        let news = news();
        if running.news.try_send(news).is_err() {
            running.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How the sinks are.
    pub fn report(&self) -> Vec<SinkReport> {
        let running = self.running.as_ref();
        running.map_or_else(Vec::new, |running| running.report.borrow().clone())
    }

    /// Sends what was never tried, as far as that is quick, and ends.
    pub async fn end(self) {
        let Some(running) = self.running else { return };
        drop(running.news);
        drop(running.end);
        drop(tokio::time::timeout(LAST_WORDS * 2, running.ended).await);
    }
}

/// Sends a test message to one sink of a configuration; what came back, in one line.
///
/// # Errors
/// One line: why it was not taken.
pub async fn test(sink: &SinkPlan, base: PathBuf) -> Result<String, String> {
    let host = message::host();
    let parcel = send::Parcel {
        document: Document::test(&sink.name, &host, crate::wall::now_ms()),
        firing: Vec::new(),
        over: Vec::new(),
    };
    send::deliver(sink, &parcel, &base).await
}
