//! The blocking client of a worker: asks a plugin to describe itself and to judge options.
//!
//! It is for moments when a person waits (start, `validate`, `kinds`); runs go through
//! [`client`](super::client).

use std::io::{self, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use checkd_core::diagnostic::Diagnostic;
use serde_json::{Map, Value};

use super::process::{Launch, Process};
use super::protocol::{
    Ask, KINDS_MAX, KindText, PROBLEMS_MAX, Problem, TEXT_MAX, Target, Tell, VERSIONS, bounded,
    line, parse, read_line,
};

/// How long a worker may take for each of: hello, describe, configure.
pub(crate) const ANSWER: Duration = Duration::from_secs(5);

/// So many lines of log a worker may send before its answer.
pub(crate) const CHATTER_MAX: usize = 100;

/// A worker that has said hello.
#[derive(Debug)]
pub(crate) struct Probe {
    process: Process,
    stream: BufReader<Timed>,
    line: Vec<u8>,
    instances: u64,
    /// What the plugin calls itself.
    pub(crate) plugin: String,
    /// The plugin's own version.
    pub(crate) release: String,
}

/// A stream whose reads end at a deadline, however slowly bytes drip in.
#[derive(Debug)]
struct Timed {
    stream: UnixStream,
    deadline: Instant,
}

impl Read for Timed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.stream.set_read_timeout(Some(left))?;
        match self.stream.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                Err(io::ErrorKind::TimedOut.into())
            }
            // It ended before it had read all that we sent.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(0),
            other => other,
        }
    }
}

impl Probe {
    /// Starts a worker and says hello, or says why the plugin cannot be used.
    ///
    /// `origin` is the plugin in the user's words: its path or its command.
    pub(crate) fn open(launch: &Launch, origin: &str) -> Result<Self, Diagnostic> {
        let (process, stream) = launch
            .start()
            .map_err(|error| not_started(origin, &error))?;
        let stream = Timed {
            stream,
            deadline: Instant::now(),
        };
        let mut probe = Self {
            process,
            stream: BufReader::new(stream),
            line: Vec::new(),
            instances: 0,
            plugin: String::new(),
            release: String::new(),
        };
        let hello = probe.ask(
            &Ask::Hello {
                versions: VERSIONS.to_vec(),
            },
            |tell| match tell {
                Tell::Hello {
                    version,
                    plugin,
                    release,
                } => Ok(Ok((version, plugin, release))),
                Tell::Error {
                    code,
                    message,
                    notes,
                    help,
                } => Ok(Err(refused(origin, &code, &message, notes, help))),
                other @ (Tell::Described { .. }
                | Tell::Configured { .. }
                | Tell::Sample { .. }
                | Tell::Log { .. }) => Err(other),
            },
        );
        let (version, plugin, release) = match hello {
            Ok(hello) => hello?,
            Err(silence) => return Err(broke(launch, origin, &silence)),
        };
        if !VERSIONS.contains(&version) {
            return Err(other_version(origin, version));
        }
        probe.plugin = bounded(&plugin, 128);
        probe.release = bounded(&release, 64);
        Ok(probe)
    }

    /// What the plugin offers.
    pub(crate) fn describe(&mut self, origin: &str) -> Result<Vec<KindText>, Diagnostic> {
        let told = self.ask(&Ask::Describe, |tell| match tell {
            Tell::Described { kinds } => Ok(Ok(kinds)),
            Tell::Error {
                code,
                message,
                notes,
                help,
            } => Ok(Err(refused(origin, &code, &message, notes, help))),
            other @ (Tell::Hello { .. }
            | Tell::Configured { .. }
            | Tell::Sample { .. }
            | Tell::Log { .. }) => Err(other),
        });
        let kinds = told.map_err(|silence| unusable(origin, &silence))??;
        if kinds.len() > KINDS_MAX {
            return Err(unusable(
                origin,
                &format!("it offers {} kinds, {KINDS_MAX} are allowed", kinds.len()),
            ));
        }
        Ok(kinds)
    }

    /// Lets the plugin judge options; `Err` says why it could not.
    pub(crate) fn configure(
        &mut self,
        kind: &str,
        options: &Map<String, Value>,
        target: &Target,
    ) -> Result<Vec<Problem>, String> {
        self.instances += 1;
        let instance = self.instances;
        let ask = Ask::Configure {
            instance,
            kind: kind.into(),
            options: options.clone(),
            target: target.clone(),
        };
        let mut problems = self.ask(&ask, |tell| match tell {
            Tell::Configured {
                instance: of,
                problems,
            } if of == instance => Ok(problems),
            other @ (Tell::Hello { .. }
            | Tell::Described { .. }
            | Tell::Configured { .. }
            | Tell::Sample { .. }
            | Tell::Log { .. }
            | Tell::Error { .. }) => Err(other),
        })?;
        problems.truncate(PROBLEMS_MAX);
        for problem in &mut problems {
            problem.bound();
        }
        if problems.is_empty() {
            self.send(&Ask::Drop { instance })?;
        }
        Ok(problems)
    }

    /// Asks, and waits for the answer that `wanted` takes; logs are logged, all else is told.
    fn ask<T>(&mut self, ask: &Ask, wanted: impl Fn(Tell) -> Result<T, Tell>) -> Result<T, String> {
        self.stream.get_mut().deadline = Instant::now() + ANSWER;
        self.send(ask)?;
        for _ in 0..CHATTER_MAX {
            match read_line(&mut self.stream, &mut self.line) {
                Ok(true) => {}
                Ok(false) => return Err(format!("its worker {}", self.process.ending())),
                Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                    self.process.kill();
                    return Err(format!("it did not answer within {} s", ANSWER.as_secs()));
                }
                Err(error) => {
                    self.process.kill();
                    return Err(error.to_string());
                }
            }
            let plugin = bounded(&self.plugin, 128);
            match parse::<Tell>(&self.line).map(&wanted) {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(Tell::Log { level, message })) => log(&plugin, &level, &message),
                Ok(Err(Tell::Error { message, .. })) => {
                    return Err(format!("it says: {}", bounded(&message, TEXT_MAX)));
                }
                Ok(Err(_)) => tracing::warn!(plugin, "plugin answered what was not asked"),
                Err(fault) => return Err(format!("its answer is not the protocol's: {fault}")),
            }
        }
        self.process.kill();
        Err(format!("it sent {CHATTER_MAX} lines without an answer"))
    }

    fn send(&mut self, ask: &Ask) -> Result<(), String> {
        let bytes = line(ask).ok_or("the options are longer than a line of the protocol")?;
        let stream = &mut self.stream.get_mut().stream;
        let sent = stream
            .set_write_timeout(Some(ANSWER))
            .and_then(|()| stream.write_all(&bytes));
        // Its ending says more than "broken pipe".
        sent.map_err(|_| {
            self.process.kill();
            format!("its worker {}", self.process.ending())
        })
    }
}

/// Logs what a plugin says, at its level.
pub(crate) fn log(plugin: &str, level: &str, message: &str) {
    let said = bounded(message, TEXT_MAX);
    match level {
        "error" => tracing::error!(plugin, said, "plugin says"),
        "warn" => tracing::warn!(plugin, said, "plugin says"),
        "debug" | "trace" => tracing::debug!(plugin, said, "plugin says"),
        _ => tracing::info!(plugin, said, "plugin says"),
    }
}

/// The stable codes that a worker may answer with; another one becomes the general code.
fn known_code(code: &str) -> &'static str {
    ["C0201", "C0202", "C0203", "C0204"]
        .into_iter()
        .find(|&known| known == code)
        .unwrap_or("C0207")
}

fn cannot_use(code: &'static str, origin: &str) -> Diagnostic {
    Diagnostic::error(code, format!("cannot use plugin `{origin}`"))
}

fn not_started(origin: &str, error: &io::Error) -> Diagnostic {
    cannot_use("C0209", origin).note(format!("it cannot be started: {error}"))
}

/// A worker that did not even say hello: what it does before that is loading its library.
fn broke(launch: &Launch, origin: &str, silence: &str) -> Diagnostic {
    let told = unusable(origin, silence);
    if !launch.is_library() {
        return told;
    }
    told.note("that was while the library was loaded").help(
        "build the plugin again, for the file may be damaged; or mend what it runs on being loaded",
    )
}

fn unusable(origin: &str, why: &str) -> Diagnostic {
    cannot_use("C0207", origin).note(why)
}

fn refused(
    origin: &str,
    code: &str,
    message: &str,
    notes: Vec<String>,
    help: Option<String>,
) -> Diagnostic {
    let mut told = cannot_use(known_code(code), origin);
    if !message.is_empty() {
        told = told.note(bounded(message, TEXT_MAX));
    }
    for note in notes.into_iter().take(16) {
        told = told.note(bounded(&note, TEXT_MAX));
    }
    match help {
        Some(help) => told.help(bounded(&help, TEXT_MAX)),
        None => told,
    }
}

fn other_version(origin: &str, version: u32) -> Diagnostic {
    let ours: Vec<String> = VERSIONS.iter().map(u32::to_string).collect();
    cannot_use("C0203", origin)
        .note(format!(
            "it speaks version {version} of the worker protocol"
        ))
        .note(format!("this host speaks {}", ours.join(", ")))
}

#[cfg(test)]
mod tests;
