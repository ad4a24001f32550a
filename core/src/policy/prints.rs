//! Fingerprints of what a plan says, made once: what tells a check, or what a member is started with,
//! from another one.

use serde::{Deserialize, Serialize};

use crate::plan::{CheckPlan, Launch, Plan, Scope};
use crate::schedule::Hash;

/// Those of a whole plan.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Prints {
    groups: Vec<GroupPrints>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct GroupPrints {
    checks: Box<[u64]>,
    /// Of what all members are started with; the port of each is added to it.
    launch: Hash,
}

impl Prints {
    pub(crate) fn new(plan: &Plan) -> Self {
        let groups = plan.groups.iter().map(|group| GroupPrints {
            checks: group.checks.iter().map(of_check).collect(),
            launch: of_launch(&group.launch),
        });
        Self {
            groups: groups.collect(),
        }
    }

    /// What makes each check of a group another one.
    pub(crate) fn checks(&self, group: u32) -> &[u64] {
        let group = self.groups.get(group as usize);
        group.map_or(&[], |group| &group.checks)
    }

    /// What makes a member with this port outdated: anything that only a new process would see.
    pub(crate) fn launch(&self, group: u32, port: Option<u16>) -> u64 {
        let group = self.groups.get(group as usize);
        group.map_or(0, |group| {
            let port = match port {
                Some(port) => group.launch.part(&format!("Some({port})")),
                None => group.launch.part("None"),
            };
            port.part("").finish()
        })
    }
}

/// What makes a check another one: what it looks at and how, not how often or how long.
pub(crate) fn of_check(check: &CheckPlan) -> u64 {
    let scope = match check.scope {
        Scope::Process => "process",
        Scope::Host => "host",
        Scope::Dependency => "dependency",
    };
    let options = serde_json::Value::Object(check.options.clone()).to_string();
    crate::schedule::phase([check.kind.as_str(), scope, &options])
}

fn of_launch(launch: &Launch) -> Hash {
    let seen = (
        &launch.command,
        &launch.directory,
        &launch.user,
        launch.umask,
        &launch.env_file,
    );
    let mut text = format!("{seen:?} {:?} {:?}", launch.environment, launch.output);
    // Said only where there are some, so that members of an older checkd stay what they are.
    if !launch.limits.is_empty() {
        text.push_str(&format!(" {:?}", launch.limits));
    }
    Hash::default().part(&text)
}
