//! The thread that turns: news in, messages out, one on its way for each sink.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use checkd_core::Instant;
use checkd_core::diagnostic::Diagnostic;
use checkd_core::plan::{Plan, Target};
use checkd_core::report::SinkReport;
use tokio::sync::mpsc::{Receiver, UnboundedSender};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;

use super::book::{Batch, Book, Said};
use super::message::{Document, Explained, host};
use super::news::News;
use super::send::{Parcel, deliver};
use super::store::{Found, Store};
use super::{AT_ONCE, LAST_WORDS};
use crate::api::{self, Live};
use crate::cli::tell;
use crate::{clock, wall};

/// So many members of one message are explained: of each group the first, for what is true of one is
/// mostly true of all.
const EXPLAINED: usize = 3;
/// The daemon's loop may be busy with what the news is about.
const PATIENCE: Duration = Duration::from_secs(3);
/// A disk that took nothing is tried again this often.
const DISK_AGAIN: Duration = Duration::from_secs(10);

/// What the thread begins with.
#[derive(Clone, Debug)]
pub(super) struct Setup {
    pub(super) file: PathBuf,
    pub(super) base: PathBuf,
    pub(super) live: Live,
    pub(super) said: UnboundedSender<String>,
}

type Sent = (Batch, Result<String, String>);

struct Work<'a> {
    setup: Setup,
    host: String,
    book: Book,
    store: Store,
    sending: JoinSet<Sent>,
    reports: &'a watch::Sender<Vec<SinkReport>>,
}

/// Works until `ending` is told or dropped.
pub(super) fn run(
    setup: Setup,
    incoming: Receiver<News>,
    lost: &AtomicU64,
    reports: &watch::Sender<Vec<SinkReport>>,
    ending: oneshot::Receiver<()>,
) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    match runtime {
        Ok(runtime) => {
            runtime.block_on(turn(setup, incoming, lost, reports, ending));
            // A name that is looked up is not waited for.
            runtime.shutdown_background();
        }
        Err(error) => {
            let text = format!("nobody can be told anything: {error}");
            drop(setup.said.send(text));
        }
    }
}

async fn turn(
    setup: Setup,
    mut incoming: Receiver<News>,
    lost: &AtomicU64,
    reports: &watch::Sender<Vec<SinkReport>>,
    mut ending: oneshot::Receiver<()>,
) {
    let mut plans = setup.live.plan.clone();
    let plan = Arc::clone(&plans.borrow_and_update());
    let (store, found, warning) = Store::open(&setup.file);
    let Found { waiting, told } = found;
    let book = Book::open(&plan.notify, waiting, told, clock::now(), wall::now_ms());
    let mut work = Work {
        setup,
        host: host(),
        book,
        store,
        sending: JoinSet::new(),
        reports,
    };
    work.warn(warning);
    let mut many = Vec::new();
    loop {
        work.settle(false);
        let wait = work.until_next();
        tokio::select! {
            _ = &mut ending => break,
            count = incoming.recv_many(&mut many, AT_ONCE) => {
                if count == 0 {
                    break;
                }
                work.take(&mut many, lost);
            }
            Some(sent) = work.sending.join_next() => work.note(sent.ok()),
            changed = plans.changed() => {
                if changed.is_err() {
                    break;
                }
                let plan = Arc::clone(&plans.borrow_and_update());
                work.book.reload(&plan.notify, |news| exists(&plan, news));
            }
            () = tokio::time::sleep(wait) => {}
        }
    }
    while let Ok(news) = incoming.try_recv() {
        many.push(news);
    }
    work.take(&mut many, lost);
    work.last_words().await;
}

/// Whether the plan still has what news is about.
fn exists(plan: &Plan, news: &News) -> bool {
    match (&news.group, &news.member) {
        (Some(group), Some(member)) => plan.find(group, member).is_some(),
        (Some(group), None) => plan.find_group(group).is_some(),
        (None, _) => true,
    }
}

impl Work<'_> {
    fn take(&mut self, many: &mut Vec<News>, lost: &AtomicU64) {
        let now = clock::now();
        for news in many.drain(..) {
            self.book.take(&news, now);
        }
        match lost.swap(0, Ordering::Relaxed) {
            0 => {}
            count => self.book.lost(count),
        }
    }

    /// Writes down what changed, then sends what is due, then tells how things are.
    fn settle(&mut self, all: bool) {
        self.write();
        for batch in self.book.due(clock::now(), all) {
            self.send(batch);
        }
        // What was dropped for its age.
        self.write();
        for said in self.book.said() {
            drop(self.setup.said.send(in_words(&said)));
        }
        let report = self.book.report();
        self.reports.send_if_modified(|old| {
            let changed = *old != report;
            *old = report;
            changed
        });
    }

    fn write(&mut self) {
        let changes = self.book.changes();
        let book = &self.book;
        let warning = self.store.write(&changes, || book.everything());
        self.warn(warning);
    }

    fn warn(&self, warning: Option<Diagnostic>) {
        if let Some(warning) = warning {
            drop(self.setup.said.send(tell::text(&warning)));
        }
    }

    fn until_next(&self) -> Duration {
        let idle = if self.store.is_behind() {
            DISK_AGAIN
        } else {
            Duration::from_hours(1)
        };
        let wait = |at: Instant| at.since(clock::now()).as_duration();
        self.book.next().map_or(idle, |at| wait(at).min(idle))
    }

    fn send(&mut self, batch: Batch) {
        let (setup, host) = (self.setup.clone(), self.host.clone());
        self.sending.spawn(async move {
            let explained = explain(&setup.live, &batch).await;
            let parcel = parcel(&batch, &host, &explained);
            let outcome = deliver(&batch.sink, &parcel, &setup.base).await;
            (batch, outcome)
        });
    }

    fn note(&mut self, sent: Option<Sent>) {
        let Some((batch, outcome)) = sent else {
            return;
        };
        let now = clock::now();
        match outcome {
            Ok(_) => self.book.sent(&batch, now),
            Err(why) => {
                let (wall_ms, chance) = (wall::now_ms(), chance(&batch.sink.name));
                self.book.failed(&batch, &why, now, wall_ms, chance);
            }
        }
    }

    /// What was never tried is tried once; what is on its way may arrive.
    async fn last_words(&mut self) {
        self.settle(true);
        let rest = async {
            while self.book.sends() {
                let Some(sent) = self.sending.join_next().await else {
                    break;
                };
                self.note(sent.ok());
                self.settle(true);
            }
        };
        // What was not sent stays written down.
        drop(tokio::time::timeout(LAST_WORDS, rest).await);
        self.write();
    }
}

/// A number that differs from time to time and from host to host.
fn chance(name: &str) -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(name)
}

fn parcel(batch: &Batch, host: &str, explained: &Explained) -> Parcel {
    let begun = batch.rows.iter().map(|row| row.news.clone());
    let ended = batch.rows.iter().flat_map(|row| {
        let at_ms = row.news.at_ms;
        row.ends.iter().map(move |news| (news.clone(), at_ms))
    });
    let ended: Vec<(News, i64)> = ended.collect();
    // What began and ended within one batch did not last, and nothing is said twice.
    let key = |news: &News| (news.about(), news.event.clone(), news.at_ms);
    let mut seen: BTreeSet<_> = ended.iter().map(|(news, _)| key(news)).collect();
    let firing = begun.chain(batch.firing.iter().cloned());
    let firing = firing.filter(|news| seen.insert(key(news))).collect();
    Parcel {
        document: Document::of(batch, host, explained, wall::now_ms()),
        firing,
        over: ended,
    }
}

/// What `checkd explain` says now about the first members of a message.
async fn explain(live: &Live, batch: &Batch) -> Explained {
    let mut explained = Explained::new();
    if matches!(batch.sink.target, Target::Alertmanager(_)) {
        return explained;
    }
    let mut kinds: Vec<(&str, &str)> = Vec::new();
    let mut members: Vec<(&str, &str)> = Vec::new();
    let mut rows: Vec<&News> = batch.rows.iter().map(|row| &row.news).collect();
    rows.sort_by_key(|news| std::cmp::Reverse(news.urgency));
    for news in rows {
        if let (Some(group), Some(member)) = (&news.group, &news.member) {
            let one = (group.as_str(), member.as_str());
            let kind = (group.as_str(), news.headline.as_str());
            if !kinds.contains(&kind) && !members.contains(&one) {
                kinds.push(kind);
                members.push(one);
            }
        }
        if members.len() == EXPLAINED {
            break;
        }
    }
    let all = async {
        for (group, member) in members {
            if let Some(text) = api::explained(live, group, member).await {
                explained.insert(format!("{group}/{member}"), text);
            }
        }
    };
    // A message without it is better than none.
    drop(tokio::time::timeout(PATIENCE, all).await);
    explained
}

fn in_words(said: &Said) -> String {
    let told = match said {
        Said::Fails { sink, why, waiting } => {
            Diagnostic::warning("C0530", format!("`{sink}` cannot be told: {why}"))
                .note(match waiting {
                    0 | 1 => "what it was to be told waits, and is tried again".to_owned(),
                    many => format!("{many} pieces of news wait for it, and are tried again"),
                })
                .note("`checkd status` shows it as long as it fails; it is not said again")
                .help(format!("`checkd notify test {sink}` tries it out"))
        }
        Said::Dropped { sink, count, why } => Diagnostic::warning(
            "C0532",
            format!(
                "{count} piece{} of news for `{sink}` {} dropped",
                if *count == 1 { "" } else { "s" },
                if *count == 1 { "was" } else { "were" },
            ),
        )
        .note(*why)
        .note("the next message says how many; `checkd history` has everything"),
        Said::Works {
            sink,
            since_ms,
            sent,
        } => {
            let since = wall::date_and_time(*since_ms);
            return format!("`{sink}` is told again; it failed since {since}, and {sent} waited");
        }
    };
    tell::text(&told)
}
