//! Processes that the configuration in force does not name: how they end is noted, and a person may have
//! them stopped.

use checkd_core::engine::Event;
use checkd_core::plan::Plan;

use super::Daemon;

impl Daemon {
    /// Hands the ends of such processes to the journal: nothing waits for them, so now and then is soon
    /// enough.
    pub(super) fn note_ends(&mut self) {
        for gone in self.manager.unplanned_ends() {
            self.journal.ended(gone.path, gone.generation, gone.exit);
        }
    }

    /// The same for one that was on its way to the loop when the configuration changed.
    pub(super) fn note_end_of(&mut self, before: &Plan, event: &Event) {
        if let Event::Exited {
            member,
            generation,
            exit,
        } = *event
        {
            self.journal.ended(before.path(member), generation, exit);
            self.manager.noted(event);
        }
    }

    /// Has one stopped, when the journal says who wanted it; nothing when no such process runs.
    pub(super) fn evict(&mut self, path: &str, by: String) -> Option<Result<String, String>> {
        let all = self.manager.unplanned();
        let pid = all.iter().find(|one| one.path == path)?.pid;
        let Some(stored) = self.journal.evicted(path.to_owned(), by) else {
            return Some(Err(
                "the disk does not keep up with the journal; try again".to_owned()
            ));
        };
        self.manager.evict(path, stored);
        Some(Ok(format!(
            "stopping pid {pid}, which is not in the configuration any more"
        )))
    }
}
