//! The task that owns the connection: asks, takes what is told, and connects again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use checkd_core::Generation;
use checkd_core::engine::{Event, Exit};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::oneshot;
use tokio::time::{Instant, MissedTickBehavior};

use super::connect::Connection;
use super::known::Shared;
use super::{AGAIN, Ask, PATIENCE};
use crate::keeper::plain;
use crate::keeper::protocol::{Gone, List, Message, Order, REQUEST_MAX, Request, line};
use crate::manager::pulse;
use crate::points::Point;

pub(super) struct Task {
    pub(super) shared: Arc<Shared>,
    pub(super) pending: BTreeMap<u64, (Order, oneshot::Sender<Result<(), String>>)>,
    pub(super) adopting: Vec<(String, Generation, oneshot::Sender<bool>)>,
    /// Who waits for the last word to be said.
    pub(super) ended: Option<oneshot::Sender<()>>,
}

impl Task {
    /// Compares what is with what was, and asks again for what has no answer.
    pub(super) async fn begin(
        &self,
        mut connection: Connection,
        list: List,
        first: bool,
    ) -> Result<Connection, String> {
        let shared = &self.shared;
        let before = shared.recall(&list);
        for what in &list.remarks {
            tracing::warn!(what, "the keeper has something to say");
        }
        let lives: BTreeSet<(&str, Generation)> = list
            .members
            .iter()
            .map(|living| (living.path.as_str(), living.generation))
            .collect();
        for gone in &list.exits {
            let told = shared.known().told.contains(&gone.generation);
            if !told {
                shared.exited(gone);
            }
        }
        for (path, living) in &before {
            if lives.contains(&(path.as_str(), living.generation)) {
                continue;
            }
            if list
                .exits
                .iter()
                .any(|gone| gone.generation == living.generation)
            {
                continue;
            }
            // Only a keeper that did not start it does not know it.
            let (path, generation) = (path.clone(), living.generation);
            let output = self.shared.output(&path);
            let adopt = Request::Adopt {
                path: path.clone(),
                generation,
                output,
            };
            connection.write(&adopt)?;
            let well = loop {
                match connection.read().await? {
                    Some(Message::Adopted { well, .. }) => break well,
                    Some(other) => self.early(other),
                    None => return Err("the keeper went away".to_owned()),
                }
            };
            if !well {
                let exit = Exit::Lost;
                shared.exited(&Gone {
                    path,
                    generation,
                    exit,
                    left: 0,
                });
            }
        }
        for living in list.members {
            if let Some(output) = self.shared.output(&living.path) {
                let path = living.path.clone();
                let request = Request::Output { path, output };
                connection.write(&request)?;
            }
            let same = before
                .get(&living.path)
                .is_some_and(|known| known.generation == living.generation);
            if !same {
                shared.started(living, true);
            }
        }
        for path in shared.silent() {
            // Its last words may be in the pipe still: the keeper before was killed.
            if let Some(output) = shared.output(&path) {
                connection.write(&Request::Output { path, output })?;
            }
        }
        if first {
            // Acts of the daemon before that came to their end.
            for act in list.acts.into_iter().filter(|act| act.ended) {
                let (intent, result) = (act.intent, act.error.map_or(Ok(()), Err));
                shared.ears().send(Event::Done { intent, result });
            }
        } else {
            for (order, _) in self.pending.values() {
                let request = Request::Act(Box::new(order.clone()));
                connection.write(&request)?;
            }
        }
        Ok(connection)
    }

    pub(super) fn early(&self, message: Message) {
        match message {
            Message::Started(living) => {
                let adopted = living.adopted;
                let known = self.shared.known().lives.get(&living.path).cloned();
                if known.is_none_or(|known| known.generation != living.generation) {
                    self.shared.started(living, adopted);
                }
            }
            Message::Exited(gone) => self.shared.exited(&gone),
            // One of another build need not know how to say that it lives; that it answers is enough.
            Message::Refused { why } if why.contains("unknown variant `ping`") => {}
            Message::Refused { why } => tracing::warn!(why, "the keeper did not follow"),
            Message::Done {
                intent: Some(intent),
                error,
                ..
            } => {
                // One that we wait for is asked for again, and answered again.
                if !self
                    .pending
                    .values()
                    .any(|(order, _)| order.intent == Some(intent))
                {
                    self.shared.known().begun.insert(intent, true);
                    let result = error.map_or(Ok(()), Err);
                    self.shared.ears().send(Event::Done { intent, result });
                }
            }
            Message::Pong
            | Message::Hello { .. }
            | Message::Listed(_)
            | Message::Done { .. }
            | Message::Adopted { .. } => {}
        }
    }

    pub(super) async fn serve(
        mut self,
        mut connection: Connection,
        mut asks: UnboundedReceiver<Ask>,
    ) {
        let mut beat = tokio::time::interval(pulse::EVERY);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while self.ended.is_none() {
            let told = tokio::select! {
                biased;
                message = connection.next() => match message {
                    Ok(Some(message)) => {
                        self.shared.known().pulse.heard();
                        self.take(message);
                        Ok(())
                    }
                    Ok(None) => Err("its connection closed".to_owned()),
                    Err(error) => Err(plain(&error)),
                },
                ask = asks.recv() => match ask {
                    Some(ask) => {
                        self.ask(&connection, ask);
                        Ok(())
                    }
                    None => return,
                },
                _ = beat.tick() => {
                    if self.shared.known().pulse.ask(Instant::now()) {
                        Self::request(&connection, &Request::Ping);
                    }
                    Ok(())
                }
            };
            if let Err(why) = told {
                match self.again(&why).await {
                    Some(new) => connection = new,
                    None => return,
                }
            }
        }
        drop(connection.writer);
        if connection.writing.await.is_err() {
            tracing::debug!("the writer to the keeper ended badly");
        }
        if let Some(answer) = self.ended.take() {
            // Whoever waits may have gone.
            answer.send(()).ok();
        }
    }

    /// The connection broke: gets another one.
    pub(super) async fn again(&mut self, why: &str) -> Option<Connection> {
        for (_, _, answer) in self.adopting.drain(..) {
            answer.send(false).ok();
        }
        let keeper = self.shared.known().keeper;
        self.shared.known().pulse.heard();
        let mut told = false;
        let begin = Instant::now();
        loop {
            let connected = match self.shared.connect().await {
                Ok((connection, list)) => self.begin(connection, list, false).await,
                Err(why) => Err(why),
            };
            match connected {
                Ok(connection) => {
                    self.shared.known().missing = None;
                    let now = self.shared.known().keeper;
                    if now == keeper {
                        tracing::info!(why, "connected to the keeper again");
                    } else {
                        let members = self.shared.known().lives.len();
                        tracing::warn!(
                            why,
                            keeper = now,
                            members,
                            "the keeper was killed; another one has taken over what runs, and will not \
                             know the exit codes of these members"
                        );
                    }
                    return Some(connection);
                }
                Err(why) => {
                    self.shared.known().missing = Some(why.clone());
                    if !std::mem::replace(&mut told, true) {
                        tracing::error!(
                            why,
                            "there is no keeper; no member can be started or stopped"
                        );
                    }
                    if begin.elapsed() > PATIENCE {
                        for (_, (_, answer)) in std::mem::take(&mut self.pending) {
                            drop(answer.send(Err(format!("there is no keeper: {why}"))));
                        }
                    }
                }
            }
            if self.shared.ears().events.is_closed() {
                return None;
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    pub(super) fn take(&mut self, message: Message) {
        Point::DaemonAnswerRead.pass();
        match message {
            Message::Done { intent, tag, error } => {
                let result = error.map_or(Ok(()), Err);
                if let Some(intent) = intent {
                    let mut known = self.shared.known();
                    known.begun.insert(intent, true);
                    known.highest = known.highest.max(intent);
                }
                let mine = |order: &Order| match intent {
                    Some(_) => order.intent == intent,
                    None => order.tag == tag,
                };
                let found = self.pending.iter().find(|(_, (order, _))| mine(order));
                let found = found.map(|(&tag, _)| tag);
                match (found.and_then(|tag| self.pending.remove(&tag)), intent) {
                    (Some((_, answer)), _) => drop(answer.send(result)),
                    // An act of the daemon before.
                    (None, Some(intent)) => self.shared.ears().send(Event::Done { intent, result }),
                    (None, None) => {}
                }
            }
            Message::Adopted {
                path,
                generation,
                well,
            } => {
                let asked = |(p, g, _): &(String, Generation, _)| *p == path && *g == generation;
                if let Some(at) = self.adopting.iter().position(asked) {
                    let (_, _, answer) = self.adopting.swap_remove(at);
                    answer.send(well).ok();
                }
            }
            Message::Pong
            | Message::Hello { .. }
            | Message::Listed(_)
            | Message::Started(_)
            | Message::Exited(_)
            | Message::Refused { .. } => self.early(message),
        }
    }

    pub(super) fn ask(&mut self, connection: &Connection, ask: Ask) {
        match ask {
            Ask::Act(order, answer) => {
                let request = Request::Act(order.clone());
                match line(&request, REQUEST_MAX) {
                    Ok(line) => {
                        self.pending.insert(order.tag, (*order, answer));
                        connection.put(line);
                        Point::DaemonOrderQueued.pass();
                    }
                    Err(why) => {
                        drop(answer.send(Err(format!("its start cannot be described: {why}"))));
                    }
                }
            }
            Ask::Adopt(path, generation, answer) => {
                let output = self.shared.output(&path);
                let request = Request::Adopt {
                    path: path.clone(),
                    generation,
                    output,
                };
                self.adopting.push((path, generation, answer));
                Self::request(connection, &request);
            }
            Ask::Request(request) => Self::request(connection, &request),
            Ask::End(answer) => self.ended = Some(answer),
        }
    }

    pub(super) fn request(connection: &Connection, request: &Request) {
        if let Err(why) = connection.write(request) {
            tracing::warn!(why, "something cannot be asked of the keeper");
        }
    }
}
