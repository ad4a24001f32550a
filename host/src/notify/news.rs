//! One piece of news as it is kept and sent: a notice in words that hold without the plan it was of.

use checkd_core::news::{self, Role, Urgency};
use checkd_core::plan::Plan;
use checkd_core::policy::{About, Notice, NoticeKind};
use serde::{Deserialize, Serialize};

/// The longest text of one piece of news, in bytes: a check's own words may be anything.
const TEXT_MAX: usize = 2_048;

/// One piece of news.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct News {
    /// When it happened, in milliseconds since 1970.
    pub(crate) at_ms: i64,
    /// The word of `events`.
    pub(crate) event: String,
    /// What it does to what was told before.
    pub(crate) role: Role,
    /// How bad it is.
    pub(crate) urgency: Urgency,
    /// `given up`
    pub(crate) headline: String,
    /// The group; nothing when it is about this machine.
    pub(crate) group: Option<String>,
    /// The member's name; nothing when it is about the group.
    pub(crate) member: Option<String>,
    /// The plugin that it is about; then it is about no group.
    #[serde(default)]
    pub(crate) plugin: Option<String>,
    /// One line.
    pub(crate) text: String,
    /// The incident that it belongs to.
    pub(crate) incident: Option<u64>,
}

impl News {
    /// A notice of the engine, which happened at `at_ms`.
    pub(crate) fn of(notice: &Notice, plan: &Plan, at_ms: i64) -> Self {
        let kind = news::of(notice.kind);
        let (group, member) = match notice.about {
            About::Member(id) => (plan.group(id.group), plan.member(id)),
            About::Group(group) => (plan.group(group), None),
            About::Host => (None, None),
        };
        Self {
            at_ms,
            event: kind.event.to_owned(),
            role: kind.role,
            urgency: kind.urgency,
            headline: match (notice.about, kind.role) {
                // Nothing else is told of this machine that ends.
                (About::Host, Role::End) => "can write its journal again",
                _ => kind.headline,
            }
            .to_owned(),
            group: group.map(|group| group.name.to_string()),
            member: member.map(|member| member.name.to_string()),
            plugin: None,
            text: cut(&notice.text, TEXT_MAX),
            incident: notice.incident.map(|incident| incident.0),
        }
    }

    /// What happened to a plugin at `at_ms`.
    pub(crate) fn of_plugin(name: &str, kind: NoticeKind, text: &str, at_ms: i64) -> Self {
        let kind = news::of(kind);
        Self {
            at_ms,
            event: kind.event.to_owned(),
            role: kind.role,
            urgency: kind.urgency,
            headline: kind.headline.to_owned(),
            group: None,
            member: None,
            plugin: Some(name.to_owned()),
            text: cut(text, TEXT_MAX),
            incident: None,
        }
    }

    /// `web/web-3`, `web`, `plugin acme`, or `this machine`.
    pub(crate) fn about(&self) -> String {
        if let Some(plugin) = &self.plugin {
            return format!("plugin {plugin}");
        }
        match (&self.group, &self.member) {
            (Some(group), Some(member)) => format!("{group}/{member}"),
            (Some(group), None) => group.clone(),
            (None, _) => "this machine".to_owned(),
        }
    }

    /// Who and what: `web/web-3 given up`, `checkd cannot write its journal`.
    pub(crate) fn title(&self) -> String {
        let of_machine = self.group.is_none() && self.plugin.is_none();
        match self.event.as_str() {
            "journal" | news::END if of_machine => format!("checkd {}", self.headline),
            _ => format!("{} {}", self.about(), self.headline),
        }
    }

    /// About how many bytes it takes.
    pub(crate) fn size(&self) -> usize {
        let names = self.group.as_ref().map_or(0, String::len)
            + self.member.as_ref().map_or(0, String::len);
        self.text.len() + names + 128
    }
}

/// At most `most` bytes of a text, on one line and without what could move a cursor.
pub(super) fn cut(text: &str, most: usize) -> String {
    let mut line = String::new();
    for c in text.chars() {
        let c = if c.is_control() { ' ' } else { c };
        if line.len() + c.len_utf8() > most {
            line.push('…');
            break;
        }
        line.push(c);
    }
    line
}
