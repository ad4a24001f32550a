//! What goes into the engine and what comes out: one closed enum each way.
//!
//! The host translates the world into [`Event`]s and carries out the [`Effect`]s in their order.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::id::IncidentId;
use crate::journal::Entry;
use crate::plan::Plan;
use crate::policy::Notice;
use crate::policy::keep::Kept;
use crate::{Generation, Instant, IntentId, LeafId, MemberId, Process, Sample};

/// Everything that can happen.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// Time has passed; asked for by [`Effect::WakeAt`], harmless at any other moment.
    Wake,
    /// A run ended, or a passive kind spoke.
    Sample {
        /// The leaf that it is of.
        leaf: LeafId,
        /// What it said.
        sample: Sample,
    },
    /// A member's process was seen to run: started by us, or adopted.
    Started {
        /// Whose.
        member: MemberId,
        /// Its life.
        generation: Generation,
        /// True when it ran before this daemon did.
        adopted: bool,
    },
    /// A member's process is gone.
    Exited {
        /// Whose.
        member: MemberId,
        /// The life that ended.
        generation: Generation,
        /// How.
        exit: Exit,
    },
    /// The journal holds this intent durably.
    IntentStored(IntentId),
    /// The journal could not store this intent.
    IntentRefused {
        /// Which.
        intent: IntentId,
        /// Why, for a person.
        reason: String,
    },
    /// An act was carried out, or could not be. `Exited` and `Started` came before it.
    Done {
        /// Whose intent.
        intent: IntentId,
        /// For a person: why it could not be.
        result: Result<(), String>,
    },
    /// How this machine is: sent before the first `Wake`, and now and then.
    Host(HostFacts),
    /// A group is to be left alone from now on, or not any more.
    Maintenance {
        /// Which group, by its index in the plan.
        group: u32,
        /// The window that is open; `None`: none.
        window: Option<Window>,
    },
    /// A person wants something.
    Command {
        /// Comes back in [`Effect::Answer`].
        id: u64,
        /// Who: `uid 0 (root)`.
        by: String,
        /// About which member.
        member: MemberId,
        /// What.
        command: Command,
    },
}

/// What the engine must know of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostFacts {
    /// Processor cores that we may use.
    pub cores: u32,
    /// Of the last ten seconds, how much nobody at all could go on for want of memory: percent, `full
    /// avg10` of the kernel's pressure stall information.
    pub memory_full: u8,
    /// The same for want of a disk.
    pub io_full: u8,
}

/// A maintenance window that is open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// Its name in the configuration.
    pub name: String,
    /// Why, for a person.
    pub reason: Option<String>,
    /// When it is over, whatever else is said.
    pub until: Instant,
}

/// What a person can ask for, one member at a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "command")]
pub enum Command {
    /// Stop it and start it. Through the budget, unless `now`.
    Restart {
        /// Past the budget.
        now: bool,
    },
    /// Start it and want it up.
    Start,
    /// Stop it and want it down.
    Stop,
    /// No automatic act until then.
    Pause {
        /// When automatic acts begin again.
        until: Instant,
        /// Why, for the next person.
        reason: String,
        /// Over another person's pause.
        force: bool,
    },
    /// End a pause.
    Resume {
        /// Another person's pause too.
        force: bool,
    },
    /// Forget futile restarts, backoff and giving up. The hold of its group ends when it is one of those
    /// that the group is held for.
    Reset,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Exit {
    /// It returned this code.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
    /// It is gone, and nobody who could know how told us (it was not our child).
    Lost,
    /// It never ran: it could not be executed.
    NotStarted,
    /// The kernel killed it, because there was no memory left for it.
    #[serde(rename = "out_of_memory")]
    OutOfMemory,
}

/// `exited with code 3`, `was killed by signal 9`, …: what follows a member's name.
impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exited with code {code}"),
            Self::Signal(signal) => match signal_name(*signal) {
                Some(name) => write!(f, "was ended by {name}"),
                None => write!(f, "was ended by signal {signal}"),
            },
            Self::Lost => f.write_str("is gone (nobody saw how it ended)"),
            Self::NotStarted => f.write_str("could not be executed"),
            Self::OutOfMemory => f.write_str("was killed by the kernel: out of memory"),
        }
    }
}

/// The names that are the same on every Linux platform we run on.
const fn signal_name(signal: i32) -> Option<&'static str> {
    Some(match signal {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        13 => "SIGPIPE",
        14 => "SIGALRM",
        15 => "SIGTERM",
        _ => return None,
    })
}

/// What the host must do, in order.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Write to the journal. An [`Entry::Intent`] is answered with `IntentStored` or
    /// `IntentRefused`; nothing else is answered.
    Record(Entry),
    /// Carry out an act whose intent is stored.
    Do(IntentId, Act),
    /// Run a check once. Its sample comes back as [`Event::Sample`].
    Run(Run),
    /// Write what must outlive the daemon of one member or group; the newest replaces the one before.
    /// It comes ahead of an intent that it belongs to, and must be as durable as that.
    Keep(Kept),
    /// Send [`Event::Wake`] at this instant; the newest replaces every earlier one.
    WakeAt(Instant),
    /// Tell a person.
    Notify(Notice),
    /// The answer to a command: what will happen, or why it will not.
    Answer {
        /// From [`Event::Command`].
        id: u64,
        /// For the person.
        answer: Result<String, String>,
    },
}

/// One run to begin now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// Which leaf.
    pub leaf: LeafId,
    /// The life to look at; `None` for scope `host` and `dependency`. Goes back in the sample.
    pub generation: Option<Generation>,
    /// What `{port}` stands for: the port that this life was started with, whatever a newer
    /// configuration says.
    pub port: Option<u16>,
    /// When it was due: now, or earlier when the loop was late.
    pub due: Instant,
}

/// What can be done to a member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase", tag = "act")]
pub enum Act {
    /// Start a member that has no process.
    Start {
        /// Which.
        member: MemberId,
    },
    /// The signal of its group's policy to single processes of it, which are to end by it.
    ///
    /// Carried out means that each has ended, by whatever. One that is no descendant of the member's own
    /// process gets none, and then nobody does.
    Signal {
        /// Which.
        member: MemberId,
        /// Only this life.
        generation: Generation,
        /// Only these, by their start times.
        processes: Arc<[Process]>,
        /// What the member looks like is kept first, with this incident.
        evidence: Option<IncidentId>,
    },
    /// Stop signal, stop timeout, kill of the whole tree, start.
    Restart {
        /// Which.
        member: MemberId,
        /// Only this life: another one is left alone.
        generation: Generation,
        /// It lives and is sick: what it looks like is kept first, with this incident.
        evidence: Option<IncidentId>,
    },
    /// Stop signal, stop timeout, kill of the whole tree.
    Stop {
        /// Which.
        member: MemberId,
        /// Only this life.
        generation: Generation,
    },
}

impl Act {
    /// To whom it is done.
    pub const fn member(&self) -> MemberId {
        match self {
            Self::Start { member }
            | Self::Signal { member, .. }
            | Self::Restart { member, .. }
            | Self::Stop { member, .. } => *member,
        }
    }
}

impl Event {
    /// The same event under another plan: members and checks are known by their names. `None` when
    /// what it is about is not in `to`.
    ///
    /// What was on its way while a configuration was reloaded still speaks of the old plan.
    pub fn rebased(self, from: &Plan, to: &Plan) -> Option<Self> {
        let rebase = |id: MemberId| {
            to.find(
                from.group(id.group)?.name.as_str(),
                from.member(id)?.name.as_str(),
            )
        };
        Some(match self {
            Self::Wake
            | Self::IntentStored(_)
            | Self::IntentRefused { .. }
            | Self::Done { .. }
            | Self::Host(_) => self,
            Self::Maintenance { group, window } => Self::Maintenance {
                group: to.find_group(from.group(group)?.name.as_str())?.0,
                window,
            },
            Self::Sample { leaf, sample } => {
                let (group, check) = (from.group(leaf.group)?, from.check(leaf)?);
                let (index, new) = to.find_group(group.name.as_str())?;
                let member = match leaf.member {
                    None => None,
                    Some(member) => Some(
                        rebase(MemberId {
                            group: leaf.group,
                            member,
                        })?
                        .member,
                    ),
                };
                let leaf = LeafId {
                    group: index,
                    check: new.check_index(check.name.as_str())?,
                    member,
                };
                // What a check of this name said before it was changed says nothing about it now.
                let now = to.check(leaf)?;
                let same = (&now.kind, &now.options, now.scope)
                    == (&check.kind, &check.options, check.scope);
                return same.then_some(Self::Sample { leaf, sample });
            }
            Self::Started {
                member,
                generation,
                adopted,
            } => Self::Started {
                member: rebase(member)?,
                generation,
                adopted,
            },
            Self::Exited {
                member,
                generation,
                exit,
            } => Self::Exited {
                member: rebase(member)?,
                generation,
                exit,
            },
            Self::Command {
                id,
                by,
                member,
                command,
            } => Self::Command {
                id,
                by,
                member: rebase(member)?,
                command,
            },
        })
    }
}
