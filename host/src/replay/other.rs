//! What another configuration would have done about the same history.
//!
//! Two engines are told the same, one under the configuration of then and one under the other, and at each
//! moment the other one is made to share what was done in truth (core's `beside`). So what limits its acts
//! counts those that were done, each act is seen by itself, and no chain of them: what came after an act is
//! what came in truth.

use std::collections::BTreeMap;
use std::sync::Arc;

use checkd_core::engine::{Effect, Engine};
use checkd_core::journal::Entry;
use checkd_core::plan::{GroupPlan, Plan};
use checkd_core::policy::{Axis, Motive, Step};
use checkd_core::replay::{Said, beside};
use checkd_core::{Instant, MemberId, Span};
use serde::Serialize;

use super::Asked;
use super::names::Names;
use crate::journal::{Segment, Segments};

/// Acts that come no further apart than this are the same.
const SAME: Span = Span::secs(1);

/// What would have been otherwise.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Otherwise {
    /// So many acts would have been the same.
    pub(crate) same: usize,
    /// Those that would not.
    pub(crate) acts: Vec<Other>,
    /// So many acts were done to members that the other configuration does not have.
    pub(crate) gone: usize,
    /// Why nothing can be said of a segment, one line each.
    pub(crate) cannot: Vec<String>,
}

/// An act that only one of the two decided, or both at different times.
#[derive(Debug, Serialize)]
pub(crate) struct Other {
    /// `web/web-3`.
    pub(crate) path: String,
    /// `restart`, `start`.
    pub(crate) step: &'static str,
    /// When it is decided under the configuration of then, in milliseconds since 1970; nothing when it
    /// is not.
    pub(crate) was_ms: Option<i64>,
    /// When under the other one; nothing when it is not, as far as the history tells.
    pub(crate) would_ms: Option<i64>,
    /// Why, in the words of the one that decided first.
    pub(crate) because: String,
    /// What is so under the other one when it does not act.
    pub(crate) instead: Option<String>,
}

impl Other {
    /// When it is first spoken of.
    pub(crate) fn first_ms(&self) -> i64 {
        let times = self.was_ms.into_iter().chain(self.would_ms);
        times.min().unwrap_or(0)
    }
}

/// Looks at one segment under `plan`.
///
/// # Errors
/// The journal cannot be read; SQLite's words.
pub(crate) fn otherwise(
    journal: &Segments,
    segment: &Segment,
    asked: &Asked,
    plan: &Plan,
    all: &mut Otherwise,
) -> Result<(), String> {
    let told = journal.told(segment)?;
    let engine = match told.begin.as_ref().map(Engine::read) {
        Some(Ok(engine)) => engine,
        Some(Err(why)) => {
            all.cannot.push(why);
            return Ok(());
        }
        None => {
            all.cannot
                .push("it has too many members to be written down".to_owned());
            return Ok(());
        }
    };
    let mut inputs = told.inputs;
    inputs.extend(journal.passes(segment, engine.plan())?);
    let wall = |at: Option<Instant>| at.map(|at| segment.wall_of(at));
    let wanted = |path: &str, ms: i64| {
        let members = asked.members.as_ref();
        members.is_none_or(|members| members.contains(path)) && ms >= asked.since_ms
    };
    let from = Arc::clone(engine.plan());
    let other = match as_written(plan, &from) {
        Ok(other) => Arc::new(other),
        Err(why) => {
            all.cannot.push(why.to_string());
            return Ok(());
        }
    };
    let names = Names::new(&from, &other);
    let members = from
        .members()
        .filter_map(|id| Some((id, names.member(id)?)));
    let members: BTreeMap<MemberId, MemberId> = members.collect();
    let inputs = inputs.into_iter().map(|input| {
        let others = names.input(&input);
        (input, others)
    });
    let inputs: Vec<_> = inputs.collect();
    let mut ledger = Ledger::default();
    beside(
        engine,
        Arc::clone(&other),
        segment.at,
        &inputs,
        &members,
        |at, said| match said {
            Said::Other(effect) => {
                if let Some(id) = whose(effect) {
                    ledger.heard(Side::Other, id, at, effect);
                }
            }
            Said::Not(id, why) => ledger.not(id, why),
            Said::Then(effect) => {
                let Some(then) = whose(effect) else { return };
                if let Some(id) = members.get(&then) {
                    ledger.heard(Side::Then, *id, at, effect);
                } else if is_act(effect) && wanted(&from.path(then), segment.wall_of(at)) {
                    all.gone += 1;
                }
            }
        },
    );
    for act in ledger.settled() {
        let other = Other {
            path: other.path(act.member),
            step: act.step.as_str(),
            was_ms: wall(act.was),
            would_ms: wall(act.would),
            because: act.because,
            instead: act.instead.filter(|_| act.would.is_none()),
        };
        match (wanted(&other.path, other.first_ms()), act.same) {
            (true, true) => all.same += 1,
            (true, false) => all.acts.push(other),
            (false, _) => {}
        }
    }
    Ok(())
}

/// Whom a record is about.
const fn whose(effect: &Effect) -> Option<MemberId> {
    if let Effect::Record(Entry::Decision { member, .. } | Entry::Transition { member, .. }) =
        effect
    {
        Some(*member)
    } else {
        None
    }
}

/// Whether the policy decides an act.
fn is_act(effect: &Effect) -> bool {
    matches!(effect, Effect::Record(Entry::Decision { intent: Some(_), explanation, .. })
        if matches!(explanation.motive, Motive::Sick | Motive::Dead))
}

/// The other plan as one is in the journal, so that nothing else in it can make a difference. When each check
/// was run is that of the history.
fn as_written(plan: &Plan, then: &Plan) -> serde_json::Result<Plan> {
    let mut groups: Vec<GroupPlan> = serde_json::from_value(serde_json::to_value(&plan.groups)?)?;
    for group in &mut groups {
        let Some((_, then)) = then.find_group(group.name.as_str()) else {
            continue;
        };
        for check in &mut group.checks {
            if let Some(then) = then.checks.iter().find(|then| then.name == check.name) {
                check.interval = then.interval;
                check.fast_interval = then.fast_interval;
                check.timeout = then.timeout;
            }
        }
    }
    Ok(Plan {
        groups,
        ..Plan::default()
    })
}

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    /// The one under the configuration of then.
    Then,
    /// The one under the other.
    Other,
}

/// What is said of the members that the other configuration has.
#[derive(Debug, Default)]
struct Ledger {
    by_member: BTreeMap<MemberId, Troubles>,
    /// What is settled.
    all: Vec<Decided>,
}

/// What was decided about one trouble of a member.
#[derive(Debug, Default)]
struct Troubles {
    open: Vec<Decided>,
    /// When its process ended.
    ended: Option<Instant>,
}

/// An act that one of the two decided, or both.
#[derive(Debug)]
struct Decided {
    member: MemberId,
    step: Step,
    was: Option<Instant>,
    would: Option<Instant>,
    because: String,
    instead: Option<String>,
    same: bool,
}

impl Ledger {
    fn heard(&mut self, side: Side, member: MemberId, at: Instant, effect: &Effect) {
        if let Effect::Record(Entry::Decision {
            step, explanation, ..
        }) = effect
            && is_act(effect)
        {
            self.decided(side, member, at, *step, &explanation.because);
        }
        if let Effect::Record(Entry::Transition { axis, to, .. }) = effect
            && side == Side::Other
        {
            let troubles = self.by_member.entry(member).or_default();
            match (axis, *to) {
                (Axis::Life, "dead") => troubles.ended = Some(at),
                // It began, or is well: what was wrong before is over.
                (Axis::Life, "starting") | (Axis::Health, "healthy") => {
                    troubles.settle(&mut self.all);
                }
                _ => {}
            }
        }
    }

    fn decided(&mut self, side: Side, member: MemberId, at: Instant, step: Step, because: &str) {
        let open = &mut self.by_member.entry(member).or_default().open;
        let place = open.iter().position(|act| act.step == step);
        let place = place.unwrap_or_else(|| {
            open.push(Decided {
                member,
                step,
                was: None,
                would: None,
                because: because.to_owned(),
                instead: None,
                same: false,
            });
            open.len() - 1
        });
        if let Some(act) = open.get_mut(place) {
            let which = match side {
                Side::Then => &mut act.was,
                Side::Other => &mut act.would,
            };
            which.get_or_insert(at);
        }
    }

    /// What the other one does instead of an act of then.
    fn not(&mut self, member: MemberId, why: &str) {
        let open = self.by_member.get_mut(&member).map(|it| &mut it.open);
        for act in open.into_iter().flatten() {
            act.instead.get_or_insert_with(|| why.to_owned());
        }
    }

    /// What was decided about each trouble, in the order of time.
    fn settled(mut self) -> Vec<Decided> {
        for troubles in self.by_member.values_mut() {
            troubles.settle(&mut self.all);
        }
        (self.all).sort_by_key(|act| (act.was.into_iter().chain(act.would).min(), act.member));
        self.all
    }
}

impl Troubles {
    /// One is over.
    fn settle(&mut self, all: &mut Vec<Decided>) {
        let ended = self.ended.take();
        for mut act in self.open.drain(..) {
            act.same = act.was.zip(act.would).is_some_and(|(was, would)| {
                let apart = Span(was.0.abs_diff(would.0));
                // The wait of a member that died is drawn from its upper half.
                let drawn = ended.map_or(Span::ZERO, |ended| was.since(ended) / 2);
                apart <= SAME + drawn
            });
            all.push(act);
        }
    }
}
