//! A new configuration under a running daemon: read apart, taken whole or not at all.
//!
//! Reading it loads plugins and may take a while, so it happens on a thread of its own; the loop goes
//! on meanwhile. What is taken over changes in one turn of the loop: nobody is started or killed by it,
//! checks that did not change keep their counters and their place in time.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use checkd_core::MemberId;
use checkd_core::config::changed;
use checkd_core::diagnostic::Diagnostic;
use checkd_core::engine::{Command, Event};
use checkd_core::plan::{Mode, Plan};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::sync::oneshot;

use super::difference::{SAME, difference};
use super::watcher::Watcher;
use super::{Daemon, NotTaken, Question, width_of};
use crate::config::{Configured, Purpose, configure};
use crate::journal::Scribe;
use crate::plugin::Catalog;
use crate::render;
use crate::runner::Runner;

/// The runner before may finish what it began for so long: longer than any check may take.
const DRAIN: Duration = Duration::from_mins(2);

/// Who is told what became of a reload: text for a person, `Err` when nothing was changed.
pub(super) type Told = oneshot::Sender<Result<String, NotTaken>>;

/// A configuration that was read and may be taken.
pub(super) struct Fresh {
    plan: Arc<Plan>,
    catalog: Arc<Catalog>,
    /// Warnings, as text.
    warnings: String,
    changed: Vec<String>,
    /// Plugins that are another file than before.
    rebuilt: Vec<String>,
}

/// What the loop is told when a configuration was read.
pub(super) struct Read {
    pub(super) by: String,
    pub(super) restart: bool,
    pub(super) told: Option<Told>,
    pub(super) fresh: Result<Fresh, String>,
}

impl Daemon {
    /// Begins to read the configuration again.
    pub(super) fn reload(&mut self, by: String, restart: bool, force: bool, told: Option<Told>) {
        if std::mem::replace(&mut self.reading, true) {
            let busy = "a reload is under way; try again when it is done".to_owned();
            self.tell(told, Err(NotTaken::Later(busy)));
            return;
        }
        let (before, catalog) = (Arc::clone(&self.plan), self.runner.catalog());
        let (layers, observe, done) = (self.layers.clone(), self.observe, self.reads.clone());
        tokio::task::spawn_blocking(move || {
            let fresh = read(&layers, observe, &catalog);
            let fresh = fresh.and_then(|fresh| most_leave(fresh, &before, force));
            // The loop is gone only when the daemon ends.
            drop(done.send(Read {
                by,
                restart,
                told,
                fresh,
            }));
        });
    }

    /// Takes a configuration that was read, or says why not.
    pub(super) fn take(&mut self, read: Read, events: &mut UnboundedReceiver<Event>) {
        self.reading = false;
        let Read {
            by,
            restart,
            told,
            fresh,
        } = read;
        let fresh = fresh.map_err(NotTaken::Wrong);
        match fresh.and_then(|fresh| self.take_fresh(fresh, events).map_err(NotTaken::Later)) {
            Ok(mut text) => {
                let outdated = self.outdated();
                let n = outdated.len();
                let s = if n == 1 { "" } else { "s" };
                if n > 0 && text == SAME {
                    text.clear();
                } else if n > 0 || restart {
                    text.push_str("; ");
                }
                if restart {
                    self.restart_each(outdated, &by);
                    text.push_str(&format!(
                        "{n} member{s} to be restarted, through the budget"
                    ));
                } else if n > 0 {
                    text.push_str(&format!(
                        "{n} member{s} run{} on with the settings of before, \
                         `checkd reload --restart` replaces {}",
                        if n == 1 { "s" } else { "" },
                        if n == 1 { "it" } else { "them" },
                    ));
                }
                self.tell(told, Ok(text));
            }
            Err(why) => self.tell(told, Err(why)),
        }
    }

    fn take_fresh(
        &mut self,
        fresh: Fresh,
        events: &mut UnboundedReceiver<Event>,
    ) -> Result<String, String> {
        let Fresh {
            plan,
            catalog,
            warnings,
            changed,
            rebuilt,
        } = fresh;
        let old = Arc::clone(&self.plan);
        let now = crate::clock::now();
        let leaving = self.engine.leaving(&plan, now);
        let (sender, receiver) = unbounded_channel();
        // Everything that can fail comes first.
        let runner = Runner::new(catalog, Arc::clone(&plan), sender.clone())
            .map_err(|e| format!("cannot start the threads of checks: {e}; nothing was changed"))?;
        // What is said of members that leave is no answer of the engine.
        self.journal.end_segment();
        for entry in leaving {
            self.journal.record(entry);
        }
        let Some(stored) = self.journal.switch(Arc::clone(&plan), sender.clone()) else {
            return Err(
                "the disk does not keep up with the journal; nothing was changed, \
                        try again later"
                    .to_owned(),
            );
        };
        // What is on its way under the old plan arrives under the new one.
        let mut before = std::mem::replace(events, receiver);
        self.engine.reload(Arc::clone(&plan), now);
        self.scribe = Scribe::begin(&self.journal, &self.engine, "configuration taken", now);
        let stopped = self
            .manager
            .reload(Arc::clone(&plan), sender.clone(), stored);
        let runs = std::mem::replace(&mut self.runner, runner);
        tokio::spawn(async move {
            tokio::time::sleep(DRAIN).await;
            drop(runs);
        });
        self.plan = Arc::clone(&plan);
        self.talk.widen(width_of(&plan));
        self.watcher = Watcher::default();
        // The API has no receiver only while it ends.
        drop(self.plans.send(Arc::clone(&plan)));
        self.notifier.follow(&plan);
        self.wake_at = None;
        self.calendar.follow(&plan);
        self.look_at_calendar();
        self.step(&Event::Wake);
        // From here on nobody but the runner before sends to the old channel. What is in it was sent
        // earlier than anything in the new one, so it comes first: an exit must not overtake its start.
        while let Ok(event) = before.try_recv() {
            match event.clone().rebased(&old, &plan) {
                Some(event) => self.step(&event),
                None => self.note_end_of(&old, &event),
            }
        }
        tokio::spawn(forward(before, Arc::clone(&old), Arc::clone(&plan), sender));

        let mut text = difference(&old, &plan, stopped, &rebuilt);
        let later = [
            (old.daemon.state_dir != plan.daemon.state_dir, "state_dir"),
            (old.daemon.control != plan.daemon.control, "control"),
            (
                old.daemon.control_group != plan.daemon.control_group,
                "control_group",
            ),
            (old.daemon.log != plan.daemon.log, "log"),
        ];
        for (differs, key) in later {
            if differs {
                text.push_str(&format!(
                    "; `{key}` takes effect when checkd is started again"
                ));
            }
        }
        self.talk.own(&format!("new configuration taken: {text}"));
        if !changed.is_empty() {
            self.talk.line("  changed from the defaults");
            for line in changed {
                self.talk.line(&format!("           {line}"));
            }
        }
        if !warnings.is_empty() {
            self.talk.line(&warnings);
        }
        Ok(text)
    }

    /// Every member whose process was started with other settings.
    fn outdated(&self) -> Vec<MemberId> {
        let status = self.engine.status(crate::clock::now());
        let reports = status.groups.iter().flat_map(|group| &group.members);
        let all = self.plan.members().zip(reports);
        all.filter(|(_, report)| report.outdated())
            .map(|(id, _)| id)
            .collect()
    }

    /// Asks for a restart of each.
    fn restart_each(&mut self, members: Vec<MemberId>, by: &str) {
        for member in members {
            let (id, by) = (u64::MAX, by.to_owned());
            let command = Command::Restart { now: false };
            self.step(&Event::Command {
                id,
                by,
                member,
                command,
            });
        }
    }

    fn tell(&self, told: Option<Told>, what: Result<String, NotTaken>) {
        if let Err(NotTaken::Wrong(why) | NotTaken::Later(why)) = &what {
            self.talk
                .own("the new configuration was not taken; the old one stays in force");
            self.talk.line(why);
        }
        if let Some(told) = told {
            // Whoever asked may have gone.
            drop(told.send(what));
        }
    }

    /// A question about a member of the plan that the asker knew, under the plan in force.
    pub(super) fn rebased(&self, question: Question, asked: &Arc<Plan>) -> Option<Question> {
        if Arc::ptr_eq(asked, &self.plan) {
            return Some(question);
        }
        let find = |id: MemberId| {
            let (group, member) = (asked.group(id.group)?, asked.member(id)?);
            self.plan.find(group.name.as_str(), member.name.as_str())
        };
        Some(match question {
            Question::Explain(member, answer) => Question::Explain(find(member)?, answer),
            Question::Command {
                by,
                member,
                command,
                answer,
            } => Question::Command {
                by,
                member: find(member)?,
                command,
                answer,
            },
            Question::Alive(_)
            | Question::Status(_)
            | Question::Reload { .. }
            | Question::Evict { .. } => question,
        })
    }
}

/// So few members may always leave.
const FEW: usize = 2;

/// Refuses a configuration that leaves out everybody, or more than half of all members: a file that was
/// emptied or cut off would stop them all at once, past every budget.
fn most_leave(fresh: Fresh, before: &Plan, force: bool) -> Result<Fresh, String> {
    let all = before.members().count();
    let stays: BTreeSet<String> = fresh.plan.members().map(|id| fresh.plan.path(id)).collect();
    let left = before
        .members()
        .filter(|&id| !stays.contains(&before.path(id)));
    let left = left.count();
    let whom = match (left, all) {
        _ if force || left == 0 => return Ok(fresh),
        (1, 1) => "its only member".to_owned(),
        (_, all) if stays.is_empty() => format!("all {all} members"),
        (left, all) if left > FEW && left * 2 > all => format!("{left} of {all} members"),
        _ => return Ok(fresh),
    };
    let names = if stays.is_empty() {
        "names no member"
    } else {
        "leaves members out"
    };
    let told = Diagnostic::error("C0517", format!("the new configuration {names}"))
        .note(format!("it would stop {whom}"))
        .help(
            "`checkd reload --force` if that is meant; `checkd stop` stops them and keeps \
             the configuration",
        );
    Err(crate::cli::tell::text(&told))
}

fn read(layers: &crate::cli::Layers, observe: bool, before: &Catalog) -> Result<Fresh, String> {
    let Configured {
        plan,
        catalog,
        document,
        diagnostics,
        ..
    } = configure(layers, Purpose::Judge);
    let text = render::plain(&diagnostics, &document.sources);
    let (Some(mut plan), Some(catalog)) = (plan, catalog) else {
        return Err(text);
    };
    if observe {
        for group in &mut plan.groups {
            group.mode = Mode::Observe;
        }
    }
    Ok(Fresh {
        changed: changed(&document)
            .into_iter()
            .map(|c| format!("{} = {} (default: {})", c.path, c.value, c.default))
            .collect(),
        rebuilt: catalog.rebuilt_since(before),
        plan: Arc::new(plan),
        catalog: Arc::new(catalog),
        warnings: text,
    })
}

async fn forward(
    mut before: UnboundedReceiver<Event>,
    from: Arc<Plan>,
    to: Arc<Plan>,
    sender: tokio::sync::mpsc::UnboundedSender<Event>,
) {
    while let Some(event) = before.recv().await {
        if let Some(event) = event.rebased(&from, &to)
            && sender.send(event).is_err()
        {
            return;
        }
    }
}
