//! The worker protocol: one JSON object a line in both directions (`docs/worker-protocol.md`).
//!
//! It is the call shape of the library doors written as JSON, so a worker for a library and a program
//! in any language are the same thing to the host. Whatever comes from a worker is hostile: lines,
//! texts and lists are bounded here, and nothing here panics.

use std::io::{self, BufRead};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The versions that this host speaks, newest first.
pub const VERSIONS: &[u32] = &[1];

/// The longest line in bytes, without its line end.
pub const LINE_MAX: usize = 1 << 20;

/// The longest message, name or other text for a person in bytes; longer ones are cut.
pub const TEXT_MAX: usize = 4 << 10;

/// So many measurements of one sample are kept.
pub const MEASUREMENTS_MAX: usize = 64;

/// So many kinds of one plugin are taken.
pub const KINDS_MAX: usize = 256;

/// So many problems of one configuration are shown.
pub const PROBLEMS_MAX: usize = 64;

/// What the host says to a worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Ask {
    /// The first line: which versions the host speaks. Answered by [`Tell::Hello`].
    Hello {
        /// Versions of this protocol.
        versions: Vec<u32>,
    },
    /// Which kinds are offered? Answered by [`Tell::Described`].
    Describe,
    /// Make an instance. Answered by [`Tell::Configured`].
    Configure {
        /// Its number, chosen by the host.
        instance: u64,
        /// Of which kind.
        kind: String,
        /// Its options, placeholders and secrets already replaced.
        options: Map<String, Value>,
        /// What it will look at.
        target: Target,
    },
    /// Run an instance once. Answered by [`Tell::Sample`].
    Submit {
        /// The run's number, chosen by the host.
        run: u64,
        /// Which instance.
        instance: u64,
        /// What the target may take, in milliseconds.
        timeout_ms: u64,
    },
    /// Give this run up. Its sample may still come, and must come when it has not.
    Cancel {
        /// Which.
        run: u64,
    },
    /// Forget an instance. Not answered.
    Drop {
        /// Which.
        instance: u64,
    },
}

/// What a worker says to the host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Tell {
    /// The answer to [`Ask::Hello`].
    Hello {
        /// The version that will be spoken: one of the host's.
        version: u32,
        /// What the plugin calls itself.
        #[serde(default)]
        plugin: String,
        /// The plugin's own version.
        #[serde(default)]
        release: String,
        /// What it was built with, for a person: `checkd-abi 1.0.0, checkd-plugin-api 1.2.0`.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        built_with: String,
    },
    /// The answer to [`Ask::Describe`].
    Described {
        /// Every kind that is offered.
        kinds: Vec<KindText>,
    },
    /// The answer to [`Ask::Configure`].
    Configured {
        /// Which instance.
        instance: u64,
        /// All mistakes in its options at once; none: the instance is there.
        #[serde(default)]
        problems: Vec<Problem>,
    },
    /// The answer to [`Ask::Submit`], once.
    Sample {
        /// Which run.
        run: u64,
        /// What it said.
        sample: SampleText,
    },
    /// A line for the host's log.
    Log {
        /// `error`, `warn`, `info`, `debug`; anything else is `info`.
        #[serde(default)]
        level: String,
        /// The line.
        message: String,
    },
    /// Something that the worker could not do. Ends the hello when it is the answer to it.
    Error {
        /// A stable word or code, where there is one.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        code: String,
        /// What is wrong, one line.
        message: String,
        /// Facts.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        notes: Vec<String>,
        /// What to do.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        help: Option<String>,
    },
}

/// What a run is about: what placeholders in options stand for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Target {
    /// The group's name.
    pub group: String,
    /// The member's name; none for a check that the group shares.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member: Option<String>,
    /// The member's index; none for a check that the group shares.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<u32>,
    /// The member's process, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// The member's port, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
}

/// A mistake in the options of one check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Problem {
    /// The option at fault; `None` when it is about several. On the wire also an empty text.
    #[serde(default, deserialize_with = "some_text")]
    pub option: Option<String>,
    /// What is wrong: found against allowed.
    pub message: String,
    /// One thing to do, where the kind is sure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

/// What a kind says about itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct KindText {
    /// Its name in a configuration, at most 64 bytes.
    #[schemars(regex(pattern = r"^[a-z][a-z0-9_-]{0,63}$"))]
    pub kind: String,
    /// One line for a person.
    #[serde(default)]
    pub summary: String,
    /// `process`, `host` or `dependency`; empty is `process`.
    #[serde(default)]
    #[schemars(extend("enum" = ["", "process", "host", "dependency"]))]
    pub scope: String,
    /// Whether its samples come unasked.
    #[serde(default)]
    pub passive: bool,
    /// Whether a run occupies a thread.
    #[serde(default)]
    pub blocking: bool,
    /// JSON Schema of its options: an object with `properties`. `null`: it has none.
    #[serde(default)]
    #[schemars(extend("type" = ["object", "null"]))]
    pub options: Value,
    /// The smallest honest use, as TOML.
    #[serde(default)]
    pub example: String,
    /// The package that holds it, with its version: `check-tcp 1.2.0`.
    #[serde(default)]
    pub package: String,
}

/// One run's sample as it crosses the border: nothing in it is trusted yet.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SampleText {
    /// `pass`, `warn`, `fail` or `unknown`.
    #[schemars(extend("enum" = ["pass", "warn", "fail", "unknown"]))]
    pub status: String,
    /// Why it is not a pass: a name of the closed list. `timeout`, `refused`, `wrong` and `stale` go
    /// with a warn or a fail, the others with an unknown.
    #[serde(default)]
    #[schemars(extend("enum" = [
        null, "timeout", "refused", "wrong", "stale", "no_permission", "misconfigured", "crashed",
        "overran"
    ]))]
    pub cause: Option<String>,
    /// One line for a person.
    #[serde(default)]
    pub message: String,
    /// What was measured; the first 64 are kept.
    #[serde(default)]
    pub measurements: Vec<MeasurementText>,
}

/// One number as it crosses the border. A number that JSON cannot say (NaN) arrives as `null`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MeasurementText {
    /// What was measured.
    #[schemars(regex(pattern = r"^[a-z][a-z0-9_]{0,63}$"))]
    pub name: String,
    /// Its value, a finite number; one that is `null` is dropped.
    pub value: Option<f64>,
    /// Its unit, or empty.
    #[serde(default)]
    pub unit: String,
    /// The limit that it was judged against.
    #[serde(default)]
    pub limit: Option<f64>,
}

/// A message as one line, with its line end; `None` when it would be longer than [`LINE_MAX`].
pub fn line(message: &impl Serialize) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    add_line(&mut bytes, message).then_some(bytes)
}

/// Adds a message to `bytes` as [`line()`] would make it; false, and nothing is added, when it would be
/// longer than [`LINE_MAX`].
pub fn add_line(bytes: &mut Vec<u8>, message: &impl Serialize) -> bool {
    let before = bytes.len();
    if serde_json::to_writer(&mut *bytes, message).is_err() || bytes.len() - before > LINE_MAX {
        bytes.truncate(before);
        return false;
    }
    bytes.push(b'\n');
    true
}

/// One line as a message, or what is wrong with it, for a person.
pub fn parse<'a, T: Deserialize<'a>>(line: &'a [u8]) -> Result<T, String> {
    // The error repeats what it found, at any length.
    serde_json::from_slice(line)
        .map_err(|error| format!("{}: `{}`", bounded(&error.to_string(), 256), excerpt(line)))
}

/// One line of a host. As [`parse`]; the message that begins a run is read without a detour.
pub fn parse_ask(line: &[u8]) -> Result<Ask, String> {
    #[derive(Deserialize)]
    struct Submit {
        #[serde(rename = "type")]
        _type: SubmitTag,
        run: u64,
        instance: u64,
        timeout_ms: u64,
    }
    match serde_json::from_slice(line) {
        Ok(Submit {
            run,
            instance,
            timeout_ms,
            ..
        }) => Ok(Ask::Submit {
            run,
            instance,
            timeout_ms,
        }),
        Err(_) => parse(line),
    }
}

/// One line of a worker. As [`parse`]; the message that ends a run is read without a detour.
pub fn parse_tell(line: &[u8]) -> Result<Tell, String> {
    #[derive(Deserialize)]
    struct Answer {
        #[serde(rename = "type")]
        _type: SampleTag,
        run: u64,
        sample: SampleText,
    }
    match serde_json::from_slice(line) {
        Ok(Answer { run, sample, .. }) => Ok(Tell::Sample { run, sample }),
        Err(_) => parse(line),
    }
}

/// The type of [`Ask::Submit`]. To find the type of any message, serde keeps all of it aside first,
/// which costs more than the run of a quick check.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum SubmitTag {
    Submit,
}

/// The type of [`Tell::Sample`].
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum SampleTag {
    Sample,
}

/// Reads one line, without its end, into `line`; false at the end of the stream.
///
/// A line longer than [`LINE_MAX`] is an error of kind `InvalidData`: after it nothing can be trusted.
pub fn read_line(stream: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    loop {
        let seen = match stream.fill_buf() {
            Ok(seen) => seen,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if seen.is_empty() {
            return Ok(!line.is_empty());
        }
        let (used, ended) = gather(seen, line)?;
        stream.consume(used);
        if ended {
            return Ok(true);
        }
    }
}

/// Takes what is `seen` of a stream into `line`, as far as the line goes: how much of it was taken,
/// and whether the line has ended.
pub(crate) fn gather(seen: &[u8], line: &mut Vec<u8>) -> io::Result<(usize, bool)> {
    let (part, used, ended) = match seen.iter().position(|&byte| byte == b'\n') {
        Some(end) => (seen.get(..end).unwrap_or_default(), end + 1, true),
        None => (seen, seen.len(), false),
    };
    if line.len() + part.len() > LINE_MAX {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("a line is longer than {LINE_MAX} bytes"),
        ));
    }
    line.extend_from_slice(part);
    Ok((used, ended))
}

/// `text` as one line of at most `max` bytes: control characters become blanks, the rest is cut and
/// marked with `…`.
pub fn bounded(text: &str, max: usize) -> String {
    let mut kept = String::with_capacity(text.len().min(max));
    for character in text.trim_end().chars() {
        if kept.len() + character.len_utf8() > max.saturating_sub('…'.len_utf8()) {
            kept.push('…');
            break;
        }
        kept.push(if character.is_control() {
            ' '
        } else {
            character
        });
    }
    kept
}

impl Problem {
    /// A problem of one option.
    pub fn of(option: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            option: Some(option.into()),
            message: message.into(),
            help: None,
        }
    }

    /// A problem of the options together.
    pub fn of_all(message: impl Into<String>) -> Self {
        Self {
            option: None,
            message: message.into(),
            help: None,
        }
    }

    /// Cuts the texts, which may come from a plugin.
    pub(crate) fn bound(&mut self) {
        self.option = self.option.take().map(|option| bounded(&option, 128));
        self.message = bounded(&self.message, TEXT_MAX);
        self.help = self.help.take().map(|help| bounded(&help, TEXT_MAX));
    }
}

/// As a person reads it: `` `port`: must be at least 1, found 0 ``.
impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.option {
            Some(option) => write!(f, "`{option}`: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

/// An empty text is none.
fn some_text<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    Ok(Option::<String>::deserialize(from)?.filter(|text| !text.is_empty()))
}

/// The beginning of a line, for a message about it.
fn excerpt(line: &[u8]) -> String {
    bounded(
        &String::from_utf8_lossy(line.get(..100).unwrap_or(line)),
        80,
    )
}

mod run_of;
pub mod schema;

pub(crate) use run_of::run_of;

#[cfg(test)]
mod tests;
