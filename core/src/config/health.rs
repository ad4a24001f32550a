//! `[group.N.health]` and `[group.N.expressions]`: what the checks mean together.

use super::check::Checks;
use super::form;
use super::keys;
use super::policy::SELDOM_MEANT;
use super::read::Reader;
use super::section::{LATER, Of, Section};
use super::{Node, Table};
use crate::compose::{Complex, Expr, Mistake, Names, WORDS};
use crate::diagnostic::{Diagnostic, Severity};
use crate::plan::Scope;

const DEPENDENCY: &str = "C0119";
const UNREACHABLE: &str = "C0118";
const UNUSED: &str = "C0124";
const TWICE: &str = "C0125";

pub(super) struct Health {
    pub(super) live: Complex,
    pub(super) ready: Complex,
    pub(super) startup: Complex,
    pub(super) ready_members: u32,
}

pub(super) fn health<'a>(
    reader: &mut Reader<'a>,
    group: &'a str,
    table: Option<&'a Table>,
    expressions: Option<&'a Table>,
    checks: &Checks<'a>,
    members: u32,
) -> Health {
    let section = Section::open(table, keys::HEALTH, Of::Health(group), &mut reader.out);
    let expressions = sub_expressions(reader, group, expressions, checks);
    // A check with mistakes has no index; its name is known all the same, so that one mistake is
    // not told twice. Both lists are in name order.
    let mut whole = (0u32..).zip(&checks.plans).peekable();
    let indices: Vec<(&str, u32)> = checks
        .named
        .iter()
        .map(|(name, _)| {
            let index = whole.next_if(|(_, plan)| plan.name.as_str() == *name);
            (*name, index.map_or(u32::MAX, |(index, _)| index))
        })
        .collect();
    let texts: Vec<(&str, &str)> = expressions
        .iter()
        .map(|(name, text, _)| (*name, *text))
        .collect();
    let (names, mistakes) = Names::new(indices, &texts);
    for (name, mistake) in mistakes {
        if let Some((_, _, node)) = expressions.iter().find(|(known, _, _)| *known == name) {
            tell(
                reader,
                node,
                mistake,
                &format!("expression `{name}` of group `{group}`"),
            );
        }
    }
    let mut read = |key: &str| {
        let node = section.node(key)?;
        let text = section.text(key)?;
        let mut mistakes = Vec::new();
        let complex = names.read(text, &mut mistakes);
        for mistake in mistakes {
            tell(
                reader,
                node,
                mistake,
                &format!("`{key}` of group `{group}`"),
            );
        }
        complex
    };
    let live = read("live");
    let ready = read("ready");
    let startup = read("startup");

    let written = live.is_some();
    let live = live.unwrap_or_else(|| all_of_scope_process(checks));
    if written {
        dependencies(reader, &section, group, &live, checks);
    }
    never_fails(reader, &section, group, &live);
    let health = Health {
        ready: ready.unwrap_or_else(|| live.clone()),
        startup: startup.unwrap_or_else(|| live.clone()),
        live,
        ready_members: ready_members(reader, &section, group, members),
    };
    if checks.plans.len() == checks.named.len() {
        unused(reader, group, &health, checks);
    }
    health
}

/// `[group.N.expressions]`: name, text, value.
fn sub_expressions<'a>(
    reader: &mut Reader<'a>,
    group: &str,
    table: Option<&'a Table>,
    checks: &Checks<'a>,
) -> Vec<(&'a str, &'a str, &'a Node)> {
    let mut found = Vec::new();
    for (name, at, node) in table.map_or(&[][..], |table| table.entries.as_slice()) {
        if !reader.good_name("expression", name, *at, crate::id::NAME_MAX) {
            continue;
        }
        if WORDS.contains(&name.as_str()) {
            reader.out.push(
                Diagnostic::error(
                    super::read::NAME,
                    format!("`{name}` cannot be the name of an expression"),
                )
                .at(*at, "a word of expressions"),
            );
        } else if let Some((_, check)) = checks
            .named
            .binary_search_by(|(check, _)| (*check).cmp(name.as_str()))
            .ok()
            .and_then(|index| checks.named.get(index))
        {
            reader.out.push(
                Diagnostic::error(
                    TWICE,
                    format!("`{name}` is a check and an expression of group `{group}`"),
                )
                .at(*at, "the expression")
                .also(*check, "the check"),
            );
        } else {
            match form::text(node) {
                Ok(text) => found.push((name.as_str(), text, node)),
                Err(wrong) => {
                    let mut told =
                        Diagnostic::error(wrong.code, format!("`{name}` {}", wrong.message))
                            .at(node.place, format!("in `expressions` of group `{group}`"));
                    told.help = wrong.help;
                    reader.out.push(told);
                }
            }
        }
    }
    found
}

/// Moves a mistake from the expression's text into the file.
fn tell(reader: &mut Reader<'_>, node: &Node, mistake: Mistake, of: &str) {
    let place = reader.document.within(node, mistake.range.clone());
    let mut told = mistake.at(place);
    told.notes.insert(0, format!("in {of}"));
    reader.out.push(told);
}

fn all_of_scope_process(checks: &Checks<'_>) -> Complex {
    let of_process: Vec<(u32, &str)> = (0u32..)
        .zip(&checks.plans)
        .filter(|(_, plan)| plan.scope == Scope::Process)
        .map(|(index, plan)| (index, plan.name.as_str()))
        .collect();
    let names: Vec<&str> = of_process.iter().map(|(_, name)| *name).collect();
    match of_process.as_slice() {
        [(index, name)] => Complex {
            text: (*name).to_owned(),
            expr: Expr::Leaf(*index),
        },
        _ => Complex {
            text: format!("all({})", names.join(", ")),
            expr: Expr::All(
                of_process
                    .iter()
                    .map(|(index, _)| Expr::Leaf(*index))
                    .collect(),
            ),
        },
    }
}

/// A dependency that restarts members: refused unless somebody said why.
fn dependencies(
    reader: &mut Reader<'_>,
    section: &Section<'_>,
    group: &str,
    live: &Complex,
    checks: &Checks<'_>,
) {
    if let Some(node) = section.node("allow_dependency_in_live") {
        match section.text("allow_dependency_in_live") {
            Some(reason) if reason.trim().is_empty() => reader.out.push(
                Diagnostic::error(
                    form::VALUE,
                    "`allow_dependency_in_live` must be a reason, not an empty text",
                )
                .at(node.place, format!("in `health` of group `{group}`")),
            ),
            _ => return,
        }
    }
    let Some(node) = section.node("live") else {
        return;
    };
    for leaf in live.expr.leaves() {
        let Some(plan) = checks.plans.get(leaf as usize) else {
            continue;
        };
        if plan.scope != Scope::Dependency {
            continue;
        }
        let name = plan.name.as_str();
        let place = match word(&live.text, name) {
            Some(range) => reader.document.within(node, range),
            None => node.place,
        };
        reader.out.push(
            Diagnostic::error(
                DEPENDENCY,
                format!(
                    "`live` of group `{group}` depends on `{name}`, which is no part of a member"
                ),
            )
            .at(place, "of scope `dependency`")
            .note("when it fails, every member would be restarted, and none would be better for it")
            .help(format!(
                "move `{name}` to `ready`, or say why: `allow_dependency_in_live = \"reason\"`"
            )),
        );
    }
}

/// Where `name` stands as a whole word.
fn word(text: &str, name: &str) -> Option<std::ops::Range<usize>> {
    let part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    text.match_indices(name)
        .map(|(at, _)| at..at + name.len())
        .find(|range| {
            let before = text.get(..range.start).and_then(|t| t.chars().next_back());
            let after = text.get(range.end..).and_then(|t| t.chars().next());
            !before.is_some_and(part) && !after.is_some_and(part)
        })
}

/// An expression that cannot fail whatever its checks say restarts nothing: legal, seldom meant.
fn never_fails(reader: &mut Reader<'_>, section: &Section<'_>, group: &str, live: &Complex) {
    /// More leaves than this are not tried.
    const TRIED: usize = 10;
    let Some(node) = section.node("live") else {
        return;
    };
    let leaves = live.expr.leaves();
    if leaves.is_empty() || leaves.len() > TRIED {
        return;
    }
    let says = |bits: u32| {
        live.expr.eval(|leaf| {
            let bit = leaves.iter().position(|&known| known == leaf).unwrap_or(0);
            if bits >> bit & 1 == 1 {
                crate::Status::Pass
            } else {
                crate::Status::Fail
            }
        })
    };
    let all = || (0..1u32 << leaves.len()).map(says);
    let always = if all().all(crate::Status::passes) {
        "pass"
    } else if all().all(|status| !status.passes()) {
        "fail"
    } else {
        if says(0).passes() && !says((1 << leaves.len()) - 1).passes() {
            reader.out.push(
                Diagnostic::warning(
                    SELDOM_MEANT,
                    format!("`live` of group `{group}` fails when all its checks pass"),
                )
                .at(node.place, "passes when all of them fail")
                .note("every member of which nothing is wrong is restarted"),
            );
        }
        return;
    };
    let told = Diagnostic::warning(
        UNREACHABLE,
        format!("`live` of group `{group}` can only {always}, whatever its checks say"),
    )
    .at(node.place, "");
    reader.out.push(match always {
        "pass" => told.note("no member is ever restarted because of it"),
        _ => Diagnostic {
            severity: Severity::Error,
            ..told
        }
        .note("every member would be restarted until it is given up"),
    });
}

fn ready_members(reader: &mut Reader<'_>, section: &Section<'_>, group: &str, members: u32) -> u32 {
    let short = section.count("ready_members", 1);
    let long = section.text("group").and_then(|text| {
        let node = section.node("group")?;
        match of_members(text, members) {
            Some(Ok(need)) => Some((need, node)),
            Some(Err(mistake)) => {
                tell(reader, node, *mistake, &format!("`group` of group `{group}`"));
                None
            }
            None => {
                reader.out.push(
                    Diagnostic::error(LATER, "this form of `group` is not supported yet")
                        .at(node.place, format!("in `health` of group `{group}`"))
                        .note("supported: `at_least(N, ready)`, `all(ready)`, `any(ready)`, `majority(ready)`"),
                );
                None
            }
        }
    });
    if let (Some(_), Some((_, node)), Some(other)) = (short, long, section.place("ready_members")) {
        reader.out.push(
            Diagnostic::error(
                TWICE,
                format!("`group` and `ready_members` of group `{group}` say the same thing"),
            )
            .at(node.place, "the long form")
            .also(other, "the short form")
            .help("take one of them out"),
        );
    }
    let need = short.or(long.map(|(need, _)| need)).unwrap_or(members);
    if need > members {
        let place = section
            .place("ready_members")
            .or(long.map(|(_, node)| node.place));
        let told = Diagnostic::error(UNREACHABLE, format!("group `{group}` can never be ready"))
            .note(format!(
                "{need} members must be ready, and it has {members}"
            ));
        reader.out.push(match place {
            Some(place) => told.at(place, format!("must be at most {members}")),
            None => told,
        });
    }
    need
}

/// `at_least(2, ready)` and its like: how many members it asks for. `None`: not one of these forms.
fn of_members(text: &str, members: u32) -> Option<Result<u32, Box<Mistake>>> {
    let complex = match Complex::parse(text, &["ready", "live"]) {
        Ok(complex) => complex,
        // `at_least(2, ready)` alone asks for two of one name; the members are many.
        Err(mistakes) => {
            let mistake = mistakes.into_iter().next()?;
            let need: u32 = text.get(mistake.range.clone())?.parse().ok()?;
            let alone = text.replace(' ', "") == format!("at_least({need},ready)");
            return Some(if alone {
                Ok(need)
            } else {
                Err(Box::new(mistake))
            });
        }
    };
    let ready = |parts: &[Expr]| parts == [Expr::Leaf(0)];
    let need = if let Expr::All(parts) = &complex.expr {
        ready(parts).then_some(members)
    } else if let Expr::Any(parts) = &complex.expr {
        ready(parts).then_some(1)
    } else if let Expr::AtLeast(need, parts) = &complex.expr {
        let majority = text.trim_start().starts_with("majority");
        ready(parts).then_some(if majority { members / 2 + 1 } else { *need })
    } else {
        None
    };
    need.map(Ok)
}

/// A check that no expression reads is run and shown, and decides nothing.
fn unused(reader: &mut Reader<'_>, group: &str, health: &Health, checks: &Checks<'_>) {
    let mut used: Vec<u32> = [&health.live, &health.ready, &health.startup]
        .into_iter()
        .flat_map(|complex| complex.expr.leaves())
        .collect();
    used.sort_unstable();
    used.dedup();
    for (index, plan) in (0u32..).zip(&checks.plans) {
        if used.binary_search(&index).is_err() {
            reader.out.push(
                Diagnostic::warning(
                    UNUSED,
                    format!("check `{}` of group `{group}` decides nothing", plan.name),
                )
                .at(plan.place, "in no expression")
                .note("it is run and shown; neither `live` nor `ready` nor `startup` reads it"),
            );
        }
    }
}
