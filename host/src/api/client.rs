//! The other end of the control socket: how a verb finds the daemon and asks it.

use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use checkd_core::diagnostic::Diagnostic;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use super::wire::Refusal;
use crate::manager::plain;

/// The largest answer that is read.
const ANSWER_MAX: usize = 256 * 1_024 * 1_024;
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where the daemon listens, and how that was found out.
#[derive(Clone, Debug)]
pub struct Control {
    /// The socket.
    pub path: PathBuf,
    /// `--control`, `$CHECKD_CONTROL`, or the configuration that says so.
    pub chosen_by: String,
}

/// Why there is no answer.
#[derive(Debug)]
pub enum Failure {
    /// The daemon says no: usage is wrong (a selector that names nothing).
    Refused(Refusal),
    /// No daemon answers, or what answers is not one.
    Silent(Box<Diagnostic>),
}

impl Control {
    /// Asks for a value.
    ///
    /// # Errors
    /// No daemon answers, or it refuses.
    pub fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        self.ask(Method::GET, path, Bytes::new())
    }

    /// Gives an order.
    ///
    /// # Errors
    /// No daemon answers, or it refuses.
    pub fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, Failure> {
        let body = serde_json::to_vec(body).map_err(|e| self.strange(&e.to_string()))?;
        self.ask(Method::POST, path, Bytes::from(body))
    }

    fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<T, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|e| self.strange(&e.to_string()))?;
        let exchange = async {
            tokio::time::timeout(PATIENCE, self.exchange(method, path, body))
                .await
                .map_err(|_| self.strange("no answer within 30s"))?
        };
        let (good, bytes) = runtime.block_on(exchange)?;
        if good {
            return serde_json::from_slice(&bytes).map_err(|e| self.strange(&e.to_string()));
        }
        match serde_json::from_slice::<Refusal>(&bytes) {
            Ok(refusal) => Err(Failure::Refused(refusal)),
            Err(e) => Err(self.strange(&e.to_string())),
        }
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<(bool, Bytes), Failure> {
        let stream = UnixStream::connect(&self.path)
            .await
            .map_err(|e| self.silent(&e))?;
        let strange = |e: &dyn std::error::Error| self.strange(&e.to_string());
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|e| strange(&e))?;
        let driver = tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "checkd")
            .header("content-type", "application/json")
            .body(Full::new(body))
            .map_err(|e| strange(&e))?;
        let response = sender
            .send_request(request)
            .await
            .map_err(|e| strange(&e))?;
        let good = response.status().is_success();
        let bytes = Limited::new(response.into_body(), ANSWER_MAX)
            .collect()
            .await
            .map_err(|e| self.strange(&e.to_string()))?
            .to_bytes();
        driver.abort();
        Ok((good, bytes))
    }

    fn silent(&self, error: &std::io::Error) -> Failure {
        use std::io::ErrorKind::{ConnectionRefused, NotFound, PermissionDenied};
        let path = self.path.display();
        let told = Diagnostic::error("C0506", format!("no daemon answers at `{path}`"));
        let chosen = format!("this socket was chosen by {}", self.chosen_by);
        // The file says where the next daemon will be, and not where the one is that runs.
        let moved = "where `state_dir` or `control` was changed in it, the daemon that runs is where it \
                     was before: `--control PATH` reaches it";
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "the system has many more reasons"
        )]
        let told = match error.kind() {
            NotFound if self.chosen_by.starts_with("the configuration") => told
                .note("there is no such socket")
                .note(chosen)
                .note(moved)
                .help("where none runs, start it with `checkd run`"),
            NotFound => told.note("there is no such socket").note(chosen).help(
                "start it with `checkd run`, or name the socket of another one with `--control PATH`, or \
                 its configuration in `CHECKD_CONFIG`",
            ),
            ConnectionRefused if self.no_socket() => told
                .note("what is there is no socket")
                .note(chosen)
                .help("name the control socket of the daemon with `--control PATH`"),
            ConnectionRefused => told
                .note("the socket is there, and nobody listens: its daemon was killed")
                .note(chosen)
                .help("start it again with `checkd run`: members that still run are taken over"),
            PermissionDenied => told
                .note("this user may not use the socket")
                .note(chosen)
                .help("ask as the user who runs the daemon, or set `control_group` in `[daemon]`"),
            _ => told.note(plain(error)).note(chosen),
        };
        Failure::Silent(Box::new(told))
    }

    fn no_socket(&self) -> bool {
        std::fs::metadata(&self.path).is_ok_and(|there| !there.file_type().is_socket())
    }

    fn strange(&self, why: &str) -> Failure {
        let told = Diagnostic::error(
            "C0509",
            format!(
                "the daemon at `{}` gave no usable answer: {why}",
                self.path.display()
            ),
        )
        .note(format!("this socket was chosen by {}", self.chosen_by))
        .note("a daemon of another version, or another program, may be listening there");
        Failure::Silent(Box::new(told))
    }
}

/// A text as part of a query.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~/*:".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

/// The socket at `path`, for whoever names it.
pub fn at(path: &Path, chosen_by: &str) -> Control {
    Control {
        path: path.to_owned(),
        chosen_by: chosen_by.to_owned(),
    }
}
