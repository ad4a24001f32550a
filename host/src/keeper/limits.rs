//! Resource limits of a member: from the plan's words to the kernel's, and who may raise them.

use std::io;

use checkd_core::plan::{Bounds, Resource};
use rustix::process::{self, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CapabilitySet, capabilities};

/// A limit in the kernel's words.
pub(crate) type Set = (process::Resource, Rlimit);

/// What is to be set in the new process; what is not said stays as we were started with it.
///
/// # Errors
/// One line for a person: which limit cannot be raised so far.
pub(crate) fn sets(limits: &[(Resource, Bounds)]) -> Result<Vec<Set>, String> {
    let set = |&(resource, wanted): &(Resource, Bounds)| {
        let kernel = of_kernel(resource);
        let found = getrlimit(kernel).maximum.unwrap_or(Bounds::UNLIMITED);
        let hard = wanted.hard.unwrap_or(found);
        let (name, asked) = (resource.as_str(), hard.max(wanted.soft));
        let told = |n: u64| match n {
            Bounds::UNLIMITED => "unlimited".to_owned(),
            n => n.to_string(),
        };
        let (asked, found_text) = (told(asked), told(found));
        if wanted.soft > hard {
            return Err(format!(
                "limit `{name}` cannot be {asked}: the hard limit is {found_text}"
            ));
        }
        if hard > found && !may_raise() {
            return Err(format!(
                "limit `{name}` cannot be {asked}: the hard limit is {found_text}, and checkd may not \
                 raise it (no CAP_SYS_RESOURCE)"
            ));
        }
        if let Some(most) = most(resource).filter(|&most| hard > most) {
            return Err(format!(
                "limit `{name}` cannot be {asked}: this system allows {most} (fs.nr_open)"
            ));
        }
        let value = |n: u64| (n != Bounds::UNLIMITED).then_some(n);
        let limit = Rlimit {
            current: value(wanted.soft),
            maximum: value(hard),
        };
        Ok((kernel, limit))
    };
    limits.iter().map(set).collect()
}

/// Sets them for this process: between fork and exec, before the user changes.
pub(crate) fn apply(sets: &[Set]) -> io::Result<()> {
    for (resource, limit) in sets {
        setrlimit(*resource, *limit)?;
    }
    Ok(())
}

/// What not even root may go beyond.
fn most(resource: Resource) -> Option<u64> {
    if resource != Resource::OpenFiles {
        return None;
    }
    let text = std::fs::read_to_string("/proc/sys/fs/nr_open").ok()?;
    text.trim().parse().ok()
}

fn may_raise() -> bool {
    capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::SYS_RESOURCE))
}

fn of_kernel(resource: Resource) -> process::Resource {
    match resource {
        Resource::OpenFiles => process::Resource::Nofile,
        Resource::Processes => process::Resource::Nproc,
        Resource::Memory => process::Resource::As,
        Resource::Core => process::Resource::Core,
        Resource::FileSize => process::Resource::Fsize,
        Resource::Stack => process::Resource::Stack,
        Resource::Cpu => process::Resource::Cpu,
        Resource::LockedMemory => process::Resource::Memlock,
    }
}
