//! The duty of a first process: in a container, orphans become our children and must be reaped.

use std::collections::BTreeSet;
use std::time::Duration;

use rustix::process::{Pid, WaitId, WaitIdOptions};
use tokio::signal::unix::{SignalKind, signal};

use super::processes;

/// Whoever waits for its own child (a member's watcher, a plugin's worker) has done so long before;
/// a child that is a zombie for so long has nobody but us.
const GRACE: Duration = Duration::from_secs(2);

/// Reaps orphans for as long as the daemon lives; does nothing unless we are the first process.
pub(super) async fn reap_orphans() {
    if std::process::id() != 1 {
        return;
    }
    let Ok(mut children) = signal(SignalKind::child()) else {
        return;
    };
    let mut seen = BTreeSet::new();
    loop {
        // Without a zombie there is nothing to do before the next child ends.
        if seen.is_empty() && children.recv().await.is_none() {
            return;
        }
        tokio::time::sleep(GRACE).await;
        let zombies = processes::zombies_of(1);
        for &(pid, _) in zombies.intersection(&seen) {
            let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
            if let Some(pid) = pid
                && let Err(error) = rustix::process::waitid(WaitId::Pid(pid), options)
            {
                tracing::debug!(%error, "an orphan was reaped by somebody else");
            }
        }
        seen = zombies.difference(&seen).copied().collect();
    }
}
