//! Process managers: who is in a group, and how to start, stop and signal them.

mod launch;
mod own;
mod placeholders;
mod processes;
mod reaper;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use checkd_core::engine::{Act, Event};
use checkd_core::plan::{GroupPlan, MemberPlan, Plan};
use checkd_core::{Generation, IntentId, MemberId};
use rustix::process::Signal;
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinSet;

pub(crate) use launch::{has_user, plain};
pub use processes::boot_id;

/// Carries out acts; what it sees comes back as events.
#[derive(Clone, Debug)]
pub struct Manager {
    plan: Arc<Plan>,
    own: own::Own,
    events: UnboundedSender<Event>,
}

impl Manager {
    /// A manager of every member of `plan`, whose output goes below `output_dir`.
    pub fn new(plan: Arc<Plan>, output_dir: PathBuf, events: UnboundedSender<Event>) -> Self {
        let own = own::Own::new(output_dir, events.clone());
        tokio::spawn(reaper::reap_orphans());
        Self { plan, own, events }
    }

    /// Goes on under another plan: events speak of its members from now on.
    pub fn reload(&mut self, plan: Arc<Plan>, events: UnboundedSender<Event>) {
        let ids: BTreeMap<String, MemberId> =
            plan.members().map(|id| (plan.path(id), id)).collect();
        let moved = self.plan.members();
        let moved = moved
            .filter_map(|id| Some((id, *ids.get(&self.plan.path(id))?)))
            .collect();
        self.own.rename(moved, events.clone());
        (self.plan, self.events) = (plan, events);
    }

    /// Stops processes of members that are not in the next plan, in the background, as the plan that
    /// they were started by says. Call it ahead of `reload`.
    pub fn leave(&self, gone: &[(String, Generation)]) {
        let ids: BTreeMap<String, MemberId> = self
            .plan
            .members()
            .map(|id| (self.plan.path(id), id))
            .collect();
        for (path, generation) in gone {
            let Some((&id, group)) = ids
                .get(path)
                .and_then(|id| Some((id, self.plan.group(id.group)?)))
            else {
                continue;
            };
            let (life, launch, path) = (self.own.life(id), group.launch.clone(), path.clone());
            let Some(life) = life.filter(|life| life.generation == *generation) else {
                continue;
            };
            tokio::spawn(async move {
                let stopped = match signal_named(&launch.stop_signal) {
                    Ok(signal) => life.stop(signal, launch.stop_timeout.as_duration()).await,
                    Err(why) => Err(why),
                };
                if let Err(why) = stopped {
                    tracing::error!(
                        member = path,
                        why,
                        "a member that is gone from the configuration did not stop"
                    );
                }
            });
        }
    }

    /// Takes over a process that ran before this daemon did, and sends `Event::Started`. False when
    /// that life is over.
    pub fn adopt(&self, member: MemberId, generation: Generation) -> bool {
        self.own.adopt(member, generation)
    }

    /// Takes over members that the daemon before started and did not live to note, found by the marks
    /// in their environment. Sends `Event::Started` for each.
    pub fn adopt_unnoted(&self) -> Vec<(MemberId, Generation)> {
        let ids: BTreeMap<String, MemberId> = self
            .plan
            .members()
            .map(|id| (self.plan.path(id), id))
            .collect();
        let mut adopted = Vec::new();
        for ([group, member], generation) in self.own.marked() {
            if let Some(&id) = ids.get(&format!("{group}/{member}"))
                && self.own.life(id).is_none()
                && self.own.adopt(id, generation)
            {
                adopted.push((id, generation));
            }
        }
        adopted
    }

    /// Carries out one act in the background. `Exited` and `Started` come first, then `Done`.
    pub fn carry_out(&self, intent: IntentId, act: Act) {
        let manager = self.clone();
        let work = tokio::spawn(async move { manager.act(act).await });
        let events = self.events.clone();
        tokio::spawn(async move {
            let result = work.await.unwrap_or_else(|broken| {
                tracing::error!(%broken, "an act broke off");
                Err("checkd itself broke off the act; please report this".to_owned())
            });
            if events.send(Event::Done { intent, result }).is_err() {
                tracing::debug!("an act ended after the loop had");
            }
        });
    }

    async fn act(&self, act: Act) -> Result<(), String> {
        match act {
            Act::Start { member } => self.start(member).await,
            Act::Stop { member, generation } => self.stop(member, generation).await,
            Act::Restart { member, generation } => {
                // Stop failed, start anyway: two of them would share a port.
                self.stop(member, generation).await?;
                self.start(member).await
            }
        }
    }

    async fn start(&self, id: MemberId) -> Result<(), String> {
        let (group, member) = self.planned(id)?;
        self.own.start(id, group, member).await
    }

    async fn stop(&self, id: MemberId, generation: Generation) -> Result<(), String> {
        let (group, _) = self.planned(id)?;
        match self.own.life(id) {
            Some(life) if life.generation == generation => {
                let signal = signal_named(&group.launch.stop_signal)?;
                life.stop(signal, group.launch.stop_timeout.as_duration())
                    .await
            }
            Some(life) => Err(format!(
                "pid {} is gone; it runs as pid {} now, which was left alone",
                generation.pid, life.generation.pid
            )),
            // What was to be stopped has stopped.
            None => Ok(()),
        }
    }

    fn planned(&self, id: MemberId) -> Result<(&GroupPlan, &MemberPlan), String> {
        let group = self.plan.group(id.group);
        let found = group.and_then(|g| Some((g, g.members.get(id.member as usize)?)));
        found.ok_or_else(|| "it is not in the configuration".to_owned())
    }

    /// Stops every member that runs, dependents before what they depend on. Returns who would not
    /// stop, and why.
    pub async fn stop_all(&self) -> Vec<(MemberId, String)> {
        let mut failed = Vec::new();
        for layer in stop_order(&self.plan) {
            let mut stops = JoinSet::new();
            for (id, life) in self.own.list() {
                if layer.contains(&id.group) {
                    let manager = self.clone();
                    stops.spawn(async move { (id, manager.stop(id, life.generation).await) });
                }
            }
            while let Some(done) = stops.join_next().await {
                if let Ok((id, Err(why))) = done {
                    failed.push((id, why));
                }
            }
        }
        failed
    }

    /// Kills every member that runs, at once.
    pub async fn kill_all(&self) {
        let mut kills = JoinSet::new();
        for (_, life) in self.own.list() {
            kills.spawn(async move { life.kill().await });
        }
        kills.join_all().await;
    }

    /// How many members run.
    pub fn running(&self) -> usize {
        self.own.list().len()
    }
}

/// The file that a member's output goes to, and its last lines, each of at most 200 characters.
pub fn last_output(plan: &Plan, id: MemberId, output_dir: &Path) -> Option<(PathBuf, Vec<String>)> {
    use std::io::{Read, Seek, SeekFrom};
    /// So much of the end is read; and so many lines of it are shown.
    const TAIL: u64 = 4_096;
    const LINES: usize = 4;
    let group = plan.group(id.group)?;
    let path = launch::output_path(group, plan.member(id)?, output_dir).ok()?;
    let mut file = std::fs::File::open(&path).ok()?;
    // A terminal or a pipe as output has no end to read.
    let meta = file.metadata().ok().filter(std::fs::Metadata::is_file)?;
    file.seek(SeekFrom::Start(meta.len().saturating_sub(TAIL)))
        .ok()?;
    let mut bytes = Vec::new();
    file.take(TAIL).read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    let shown = lines.iter().skip(lines.len().saturating_sub(LINES));
    let shown = shown.map(|line| line.chars().take(200).collect()).collect();
    Some((path, shown))
}

/// Groups in layers: everything in a layer may stop together, after the layers before it.
fn stop_order(plan: &Plan) -> Vec<Vec<u32>> {
    let mut left: Vec<u32> = (0u32..).take(plan.groups.len()).collect();
    let mut layers = Vec::new();
    while !left.is_empty() {
        let needed = |group: u32| {
            left.iter().any(|&other| {
                other != group
                    && plan
                        .group(other)
                        .is_some_and(|g| g.depends_on.contains(&group))
            })
        };
        let (mut now, mut later): (Vec<u32>, Vec<u32>) = left.iter().partition(|&&g| !needed(g));
        // A cycle is refused by validation; should one come here, everything stops together.
        if now.is_empty() {
            now.append(&mut later);
        }
        layers.push(now);
        left = later;
    }
    layers
}

/// `TERM` or `SIGTERM`.
fn signal_named(name: &str) -> Result<Signal, String> {
    let signal = match name.strip_prefix("SIG").unwrap_or(name) {
        // An empty text is a plan that was not made by the reader; TERM is what it would say.
        "TERM" | "" => Signal::TERM,
        "INT" => Signal::INT,
        "QUIT" => Signal::QUIT,
        "HUP" => Signal::HUP,
        "KILL" => Signal::KILL,
        "ABRT" => Signal::ABORT,
        "USR1" => Signal::USR1,
        "USR2" => Signal::USR2,
        "WINCH" => Signal::WINCH,
        "ALRM" => Signal::ALARM,
        _ => {
            return Err(format!(
                "`{name}` is no signal to stop with: TERM, INT, QUIT, HUP, KILL, ABRT, USR1, USR2, \
                 WINCH or ALRM"
            ));
        }
    };
    Ok(signal)
}
