//! Evidence before a kill: what a sick member looks like is kept before it is restarted.
//!
//! A capture takes ten seconds at most, whatever hangs, and is made beside the loop; the act goes on
//! after it. Whatever cannot be had is said in the capture, or in the log when there is none.

mod command;
mod hide;
mod look;
mod place;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use checkd_core::id::IncidentId;
use checkd_core::plan::Plan;
use checkd_core::{Generation, MemberId, Process};
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, timeout};

use crate::api::{self, Live};
use crate::cli::explain;
use crate::journal::{Filter, Reader};
use crate::keeper::plain;
use crate::{manager, wall};
use command::About;
use hide::Hide;
use look::Part;

pub(crate) use place::rows;

/// A capture takes so long at most.
const LIMIT: Duration = Duration::from_secs(10);
/// What is prepared, and the last words: each.
const EDGE: Duration = Duration::from_secs(1);
/// One look, of which many go on at once.
const LOOK: Duration = Duration::from_secs(3);
/// So many looks may hang, over all captures: each holds a thread until the kernel lets go.
const HANGING_MAX: usize = 64;
/// One file is cut here.
const FILE_MAX: usize = 128 << 10;
/// So much of the end of its output.
const OUTPUT: usize = 64 << 10;
/// So many of the last runs of all checks.
const RUNS: u32 = 200;

/// Whose evidence, and of which life.
#[derive(Clone, Debug)]
pub(crate) struct Subject {
    pub(crate) member: MemberId,
    pub(crate) generation: Generation,
    pub(crate) incident: IncidentId,
    /// Which of its processes get a signal; none: it is restarted.
    pub(crate) blamed: Arc<[Process]>,
}

/// Makes captures.
#[derive(Clone, Debug)]
pub(crate) struct Desk(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    root: PathBuf,
    live: Live,
    hanging: Arc<AtomicUsize>,
    /// Captures under way, by member; told when there is no time for more.
    at_work: Mutex<BTreeMap<String, Arc<Notify>>>,
}

/// One capture.
struct Capture {
    desk: Arc<Inner>,
    plan: Arc<Plan>,
    subject: Subject,
    about: About,
    deadline: Instant,
    enough: Arc<Notify>,
}

/// What a capture is written with.
#[derive(Clone, Debug)]
struct Sheet {
    dir: PathBuf,
    /// Nothing when it is not known what must be hidden.
    hide: Result<Hide, String>,
}

type Look = Pin<Box<dyn Future<Output = (&'static str, Result<(), String>)> + Send>>;

impl Desk {
    /// Keeps evidence below the state directory.
    pub(crate) fn new(state_dir: &Path, live: Live) -> Self {
        Self(Arc::new(Inner {
            root: root(state_dir),
            live,
            hanging: Arc::default(),
            at_work: Mutex::default(),
        }))
    }

    /// Looks at a member of `plan`; done when it may be killed. Nothing when there is no such member.
    pub(crate) fn look(
        &self,
        plan: &Arc<Plan>,
        subject: Subject,
    ) -> Option<impl Future<Output = ()> + Send + use<>> {
        let (group, member) = (
            plan.group(subject.member.group)?,
            plan.member(subject.member)?,
        );
        let path = plan.path(subject.member);
        let capture = Capture {
            about: About {
                group: group.name.to_string(),
                member: member.name.to_string(),
                index: member.index,
                pid: subject.generation.pid,
                port: member.port,
            },
            desk: Arc::clone(&self.0),
            plan: Arc::clone(plan),
            subject,
            deadline: Instant::now() + LIMIT,
            enough: Arc::default(),
        };
        self.0
            .at_work()
            .insert(path.clone(), Arc::clone(&capture.enough));
        Some(async move {
            let desk = Arc::clone(&capture.desk);
            let kept = timeout(LIMIT, capture.keep()).await;
            desk.at_work().remove(&path);
            match kept {
                Ok(Ok(Some(dir))) => {
                    let dir = dir.display().to_string();
                    tracing::info!(member = path, dir, "evidence was kept before the act");
                }
                // It was kept a short while ago.
                Ok(Ok(None)) => {}
                Ok(Err(why)) => {
                    let code = "C0540";
                    tracing::warn!(
                        code,
                        member = path,
                        why,
                        "no evidence was kept; the act goes on"
                    );
                }
                Err(_) => {
                    let (code, why) = ("C0540", "its time was over");
                    tracing::warn!(
                        code,
                        member = path,
                        why,
                        "evidence is not complete; the act goes on"
                    );
                }
            }
            desk.trim();
        })
    }

    /// A person wants something of this member: what is not seen yet is not waited for.
    pub(crate) fn hurry(&self, path: &str) {
        if let Some(enough) = self.0.at_work().get(path) {
            enough.notify_one();
        }
    }
}

/// Where evidence lies.
pub(crate) fn root(state_dir: &Path) -> PathBuf {
    state_dir.join("evidence")
}

impl Inner {
    fn at_work(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Notify>>> {
        self.at_work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the oldest captures away, in the background.
    fn trim(&self) {
        let root = self.root.clone();
        tokio::task::spawn_blocking(move || place::trim(&root, place::RING));
    }

    /// Does `work` in a thread of its own: one that hangs in the kernel is left alone.
    fn aside<T: Send + 'static, W: FnOnce() -> T + Send + 'static>(
        &self,
        limit: Duration,
        work: W,
    ) -> impl Future<Output = Result<T, String>> + Send + use<T, W> {
        let (tell, told) = oneshot::channel();
        let hanging = Arc::clone(&self.hanging);
        let begun = if hanging.fetch_add(1, Ordering::AcqRel) >= HANGING_MAX {
            hanging.fetch_sub(1, Ordering::AcqRel);
            Err("too many looks at other processes still hang".to_owned())
        } else {
            let count = Arc::clone(&hanging);
            let thread = std::thread::Builder::new().name("evidence".to_owned());
            let spawned = thread.spawn(move || {
                let done = work();
                count.fetch_sub(1, Ordering::AcqRel);
                // Whoever asked may have gone.
                drop(tell.send(done));
            });
            spawned.map(drop).map_err(|e| {
                hanging.fetch_sub(1, Ordering::AcqRel);
                format!("there is no thread for it: {}", plain(&e))
            })
        };
        async move {
            begun?;
            match timeout(limit, told).await {
                Ok(Ok(done)) => Ok(done),
                Ok(Err(_)) => Err("ended badly".to_owned()),
                Err(_) => Err(format!("did not answer within {}s", limit.as_secs())),
            }
        }
    }
}

impl Capture {
    /// Where it is; nothing when this member was looked at a short while ago.
    async fn keep(self) -> Result<Option<PathBuf>, String> {
        let Some(sheet) = self.begin().await? else {
            return Ok(None);
        };
        let mut told = Vec::new();
        let looks = futures(self.looks(&sheet));
        let cut = tokio::select! {
            done = looks => { told.extend(done); false }
            () = self.enough.notified() => true,
        };
        let words = self
            .plan
            .group(self.subject.member.group)
            .map(|g| g.policy.evidence_command.clone());
        if let Some(words) = words.filter(|words| !words.is_empty() && !cut) {
            let done = self.command(&words, &sheet).await;
            told.push(("command.txt", done));
        }
        let mut last = String::new();
        if cut {
            last.push_str("cut short: a person wanted something else of the member\n");
        }
        for (name, why) in told {
            if let Err(why) = why {
                last.push_str(&format!("missing {name}: {why}\n"));
            }
        }
        last.push_str(&format!("done at {}\n", wall::rfc3339(wall::now_ms())));
        let dir = sheet.dir.clone();
        self.desk
            .aside(EDGE, move || place::write(&dir, "README.txt", &last))
            .await?
            .map_err(|e| plain(&e))?;
        Ok(Some(sheet.dir))
    }

    /// Makes the directory and its first file, and finds out what must be hidden.
    async fn begin(&self) -> Result<Option<Sheet>, String> {
        let (root, about) = (self.desk.root.clone(), self.about.clone());
        let (incident, pid) = (self.subject.incident.0, self.subject.generation.pid);
        let act = if self.subject.blamed.is_empty() {
            "restarted it"
        } else {
            "sent a signal to processes of it, which blamed.txt shows"
        };
        let made = self.desk.aside(EDGE, move || {
            let now = wall::now_ms();
            let recent = place::captures(&root).into_iter().any(|capture| {
                (&capture.group, &capture.member) == (&about.group, &about.member)
                    && (0..place::ONCE_IN).contains(&(now - capture.wall_ms))
            });
            if recent {
                return Ok(None);
            }
            let dir = place::make(&root, incident, &about.group, &about.member, now)?;
            let head = format!(
                "{}/{}, pid {pid}, as it was before checkd {act}\nincident {incident}\nbegun at {}\n\n\
                 why.txt says why; checks.txt has the last runs of its checks.\n\
                 Values of secrets that the configuration names are replaced by [secret].\n\n",
                about.group, about.member, wall::rfc3339(now)
            );
            place::write(&dir, "README.txt", &head)?;
            Ok(Some(dir))
        });
        let made = made.await?.map_err(|e: std::io::Error| plain(&e))?;
        let Some(dir) = made else { return Ok(None) };
        let (plan, member) = (Arc::clone(&self.plan), self.subject.member);
        let hide = self
            .desk
            .aside(EDGE, move || manager::secrets(&plan, member));
        let hide = hide.await.and_then(|secrets| secrets).map(Hide::new);
        let hide = hide.map_err(|why| format!("what must be hidden in it is not known: {why}"));
        Ok(Some(Sheet { dir, hide }))
    }

    fn looks(&self, sheet: &Sheet) -> Vec<Look> {
        let (generation, plan, id) = (
            self.subject.generation,
            Arc::clone(&self.plan),
            self.subject.member,
        );
        let reader = self.desk.live.reader.clone();
        let filter = Filter {
            members: Some(vec![self.plan.path(id), format!("{}/", self.about.group)]),
            limit: RUNS,
            runs: true,
            ..Filter::default()
        };
        let output_dir = self.desk.live.output_dir.clone();
        let whole = sheet.hide.clone();
        let output = move || -> Part {
            let path =
                manager::output_file(&plan, id, &output_dir).ok_or("there is no such file")?;
            let hide = whole.map_err(|why| why.clone())?;
            let longest = u64::try_from(OUTPUT * 2).unwrap_or(u64::MAX);
            let bytes = look::end_of(&path, longest)
                .map_err(|why| format!("`{}` {why}", path.display()))?;
            Ok(format!(
                "the end of {}\n\n{}",
                path.display(),
                hide.tail(&bytes, OUTPUT)
            ))
        };
        let mut looks = vec![
            self.why(sheet),
            self.part(sheet, "checks.txt", false, move || {
                Ok(look::runs(&reader.rows(&filter)?))
            }),
            self.part(sheet, "process.txt", false, move || {
                look::process(generation)
            }),
            self.part(sheet, "memory.txt", false, move || look::memory(generation)),
            self.part(sheet, "threads.txt", false, move || {
                look::threads(generation)
            }),
            self.part(sheet, "descriptors.txt", false, move || {
                look::descriptors(generation)
            }),
            self.part(sheet, "sockets.txt", false, move || {
                look::sockets(generation)
            }),
            self.part(sheet, "tree.txt", true, move || look::tree(generation)),
            self.part(sheet, "machine.txt", false, move || {
                Ok(look::machine(generation))
            }),
            self.part(sheet, "output.txt", true, output),
        ];
        let blamed = Arc::clone(&self.subject.blamed);
        if !blamed.is_empty() {
            let look = move || Ok(look::blamed(generation.boot, &blamed));
            looks.push(self.part(sheet, "blamed.txt", false, look));
        }
        looks
    }

    /// One look and its file. One that may show what must be hidden is not had when that is not known.
    fn part(
        &self,
        sheet: &Sheet,
        name: &'static str,
        tells: bool,
        work: impl FnOnce() -> Part + Send + 'static,
    ) -> Look {
        let sheet = sheet.clone();
        let done = self.desk.aside(LOOK, move || {
            let hide = match &sheet.hide {
                Ok(hide) => hide,
                Err(why) if tells => return Err(why.clone()),
                Err(_) => &Hide::default(),
            };
            let text = cut(hide.hide(&work()?));
            place::write(&sheet.dir, name, &text).map_err(|e| plain(&e))
        });
        Box::pin(async move { (name, done.await.and_then(|done| done)) })
    }

    /// What `checkd explain` says now, and the gates that the act passed.
    fn why(&self, sheet: &Sheet) -> Look {
        let (desk, sheet, about) = (Arc::clone(&self.desk), sheet.clone(), self.about.clone());
        Box::pin(async move {
            let now = api::explained(&desk.live, &about.group, &about.member);
            let now = timeout(LOOK, now).await.ok().flatten();
            let reader: Reader = desk.live.reader.clone();
            let write = desk.aside(LOOK, move || {
                let at = wall::now_ms();
                let moment = reader.moment(&about.group, &about.member, None, at);
                let moment = moment.map_or_else(
                    |why| format!("the journal cannot be read: {why}\n"),
                    |moment| explain::of_moment(&moment, at),
                );
                let text = format!(
                    "{}\n----------------------------------------\nBy the journal:\n\n{moment}",
                    now.unwrap_or_else(|| "the daemon did not answer in time\n".to_owned())
                );
                let hide = sheet.hide.clone().unwrap_or_default();
                place::write(&sheet.dir, "why.txt", &cut(hide.hide(&text))).map_err(|e| plain(&e))
            });
            ("why.txt", write.await.and_then(|done| done))
        })
    }

    /// The person's own command, with the time that is left.
    async fn command(&self, words: &[String], sheet: &Sheet) -> Result<(), String> {
        let words = command::filled(words, &self.about, &sheet.dir)?;
        let deadline = self.deadline.checked_sub(EDGE * 2).unwrap_or(self.deadline);
        let (became, said) = command::run(&words, &sheet.dir, deadline, &self.enough).await;
        let sheet = sheet.clone();
        let write = self.desk.aside(EDGE, move || {
            let said = match &sheet.hide {
                Ok(hide) => hide.hide(&String::from_utf8_lossy(&said)),
                Err(why) => format!("left out: {why}"),
            };
            let text = format!("{}\n{became}\n\n{said}", words.join(" "));
            place::write(&sheet.dir, "command.txt", &cut(text)).map_err(|e| plain(&e))
        });
        write.await?
    }
}

/// All of them at once.
async fn futures(looks: Vec<Look>) -> Vec<(&'static str, Result<(), String>)> {
    let tasks: tokio::task::JoinSet<_> = looks.into_iter().collect();
    tasks.join_all().await
}

fn cut(mut text: String) -> String {
    if text.len() > FILE_MAX {
        let mut at = FILE_MAX;
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        text.truncate(at);
        text.push_str("\n… cut here\n");
    }
    text
}
