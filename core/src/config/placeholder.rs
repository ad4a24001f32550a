//! `{group} {member} {index} {pid} {port}` in texts of the configuration.
//!
//! A placeholder is a word of lower-case letters and `_` in braces; everything else in braces is
//! text (`{"a": 1}`, `a{2}`). `{{` and `}}` around a word give the word in single braces.

use std::ops::Range;

use super::{Document, Node, Value};
use crate::diagnostic::{Diagnostic, nearest};

/// What a text may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Placeholder {
    /// The group's name.
    Group,
    /// The member's name.
    Member,
    /// The member's index, from 0.
    Index,
    /// The member's process id.
    Pid,
    /// The member's port.
    Port,
}

impl Placeholder {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Group,
        Self::Member,
        Self::Index,
        Self::Pid,
        Self::Port,
    ];

    /// The word between the braces.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Group => "group",
            Self::Member => "member",
            Self::Index => "index",
            Self::Pid => "pid",
            Self::Port => "port",
        }
    }

    /// The placeholder with this name.
    pub fn named(word: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|placeholder| placeholder.as_str() == word)
    }
}

/// A piece of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// As it stands.
    Text(&'a str),
    /// To be replaced; with the bytes that it stands in.
    Placeholder(Placeholder, Range<usize>),
    /// In braces and no placeholder; with the bytes of the word and its braces.
    Unknown(&'a str, Range<usize>),
}

/// The pieces of `text`, in their order.
pub fn pieces(text: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut at = 0;
    let mut waiting: Option<Piece<'_>> = None;
    std::iter::from_fn(move || {
        if let Some(piece) = waiting.take() {
            return Some(piece);
        }
        let rest = text.get(at..).filter(|rest| !rest.is_empty())?;
        let mut from = 0;
        while let Some(open) = rest.get(from..).and_then(|r| r.find('{')).map(|o| o + from) {
            let Some((word, doubled)) = braced(rest.get(open..).unwrap_or("")) else {
                from = open + 1;
                continue;
            };
            let before = rest.get(..open).unwrap_or("");
            let start = at + open;
            if doubled {
                // `{{word}}`: the text up to and with the first brace, then `word}`.
                let inner = text.get(start + 1..start + 3 + word.len()).unwrap_or("");
                at = start + word.len() + 4;
                if before.is_empty() {
                    return Some(Piece::Text(inner));
                }
                waiting = Some(Piece::Text(inner));
                return Some(Piece::Text(before));
            }
            let range = start..start + word.len() + 2;
            at = range.end;
            let piece = match Placeholder::named(word) {
                Some(placeholder) => Piece::Placeholder(placeholder, range),
                None => Piece::Unknown(word, range),
            };
            if before.is_empty() {
                return Some(piece);
            }
            waiting = Some(piece);
            return Some(Piece::Text(before));
        }
        at = text.len();
        Some(Piece::Text(rest))
    })
}

/// The word of `{word}` or `{{word}}` at the start of `rest`, and whether the braces are doubled.
fn braced(rest: &str) -> Option<(&str, bool)> {
    let doubled = rest.starts_with("{{");
    let open = if doubled { 2 } else { 1 };
    let inner = rest.get(open..)?;
    let end = inner.find(|c: char| !(c.is_ascii_lowercase() || c == '_'))?;
    let (word, after) = inner.split_at_checked(end)?;
    let closed = if doubled {
        after.starts_with("}}")
    } else {
        after.starts_with('}')
    };
    (closed && !word.is_empty()).then_some((word, doubled))
}

/// `text` with every placeholder replaced; `Err` with the first one that has no value. An unknown
/// word stays as it is: the reader has refused it.
pub fn fill(
    text: &str,
    value: impl Fn(Placeholder) -> Option<String>,
) -> Result<String, Placeholder> {
    let mut filled = String::with_capacity(text.len());
    for piece in pieces(text) {
        match piece {
            Piece::Text(text) => filled.push_str(text),
            Piece::Placeholder(placeholder, _) => {
                filled.push_str(&value(placeholder).ok_or(placeholder)?);
            }
            Piece::Unknown(_, range) => filled.push_str(text.get(range).unwrap_or("")),
        }
    }
    Ok(filled)
}

const UNKNOWN: &str = "C0110";

/// Tells every unknown placeholder of a text, a list or a table, and every one that has no value
/// there. `allowed` says which there are, and why one is not to be had.
pub(super) fn check(
    document: &Document,
    node: &Node,
    allowed: &[(Placeholder, Option<&str>)],
    of: &dyn Fn() -> String,
    out: &mut Vec<Diagnostic>,
) {
    match &node.value {
        Value::Text(text) => {
            if !text.contains('{') {
                return;
            }
            for piece in pieces(text) {
                match piece {
                    Piece::Text(_) => {}
                    Piece::Placeholder(placeholder, range) => {
                        let why = allowed.iter().find(|(p, _)| *p == placeholder);
                        let why = why.and_then(|(_, why)| *why);
                        if let Some(why) = why {
                            out.push(
                                Diagnostic::error(
                                    UNKNOWN,
                                    format!("`{{{}}}` has no value here", placeholder.as_str()),
                                )
                                .at(document.within(node, range), format!("in {}", of()))
                                .note(why),
                            );
                        }
                    }
                    Piece::Unknown(word, range) => {
                        let known = Placeholder::ALL.map(Placeholder::as_str);
                        let told = Diagnostic::error(
                            UNKNOWN,
                            format!("there is no placeholder `{{{word}}}`"),
                        )
                        .at(document.within(node, range), format!("in {}", of()))
                        .note("placeholders: {group}, {index}, {member}, {pid}, {port}");
                        out.push(match nearest(word, known) {
                            Some(near) => told.help(format!("did you mean `{{{near}}}`?")),
                            None => told.help(format!(
                                "write `{{{{{word}}}}}` when the braces are part of the text"
                            )),
                        });
                    }
                }
            }
        }
        Value::List(items) => {
            for item in items {
                check(document, item, allowed, of, out);
            }
        }
        Value::Table(table) => {
            for (_, _, inner) in &table.entries {
                check(document, inner, allowed, of, out);
            }
        }
        Value::Integer(_) | Value::Float(_) | Value::Bool(_) => {}
    }
}
