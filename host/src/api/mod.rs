//! Control socket: HTTP/1.1 over a Unix socket, and the client of it.

pub mod client;
mod routes;
pub mod selector;
#[cfg(test)]
mod tests;
pub mod wire;

use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::extract::FromRef;
use axum::extract::connect_info::Connected;
use axum::serve::IncomingStream;
use checkd_core::diagnostic::Diagnostic;
use checkd_core::plan::Plan;
use tokio::net::UnixListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

#[cfg(test)]
pub(crate) use routes::of_incident;
pub(crate) use routes::{WAIT_MAX, explained};

use crate::daemon::Asked;
use crate::journal::Reader;
use crate::manager::plain;

/// The longest path that fits into a socket's address.
const PATH_MAX: usize = 107 - FRESH.len();
/// What is put behind the path until the socket may be seen.
const FRESH: &str = ".new";

/// What requests are served from.
#[derive(Clone, Debug)]
pub struct Live {
    /// The plan in force.
    pub plan: watch::Receiver<Arc<Plan>>,
    /// To the loop.
    pub questions: mpsc::Sender<Asked>,
    /// The journal.
    pub reader: Reader,
    /// Where the output of members goes.
    pub output_dir: PathBuf,
    /// Another number with every change of what stands.
    pub changes: watch::Receiver<u64>,
}

/// What one request may use: it sees one plan, though another may come into force meanwhile.
impl FromRef<Live> for Shared {
    fn from_ref(live: &Live) -> Self {
        Self {
            plan: Arc::clone(&live.plan.borrow()),
            questions: live.questions.clone(),
            reader: live.reader.clone(),
            output_dir: live.output_dir.clone(),
            changes: live.changes.clone(),
        }
    }
}

/// What one request may use.
#[derive(Clone, Debug)]
pub struct Shared {
    /// The plan in force when it came.
    pub plan: Arc<Plan>,
    /// To the loop.
    pub questions: mpsc::Sender<Asked>,
    /// The journal.
    pub reader: Reader,
    /// Where the output of members goes.
    pub output_dir: PathBuf,
    /// Another number with every change of what stands.
    pub changes: watch::Receiver<u64>,
}

/// A bound control socket.
#[derive(Debug)]
pub struct Server {
    listener: UnixListener,
    path: PathBuf,
    /// What our socket is on its file system.
    identity: Option<(u64, u64)>,
}

/// A control socket that answers.
#[derive(Debug)]
pub struct Serving {
    stop: watch::Sender<()>,
    task: JoinHandle<()>,
    path: PathBuf,
    /// What our socket is on its file system.
    identity: Option<(u64, u64)>,
}

/// Who is at the other end.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    /// `uid 1000 (anna)`.
    pub(crate) by: String,
}

impl Connected<IncomingStream<'_, UnixListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, UnixListener>) -> Self {
        let by = match stream.io().peer_cred() {
            Ok(credentials) => who(credentials.uid()),
            Err(_) => "somebody unknown".to_owned(),
        };
        Self { by }
    }
}

/// `uid 1000 (anna)`, or `uid 1000`.
fn who(uid: u32) -> String {
    let wanted = uid.to_string();
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == wanted).then_some(name)
    });
    name.map_or_else(
        || format!("uid {uid}"),
        |name| format!("uid {uid} ({name})"),
    )
}

fn cannot_bind(path: &Path, why: &str) -> Diagnostic {
    let message = format!("control socket `{}` {why}", path.display());
    Diagnostic::error("C0505", message).note("nothing was started and nothing was changed")
}

impl Server {
    /// Looks whether the socket can be bound at `path`, and changes nothing: asked before anything
    /// is made, so that a daemon that cannot begin leaves nothing behind.
    ///
    /// # Errors
    /// C0505: the path is too long, something else stands there, or another daemon answers there.
    pub fn may_bind(path: &Path) -> Result<(), Diagnostic> {
        let cannot = |why: String| cannot_bind(path, &why);
        let length = path.as_os_str().len();
        if length > PATH_MAX {
            return Err(cannot(format!(
                "cannot be made: its path has {length} bytes, and a socket's may have {PATH_MAX}"
            ))
            .help(
                "set `control` in `[daemon]` to a shorter path, such as `/run/checkd/control.sock`",
            ));
        }
        let there = std::fs::symlink_metadata(path);
        if there.is_ok_and(|there| !there.file_type().is_socket()) {
            return Err(
                cannot("is something else: what is there is no socket".to_owned())
                    .note("it was left alone")
                    .help("set `control` in `[daemon]` to a path where nothing is yet"),
            );
        }
        if std::os::unix::net::UnixStream::connect(path).is_ok() {
            return Err(cannot("is in use: another daemon answers there".to_owned())
                .help("give this daemon a `control` of its own in `[daemon]`"));
        }
        Ok(())
    }

    /// Binds the socket at `path`, readable by its owner and, when given, one Unix group.
    ///
    /// # Errors
    /// C0505: as [`Server::may_bind`], or it cannot be made.
    pub fn bind(path: &Path, group: Option<&str>) -> Result<Self, Diagnostic> {
        Self::may_bind(path)?;
        let cannot = |why: String| cannot_bind(path, &why);
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory)
                .map_err(|e| cannot(format!("cannot be made: {}", plain(&e))))?;
        }
        // Made under another name and renamed when its mode is right: nobody can connect before,
        // and a socket that a dead daemon left is replaced in one step.
        let mut fresh = path.as_os_str().to_owned();
        fresh.push(FRESH);
        let fresh = PathBuf::from(fresh);
        let made = remove(&fresh)
            .and_then(|()| UnixListener::bind(&fresh))
            .and_then(|listener| {
                let mode = match group {
                    Some(group) => {
                        std::os::unix::fs::chown(&fresh, None, Some(group_id(group)?))?;
                        0o660
                    }
                    None => 0o600,
                };
                std::fs::set_permissions(&fresh, std::fs::Permissions::from_mode(mode))?;
                std::fs::rename(&fresh, path)?;
                Ok(listener)
            })
            .map_err(|e| {
                drop(remove(&fresh));
                cannot(format!("cannot be made: {}", plain(&e)))
            })?;
        Ok(Self {
            listener: made,
            identity: identity(path),
            path: path.to_owned(),
        })
    }

    /// Begins to answer.
    pub fn serve(self, live: Live) -> Serving {
        let (stop, mut stopped) = watch::channel(());
        let ending = routes::Ending(stopped.clone());
        let app = routes::router(live, ending).into_make_service_with_connect_info::<Peer>();
        let task = tokio::spawn(async move {
            let ended = async move { drop(stopped.changed().await) };
            let serving = axum::serve(self.listener, app).with_graceful_shutdown(ended);
            if let Err(error) = serving.await {
                tracing::error!(%error, "the control socket ended");
            }
        });
        Serving {
            stop,
            task,
            identity: self.identity,
            path: self.path,
        }
    }
}

impl Serving {
    /// Stops answering, lets answers in flight go out, and removes the socket.
    pub async fn end(self) {
        // Another daemon's by now, should the state directory have been removed.
        let ours = self.identity.is_some() && identity(&self.path) == self.identity;
        if ours && let Err(error) = remove(&self.path) {
            tracing::debug!(%error, "the control socket could not be removed");
        }
        drop(self.stop);
        // An idle client that keeps its connection must not keep the daemon.
        let patience = std::time::Duration::from_secs(1);
        if tokio::time::timeout(patience, self.task).await.is_err() {
            tracing::debug!("a client kept its connection");
        }
    }
}

/// What stands at a path: device and inode.
fn identity(path: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt as _;
    let meta = std::fs::symlink_metadata(path).ok()?;
    Some((meta.dev(), meta.ino()))
}

fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

fn group_id(group: &str) -> io::Result<u32> {
    let text = std::fs::read_to_string("/etc/group")?;
    text.lines()
        .find_map(|line| {
            let mut fields = line.split(':');
            (fields.next()? == group).then(|| fields.nth(1)?.parse().ok())?
        })
        .ok_or_else(|| io::Error::other(format!("there is no group `{group}` in /etc/group")))
}
