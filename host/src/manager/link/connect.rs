//! Finds the keeper or starts it, and speaks with it line by line.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::PATIENCE;
use super::known::Shared;
use crate::keeper::protocol::{
    Lines, List, MESSAGE_MAX, Message, PROTOCOL, REQUEST_MAX, Request, line,
};
use crate::keeper::{self, SOCKET, plain};
use crate::manager::launch::NOT_INHERITED;
use crate::points::Point;

/// How often is looked whether a keeper that was started listens.
const LOOK: Duration = Duration::from_millis(5);
/// A keeper's log that is larger is begun anew.
const LOG_MAX: u64 = 1 << 20;

pub(super) struct Connection {
    /// Who listens at the other end.
    pub(super) pid: Option<u32>,
    pub(super) lines: Lines<OwnedReadHalf>,
    /// Written by a task of its own: while we write, the keeper may be writing to us.
    pub(super) writer: UnboundedSender<Vec<u8>>,
    pub(super) writing: JoinHandle<()>,
}

impl Shared {
    /// A keeper that speaks our protocol, and what it knows. Starts one, or has an older one go on as
    /// this program.
    pub(super) async fn connect(&self) -> Result<(Connection, List), String> {
        let mut upgraded = false;
        let mut refused: Option<String> = None;
        loop {
            let mut connection = self.reach().await?;
            connection.write(&Request::Hello { protocol: PROTOCOL })?;
            let (build, pid) = match connection.read().await {
                Ok(Some(Message::Hello { build, pid, .. })) => (build, pid),
                Ok(Some(Message::Refused { why })) if upgraded => {
                    let why = refused.unwrap_or(why);
                    return Err(format!("the keeper that runs refuses us: {why}"));
                }
                // It speaks another protocol: it is asked, in the one line that never changes.
                Ok(Some(_)) => {
                    upgraded = true;
                    let mut connection = self.reach().await?;
                    connection.write(&Self::upgrade())?;
                    // It answers when it cannot; when it can, its end of the connection closes.
                    if let Ok(Some(Message::Refused { why })) = connection.read().await {
                        refused = Some(why);
                    }
                    continue;
                }
                // It ended just now, or was killed.
                Ok(None) => {
                    tokio::time::sleep(LOOK).await;
                    continue;
                }
                Err(why) => {
                    let mut known = self.known();
                    known.deaf = connection.pid;
                    let who = connection.pid.map(|pid| format!(" (pid {pid})"));
                    let who = who.unwrap_or_default();
                    return Err(format!("the keeper{who} does not answer: {why}"));
                }
            };
            if build != keeper::build() && !upgraded {
                upgraded = true;
                connection.write(&Self::upgrade())?;
                match connection.read().await {
                    Ok(Some(Message::Refused { why })) => {
                        refused = Some(why);
                    }
                    // Its end of the connection closed when it became another program.
                    Ok(None) => {}
                    other => tracing::debug!(?other, "the keeper said something else"),
                }
                continue;
            }
            {
                let mut known = self.known();
                known.keeper = pid;
                known.stays = refused.take().filter(|_| build != keeper::build());
            }
            connection.write(&Request::List)?;
            loop {
                match connection.read().await? {
                    Some(Message::Listed(list)) => return Ok((connection, list)),
                    // Told before the list, and so in it.
                    Some(_) => {}
                    None => break,
                }
            }
        }
    }

    pub(super) fn upgrade() -> Request {
        Request::Upgrade {
            program: PathBuf::from(format!("/proc/{}/exe", std::process::id())),
        }
    }

    /// A connection to whoever listens; a keeper is started where nobody does.
    pub(super) async fn reach(&self) -> Result<Connection, String> {
        let deadline = Instant::now() + PATIENCE;
        let mut started: Option<tokio::process::Child> = None;
        loop {
            let (_directory, path) = keeper::below(&self.state_dir, SOCKET).map_err(|e| {
                format!("cannot open `{}`: {}", self.state_dir.display(), plain(&e))
            })?;
            let error = match UnixStream::connect(&path).await {
                Ok(stream) => {
                    let pid = stream.peer_cred().ok().and_then(|peer| peer.pid());
                    let (reader, writer) = stream.into_split();
                    let (lines_out, queue) = unbounded_channel();
                    return Ok(Connection {
                        pid: pid.and_then(|pid| u32::try_from(pid).ok()),
                        lines: Lines::new(reader, MESSAGE_MAX),
                        writer: lines_out,
                        writing: tokio::spawn(write_all(writer, queue)),
                    });
                }
                Err(error) => error,
            };
            let nobody = [
                io::ErrorKind::NotFound,
                io::ErrorKind::ConnectionRefused,
                io::ErrorKind::ConnectionReset,
            ];
            if !nobody.contains(&error.kind()) {
                return Err(format!("cannot connect to it: {}", plain(&error)));
            }
            if Instant::now() > deadline {
                return Err(format!("it does not listen: {}", plain(&error)));
            }
            match &mut started {
                None => started = Some(self.start()?),
                Some(child) => {
                    // Another one may hold the lock, about to listen or about to end.
                    if child.try_wait().ok().flatten().is_some() {
                        tokio::time::sleep(LOOK * 4).await;
                        started = None;
                    }
                }
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    pub(super) fn start(&self) -> Result<tokio::process::Child, String> {
        let log = self.state_dir.join("keeper.log");
        let large = std::fs::metadata(&log).is_ok_and(|meta| meta.len() > LOG_MAX);
        let open = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(&log)
            .and_then(|file| {
                if large {
                    file.set_len(0)?;
                }
                Ok((file.try_clone()?, file))
            });
        let (out, err) =
            open.map_err(|e| format!("cannot write `{}`: {}", log.display(), plain(&e)))?;
        let mut command = tokio::process::Command::new("/proc/self/exe");
        command
            .arg0("checkd")
            .arg("keeper")
            .arg(&self.state_dir)
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err);
        for name in NOT_INHERITED {
            command.env_remove(name);
        }
        crate::open_files::as_found(command.as_std_mut());
        // Dropped it lives on, and is reaped should it end before us.
        command
            .spawn()
            .map_err(|e| format!("cannot start it: {}", plain(&e)))
    }
}

impl Connection {
    pub(super) fn write(&self, request: &Request) -> Result<(), String> {
        self.put(line(request, REQUEST_MAX)?);
        Ok(())
    }

    pub(super) fn put(&self, line: Vec<u8>) {
        if self.writer.send(line).is_err() {
            // The reader sees the end of the connection too, and acts on it.
            tracing::debug!("the keeper's connection has broken");
        }
    }

    /// One message, soon; nothing when the keeper is gone.
    pub(super) async fn read(&mut self) -> Result<Option<Message>, String> {
        match tokio::time::timeout(PATIENCE, self.next()).await {
            Ok(Ok(message)) => Ok(message),
            Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionReset => Ok(None),
            Ok(Err(error)) => Err(plain(&error)),
            Err(_) => Err(format!("nothing within {}s", PATIENCE.as_secs())),
        }
    }

    pub(super) async fn next(&mut self) -> io::Result<Option<Message>> {
        let Some(line) = self.lines.next().await? else {
            return Ok(None);
        };
        let message = serde_json::from_slice(&line)?;
        Ok(Some(message))
    }
}

pub(super) async fn write_all(mut writer: OwnedWriteHalf, mut queue: UnboundedReceiver<Vec<u8>>) {
    while let Some(line) = queue.recv().await {
        if let Err(error) = writer.write_all(&line).await {
            tracing::debug!(%error, "the keeper's connection has broken");
            return;
        }
        Point::DaemonLineSent.pass();
    }
    // All is said.
    if let Err(error) = writer.shutdown().await {
        tracing::debug!(%error, "the keeper was gone first");
    }
}
