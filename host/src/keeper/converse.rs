//! What a keeper and its daemons say to each other.

use std::io;
use std::path::PathBuf;

use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixStream;
use tokio::sync::mpsc;

use super::protocol::{
    Lines, MESSAGE_MAX, Message, PROTOCOL, REQUEST_MAX, Request, line, signal_named,
};
use super::{Keeper, note, plain};
use crate::points::Point;

/// So many connections at once.
const CONNECTIONS: usize = 16;
/// So many messages may wait for a daemon before it is cut off.
const QUEUE: usize = 65_536;

pub(super) fn accept(keeper: &Keeper, stream: UnixStream, to_upgrade: mpsc::Sender<PathBuf>) {
    let us = rustix::process::geteuid().as_raw();
    let allowed = stream
        .peer_cred()
        .is_ok_and(|peer| peer.uid() == us || peer.uid() == 0);
    let room = keeper.0.daemons.borrow().len() < CONNECTIONS;
    if !allowed || !room {
        note("a connection was refused");
        return;
    }
    let keeper = keeper.clone();
    tokio::task::spawn_local(async move {
        if let Err(error) = converse(&keeper, stream, to_upgrade).await {
            note(&format!("a connection broke: {}", plain(&error)));
        }
        keeper
            .0
            .daemons
            .borrow_mut()
            .retain(|daemon| !daemon.is_closed());
        keeper.0.less.notify_one();
    });
}

pub(super) async fn converse(
    keeper: &Keeper,
    mut stream: UnixStream,
    to_upgrade: mpsc::Sender<PathBuf>,
) -> io::Result<()> {
    let (reader, mut writer) = stream.split();
    let mut lines = Lines::new(reader, REQUEST_MAX);
    let (sender, mut messages) = mpsc::channel::<Message>(QUEUE);
    let hello = match lines.next().await? {
        Some(line) => serde_json::from_slice::<Request>(&line),
        None => return Ok(()),
    };
    let Ok(Request::Hello { protocol: PROTOCOL }) = hello else {
        // An upgrade must be possible from any protocol to any other.
        if let Ok(Request::Upgrade { program }) = hello {
            keeper.0.askers.borrow_mut().push(sender);
            drop(to_upgrade.try_send(program));
            // The connection closes when we are another program.
            return match messages.recv().await {
                Some(answer) => say(&mut writer, &answer).await,
                None => Ok(()),
            };
        }
        let why = format!("the first line must be a hello of protocol {PROTOCOL}");
        return say(&mut writer, &Message::Refused { why }).await;
    };
    let hello = Message::Hello {
        protocol: PROTOCOL,
        build: super::build(),
        pid: std::process::id(),
    };
    say(&mut writer, &hello).await?;
    keeper.0.daemons.borrow_mut().push(sender.clone());
    // The loop looks again whether it may end.
    keeper.0.less.notify_one();
    // The queue beside the keeper's, for answers.
    drop(sender);
    loop {
        tokio::select! {
            biased;
            message = messages.recv() => {
                // Cut off: it did not listen.
                let Some(message) = message else { return Ok(()) };
                say(&mut writer, &message).await?;
            }
            line = lines.next() => {
                let Some(line) = line? else { return Ok(()) };
                match serde_json::from_slice::<Request>(&line) {
                    Ok(request) => {
                        // What was told before is said before the answer.
                        while let Ok(message) = messages.try_recv() {
                            say(&mut writer, &message).await?;
                        }
                        if let Some(answer) = follow(keeper, request, &to_upgrade) {
                            say(&mut writer, &answer).await?;
                        }
                    }
                    Err(error) => {
                        let why = format!("not understood: {error}");
                        say(&mut writer, &Message::Refused { why }).await?;
                    }
                }
            }
        }
    }
}

pub(super) async fn say(
    writer: &mut (impl tokio::io::AsyncWrite + Unpin),
    message: &Message,
) -> io::Result<()> {
    let line = line(message, MESSAGE_MAX).map_err(io::Error::other)?;
    writer.write_all(&line).await?;
    Point::KeeperLineSent.pass();
    Ok(())
}

pub(super) fn follow(
    keeper: &Keeper,
    request: Request,
    to_upgrade: &mpsc::Sender<PathBuf>,
) -> Option<Message> {
    match request {
        Request::Hello { .. } => None,
        Request::Ping => Some(Message::Pong),
        Request::List => Some(Message::Listed(keeper.list())),
        Request::Act(order) => {
            keeper.take(*order);
            None
        }
        Request::Signal {
            path,
            generation,
            signal,
        } => {
            let life = keeper.life(&path).filter(|l| l.generation == generation);
            let sent = life.map(|life| signal_named(&signal).and_then(|s| life.signal(s)));
            let why = sent?.err()?;
            Some(Message::Refused { why })
        }
        Request::Adopt {
            path,
            generation,
            output,
        } => {
            let well = keeper.adopt(path.clone(), generation, None, output);
            Some(Message::Adopted {
                path,
                generation,
                well,
            })
        }
        Request::Output { path, output } => {
            keeper.redirect(&path, output);
            None
        }
        Request::Ack { exits, acts } => {
            keeper.acknowledge(&exits, &acts);
            None
        }
        Request::Upgrade { program } => {
            drop(to_upgrade.try_send(program));
            None
        }
    }
}
