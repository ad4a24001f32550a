//! `[notify.N]`: who is told, of what, and where to.

mod lints;

use std::collections::BTreeMap;

use super::defaults as d;
use super::form;
use super::keys;
use super::read::Reader;
use super::schema::sounds_secret;
use super::section::{MISSING, Of, Section};
use super::{Node, Table, Value};
use crate::GroupName;
use crate::Span;
use crate::diagnostic::{Diagnostic, Place, nearest};
use crate::news;
use crate::plan::{HttpTarget, SinkPlan, SmtpTarget, SmtpTls, Target, Text};

/// A URL, a server or a mail address that is none.
const ADDRESS: &str = "C0128";
/// A key that this kind of sink has no use for, or that contradicts another.
const NO_USE: &str = "C0129";
const UNKNOWN_GROUP: &str = "C0111";
const EMPTY: &str = "C0123";
const SECRET: &str = "C0120";

/// Which keys are whose, beside those that all sinks have.
const OF_HTTP: &[&str] = &["url", "headers", "username", "password", "ca_file"];
const OF_COMMAND: &[&str] = &["command"];
const OF_SMTP: &[&str] = &[
    "server", "tls", "from", "to", "username", "password", "ca_file",
];

pub(super) fn sinks<'a>(
    reader: &mut Reader<'a>,
    table: Option<&'a Table>,
    groups: Option<&'a Table>,
) -> Vec<SinkPlan> {
    // A group with a mistake is a group all the same.
    let written: Vec<&str> = groups
        .map_or(&[][..], |groups| groups.entries.as_slice())
        .iter()
        .map(|(name, _, _)| name.as_str())
        .collect();
    let named = reader.named(table, "sink", crate::id::NAME_MAX);
    let mut sinks: Vec<SinkPlan> = named
        .into_iter()
        .filter_map(|(name, at, table)| sink(reader, name, at, table, &written))
        .collect();
    sinks.sort_by(|a, b| a.name.cmp(&b.name));
    sinks
}

fn sink<'a>(
    reader: &mut Reader<'a>,
    name: &'a str,
    at: Place,
    table: &'a Table,
    written: &[&str],
) -> Option<SinkPlan> {
    let section = Section::open(Some(table), keys::NOTIFY, Of::Notify(name), &mut reader.out);
    let groups = groups(reader, &section, written);
    let Some(kind) = section.choice("kind") else {
        if section.node("kind").is_none() {
            reader.out.push(
                Diagnostic::error(MISSING, format!("sink `{name}` has no `kind`"))
                    .at(at, "how is it told?")
                    .help("write `kind = \"webhook\"`, `\"command\"`, `\"smtp\"` or `\"alertmanager\"`"),
            );
        }
        return None;
    };
    no_use(reader, &section, kind);
    let target = match kind {
        "webhook" => Target::Webhook(http(reader, &section, at)?),
        "alertmanager" => Target::Alertmanager(http(reader, &section, at)?),
        "command" => Target::Command(command(reader, &section, at)?),
        _ => Target::Smtp(smtp(reader, &section, at)?),
    };
    // Alertmanager collects and repeats by itself.
    let (collect, min_interval) = match target {
        Target::Alertmanager(_) => (d::NOTIFY_COLLECT_ALERTS, Span::ZERO),
        Target::Webhook(_) | Target::Command(_) | Target::Smtp(_) => {
            (d::NOTIFY_COLLECT, d::NOTIFY_MIN_INTERVAL)
        }
    };
    let events = section.choices("events");
    let events = events.unwrap_or_else(|| news::EVENTS_BY_DEFAULT.to_vec());
    let plan = SinkPlan {
        name: name.to_owned(),
        target,
        events: events.into_iter().map(str::to_owned).collect(),
        groups,
        collect: section.span("collect").unwrap_or(collect),
        min_interval: section.span("min_interval").unwrap_or(min_interval),
        timeout: section.wait("timeout").unwrap_or(d::NOTIFY_TIMEOUT),
        retry_for: section.wait("retry_for").unwrap_or(d::NOTIFY_RETRY_FOR),
    };
    lints::lints(reader, &section, &plan);
    Some(plan)
}

/// Tells keys that belong to another kind of sink.
fn no_use(reader: &mut Reader<'_>, section: &Section<'_>, kind: &str) {
    let own = match kind {
        "webhook" | "alertmanager" => OF_HTTP,
        "command" => OF_COMMAND,
        _ => OF_SMTP,
    };
    for (key, at, _) in section.entries() {
        let key = key.as_str();
        let others = [OF_HTTP, OF_COMMAND, OF_SMTP];
        if others.iter().any(|keys| keys.contains(&key)) && !own.contains(&key) {
            reader.out.push(
                Diagnostic::error(NO_USE, format!("a sink of kind `{kind}` has no `{key}`"))
                    .at(*at, format!("in {}", section.of))
                    .note(format!("its own keys: {}", own.join(", ")))
                    .help("take it out"),
            );
        }
    }
}

fn missing(reader: &mut Reader<'_>, section: &Section<'_>, key: &str, at: Place, help: &str) {
    // A value of another form was told.
    if section.node(key).is_none() {
        reader.out.push(
            Diagnostic::error(MISSING, format!("`{key}` is missing"))
                .at(at, format!("in {}", section.of))
                .help(format!("add `{key} = {help}`")),
        );
    }
}

pub(super) fn groups(
    reader: &mut Reader<'_>,
    section: &Section<'_>,
    written: &[&str],
) -> Option<Vec<GroupName>> {
    let mut found = Vec::new();
    for (name, node) in section.texts("groups")? {
        if written.contains(&name) {
            found.extend(GroupName::new(name));
            continue;
        }
        let told = Diagnostic::error(UNKNOWN_GROUP, format!("there is no group `{name}`"))
            .at(node.place, format!("in `groups` of {}", section.of));
        reader
            .out
            .push(match nearest(name, written.iter().copied()) {
                Some(near) => told.help(format!("did you mean `{near}`?")),
                None => told,
            });
    }
    Some(found)
}

fn command(reader: &mut Reader<'_>, section: &Section<'_>, at: Place) -> Option<Vec<String>> {
    let Some(node) = section.node("command") else {
        missing(
            reader,
            section,
            "command",
            at,
            "[\"PROGRAM\", \"ARGUMENT\"]",
        );
        return None;
    };
    let words: Vec<String> = section
        .texts("command")?
        .into_iter()
        .map(|(word, _)| word.to_owned())
        .collect();
    if words.first().is_none_or(String::is_empty) {
        reader.out.push(
            Diagnostic::error(EMPTY, "`command` is empty")
                .at(node.place, format!("in {}", section.of)),
        );
        return None;
    }
    Some(words)
}

fn http(reader: &mut Reader<'_>, section: &Section<'_>, at: Place) -> Option<HttpTarget> {
    if section.node("url").is_none() {
        missing(reader, section, "url", at, "\"https://HOST/PATH\"");
    }
    let headers = headers(reader, section);
    let login = login(reader, section);
    let url = section.text_or_secret("url")?;
    if let Text::Plain(text) = &url {
        let place = section.place("url").unwrap_or(at);
        let host = match url_host(text) {
            Ok(host) => host,
            Err(why) => {
                reader.out.push(
                    Diagnostic::error(ADDRESS, format!("`url` {why}"))
                        .at(place, format!("in {}", section.of))
                        .note("for example `\"https://hooks.example.com/services/T0/B0\"`"),
                );
                return None;
            }
        };
        if login.is_some() && text.starts_with("http://") && !loopback(host) {
            reader.out.push(readable_password(section, place));
        }
    }
    Some(HttpTarget {
        url,
        headers,
        login,
        ca_file: section.text("ca_file").map(str::to_owned),
    })
}

fn readable_password(section: &Section<'_>, place: Place) -> Diagnostic {
    Diagnostic::warning(SECRET, "`password` is sent so that others can read it")
        .at(place, "this connection is not secured")
        .note(format!("in {}", section.of))
}

/// Whether a host is this machine, so that nobody reads what is sent to it.
fn loopback(host: &str) -> bool {
    host == "localhost" || host == "[::1]" || host == "::1" || host.starts_with("127.")
}

/// The host of a URL.
fn url_host(url: &str) -> Result<&str, &'static str> {
    let rest = url
        .strip_prefix("https://")
        .or_else(|| url.strip_prefix("http://"))
        .ok_or("must begin with `http://` or `https://`")?;
    if url.contains(|c: char| c.is_whitespace() || c.is_control() || !c.is_ascii()) {
        return Err("must have no blanks and only ASCII characters");
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        return Err("must hold no password; `username` and `password` are keys");
    }
    host_and_port(authority)
        .map(|(host, _)| host)
        .ok_or("must name a host after `//`, and its port, if any, as a number")
}

/// `host`, `host:25`, `[::1]:25`.
fn host_and_port(text: &str) -> Option<(&str, Option<u16>)> {
    let after_bracket = text.find(']').unwrap_or(0);
    let colon = text.rfind(':').filter(|&at| at > after_bracket);
    let (host, port) = match colon {
        Some(at) => {
            let (host, port) = (text.get(..at)?, text.get(at + 1..)?);
            (host, Some(port.parse().ok().filter(|&port| port > 0)?))
        }
        None => (text, None),
    };
    let name = |host: &str| {
        !host.is_empty()
            && host
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
    };
    let literal = |host: &str| {
        let inside = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
        inside.is_some_and(|inside| {
            let digits = |b: u8| b.is_ascii_hexdigit() || b == b':' || b == b'.';
            inside.contains(':') && inside.bytes().all(digits)
        })
    };
    (name(host) || literal(host)).then_some((host, port))
}

/// Name and password: both or none.
fn login(reader: &mut Reader<'_>, section: &Section<'_>) -> Option<(Text, Text)> {
    let (user, password) = (section.node("username"), section.node("password"));
    let lonely = match (user, password) {
        (Some(node), None) => Some((node, "username", "password")),
        (None, Some(node)) => Some((node, "password", "username")),
        _ => None,
    };
    if let Some((node, one, other)) = lonely {
        reader.out.push(
            Diagnostic::error(MISSING, format!("`{one}` needs a `{other}`"))
                .at(node.place, format!("in {}", section.of)),
        );
    }
    Some((
        section.text_or_secret("username")?,
        section.secret("password")?,
    ))
}

fn headers(reader: &mut Reader<'_>, section: &Section<'_>) -> BTreeMap<String, Text> {
    let mut headers = BTreeMap::new();
    let entries = section
        .table_of("headers")
        .map_or(&[][..], |table| table.entries.as_slice());
    for (name, at, node) in entries {
        let of = || format!("in `headers` of {}", section.of);
        let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
        if name.is_empty() || !name.bytes().all(token) {
            reader.out.push(
                Diagnostic::error(
                    super::read::NAME,
                    format!("`{}` cannot be the name of a header", name.escape_debug()),
                )
                .at(*at, of()),
            );
            continue;
        }
        match form::text_or_secret(node) {
            Err(wrong) => {
                let mut told = Diagnostic::error(wrong.code, format!("`{name}` {}", wrong.message))
                    .at(node.place, of());
                told.help = wrong.help;
                told.hidden = wrong.hidden;
                reader.out.push(told);
            }
            Ok(Text::Plain(text)) if text.contains(|c: char| c.is_control() || !c.is_ascii()) => {
                reader.out.push(
                    Diagnostic::error(form::VALUE, format!("`{name}` cannot stand in a header"))
                        .at(node.place, of())
                        .note("a header has one line of ASCII characters"),
                );
            }
            Ok(value) => {
                if matches!(&value, Text::Plain(text) if !text.is_empty())
                    && (sounds_secret(name) || name.eq_ignore_ascii_case("authorization"))
                {
                    reader.out.push(
                        Diagnostic::warning(
                            SECRET,
                            format!("`{name}` looks like a secret in plain text"),
                        )
                        .at(node.place, of())
                        .hide()
                        .help(format!("write `{name} = {{ file = \"/path\" }}`")),
                    );
                }
                headers.insert(name.clone(), value);
            }
        }
    }
    headers
}

fn smtp(reader: &mut Reader<'_>, section: &Section<'_>, at: Place) -> Option<SmtpTarget> {
    for (key, help) in [
        ("server", "\"HOST\""),
        ("from", "\"checkd@HOST\""),
        ("to", "[\"YOU@HOST\"]"),
    ] {
        missing(reader, section, key, at, help);
    }
    let login = login(reader, section);
    let from = section.text("from");
    if let (Some(from), Some(node)) = (from, section.node("from")) {
        mail_address(reader, section, from, node);
    }
    let to = section.texts("to");
    for (address, node) in to.iter().flatten() {
        mail_address(reader, section, address, node);
    }
    if let (Some([]), Some(place)) = (to.as_deref(), section.place("to")) {
        reader.out.push(
            Diagnostic::error(form::VALUE, "`to` names nobody")
                .at(place, format!("in {}", section.of)),
        );
    }
    let server = section.text("server")?;
    let place = section.place("server").unwrap_or(at);
    let Some((host, port)) = host_and_port(server) else {
        reader.out.push(
            Diagnostic::error(
                ADDRESS,
                "`server` is neither a host nor a host with a port",
            )
            .at(place, format!("in {}", section.of))
            .note("for example `\"mail.example.com\"`, `\"mail.example.com:465\"`, `\"127.0.0.1:25\"`"),
        );
        return None;
    };
    let tls = match (section.choice("tls"), port) {
        (Some("tls"), _) | (None, Some(465)) => SmtpTls::Tls,
        (Some("none"), _) => SmtpTls::None,
        _ => SmtpTls::Starttls,
    };
    if login.is_some() && tls == SmtpTls::None && !loopback(host) {
        reader.out.push(readable_password(section, place));
    }
    Some(SmtpTarget {
        host: host.trim_matches(['[', ']']).to_owned(),
        port: port.unwrap_or(match tls {
            SmtpTls::Starttls => 587,
            SmtpTls::Tls => 465,
            SmtpTls::None => 25,
        }),
        tls,
        from: from?.to_owned(),
        to: to?.into_iter().map(|(text, _)| text.to_owned()).collect(),
        login,
        ca_file: section.text("ca_file").map(str::to_owned),
    })
}

/// `name@host`, without a name before it: what a mail server takes in its envelope.
fn mail_address(reader: &mut Reader<'_>, section: &Section<'_>, text: &str, node: &Node) {
    let good = |part: &str| {
        !part.is_empty()
            && !part.starts_with('.')
            && !part.ends_with('.')
            && !part.contains("..")
            && part
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-._+!#$%&'*/=?^`{|}~".contains(&b))
    };
    let fine = text.rsplit_once('@').is_some_and(|(name, host)| {
        good(name) && host_and_port(host).is_some_and(|(_, port)| port.is_none()) && good(host)
    });
    if !fine && matches!(node.value, Value::Text(_)) {
        reader.out.push(
            Diagnostic::error(ADDRESS, format!("{} is no mail address", form::shown(node)))
                .at(node.place, format!("in {}", section.of))
                .note("an address is `name@host`, without a person's name before it"),
        );
    }
}
