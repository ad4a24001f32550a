//! One message: what programs read (the JSON document) and what a person reads (subject and text).

use std::collections::BTreeMap;

use checkd_core::news::{Role, Urgency};
use serde::{Deserialize, Serialize};

use super::book::Batch;
use super::news::{News, cut};
use crate::wall;

/// So much news is named in one message; of the rest there is the count.
const ITEMS_MAX: usize = 100;
/// So many members are named in one line.
const NAMES_MAX: usize = 3;
/// The longest subject, in bytes.
const SUBJECT_MAX: usize = 160;
/// So much news of one kind is shown line by line to a person.
const LINES_MAX: usize = 10;

/// The JSON document that webhooks and commands get. Fields are added and never changed; `version`
/// would say if they were. Each is explained in `docs/notifications.md`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Document {
    pub(crate) version: u32,
    pub(crate) id: String,
    pub(crate) sink: String,
    pub(crate) host: String,
    pub(crate) sent_at: String,
    pub(crate) urgency: Urgency,
    pub(crate) subject: String,
    pub(crate) text: String,
    pub(crate) test: bool,
    pub(crate) count: u64,
    pub(crate) dropped: u64,
    pub(crate) groups: Vec<Count>,
    pub(crate) items: Vec<Item>,
}

/// How much of what happened in a group.
#[expect(clippy::struct_field_names, reason = "the words of the document")]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Count {
    pub(crate) group: Option<String>,
    pub(crate) event: String,
    pub(crate) count: u64,
}

/// One piece of news.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Item {
    pub(crate) event: String,
    pub(crate) role: Role,
    pub(crate) urgency: Urgency,
    pub(crate) headline: String,
    pub(crate) at: String,
    pub(crate) group: Option<String>,
    pub(crate) member: Option<String>,
    #[serde(default)]
    pub(crate) plugin: Option<String>,
    pub(crate) about: String,
    pub(crate) incident: Option<u64>,
    pub(crate) text: String,
    pub(crate) explain: Option<String>,
    pub(crate) commands: Vec<String>,
}

/// What `checkd explain` says about some of whom the news is about, by their path.
pub(crate) type Explained = BTreeMap<String, String>;

/// The name of this machine.
pub(crate) fn host() -> String {
    rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned()
}

impl Document {
    /// The message about a batch.
    pub(crate) fn of(batch: &Batch, host: &str, explained: &Explained, now_ms: i64) -> Self {
        let news: Vec<&News> = batch.rows.iter().map(|row| &row.news).collect();
        let first = batch.rows.first().map_or(0, |row| row.id);
        let last = batch.rows.last().map_or(0, |row| row.id);
        let at_ms = news.first().map_or(now_ms, |news| news.at_ms);
        let kinds = kinds(&news);
        let items = news
            .iter()
            .take(ITEMS_MAX)
            .map(|news| item(news, explained));
        Self {
            version: 1,
            id: format!("{host}-{}-{first}-{last}-{at_ms}", batch.sink.name),
            sink: batch.sink.name.clone(),
            host: host.to_owned(),
            sent_at: wall::rfc3339(now_ms),
            urgency: news
                .iter()
                .map(|news| news.urgency)
                .max()
                .unwrap_or(Urgency::Info),
            subject: subject(host, &kinds),
            text: text(host, &kinds, batch.dropped, explained),
            test: false,
            count: news.len() as u64,
            dropped: batch.dropped,
            groups: kinds.iter().map(Kind::count).collect(),
            items: items.collect(),
        }
    }

    /// The message of `checkd notify test`.
    pub(crate) fn test(sink: &str, host: &str, now_ms: i64) -> Self {
        let sent_at = wall::rfc3339(now_ms);
        Self {
            version: 1,
            id: format!("{host}-{sink}-test-{now_ms}"),
            sink: sink.to_owned(),
            host: host.to_owned(),
            sent_at,
            urgency: Urgency::Info,
            subject: format!("[checkd] {host}: a test of `{sink}`"),
            text: format!(
                "checkd on {host} was asked to try out `[notify.{sink}]`.\n\
                 Nothing is wrong: `checkd notify test` was typed at {}.\n",
                wall::date_and_time(now_ms)
            ),
            test: true,
            count: 0,
            dropped: 0,
            groups: Vec::new(),
            items: Vec::new(),
        }
    }
}

/// All news of one kind about one group, oldest first.
struct Kind<'a> {
    group: Option<&'a str>,
    headline: &'a str,
    news: Vec<&'a News>,
}

impl Kind<'_> {
    fn count(&self) -> Count {
        Count {
            group: self.group.map(str::to_owned),
            event: self.news.first().map_or(String::new(), |n| n.event.clone()),
            count: self.news.len() as u64,
        }
    }

    /// `web/web-3 given up`, `3 of web given up`.
    fn headline(&self) -> String {
        match (self.news.as_slice(), self.group) {
            ([only], _) => only.title(),
            (many, Some(group)) => {
                let whom: std::collections::BTreeSet<String> =
                    many.iter().map(|news| news.about()).collect();
                match whom.first().filter(|_| whom.len() == 1) {
                    Some(only) => format!("{only} {}, {} times", self.headline, many.len()),
                    None => format!("{} of {group} {}", whom.len(), self.headline),
                }
            }
            (many, None) => {
                let about = many.first().map(|news| news.about()).unwrap_or_default();
                if many.iter().all(|news| news.about() == about) {
                    let title = many.first().map_or_else(String::new, |news| news.title());
                    return format!("{title}, {} times", many.len());
                }
                format!("{} plugins {}", many.len(), self.headline)
            }
        }
    }

    /// What to type: about the first of many, or about all of them at once.
    fn commands(&self) -> Vec<String> {
        let Some(first) = self.news.first() else {
            return Vec::new();
        };
        let all = commands(first).into_iter();
        match (&first.group, self.news.len()) {
            (Some(group), 2..) => all
                .map(|command| match command.strip_prefix("checkd reset ") {
                    Some(_) => format!("checkd reset {group}"),
                    None => command,
                })
                .collect(),
            _ => all.collect(),
        }
    }

    /// ` (web-0, web-1, web-2, …)`, when there are several.
    fn names(&self) -> String {
        let mut names: Vec<&str> = Vec::new();
        for news in &self.news {
            if let Some(member) = news.member.as_deref()
                && !names.contains(&member)
            {
                names.push(member);
            }
            if names.len() > NAMES_MAX {
                break;
            }
        }
        if self.news.len() < 2 || names.is_empty() {
            return String::new();
        }
        let more = if names.len() > NAMES_MAX { ", …" } else { "" };
        names.truncate(NAMES_MAX);
        format!(" ({}{more})", names.join(", "))
    }
}

/// The news by what it is and by group: what needs a person first.
fn kinds<'a>(news: &[&'a News]) -> Vec<Kind<'a>> {
    let mut kinds: Vec<Kind<'a>> = Vec::new();
    let mut places: BTreeMap<(Option<&str>, &str), usize> = BTreeMap::new();
    for &one in news {
        let (group, headline) = (one.group.as_deref(), one.headline.as_str());
        let next = kinds.len();
        let place = *places.entry((group, headline)).or_insert(next);
        if place == next {
            kinds.push(Kind {
                group,
                headline,
                news: Vec::new(),
            });
        }
        if let Some(kind) = kinds.get_mut(place) {
            kind.news.push(one);
        }
    }
    kinds.sort_by_key(|kind| std::cmp::Reverse(kind.news.first().map(|news| news.urgency)));
    kinds
}

fn subject(host: &str, kinds: &[Kind<'_>]) -> String {
    let parts: Vec<String> = kinds
        .iter()
        .map(|kind| format!("{}{}", kind.headline(), kind.names()))
        .collect();
    cut(
        &format!("[checkd] {host}: {}", parts.join("; ")),
        SUBJECT_MAX,
    )
}

fn item(news: &News, explained: &Explained) -> Item {
    let about = news.about();
    Item {
        event: news.event.clone(),
        role: news.role,
        urgency: news.urgency,
        headline: news.headline.clone(),
        at: wall::rfc3339(news.at_ms),
        group: news.group.clone(),
        member: news.member.clone(),
        plugin: news.plugin.clone(),
        incident: news.incident,
        text: news.text.clone(),
        explain: explained.get(&about).cloned(),
        commands: commands(news),
        about,
    }
}

/// What a person can type.
pub(super) fn commands(news: &News) -> Vec<String> {
    let about = news.about();
    let mut commands = match (&news.group, &news.member) {
        (Some(_), Some(_)) => vec![format!("checkd explain {about}")],
        (Some(_), None) => vec![format!("checkd status {about}")],
        (None, _) if news.plugin.is_some() => vec!["checkd plugin list".to_owned()],
        (None, _) => vec!["checkd status".to_owned()],
    };
    if news.event == "hold" {
        commands.push(format!("checkd explain '{about}/*'"));
    }
    if news.event == "given_up" || news.event == "hold" {
        commands.push(format!("checkd reset {about}"));
    }
    commands
}

fn text(host: &str, kinds: &[Kind<'_>], dropped: u64, explained: &Explained) -> String {
    let mut text = String::new();
    for kind in kinds {
        text.push_str(&format!("{}{}\n", kind.headline(), kind.names()));
        for news in kind.news.iter().take(LINES_MAX) {
            let when = wall::date_and_time(news.at_ms);
            let who = match kind.news.len() {
                1 => String::new(),
                _ => format!("{}: ", news.about()),
            };
            text.push_str(&format!("  {when}  {who}{}\n", news.text));
        }
        if kind.news.len() > LINES_MAX {
            let more = kind.news.len() - LINES_MAX;
            text.push_str(&format!("  … and {more} more\n"));
        }
        text.push('\n');
    }
    if dropped > 0 {
        text.push_str(&format!(
            "{dropped} older piece{} of news could not be sent and {} dropped; `checkd history` has all.\n\n",
            if dropped == 1 { "" } else { "s" },
            if dropped == 1 { "was" } else { "were" },
        ));
    }
    let mut said: Vec<String> = Vec::new();
    let needing = kinds
        .iter()
        .filter(|kind| kind.news.iter().any(|n| n.role != Role::End));
    for kind in needing {
        for command in kind.commands() {
            if !said.contains(&command) {
                said.push(command);
            }
        }
    }
    if !said.is_empty() {
        text.push_str(&format!("What to type on {host}:\n"));
        for command in said {
            text.push_str(&format!("  {command}\n"));
        }
        text.push('\n');
    }
    for (about, explanation) in explained {
        text.push_str(&format!("checkd explain {about}\n\n"));
        for line in explanation.lines() {
            text.push_str(format!("  {line}").trim_end());
            text.push('\n');
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests;
