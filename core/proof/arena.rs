//! Where explorations take place: small groups, each made so that some of the gates can close, and
//! what may happen to them.
//!
//! One failing run is enough and one passing one too: how runs become verdicts is shown elsewhere, and
//! what is done about verdicts comes the sooner. Runs are far apart, so that the waits of the gates are
//! short beside them.

use serde_json::{Value, json};

use super::blow::{Blow, Verb};

/// A configuration, others that it is reloaded to, and what can happen.
#[derive(Clone, Debug)]
pub(crate) struct Arena {
    pub(crate) name: &'static str,
    pub(crate) configs: Vec<Value>,
    /// What happens before the exploration begins.
    pub(crate) before: Vec<Blow>,
    pub(crate) steps: Vec<Blow>,
}

/// What a person can do to a member.
const BY_HAND: [(Verb, u64); 6] = [
    (Verb::Start, 0),
    (Verb::Stop, 0),
    (Verb::Restart, 0),
    (Verb::RestartNow, 0),
    (Verb::Pause, 2),
    (Verb::Reset, 0),
];

const WAITS: Blow = Blow::on(Verb::Waits, 0, 0, 0);

/// Other numbers, and the ones before.
const RELOADS: [(Verb, u64); 2] = [(Verb::Reload, 0), (Verb::Reload, 1)];

/// Nobody has memory, and has again.
const STALLS: [(Verb, u64); 2] = [(Verb::Presses, 90), (Verb::Presses, 0)];

/// All arenas with so many members.
pub(crate) fn arenas(members: u32) -> Vec<Arena> {
    match members {
        2 => vec![
            arena("start", vec![web(2, &json!({}))], &[2]).not_yet_begun(),
            arena("budget", vec![web(2, &json!({}))], &[2]),
            arena("hold", vec![web(2, &json!({ "hold_at": 2 }))], &[2]).after(&held(2)),
            arena("given-up", vec![web(2, &json!({}))], &[2]).after(&in_vain(1, 9)),
            arena("parole", vec![web(2, &json!({}))], &[2]).after(&dead(9)),
            arena("together", vec![web(2, &together("one_for_all"))], &[2]).after(&in_vain(2, 4)),
            arena("dependency", vec![dependency(1, 1)], &[1, 1]),
            arena("by-hand", vec![web(2, &json!({}))], &[2])
                .without(&[Verb::Unknown, Verb::CrashLossyNow])
                .with(&BY_HAND, 2),
            arena("reload", vec![web(2, &json!({})), web(2, &other())], &[2])
                .without(&[Verb::Unknown, Verb::CrashLossyNow])
                .with(&RELOADS, 1),
            arena("signal", vec![web(2, &json!({ "signal": "TERM" }))], &[2])
                .after(&[Blow::on(Verb::Sticks, 0, 0, PING), WAITS])
                .with(&[(Verb::Sticks, PING)], 2)
                .without(&[Verb::Unknown]),
            arena("stall", vec![web(2, &json!({}))], &[2])
                .without(&[Verb::Unknown, Verb::CrashLossyNow])
                .with(&STALLS, 1),
        ],
        3 => vec![
            arena("start", vec![web(3, &json!({}))], &[3]).not_yet_begun(),
            arena("budget", vec![web(3, &json!({}))], &[3]),
            arena("hold", vec![web(3, &json!({ "hold_at": 2 }))], &[3]).after(&held(2)),
            arena("rolling", vec![web(3, &together("rolling"))], &[3]).after(&in_vain(2, 4)),
            arena("rest", vec![web(3, &together("rest_for_one"))], &[3]).after(&in_vain(2, 4)),
            arena("dependency", vec![dependency(1, 2)], &[1, 2]),
        ],
        _ => Vec::new(),
    }
}

/// So many members turn bad at once.
fn held(members: u32) -> Vec<Blow> {
    let fails = (0..members).map(|member| Blow::on(Verb::Fails, 0, member, PING));
    fails.chain([WAITS; 3]).collect()
}

/// So many members fail and no restart helps, as often as that.
fn in_vain(members: u32, rounds: u32) -> Vec<Blow> {
    let mut blows = held(members);
    for _ in 0..rounds {
        blows.extend((0..members).map(|member| Blow::on(Verb::Goes, 0, member, 0)));
        blows.push(WAITS);
    }
    blows
}

/// Nothing can be started, and the first member dies.
fn dead(rounds: u32) -> Vec<Blow> {
    let mut blows = vec![Blow::on(Verb::CannotStart, 0, 0, 0)];
    blows.push(Blow::on(Verb::Dies, 0, 0, 1));
    for _ in 0..rounds {
        blows.extend([Blow::on(Verb::Goes, 0, 0, 0), WAITS]);
    }
    blows.push(Blow::on(Verb::CanStart, 0, 0, 0));
    blows
}

impl Arena {
    /// Whether the journal may lose something: then what it holds is part of a state.
    pub(crate) fn loses(&self) -> bool {
        self.steps.iter().any(|it| it.verb == Verb::CrashLossyNow)
    }

    /// It begins with the first start, and not when everybody is well.
    fn not_yet_begun(self) -> Self {
        let before = Vec::new();
        Self { before, ..self }
    }

    /// It begins when these have happened too.
    fn after(mut self, blows: &[Blow]) -> Self {
        self.before.extend(blows);
        self
    }

    fn without(mut self, verbs: &[Verb]) -> Self {
        self.steps.retain(|it| !verbs.contains(&it.verb));
        self
    }

    /// Each of these happens to so many members too.
    fn with(mut self, verbs: &[(Verb, u64)], members: u32) -> Self {
        for member in 0..members {
            let more = verbs.iter();
            let more = more.map(|(verb, number)| Blow::on(*verb, 0, member, *number));
            self.steps.extend(more);
        }
        self
    }
}

/// Groups of so many members under what nobody wills; it begins when all of them are well.
fn arena(name: &'static str, configs: Vec<Value>, groups: &[u32]) -> Arena {
    let mut before = Vec::new();
    for (group, members) in (0u32..).zip(groups) {
        before.extend((0..*members).map(|member| Blow::on(Verb::Goes, group, member, 0)));
        before.extend([WAITS; 4]);
    }
    Arena {
        name,
        configs,
        before,
        steps: faults(groups),
    }
}

/// What happens without anybody's will, to each member of each group of so many.
fn faults(groups: &[u32]) -> Vec<Blow> {
    let mut steps = vec![
        Blow::on(Verb::Wakes, 0, 0, 0),
        WAITS,
        Blow::on(Verb::Crash, 0, 0, 0),
        Blow::on(Verb::CrashLossyNow, 0, 0, 0),
    ];
    for (group, members) in (0u32..).zip(groups) {
        for member in 0..*members {
            steps.extend([
                Blow::on(Verb::Comes, group, member, 0),
                Blow::on(Verb::Goes, group, member, 0),
                Blow::on(Verb::Balks, group, member, 0),
                Blow::on(Verb::Fails, group, member, PING),
                Blow::on(Verb::Passes, group, member, PING),
                Blow::on(Verb::Unknown, group, member, PING),
                Blow::on(Verb::Dies, group, member, 1),
            ]);
        }
    }
    steps
}

/// The place of `ping` among the checks, which stand in the order of their names.
const PING: u64 = 0;

fn web(members: u32, policy: &Value) -> Value {
    json!({ "group": { "web": group(members, policy) } })
}

fn other() -> Value {
    json!({ "max_out": 2, "hold_at": 2, "settle": "0s" })
}

fn together(strategy: &str) -> Value {
    json!({ "strategy": strategy, "allow_group_restart": true })
}

/// `web` needs `base`.
fn dependency(base: u32, web: u32) -> Value {
    let mut second = group(web, &json!({}));
    if let Some(second) = second.as_object_mut() {
        second.insert("depends_on".to_owned(), json!(["base"]));
    }
    json!({ "group": { "base": group(base, &json!({})), "web": second } })
}

fn group(members: u32, policy: &Value) -> Value {
    let mut all = json!({
        "max_out": 1,
        "settle": "20s",
        "canary_after": "20s",
        "startup_timeout": "60s",
        "confirm_up": "0s",
        "dead_starts": "3 in 10m",
        "sick_restarts": "2 in 60m",
        "hold_at": 100,
    });
    if let (Some(all), Some(policy)) = (all.as_object_mut(), policy.as_object()) {
        all.extend(policy.clone());
    }
    let ping = json!({
        "kind": "test",
        "interval": "20s",
        "fast_interval": "20s",
        "fall": 1,
        "ready_fall": 1,
        "rise": 1,
        "min_fail_span": "0s",
    });
    json!({
        "command": ["server"],
        "processes": members,
        "checks": { "ping": ping },
        "health": { "live": "ping", "ready": "ping" },
        "policy": all,
    })
}
