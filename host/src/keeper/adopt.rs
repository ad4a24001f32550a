//! Taking over what a keeper before this one started, and ending what is left of members that ended with
//! it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use checkd_core::{Generation, IntentId};
use rustix::process::Signal;

use super::acts::name_of;
use super::life::Life;
use super::output::{self, Tap};
use super::processes::{self, Handle, Row};
use super::protocol::{Living, Message, Output};
use super::{Keeper, MARK, NAMES, cgroup};

/// How long processes that were being started may take to become their programs, all together.
const BECOMING: Duration = Duration::from_secs(2);
/// How often is looked.
const LOOK: Duration = Duration::from_millis(2);
/// How long what is left of a member may take to end.
const PATIENCE: Duration = Duration::from_secs(5);

impl Keeper {
    /// Takes over a process that another keeper, or nobody, started. False when it is gone, or its
    /// pid is another process now.
    pub(super) fn adopt(
        &self,
        path: String,
        generation: Generation,
        intent: Option<IntentId>,
        output: Option<Output>,
    ) -> bool {
        if let Some(life) = self.life(&path) {
            return life.generation == generation;
        }
        if generation.boot != self.0.boot {
            return false;
        }
        let Some(handle) = Handle::open(generation.pid, generation.start) else {
            return false;
        };
        if self.kept_by_another(generation.pid) {
            return false;
        }
        let living = Living {
            path,
            generation,
            intent,
            adopted: true,
        };
        let mut life = Life::new(living, handle);
        life.cgroup = cgroup::of(generation.pid, &name_of(&life.path));
        if let Some(output) = output {
            self.attend(&life, output);
        }
        self.watch(life);
        true
    }

    /// Whether a process belongs to a state directory that another keeper serves: a journal that was
    /// copied while checkd ran knows lives that are not its own.
    fn kept_by_another(&self, pid: u32) -> bool {
        let Some(output) = processes::variable(pid, MARK) else {
            return false;
        };
        let Some(home) = PathBuf::from(output).parent().map(PathBuf::from) else {
            return false;
        };
        home != self.0.state_dir && super::place::is_served(&home)
    }

    /// Where the output of a member goes from now on, and what its last life left in the pipe, should
    /// the keeper before have been killed.
    pub(super) fn redirect(&self, path: &str, output: Output) {
        match self.life(path) {
            Some(life) => self.attend(&life, output),
            None => output::collect(output),
        }
    }

    fn attend(&self, life: &Life, output: Output) {
        let tapped = life
            .tap
            .borrow()
            .as_ref()
            .map(|tap| tap.redirect(output.clone()));
        if tapped.is_none() && life.adopted {
            // Its path may have been taken away; the member still holds the pipe.
            let pipe = output::open_pipe(&output.pipe)
                .map(Some)
                .or_else(|_| output::open_removed_pipe(&output.pipe, life.generation.pid));
            match pipe {
                Ok(Some(pipe)) => drop(life.tap.replace(Tap::begin(pipe, output.clone()))),
                Ok(None) => {}
                Err(error) => {
                    let why = format!(
                        "the output of {} cannot be taken over, and it will stand still when its pipe \
                         is full; restart it: {}",
                        life.path,
                        super::plain(&error)
                    );
                    super::note(&why);
                    self.tell(&Message::Refused { why });
                }
            }
        }
        life.output.replace(Some(output));
    }

    /// Takes over what a keeper before this one started, by the marks in its environment. Who of all that
    /// bear them is the member's first process stands in the file of starts. Where that one is gone, it
    /// went together with its keeper: what it left behind is ended, as when we see it go.
    pub(super) async fn adopt_marked(&self) {
        let mark = self.mark();
        self.until_they_are_themselves(&mark).await;
        let mut left: BTreeMap<String, Vec<Row>> = BTreeMap::new();
        for ([group, member, intent], row) in processes::marked(&mark, NAMES) {
            let (Some(group), Some(member)) = (group, member) else {
                continue;
            };
            let intent = intent.and_then(|text| text.parse().ok()).map(IntentId);
            let path = format!("{group}/{member}");
            match intent.and_then(|intent| self.0.started.pid(intent)) {
                Some(first) if first != row.pid => {
                    if !processes::leads(first) && processes::sees_our_files(row.pid) {
                        left.entry(path).or_default().push(row);
                    }
                    continue;
                }
                // Nobody knows which it is: the elder leads, the others are its descendants.
                None if row.pid != row.group || self.life(&path).is_some() => continue,
                Some(_) | None => {}
            }
            let generation = Generation {
                boot: self.0.boot,
                pid: row.pid,
                start: row.start,
            };
            if self.life(&path).is_none() && self.adopt(path.clone(), generation, intent, None) {
                super::note(&format!(
                    "{path} runs as pid {}; how it ends will not be known",
                    generation.pid
                ));
                if let Some(intent) = intent {
                    self.0.highest.set(self.0.highest.get().max(intent));
                }
            }
        }
        for (path, rows) in left {
            self.end_left(&path, rows).await;
        }
    }

    /// Another keeper that is the parent of members of this state directory: one whose lock and socket
    /// were removed.
    pub(super) fn homeless(&self) -> Option<u32> {
        let own = std::process::id();
        let marked = processes::marked(&self.mark(), NAMES);
        let parents = marked.into_iter().map(|(_, row)| row.parent);
        parents
            .filter(|&parent| parent != own && processes::sees_our_files(parent))
            .find(|&parent| processes::name(parent).as_deref() == Some(super::PROCESS))
    }

    /// Waits for processes that the keeper before was starting as it was killed: one that is just becoming
    /// its program bears no marks, and would be taken for one that has ended.
    async fn until_they_are_themselves(&self, mark: &str) {
        let until = tokio::time::Instant::now() + BECOMING;
        for pid in self.0.started.all_pids() {
            while processes::becomes(pid, mark) && tokio::time::Instant::now() < until {
                tokio::time::sleep(LOOK).await;
            }
        }
    }

    /// Ends what a member left behind, so that it does not hold what the next one needs.
    async fn end_left(&self, path: &str, rows: Vec<Row>) {
        let handles: Vec<Handle> = rows
            .iter()
            .filter_map(|row| Handle::open(row.pid, row.start))
            .collect();
        let killed = handles
            .iter()
            .filter(|handle| handle.signal(Signal::KILL).is_ok())
            .count();
        let gone = async {
            for handle in &handles {
                handle.ended().await;
            }
        };
        let gone = tokio::time::timeout(PATIENCE, gone).await.is_ok();
        let s = if killed == 1 { "" } else { "es" };
        let but = if gone {
            ""
        } else {
            ", and not all of them ended"
        };
        self.remark(format!(
            "{path} ended together with its keeper; {killed} process{s} that it left behind \
             {} killed{but}",
            if killed == 1 { "was" } else { "were" }
        ));
    }

    /// Something that a person should know: in our log, and told to the next daemon that asks.
    fn remark(&self, text: String) {
        super::note(&text);
        self.0.remarks.borrow_mut().push(text);
    }
}
