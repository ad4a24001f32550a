//! Whether a value has the form that its key wants, and the value as a Rust type.

use super::grants::grants;
use super::keys::{Form, Unit};
use super::units;
use super::{Node, Table, Value};
use crate::Span;
use crate::diagnostic::nearest;
use crate::plan::{Bounds, Limit, NOfM, Text};
use crate::policy::LIMIT_MAX;

/// What is wrong with a value, before it is known whose it is.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) code: &'static str,
    /// Goes on after the key: `` `interval` `` + `must be …`.
    pub(super) message: String,
    pub(super) notes: Vec<String>,
    pub(super) help: Option<String>,
    /// Whether the value may be a secret.
    pub(super) hidden: bool,
}

pub(super) const TYPE: &str = "C0105";
pub(super) const VALUE: &str = "C0106";
pub(super) const UNIT: &str = "C0107";
/// A secret that is written in the configuration.
pub(super) const PLAIN_SECRET: &str = "C0121";

impl Wrong {
    pub(super) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            notes: Vec::new(),
            help: None,
            hidden: false,
        }
    }
    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
    pub(super) fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }
}

pub(super) type Judged<T> = Result<T, Box<Wrong>>;

/// A value in the user's words, never a secret in full.
pub(super) fn shown(node: &Node) -> String {
    match &node.value {
        Value::Text(text) => format!("the text {}", quoted(text)),
        Value::Integer(n) => format!("the number `{n}`"),
        Value::Float(n) => format!("the number `{n}`"),
        Value::Bool(b) => format!("`{b}`"),
        Value::List(_) => "a list".to_owned(),
        Value::Table(_) => "a table".to_owned(),
    }
}

/// A text in backticks and quotes, cut when it is long.
pub(super) fn quoted(text: &str) -> String {
    const SHOWN: usize = 40;
    let cut: String = text
        .chars()
        .take(SHOWN)
        .flat_map(char::escape_debug)
        .collect();
    if text.chars().count() > SHOWN {
        format!("`\"{cut}…\"`")
    } else {
        format!("`\"{cut}\"`")
    }
}

fn must(what: &str, node: &Node) -> Wrong {
    Wrong::new(TYPE, format!("must be {what}, not {}", shown(node)))
}

pub(super) fn text(node: &Node) -> Judged<&str> {
    match &node.value {
        Value::Text(text) => Ok(text),
        Value::Integer(_) | Value::Float(_) | Value::Bool(_) => {
            let plain = match &node.value {
                Value::Integer(n) => n.to_string(),
                Value::Float(n) => n.to_string(),
                Value::Bool(b) => b.to_string(),
                Value::Text(_) | Value::List(_) | Value::Table(_) => String::new(),
            };
            Err(Box::new(
                must("a text", node).help(format!("write `\"{plain}\"`")),
            ))
        }
        Value::List(_) | Value::Table(_) => Err(Box::new(must("a text", node))),
    }
}

pub(super) fn span(node: &Node) -> Judged<Span> {
    const EXAMPLE: &str =
        "a time is a number with a unit: `\"500ms\"`, `\"30s\"`, `\"2m30s\"`, `\"1h\"`";
    match &node.value {
        Value::Text(text) => units::span(text).ok_or_else(|| {
            if units::too_long(text) {
                let message = format!(
                    "may be `\"{}\"` at most, not {}",
                    units::SPAN_MAX,
                    quoted(text)
                );
                return Box::new(Wrong::new(VALUE, message));
            }
            let bare = text.parse::<u64>().is_ok();
            let wrong = Wrong::new(UNIT, format!("is a time, and {} is none", quoted(text)));
            Box::new(if bare {
                wrong.help(format!("write `\"{text}s\"` when seconds are meant"))
            } else {
                wrong.note(EXAMPLE)
            })
        }),
        Value::Integer(n) if *n >= 0 => Err(Box::new(
            Wrong::new(UNIT, format!("is a time and needs a unit, `{n}` has none"))
                .help(format!("write `\"{n}s\"` when seconds are meant")),
        )),
        Value::Integer(_) | Value::Float(_) | Value::Bool(_) | Value::List(_) | Value::Table(_) => {
            Err(Box::new(must("a time", node).note(EXAMPLE)))
        }
    }
}

pub(super) fn wait(node: &Node) -> Judged<Span> {
    let span = span(node)?;
    if span == Span::ZERO {
        return Err(Box::new(Wrong::new(VALUE, "must be longer than nothing")));
    }
    Ok(span)
}

pub(super) fn size(node: &Node) -> Judged<u64> {
    const EXAMPLE: &str =
        "a size is a number with a unit: `\"64KiB\"`, `\"512MiB\"`, `\"1.5GiB\"`, `\"2GB\"`";
    match &node.value {
        Value::Text(text) => units::size(text).ok_or_else(|| {
            let bare = text.parse::<u64>().is_ok();
            let wrong = Wrong::new(UNIT, format!("is a size, and {} is none", quoted(text)));
            Box::new(if bare {
                wrong.help(format!("write `\"{text}MiB\"` when mebibytes are meant"))
            } else {
                wrong.note(EXAMPLE)
            })
        }),
        Value::Integer(n) if *n >= 0 => {
            let (number, unit) = if *n > 0 && *n % (1 << 20) == 0 {
                (n >> 20, "MiB")
            } else if *n >= 1 << 16 {
                (*n, "B")
            } else {
                (*n, "MiB")
            };
            let meant = if unit == "B" { "bytes" } else { "mebibytes" };
            Err(Box::new(
                Wrong::new(UNIT, format!("is a size and needs a unit, `{n}` has none"))
                    .help(format!("write `\"{number}{unit}\"` when {meant} are meant")),
            ))
        }
        Value::Integer(_) | Value::Float(_) | Value::Bool(_) | Value::List(_) | Value::Table(_) => {
            Err(Box::new(must("a size", node).note(EXAMPLE)))
        }
    }
}

pub(super) fn count(node: &Node, least: u32) -> Judged<u32> {
    match &node.value {
        Value::Integer(n) => match u32::try_from(*n) {
            Ok(n) if n >= least => Ok(n),
            _ if *n < i64::from(least) => Err(Box::new(Wrong::new(
                VALUE,
                format!("must be at least {least}, not `{n}`"),
            ))),
            _ => Err(Box::new(Wrong::new(VALUE, format!("is too large: `{n}`")))),
        },
        Value::Text(text) if text.parse::<u32>().is_ok() => Err(Box::new(
            must("a whole number", node).help(format!("write `{text}` without quotes")),
        )),
        Value::Text(_) | Value::Float(_) | Value::Bool(_) | Value::List(_) | Value::Table(_) => {
            Err(Box::new(must("a whole number", node)))
        }
    }
}

/// A number of members, or a share of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Share {
    Members(u32),
    Percent(u32),
}

pub(super) fn share(node: &Node, least: u32) -> Judged<Share> {
    match &node.value {
        Value::Integer(_) => count(node, least).map(Share::Members),
        Value::Text(text) => match units::percent(text) {
            Some(percent) if percent >= least => Ok(Share::Percent(percent)),
            Some(_) => Err(Box::new(Wrong::new(
                VALUE,
                format!("must be at least {least}%"),
            ))),
            None => Err(Box::new(
                Wrong::new(
                    UNIT,
                    format!(
                        "is a number of members or a share of them, and {} is neither",
                        quoted(text)
                    ),
                )
                .note("write `2` for two members, `\"25%\"` for a quarter"),
            )),
        },
        Value::Float(_) | Value::Bool(_) | Value::List(_) | Value::Table(_) => Err(Box::new(must(
            "a number of members or a share such as `\"25%\"`",
            node,
        ))),
    }
}

pub(super) fn boolean(node: &Node) -> Judged<bool> {
    match &node.value {
        Value::Bool(b) => Ok(*b),
        Value::Text(_) | Value::Integer(_) | Value::Float(_) | Value::List(_) | Value::Table(_) => {
            Err(Box::new(must("`true` or `false`", node)))
        }
    }
}

pub(super) fn choice<'a>(node: &'a Node, words: &[&str]) -> Judged<&'a str> {
    let typed = text(node)?;
    if words.contains(&typed) {
        return Ok(typed);
    }
    let lower = typed.to_ascii_lowercase();
    let bare = typed.to_ascii_uppercase();
    let bare = bare.strip_prefix("SIG").unwrap_or(&bare);
    let near = words
        .iter()
        .copied()
        .find(|&word| word == bare || word.eq_ignore_ascii_case(typed))
        .or_else(|| nearest(&lower, words.iter().copied()));
    let list = words.join("`, `");
    let wrong = Wrong::new(
        VALUE,
        format!("must be one of `{list}`, not {}", shown(node)),
    );
    Err(Box::new(match near {
        Some(near) => wrong.help(format!("did you mean `\"{near}\"`?")),
        None => wrong,
    }))
}

pub(super) fn limit(node: &Node) -> Judged<Limit> {
    let limit = text(node).ok().and_then(units::limit);
    match limit {
        // A larger one would never close.
        Some(limit) if limit.max > LIMIT_MAX => Err(Box::new(
            Wrong::new(
                VALUE,
                format!("may allow {LIMIT_MAX} at most, not {}", limit.max),
            )
            .note(format!("checkd remembers when the last {LIMIT_MAX} were"))
            .help("write fewer in a shorter time"),
        )),
        Some(limit) if limit.max > 0 && limit.window > Span::ZERO => Ok(limit),
        Some(_) => Err(Box::new(Wrong::new(
            VALUE,
            "must allow at least one in some time",
        ))),
        None => Err(Box::new(
            Wrong::new(UNIT, format!("must be a limit, not {}", shown(node)))
                .note("a limit is so many in so much time: `\"4 in 60m\"`"),
        )),
    }
}

pub(super) fn n_of_m(node: &Node) -> Judged<NOfM> {
    let Some(n_of_m) = text(node).ok().and_then(units::n_of_m) else {
        return Err(Box::new(
            Wrong::new(
                UNIT,
                format!("must be so many of so many, not {}", shown(node)),
            )
            .note("for example `\"6 of 10\"`"),
        ));
    };
    if n_of_m.n == 0 {
        let message = "must ask for 1 Fail at least, and asks for 0";
        return Err(Box::new(Wrong::new(VALUE, message)));
    }
    if n_of_m.m > 64 {
        let message = format!("looks at 64 samples at most, and not at {}", n_of_m.m);
        return Err(Box::new(Wrong::new(VALUE, message)));
    }
    if n_of_m.n > n_of_m.m {
        return Err(Box::new(Wrong::new(
            VALUE,
            format!(
                "can never be: there are no {} Fails among {} samples",
                n_of_m.n, n_of_m.m
            ),
        )));
    }
    Ok(n_of_m)
}

pub(super) fn texts(node: &Node) -> Judged<Vec<(&str, &Node)>> {
    let Value::List(items) = &node.value else {
        let wrong = must("a list of texts", node);
        if let Value::Text(text) = &node.value
            && !text.contains('"')
        {
            let words: Vec<String> = text
                .split_whitespace()
                .map(|word| format!("\"{word}\""))
                .collect();
            return Err(Box::new(
                wrong.help(format!("write `[{}]`", words.join(", "))),
            ));
        }
        return Err(Box::new(wrong));
    };
    items
        .iter()
        .map(|item| {
            if let Value::Text(text) = &item.value {
                return Ok((text.as_str(), item));
            }
            Err(Box::new(Wrong::new(
                TYPE,
                format!("must be a list of texts, and {} is in it", shown(item)),
            )))
        })
        .collect()
}

pub(super) fn codes(node: &Node) -> Judged<Vec<i32>> {
    let Value::List(items) = &node.value else {
        return Err(Box::new(must("a list of exit codes", node)));
    };
    items
        .iter()
        .map(|item| {
            if let Value::Integer(n @ 0..=255) = &item.value {
                return Ok(i32::try_from(*n).unwrap_or(0));
            }
            Err(Box::new(Wrong::new(
                VALUE,
                format!(
                    "must be exit codes from 0 to 255, and {} is in it",
                    shown(item)
                ),
            )))
        })
        .collect()
}

pub(super) fn mask(node: &Node) -> Judged<u32> {
    let digits = text(node)?;
    let octal = !digits.is_empty() && digits.bytes().all(|b| (b'0'..=b'7').contains(&b));
    match u32::from_str_radix(digits, 8) {
        Ok(mask) if octal && mask <= 0o777 => Ok(mask),
        _ => Err(Box::new(
            Wrong::new(VALUE, format!("must be an octal mask, not {}", shown(node)))
                .note("for example `\"027\"`"),
        )),
    }
}

/// One value of a resource limit, in what the kernel counts.
pub(super) fn bound(node: &Node, unit: Unit) -> Judged<u64> {
    const UNLIMITED: &str = "unlimited";
    if let Value::Text(text) = &node.value {
        if text == UNLIMITED {
            return Ok(Bounds::UNLIMITED);
        }
        let lower = text.to_ascii_lowercase();
        let elsewhere = ["infinity", "infinite", "none", "max", "-1"].contains(&lower.as_str());
        if elsewhere || nearest(&lower, [UNLIMITED]).is_some() {
            return Err(Box::new(
                Wrong::new(VALUE, format!("cannot be {}", quoted(text)))
                    .help(format!("write `\"{UNLIMITED}\"` for no limit")),
            ));
        }
    }
    let told = match unit {
        Unit::Count => count(node, 1).map(u64::from),
        Unit::Size => size(node),
        Unit::Time => match wait(node) {
            Ok(span) if span.as_millis() % 1_000 == 0 => Ok(span.as_millis() / 1_000),
            Ok(_) => Err(Box::new(Wrong::new(
                VALUE,
                format!("must be whole seconds, not {}", shown(node)),
            ))),
            Err(wrong) => Err(wrong),
        },
    };
    told.map_err(|wrong| match node.value {
        Value::Integer(-1) => Box::new(
            Wrong::new(VALUE, "cannot be `-1`")
                .help(format!("write `\"{UNLIMITED}\"` for no limit")),
        ),
        Value::Text(_)
        | Value::Integer(_)
        | Value::Float(_)
        | Value::Bool(_)
        | Value::List(_)
        | Value::Table(_) => wrong,
    })
}

pub(super) fn sha256(node: &Node) -> Judged<String> {
    let digits = text(node)?;
    if digits.len() == 64 && digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Ok(digits.to_ascii_lowercase());
    }
    Err(Box::new(
        Wrong::new(VALUE, "must be 64 hex digits")
            .note(format!("found {} characters", digits.chars().count()))
            .help("`sha256sum FILE` prints it"),
    ))
}

pub(super) fn table(node: &Node) -> Judged<&Table> {
    match &node.value {
        Value::Table(table) => Ok(table),
        Value::Text(_) | Value::Integer(_) | Value::Float(_) | Value::Bool(_) | Value::List(_) => {
            Err(Box::new(must("a table", node)))
        }
    }
}

/// A list of some of `words`, each once.
pub(super) fn choices<'a>(node: &'a Node, words: &[&str]) -> Judged<Vec<&'a str>> {
    let typed = texts(node)?;
    if typed.is_empty() {
        return Err(Box::new(Wrong::new(VALUE, "must name something")));
    }
    let list = words.join("`, `");
    let mut found = Vec::new();
    for (word, item) in typed {
        if !words.contains(&word) {
            let wrong = Wrong::new(
                VALUE,
                format!("may hold `{list}`, and {} is in it", shown(item)),
            );
            let near = nearest(&word.to_ascii_lowercase(), words.iter().copied());
            return Err(Box::new(match near {
                Some(near) => wrong.help(format!("did you mean `\"{near}\"`?")),
                None => wrong,
            }));
        }
        if !found.contains(&word) {
            found.push(word);
        }
    }
    Ok(found)
}

/// A text that may be secret: `{ file = … }` or `{ env = … }`.
pub(super) fn text_or_secret(node: &Node) -> Judged<Text> {
    if let Value::Text(text) = &node.value {
        return Ok(Text::Plain(text.clone()));
    }
    secret(node)
}

/// `{ file = … }` or `{ env = … }`. What is written instead is not shown: it may be the secret.
pub(super) fn secret(node: &Node) -> Judged<Text> {
    const WRITTEN: &str = "write `{ file = \"/path\" }` or `{ env = \"NAME\" }`";
    if let Value::Table(table) = &node.value
        && let [(key, _, node)] = table.entries.as_slice()
        && let Ok(text) = text(node)
        && !text.is_empty()
    {
        match key.as_str() {
            "file" => return Ok(Text::File(text.to_owned())),
            "env" => return Ok(Text::Env(text.to_owned())),
            _ => {}
        }
    }
    let wrong = match &node.value {
        Value::Text(_) => Wrong::new(PLAIN_SECRET, "is a secret and is not written here"),
        Value::Integer(_) | Value::Float(_) | Value::Bool(_) | Value::List(_) => {
            Wrong::new(TYPE, "must be a text or say where to read one")
        }
        Value::Table(_) => Wrong::new(TYPE, "must say where to read it, with one key"),
    };
    let mut wrong = wrong.help(WRITTEN);
    wrong.hidden = true;
    Err(Box::new(wrong))
}

/// Judges `node` by `form` alone; what its inner keys and names mean is judged by their readers.
pub(super) fn judge(form: Form, node: &Node) -> Judged<()> {
    match form {
        Form::Text | Form::Template | Form::Expression => text(node).map(drop),
        Form::Templates | Form::Texts => texts(node).map(drop),
        Form::Span => span(node).map(drop),
        Form::Wait => wait(node).map(drop),
        Form::Size => size(node).map(drop),
        Form::Count(least) => count(node, least).map(drop),
        Form::Bool => boolean(node).map(drop),
        Form::Choice(words) => choice(node, words).map(drop),
        Form::Choices(words) => choices(node, words).map(drop),
        Form::TextOrSecret => text_or_secret(node).map(drop),
        Form::Secret => secret(node).map(drop),
        Form::Share(least) => share(node, least).map(drop),
        Form::Limit => limit(node).map(drop),
        Form::NOfM => n_of_m(node).map(drop),
        Form::Codes => codes(node).map(drop),
        Form::Mask => mask(node).map(drop),
        Form::Grants => grants(node).map(drop),
        Form::Sha256 => sha256(node).map(drop),
        // Tables are judged key by key.
        Form::Output | Form::Bounds(_) if table(node).is_ok() => Ok(()),
        Form::Output => match &node.value {
            Value::List(_) => Err(Box::new(must("a path or a table", node))),
            Value::Text(_)
            | Value::Integer(_)
            | Value::Float(_)
            | Value::Bool(_)
            | Value::Table(_) => text(node).map(drop),
        },
        Form::Bounds(unit) | Form::Bound(unit) => bound(node, unit).map(drop),
        Form::Ports | Form::Environment | Form::Table => table(node).map(drop),
    }
}
