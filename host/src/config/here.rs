//! What the configuration asks of this machine and it does not have: programs, users, directories,
//! limits.
//!
//! Lints, because a configuration may be judged elsewhere than where it runs, and what is missing
//! now may be there later.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use checkd_core::config::placeholder::{self, Placeholder};
use checkd_core::config::{Document, Node, Value};
use checkd_core::diagnostic::{Diagnostic, Place};
use checkd_core::plan::{GroupPlan, MemberPlan, Plan, Text};

use crate::daemon::zone;
use crate::keeper::limits;
use crate::manager::has_user;

const MISSING: &str = "C0127";

/// Tells what the members of each group will miss when they are started here.
pub(super) fn judge(plan: &Plan, document: &Document, out: &mut Vec<Diagnostic>) {
    judge_windows(plan, document, out);
    for group in &plan.groups {
        let name = group.name.as_str();
        let mut tell = |key: &str, missing: Option<(String, &MemberPlan)>| {
            let Some((message, member)) = missing else {
                return;
            };
            let Some(place) = place_of(document, name, key) else {
                return;
            };
            let words = if group.members.len() > 1 {
                format!("`{}` could not be started here", member.name)
            } else {
                format!("group `{name}` could not be started here")
            };
            out.push(Diagnostic::warning(MISSING, message).at(place, words));
        };
        let launch = &group.launch;
        let first = |text: &str, why: &dyn Fn(&str, &MemberPlan) -> Option<String>| {
            first_missing(group, text, why)
        };
        if let Some(user) = &launch.user {
            let missing = first(user, &|user, _| has_user(user).err());
            tell("user", missing);
        }
        let mut directory_is_there = true;
        if let Some(directory) = &launch.directory {
            let missing = first(directory, &|path, _| no_directory(path));
            directory_is_there = missing.is_none();
            tell("directory", missing);
        }
        if let Some(program) = launch.command.first()
            && directory_is_there
        {
            let missing = first(program, &|program, member| {
                no_program(program, group, member)
            });
            tell("command", missing);
        }
        for (&of, &to) in &launch.limits {
            let tables = document.root.table("group").and_then(|all| all.table(name));
            let node = tables.and_then(|group| group.table("limits")?.get(of.as_str()));
            if let (Err(why), Some(node)) = (limits::sets(&[(of, to)]), node) {
                let told = Diagnostic::warning(MISSING, why);
                out.push(told.at(
                    node.place,
                    format!("group `{name}` could not be started here"),
                ));
            }
        }
    }
}

/// A window in a time zone that is not known here would never open.
fn judge_windows(plan: &Plan, document: &Document, out: &mut Vec<Diagnostic>) {
    for window in &plan.maintenance {
        let table = document.root.table("maintenance");
        let node = table.and_then(|all| all.table(&window.name)?.get("timezone"));
        if let (Err(why), Some(node)) = (zone(window), node) {
            let words = format!("maintenance `{}` would never begin here", window.name);
            out.push(Diagnostic::warning(MISSING, why).at(node.place, words));
        }
    }
}

/// Where the value stands; of a list, its first item.
fn place_of(document: &Document, group: &str, key: &str) -> Option<Place> {
    let node: &Node = document.root.table("group")?.table(group)?.get(key)?;
    Some(match &node.value {
        Value::List(items) => items.first().map_or(node.place, |item| item.place),
        Value::Text(_) | Value::Integer(_) | Value::Float(_) | Value::Bool(_) | Value::Table(_) => {
            node.place
        }
    })
}

/// Asks `why` about the text of every member, each text once, and stops at the first reason.
fn first_missing<'p>(
    group: &'p GroupPlan,
    text: &str,
    why: &dyn Fn(&str, &MemberPlan) -> Option<String>,
) -> Option<(String, &'p MemberPlan)> {
    let mut asked = BTreeSet::new();
    for member in &group.members {
        // A placeholder with a mistake was told.
        let filled = fill(text, group, member)?;
        let reason = why(&filled, member);
        if let Some(reason) = reason {
            return Some((reason, member));
        }
        if !asked.insert(filled) || !text.contains('{') {
            return None;
        }
    }
    None
}

fn fill(text: &str, group: &GroupPlan, member: &MemberPlan) -> Option<String> {
    placeholder::fill(text, |asked| match asked {
        Placeholder::Group => Some(group.name.to_string()),
        Placeholder::Member => Some(member.name.to_string()),
        Placeholder::Index => Some(member.index.to_string()),
        Placeholder::Port => member.port.map(|port| port.to_string()),
        Placeholder::Pid => None,
    })
    .ok()
}

fn no_directory(path: &str) -> Option<String> {
    match std::fs::metadata(path) {
        Ok(facts) if facts.is_dir() => None,
        Ok(_) => Some(format!("`directory` is `{path}`, which is a file")),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Some(format!("`directory` is `{path}`, which does not exist"))
        }
        // Whoever runs checkd may look where we may not.
        Err(_) => None,
    }
}

/// Looks for the program as a start does: in the directory when its name has a slash, else in PATH.
fn no_program(program: &str, group: &GroupPlan, member: &MemberPlan) -> Option<String> {
    if program.is_empty() {
        return None;
    }
    if program.contains('/') {
        let directory = group.launch.directory.as_deref().unwrap_or("");
        let path = Path::new(&fill(directory, group, member)?).join(program);
        return match std::fs::metadata(&path) {
            Ok(facts) => not_executable(Path::new(program), &facts),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Some(format!("program `{program}` does not exist"))
            }
            Err(_) => None,
        };
    }
    let launch = &group.launch;
    let path: OsString = match launch.environment.get("PATH") {
        Some(Text::Plain(path)) => fill(path, group, member)?.into(),
        // Not known before the start.
        Some(Text::File(_) | Text::Env(_)) => return None,
        None if !launch.env_file.is_empty() => return None,
        None => std::env::var_os("PATH").unwrap_or_else(|| "/bin:/usr/bin".into()),
    };
    let mut unusable = None;
    for file in std::env::split_paths(&path).map(|directory| directory.join(program)) {
        match std::fs::metadata(&file) {
            Ok(facts) => match not_executable(&file, &facts) {
                None => return None,
                why => unusable = unusable.or(why),
            },
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => return None,
            Err(_) => {}
        }
    }
    unusable.or_else(|| Some(format!("program `{program}` is in no directory of PATH")))
}

fn not_executable(path: &Path, facts: &std::fs::Metadata) -> Option<String> {
    if facts.is_dir() {
        return Some(format!(
            "`{}` is a directory, not a program",
            path.display()
        ));
    }
    (facts.permissions().mode() & 0o111 == 0)
        .then(|| format!("`{}` is not executable", path.display()))
}
