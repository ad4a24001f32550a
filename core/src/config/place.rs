//! Places inside values: an offset in a decoded text to the bytes of the file that it came from.

use std::ops::Range;

use super::{Document, Node, Table, Value};
use crate::diagnostic::Place;

impl Document {
    /// Where the value at `path` stands: `["group", "web", "policy", "fall"]`.
    pub fn place_of(&self, path: &[&str]) -> Option<Place> {
        self.node(path).map(|(_, node)| node.place)
    }

    /// Where the key at `path` stands.
    pub fn key_of(&self, path: &[&str]) -> Option<Place> {
        self.node(path).map(|(key, _)| key)
    }

    fn node(&self, path: &[&str]) -> Option<(Place, &Node)> {
        let (last, tables) = path.split_last()?;
        let mut table = &self.root;
        for name in tables {
            table = table.table(name)?;
        }
        table
            .entries
            .iter()
            .find(|(key, _, _)| key == last)
            .map(|(_, key, node)| (*key, node))
    }

    /// The part of a text value that `range` of its decoded text stands for.
    ///
    /// In a quoted TOML string escapes make the file longer than the text; a value of the
    /// environment or of `--set` may stand without quotes. When the bytes cannot be told, the whole
    /// value.
    pub fn within(&self, node: &Node, range: Range<usize>) -> Place {
        let whole = node.place;
        let Value::Text(text) = &node.value else {
            return whole;
        };
        let raw = self
            .sources
            .get(whole.source as usize)
            .and_then(|source| source.text.get(whole.start as usize..whole.end as usize));
        let Some(raw) = raw else { return whole };
        let start = raw_offset(raw, text, range.start).map(|at| at + continued(raw, at));
        let end = raw_offset(raw, text, range.end);
        let at = |offset: usize| {
            u32::try_from(offset)
                .ok()
                .and_then(|o| whole.start.checked_add(o))
        };
        match (start.and_then(at), end.and_then(at)) {
            (Some(start), Some(end)) if start <= end && end <= whole.end => Place {
                source: whole.source,
                start,
                end,
            },
            _ => whole,
        }
    }
}

impl Table {
    /// The value of a key.
    pub fn get(&self, name: &str) -> Option<&Node> {
        self.entries
            .iter()
            .find(|(key, _, _)| key == name)
            .map(|(_, _, node)| node)
    }

    /// The table that a key holds.
    pub fn table(&self, name: &str) -> Option<&Table> {
        match &self.get(name)?.value {
            Value::Table(table) => Some(table),
            Value::Text(_)
            | Value::Integer(_)
            | Value::Float(_)
            | Value::Bool(_)
            | Value::List(_) => None,
        }
    }
}

/// The byte of `raw` at which byte `offset` of the decoded `text` begins.
fn raw_offset(raw: &str, text: &str, offset: usize) -> Option<usize> {
    if raw == text {
        return Some(offset);
    }
    if let Some(rest) = raw.strip_prefix("'''") {
        return Some(3 + newline(rest) + offset);
    }
    if raw.starts_with('\'') {
        return Some(1 + offset);
    }
    let (mut at, many) = match raw.strip_prefix("\"\"\"") {
        Some(rest) => (3 + newline(rest), true),
        None if raw.starts_with('"') => (1, false),
        None => return None,
    };
    let mut decoded = 0;
    while decoded < offset {
        let rest = raw.get(at..)?;
        let first = rest.chars().next()?;
        if first != '\\' {
            at += first.len_utf8();
            decoded += first.len_utf8();
            continue;
        }
        let digits = match rest.chars().nth(1)? {
            'x' => 2,
            'u' => 4,
            'U' => 8,
            c if many && c.is_whitespace() => {
                // A line end after a backslash: it and the space before the next word are nothing.
                at += 1 + rest.get(1..)?.find(|c: char| !c.is_whitespace())?;
                continue;
            }
            _ => {
                at += 2;
                decoded += 1;
                continue;
            }
        };
        let code = u32::from_str_radix(rest.get(2..2 + digits)?, 16).ok()?;
        at += 2 + digits;
        decoded += char::from_u32(code)?.len_utf8();
    }
    Some(at)
}

/// The length of a line end after a backslash at byte `at`, when a multi-line text goes on behind
/// it: a part that starts there is in the next line.
fn continued(raw: &str, at: usize) -> usize {
    let Some(rest) = raw.get(at..).filter(|_| raw.starts_with("\"\"\"")) else {
        return 0;
    };
    let Some(after) = rest
        .strip_prefix('\\')
        .filter(|after| after.starts_with(char::is_whitespace))
    else {
        return 0;
    };
    after
        .find(|c: char| !c.is_whitespace())
        .map_or(0, |space| 1 + space)
}

/// The length of a line end right after the opening quotes, which is not part of the text.
fn newline(rest: &str) -> usize {
    if rest.starts_with("\r\n") {
        2
    } else {
        usize::from(rest.starts_with('\n'))
    }
}
