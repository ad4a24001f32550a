//! What the control socket asks of the loop, and what the loop answers.

use std::sync::Arc;

use checkd_core::MemberId;
use checkd_core::engine::{Command, Event};
use checkd_core::plan::Plan;
use checkd_core::report::{MemberReport, StatusReport};
use tokio::sync::oneshot;

use super::Daemon;

/// What the control socket asks of the loop.
#[derive(Debug)]
pub enum Question {
    /// Whether the loop turns.
    Alive(oneshot::Sender<()>),
    /// What stands now.
    Status(oneshot::Sender<StatusReport>),
    /// Why one member is as it is.
    Explain(MemberId, oneshot::Sender<Option<MemberReport>>),
    /// A person wants something.
    Command {
        /// Who.
        by: String,
        /// About which member.
        member: MemberId,
        /// What.
        command: Command,
        /// What will happen, or why it will not.
        answer: oneshot::Sender<Result<String, String>>,
    },
    /// A person wants a process stopped that is in no configuration any more.
    Evict {
        /// Who.
        by: String,
        /// `group/member`, as it was called.
        path: String,
        /// What will happen; nothing when no such process runs.
        answer: oneshot::Sender<Option<Result<String, String>>>,
    },
    /// Take the configuration as it is now.
    Reload {
        /// Who asks.
        by: String,
        /// Restart members whose process was started with other settings.
        restart: bool,
        /// Take a configuration that leaves most members out, and so stop them.
        force: bool,
        /// What became of it, as text; `Err` when nothing was changed.
        answer: oneshot::Sender<Result<String, NotTaken>>,
    },
}

/// Why a configuration was not taken, for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotTaken {
    /// There is something wrong with it.
    Wrong(String),
    /// It cannot be now.
    Later(String),
}

/// A question, and the plan that its members are of.
pub type Asked = (Arc<Plan>, Question);

impl Daemon {
    pub(super) fn answer(&mut self, question: Question) {
        let now = crate::clock::now();
        match question {
            Question::Alive(answer) => drop(answer.send(())),
            Question::Status(answer) => {
                let mut report = self.engine.status(now);
                report.notify = self.notifier.report();
                report.unplanned = self.manager.unplanned();
                report.keeper = self.manager.keeper_report();
                report.plugins = self.quarantined();
                drop(answer.send(report));
            }
            Question::Explain(member, answer) => {
                let mut report = self.engine.explain(member, now);
                if let Some(report) = &mut report {
                    self.runner.advise(report);
                    let keeper = self.manager.keeper_report();
                    let notes = keeper.into_iter().flat_map(|keeper| keeper.notes);
                    report
                        .notes
                        .extend(notes.map(|note| format!("the keeper: {note}")));
                }
                drop(answer.send(report));
            }
            Question::Evict { answer, .. } if answer.is_closed() => {}
            Question::Evict { by, path, answer } => drop(answer.send(self.evict(&path, by))),
            Question::Reload {
                by,
                restart,
                force,
                answer,
            } => self.reload(by, restart, force, Some(answer)),
            // Whoever asked was told that nobody answers, and has gone: it must not happen later.
            Question::Command { answer, .. } if answer.is_closed() => {}
            Question::Command {
                by,
                member,
                command,
                answer,
            } => {
                if command == Command::Stop {
                    self.evidence.hurry(&self.plan.path(member));
                }
                let id = self.next_answer;
                self.next_answer += 1;
                self.answers.insert(id, answer);
                self.step(&Event::Command {
                    id,
                    by,
                    member,
                    command,
                });
            }
        }
    }
}
