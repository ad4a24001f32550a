//! One table under the reader's eyes: unknown keys, keys that come later, forms; then typed values.

use std::fmt;

use super::form::{self, Share, Wrong};
use super::grants::grants;
use super::keys::{self, Form, Key, Unit};
use super::{Node, Table};
use crate::Span;
use crate::diagnostic::{Diagnostic, Place, nearest};
use crate::plan::{Grant, Limit, NOfM, Text};

pub(super) const UNKNOWN: &str = "C0102";
pub(super) const LATER: &str = "C0113";
pub(super) const MISSING: &str = "C0108";

/// Whose table it is; formatted only when something is wrong.
#[derive(Clone, Copy, Debug)]
pub(super) enum Of<'a> {
    Root,
    Daemon,
    Defaults,
    Plugin(&'a str),
    Group(&'a str),
    Ports(&'a str),
    Output(&'a str),
    Limits(&'a str),
    Limit(&'a str, &'a str),
    PluginLimits(&'a str),
    PluginLimit(&'a str, &'a str),
    Check(&'a str, &'a str),
    Health(&'a str),
    Policy(&'a str),
    Notify(&'a str),
    Maintenance(&'a str),
}

/// Goes on after `in`.
impl fmt::Display for Of<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => f.write_str("the configuration"),
            Self::Daemon => f.write_str("`[daemon]`"),
            Self::Defaults => f.write_str("`[defaults]`"),
            Self::Plugin(name) => write!(f, "`[plugin.{name}]`"),
            Self::Group(group) => write!(f, "group `{group}`"),
            Self::Ports(group) => write!(f, "`ports` of group `{group}`"),
            Self::Output(group) => write!(f, "`output` of group `{group}`"),
            Self::Limits(group) => write!(f, "`limits` of group `{group}`"),
            Self::Limit(group, name) => write!(f, "limit `{name}` of group `{group}`"),
            Self::PluginLimits(name) => write!(f, "`limits` of plugin `{name}`"),
            Self::PluginLimit(name, limit) => write!(f, "limit `{limit}` of plugin `{name}`"),
            Self::Check(group, check) => write!(f, "check `{check}` of group `{group}`"),
            Self::Health(group) => write!(f, "`health` of group `{group}`"),
            Self::Policy(group) => write!(f, "`policy` of group `{group}`"),
            Self::Notify(name) => write!(f, "`[notify.{name}]`"),
            Self::Maintenance(name) => write!(f, "`[maintenance.{name}]`"),
        }
    }
}

/// A table with the keys that it may have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Section<'a> {
    pub(super) table: Option<&'a Table>,
    pub(super) keys: &'static [Key],
    pub(super) of: Of<'a>,
}

impl<'a> Section<'a> {
    /// Looks at every key and the form of every value. `others` is asked about keys that are not
    /// the host's: true when it took care of the key.
    pub(super) fn open(
        table: Option<&'a Table>,
        keys: &'static [Key],
        of: Of<'a>,
        out: &mut Vec<Diagnostic>,
    ) -> Self {
        let section = Self { table, keys, of };
        for (name, at, node) in section.entries() {
            match keys::find(keys, name) {
                Some(key) => section.known(key, *at, node, out),
                None => out.push(section.unknown(name, *at)),
            }
        }
        section
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = &'a (String, Place, Node)> + use<'a> {
        self.table
            .map_or(&[][..], |table| table.entries.as_slice())
            .iter()
    }

    /// A key of the list: built already, and of its form?
    pub(super) fn known(&self, key: &Key, at: Place, node: &Node, out: &mut Vec<Diagnostic>) {
        if key.later {
            let what = match (key.form, self.of) {
                (Form::Table, Of::Root) => format!("`[{}]` is not supported yet", key.name),
                _ => format!("`{}` is not supported yet", key.name),
            };
            out.push(
                Diagnostic::error(LATER, what)
                    .at(at, format!("in {}", self.of))
                    .note("the name is kept for a later version; nothing would happen now")
                    .help("take it out"),
            );
            return;
        }
        if let Err(wrong) = form::judge(key.form, node) {
            out.push(self.wrong(key.name, node.place, *wrong));
        }
    }

    fn unknown(&self, name: &str, at: Place) -> Diagnostic {
        let known = self
            .keys
            .iter()
            .filter(|key| !key.later)
            .map(|key| key.name);
        let (message, words) = if matches!(self.of, Of::Root) {
            (
                format!("there is no table `[{name}]`"),
                "unknown".to_owned(),
            )
        } else {
            (
                format!("there is no key `{name}` here"),
                format!("in {}", self.of),
            )
        };
        let mut list: Vec<&str> = known.collect();
        list.sort_unstable();
        let near = nearest(name, list.iter().copied());
        let what = if matches!(self.of, Of::Root) {
            "tables"
        } else {
            "keys"
        };
        let told = Diagnostic::error(UNKNOWN, message)
            .at(at, words)
            .note(format!("{what}: {}", list.join(", ")));
        match near {
            Some(near) => told.help(format!("did you mean `{near}`?")),
            None => match elsewhere(name, self.keys) {
                Some(path) => told.help(format!("`{name}` is a key of `[{path}]`")),
                None => told,
            },
        }
    }

    /// A diagnostic about the value of `key`.
    pub(super) fn wrong(&self, key: &str, at: Place, wrong: Wrong) -> Diagnostic {
        let mut told = Diagnostic::error(wrong.code, format!("`{key}` {}", wrong.message))
            .at(at, format!("in {}", self.of));
        told.notes = wrong.notes;
        told.help = wrong.help;
        told.hidden = wrong.hidden;
        told
    }

    pub(super) fn node(&self, key: &str) -> Option<&'a Node> {
        self.table?.get(key)
    }

    pub(super) fn place(&self, key: &str) -> Option<Place> {
        self.node(key).map(|node| node.place)
    }

    /// Where the key itself stands.
    pub(super) fn key_place(&self, key: &str) -> Option<Place> {
        let entries = &self.table?.entries;
        entries
            .iter()
            .find(|(name, _, _)| name == key)
            .map(|(_, place, _)| *place)
    }

    // Typed values. A value of another form was told by `open`, and is as if absent here.

    pub(super) fn text(&self, key: &str) -> Option<&'a str> {
        form::text(self.node(key)?).ok()
    }
    pub(super) fn span(&self, key: &str) -> Option<Span> {
        form::span(self.node(key)?).ok()
    }
    pub(super) fn wait(&self, key: &str) -> Option<Span> {
        form::wait(self.node(key)?).ok()
    }
    pub(super) fn size(&self, key: &str) -> Option<u64> {
        form::size(self.node(key)?).ok()
    }
    pub(super) fn count(&self, key: &str, least: u32) -> Option<u32> {
        form::count(self.node(key)?, least).ok()
    }
    pub(super) fn share(&self, key: &str, least: u32) -> Option<Share> {
        form::share(self.node(key)?, least).ok()
    }
    pub(super) fn limit(&self, key: &str) -> Option<Limit> {
        form::limit(self.node(key)?).ok()
    }
    pub(super) fn n_of_m(&self, key: &str) -> Option<NOfM> {
        form::n_of_m(self.node(key)?).ok()
    }
    pub(super) fn codes(&self, key: &str) -> Option<Vec<i32>> {
        form::codes(self.node(key)?).ok()
    }
    pub(super) fn boolean(&self, key: &str) -> Option<bool> {
        form::boolean(self.node(key)?).ok()
    }
    pub(super) fn bound(&self, key: &str, unit: Unit) -> Option<u64> {
        form::bound(self.node(key)?, unit).ok()
    }
    pub(super) fn mask(&self, key: &str) -> Option<u32> {
        form::mask(self.node(key)?).ok()
    }
    pub(super) fn grants(&self, key: &str) -> Option<Vec<Grant>> {
        grants(self.node(key)?).ok()
    }
    pub(super) fn sha256(&self, key: &str) -> Option<String> {
        form::sha256(self.node(key)?).ok()
    }
    pub(super) fn texts(&self, key: &str) -> Option<Vec<(&'a str, &'a Node)>> {
        form::texts(self.node(key)?).ok()
    }
    pub(super) fn words(&self, key: &str) -> Vec<String> {
        self.texts(key)
            .unwrap_or_default()
            .into_iter()
            .map(|(text, _)| text.to_owned())
            .collect()
    }
    pub(super) fn table_of(&self, key: &str) -> Option<&'a Table> {
        form::table(self.node(key)?).ok()
    }

    pub(super) fn text_or_secret(&self, key: &str) -> Option<Text> {
        form::text_or_secret(self.node(key)?).ok()
    }
    pub(super) fn secret(&self, key: &str) -> Option<Text> {
        form::secret(self.node(key)?).ok()
    }

    /// The words of a list of words, when each is one of the key's.
    pub(super) fn choices(&self, key: &str) -> Option<Vec<&'a str>> {
        let Form::Choices(words) = keys::find(self.keys, key)?.form else {
            return None;
        };
        form::choices(self.node(key)?, words).ok()
    }

    /// The word of a choice, when it is one of the key's words.
    pub(super) fn choice(&self, key: &str) -> Option<&'a str> {
        let Form::Choice(words) = keys::find(self.keys, key)?.form else {
            return None;
        };
        form::choice(self.node(key)?, words).ok()
    }
}

/// The table that has a key of this name, where this one has not.
fn elsewhere(name: &str, here: &'static [Key]) -> Option<&'static str> {
    keys::SHAPES
        .iter()
        .filter(|shape| !std::ptr::eq(shape.keys, here) && !shape.later)
        .find(|shape| keys::find(shape.keys, name).is_some_and(|key| !key.later))
        .map(|shape| shape.path)
}
