//! A control group for each member, where we may make some: what is in it is the member's whole tree,
//! however far it forked away.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::processes;
use rustix::event::{PollFd, PollFlags, poll};

/// The directory below which members get theirs; `None` where cgroup2 is not there, or not ours.
///
/// Ours is what has been delegated to us (systemd marks it), or the root of what we see, as in a
/// container.
pub(super) fn home() -> Option<PathBuf> {
    let mount = mount()?;
    let of_us = fs::read_to_string("/proc/self/cgroup").ok()?;
    let own = of_us.lines().find_map(|line| line.strip_prefix("0::"))?;
    let home = mount.join(own.trim_start_matches('/'));
    let delegated = own == "/"
        || ["user.delegate", "trusted.delegate"].iter().any(|name| {
            let mut value = [0u8; 1];
            let read = rustix::fs::getxattr(&home, *name, &mut value);
            read.is_ok() && value == *b"1"
        });
    let writable = rustix::fs::access(home.join("cgroup.procs"), rustix::fs::Access::WRITE_OK);
    (delegated && writable.is_ok()).then_some(home)
}

fn mount() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    mounts.lines().find_map(|line| {
        let mut words = line.split(' ').skip(1);
        let (path, kind) = (words.next()?, words.next()?);
        (kind == "cgroup2").then(|| PathBuf::from(path))
    })
}

/// Who makes a control group: a keeper's pid, and the space in which that is its pid. The first processes
/// of two containers may see the same control groups, and both have pid 1.
fn maker() -> String {
    format!("{}.{}", std::process::id(), pid_space())
}

/// The number of our space of pids.
fn pid_space() -> String {
    let link = fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    let digits = link.to_string_lossy().into_owned();
    digits.chars().filter(char::is_ascii_digit).collect()
}

/// Makes the control group of one life of the member `name` and opens the door to it: who writes `0`
/// there is in.
pub(super) fn make(home: &Path, name: &str) -> Option<(PathBuf, File)> {
    let path = home.join(format!("checkd-{}-{name}", maker()));
    match fs::create_dir(&path) {
        Ok(()) => {}
        // Left over by a keeper that was killed: taken over when nobody is in it.
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            if populated(&path) {
                return None;
            }
        }
        Err(_) => return None,
    }
    let door = OpenOptions::new()
        .write(true)
        .open(path.join("cgroup.procs"));
    door.ok().map(|door| (path, door))
}

/// Takes away what keepers left that are gone. One with somebody in it stays, by the kernel's own rule; one
/// that was made this moment in another container may go, and its member is known by its process group.
pub(super) fn sweep(home: &Path) {
    let space = pid_space();
    for entry in fs::read_dir(home).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let maker = name
            .to_str()
            .and_then(|name| name.strip_prefix("checkd-")?.split_once('-'))
            .map(|(maker, _)| maker.split_once('.').unwrap_or((maker, space.as_str())));
        let gone = |(pid, of): (&str, &str)| {
            let pid: Option<u32> = pid.parse().ok();
            pid.is_some_and(|pid| of != space || processes::row(pid).is_none())
        };
        if maker.is_some_and(gone) {
            remove(&entry.path());
        }
    }
}

/// Kills everything in it and waits until nobody is left, at most `patience_ms`.
pub(super) fn kill(path: &Path, patience_ms: u64) {
    if !populated(path) || fs::write(path.join("cgroup.kill"), "1").is_err() {
        return;
    }
    let Ok(events) = File::open(path.join("cgroup.events")) else {
        return;
    };
    let begin = crate::clock::now();
    // The kernel needs well under a millisecond; the loop ends by `patience_ms` at the latest.
    while reads_populated(&events) && crate::clock::now().since(begin).as_millis() < patience_ms {
        let mut watched = [PollFd::new(&events, PollFlags::PRI)];
        let wait = rustix::event::Timespec {
            tv_sec: 0,
            tv_nsec: 10_000_000,
        };
        poll(&mut watched, Some(&wait)).ok();
    }
}

/// Who is in it, but for the process `leader`.
pub(super) fn rows(path: &Path, leader: u32) -> Vec<processes::Row> {
    let text = fs::read_to_string(path.join("cgroup.procs")).unwrap_or_default();
    let pids = text.lines().filter_map(|line| line.parse().ok());
    pids.filter(|&pid| pid != leader)
        .filter_map(processes::row)
        .collect()
}

/// Takes an empty one away. One that is not empty stays.
pub(super) fn remove(path: &Path) {
    drop(fs::remove_dir(path));
}

fn populated(path: &Path) -> bool {
    File::open(path.join("cgroup.events")).is_ok_and(|events| reads_populated(&events))
}

fn reads_populated(events: &File) -> bool {
    let mut text = [0u8; 128];
    let read = events.read_at(&mut text, 0).unwrap_or(0);
    let text = text.get(..read).unwrap_or_default();
    String::from_utf8_lossy(text).contains("populated 1")
}

/// The control group that a keeper before this one made for the life `pid` of the member `name`.
pub(super) fn of(pid: u32, name: &str) -> Option<PathBuf> {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    let own = text.lines().find_map(|line| line.strip_prefix("0::"))?;
    let leaf = Path::new(own).file_name()?.to_str()?;
    let rest = leaf.strip_prefix("checkd-")?;
    let (keeper, member) = rest.split_once('-')?;
    let number = |b: u8| b.is_ascii_digit() || b == b'.';
    let ours = member == name && keeper.bytes().all(number);
    let path = mount()?.join(own.trim_start_matches('/'));
    (ours && path.is_dir()).then_some(path)
}
