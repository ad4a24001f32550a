//! What people are shown: the state as values with names, for `status` and `explain`.
//!
//! Serialised, these are the stable JSON of `--json` and of the API; the host renders them as text.

mod around;
mod written;

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use around::{Around, HoldReport, TogetherReport};
pub use written::{Decision, Texts, told};

use crate::event::Exit;
use crate::plan::{GroupPlan, Mode, Plan, Scope};
use crate::policy::gate::{self, View};
use crate::policy::propose::{self, Proposal};
use crate::policy::state::{Control, Health, Life, Member, Phase, Wanted};
use crate::policy::{Comparison, GateName, Missing, Motive, Reading, State, judge, words};
use crate::{CheckKind, CheckName, Generation, Instant, MemberId, Span, Status};

/// A text that is the same for most: it is there already, and copied only where it is not.
pub type Word = Cow<'static, str>;

/// `checkd status --json`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct StatusReport {
    /// Every group, in the plan's order.
    pub groups: Vec<GroupReport>,
    /// Every sink of news that is configured.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notify: Vec<SinkReport>,
    /// Processes of an earlier configuration, which nobody looks after.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unplanned: Vec<UnplannedReport>,
    /// The parent of all members, when there is something to say about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keeper: Option<KeeperReport>,
}

/// A process that runs and that the configuration does not name any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnplannedReport {
    /// `web/web-3`, as it was called.
    pub path: String,
    /// Its process.
    pub pid: u32,
    /// Whether it has been told to stop.
    pub stopping: bool,
}

/// What is wrong with the keeper.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeeperReport {
    /// Its process.
    pub pid: u32,
    /// Each a sentence.
    pub notes: Vec<String>,
}

/// One sink of news.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SinkReport {
    /// Its name.
    pub name: String,
    /// `webhook`, `command`, `smtp`, `alertmanager`.
    pub kind: String,
    /// So much news waits for it.
    pub waiting: u64,
    /// So much was dropped since the last message that it took.
    pub dropped: u64,
    /// Since when it fails, in milliseconds since 1970.
    pub failing_since_ms: Option<i64>,
    /// Why, when it fails.
    pub failing: Option<String>,
}

/// One group.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GroupReport {
    /// Its name.
    pub name: String,
    /// Auto or observe.
    pub mode: Mode,
    /// Whether enough members are ready.
    pub ready: bool,
    /// How many members are ready.
    pub ready_members: u32,
    /// How many must be.
    pub ready_needed: u32,
    /// How many members are out by our hand.
    pub out: u32,
    /// How many may be.
    pub max_out: u32,
    /// What bears on all its members: a hold, something that they need, a stall of this machine.
    #[serde(default, skip_serializing_if = "Around::is_empty")]
    pub around: Around,
    /// Its members.
    pub members: Vec<MemberReport>,
}

/// One member: what it is, why, and what it waits for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MemberReport {
    /// `web/web-3`.
    pub path: String,
    /// `stopped`, `starting`, `up`, `dead`.
    pub life: Word,
    /// Since when, as time before `now`.
    pub life_for: Span,
    /// The process, while there is one.
    pub generation: Option<Generation>,
    /// How the last process ended.
    pub last_exit: Option<Exit>,
    /// `unproven`, `healthy`, `failed`.
    pub health: Word,
    /// Since when, as time before `now`.
    pub health_for: Span,
    /// Derived labels: `waiting`, `suspect`, `blind`, `degraded`, `outdated`, `given up`,
    /// `flapping`.
    pub labels: Vec<Word>,
    /// What `live` says, on the debounced leaves.
    pub live: Status,
    /// What `ready` says.
    pub ready: Status,
    /// `live` as written.
    pub live_text: String,
    /// The checks that support `live`, by name.
    pub blame: Vec<CheckName>,
    /// Every leaf.
    pub checks: Vec<LeafReport>,
    /// `acting`, `confirming`, with the step; nothing when idle.
    pub attempt: Option<AttemptReport>,
    /// What would help now: `start`, `restart`.
    pub proposed: Option<Word>,
    /// Every gate of the proposal, as read now.
    pub gates: Vec<GateReport>,
    /// `auto`, `observe`, `paused by … for …: …`.
    pub control: Word,
    /// Why it was given up.
    pub given_up: Option<String>,
    /// Automatic restarts of this incident that did not help.
    pub futile: u32,
    /// Starts of this member by checkd in the last 24 h.
    pub starts_24h: u32,
    /// The open incident.
    pub incident: Option<u64>,
    /// One sentence: what checkd does or waits for now.
    pub summary: String,
    /// What is remarkable about it and holds nothing up: it flaps, it is started all day. Each a
    /// sentence.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// What bears on it from around it. In a status it is said of the group, and not here.
    #[serde(default, skip_serializing_if = "Around::is_empty")]
    pub around: Around,
    /// What a person can type, with what it would do.
    pub can_do: Vec<Advice>,
}

/// One leaf.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LeafReport {
    /// The check's name.
    pub check: CheckName,
    /// Its kind.
    pub kind: CheckKind,
    /// What `live` reads.
    pub debounced: Status,
    /// What the newest sample says.
    pub latest: Option<Status>,
    /// Its message.
    pub message: Arc<str>,
    /// Its cause.
    pub cause: Option<Word>,
    /// Age of the newest sample.
    pub age: Option<Span>,
    /// Current streak: how many, of what, how long.
    pub streak: u32,
    /// Of what the streak is.
    pub streak_of: Option<Status>,
    /// From the first to the last of the streak.
    pub streak_span: Span,
    /// The `fall` in force.
    pub fall: u32,
    /// The `rise` in force.
    pub rise: u32,
    /// The interval in force now.
    pub interval: Span,
}

/// An attempt in flight.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AttemptReport {
    /// `start`, `restart`, `stop`.
    pub step: Word,
    /// `storing`, `acting`, `confirming`.
    pub phase: Word,
    /// Its intent.
    pub intent: u64,
    /// Time left until it is judged.
    pub confirm_within: Span,
}

/// One gate.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GateReport {
    /// Its name.
    pub gate: Word,
    /// Whether it lets the step pass.
    pub open: bool,
    /// The numbers, as a sentence: `1 member out (web-1), 1 allowed`.
    pub numbers: String,
    /// Time until it opens by itself, where known.
    pub opens_in: Option<Span>,
    /// What would open it.
    pub opens_when: Word,
}

/// One thing that a person can type.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Advice {
    /// The command.
    pub command: String,
    /// What it does.
    pub does: Word,
}

impl MemberReport {
    /// Whether its process was started with other settings than the plan has now.
    pub fn outdated(&self) -> bool {
        self.labels.iter().any(|label| label == "outdated")
    }
}

/// What stands now.
pub fn status(plan: &Plan, state: &State, now: Instant) -> StatusReport {
    let groups = (0u32..)
        .zip(&plan.groups)
        .filter_map(|(index, group_plan)| {
            let group = state.group(index)?;
            Some(GroupReport {
                name: group_plan.name.as_str().to_owned(),
                mode: group_plan.mode,
                ready: group.counts.ready >= group_plan.ready_members,
                ready_members: group.counts.ready,
                ready_needed: group_plan.ready_members,
                out: group.counts.out,
                max_out: group_plan.policy.max_out,
                around: around::of(plan, state, index, now),
                members: (0u32..)
                    .take(group.members.len())
                    .filter_map(|id| {
                        member(
                            plan,
                            state,
                            MemberId {
                                group: index,
                                member: id,
                            },
                            now,
                        )
                    })
                    .collect(),
            })
        });
    StatusReport {
        groups: groups.collect(),
        ..StatusReport::default()
    }
}

/// Why one member is as it is, with what stands around it.
pub fn explain(plan: &Plan, state: &State, id: MemberId, now: Instant) -> Option<MemberReport> {
    let around = around::of(plan, state, id.group, now);
    member(plan, state, id, now).map(|report| MemberReport { around, ..report })
}

/// Why one member is as it is.
pub fn member(plan: &Plan, state: &State, id: MemberId, now: Instant) -> Option<MemberReport> {
    let group = state.group(id.group)?;
    let view = View {
        now,
        plan,
        group_plan: plan.group(id.group)?,
        state,
        group,
        id,
        member: group.members.get(id.member as usize)?,
    };
    let (group_plan, it) = (view.group_plan, view.member);
    let alive = it.life.up_since().is_some();
    let live = judge::live(group_plan, group, it, now);
    let reading = |check| judge::live_reading(group, it, check, now);
    let blame = if alive {
        group_plan.live.expr.blame(reading)
    } else {
        Vec::new()
    };
    let proposal = propose::propose(&view);
    let readings = proposal
        .as_ref()
        .map(|proposal| gate::read_all(&view, proposal))
        .unwrap_or_default();
    let path = plan.path(id);
    let mut report = MemberReport {
        life: it.life.as_str().into(),
        life_for: match it.life {
            Life::Starting { since } | Life::Up { since } | Life::Dead { since, .. } => {
                now.since(since)
            }
            Life::Stopped => Span::ZERO,
        },
        generation: it.generation,
        last_exit: it.last_exit,
        health: it.health.as_str().into(),
        health_for: match it.health {
            Health::Healthy { since } | Health::Failed { since, .. } => now.since(since),
            Health::Unproven => Span::ZERO,
        },
        labels: labels(&view, live, &readings),
        live: if alive { live } else { Status::Unknown },
        ready: if it.ready { Status::Pass } else { Status::Fail },
        live_text: group_plan.live.text.clone(),
        blame: blame
            .iter()
            .filter_map(|check| group_plan.checks.get(*check as usize))
            .map(|check| check.name.clone())
            .collect(),
        checks: checks(&view),
        attempt: it.attempt.as_ref().map(|attempt| AttemptReport {
            step: attempt.step.as_str().into(),
            phase: match attempt.phase {
                Phase::Storing => "storing",
                Phase::Acting => "acting",
                Phase::Confirming => "confirming",
            }
            .into(),
            intent: attempt.intent.0,
            confirm_within: attempt.confirm_by.since(now),
        }),
        proposed: proposal
            .as_ref()
            .map(|proposal| proposal.step.as_str().into()),
        gates: readings
            .iter()
            .map(|reading| gate_report(reading, now))
            .collect(),
        control: match (&it.control, group_plan.mode) {
            (
                Control::Paused {
                    until, by, reason, ..
                },
                _,
            ) if *until > now => {
                format!("paused by {by} for another {}: {reason}", until.since(now)).into()
            }
            _ if maintained(&view).is_some() => {
                maintained(&view).map_or_else(Word::default, |window| {
                    format!(
                        "maintenance `{}` for another {}",
                        window.name,
                        window.until.since(now)
                    )
                    .into()
                })
            }
            (_, Mode::Observe) => "observe".into(),
            (Control::Auto | Control::Paused { .. }, Mode::Auto) => "auto".into(),
        },
        given_up: it
            .ledger
            .given_up
            .as_ref()
            .map(|given_up| given_up.why.clone()),
        futile: it.ledger.futile,
        starts_24h: it.ledger.restarts.count(DAY, now) + it.ledger.starts.count(DAY, now),
        incident: it.incident.map(|incident| incident.0),
        summary: String::new(),
        notes: notes(it, now),
        around: Around::default(),
        can_do: Vec::new(),
        path,
    };
    report.summary = summary(&view, live, &blame, proposal.as_ref(), &report);
    report.can_do = advice(&view, &report, &readings);
    Some(report)
}

fn maintained<'a>(view: &View<'a>) -> Option<&'a crate::event::Window> {
    let window = view.group.maintenance.as_ref();
    window.filter(|window| window.until > view.now)
}

const DAY: Span = Span::mins(24 * 60);

fn notes(it: &Member, now: Instant) -> Vec<String> {
    let ledger = &it.ledger;
    let flaps = ledger.flap.flapping.then(|| {
        format!(
            "it flaps: {}% of its last samples say something else than the one before",
            ledger.flap.percent()
        )
    });
    let lately = ledger.chronic.is_some_and(|told| now.since(told) < DAY);
    let chronic = lately.then(|| {
        let starts = ledger.restarts.count(DAY, now) + ledger.starts.count(DAY, now);
        format!("checkd started it {starts} times in 24h; something is wrong that no restart cures")
    });
    flaps.into_iter().chain(chronic).collect()
}

fn labels(view: &View<'_>, live: Status, readings: &[Reading]) -> Vec<Word> {
    let it = view.member;
    let alive = it.life.up_since().is_some();
    let latest = judge::latest(view.group_plan, view.group, it);
    let waiting = readings.iter().any(|reading| !reading.open);
    let suspect = alive
        && latest == Status::Fail
        && live != Status::Fail
        && matches!(it.health, Health::Healthy { .. });
    let port = view.plan.member(view.id).and_then(|member| member.port);
    let now_launched = view.state.prints.launch(view.id.group, port);
    let outdated = alive && it.launched != 0 && it.launched != now_launched;
    let all = [
        (waiting, "waiting"),
        (suspect, "suspect"),
        (it.blind, "blind"),
        (alive && live == Status::Warn, "degraded"),
        (outdated, "outdated"),
        (it.ledger.given_up.is_some(), "given up"),
        (it.ledger.flap.flapping, "flapping"),
    ];
    all.into_iter()
        .filter(|(holds, _)| *holds)
        .map(|(_, label)| label.into())
        .collect()
}

fn checks(view: &View<'_>) -> Vec<LeafReport> {
    let (group_plan, it) = (view.group_plan, view.member);
    (0u32..)
        .zip(&group_plan.checks)
        .filter_map(|(index, check)| {
            let leaf = view.group.leaf(it, index)?;
            let newest = leaf.newest();
            let streak = leaf.streak();
            let interval = if check.scope == Scope::Process {
                judge::interval(group_plan, check, it, leaf)
            } else {
                judge::shared_interval(check, leaf)
            };
            Some(LeafReport {
                check: check.name.clone(),
                kind: check.kind.clone(),
                debounced: leaf.live_reading(view.now),
                latest: newest.map(|newest| newest.status),
                message: newest.map_or_else(Arc::default, |newest| Arc::clone(&newest.message)),
                cause: newest
                    .and_then(|newest| newest.cause)
                    .map(|cause| cause.as_str().into()),
                age: newest.map(|newest| view.now.since(newest.at)),
                streak: streak.map_or(0, |streak| streak.count),
                streak_of: streak.map(|s| {
                    if s.failing {
                        Status::Fail
                    } else {
                        Status::Pass
                    }
                }),
                streak_span: streak.map_or(Span::ZERO, |streak| streak.span),
                fall: check.fall,
                rise: check.rise,
                interval,
            })
        })
        .collect()
}

fn gate_report(reading: &Reading, now: Instant) -> GateReport {
    let opens_when: Word = if reading.open {
        Word::default()
    } else if reading.gate == GateName::Hold && !alone(reading) {
        "for all when a restart has helped, or when few enough are in trouble".into()
    } else if let Some(at) = reading.reopens {
        format!("by itself in {}", at.since(now)).into()
    } else {
        match reading.gate {
            GateName::Fresh => "with the next run that still fails".into(),
            GateName::Journal => "when the journal can be written again".into(),
            GateName::Control => {
                "when its group has mode = \"auto\" and checkd runs without --observe".into()
            }
            GateName::Sane => "when this machine runs again".into(),
            GateName::HostRate => "when an act on this machine has ended".into(),
            GateName::Settle => "when the daemon has been up long enough".into(),
            GateName::Dependency if by_check(reading) => "when that check passes again".into(),
            GateName::Dependency => "when enough of them are ready".into(),
            GateName::Hold => "when it has helped or was given up".into(),
            GateName::Intensity => "by `checkd reset`".into(),
            GateName::Backoff => "when the wait is over".into(),
            GateName::Budget => "when a member that is out is healthy again or given up".into(),
        }
    };
    GateReport {
        gate: reading.gate.as_str().into(),
        open: reading.open,
        numbers: words::sentence(&reading.compared),
        opens_in: reading.reopens.map(|at| at.since(now)),
        opens_when,
    }
}

/// Whether a check says that something is missing, and not the state of another group.
const fn by_check(reading: &Reading) -> bool {
    matches!(
        reading.compared,
        Comparison::Dependency {
            missing: Some(Missing::Check { .. })
        }
    )
}

/// Whether it is the gate of a group too small to be held.
const fn alone(reading: &Reading) -> bool {
    matches!(reading.compared, Comparison::Hold { held_for: None, .. })
}

/// One sentence: what checkd does or waits for now.
fn summary(
    view: &View<'_>,
    live: Status,
    blame: &[u32],
    proposal: Option<&Proposal>,
    report: &MemberReport,
) -> String {
    let it = view.member;
    if let Some(attempt) = &it.attempt {
        let step = attempt.step.as_str();
        return match attempt.phase {
            Phase::Storing if attempt.motive == Motive::Sick => format!(
                "{step} begins, as soon as its intent is in the journal and what it looks like is kept"
            ),
            Phase::Storing => format!("{step} begins, as soon as its intent is in the journal"),
            Phase::Acting => format!("{step} is under way"),
            Phase::Confirming => {
                let left = attempt.confirm_by.since(view.now);
                format!(
                    "{step}ed; waits up to {left} for `{}`",
                    view.group_plan.startup.text
                )
            }
        };
    }
    if let Some(proposal) = proposal {
        let step = proposal.step.as_str();
        let mut text = match it.life {
            Life::Dead { .. } => words::sentence(&format_args!("{}; ", words::ending(it))),
            Life::Stopped | Life::Starting { .. } | Life::Up { .. } => String::new(),
        };
        let mut before = [step, " waits for "];
        for gate in report.gates.iter().filter(|gate| !gate.open) {
            text.extend(before);
            text.extend([&gate.gate, " (", &gate.numbers, ")"]);
            before = [" and ", ""];
        }
        if report.gates.iter().all(|gate| gate.open) {
            text.extend(["will ", step]);
        }
        return text;
    }
    let given_up = it.ledger.given_up.as_ref();
    if let Some(given_up) = given_up.filter(|_| it.wanted == Wanted::Up) {
        let again = given_up.parole.map_or(String::new(), |at| {
            format!("; one more start in {}", at.since(view.now))
        });
        let next = if given_up.parole.is_some() {
            again
        } else if it.life.up_since().is_some() {
            "; nothing is done to it until it is well, dies, or is reset".to_owned()
        } else {
            "; nothing is done to it until a person does".to_owned()
        };
        return format!("given up: {}{next}", given_up.why);
    }
    match (it.life, &it.health) {
        (Life::Stopped, _) if it.wanted == Wanted::Down => match it.last_exit {
            Some(exit) if it.stopped_by.is_none() => format!(
                "ended by itself ({exit}); not started again, as `restart = \"{}\"` says",
                view.group_plan.policy.restart.as_str()
            ),
            Some(_) | None => "stopped, as wanted".to_owned(),
        },
        (Life::Stopped, _) if it.stopped_together.is_some() => {
            let left = view
                .group
                .together
                .iter()
                .flat_map(|together| &together.left);
            let left = left.filter_map(|index| view.group_plan.members.get(*index as usize));
            let left: Vec<&str> = left.map(|member| member.name.as_str()).collect();
            format!(
                "stopped with its whole group; started as soon as {} stopped too",
                match left.as_slice() {
                    [one] => format!("{one} has"),
                    many => format!("the last {} have", many.len()),
                }
            )
        }
        (Life::Stopped, _) => "not started yet".to_owned(),
        (Life::Dead { .. }, _) => format!("dead: {}", words::ending(it)),
        (_, Health::Healthy { .. }) if it.blind => {
            format!(
                "nobody can tell: `{}` is unknown",
                view.group_plan.live.text
            )
        }
        (_, Health::Healthy { .. }) if report.labels.iter().any(|label| label == "suspect") => {
            "suspect: the newest samples fail, not yet often enough".to_owned()
        }
        (_, Health::Healthy { .. }) if live == Status::Warn => {
            format!(
                "healthy, with a warning: {}",
                words::warnings(view.group_plan, view.group, it)
            )
        }
        (_, Health::Healthy { .. }) if report.outdated() => {
            "healthy; outdated: it runs with the settings of before a reload".to_owned()
        }
        (_, Health::Healthy { .. }) => "healthy; nothing to do".to_owned(),
        (_, Health::Unproven) => {
            format!(
                "runs; `{}` {}",
                view.group_plan.startup.text,
                words::verdict(live)
            )
        }
        (_, Health::Failed { .. }) => {
            let text = words::blame(view.group_plan, view.group, it, blame);
            format!(
                "failed; `{}` {}: {text}",
                view.group_plan.live.text,
                words::verdict(live)
            )
        }
    }
}

/// Where what closes a gate can be looked at.
fn look_there(plan: &GroupPlan, reading: &Reading) -> Option<Advice> {
    let compared = &reading.compared;
    let own = plan.name.as_str();
    let (selector, does) = if let Comparison::Budget { who, .. } = compared {
        let first = who.first()?.as_str();
        ([own, "/", first], "shows why that one is out")
    } else if let Comparison::Hold { canary, .. } = compared {
        let does = "shows how the restart that is tried is getting on";
        ([own, "/", canary.as_ref()?.as_str()], does)
    } else if let Comparison::Dependency {
        missing: Some(Missing::Group { group, .. }),
    } = compared
    {
        let does = "shows what is wrong with what it needs";
        (["'", group.as_str(), "/*'"], does)
    } else {
        return None;
    };
    let [group, slash, member] = selector;
    Some(to_type(["explain ", group, slash, member], does))
}

/// A command and what it does.
fn to_type<const N: usize>(words: [&str; N], does: &'static str) -> Advice {
    let words = words.as_slice();
    let mut command =
        String::with_capacity("checkd ".len() + words.iter().map(|word| word.len()).sum::<usize>());
    command.push_str("checkd ");
    command.extend(words.iter().copied());
    Advice {
        command,
        does: does.into(),
    }
}

/// What a person can type now, the most likely first.
fn advice(view: &View<'_>, report: &MemberReport, readings: &[Reading]) -> Vec<Advice> {
    let it = view.member;
    let path = &report.path;
    let mut all = Vec::with_capacity(4);
    for reading in readings.iter().filter(|reading| !reading.open) {
        all.extend(look_there(view.group_plan, reading));
    }
    if it.ledger.given_up.is_some() {
        all.push(to_type(
            ["reset ", path],
            if it.generation.is_some() {
                "forgets what was tried: it is restarted when every gate is open, and again until \
                 that helps or it is given up again"
            } else {
                "forgets what was tried: it is started when every gate is open, and again until \
                 that helps or it is given up again"
            },
        ));
    }
    if view.group.hold.is_some() && view.group.supplied {
        all.push(to_type(
            ["reset ", view.group_plan.name.as_str()],
            "ends the hold: whoever is sick is restarted, no more at once than the budget allows",
        ));
    }
    if report.control.starts_with("paused") {
        all.push(to_type(["resume ", path], "lets checkd act on it again"));
    }
    let in_trouble = !matches!(it.health, Health::Healthy { .. }) || it.blind;
    if it.attempt.is_none() && it.wanted == Wanted::Up && in_trouble {
        let does = if view.state.refused.is_some() {
            "restarts it as soon as the journal can be written, past every other gate"
        } else if it.ledger.given_up.is_some() {
            "tries it once more, at once, past every gate"
        } else if it.generation.is_none() {
            "starts it at once, past every gate"
        } else if readings
            .iter()
            .any(|it| it.gate == GateName::Dependency && !it.open)
        {
            "restarts it at once, past every gate; what it needs is still not there then"
        } else if view.group.hold.is_some() {
            "restarts it at once, past every gate; in a hold that seldom helps"
        } else if readings
            .iter()
            .any(|it| it.gate == GateName::Budget && !it.open)
        {
            "restarts it at once, past every gate: then one more is out"
        } else {
            "restarts it at once, past every gate"
        };
        all.push(to_type(["restart --now ", path], does));
        if report.control == "auto" && report.given_up.is_none() {
            all.push(to_type(
                ["pause ", path, " --for 1h --reason \"…\""],
                "keeps checkd from acting while you look",
            ));
        }
    }
    if report.outdated() {
        all.push(to_type(
            ["reload --restart"],
            "replaces all that is outdated, through the budget",
        ));
    }
    if it.wanted == Wanted::Down {
        all.push(to_type(["start ", path], "starts it and wants it up"));
    }
    all.push(to_type(["history ", path], "shows what happened before"));
    all
}
