//! What a worker may take and be: its limits, its user, no new privileges.
//!
//! It travels as an argument from the daemon to `checkd worker`, which does it to itself before
//! anything of a plugin runs, also before it becomes the program of a `command`.

use checkd_core::plan::{Bounds, ConfinePlan, Resource};
use rustix::process::{Gid, Uid, geteuid};
use rustix::thread::{set_thread_gid, set_thread_groups, set_thread_uid};
use serde::{Deserialize, Serialize};

use crate::keeper::limits;
use crate::keeper::protocol::Account;
use crate::manager::launch::find_account;
use crate::manager::plain;

use super::loader::Fault;

/// The limits and the user of a worker.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Confine {
    limits: Vec<(Resource, Bounds)>,
    account: Option<Account>,
}

impl Confine {
    /// What the configuration says, as this machine knows it.
    pub(crate) fn of(plan: &ConfinePlan) -> Result<Self, Fault> {
        let mut limits: Vec<(Resource, Bounds)> =
            plan.limits.iter().map(|(&of, &to)| (of, to)).collect();
        // A crash is told by how the process ends; the memory of a plugin is nobody's business.
        if !plan.limits.contains_key(&Resource::Core) {
            let none = Bounds {
                soft: 0,
                hard: Some(0),
            };
            limits.push((Resource::Core, none));
        }
        limits::sets(&limits).map_err(refused)?;
        let account = match &plan.user {
            None => None,
            Some(user) if !geteuid().is_root() => {
                return Err(refused(format!(
                    "only root can run its worker as user `{user}`"
                )));
            }
            Some(user) => Some(find_account(user).map_err(refused)?.0),
        };
        Ok(Self { limits, account })
    }

    /// Reads what [`argument`](Self::argument) wrote.
    pub(crate) fn read(argument: &str) -> Result<Self, String> {
        serde_json::from_str(argument)
            .map_err(|error| format!("`--confine` cannot be read: {error}"))
    }

    /// As an argument of `checkd worker`.
    pub(crate) fn argument(&self) -> String {
        // Numbers and texts: there is nothing in it that JSON cannot say.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Confines this thread, and whatever it starts from now on.
    pub(crate) fn apply(&self) -> Result<(), String> {
        let cannot = |what: &str, error: rustix::io::Errno| {
            format!("it cannot {what}: {}", plain(&error.into()))
        };
        let sets = limits::sets(&self.limits)?;
        limits::apply(&sets).map_err(|error| format!("it cannot be limited: {}", plain(&error)))?;
        if let Some(account) = &self.account {
            let groups: Vec<Gid> = account.groups.iter().map(|&g| Gid::from_raw(g)).collect();
            let be = format!("run as user `{}`", account.name);
            set_thread_groups(&groups).map_err(|error| cannot(&be, error))?;
            set_thread_gid(Gid::from_raw(account.gid)).map_err(|error| cannot(&be, error))?;
            set_thread_uid(Uid::from_raw(account.uid)).map_err(|error| cannot(&be, error))?;
        }
        // Before the first thread, so that it holds for all of them. A check needs no more than we
        // have.
        rustix::thread::set_no_new_privs(true).map_err(|error| cannot("give privileges up", error))
    }
}

fn refused(why: String) -> Fault {
    Fault::new("C0217", why).note("it was not started")
}
