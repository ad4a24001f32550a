//! Which processes belong to a member that has no control group, and their end.
//!
//! Its process group and its descendants do. What forked away, into a session of its own and under
//! another parent, is known in two ways: it was seen as a descendant before, or it came to whoever
//! takes orphans (us, while we are the parent of the member) and its environment names this very life.
//! Whatever is neither is left alone.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::processes::{self, Handle, Row};

/// Whose processes are meant.
#[derive(Debug)]
pub(crate) struct Family {
    /// The first process: pid and start time.
    pub(crate) leader: (u32, u64),
    /// Descendants that were seen; they are still its own after they left its process group.
    pub(crate) known: BTreeSet<(u32, u64)>,
    /// Who is the parent of its orphans.
    pub(crate) reaper: u32,
    /// What stands in the environment of whatever it started; empty when that is not known.
    pub(crate) marks: Vec<String>,
}

/// One look at the process table.
#[derive(Debug)]
struct Look {
    at: Instant,
    rows: Vec<Row>,
    /// The children of a reaper that are nobody's first process, with their environment.
    orphans: RefCell<BTreeMap<u32, Rc<Orphans>>>,
}

type Orphans = Vec<(Row, Vec<u8>)>;

thread_local! {
    static NEWEST: RefCell<Option<Rc<Look>>> = const { RefCell::new(None) };
    /// First processes of members: never anybody's orphans.
    static LEADERS: RefCell<BTreeSet<(u32, u64)>> = const { RefCell::new(BTreeSet::new()) };
}

/// From now on this is the first process of a member, or is none any more.
pub(super) fn leads(leader: (u32, u64), so: bool) {
    LEADERS.with_borrow_mut(|leaders| {
        if so {
            leaders.insert(leader);
        } else {
            leaders.remove(&leader);
        }
    });
}

impl Look {
    /// The process table as it stood at some moment after `since`: many who ask at once share one look.
    fn after(since: Instant) -> Rc<Self> {
        NEWEST.with_borrow_mut(|newest| {
            if let Some(look) = newest
                && look.at > since
            {
                return Rc::clone(look);
            }
            let at = Instant::now();
            let look = Rc::new(Self {
                at,
                rows: processes::table(),
                orphans: RefCell::default(),
            });
            Rc::clone(newest.insert(look))
        })
    }

    fn orphans(&self, reaper: u32) -> Rc<Orphans> {
        let mut all = self.orphans.borrow_mut();
        let found = all.entry(reaper).or_insert_with(|| {
            let mine = self.rows.iter().filter(|row| row.parent == reaper);
            let nobodys = mine.filter(|row| {
                !row.zombie && LEADERS.with_borrow(|all| !all.contains(&(row.pid, row.start)))
            });
            let read = nobodys.filter_map(|row| {
                let text = std::fs::read(format!("/proc/{}/environ", row.pid)).ok()?;
                Some((*row, text))
            });
            Rc::new(read.collect())
        });
        Rc::clone(found)
    }
}

impl Family {
    /// Everybody in it but the first process, as of some moment after `since`.
    pub(super) fn rest(&self, since: Instant) -> Vec<Row> {
        let look = Look::after(since);
        let mut known = self.known.clone();
        if !self.marks.is_empty() {
            let orphans = look.orphans(self.reaper);
            let own = orphans.iter().filter(|(_, text)| self.is_marked(text));
            known.extend(own.map(|(row, _)| (row.pid, row.start)));
        }
        rest_in(&look.rows, self.leader, &known)
    }

    fn is_marked(&self, environment: &[u8]) -> bool {
        let has = |mark: &String| {
            let mut entries = environment.split(|&byte| byte == 0);
            entries.any(|entry| entry == mark.as_bytes())
        };
        self.marks.iter().all(has)
    }

    /// Kills everybody in it but the first process, and waits for them, until nobody is left or
    /// `patience` is over. How many there were.
    pub(crate) async fn kill_rest(&self, mut since: Instant, patience: Duration) -> u32 {
        let mut killed = 0;
        let sweep = async {
            // What forks while it is being killed is found in the next round.
            loop {
                let rest = self.rest(since);
                let handles: Vec<Handle> = rest
                    .iter()
                    .filter_map(|row| Handle::open(row.pid, row.start))
                    .collect();
                if handles.is_empty() {
                    break;
                }
                let refused = handles
                    .iter()
                    .any(|handle| handle.signal(Signal::KILL).is_err());
                if refused {
                    break;
                }
                for handle in &handles {
                    handle.ended().await;
                    killed += 1;
                }
                since = Instant::now();
            }
        };
        if tokio::time::timeout(patience, sweep).await.is_err() {
            super::note(&format!(
                "processes of pid {} outlived SIGKILL",
                self.leader.0
            ));
        }
        killed
    }
}

fn rest_in(table: &[Row], leader: (u32, u64), known: &BTreeSet<(u32, u64)>) -> Vec<Row> {
    let (pid, start) = leader;
    // Reaped by somebody else its pid may be another's by now, and then so is the process group.
    let taken = table.iter().any(|row| row.pid == pid && row.start != start);
    let is_group = |row: &Row| !taken && (row.pid == pid || row.group == pid);
    let mut members: BTreeSet<u32> = table
        .iter()
        .filter(|row| is_group(row) || known.contains(&(row.pid, row.start)))
        .map(|row| row.pid)
        .collect();
    // A child may stand before its parent in the table, so go on until nothing is added.
    loop {
        let more: Vec<u32> = table
            .iter()
            .filter(|row| members.contains(&row.parent) && !members.contains(&row.pid))
            .map(|row| row.pid)
            .collect();
        if more.is_empty() {
            break;
        }
        members.extend(more);
    }
    let own = std::process::id();
    table
        .iter()
        .filter(|row| members.contains(&row.pid) && row.pid != pid && row.pid != own)
        .filter(|row| !row.zombie)
        .copied()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{Row, rest_in};
    use std::collections::BTreeSet;

    fn row(pid: u32, parent: u32, group: u32) -> Row {
        Row {
            pid,
            parent,
            group,
            start: u64::from(pid),
            zombie: false,
        }
    }

    fn pids(table: &[Row], leader: (u32, u64), known: &[(u32, u64)]) -> Vec<u32> {
        let known = known.iter().copied().collect::<BTreeSet<_>>();
        let mut pids: Vec<u32> = rest_in(table, leader, &known)
            .iter()
            .map(|row| row.pid)
            .collect();
        pids.sort_unstable();
        pids
    }

    const TABLE: fn() -> Vec<Row> = || {
        vec![
            row(101, 100, 100), // a worker, before its parent in the table
            row(103, 102, 103), // grandchild in a session of its own
            row(102, 100, 100),
            row(100, 1, 100),
            row(104, 1, 100),   // orphan that kept the process group
            row(105, 1, 105),   // orphan that left it, seen earlier
            row(106, 1, 106),   // its pid was seen earlier, but this is another process
            row(107, 105, 107), // what the orphan started since
            row(200, 1, 200),   // a stranger
        ]
    };

    #[test]
    fn a_family_is_the_group_the_descendants_and_what_was_known() {
        let known = [(105, 105), (106, 7)];
        let found = pids(&TABLE(), (100, 100), &known);
        assert_eq!(found, [101, 102, 103, 104, 105, 107]);
    }

    #[test]
    fn who_has_the_pid_of_a_first_process_that_is_gone_is_a_stranger() {
        // Pid 100 began at 100, and the life that is meant at 7.
        assert_eq!(pids(&TABLE(), (100, 7), &[(105, 105)]), [105, 107]);
    }
}
