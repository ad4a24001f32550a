//! What waits for the writer: bounded in bytes. The passes of one check that change nothing are one
//! message for as long as they wait, and so is what is kept of a member.
//!
//! A disk that stalls for seconds must cost neither the loop a moment nor the journal an entry. The loop
//! only ever locks the queue for as long as it takes to move messages in memory.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant as Clock};

use checkd_core::journal::Entry;
use checkd_core::policy::keep::Kept;
use checkd_core::replay::{Short, goes_on};
use checkd_core::{Instant, IntentId, LeafId};

use super::{Message, inputs};

/// So many bytes may wait for the disk.
pub(super) const ROOM: usize = 96 << 20;
/// Runs may take so much of it, in quarters: the rest is for what cannot be observed again.
const RUNS_QUARTERS: usize = 3;
/// So many messages are taken at once at most.
pub(super) const BATCH: usize = 4_096;
/// How long what comes together is gathered before it is taken, for whoever sends one sends more: where
/// somebody waits until it is stored, where it is for the next daemon or for a person, and where it is a
/// run of a check.
const GATHER: [Duration; 3] = [
    Duration::from_millis(2),
    Duration::from_millis(20),
    Duration::from_millis(50),
];

/// Passes of one check that changed nothing, counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Passes {
    pub(super) first: Instant,
    pub(super) last: Instant,
    pub(super) count: u64,
    pub(super) largest_gap: u64,
}

impl Passes {
    pub(super) fn one(at: Instant) -> Self {
        Self {
            first: at,
            last: at,
            count: 1,
            largest_gap: 0,
        }
    }

    /// Whether those that came after these did so at the same pace: then a first, a last and a count say
    /// when each of them was.
    pub(super) fn go_on_with(&self, later: &Self) -> bool {
        let these = |passes: &Self| (passes.first, passes.last, passes.count);
        let as_those = match later.count {
            0 | 1 => true,
            _ => goes_on(these(later), later.last + later.first.since(self.last)),
        };
        as_those && goes_on(these(self), later.first)
    }

    /// Counts those that came after these.
    pub(super) fn add(&mut self, later: Self) {
        let between = later.first.since(self.last).0;
        self.largest_gap = self.largest_gap.max(between).max(later.largest_gap);
        self.last = later.last;
        self.count += later.count;
    }
}

/// A leaf by its group and its member, and only then by its check.
type Of = (u32, Option<u32>, u32);

fn of(leaf: LeafId) -> Of {
    (leaf.group, leaf.member, leaf.check)
}

/// Why something was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// There is no room left.
    Full,
    /// Nobody takes anything out any more.
    Ended,
}

impl Refusal {
    pub(super) const fn why(self) -> &'static str {
        match self {
            Self::Full => "the disk does not keep up",
            Self::Ended => "its writer has ended",
        }
    }
}

#[derive(Debug)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    came: Condvar,
    room: usize,
    lost: AtomicU64,
    commits: AtomicU64,
    synced: AtomicU64,
}

#[derive(Debug, Default)]
struct Waiting {
    messages: VecDeque<Message>,
    /// The number of the first of them: each has the next one when it comes.
    first: u64,
    bytes: usize,
    /// Where the latest passes of a leaf are counted, by number; none once a run of it came that was
    /// more than a steady pass.
    steady: BTreeMap<Of, u64>,
    /// Where what is kept of a member waits, by its path.
    kept: BTreeMap<String, u64>,
    /// When they are to be taken.
    due: Option<Clock>,
    /// How many switches wait.
    switches: usize,
    /// Nothing more will come.
    closed: bool,
    /// Nobody takes anything out any more.
    ended: bool,
}

/// What was taken out.
#[derive(Debug, Default)]
pub(super) struct Taken {
    pub(super) messages: Vec<Message>,
    /// That was all, and nothing more will come.
    pub(super) last: bool,
}

impl Queue {
    /// An empty queue in which so many bytes may wait.
    pub(super) fn new(room: usize) -> Arc<Self> {
        Arc::new(Self {
            waiting: Mutex::default(),
            came: Condvar::new(),
            room,
            lost: AtomicU64::new(0),
            commits: AtomicU64::new(0),
            synced: AtomicU64::new(0),
        })
    }

    /// Counts a commit, and whether it was waited for until it was on the disk.
    pub(super) fn committed(&self, synced: bool) {
        self.commits.fetch_add(1, Ordering::Relaxed);
        self.synced.fetch_add(synced.into(), Ordering::Relaxed);
    }

    /// How many commits there were so far, and how many of them were waited for until they were on the
    /// disk.
    pub(super) fn commits(&self) -> (u64, u64) {
        (
            self.commits.load(Ordering::Relaxed),
            self.synced.load(Ordering::Relaxed),
        )
    }

    /// Counts what will not be in the journal; how much it was before.
    pub(super) fn lose(&self, entries: usize) -> u64 {
        self.lost.fetch_add(entries as u64, Ordering::Relaxed)
    }

    /// How much was lost so far.
    pub(super) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a message behind what waits, or counts it there.
    ///
    /// # Errors
    /// It is not taken; it comes back with the reason.
    pub(super) fn send(&self, message: Message) -> Result<(), (Refusal, Message)> {
        let run = message.run_of();
        let bytes = message.bytes();
        let [soon, later, last] = GATHER;
        let gather = match run {
            Some(_) => last,
            None if message.is_waited_for() => soon,
            None => later,
        };
        let mut waiting = self.waiting();
        if waiting.ended || waiting.closed {
            return Err((Refusal::Ended, message));
        }
        if let Message::Passes(leaf, passes) = &message
            && let Some(before) = waiting.passes(*leaf)
            && before.go_on_with(passes)
        {
            before.add(*passes);
            return Ok(());
        }
        let message = if let Message::Keep(kept) = message {
            // In the place of the one before: no intent is stored without what is kept before it.
            if let Some(before) = waiting.kept(kept.path()) {
                let outdated = std::mem::replace(before, kept);
                drop(waiting);
                drop(outdated);
                return Ok(());
            }
            Message::Keep(kept)
        } else {
            message
        };
        let room = match run {
            Some(_) => self.room / 4 * RUNS_QUARTERS,
            // Without them what comes after would be taken for something else; of what is kept at most one
            // of a member waits.
            // They come with runs.
            None if matches!(message, Message::Input(_)) => self.room / 4 * RUNS_QUARTERS,
            None if matches!(
                message,
                Message::Switch(..)
                    | Message::Damaged(_)
                    | Message::Keep(_)
                    | Message::Begin(_)
                    | Message::End
            ) =>
            {
                usize::MAX
            }
            None => self.room,
        };
        if waiting.bytes.saturating_add(bytes) > room {
            return Err((Refusal::Full, message));
        }
        let number = waiting.first + waiting.messages.len() as u64;
        match (&message, run) {
            (Message::Passes(..), Some(leaf)) => drop(waiting.steady.insert(of(leaf), number)),
            (_, Some(leaf)) => drop(waiting.steady.remove(&of(leaf))),
            // What comes now has the ids of another plan.
            (Message::Switch(..), None) => {
                waiting.switches += 1;
                waiting.steady.clear();
                waiting.kept.clear();
            }
            (Message::Keep(kept), None) => {
                waiting.kept.insert(kept.path().to_owned(), number);
            }
            // What it counts anew is counted from here.
            (Message::Begin(_), None) => waiting.steady.clear(),
            (Message::Entry(entry), None) => waiting.end_passes(entry),
            (_, None) => {}
        }
        waiting.bytes += bytes;
        waiting.messages.push_back(message);
        let full = waiting.messages.len() == BATCH;
        let due = Clock::now() + gather;
        let sooner = waiting.due.is_none_or(|before| due < before);
        if sooner {
            waiting.due = Some(due);
        }
        drop(waiting);
        if sooner || full {
            self.came.notify_one();
        }
        Ok(())
    }

    /// What waits is not to be gathered any longer.
    pub(super) fn hurry(&self) {
        let mut waiting = self.waiting();
        if !waiting.messages.is_empty() {
            waiting.due = Some(Clock::now());
            drop(waiting);
            self.came.notify_one();
        }
    }

    /// Nothing more will come.
    pub(super) fn close(&self) {
        self.waiting().closed = true;
        self.came.notify_all();
    }

    /// Takes out what waits, in order, up to a batch of at most `most` and to a switch, which is the
    /// last of its batch. Waits for `patience` where nothing does.
    pub(super) fn take(&self, patience: Duration, most: usize) -> Taken {
        let until = Clock::now() + patience;
        let mut waiting = self.waiting();
        loop {
            if waiting.closed || waiting.messages.len() >= BATCH {
                break;
            }
            let wait_until = waiting.due.map_or(until, |due| due.min(until));
            let left = wait_until.saturating_duration_since(Clock::now());
            if left.is_zero() {
                break;
            }
            waiting = match self.came.wait_timeout(waiting, left) {
                Ok((waiting, _)) => waiting,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
        let (taken, emptied) = waiting.take(most);
        drop(waiting);
        // Whoever sends does not wait until its memory is given back.
        drop(emptied);
        taken
    }

    /// Puts what was taken and could not be written in front of what waits: as many messages as were
    /// taken, so that each has the number that it had.
    pub(super) fn put_back(&self, messages: Vec<Message>) {
        let mut waiting = self.waiting();
        for message in messages.into_iter().rev() {
            waiting.bytes += message.bytes();
            waiting.first = waiting.first.saturating_sub(1);
            waiting.messages.push_front(message);
        }
        if !waiting.messages.is_empty() {
            waiting.due = Some(Clock::now());
        }
    }

    /// Takes the intents out that wait before a switch: they are to be refused.
    pub(super) fn take_intents(&self) -> Vec<IntentId> {
        let mut waiting = self.waiting();
        let mut intents = Vec::new();
        let mut freed = 0;
        for message in &mut waiting.messages {
            if let Message::Switch(..) = message {
                break;
            }
            if let Some(intent) = message.intent() {
                intents.push(intent);
                freed += message.bytes();
                // In its place, so that the others keep their numbers.
                *message = Message::Nothing;
            }
        }
        waiting.bytes = waiting.bytes.saturating_sub(freed);
        intents
    }

    /// Whether nothing more will come.
    pub(super) fn is_closed(&self) -> bool {
        self.waiting().closed
    }

    /// How many messages wait up to the first switch, and with it.
    pub(super) fn to_switch(&self) -> Option<usize> {
        self.waiting().to_switch(usize::MAX).map(|at| at + 1)
    }

    /// Loses what waits.
    pub(super) fn abandon(&self) {
        let left = std::mem::take(&mut self.waiting().messages);
        self.lose(left.len());
    }

    /// Nobody takes anything out any more.
    fn end(&self) {
        let mut waiting = self.waiting();
        waiting.ended = true;
        let left = std::mem::take(&mut waiting.messages);
        waiting.steady.clear();
        drop(waiting);
        drop(left);
    }
}

impl Waiting {
    /// The latest passes of a leaf, where they still wait and nothing else of it came since.
    fn passes(&mut self, leaf: LeafId) -> Option<&mut Passes> {
        let index = self.steady.get(&of(leaf))?.checked_sub(self.first)?;
        match self.messages.get_mut(usize::try_from(index).ok()?) {
            Some(Message::Passes(of, passes)) if *of == leaf => Some(passes),
            _ => None,
        }
    }

    /// Somebody is told of what passed: passes after that are not counted with those before.
    fn end_passes(&mut self, entry: &Entry) {
        let (group, member) = match entry {
            Entry::Transition { member, .. }
            | Entry::Decision { member, .. }
            | Entry::Operator { member, .. } => (member.group, Some(member.member)),
            Entry::Group { group, .. } => (*group, None),
            Entry::Run { .. }
            | Entry::Steady { .. }
            | Entry::Intent { .. }
            | Entry::Outcome { .. } => return,
        };
        for whose in [member, None] {
            let all = (group, whose, 0)..=(group, whose, u32::MAX);
            let ended: Vec<Of> = self.steady.range(all).map(|(of, _)| *of).collect();
            for of in ended {
                self.steady.remove(&of);
            }
        }
    }

    /// What is kept of a member, where it still waits.
    fn kept(&mut self, path: &str) -> Option<&mut Kept> {
        let index = self.kept.get(path)?.checked_sub(self.first)?;
        match self.messages.get_mut(usize::try_from(index).ok()?) {
            Some(Message::Keep(kept)) if kept.path() == path => Some(kept),
            _ => None,
        }
    }

    /// Where the first switch is, among so many.
    fn to_switch(&self, among: usize) -> Option<usize> {
        if self.switches == 0 {
            return None;
        }
        let switch = |message: &Message| matches!(message, Message::Switch(..));
        self.messages.iter().take(among).position(switch)
    }

    /// What is taken out, and what held it.
    fn take(&mut self, most: usize) -> (Taken, impl Sized + use<>) {
        let mut count = self.messages.len().min(most);
        if let Some(at) = self.to_switch(count) {
            count = at + 1;
            self.switches -= 1;
        }
        let messages: Vec<Message> = self.messages.drain(..count).collect();
        self.first += count as u64;
        let freed = messages.iter().map(Message::bytes).sum();
        self.bytes = self.bytes.saturating_sub(freed);
        let mut emptied = (VecDeque::new(), BTreeMap::new(), BTreeMap::new());
        if self.messages.is_empty() {
            (self.due, self.bytes) = (None, 0);
            std::mem::swap(&mut emptied.1, &mut self.steady);
            std::mem::swap(&mut emptied.2, &mut self.kept);
            // What a stall needed is given back.
            if self.messages.capacity() > 2 * BATCH {
                std::mem::swap(&mut emptied.0, &mut self.messages);
            }
        }
        let last = self.closed && self.messages.is_empty();
        (Taken { messages, last }, emptied)
    }
}

/// The end of the queue from which messages are taken: when it goes, nobody waits in vain.
#[derive(Debug)]
pub(super) struct Outlet(pub(super) Arc<Queue>);

impl Drop for Outlet {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl std::ops::Deref for Outlet {
    type Target = Queue;

    fn deref(&self) -> &Queue {
        &self.0
    }
}

impl Message {
    /// The leaf of which this is a run.
    fn run_of(&self) -> Option<LeafId> {
        match self {
            Self::Passes(leaf, _) => Some(*leaf),
            Self::Entry(entry) => match entry.as_ref() {
                Entry::Run { leaf, .. } | Entry::Steady { leaf, .. } => Some(*leaf),
                Entry::Transition { .. }
                | Entry::Group { .. }
                | Entry::Decision { .. }
                | Entry::Intent { .. }
                | Entry::Outcome { .. }
                | Entry::Operator { .. } => None,
            },
            Self::Started(..)
            | Self::Exited(..)
            | Self::Unplanned(_)
            | Self::Keep(_)
            | Self::Interrupted(_)
            | Self::Input(_)
            | Self::Begin(_)
            | Self::End
            | Self::Switch(..)
            | Self::Damaged(_)
            | Self::Nothing => None,
        }
    }

    /// Whether somebody waits until it is stored, or asks for it next.
    fn is_waited_for(&self) -> bool {
        match self {
            Self::Entry(entry) => matches!(
                entry.as_ref(),
                Entry::Intent { .. } | Entry::Operator { .. }
            ),
            Self::Switch(..) | Self::Damaged(_) | Self::Interrupted(_) | Self::Unplanned(_) => true,
            Self::Passes(..)
            | Self::Started(..)
            | Self::Exited(..)
            | Self::Keep(_)
            | Self::Input(_)
            | Self::Begin(_)
            | Self::End
            | Self::Nothing => false,
        }
    }

    /// The intent that this is.
    pub(super) fn intent(&self) -> Option<IntentId> {
        if let Self::Entry(entry) = self
            && let Entry::Intent { intent, .. } = entry.as_ref()
        {
            return Some(*intent);
        }
        None
    }

    /// About how much memory it takes; what is kept of a member is bounded by the plan.
    fn bytes(&self) -> usize {
        let heap = match self {
            Self::Entry(entry) => size_of::<Entry>() + heap_of(entry),
            Self::Interrupted(intents) => intents.len() * 2 * size_of::<IntentId>(),
            Self::Input(input) => size_of::<Short>() + inputs::heap_of(input),
            // Short texts.
            Self::Unplanned(_) => 128,
            Self::Passes(..)
            | Self::Started(..)
            | Self::Exited(..)
            | Self::Keep(_)
            // As much as the engine itself, once.
            | Self::Begin(_)
            | Self::End
            | Self::Switch(..)
            | Self::Damaged(_)
            | Self::Nothing => 0,
        };
        size_of::<Self>() + heap
    }
}

/// What an entry has beside itself.
fn heap_of(entry: &Entry) -> usize {
    match entry {
        Entry::Run { sample, .. } => {
            let measured = sample.measurements.len();
            sample.message.len() + measured * size_of::<checkd_core::Measurement>()
        }
        Entry::Transition { why, .. } | Entry::Group { why, .. } | Entry::Intent { why, .. } => {
            why.len()
        }
        Entry::Decision { explanation, .. } => {
            let readings = explanation.readings.len();
            explanation.because.len() + readings * size_of::<checkd_core::policy::Reading>()
        }
        Entry::Outcome { detail, .. } => detail.len(),
        Entry::Operator { by, .. } => by.len(),
        Entry::Steady { .. } => 0,
    }
}
