//! What a worker may take, be and reach: its limits, its user, `allow`, no new privileges.
//!
//! It travels as an argument from the daemon to `checkd worker`, which does it to itself before
//! anything of a plugin runs, also before it becomes the program of a `command`.

use std::ffi::OsString;

use checkd_core::diagnostic::Diagnostic;
use checkd_core::plan::{Bounds, ConfinePlan, Grant, Resource, written};
use rustix::process::{Gid, Uid, geteuid};
use rustix::thread::{set_thread_gid, set_thread_groups, set_thread_uid};
use serde::{Deserialize, Serialize};

use crate::keeper::limits;
use crate::keeper::protocol::Account;
use crate::manager::launch::find_account;
use crate::manager::plain;

use super::loader::Fault;
use super::sandbox::{self, Sandbox};
use super::trust::Us;

/// The limits, the user and the reach of a worker.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Confine {
    limits: Vec<(Resource, Bounds)>,
    account: Option<Account>,
    /// All that it may reach; `None`: whatever its user may.
    allow: Option<Vec<Grant>>,
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
        limits::sets(&limits).map_err(|why| refused(why, LOWER))?;
        let account = match &plan.user {
            None => None,
            Some(user) if !geteuid().is_root() => {
                let why = format!("only root can run its worker as user `{user}`");
                return Err(refused(why, "take `user` out, or run checkd as root"));
            }
            Some(user) => {
                let found = find_account(user);
                Some(
                    found
                        .map_err(|why| refused(why, "name a user of this machine"))?
                        .0,
                )
            }
        };
        Ok(Self {
            limits,
            account,
            allow: plan.allow.clone(),
        })
    }

    /// What a worker may reach, when its plugin says `allow`: in the words of the configuration.
    pub(crate) fn reach(&self) -> Option<String> {
        let words = self
            .allow
            .as_ref()?
            .iter()
            .map(|grant| format!("\"{grant}\""));
        let words = words.collect::<Vec<String>>().join(", ");
        Some(format!("is confined to `allow = [{words}]`"))
    }

    /// What a worker may take, when its plugin says `limits`: in the words of the configuration.
    pub(crate) fn bounds(&self) -> Option<String> {
        // One that everybody has says nothing.
        let own = |(of, to): &&(Resource, Bounds)| *of != Resource::Core || to.soft != 0;
        let own: Vec<_> = self.limits.iter().filter(own).collect();
        let limits = written(own.iter().map(|(of, to)| (of, to)));
        (!own.is_empty()).then(|| format!("has `limits = {limits}`"))
    }

    /// Whether its worker may not start other programs.
    pub(super) fn is_alone(&self) -> bool {
        let allow = self.allow.as_ref();
        allow.is_some_and(|allow| !allow.contains(&Grant::Exec))
    }

    /// Who may change what runs so confined.
    pub(super) fn trusts(&self) -> Us {
        let account = self.account.as_ref();
        Us::now(account.map(|account| (account.uid, account.gid)))
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

    /// Confines this thread, and whatever it starts from now on. `command` is what the process
    /// becomes, when it is not `checkd worker` itself.
    pub(crate) fn apply(&self, command: Option<&[OsString]>) -> Result<(), String> {
        let sandbox = self.allow.as_ref();
        let sandbox = sandbox
            .map(|allow| Sandbox::prepare(allow, command))
            .transpose()?;
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
        rustix::thread::set_no_new_privs(true)
            .map_err(|error| cannot("give privileges up", error))?;
        sandbox.map_or(Ok(()), Sandbox::enter)
    }
}

/// What a plugin that says `allow` may do all the same, for the kernel cannot refuse it.
pub(super) fn incomplete(name: &str, plan: &ConfinePlan) -> Option<Diagnostic> {
    let lacks = plan.allow.as_ref().map(|_| sandbox::lacks())?;
    if lacks.is_empty() {
        return None;
    }
    let told = format!("plugin `{name}` is not confined as its `allow` says");
    let told = Diagnostic::warning("C0218", told).note(format!(
        "Linux {} cannot refuse it all",
        rustix::system::uname().release().to_string_lossy()
    ));
    let told = lacks.into_iter().fold(told, Diagnostic::note);
    Some(told.help("use Linux 6.12 or later with Landlock and seccomp; `user` confines too"))
}

const LOWER: &str = "lower the limit, or raise the one that checkd was started with";

/// What to do when [`Confine::apply`] could not.
pub(crate) fn how_to_confine(why: &str) -> Option<&'static str> {
    if why.starts_with("`allow` names") {
        Some("make it, or take it out of `allow`")
    } else {
        None
    }
}

fn refused(why: String, help: &str) -> Fault {
    Fault::new("C0217", why)
        .note("it was not started")
        .help(help)
}
