//! What systemd is told: ready, stopping, and that the loop still turns.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// The notify socket, when systemd (or anybody who speaks its protocol) gave one.
#[derive(Debug)]
pub(super) struct Systemd {
    socket: Option<(UnixDatagram, SocketAddr)>,
    /// How often the watchdog wants to hear from us.
    pub(super) watchdog: Option<Duration>,
}

impl Systemd {
    pub(super) fn find() -> Self {
        let socket = std::env::var_os("NOTIFY_SOCKET").and_then(|path| {
            let address = match path.as_bytes().strip_prefix(b"@") {
                Some(name) => SocketAddr::from_abstract_name(name),
                None => SocketAddr::from_pathname(&path),
            };
            let socket = UnixDatagram::unbound().ok()?;
            socket.set_nonblocking(true).ok()?;
            Some((socket, address.ok()?))
        });
        let text = |name: &str| std::env::var(name).ok();
        let ours = text("WATCHDOG_PID").is_none_or(|pid| pid == std::process::id().to_string());
        let watchdog = text("WATCHDOG_USEC")
            .filter(|_| ours && socket.is_some())
            .and_then(|micros| micros.parse().ok())
            .map(|micros| Duration::from_micros(micros) / 2);
        Self { socket, watchdog }
    }

    /// Says one line, such as `READY=1`. Nobody listening is no error.
    pub(super) fn say(&self, line: &str) {
        if let Some((socket, address)) = &self.socket
            && let Err(error) = socket.send_to_addr(line.as_bytes(), address)
        {
            tracing::debug!(%error, "the notify socket did not take a line");
        }
    }
}
