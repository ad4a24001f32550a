//! SQLite storage of journal entries: intent before an act, outcome after.
//!
//! One thread writes; the loop hands it entries through a queue bounded in bytes and never waits for a
//! disk.

mod check;
mod inputs;
mod moment;
mod open;
mod past;
mod queue;
mod read;
mod rescue;
mod rows;
mod scribe;
mod segments;
mod sweep;
#[cfg(test)]
mod tests;
mod unplanned;
mod write;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use checkd_core::diagnostic::Diagnostic;
use checkd_core::engine::{Event, Exit};
use checkd_core::journal::Entry;
use checkd_core::plan::Plan;
use checkd_core::policy::keep::Kept;
use checkd_core::replay::Short;
use checkd_core::{Generation, IntentId, LeafId, MemberId, Span};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::watch;

pub use moment::{Moment, Standing};
use queue::{Outlet, Passes, Queue};

pub(crate) use open::{is_damage, words};
pub use read::{Filter, Reader, Row};
pub use scribe::Scribe;
pub use segments::{Copy, Segment, Segments, Told};

/// The writing end of the journal.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    queue: Arc<Queue>,
    events: UnboundedSender<Event>,
    /// Counts what was recorded, steady passes aside: who shows what stands waits for it.
    changes: watch::Sender<u64>,
    writer: Option<JoinHandle<()>>,
    ousted: Arc<AtomicBool>,
    wants_beginning: Arc<AtomicBool>,
    check: Option<check::Check>,
}

/// What the journal knew when it was opened.
#[derive(Debug)]
pub struct Past {
    /// The number of the next intent.
    pub next_intent: IntentId,
    /// The last known life of each member of the plan that was not seen to end.
    pub lives: Vec<(MemberId, Generation)>,
    /// Intents without an outcome: the daemon before ended while they were carried out.
    pub interrupted: Vec<String>,
    /// Their numbers.
    pub open: BTreeSet<IntentId>,
    /// What the engine before knew of each member, while this boot lasts or of the boot before.
    pub kept: Vec<Kept>,
    /// How long ago that was, when the machine was started again since.
    pub rebooted: Option<Span>,
}

/// What became of a batch: nothing yet, or why it could not be written.
type Written = Option<Result<(), String>>;

/// Tells when all that was recorded before a switch is on the disk.
#[derive(Clone, Debug)]
pub struct Stored(watch::Receiver<Written>);

impl Stored {
    /// Waits for it.
    ///
    /// # Errors
    /// For a person: why it cannot be written.
    pub async fn wait(mut self) -> Result<(), String> {
        match self.0.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(written)) => written.clone(),
            Ok(None) | Err(_) => Err("the journal was closed first".to_owned()),
        }
    }
}

/// What the writer thread takes.
#[derive(Debug)]
enum Message {
    /// In a box: of the messages that can wait in great numbers the smallest are passes.
    Entry(Box<Entry>),
    /// Passes that changed nothing.
    Passes(LeafId, Passes),
    Started(MemberId, Generation),
    Exited(MemberId, Generation, Exit),
    Unplanned(unplanned::Unplanned),
    Keep(Kept),
    Interrupted(BTreeSet<IntentId>),
    /// What the engine was told.
    Input(Box<Short>),
    /// A segment of that begins.
    Begin(Box<inputs::Begin>),
    /// And ends.
    End,
    Switch(Arc<Plan>, UnboundedSender<Event>, watch::Sender<Written>),
    /// The file is damaged: what was found.
    Damaged(String),
    /// Was something, in this place.
    Nothing,
}

impl Journal {
    /// Opens or begins the journal at `path` and starts its writer, which answers intents through
    /// `events`. The diagnostic, when there is one, is a warning.
    ///
    /// # Errors
    /// The file cannot be opened (C0501), or is of a newer checkd (C0503).
    pub fn open(
        path: &Path,
        plan: Arc<Plan>,
        events: UnboundedSender<Event>,
    ) -> Result<(Self, Past, Option<Diagnostic>), Diagnostic> {
        let (connection, mut warning) = open::open(path)?;
        let first = write::Writer::begin(path, connection, Arc::clone(&plan), events.clone());
        let result = match first {
            Err(error) if open::is_damage(&error) => {
                let (connection, told) = open::anew(path, &error)?;
                warning = Some(told);
                write::Writer::begin(path, connection, plan, events.clone())
            }
            Ok(_) | Err(_) => first,
        };
        let (mut writer, past, unwritable) = result.map_err(|e| open::unopened(path, &e))?;
        if let Some(why) = unwritable {
            warning = Some(open::unwritable(path, &why));
        }
        let ousted = writer.ousted();
        let wants_beginning = writer.wants_beginning();
        let queue = Queue::new(queue::ROOM);
        let outlet = Outlet(Arc::clone(&queue));
        let thread = std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || writer.serve(&outlet))
            .map_err(|e| {
                Diagnostic::error("C0501", format!("cannot start the journal's thread: {e}"))
            })?;
        let check = (!open::is_small(path))
            .then(|| check::Check::begin(path, Arc::clone(&queue)))
            .and_then(|check| {
                check
                    .inspect_err(|why| tracing::warn!(why, "the journal is not looked through"))
                    .ok()
            });
        let journal = Self {
            path: path.to_owned(),
            queue,
            events,
            // Numbers that a daemon before gave out are not given out again.
            changes: watch::Sender::new(
                u64::try_from(crate::wall::now_ms())
                    .unwrap_or(0)
                    .saturating_mul(1_000),
            ),
            writer: Some(thread),
            ousted,
            wants_beginning,
            check,
        };
        Ok((journal, past, warning))
    }

    /// Stores an entry. An intent is answered with `IntentStored` or `IntentRefused`; of anything
    /// else that finds the queue full, the number is counted. Runs find it full before anything else.
    pub fn record(&self, entry: Entry) {
        if let Entry::Steady { leaf, at } = entry {
            self.send(Message::Passes(leaf, Passes::one(at)));
        } else {
            self.changed();
            self.send(Message::Entry(Box::new(entry)));
        }
    }

    /// Closes intents of the daemon before of which nothing more will be heard.
    pub fn interrupted(&self, intents: BTreeSet<IntentId>) {
        self.send(Message::Interrupted(intents));
    }

    /// Goes on under another plan: what comes after this is of it, and intents are answered through
    /// `events`. Tells when all that came before it is on the disk. Nothing when the writer has ended;
    /// then nothing was changed.
    pub fn switch(&mut self, plan: Arc<Plan>, events: UnboundedSender<Event>) -> Option<Stored> {
        let (written, stored) = watch::channel(None);
        let switch = Message::Switch(plan, events.clone(), written);
        self.queue.send(switch).ok()?;
        self.changed();
        self.events = events;
        Some(Stored(stored))
    }

    /// Remembers the life of a member, for the daemon that comes after this one.
    pub fn started(&self, member: MemberId, generation: Generation) {
        self.changed();
        self.send(Message::Started(member, generation));
    }

    /// Remembers that a life is over.
    pub fn exited(&self, member: MemberId, generation: Generation, exit: Exit) {
        self.send(Message::Exited(member, generation, exit));
    }

    /// Stores what must outlive the daemon of one member; an intent that is recorded after it is
    /// never there without it.
    pub fn keep(&self, kept: Kept) {
        self.send(Message::Keep(kept));
    }

    /// Has what was recorded written soon: people are told of it, and a daemon that is killed now must
    /// not leave one behind that finds it out anew, and tells it once more.
    pub fn hurry(&self) {
        self.queue.hurry();
    }

    fn send(&self, message: Message) {
        let Err((refusal, message)) = self.queue.send(message) else {
            return;
        };
        let why = refusal.why();
        if let Some(intent) = message.intent() {
            let reason = format!("the journal takes nothing: {why}");
            if self
                .events
                .send(Event::IntentRefused { intent, reason })
                .is_err()
            {
                tracing::debug!("an intent was refused after the loop had ended");
            }
        } else if self.queue.lose(1) == 0 {
            tracing::error!(why, "journal entries are lost");
        }
    }

    fn changed(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    /// A number that grows with everything that is recorded but steady passes, and that no daemon
    /// before gave out.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Whether another checkd has the state directory, or had it since it was removed: nothing can be
    /// stored any more.
    pub fn is_ousted(&self) -> bool {
        self.ousted.load(Ordering::Relaxed)
    }

    /// Whether it has lost something of what the engine was told, and the next segment is to begin. Says so
    /// once.
    fn wants_beginning(&self) -> bool {
        self.wants_beginning.swap(false, Ordering::Relaxed)
    }

    /// How many entries found no place in the queue, or could not be written.
    pub fn lost(&self) -> u64 {
        self.queue.lost()
    }

    /// How many commits there were so far, and how many of them were waited for until they were on the
    /// disk.
    pub fn commits(&self) -> (u64, u64) {
        self.queue.commits()
    }

    /// A reader of the same file.
    pub fn reader(&self) -> Reader {
        Reader::new(self.path.clone())
    }

    /// Writes what is in the queue and ends the writer.
    pub fn close(mut self) {
        // Blocking here is right: the loop has ended.
        if let Some(check) = self.check.take() {
            check.end();
        }
        self.queue.close();
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!("the journal's writer ended badly");
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        // The writer goes when all is written; nobody waits for it.
        self.queue.close();
    }
}
