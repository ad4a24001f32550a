//! `[group.N]`: members, launch, and the order in which groups are started.

use std::collections::BTreeMap;

use super::form;
use super::keys;
use super::placeholder::Placeholder;
use super::read::Reader;
use super::schema::sounds_secret;
use super::section::{MISSING, Of, Section};
use super::{Node, Table, Value, check, defaults, health, policy, resources};
use crate::diagnostic::{Diagnostic, Place, nearest};
use crate::plan::{GroupPlan, Launch, MemberPlan, Mode, Text};
use crate::{GroupName, MemberName};

const UNKNOWN_GROUP: &str = "C0111";
const CIRCLE: &str = "C0112";
const PORTS: &str = "C0116";
const EMPTY: &str = "C0123";
const SECRET: &str = "C0120";
/// A configuration, or a group, in which nothing is checked.
pub(super) const NOTHING: &str = "C0126";

/// `NAME-INDEX` must be a name too.
const LONGEST_NAME: usize = crate::id::NAME_MAX - 6;
/// One loop serves so many members.
const MOST_MEMBERS: u32 = 100_000;

/// A group with what is still open: the names that it depends on.
struct Open<'a> {
    plan: GroupPlan,
    depends_on: Vec<(&'a str, &'a Node)>,
}

pub(super) fn groups<'a>(
    reader: &mut Reader<'a>,
    table: Option<&'a Table>,
    defaults: Section<'a>,
) -> Vec<GroupPlan> {
    let mut named = reader.named(table, "group", LONGEST_NAME);
    named.sort_by_key(|(name, _, _)| *name);
    let longest = |open: &Open<'_>| open.plan.checks.iter().map(|check| check.interval).max();
    let mut open: Vec<Open<'a>> = named
        .iter()
        .filter_map(|(name, at, table)| group(reader, name, *at, table, defaults))
        .collect();
    // `settle` is about the whole daemon: the longest interval of any group.
    let longest = open
        .iter()
        .filter_map(longest)
        .max()
        .unwrap_or(defaults::INTERVAL);
    for one in &mut open {
        if one.plan.policy.settle == policy::SETTLE_BY_DEFAULT {
            one.plan.policy.settle = defaults::settle(longest);
        }
    }
    let written: Vec<&str> = named.iter().map(|(name, _, _)| *name).collect();
    order(reader, &written, &mut open);
    open.into_iter().map(|one| one.plan).collect()
}

fn group<'a>(
    reader: &mut Reader<'a>,
    name: &'a str,
    at: Place,
    table: &'a Table,
    defaults: Section<'a>,
) -> Option<Open<'a>> {
    let section = Section::open(Some(table), keys::GROUP, Of::Group(name), &mut reader.out);
    let processes = section.count("processes", 1).unwrap_or(defaults::PROCESSES);
    if processes > MOST_MEMBERS {
        let place = section.place("processes").unwrap_or(at);
        reader.out.push(
            Diagnostic::error(
                form::VALUE,
                format!("`processes` is too large: `{processes}`"),
            )
            .at(place, format!("in group `{name}`"))
            .note(format!("a group may have {MOST_MEMBERS} members")),
        );
        return None;
    }
    let base = ports(reader, &section, name, processes);
    let members = (0..processes)
        .filter_map(|index| {
            Some(MemberPlan {
                name: MemberName::new(&format!("{name}-{index}"))?,
                index,
                port: base.and_then(|base| base.checked_add(u16::try_from(index).ok()?)),
            })
        })
        .collect();
    // Ports with a mistake were told; `{port}` is not at fault.
    let has_ports = section.node("ports").is_some();
    let launch = launch(reader, &section, name, at, has_ports);
    let policy_section = Section::open(
        section.table_of("policy"),
        keys::POLICY,
        Of::Policy(name),
        &mut reader.out,
    );
    let checks = check::checks(
        reader,
        name,
        section.table_of("checks"),
        policy_section,
        defaults,
        has_ports,
    );
    let checks_written = section.node("checks").is_some_and(
        |node| !matches!(&node.value, Value::Table(table) if table.entries.is_empty()),
    );
    if !checks_written {
        reader.out.push(
            Diagnostic::warning(NOTHING, format!("group `{name}` has no checks"))
                .at(at, "nothing is checked")
                .note("a member that ends is started again; one that hangs is never seen")
                .help(format!(
                    "add `[group.{name}.checks.NAME]`; `checkd kinds` lists what can be checked"
                )),
        );
    }
    let health = health::health(
        reader,
        name,
        section.table_of("health"),
        section.table_of("expressions"),
        &checks,
        processes,
    );
    let policy = policy::policy(
        reader,
        at,
        policy_section,
        defaults,
        &section,
        processes,
        launch.stop_timeout,
        &checks,
    );
    let plan = GroupPlan {
        name: GroupName::new(name)?,
        mode: match section.choice("mode") {
            Some("observe") => Mode::Observe,
            _ => Mode::Auto,
        },
        members,
        checks: checks.plans,
        live: health.live,
        ready: health.ready,
        startup: health.startup,
        ready_members: health.ready_members,
        policy,
        launch,
        depends_on: Vec::new(),
    };
    Some(Open {
        plan,
        depends_on: section.texts("depends_on").unwrap_or_default(),
    })
}

/// The port of the first member, when the ports of all members are ports.
fn ports<'a>(
    reader: &mut Reader<'a>,
    group: &Section<'a>,
    name: &'a str,
    processes: u32,
) -> Option<u16> {
    let table = group.table_of("ports")?;
    let section = Section::open(Some(table), keys::PORTS, Of::Ports(name), &mut reader.out);
    let place = group.place("ports")?;
    let Some(base) = section.count("base", 1) else {
        if section.node("base").is_none() && section.node("pattern").is_none() {
            reader.out.push(
                Diagnostic::error(MISSING, format!("`ports` of group `{name}` needs a `base`"))
                    .at(place, "the port of the first member"),
            );
        }
        return None;
    };
    let last = u64::from(base) + u64::from(processes) - 1;
    if last > u64::from(u16::MAX) {
        reader.out.push(
            Diagnostic::error(
                PORTS,
                format!("the ports of group `{name}` go beyond 65535"),
            )
            .at(section.place("base").unwrap_or(place), "")
            .note(format!(
                "{processes} member{} from port {base} on, the last at port {last}",
                if processes == 1 { "" } else { "s" }
            )),
        );
        return None;
    }
    u16::try_from(base).ok()
}

fn launch<'a>(
    reader: &mut Reader<'a>,
    section: &Section<'a>,
    name: &'a str,
    at: Place,
    ports: bool,
) -> Launch {
    let of = || format!("group `{name}`");
    let allowed = [
        (
            Placeholder::Pid,
            Some("there is no process before the start"),
        ),
        (
            Placeholder::Port,
            (!ports).then_some("the group has no `ports`"),
        ),
    ];
    for key in ["command", "directory", "env_file"] {
        if let Some(node) = section.node(key) {
            reader.placeholders(node, &allowed, &of);
        }
    }
    let command = section.words("command");
    match section.node("command") {
        None => reader.out.push(
            Diagnostic::error(MISSING, format!("group `{name}` has no `command`"))
                .at(at, "nothing to start")
                .help("add `command = [\"PROGRAM\", \"ARGUMENT\"]`"),
        ),
        Some(node) => {
            let nothing = matches!(&node.value, Value::List(items) if items.is_empty());
            if nothing || command.first().is_some_and(String::is_empty) {
                reader.out.push(
                    Diagnostic::error(EMPTY, format!("the `command` of group `{name}` is empty"))
                        .at(node.place, "no program to start"),
                );
            }
        }
    }
    let environment = environment(reader, section, name, &allowed);
    let (output, output_file) = resources::output(reader, section, name, &allowed);
    let limits = resources::limits(reader, section, Of::Limits(name), |limit| {
        Of::Limit(name, limit)
    });
    let text = |key| section.text(key).map(str::to_owned);
    Launch {
        directory: text("directory"),
        user: text("user"),
        environment,
        env_file: section.words("env_file"),
        umask: section.mask("umask"),
        limits,
        output,
        output_file,
        stop_signal: section
            .choice("stop_signal")
            .unwrap_or(defaults::STOP_SIGNAL)
            .to_owned(),
        stop_timeout: section
            .span("stop_timeout")
            .unwrap_or(defaults::STOP_TIMEOUT),
        ..Launch::of_defaults(command)
    }
}

fn environment<'a>(
    reader: &mut Reader<'a>,
    section: &Section<'a>,
    group: &'a str,
    allowed: &[(Placeholder, Option<&str>)],
) -> BTreeMap<String, Text> {
    let of = || format!("`environment` of group `{group}`");
    let mut variables = BTreeMap::new();
    let entries = section
        .table_of("environment")
        .map_or(&[][..], |t| t.entries.as_slice());
    for (name, at, node) in entries {
        if name.is_empty() || name.contains(['=', '\0']) {
            reader.out.push(
                Diagnostic::error(
                    super::read::NAME,
                    format!("`{}` cannot be the name of a variable", name.escape_debug()),
                )
                .at(*at, format!("in {}", of())),
            );
            continue;
        }
        reader.placeholders(node, allowed, &of);
        let value = match &node.value {
            Value::Text(text) => {
                if sounds_secret(name) && !text.is_empty() {
                    reader.out.push(
                        Diagnostic::warning(
                            SECRET,
                            format!("`{name}` looks like a secret in plain text"),
                        )
                        .at(node.place, format!("in {}", of()))
                        .hide()
                        .help(format!("write `{name} = {{ file = \"/path\" }}`")),
                    );
                }
                Some(Text::Plain(text.clone()))
            }
            Value::Table(table) => source(table),
            Value::Integer(_) | Value::Float(_) | Value::Bool(_) | Value::List(_) => None,
        };
        let Some(value) = value else {
            let told = Diagnostic::error(
                form::TYPE,
                format!(
                    "variable `{name}` must be a text, not {}",
                    form::shown(node)
                ),
            )
            .at(node.place, format!("in {}", of()));
            reader.out.push(match form::text(node) {
                Err(wrong) if wrong.help.is_some() => Diagnostic {
                    help: wrong.help,
                    ..told
                },
                _ => told.note("a secret is `{ file = \"/path\" }` or `{ env = \"NAME\" }`"),
            });
            continue;
        };
        variables.insert(name.clone(), value);
    }
    variables
}

/// `{ file = … }` or `{ env = … }`.
fn source(table: &Table) -> Option<Text> {
    let [(key, _, node)] = table.entries.as_slice() else {
        return None;
    };
    let text = form::text(node).ok()?.to_owned();
    match key.as_str() {
        "file" => Some(Text::File(text)),
        "env" => Some(Text::Env(text)),
        _ => None,
    }
}

/// Names in `depends_on` to indices, and no circle among them.
fn order<'a>(reader: &mut Reader<'a>, names: &[&'a str], open: &mut [Open<'a>]) {
    let indices: BTreeMap<String, u32> = (0u32..)
        .zip(open.iter())
        .map(|(index, one)| (one.plan.name.as_str().to_owned(), index))
        .collect();
    for one in open.iter_mut() {
        let group = one.plan.name.clone();
        let mut needs = Vec::new();
        for (name, node) in &one.depends_on {
            if let Some(&index) = indices.get(*name) {
                needs.push(index);
            } else if !names.contains(name) {
                let told = Diagnostic::error(UNKNOWN_GROUP, format!("there is no group `{name}`"))
                    .at(node.place, format!("in `depends_on` of group `{group}`"));
                reader.out.push(match nearest(name, names.iter().copied()) {
                    Some(near) => told.help(format!("did you mean `{near}`?")),
                    None => told.note(match names.get(..12) {
                        Some(some) if names.len() > 12 => {
                            format!("groups: {}, … ({} names)", some.join(", "), names.len())
                        }
                        _ => format!("groups: {}", names.join(", ")),
                    }),
                });
            }
        }
        needs.sort_unstable();
        needs.dedup();
        one.plan.depends_on = needs;
    }
    if let Some(circle) = circle(open) {
        let name = |index: &usize| open.get(*index).map_or("?", |one| one.plan.name.as_str());
        let told: Vec<&str> = circle.iter().chain(circle.first()).map(name).collect();
        let first = circle.first().and_then(|&index| open.get(index));
        let next = told.get(1).copied().unwrap_or("?");
        let place = first
            .and_then(|one| one.depends_on.iter().find(|(need, _)| *need == next))
            .map(|(_, node)| node.place);
        let mut diagnostic = Diagnostic::error(
            CIRCLE,
            format!(
                "group `{}` waits for itself",
                told.first().copied().unwrap_or("?")
            ),
        )
        .note(format!("the circle: {}", told.join(" -> ")))
        .note("none of them could ever be started");
        if let Some(place) = place {
            diagnostic = diagnostic.at(place, "part of a circle");
        }
        reader.out.push(diagnostic);
    }
}

/// One circle among the groups, if there is any.
fn circle(open: &[Open<'_>]) -> Option<Vec<usize>> {
    let mut done = vec![false; open.len()];
    for root in 0..open.len() {
        let mut path: Vec<(usize, usize)> = vec![(root, 0)];
        while let Some((at, next)) = path.last_mut() {
            let needs = open
                .get(*at)
                .map_or(&[][..], |one| one.plan.depends_on.as_slice());
            let Some(&need) = needs.get(*next) else {
                if let Some(done) = done.get_mut(*at) {
                    *done = true;
                }
                path.pop();
                continue;
            };
            *next += 1;
            let need = need as usize;
            if let Some(from) = path.iter().position(|(index, _)| *index == need) {
                return Some(path.iter().skip(from).map(|(index, _)| *index).collect());
            }
            if done.get(need) == Some(&false) {
                path.push((need, 0));
            }
        }
    }
    None
}
