//! How many files the daemon may have open: raised as far as it goes, and said when it is too few.
//!
//! Members begin with the limit that checkd was started with: programs that use
//! `select` count on a small one.

use std::process::Command;
use std::sync::OnceLock;

use checkd_core::diagnostic::Diagnostic;
use checkd_core::plan::{Plan, Scope};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

const TOO_FEW: &str = "C0513";

/// Journal, control socket, signals, event loop, clients, with room to spare.
const DAEMON: u64 = 64;
/// A worker's pipes and its copy of the library.
const PLUGIN: u64 = 16;
/// A start's output, twice, its standard input, and the pipe that tells whether it went well.
const START: u64 = 6;
/// So many starts are under way at once.
const STARTS: u64 = 512;

/// The limit that checkd was started with, once it was raised.
static FOUND: OnceLock<Rlimit> = OnceLock::new();

/// Raises the soft limit to the hard one; a warning when even that is too small for the plan.
pub(crate) fn raise(plan: &Plan) -> Option<Diagnostic> {
    too_few(plan, raise_soft()?)
}

/// Raises the soft limit to the hard one; the limit in force, if there is one.
pub(crate) fn raise_soft() -> Option<u64> {
    let found = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: found.maximum,
        ..found
    };
    // Lowering is never meant, and raising up to the hard limit needs no privilege.
    if found.current != found.maximum && setrlimit(Resource::Nofile, raised).is_ok() {
        FOUND.get_or_init(|| found);
        raised.current
    } else {
        found.current
    }
}

/// Lets a child begin with the limit that checkd was started with.
#[expect(unsafe_code, reason = "std offers no limits for a child")]
pub(crate) fn as_found(command: &mut Command) {
    use std::os::unix::process::CommandExt;
    let Some(found) = FOUND.get().copied() else {
        return;
    };
    let set = move || Ok(setrlimit(Resource::Nofile, found)?);
    // SAFETY: between fork and exec the closure makes one system call, which is async-signal-safe;
    // it allocates nothing and takes no lock.
    unsafe {
        command.pre_exec(set);
    }
}

/// What the plan may need at its busiest: one file watches each member, in the keeper, where the daemon
/// holds the pipe of its output open; a start takes some more; and every check may be in
/// the middle of a run, with a connection or a file of its own.
fn needed(plan: &Plan) -> (u64, u64, u64) {
    let (mut members, mut runs) = (0u64, 0u64);
    for group in &plan.groups {
        let here = group.members.len() as u64;
        members += here;
        for check in &group.checks {
            runs += if check.scope == Scope::Process {
                here
            } else {
                1
            };
        }
    }
    let plugins = (plan.plugins.len() + plan.daemon.plugins.len()) as u64;
    let all = DAEMON + plugins * PLUGIN + members + members.min(STARTS) * START + runs;
    (all, members, runs)
}

fn too_few(plan: &Plan, limit: u64) -> Option<Diagnostic> {
    let (needed, members, runs) = needed(plan);
    (needed > limit).then(|| {
        Diagnostic::warning(
            TOO_FEW,
            format!("checkd may open {limit} files, and this plan may need {needed}"),
        )
        .note(format!(
            "{members} to watch the members or to hold their output, {} while they start, {runs} for checks that run at the same time, {} for checkd and its plugins",
            members.min(STARTS) * START,
            needed - members - members.min(STARTS) * START - runs
        ))
        .note("past the limit starts do not succeed and checks are unknown")
        .help(format!(
            "raise the hard limit: `ulimit -Hn {needed}`, or `LimitNOFILE={needed}` in the unit"
        ))
    })
}

#[cfg(test)]
mod tests {
    use checkd_core::config::{Document, Kinds, UnknownKinds, draft};
    use checkd_core::plan::Plan;

    use super::{needed, too_few};

    #[test]
    fn the_limit_is_told_when_it_is_below_the_need() {
        let empty: Plan = draft(&Document::default(), &Kinds::new(), UnknownKinds::Refuse).plan;
        let (need, members, runs) = needed(&empty);
        assert_eq!((members, runs), (0, 0));
        assert!(too_few(&empty, need).is_none());
        let told = too_few(&empty, need - 1).expect("too few");
        assert_eq!(told.code, "C0513");
        assert!(told.message.contains(&need.to_string()), "{}", told.message);
    }
}
