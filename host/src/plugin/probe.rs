//! The blocking client of a worker: asks a plugin to describe itself and to judge options.
//!
//! It is for moments when a person waits (start, `validate`, `kinds`); runs go through
//! [`client`](super::client).

use std::io::{self, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use checkd_core::Span;
use checkd_core::diagnostic::Diagnostic;
use serde_json::{Map, Value};

use crate::manager::plain;

use super::client::millis;
use super::leftover::below_of;
use super::loader::UNUSED;
use super::process::{Launch, Process};
use super::protocol::{
    Ask, KINDS_MAX, KindText, PROBLEMS_MAX, Problem, SampleText, TEXT_MAX, Target, Tell, VERSIONS,
    bounded, line, parse, read_line,
};
use super::secrets::{cleared, cleared_tell};

/// How long a worker may take to start and say hello: an interpreter on a busy disk takes seconds.
pub(crate) const HELLO: Duration = Duration::from_secs(15);

/// How long a worker may take for each of: describe, configure.
pub(crate) const ANSWER: Duration = Duration::from_secs(5);

/// So many lines of log a worker may send before its answer.
pub(crate) const CHATTER_MAX: usize = 100;

/// Why a plugin without kinds cannot be used.
pub(super) const NO_KIND: &str = "it offers no kind";

/// That nothing came in time: told in the words of who waited.
const SILENT: &str = "silence";

/// A worker that has said hello.
#[derive(Debug)]
pub(crate) struct Probe {
    process: Process,
    stream: BufReader<Timed>,
    line: Vec<u8>,
    /// What each of hello, describe, configure may take.
    patience: Duration,
    instances: u64,
    runs: u64,
    /// The last `error` since something was waited for: perhaps it is why nothing comes.
    error: Option<String>,
    /// What the plugin calls itself.
    pub(crate) plugin: String,
    /// The plugin's own version.
    pub(crate) release: String,
    /// What it says that it was built with; may be empty.
    pub(crate) built_with: String,
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
        Self::open_within(launch, origin, ANSWER)
    }

    /// As [`open`](Self::open); the worker may take `patience` for each answer that is due at once.
    pub(crate) fn open_within(
        launch: &Launch,
        origin: &str,
        patience: Duration,
    ) -> Result<Self, Diagnostic> {
        let (process, stream) = launch
            .start()
            .map_err(|error| not_started(launch, origin, &error))?;
        let stream = Timed {
            stream,
            deadline: Instant::now(),
        };
        let mut probe = Self {
            process,
            stream: BufReader::new(stream),
            line: Vec::new(),
            patience,
            instances: 0,
            runs: 0,
            error: None,
            plugin: String::new(),
            release: String::new(),
            built_with: String::new(),
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
                    built_with,
                } => Ok(Ok((version, plugin, release, built_with))),
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
        let (version, plugin, release, built_with) = match hello {
            Ok(hello) => hello?,
            Err(silence) => return Err(broke(launch, origin, &silence)),
        };
        if !VERSIONS.contains(&version) {
            return Err(other_version(origin, version));
        }
        probe.plugin = bounded(&plugin, 128);
        probe.release = bounded(&release, 64);
        probe.built_with = bounded(&built_with, 128);
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
        if kinds.is_empty() {
            return Err(unusable(origin, NO_KIND));
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
        let (instance, problems) = self.make(kind, options, target)?;
        if problems.is_empty() {
            self.send(&Ask::Drop { instance })?;
        }
        Ok(problems)
    }

    /// Makes an instance: its number, and all that is wrong with the options; nothing: it is there.
    pub(crate) fn make(
        &mut self,
        kind: &str,
        options: &Map<String, Value>,
        target: &Target,
    ) -> Result<(u64, Vec<Problem>), String> {
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
        Ok((instance, problems))
    }

    /// Forgets an instance.
    pub(crate) fn forget(&mut self, instance: u64) -> Result<(), String> {
        self.send(&Ask::Drop { instance })
    }

    /// Begins a run: its number.
    pub(crate) fn submit(&mut self, instance: u64, timeout: Duration) -> Result<u64, String> {
        self.runs += 1;
        let (run, timeout_ms) = (self.runs, millis(timeout));
        self.send(&Ask::Submit {
            run,
            instance,
            timeout_ms,
        })?;
        Ok(run)
    }

    /// Gives a run up.
    pub(crate) fn cancel(&mut self, run: u64) -> Result<(), String> {
        self.send(&Ask::Cancel { run })
    }

    /// The next sample, with the run that it is of, within `limit`. Any other answer is an error.
    pub(crate) fn sample(&mut self, limit: Duration) -> Result<(u64, SampleText), String> {
        let answer = self.hear(limit, |tell| match tell {
            Tell::Sample { run, sample } => Ok((run, sample)),
            other @ (Tell::Hello { .. }
            | Tell::Described { .. }
            | Tell::Configured { .. }
            | Tell::Log { .. }
            | Tell::Error { .. }) => Err(other),
        });
        answer.map_err(|fault| match fault.as_str() {
            SILENT => self.with_error(format!("no sample came within {}", Span(millis(limit)))),
            _ => fault,
        })
    }

    /// The samples that came though nobody waited for them: all that the worker says before it
    /// describes itself once more.
    pub(crate) fn unasked(&mut self) -> Result<Vec<(u64, SampleText)>, String> {
        let mut samples = Vec::new();
        self.send(&Ask::Describe)?;
        for _ in 0..CHATTER_MAX {
            let told = self.hear(self.patience, |tell| match tell {
                Tell::Sample { run, sample } => Ok(Some((run, sample))),
                Tell::Described { .. } => Ok(None),
                other @ (Tell::Hello { .. }
                | Tell::Configured { .. }
                | Tell::Log { .. }
                | Tell::Error { .. }) => Err(other),
            });
            match told.map_err(|fault| self.late(fault, self.patience))? {
                Some(sample) => samples.push(sample),
                None => return Ok(samples),
            }
        }
        Err(format!(
            "it sent {CHATTER_MAX} samples that nobody asked for"
        ))
    }

    /// Says what is none of the protocol's messages, and takes the `error` that must come.
    pub(crate) fn say_nonsense(&mut self) -> Result<(), String> {
        #[derive(serde::Serialize)]
        struct Nonsense {
            r#type: &'static str,
        }
        self.write(line(&Nonsense {
            r#type: "checkd_verify_unknown",
        }))?;
        let refused = self.hear(self.patience, |tell| match tell {
            Tell::Error { .. } => Ok(()),
            other @ (Tell::Hello { .. }
            | Tell::Described { .. }
            | Tell::Configured { .. }
            | Tell::Sample { .. }
            | Tell::Log { .. }) => Err(other),
        });
        refused.map_err(|fault| self.late(fault, self.patience))
    }

    /// How many processes its worker has started that are still there.
    pub(crate) fn below(&self) -> usize {
        below_of(self.process.pid())
    }

    /// Begins to end the worker, which is waited for when this is dropped.
    pub(crate) fn end(&self) {
        self.process.kill();
    }

    /// Closes the stream: whether the worker ends by itself within `limit`.
    pub(crate) fn leave(self, limit: Duration) -> bool {
        // An error says that it is closed already.
        drop(
            self.stream
                .get_ref()
                .stream
                .shutdown(std::net::Shutdown::Both),
        );
        self.process.ends_within(limit)
    }

    /// Asks, and waits for the answer that `wanted` takes.
    fn ask<T>(&mut self, ask: &Ask, wanted: impl Fn(Tell) -> Result<T, Tell>) -> Result<T, String> {
        // A person's patience with another one holds for its start too.
        let patience = match ask {
            Ask::Hello { .. } if self.patience == ANSWER => HELLO,
            Ask::Hello { .. }
            | Ask::Describe
            | Ask::Configure { .. }
            | Ask::Submit { .. }
            | Ask::Cancel { .. }
            | Ask::Drop { .. } => self.patience,
        };
        self.send(ask)?;
        let answer = self.hear(patience, wanted);
        answer.map_err(|fault| self.late(fault, patience))
    }

    /// Waits for the answer that `wanted` takes; logs and errors are logged, all else is told.
    fn hear<T>(
        &mut self,
        limit: Duration,
        wanted: impl Fn(Tell) -> Result<T, Tell>,
    ) -> Result<T, String> {
        self.error = None;
        let heard = self.listen(limit, wanted);
        heard.map_err(|fault| match fault.as_str() {
            // Told in other words by who waited.
            SILENT => fault,
            _ => self.with_error(fault),
        })
    }

    /// Why nothing came, with the last `error` of the worker: perhaps it is the reason.
    fn with_error(&self, fault: String) -> String {
        match &self.error {
            Some(error) => format!("{fault}; it said: {error}"),
            None => fault,
        }
    }

    fn listen<T>(
        &mut self,
        limit: Duration,
        wanted: impl Fn(Tell) -> Result<T, Tell>,
    ) -> Result<T, String> {
        self.stream.get_mut().deadline = Instant::now() + limit;
        for _ in 0..CHATTER_MAX {
            match read_line(&mut self.stream, &mut self.line) {
                Ok(true) => {}
                Ok(false) => return Err(format!("its worker {}", self.process.ending())),
                Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                    self.process.kill();
                    return Err(SILENT.into());
                }
                Err(error) => {
                    self.process.kill();
                    return Err(error.to_string());
                }
            }
            let plugin = bounded(&self.plugin, 128);
            let tell = parse::<Tell>(&self.line);
            match tell.map(cleared_tell).map_err(cleared).map(&wanted) {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(Tell::Log { level, message })) => log(&plugin, &level, &message),
                Ok(Err(Tell::Error { message, .. })) => {
                    log(&plugin, "error", &message);
                    self.error = Some(bounded(&message, TEXT_MAX));
                }
                Ok(Err(_)) => tracing::warn!(plugin, "plugin answered what was not asked"),
                Err(fault) => return Err(format!("its answer is not the protocol's: {fault}")),
            }
        }
        self.process.kill();
        Err(format!("it sent {CHATTER_MAX} lines without an answer"))
    }

    /// In the words for an answer that is due at once; whoever answers to the wrong place learns it.
    fn late(&self, fault: String, patience: Duration) -> String {
        if fault != SILENT {
            return fault;
        }
        let told = format!("it did not answer within {}", Span(millis(patience)));
        let told = self.with_error(told);
        let last = self.process.last_line();
        if last.starts_with('{') && last.contains("\"type\"") {
            format!(
                "{told}; it printed `{}`: answers are written to descriptor 0, where requests are \
                 read, and what is printed is a line of the log",
                bounded(&last, 80)
            )
        } else {
            told
        }
    }

    fn send(&mut self, ask: &Ask) -> Result<(), String> {
        self.write(line(ask))
    }

    fn write(&mut self, line: Option<Vec<u8>>) -> Result<(), String> {
        let bytes = line.ok_or("the options are longer than a line of the protocol")?;
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
    ["C0201", "C0202", "C0203", "C0204", "C0209", "C0217"]
        .into_iter()
        .find(|&known| known == code)
        .unwrap_or("C0207")
}

fn cannot_use(code: &'static str, origin: &str) -> Diagnostic {
    Diagnostic::error(code, format!("cannot use plugin `{origin}`"))
}

/// Why a program cannot be started, in a person's words.
pub(crate) fn why_not_started(program: &str, error: &io::Error) -> String {
    if error.kind() != io::ErrorKind::NotFound {
        return format!("it cannot be started: {}", plain(error));
    }
    let place = if program.contains('/') {
        ""
    } else {
        " in PATH"
    };
    format!("there is no program `{}`{place}", bounded(program, 256))
}

/// What to do about a program that cannot be started, where that is sure.
pub(crate) fn how_to_start(kind: io::ErrorKind) -> Option<&'static str> {
    if kind == io::ErrorKind::NotFound {
        Some("install it, or give its whole path")
    } else if kind == io::ErrorKind::PermissionDenied {
        Some("make it executable for checkd's user")
    } else {
        None
    }
}

fn not_started(launch: &Launch, origin: &str, error: &io::Error) -> Diagnostic {
    let program = launch.arguments.first().map(|word| word.to_string_lossy());
    let told = cannot_use("C0209", origin)
        .note(why_not_started(&program.unwrap_or_default(), error))
        .note(UNUSED);
    match how_to_start(error.kind()) {
        Some(help) => told.help(help),
        None => told,
    }
}

/// A worker that did not even say hello: what it does before that is loading its library.
fn broke(launch: &Launch, origin: &str, silence: &str) -> Diagnostic {
    let mut told = unusable(origin, silence);
    if launch.is_library() {
        told = told.note("that was while the library was loaded");
    }
    match &launch.bounds {
        Some(bounds) => told
            .note(format!("its worker {bounds}"))
            .help("raise its limits: too low ones are the likely cause"),
        None if launch.is_library() => {
            told.help("mend what it runs on being loaded, or build it again if it is damaged")
        }
        None => told.help("start its command by hand: `hello` must be answered on descriptor 0"),
    }
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
        .note(UNUSED)
        .help("let its `hello` choose one of the `versions` that the host's `hello` lists")
}

#[cfg(test)]
mod tests;
