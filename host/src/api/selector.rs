//! `group`, `group/member`, `group/member:check`, with `*`: which members a person means.

use std::collections::BTreeSet;

use checkd_core::MemberId;
use checkd_core::diagnostic::nearest;
use checkd_core::plan::Plan;

/// What a selector names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selected {
    /// The members, in the plan's order; never empty.
    pub members: Vec<MemberId>,
    /// The one check, when one was named.
    pub check: Option<String>,
}

/// Why a selector names nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unknown {
    /// What is wrong.
    pub message: String,
    /// What there is.
    pub note: String,
    /// What was probably meant.
    pub help: Option<String>,
}

/// Finds the members that `text` names. An empty text names all.
///
/// # Errors
/// It names nothing; with what there is, and what was probably meant.
pub fn select(plan: &Plan, text: &str) -> Result<Selected, Unknown> {
    let text = text.trim();
    let (path, check) = match text.split_once(':') {
        Some((path, check)) => (path, Some(check)),
        None => (text, None),
    };
    let (group_text, member_text) = match path.split_once('/') {
        Some((group, member)) => (group, Some(member)),
        None => (path, None),
    };
    let group_text = if text.is_empty() { "*" } else { group_text };
    let groups: Vec<usize> = (0..plan.groups.len())
        .filter(|&i| {
            plan.groups
                .get(i)
                .is_some_and(|g| fits(group_text, g.name.as_str()))
        })
        .collect();
    if groups.is_empty() {
        return Err(no_group(plan, text, group_text));
    }
    let of_groups = |id: &MemberId| groups.contains(&(id.group as usize));
    let wanted = member_text.unwrap_or("*");
    let members: Vec<MemberId> = plan
        .members()
        .filter(of_groups)
        .filter(|&id| {
            plan.member(id)
                .is_some_and(|m| fits(wanted, m.name.as_str()))
        })
        .collect();
    if members.is_empty() {
        let names: Vec<&str> = plan
            .members()
            .filter(of_groups)
            .filter_map(|id| Some(plan.member(id)?.name.as_str()))
            .collect();
        return Err(Unknown {
            message: format!("no member `{wanted}` in group `{group_text}`"),
            note: format!("members: {}", listed(&names)),
            help: nearest(wanted, names.iter().copied())
                .map(|name| format!("did you mean `{group_text}/{name}`?")),
        });
    }
    let Some(check) = check else {
        return Ok(Selected {
            members,
            check: None,
        });
    };
    let names: Vec<&str> = groups
        .iter()
        .filter_map(|&i| plan.groups.get(i))
        .flat_map(|g| g.checks.iter().map(|c| c.name.as_str()))
        .collect();
    if check == "*" {
        return Ok(Selected {
            members,
            check: None,
        });
    }
    if !names.contains(&check) {
        return Err(Unknown {
            message: format!("no check `{check}` in group `{group_text}`"),
            note: format!("checks: {}", listed(&names)),
            help: nearest(check, names.iter().copied())
                .map(|name| format!("did you mean `{path}:{name}`?")),
        });
    }
    Ok(Selected {
        members,
        check: Some(check.to_owned()),
    })
}

/// Finds the members that any of several selectors names, which stand with commas between them: each
/// member once, in the plan's order.
///
/// # Errors
/// One of them names nothing.
pub fn select_each(plan: &Plan, texts: &str) -> Result<Selected, Unknown> {
    let mut named = BTreeSet::new();
    for text in texts.split(',') {
        named.extend(select(plan, text)?.members);
    }
    Ok(Selected {
        members: named.into_iter().collect(),
        check: None,
    })
}

/// Finds what `text` names among members that are known by their paths, when there is no plan.
///
/// # Errors
/// It names nothing; with what there is, and what was probably meant.
pub fn among(paths: &[String], text: &str) -> Result<(Vec<String>, Option<String>), Unknown> {
    let text = text.trim();
    let (path, check) = match text.split_once(':') {
        Some((path, check)) => (path, Some(check.to_owned())),
        None => (text, None),
    };
    let (group, member) = path.split_once('/').unwrap_or((path, "*"));
    let group = if text.is_empty() { "*" } else { group };
    let named: Vec<String> = paths
        .iter()
        .filter(|known| {
            known
                .split_once('/')
                .is_some_and(|(g, m)| fits(group, g) && fits(member, m))
        })
        .cloned()
        .collect();
    if !named.is_empty() {
        return Ok((named, check.filter(|check| check != "*")));
    }
    let known: Vec<&str> = paths.iter().map(String::as_str).collect();
    let groups = known
        .iter()
        .filter_map(|known| Some(known.split_once('/')?.0));
    let meant = nearest(path, known.iter().copied().chain(groups));
    Err(Unknown {
        message: format!("the journal knows no member `{path}`"),
        note: if known.is_empty() {
            "it knows no member at all".to_owned()
        } else {
            format!("members: {}", listed(&known))
        },
        help: meant.map(|name| format!("did you mean `{name}`?")),
    })
}

fn no_group(plan: &Plan, text: &str, group_text: &str) -> Unknown {
    let names: Vec<&str> = plan.groups.iter().map(|g| g.name.as_str()).collect();
    // A member's own name is the likeliest slip: `web-3` for `web/web-3`.
    let member = plan
        .members()
        .find(|&id| plan.member(id).is_some_and(|m| m.name.as_str() == text));
    let help = match member {
        Some(id) => Some(format!(
            "a member is `GROUP/MEMBER`: did you mean `{}`?",
            plan.path(id)
        )),
        None => {
            nearest(group_text, names.iter().copied()).map(|name| format!("did you mean `{name}`?"))
        }
    };
    let note = if names.is_empty() {
        "the daemon's configuration has no group".to_owned()
    } else {
        format!("groups: {}", listed(&names))
    };
    Unknown {
        message: format!("no group `{group_text}`"),
        note,
        help,
    }
}

/// `a, b, c`, at most a dozen.
fn listed(names: &[&str]) -> String {
    const SHOWN: usize = 12;
    let shown: Vec<&str> = names.iter().take(SHOWN).copied().collect();
    let more = names.len().saturating_sub(SHOWN);
    let tail = if more > 0 {
        format!(" and {more} more")
    } else {
        String::new()
    };
    format!("{}{tail}", shown.join(", "))
}

/// Whether `name` is what `pattern` describes; `*` stands for any text.
fn fits(pattern: &str, name: &str) -> bool {
    let Some((before, after)) = pattern.split_once('*') else {
        return pattern == name;
    };
    let Some(mut rest) = name.strip_prefix(before) else {
        return false;
    };
    let mut pieces: Vec<&str> = after.split('*').collect();
    let last = pieces.pop().unwrap_or("");
    for piece in pieces {
        match rest.split_once(piece) {
            Some((_, behind)) => rest = behind,
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::{fits, select};
    use crate::manager::tests::plan;

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, name, is) in [
            ("*", "web", true),
            ("web", "web", true),
            ("web", "web-1", false),
            ("web-*", "web-1", true),
            ("*-1", "web-1", true),
            ("w*b*1", "web-1", true),
            ("w*x*1", "web-1", false),
            ("web-1*1", "web-1", false),
            ("*b-*", "web-1", true),
        ] {
            assert_eq!(fits(pattern, name), is, "{pattern} {name}");
        }
    }

    #[test]
    fn a_selector_names_members_or_says_what_was_meant() {
        let plan = plan(&["true"], 3);
        for (text, members) in [
            ("", 3),
            ("web", 3),
            ("web/web-1", 1),
            ("web/*", 3),
            ("*/web-2", 1),
            ("w*", 3),
        ] {
            assert_eq!(
                select(&plan, text).unwrap().members.len(),
                members,
                "{text}"
            );
        }
        for (text, message, help) in [
            ("wbe", "no group `wbe`", Some("did you mean `web`?")),
            (
                "web-1",
                "no group `web-1`",
                Some("a member is `GROUP/MEMBER`: did you mean `web/web-1`?"),
            ),
            (
                "web/web1",
                "no member `web1` in group `web`",
                Some("did you mean `web/web-1`?"),
            ),
            (
                "web/web-9",
                "no member `web-9` in group `web`",
                Some("did you mean `web/web-0`?"),
            ),
            ("web/zzzzzz", "no member `zzzzzz` in group `web`", None),
            ("web:ping", "no check `ping` in group `web`", None),
        ] {
            let unknown = select(&plan, text).unwrap_err();
            assert_eq!(unknown.message, message);
            assert_eq!(unknown.help.as_deref(), help, "{text}");
        }
    }
}
