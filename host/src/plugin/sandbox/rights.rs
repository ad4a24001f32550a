//! What root may and others may not: a confined worker keeps what it needs for files, and with
//! `network` for sockets.
//!
//! Without this, one that runs as root could read other processes past Landlock's rules.

use rustix::io::Result;
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, remove_capability_from_bounding_set,
    set_capabilities,
};

const FILES: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::DAC_READ_SEARCH)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::FSETID);

const SOCKETS: CapabilitySet = CapabilitySet::NET_BIND_SERVICE.union(CapabilitySet::NET_RAW);

/// Gives up all others, also for the programs that this thread becomes or starts.
pub(super) fn give_up(network: bool) -> Result<()> {
    let kept = if network { FILES | SOCKETS } else { FILES };
    let had = capabilities(None)?;
    if had.effective.contains(CapabilitySet::SETPCAP) {
        for one in (CapabilitySet::all() - kept).iter() {
            // One that this kernel does not know is nobody's.
            let _unknown = remove_capability_from_bounding_set(one);
        }
    }
    let sets = CapabilitySets {
        effective: had.effective & kept,
        permitted: had.permitted & kept,
        inheritable: had.inheritable & kept,
    };
    set_capabilities(None, sets)
}
