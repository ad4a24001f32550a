//! The beginning of a daemon: what the one before has left, and what is said once.

use std::collections::BTreeMap;
use std::path::Path;

use checkd_core::engine::Event;
use checkd_core::plan::{Plan, Scope};
use checkd_core::policy::keep::{Between, Kept};
use checkd_core::report::UnplannedReport;
use checkd_core::{Generation, IntentId, MemberId};
use tokio::sync::mpsc::UnboundedSender;

use super::talk::Talk;
use crate::journal::Past;
use crate::manager::Manager;
use crate::state_dir::StateDir;
use crate::wall::Both;

/// What lies between the daemon before and this one.
pub(super) fn between(past: &Past, begun: &BTreeMap<IntentId, bool>) -> Between {
    match past.rebooted {
        Some(away) => Between::Reboot { away },
        // What the keeper has begun goes on, or is over, and its end is told. What it never heard of
        // is withdrawn, and decided anew on fresh evidence.
        None => Between::SameBoot {
            open: past
                .open
                .iter()
                .map(|intent| (*intent, begun.contains_key(intent)))
                .collect(),
        },
    }
}

/// A process that the engine still counts on, and of which the journal knows that it is not the
/// member's last one, is gone.
pub(super) fn forget_the_gone(
    plan: &Plan,
    past: &Past,
    manager: &Manager,
    events: &UnboundedSender<Event>,
) {
    let ids: BTreeMap<String, MemberId> = plan.members().map(|id| (plan.path(id), id)).collect();
    for kept in past.kept.iter().filter_map(Kept::member) {
        if let (Some(&id), Some(generation)) = (ids.get(&kept.path), kept.generation)
            && !past.lives.contains(&(id, generation))
            && !manager.knows(&kept.path, generation)
        {
            lost(events, id, generation);
        }
    }
}

fn lost(events: &UnboundedSender<Event>, member: MemberId, generation: Generation) {
    let exit = checkd_core::engine::Exit::Lost;
    // The loop has not begun yet, so it is there to hear it.
    drop(events.send(Event::Exited {
        member,
        generation,
        exit,
    }));
}

/// Takes over what still runs of the daemon before, and says what ended meanwhile.
pub(super) async fn adopt(
    talk: &Talk,
    plan: &Plan,
    manager: &Manager,
    events: &UnboundedSender<Event>,
    past: &Past,
) {
    for what in &past.interrupted {
        talk.own(&format!(
            "the daemon before ended during an act ({what}); looking at what is"
        ));
    }
    for &(id, generation) in &past.lives {
        let (who, pid) = (plan.path(id), generation.pid);
        if manager.adopt(id, generation).await {
            let text = format!("still runs as pid {pid}; taken over");
            talk.about(Both::read().now_ms(), &who, &text, None);
        } else {
            // What the keeper saw it has told.
            let exit = manager.exit_of(generation);
            if exit.is_none() {
                lost(events, id, generation);
            }
            let text = match exit {
                Some(exit) => format!("{exit} while no checkd ran (it was pid {pid})"),
                None if runs(generation) => {
                    format!("pid {pid} is kept by another checkd; left alone")
                }
                None => format!("ended while no checkd ran (it was pid {pid})"),
            };
            talk.about(Both::read().now_ms(), &who, &text, None);
        }
    }
    // What the keeper started, and the daemon before did not live to note.
    for (id, generation) in manager.lives() {
        if !past.lives.contains(&(id, generation)) {
            let text = format!("runs as pid {}; taken over", generation.pid);
            talk.about(Both::read().now_ms(), &plan.path(id), &text, None);
        }
    }
    for UnplannedReport { path, pid, .. } in manager.unplanned() {
        talk.own(&format!(
            "{path} runs as pid {pid} and is not in the configuration any more; it is left alone, \
             `checkd stop {path}` ends it"
        ));
    }
}

/// Whether this very process runs.
fn runs(generation: Generation) -> bool {
    let row = crate::keeper::processes::row(generation.pid);
    generation.boot == crate::keeper::processes::boot_id()
        && row.is_some_and(|row| row.start == generation.start && !row.zombie)
}

/// What matters once, at the start.
pub(super) fn announce(
    talk: &Talk,
    plan: &Plan,
    source: &str,
    changed: &[String],
    state: &StateDir,
    control: &Path,
) {
    talk.line(&format!(
        "checkd {}, configured by {source}",
        env!("CARGO_PKG_VERSION")
    ));
    talk.line(&format!("  state    {}", state.path().display()));
    talk.line(&format!("  control  {}", control.display()));
    for group in &plan.groups {
        let n = group.members.len();
        let members = match (group.members.first(), group.members.last()) {
            (Some(first), Some(last)) if n > 1 => {
                format!("{n} members, {} … {}", first.name, last.name)
            }
            (Some(only), _) => format!("1 member, {}", only.name),
            _ => "no members".to_owned(),
        };
        let observed = match group.mode {
            checkd_core::plan::Mode::Auto => "",
            checkd_core::plan::Mode::Observe => "; observed only, nothing is restarted",
        };
        talk.line(&format!("  group    {}: {members}{observed}", group.name));
        for check in &group.checks {
            let scope = match check.scope {
                Scope::Process => "",
                Scope::Host => ", of the host",
                Scope::Dependency => ", of a dependency",
            };
            talk.line(&format!(
                "           {} ({}{scope}) every {}, fails after {} in a row",
                check.name, check.kind, check.interval, check.fall
            ));
        }
        if group.checks.is_empty() {
            talk.line("           no checks: only a process that ends is seen");
            continue;
        }
        talk.line(&format!("           live = {}", group.live.text));
        if group.ready.text != group.live.text {
            talk.line(&format!("           ready = {}", group.ready.text));
        }
    }
    for sink in &plan.notify {
        let (name, kind) = (&sink.name, sink.target.kind());
        let events = sink.events.join(", ");
        talk.line(&format!("  notify   {name} ({kind}): {events}"));
    }
    if !changed.is_empty() {
        talk.line("  changed from the defaults");
        for line in changed {
            talk.line(&format!("           {line}"));
        }
    }
    talk.line("");
}
