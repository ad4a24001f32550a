//! One bounded attempt: connect, send, read until the text has come.

use std::io;
use std::time::Instant;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout_at;

use crate::judge::Observation;

/// So much of what a peer sends is read; who talks longer than that is not what was expected.
pub(crate) const MOST_READ: usize = 64 * 1024;

/// Whom to try, and what to say.
#[derive(Debug)]
pub(crate) struct Attempt<'a> {
    pub(crate) host: &'a str,
    pub(crate) port: u16,
    pub(crate) send: Option<&'a str>,
    pub(crate) expect: Option<&'a str>,
}

impl Attempt<'_> {
    /// Makes the attempt; comes back by `deadline`, whatever the peer does.
    pub(crate) async fn observe(&self, deadline: Instant) -> Observation {
        let mut reached = Reached::Nothing;
        match timeout_at(deadline.into(), self.talk(&mut reached)).await {
            Ok(observation) => observation,
            Err(_elapsed) => match reached {
                Reached::Nothing => Observation::NotConnectedInTime,
                Reached::Peer(received) => Observation::NotHeardInTime(received),
            },
        }
    }

    async fn talk(&self, reached: &mut Reached) -> Observation {
        let mut stream = match self.connect().await {
            Ok(stream) => stream,
            Err(observation) => return observation,
        };
        *reached = Reached::Peer(0);
        let Some(expect) = self.expect else {
            return Observation::Connected;
        };
        if let Some(send) = self.send
            && let Err(error) = stream.write_all(send.as_bytes()).await
        {
            return Observation::Ended(0, Some(error));
        }
        hear(&mut stream, expect.as_bytes(), reached).await
    }

    async fn connect(&self) -> Result<TcpStream, Observation> {
        let addresses: Vec<_> = match lookup_host((self.host, self.port)).await {
            Ok(addresses) => addresses.collect(),
            Err(error) => return Err(Observation::Unresolved(error)),
        };
        if addresses.is_empty() {
            return Err(Observation::Unresolved(io::ErrorKind::NotFound.into()));
        }
        TcpStream::connect(addresses.as_slice())
            .await
            .map_err(Observation::NotConnected)
    }
}

/// How far an attempt has come, for when its time is up.
enum Reached {
    Nothing,
    Peer(usize),
}

async fn hear(stream: &mut TcpStream, expect: &[u8], reached: &mut Reached) -> Observation {
    let mut heard = Vec::new();
    loop {
        let searched = heard.len();
        let more = (&mut *stream).take(4096).read_buf(&mut heard).await;
        *reached = Reached::Peer(heard.len());
        match more {
            Ok(0) => return Observation::Ended(heard.len(), None),
            Ok(_) => {}
            Err(error) => return Observation::Ended(heard.len(), Some(error)),
        }
        // The text may begin in what was searched before.
        let from = (searched + 1).saturating_sub(expect.len());
        let fresh = heard.get(from..).unwrap_or_default();
        if fresh
            .windows(expect.len().max(1))
            .any(|window| window == expect)
        {
            return Observation::Heard;
        }
        if heard.len() >= MOST_READ {
            return Observation::TooLong(heard.len());
        }
    }
}
