//! The daemon's side of the keeper: finds it or starts it, asks it, and takes what it tells.
//!
//! One task owns the connection. When it breaks, the task connects again, to the same keeper or to
//! another, compares what is with what was, and asks again for every act that has no answer: each is
//! carried out once, however often it is asked for.

mod connect;
mod known;
mod task;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use checkd_core::engine::{Event, Exit};
use checkd_core::plan::Plan;
use checkd_core::{Generation, IntentId, Span};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tokio::time::Instant;

use self::known::{Ears, Ends, Shared};
use self::task::Task;
use crate::keeper::protocol::{Gone, Living, Order, Request};
use crate::points::Point;

/// How long a keeper may take to answer at all: long, because the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long between two attempts to get a keeper back.
const AGAIN: Duration = Duration::from_secs(1);

/// What the link is asked for.
#[derive(Debug)]
enum Ask {
    Act(Box<Order>, oneshot::Sender<Result<(), String>>),
    Adopt(String, Generation, oneshot::Sender<bool>),
    Request(Request),
    End(oneshot::Sender<()>),
}

/// Asks the keeper.
#[derive(Clone, Debug)]
pub(super) struct Link {
    shared: Arc<Shared>,
    asks: UnboundedSender<Ask>,
}

impl Link {
    /// Connects to the keeper of `state_dir`, started where there is none. What it knows has been sent
    /// as events when this returns.
    ///
    /// # Errors
    /// For a person: why there is no keeper, and the process of one that does not answer.
    pub(super) async fn open(
        plan: Arc<Plan>,
        state_dir: PathBuf,
        events: UnboundedSender<Event>,
    ) -> Result<Self, (String, Option<u32>)> {
        let (asks, questions) = unbounded_channel();
        let shared = Arc::new(Shared {
            ears: Mutex::new(Ears {
                plan,
                events,
                held: Some(Vec::new()),
            }),
            state_dir,
            known: Mutex::default(),
        });
        let deaf = |why| (why, shared.known().deaf);
        let (connection, list) = shared.connect().await.map_err(deaf)?;
        shared.known().exits.clone_from(&list.exits);
        let task = Task {
            shared: Arc::clone(&shared),
            pending: BTreeMap::new(),
            adopting: Vec::new(),
            ended: None,
        };
        let connection = task.begin(connection, list, true).await.map_err(deaf)?;
        tokio::spawn(task.serve(connection, questions));
        Ok(Self { shared, asks })
    }

    /// Who lives, by path.
    pub(super) fn lives(&self) -> Vec<(String, Living)> {
        let known = self.shared.known();
        known
            .lives
            .iter()
            .map(|(path, living)| (path.clone(), living.clone()))
            .collect()
    }

    /// The life of a member.
    pub(super) fn life(&self, path: &str) -> Option<Living> {
        self.shared.known().lives.get(path).cloned()
    }

    /// How a life ended that ended while no daemon was there.
    pub(super) fn exit_of(&self, generation: Generation) -> Option<Exit> {
        let known = self.shared.known();
        let gone = known
            .exits
            .iter()
            .find(|gone| gone.generation == generation)?;
        Some(gone.exit)
    }

    pub(super) fn begun(&self) -> BTreeMap<IntentId, bool> {
        self.shared.known().begun.clone()
    }

    pub(super) fn highest(&self) -> IntentId {
        self.shared.known().highest
    }

    pub(super) fn keeper(&self) -> u32 {
        self.shared.known().keeper
    }

    /// Why the keeper stays another build than we are, when it does.
    pub(super) fn stays(&self) -> Option<String> {
        self.shared.known().stays.clone()
    }

    /// For how long the keeper has not answered, when that is long.
    pub(super) fn silent(&self) -> Option<Span> {
        self.shared.known().pulse.silent(Instant::now())
    }

    /// Why there is no keeper, when there is none.
    pub(super) fn missing(&self) -> Option<String> {
        self.shared.known().missing.clone()
    }

    pub(super) fn plan(&self) -> Arc<Plan> {
        Arc::clone(&self.shared.ears().plan)
    }

    /// Whether the plan in force has a member of this path.
    pub(super) fn plans(&self, path: &str) -> bool {
        self.shared.ears().member(path).is_some()
    }

    /// Members have the ids of this plan from now on, and events go elsewhere.
    pub(super) fn reload(&self, plan: Arc<Plan>, events: UnboundedSender<Event>) {
        let mut ears = self.shared.ears();
        (ears.plan, ears.events) = (plan, events);
        drop(ears);
        for path in self.shared.silent() {
            if !self.plans(&path) {
                self.shared.known().pipes.remove(&path);
            }
        }
        // Output may go elsewhere.
        for (path, _) in self.lives() {
            if let Some(output) = self.shared.output(&path) {
                self.request(Request::Output { path, output });
            }
        }
    }

    /// Lets go what was held back, and holds nothing back any more.
    pub(super) fn announce(&self) {
        let mut ears = self.shared.ears();
        for event in ears.held.take().unwrap_or_default() {
            ears.send(event);
        }
    }

    pub(super) fn send(&self, event: Event) {
        self.shared.ears().send(event);
    }

    /// Has an act carried out, to its end.
    ///
    /// # Errors
    /// For a person: why it could not be.
    pub(super) async fn act(&self, order: Order) -> Result<(), String> {
        self.hand(order).await
    }

    /// The same; the order is on its way when this returns, whether anybody waits for its end or not.
    pub(super) fn hand(&self, order: Order) -> impl Future<Output = Result<(), String>> + use<> {
        let (answer, answered) = oneshot::channel();
        let sent = self.asks.send(Ask::Act(Box::new(order), answer));
        async move {
            let lost = || Err("checkd is ending".to_owned());
            if sent.is_err() {
                return lost();
            }
            answered.await.unwrap_or_else(|_| lost())
        }
    }

    pub(super) async fn adopt(&self, path: String, generation: Generation) -> bool {
        let (answer, answered) = oneshot::channel();
        let sent = self.asks.send(Ask::Adopt(path, generation, answer));
        sent.is_ok() && answered.await.unwrap_or(false)
    }

    /// The loop has handed this to the journal, if it is the end of a life or of an act.
    pub(super) fn noted(&self, event: &Event) {
        let mut known = self.shared.known();
        if let Event::Exited { generation, .. } = event {
            known.noted.exits.push(*generation);
        }
        if let Event::Done { intent, .. } = event {
            known.noted.acts.push(*intent);
        }
    }

    /// Ends of members that no plan has, which are now handed to the journal.
    pub(super) fn unplanned_ends(&self) -> Vec<Gone> {
        let mut known = self.shared.known();
        let ends = std::mem::take(&mut known.unplanned);
        let generations = ends.iter().map(|gone| gone.generation);
        known.noted.exits.extend(generations);
        ends
    }

    /// What was handed to the journal so far is ahead of this intent.
    pub(super) fn seal(&self, intent: IntentId) {
        let mut known = self.shared.known();
        let noted = std::mem::take(&mut known.noted);
        known.sealed.insert(intent, noted);
    }

    /// What was handed over ahead of this intent is in the journal; without one, all that was. What the
    /// loop has yet to hear of is not: a keeper that forgot it would be the last who knew.
    pub(super) fn acknowledge(&self, stored: Option<IntentId>) {
        let mut known = self.shared.known();
        let last = stored.unwrap_or(IntentId(u64::MAX));
        let rest = known.sealed.split_off(&IntentId(last.0.saturating_add(1)));
        let over = std::mem::replace(&mut known.sealed, rest).into_values();
        let mut over: Vec<Ends> = over.collect();
        if stored.is_none() {
            over.push(std::mem::take(&mut known.noted));
        }
        let exits: Vec<Generation> = over.iter().flat_map(|it| &it.exits).copied().collect();
        let acts: Vec<IntentId> = over.iter().flat_map(|it| &it.acts).copied().collect();
        known.told.retain(|exit| !exits.contains(exit));
        drop(known);
        if !exits.is_empty() || !acts.is_empty() {
            Point::DaemonAcknowledging.pass();
            self.request(Request::Ack { exits, acts });
        }
    }

    /// Sends what is not answered.
    pub(super) fn request(&self, request: Request) {
        if self.asks.send(Ask::Request(request)).is_err() {
            tracing::debug!("the keeper's link has ended");
        }
    }

    /// Says what is left to say and lets the keeper go.
    pub(super) async fn end(&self) {
        let (answer, answered) = oneshot::channel();
        let patience = match self.silent() {
            Some(_) => AGAIN,
            None => PATIENCE,
        };
        if self.asks.send(Ask::End(answer)).is_ok() {
            drop(tokio::time::timeout(patience, answered).await);
        }
    }
}
