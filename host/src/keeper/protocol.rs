//! What daemon and keeper say to each other: JSON lines over a Unix socket, each of a bounded length.
//!
//! The daemon asks ([`Request`]), the keeper answers and tells what happens ([`Message`]). Every act
//! of the engine carries its intent: asked for twice it is done once and answered twice, so a daemon
//! that came back simply asks again.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use checkd_core::engine::Exit;
use checkd_core::plan::{Bounds, Resource};
use checkd_core::{Generation, IntentId};
use rustix::process::Signal;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};

/// Grows with every change that the other side would misunderstand.
pub(crate) const PROTOCOL: u32 = 1;
/// The longest line that the keeper takes: one start with a very large environment.
pub(crate) const REQUEST_MAX: usize = 4 << 20;
/// The longest line that the daemon takes: the list of many thousand members.
pub(crate) const MESSAGE_MAX: usize = 64 << 20;

/// What a daemon asks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Request {
    /// A sign of life, please.
    Ping,
    /// The first line of every connection.
    Hello {
        /// [`PROTOCOL`].
        protocol: u32,
    },
    /// What is: answered with [`Message::Listed`].
    List,
    /// Start, stop, restart, kill.
    Act(Box<Order>),
    /// Send a signal to the first process of a member, if it is that life.
    Signal {
        /// Which member.
        path: String,
        /// Which life.
        generation: Generation,
        /// `HUP`.
        signal: String,
    },
    /// Look after a process that somebody else started.
    Adopt {
        /// As which member.
        path: String,
        /// Which process.
        generation: Generation,
        /// Where its output goes, if it writes into our pipe.
        output: Option<Output>,
    },
    /// Where the output of a member goes from now on; what is in the pipe of one without a life is
    /// moved there at once.
    Output {
        /// Which member.
        path: String,
        /// Where.
        output: Output,
    },
    /// The journal holds these; they need not be remembered any more.
    Ack {
        /// Lives whose end is known.
        exits: Vec<Generation>,
        /// Acts whose outcome is known.
        acts: Vec<IntentId>,
    },
    /// Go on as this program, in place: members stay children.
    Upgrade {
        /// What to become.
        program: PathBuf,
    },
}

/// One act.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Order {
    /// The engine's intent; nothing for what the daemon does at its own end.
    pub(crate) intent: Option<IntentId>,
    /// Comes back in [`Message::Done`].
    pub(crate) tag: u64,
    /// What.
    pub(crate) verb: Verb,
    /// `web/web-3`.
    pub(crate) path: String,
    /// Which life to stop; another one is left alone.
    pub(crate) generation: Option<Generation>,
    /// How to stop.
    pub(crate) stop: Option<Stop>,
    /// How to start.
    pub(crate) spec: Option<Spec>,
}

/// What can be done to a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verb {
    /// Start a member that has no process.
    Start,
    /// Stop it and start it.
    Restart,
    /// Stop it.
    Stop,
    /// Kill its whole tree at once.
    Kill,
}

/// How to stop a member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stop {
    /// `TERM`.
    pub(crate) signal: String,
    /// How long it may take, in milliseconds, before its tree is killed.
    pub(crate) patience_ms: u64,
}

/// Everything that a start needs; nothing is looked up by the keeper but the program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Spec {
    /// A path, or a name to look for in PATH.
    pub(crate) program: String,
    /// After the program.
    pub(crate) arguments: Vec<String>,
    /// Where the daemon runs: relative paths are seen from there.
    pub(crate) base: Option<PathBuf>,
    /// Where it runs.
    pub(crate) directory: Option<String>,
    /// As whom.
    pub(crate) account: Option<Account>,
    /// The whole environment.
    pub(crate) environment: Vec<(Word, Word)>,
    /// File mode creation mask.
    pub(crate) umask: Option<u32>,
    /// Resource limits. A keeper that knows none becomes another program before it is asked.
    #[serde(default)]
    pub(crate) limits: Vec<(Resource, Bounds)>,
    /// Where its output goes.
    pub(crate) output: Output,
}

/// A user, as the daemon found it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Account {
    /// The name, for messages.
    pub(crate) name: String,
    /// User id.
    pub(crate) uid: u32,
    /// Group id.
    pub(crate) gid: u32,
    /// Every other group that lists the user.
    pub(crate) groups: Vec<u32>,
}

/// Where the output of a member goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Output {
    /// The file; or a device or a pipe, which the member then writes itself.
    pub(crate) path: PathBuf,
    /// The pipe that the member writes into.
    pub(crate) pipe: PathBuf,
    /// The file is set aside when it is so large, in bytes.
    pub(crate) max_size: u64,
    /// So many old files are kept beside it.
    pub(crate) keep: u32,
    /// Each line begins with the time at which it came.
    pub(crate) timestamps: bool,
}

/// A word of the system: text, or bytes where it is none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Word {
    /// As nearly all of them.
    Text(String),
    /// Not UTF-8.
    Bytes(Vec<u8>),
}

impl Word {
    /// From the system.
    pub(crate) fn new(word: OsString) -> Self {
        match word.into_string() {
            Ok(text) => Self::Text(text),
            Err(word) => Self::Bytes(word.as_bytes().to_vec()),
        }
    }

    /// For the system.
    pub(crate) fn os(&self) -> OsString {
        match self {
            Self::Text(text) => OsString::from(text),
            Self::Bytes(bytes) => OsString::from_vec(bytes.clone()),
        }
    }
}

/// What the keeper says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "snake_case")]
pub(crate) enum Message {
    /// The answer to [`Request::Ping`].
    Pong,
    /// The answer to [`Request::Hello`].
    Hello {
        /// [`PROTOCOL`].
        protocol: u32,
        /// Which file it runs from; see [`super::build`].
        build: String,
        /// Its process id; 1 when it is the first process of a container.
        pid: u32,
    },
    /// The answer to [`Request::List`].
    Listed(List),
    /// A member runs.
    Started(Living),
    /// A member is gone.
    Exited(Gone),
    /// An act has come to its end.
    Done {
        /// Whose.
        intent: Option<IntentId>,
        /// Whose.
        tag: u64,
        /// Why it could not be.
        error: Option<String>,
    },
    /// The answer to [`Request::Adopt`].
    Adopted {
        /// Which.
        path: String,
        /// Which.
        generation: Generation,
        /// Whether it lives and is looked after now.
        well: bool,
    },
    /// A line could not be followed.
    Refused {
        /// Why.
        why: String,
    },
}

/// All that the keeper knows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct List {
    /// Who lives.
    pub(crate) members: Vec<Living>,
    /// Who ended and was not acknowledged, oldest first.
    pub(crate) exits: Vec<Gone>,
    /// Acts that were begun.
    pub(crate) acts: Vec<Begun>,
    /// The highest intent that was ever seen.
    pub(crate) highest: IntentId,
    /// What a person should know, told once.
    #[serde(default)]
    pub(crate) remarks: Vec<String>,
}

/// A living member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Living {
    /// `web/web-3`.
    pub(crate) path: String,
    /// Which life.
    pub(crate) generation: Generation,
    /// What started it.
    pub(crate) intent: Option<IntentId>,
    /// True when this keeper did not start it and will not know how it ends.
    pub(crate) adopted: bool,
}

/// A life that is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Gone {
    /// `web/web-3`.
    pub(crate) path: String,
    /// Which life.
    pub(crate) generation: Generation,
    /// How.
    pub(crate) exit: Exit,
    /// So many others of it were left when its first process ended by itself; they were killed.
    #[serde(default)]
    pub(crate) left: u32,
}

/// An act that was begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Begun {
    /// Whose.
    pub(crate) intent: IntentId,
    /// `web/web-3`.
    pub(crate) path: String,
    /// Whether it came to its end.
    pub(crate) ended: bool,
    /// Why it could not be.
    pub(crate) error: Option<String>,
}

/// A line with its end.
///
/// # Errors
/// It cannot be written as JSON, or is longer than the other side takes.
pub(crate) fn line<T: Serialize>(value: &T, max: usize) -> Result<Vec<u8>, String> {
    let mut line = serde_json::to_vec(value).map_err(|e| e.to_string())?;
    line.push(b'\n');
    if line.len() > max {
        return Err(format!(
            "it takes {} bytes, and {max} is the most",
            line.len()
        ));
    }
    Ok(line)
}

/// Takes lines of a bounded length. Dropping a `next` that waits loses nothing.
#[derive(Debug)]
pub(crate) struct Lines<R> {
    reader: BufReader<R>,
    line: Vec<u8>,
    max: usize,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    /// Lines of `reader` of at most `max` bytes.
    pub(crate) fn new(reader: R, max: usize) -> Self {
        Self {
            reader: BufReader::new(reader),
            line: Vec::new(),
            max,
        }
    }

    /// The next line without its end; nothing when the other side is gone.
    ///
    /// # Errors
    /// The line is too long, or the socket broke.
    pub(crate) async fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            let found = self.reader.fill_buf().await?;
            if found.is_empty() {
                // Half a line is no line: whoever wrote it was killed.
                return Ok(None);
            }
            let end = found.iter().position(|&byte| byte == b'\n');
            let taken = end.map_or(found.len(), |at| at + 1);
            if self.line.len() + taken > self.max {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!("a line is longer than {} bytes", self.max),
                ));
            }
            self.line
                .extend_from_slice(found.get(..taken).unwrap_or_default());
            self.reader.consume(taken);
            if end.is_some() {
                self.line.pop();
                return Ok(Some(std::mem::take(&mut self.line)));
            }
        }
    }
}

/// `TERM` or `SIGTERM`.
///
/// # Errors
/// For a person: what may be written.
pub(crate) fn signal_named(name: &str) -> Result<Signal, String> {
    let signal = match name.strip_prefix("SIG").unwrap_or(name) {
        // An empty text is a plan that was not made by the reader; TERM is what it would say.
        "TERM" | "" => Signal::TERM,
        "INT" => Signal::INT,
        "QUIT" => Signal::QUIT,
        "HUP" => Signal::HUP,
        "KILL" => Signal::KILL,
        "ABRT" => Signal::ABORT,
        "USR1" => Signal::USR1,
        "USR2" => Signal::USR2,
        "WINCH" => Signal::WINCH,
        "ALRM" => Signal::ALARM,
        _ => {
            return Err(format!(
                "`{name}` is no signal to stop with: TERM, INT, QUIT, HUP, KILL, ABRT, USR1, USR2, \
                 WINCH or ALRM"
            ));
        }
    };
    Ok(signal)
}
