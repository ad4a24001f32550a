//! Processes as the kernel sees them: the tests judge by `/proc`, not by what checkd says.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::sync::atomic::{AtomicU16, Ordering};

use rustix::process::{Pid, Signal, kill_process};

/// Sends `signal` to `pid`; a process that is gone already is fine.
pub fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        // The only answer that can be expected is "gone", which is what most callers want.
        kill_process(pid, signal).ok();
    }
}

/// The kernel's letter for what `pid` does: `R`, `S`, `T` (stopped), `Z`; nothing when it is gone.
pub fn state(pid: u32) -> Option<char> {
    stat_field(pid, 0)?.chars().next()
}

/// Whether `pid` runs: it exists and is no zombie.
pub fn alive(pid: u32) -> bool {
    state(pid).is_some_and(|state| !matches!(state, 'Z' | 'X'))
}

/// The parent of `pid`.
pub fn parent(pid: u32) -> Option<u32> {
    stat_field(pid, 1)?.parse().ok()
}

/// The children of `pid`, zombies left out.
pub fn children(pid: u32) -> Vec<u32> {
    all()
        .filter(|&child| parent(child) == Some(pid) && alive(child))
        .collect()
}

/// The keeper of this state directory.
pub fn keeper_of(state: &Path) -> Option<u32> {
    let ours = |pid: &u32| {
        let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let words: Vec<&[u8]> = words.split(|&b| b == 0).collect();
        words.contains(&&b"keeper"[..])
            && words.contains(&state.as_os_str().as_encoded_bytes())
            && alive(*pid)
    };
    all().find(ours)
}

/// Every process whose environment holds `marker`.
pub(crate) fn marked(marker: &str) -> Vec<u32> {
    let holds = |pid: &u32| {
        fs::read(format!("/proc/{pid}/environ")).is_ok_and(|text| {
            text.split(|&b| b == 0)
                .any(|entry| entry == marker.as_bytes())
        })
    };
    all().filter(holds).collect()
}

/// The first of `count` ports in a row that are free now, and that no other test of this process got.
///
/// They lie below the range from which the kernel takes ports by itself, so nobody gets one of them
/// by chance between this look and the server's bind.
///
/// # Panics
/// When there are none.
pub fn free_ports(count: u16) -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    for _ in 0..1000 {
        let offset = NEXT.fetch_add(count, Ordering::Relaxed);
        // Another test process begins elsewhere in the range.
        let begin = u16::try_from(std::process::id() % 2000).unwrap_or_default() * 5;
        let base = 20_000 + (begin + offset) % 10_000;
        if (base..base + count).all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok()) {
            return base;
        }
    }
    panic!("there are no {count} free ports in a row between 20000 and 30000")
}

fn all() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// A field of `/proc/PID/stat`, counted from the state letter, which follows the name in brackets.
fn stat_field(pid: u32, index: usize) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, after_name) = stat.rsplit_once(") ")?;
    after_name.split(' ').nth(index).map(str::to_owned)
}
