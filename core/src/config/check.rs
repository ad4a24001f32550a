//! `[group.N.checks.C]`: the host's keys of a check with their defaults, and the kind's options.

use super::keys;
use super::placeholder::Placeholder;
use super::read::Reader;
use super::section::{MISSING, Of, Section};
use super::{KindFacts, Table, UnknownKinds, defaults, schema};
use crate::compose::WORDS;
use crate::diagnostic::{Diagnostic, Place, nearest};
use crate::plan::{CheckPlan, NOfM, Scope};
use crate::{CheckKind, CheckName, Span};

const UNKNOWN_KIND: &str = "C0104";
const SLOWER: &str = "C0117";
const LIMITS: &str = "C0118";

/// The checks of one group.
pub(super) struct Checks<'a> {
    pub(super) plans: Vec<CheckPlan>,
    /// Every name that is written, also of checks that have mistakes.
    pub(super) named: Vec<(&'a str, Place)>,
}

/// What the group's policy and `[defaults]` say about checks: looked up once a group.
struct Inherited {
    interval: Option<(Span, Place)>,
    fast_interval: Option<(Span, Place)>,
    timeout: Option<(Span, Place)>,
    fall: u32,
    ready_fall: Option<u32>,
    rise: u32,
    min_fail_span: Span,
    n_of_m: Option<NOfM>,
}

pub(super) fn checks<'a>(
    reader: &mut Reader<'a>,
    group: &'a str,
    table: Option<&'a Table>,
    policy: Section<'a>,
    defaults: Section<'a>,
    ports: bool,
) -> Checks<'a> {
    let inherited = inherited(policy, defaults);
    let mut named = reader.named(table, "check", crate::id::NAME_MAX);
    named.sort_by_key(|(name, _, _)| *name);
    let mut checks = Checks {
        plans: Vec::with_capacity(named.len()),
        named: Vec::new(),
    };
    for (name, at, table) in named {
        checks.named.push((name, at));
        if WORDS.contains(&name) {
            reader.out.push(
                Diagnostic::error(
                    super::read::NAME,
                    format!("`{name}` cannot be the name of a check"),
                )
                .at(at, "a word of expressions")
                .note(format!("words of expressions: {}", WORDS.join(", "))),
            );
        }
        checks
            .plans
            .extend(check(reader, group, name, at, table, &inherited, ports));
    }
    checks
}

fn inherited(policy: Section<'_>, defaults: Section<'_>) -> Inherited {
    let first = |key: &str| {
        [policy, defaults]
            .into_iter()
            .find_map(|section| Some((section.wait(key)?, section.key_place(key)?)))
    };
    let count = |key: &str| policy.count(key, 1).or_else(|| defaults.count(key, 1));
    let span = |key: &str| policy.span(key).or_else(|| defaults.span(key));
    Inherited {
        interval: first("interval"),
        fast_interval: first("fast_interval"),
        timeout: first("timeout"),
        fall: count("fall").unwrap_or(defaults::FALL),
        ready_fall: count("ready_fall"),
        rise: count("rise").unwrap_or(defaults::RISE),
        min_fail_span: span("min_fail_span").unwrap_or(defaults::MIN_FAIL_SPAN),
        n_of_m: defaults.n_of_m("n_of_m"),
    }
}

fn host_key(name: &str) -> bool {
    keys::find(keys::CHECK, name).is_some()
}

fn check<'a>(
    reader: &mut Reader<'a>,
    group: &'a str,
    name: &'a str,
    at: Place,
    table: &'a Table,
    inherited: &Inherited,
    ports: bool,
) -> Option<CheckPlan> {
    let of = Of::Check(group, name);
    let section = Section {
        table: Some(table),
        keys: keys::CHECK,
        of,
    };
    for (key, place, node) in &table.entries {
        if let Some(known) = keys::find(keys::CHECK, key) {
            section.known(known, *place, node, &mut reader.out);
        }
    }
    let kind = kind(reader, &section, at);
    let facts = kind.as_ref().and_then(|kind| reader.kinds.get(kind));
    let before = reader.out.len();
    if let Some(facts) = facts {
        schema::options(
            facts,
            &|| of.to_string(),
            at,
            table,
            &host_key,
            &mut reader.out,
        );
    }
    let scope = match section.choice("scope") {
        Some("process") => Scope::Process,
        Some("host") => Scope::Host,
        Some("dependency") => Scope::Dependency,
        _ => facts.map_or(Scope::Process, |facts| facts.scope),
    };
    placeholders(reader, &section, scope, ports);
    reader.unsound_since(before, group, name);
    let times = times(reader, &section, inherited);
    let fall = section.count("fall", 1).unwrap_or(inherited.fall);
    let options = table
        .entries
        .iter()
        .filter(|(key, _, _)| !host_key(key))
        .map(|(key, _, node)| (key.clone(), schema::json(node)))
        .collect();
    Some(CheckPlan {
        name: CheckName::new(name)?,
        kind: kind?,
        scope,
        options,
        interval: times.interval,
        fast_interval: times.fast_interval,
        timeout: times.timeout,
        fall,
        ready_fall: section
            .count("ready_fall", 1)
            .or(inherited.ready_fall)
            .unwrap_or(defaults::READY_FALL.min(fall)),
        rise: section.count("rise", 1).unwrap_or(inherited.rise),
        min_fail_span: section
            .span("min_fail_span")
            .unwrap_or(inherited.min_fail_span),
        n_of_m: section.n_of_m("n_of_m").or(inherited.n_of_m),
        freshness: times.freshness,
        passive: facts.is_some_and(|facts: &KindFacts| facts.passive),
        place: at,
    })
}

fn kind(reader: &mut Reader<'_>, section: &Section<'_>, at: Place) -> Option<CheckKind> {
    let Of::Check(group, check) = section.of else {
        return None;
    };
    let Some(node) = section.node("kind") else {
        reader.out.push(
            Diagnostic::error(
                MISSING,
                format!("check `{check}` of group `{group}` has no `kind`"),
            )
            .at(at, "what is checked?")
            .help("`checkd kinds` lists what can be checked"),
        );
        return None;
    };
    let typed = super::form::text(node).ok()?;
    let kind = CheckKind::new(typed);
    if kind
        .as_ref()
        .is_some_and(|kind| reader.kinds.contains_key(kind))
    {
        return kind;
    }
    let message = format!("there is no check kind `{}`", typed.escape_debug());
    let known = || reader.kinds.keys().map(CheckKind::as_str);
    let words = format!("in check `{check}` of group `{group}`");
    let list: Vec<&str> = known().collect();
    let near = nearest(typed, known());
    let refused = kind.is_none() || reader.unknown_kinds == UnknownKinds::Refuse;
    let mut told = if refused {
        Diagnostic::error(UNKNOWN_KIND, message)
    } else {
        Diagnostic::warning(UNKNOWN_KIND, message).note(
            "its status is unknown until a plugin offers it; nothing is restarted because of it",
        )
    }
    .at(node.place, words)
    .note(format!("kinds: {}", list.join(", ")));
    if let Some(near) = near {
        told = told.help(format!("did you mean `{near}`?"));
    }
    reader.out.push(told);
    if refused { None } else { kind }
}

fn placeholders<'a>(reader: &mut Reader<'a>, section: &Section<'a>, scope: Scope, ports: bool) {
    let of = || section.of.to_string();
    let shared = "the check is shared by all members of its group";
    let own = |why: Option<&'static str>| {
        if scope == Scope::Process {
            why
        } else {
            Some(shared)
        }
    };
    let allowed = [
        (Placeholder::Member, own(None)),
        (Placeholder::Index, own(None)),
        (Placeholder::Pid, own(None)),
        (
            Placeholder::Port,
            own((!ports).then_some("the group has no `ports`")),
        ),
    ];
    for (key, _, node) in section.entries() {
        if !host_key(key) {
            reader.placeholders(node, &allowed, &of);
        }
    }
}

/// Whole seconds where there are any: a time to be typed.
fn readable(span: Span) -> Span {
    if span >= Span::secs(1) {
        Span(span.0 / 1_000 * 1_000)
    } else {
        span
    }
}

struct Times {
    interval: Span,
    fast_interval: Span,
    timeout: Span,
    freshness: Span,
}

/// The times of a check, and whether they fit together.
fn times(reader: &mut Reader<'_>, section: &Section<'_>, inherited: &Inherited) -> Times {
    let own = |key: &str| Some((section.wait(key)?, section.key_place(key)?));
    let interval = own("interval").or(inherited.interval);
    let timeout = own("timeout").or(inherited.timeout);
    let fast = own("fast_interval").or(inherited.fast_interval);
    let span = |found: Option<(Span, Place)>| found.map(|(span, _)| span);

    let in_force = span(interval).unwrap_or(defaults::INTERVAL);
    let fast_in_force = span(fast)
        .unwrap_or_else(|| defaults::fast_interval(in_force, span(timeout)).min(in_force));
    let timeout_in_force = span(timeout).unwrap_or_else(|| defaults::timeout(fast_in_force));
    let times = Times {
        interval: in_force,
        fast_interval: fast_in_force,
        timeout: timeout_in_force,
        freshness: defaults::freshness(in_force),
    };
    let Of::Check(group, check) = section.of else {
        return times;
    };

    let whole = |place: Option<(Span, Place)>| place.map(|(_, place)| place);
    if let Some((span, place)) = timeout
        && span > in_force
    {
        let mut told = Diagnostic::error(
            SLOWER,
            format!("check `{check}` of group `{group}` may outlive its own interval"),
        )
        .at(place, "must not be longer than `interval`");
        told = match whole(interval) {
            Some(place) => told.also(place, ""),
            None => told.note(format!("`interval` is {in_force}, the default")),
        };
        let shorter = readable(in_force * 4 / 5);
        reader.once(told.help(format!(
            "set `timeout = \"{}\"`, or raise `interval` above {}",
            super::units::exact(shorter),
            super::units::exact(span),
        )));
    } else if let (Some((timeout, place)), Some((fast, at))) = (timeout, fast)
        && timeout > fast
    {
        reader.once(
            Diagnostic::error(
                SLOWER,
                format!("check `{check}` of group `{group}` may outlive its own fast interval"),
            )
            .at(place, "must not be longer than `fast_interval`")
            .also(at, ""),
        );
    }
    if let Some((fast, place)) = fast
        && fast > in_force
    {
        let told = Diagnostic::error(
            LIMITS,
            format!("the fast interval of check `{check}` of group `{group}` is the slower one"),
        )
        .at(place, format!("longer than `interval`, {in_force}"));
        reader.once(match whole(interval) {
            Some(place) => told.also(place, ""),
            None => told,
        });
    }
    times
}
