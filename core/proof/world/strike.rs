//! What a blow does to the world, and the end of all faults.

use std::sync::Arc;

use checkd_core::engine::{Command, Event, Exit, HostFacts, Window};
use checkd_core::plan::Scope;
use checkd_core::{Cause, Generation, IntentId, LeafId, MemberId, Sample, Span, Status};

use super::{Pace, World};
use crate::proof::blow::{Blow, Verb};
use crate::proof::watch::Broken;

impl World {
    pub(super) fn host(&mut self, memory_full: u8) -> Result<(), Broken> {
        self.event(&Event::Host(HostFacts {
            cores: 4,
            memory_full,
            io_full: 0,
        }))
    }

    fn command(&mut self, member: MemberId, command: Command) -> Result<(), Broken> {
        if command == Command::Reset {
            self.watch.reset(member);
        }
        let by = "ada".to_owned();
        self.event(&Event::Command {
            id: 1,
            by,
            member,
            command,
        })
    }

    /// All faults are over; `wedged` processes stay so.
    pub(crate) fn calm(&mut self) -> Result<(), Broken> {
        self.incurable = false;
        self.cannot_start = false;
        self.journal_down = false;
        self.journal_takes = 1;
        self.unheard = false;
        self.lag = Span::ZERO;
        self.says.clear();
        self.crash_in = None;
        for truth in self.truth.values_mut() {
            truth.dies_after = None;
        }
        self.host(0)
    }

    /// Whoever was stopped, or ended well, is wanted again.
    pub(crate) fn start_stopped(&mut self) -> Result<(), Broken> {
        let plan = Arc::clone(&self.plan);
        for id in plan.members() {
            let report = self.engine.explain(id, self.now);
            if report.is_some_and(|report| report.life == "stopped") {
                self.command(id, Command::Start)?;
            }
        }
        Ok(())
    }

    fn say(&mut self, group: u32, member: Option<u32>, check: u32, says: (Status, Option<Cause>)) {
        let leaf = LeafId {
            group,
            check,
            member,
        };
        let shared = self.plan.check(leaf).map(|it| it.scope != Scope::Process);
        let member = member.filter(|_| shared == Some(false));
        let leaf = LeafId { member, ..leaf };
        self.says.insert(leaf, says);
    }

    /// Something happens; step by step also what checks answer to it.
    pub(crate) fn strike(&mut self, blow: &Blow) -> Result<(), Broken> {
        self.hit(blow)?;
        if self.pace == Pace::StepByStep {
            self.answers()?;
        }
        Ok(())
    }

    fn hit(&mut self, blow: &Blow) -> Result<(), Broken> {
        if self.pace == Pace::Flowing {
            self.pass(Span::secs(blow.wait))?;
        }
        let many = u32::try_from(self.plan.groups.len()).unwrap_or(1);
        let group = blow.group % many.max(1);
        let Some(plan) = self.plan.group(group) else {
            return Ok(());
        };
        let size = u32::try_from(plan.members.len()).unwrap_or(1).max(1);
        let checks = u32::try_from(plan.checks.len()).unwrap_or(1).max(1);
        let member = blow.member % size;
        let id = MemberId { group, member };
        let check = u32::try_from(blow.number).unwrap_or(0) % checks;
        let seconds = Span::secs(blow.number);
        let wrong = (Status::Fail, Some(Cause::Wrong));
        let unknown = (Status::Unknown, Some(Cause::NoPermission));
        match blow.verb {
            Verb::Passes => self.say(group, Some(member), check, (Status::Pass, None)),
            Verb::Fails => self.say(group, Some(member), check, wrong),
            Verb::TimesOut => {
                let late = (Status::Fail, Some(Cause::Timeout));
                self.say(group, Some(member), check, late);
            }
            Verb::Warns => self.say(group, Some(member), check, (Status::Warn, None)),
            Verb::Unknown => self.say(group, Some(member), check, unknown),
            Verb::AllPass | Verb::AllFail | Verb::AllUnknown => {
                let says = match blow.verb {
                    Verb::AllPass => (Status::Pass, None),
                    Verb::AllFail => wrong,
                    _ => unknown,
                };
                for member in 0..size {
                    self.say(group, Some(member), check, says);
                }
            }
            Verb::Wedges => self.truth.entry(id).or_default().wedged.push(check),
            Verb::AllWedge => {
                for member in 0..size {
                    let id = MemberId { group, member };
                    self.truth.entry(id).or_default().wedged.push(check);
                }
            }
            Verb::Sticks => {
                let leaf = LeafId {
                    group,
                    check,
                    member: Some(member),
                };
                let own = (self.plan.check(leaf)).is_some_and(|it| it.scope == Scope::Process);
                if own && self.running(id).is_some() {
                    self.stick(id, check);
                }
            }
            Verb::Incurable => self.incurable = true,
            Verb::Curable => self.incurable = false,
            Verb::Dies => {
                if let Some(generation) = self.running(id) {
                    let exit = Exit::Code(i32::try_from(blow.number).unwrap_or(1));
                    self.arrive(&Event::Exited {
                        member: id,
                        generation,
                        exit,
                    })?;
                }
            }
            Verb::Loops => self.truth.entry(id).or_default().dies_after = Some(blow.number),
            Verb::Holds => self.truth.entry(id).or_default().dies_after = None,
            Verb::JournalDown => self.journal_down = true,
            Verb::JournalSlow => {
                self.journal_down = false;
                self.journal_takes = seconds.0;
            }
            Verb::JournalWell => {
                self.journal_down = false;
                self.journal_takes = 1;
            }
            Verb::CannotStart => self.cannot_start = true,
            Verb::CanStart => self.cannot_start = false,
            Verb::Lags => self.lag = Span(blow.number),
            Verb::LagsNot => self.lag = Span::ZERO,
            Verb::Freezes => self.now += seconds,
            Verb::Presses => self.host(u8::try_from(blow.number).unwrap_or(0))?,
            Verb::Unheard => self.unheard = true,
            Verb::Heard => self.unheard = false,
            Verb::Crash => self.crash(false)?,
            Verb::CrashSoon => self.crash_in = Some((blow.number, false)),
            Verb::CrashLossy => self.crash_in = Some((blow.number, true)),
            Verb::Reload => self.reload(blow.number)?,
            Verb::Restart => self.command(id, Command::Restart { now: false })?,
            Verb::RestartNow => self.command(id, Command::Restart { now: true })?,
            Verb::Start => self.command(id, Command::Start)?,
            Verb::Stop => self.command(id, Command::Stop)?,
            Verb::Pause => {
                let until = self.now + Span::mins(blow.number);
                let reason = "to look".to_owned();
                let force = true;
                self.command(
                    id,
                    Command::Pause {
                        until,
                        reason,
                        force,
                    },
                )?;
            }
            Verb::Maintenance => {
                let window = Window {
                    name: "night".to_owned(),
                    reason: None,
                    until: self.now + Span::mins(blow.number),
                };
                self.watch.leave_alone(group, window.until);
                let window = Some(window);
                self.event(&Event::Maintenance { group, window })?;
            }
            Verb::Resume => self.command(id, Command::Resume { force: true })?,
            Verb::Reset => self.command(id, Command::Reset)?,
            Verb::Wakes => self.wakes()?,
            Verb::Waits => self.waits()?,
            Verb::Comes => self.comes(id)?,
            Verb::Balks => self.balks(id)?,
            Verb::Goes => self.goes(id)?,
            Verb::CrashLossyNow => self.crash(true)?,
            Verb::StartedTwice
            | Verb::ExitedStranger
            | Verb::DoneStranger
            | Verb::DoneTwice
            | Verb::StoredStranger
            | Verb::StoredTwice
            | Verb::RefusedTwice
            | Verb::SampleStranger
            | Verb::SampleNowhere
            | Verb::SampleTwice => self.noise(blow.verb, id, check)?,
        }
        Ok(())
    }

    /// Events that no host should send; the engine must not be moved by them.
    fn noise(&mut self, verb: Verb, id: MemberId, check: u32) -> Result<(), Broken> {
        let stranger = Generation {
            boot: 9,
            pid: 9,
            start: 9,
        };
        let sample = |generation| Sample {
            status: Status::Fail,
            cause: Some(Cause::Wrong),
            message: Arc::from("of another life"),
            measurements: Vec::new(),
            at: self.now,
            took: Span(1),
            generation,
        };
        let far = IntentId(1_000_000);
        let event = match verb {
            Verb::StartedTwice => match self.running(id) {
                Some(generation) => Event::Started {
                    member: id,
                    generation,
                    adopted: false,
                },
                None => return Ok(()),
            },
            Verb::ExitedStranger => Event::Exited {
                member: id,
                generation: stranger,
                exit: Exit::Code(1),
            },
            Verb::DoneStranger => Event::Done {
                intent: far,
                result: Err("whose".to_owned()),
            },
            Verb::DoneTwice => {
                if self.begun.get(&self.last_intent) != Some(&true) {
                    return Ok(());
                }
                Event::Done {
                    intent: self.last_intent,
                    result: Err("late".to_owned()),
                }
            }
            Verb::StoredStranger => Event::IntentStored(far),
            Verb::StoredTwice => Event::IntentStored(self.last_intent),
            Verb::RefusedTwice => Event::IntentRefused {
                intent: self.last_intent,
                reason: "late".to_owned(),
            },
            Verb::SampleStranger => Event::Sample {
                leaf: LeafId {
                    group: id.group,
                    check,
                    member: Some(id.member),
                },
                sample: sample(Some(stranger)),
            },
            Verb::SampleNowhere => Event::Sample {
                leaf: LeafId {
                    group: id.group,
                    check: check + 90,
                    member: None,
                },
                sample: sample(None),
            },
            _ => match self.last_sample.clone() {
                Some(event) => return self.arrive(&event),
                None => return Ok(()),
            },
        };
        self.event(&event)
    }
}
