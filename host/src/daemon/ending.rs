//! The end of a daemon: what becomes of acts in flight and of members, and what the next daemon must
//! know.

use std::process::ExitCode;
use std::time::Duration;

use checkd_core::engine::{Effect, Event};
use checkd_core::journal::Entry;
use checkd_core::plan::OnExit;
use checkd_core::policy::keep::Kept;
use checkd_core::{Instant, Span};
use tokio::sync::mpsc::UnboundedReceiver;

use super::{Daemon, Look, Signals};

/// How long acts in flight may still take when the daemon ends and its members are stopped.
const LAST_ACTS: Duration = Duration::from_secs(30);

/// And how long what did not stop may take to be killed.
const LAST_KILLS: Duration = Duration::from_secs(20);

/// What began so shortly before the end may have reached nobody.
const LAST_RUNS: Span = Span::millis(100);

/// How the loop was ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Leave,
    Stop,
    /// Members live on, and are another daemon's.
    Ousted,
}

impl Daemon {
    /// What is not seen yet is not seen any more, and who was looked at is left to the next daemon.
    pub(super) fn look_no_more(&mut self) {
        for look in std::mem::take(&mut self.looks).into_values() {
            if let Look::UnderWay(looking) = look {
                looking.abort();
            }
        }
    }

    /// Members live on: the keeper brings acts in flight to their end, and tells the next daemon. Members
    /// stop: all of them are stopped, and acts in flight are waited for. A second signal hurries.
    pub(super) async fn last_acts(
        &mut self,
        end: End,
        events: &mut UnboundedReceiver<Event>,
        signals: &mut Signals,
    ) {
        // Of what comes now not all is decided by the engine.
        self.journal.end_segment();
        self.look_no_more();
        let not_begun = self.manager.no_more_starts();
        self.acting.retain(|intent| !not_begun.contains(intent));
        if end != End::Stop {
            self.keep_when();
            // While we waited nobody would be checked.
            while let Ok(event) = events.try_recv() {
                self.note(end, &event);
            }
            return;
        }
        let running = self.manager.running();
        self.talk.own(&format!(
            "stopping {running} member{}; a second signal kills",
            if running == 1 { "" } else { "s" }
        ));
        let manager = self.manager.clone();
        let work = manager.stop_all();
        tokio::pin!(work);
        let patience = tokio::time::sleep(LAST_ACTS);
        tokio::pin!(patience);
        let (mut worked, mut hurried) = (false, false);
        while !worked || !self.acting.is_empty() {
            tokio::select! {
                failed = &mut work, if !worked => {
                    worked = true;
                    for (path, why) in failed {
                        self.talk.own(&format!("{path} did not stop: {why}"));
                    }
                }
                Some(event) = events.recv() => self.note(end, &event),
                () = &mut patience, if worked => break,
                _ = signals.term.recv() => { hurried = true; break; }
                _ = signals.interrupt.recv() => { hurried = true; break; }
            }
        }
        if hurried {
            self.talk
                .own("killing what is left; another signal ends checkd whatever is left");
        }
        // An act that was in flight may have started a member after it was looked for.
        let mut rounds = 0;
        while self.manager.running() > 0 && rounds < 2 {
            rounds += 1;
            // A keeper that hangs answers nobody.
            tokio::select! {
                () = self.manager.kill_all() => {}
                () = tokio::time::sleep(LAST_KILLS) => break,
                _ = signals.term.recv() => break,
                _ = signals.interrupt.recv() => break,
            }
        }
        while let Ok(event) = events.try_recv() {
            self.note(end, &event);
        }
    }

    /// Notes when this daemon ended: the next one makes up for the runs that are due until it is there.
    fn keep_when(&mut self) {
        let now = crate::clock::now();
        let due = self
            .wake_at
            .map_or(now, |at| Instant(at.0.saturating_sub(1)));
        let at = Instant(now.0.saturating_sub(LAST_RUNS.0)).min(due);
        let first = self.plan.members().next();
        if let Some(kept) = first.and_then(|id| self.engine.keep(id, at)) {
            self.journal.keep(Kept::Member(Box::new(kept)));
        }
    }

    /// What the next daemon must know, though this one does nothing any more: what became of acts
    /// in flight, and who was stopped.
    fn note(&mut self, end: End, event: &Event) {
        self.remember(event);
        // No intent comes any more, and the keeper hears of this when the journal is closed.
        self.manager.noted(event);
        if let (End::Stop, Event::Exited { member, .. }) = (end, event) {
            // To the engine this would be a death.
            if let Some(kept) = self.engine.keep(*member, crate::clock::now()) {
                self.journal.keep(Kept::Member(Box::new(kept.stopped())));
            }
            return;
        }
        if end == End::Stop {
            return;
        }
        let mut effects = Vec::new();
        self.engine.step(event, crate::clock::now(), &mut effects);
        for effect in effects {
            match effect {
                // Nobody would hear that it is stored, so it is not written down as if.
                Effect::Record(Entry::Intent { .. } | Entry::Decision { .. })
                | Effect::Run(_)
                | Effect::WakeAt(_) => {}
                // What is stored already the keeper does without us.
                Effect::Do(..)
                | Effect::Record(_)
                | Effect::Keep(_)
                | Effect::Notify(_)
                | Effect::Answer { .. } => self.carry_out(effect),
            }
        }
    }

    pub(super) async fn finish(mut self, end: End) -> ExitCode {
        self.note_ends();
        self.notifier.end().await;
        while let Ok(said) = self.notify_says.try_recv() {
            self.talk.line(&said);
        }
        let running = self.manager.running();
        let s = if running == 1 { "" } else { "s" };
        match (end, running) {
            (End::Leave | End::Ousted, 0) => self.talk.own("ended; no member was running"),
            (End::Leave, n) => self.talk.own(&format!(
                "ended; {n} member{s} live on, and the next `checkd run` takes them over"
            )),
            (End::Ousted, n) => self.talk.own(&format!("ended; {n} member{s} live on")),
            (End::Stop, 0) => self.talk.own("ended; every member is stopped"),
            (End::Stop, n) => self
                .talk
                .own(&format!("ended; {n} member{s} could not be stopped")),
        }
        self.journal.close();
        self.talk.end();
        if end == End::Ousted || (end == End::Stop && running > 0) {
            ExitCode::FAILURE
        } else {
            ExitCode::SUCCESS
        }
    }
}

impl From<OnExit> for End {
    fn from(on_exit: OnExit) -> Self {
        match on_exit {
            OnExit::Leave => Self::Leave,
            OnExit::Stop => Self::Stop,
        }
    }
}
