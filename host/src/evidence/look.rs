//! What the kernel says of a process: read as text, each part bounded, none of it waited for by others.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use procfs::process::{FDTarget, Process, all_processes};

use crate::keeper::plain;
use crate::keeper::processes::row;
use checkd_core::{Generation, Process as Blamed};

/// So much of one file of the kernel is read.
const FILE_MAX: u64 = 64 << 10;
/// So many threads, descriptors, connections and processes are listed.
const LISTED: usize = 200;
/// So many are counted.
const COUNTED: usize = 100_000;
/// So much of a command line is shown.
const WORDS: usize = 1_000;

/// A part: its text, or why there is none.
pub(super) type Part = Result<String, String>;

/// Whether the pid is still of this life.
fn there(generation: Generation) -> Result<u32, String> {
    match row(generation.pid) {
        Some(row) if row.start == generation.start => Ok(generation.pid),
        _ => Err(format!("pid {} is gone", generation.pid)),
    }
}

fn read(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?.take(FILE_MAX).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The file under a heading; that it cannot be read is said in its place.
fn section(out: &mut String, path: &Path) {
    let text = read(path).unwrap_or_else(|e| format!("cannot be read: {}", plain(&e)));
    let text = text.trim_end();
    let text = if text.is_empty() { "(empty)" } else { text };
    out.push_str(&format!("== {}\n{text}\n\n", path.display()));
}

/// State, wait channel, stack in the kernel, limits, times, input and output.
pub(super) fn process(generation: Generation) -> Part {
    let pid = there(generation)?;
    let home = PathBuf::from(format!("/proc/{pid}"));
    let mut out = String::new();
    for link in ["exe", "cwd"] {
        let path = home.join(link);
        let target = fs::read_link(&path).map_or_else(
            |e| format!("cannot be read: {}", plain(&e)),
            |target| target.display().to_string(),
        );
        out.push_str(&format!("== {}\n{target}\n\n", path.display()));
    }
    for name in [
        "status",
        "wchan",
        "stack",
        "syscall",
        "stat",
        "limits",
        "io",
        "oom_score",
        "cgroup",
    ] {
        section(&mut out, &home.join(name));
    }
    Ok(out)
}

/// The same of each process that is blamed, with its threads.
pub(super) fn blamed(boot: u128, all: &[Blamed]) -> String {
    let mut out = String::new();
    for one in all {
        let generation = Generation {
            boot,
            pid: one.pid,
            start: one.start,
        };
        for part in [threads(generation), process(generation)] {
            let part = part.unwrap_or_else(|why| format!("{why}\n"));
            out.push_str(&format!("process {}: {part}\n", one.pid));
        }
    }
    out
}

/// Its memory by kind. A process that waits for its own memory may never answer.
pub(super) fn memory(generation: Generation) -> Part {
    let pid = there(generation)?;
    let mut out = String::new();
    section(
        &mut out,
        &PathBuf::from(format!("/proc/{pid}/smaps_rollup")),
    );
    Ok(out)
}

/// Each thread: its name, its state, what it waits in.
pub(super) fn threads(generation: Generation) -> Part {
    let pid = there(generation)?;
    let home = PathBuf::from(format!("/proc/{pid}/task"));
    let entries = fs::read_dir(&home).map_err(|e| plain(&e))?.flatten();
    let mut ids: Vec<u32> = entries
        .take(COUNTED)
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    ids.sort_unstable();
    let mut out = format!(
        "{} threads\n\n{:>8}  state  {:16}  waits in\n",
        ids.len(),
        "thread",
        "name"
    );
    for id in ids.iter().take(LISTED) {
        let stat = read(&home.join(format!("{id}/stat"))).unwrap_or_default();
        let (name, state) = name_and_state(&stat);
        let wchan = read(&home.join(format!("{id}/wchan"))).unwrap_or_default();
        let wchan = match wchan.trim() {
            "" | "0" => "-",
            name => name,
        };
        out.push_str(&format!("{id:>8}  {state:5}  {name:16}  {wchan}\n"));
    }
    more(&mut out, ids.len());
    Ok(out)
}

/// From `4711 (name (with) braces) S …`.
fn name_and_state(stat: &str) -> (String, String) {
    let inner = stat
        .split_once('(')
        .and_then(|(_, rest)| rest.rsplit_once(')'));
    let (name, rest) = inner.unwrap_or(("?", " ?"));
    let state = rest.trim_start().chars().next().unwrap_or('?');
    (name.escape_debug().to_string(), state.to_string())
}

fn more(out: &mut String, all: usize) {
    if all > LISTED {
        out.push_str(&format!("… and {} more\n", all - LISTED));
    }
}

/// How many descriptors, and where the first of them lead.
pub(super) fn descriptors(generation: Generation) -> Part {
    let pid = there(generation)?;
    let home = PathBuf::from(format!("/proc/{pid}/fd"));
    let entries = fs::read_dir(&home).map_err(|e| plain(&e))?.flatten();
    let mut numbers: Vec<u32> = entries
        .take(COUNTED)
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    numbers.sort_unstable();
    let mut out = format!("{} descriptors\n\n", numbers.len());
    for number in numbers.iter().take(LISTED) {
        let target = fs::read_link(home.join(number.to_string()))
            .map_or_else(|e| plain(&e), |target| target.display().to_string());
        out.push_str(&format!("{number:>6}  {}\n", target.escape_debug()));
    }
    more(&mut out, numbers.len());
    Ok(out)
}

/// Its TCP connections by state, and the first of them.
pub(super) fn sockets(generation: Generation) -> Part {
    let pid = there(generation)?;
    let process =
        Process::new(i32::try_from(pid).map_err(|e| e.to_string())?).map_err(|e| e.to_string())?;
    let own: BTreeSet<u64> = process
        .fd()
        .map_err(|e| e.to_string())?
        .take(COUNTED)
        .flatten()
        .filter_map(|fd| {
            let FDTarget::Socket(inode) = fd.target else {
                return None;
            };
            Some(inode)
        })
        .collect();
    let tables = process.tcp().into_iter().chain(process.tcp6()).flatten();
    let entries: Vec<_> = tables.filter(|entry| own.contains(&entry.inode)).collect();
    let mut counts = std::collections::BTreeMap::<String, usize>::new();
    for entry in &entries {
        *counts.entry(format!("{:?}", entry.state)).or_default() += 1;
    }
    let mut out = format!(
        "{} sockets, of which {} are TCP\n",
        own.len(),
        entries.len()
    );
    for (state, count) in &counts {
        out.push_str(&format!("{count:>6}  {state}\n"));
    }
    out.push_str("\nstate, local, remote, not yet sent, not yet read\n");
    for entry in entries.iter().take(LISTED) {
        out.push_str(&format!(
            "{:?}  {}  {}  {}  {}\n",
            entry.state, entry.local_address, entry.remote_address, entry.tx_queue, entry.rx_queue
        ));
    }
    more(&mut out, entries.len());
    Ok(out)
}

/// The process with everything below it and in its process group: state and command line.
pub(super) fn tree(generation: Generation) -> Part {
    let pid = i32::try_from(there(generation)?).map_err(|e| e.to_string())?;
    let all = all_processes().map_err(|e| e.to_string())?;
    let stats: Vec<_> = all.flatten().filter_map(|p| p.stat().ok()).collect();
    let mut own: BTreeSet<i32> = stats
        .iter()
        .filter(|stat| stat.pid == pid || stat.pgrp == pid)
        .map(|stat| stat.pid)
        .collect();
    loop {
        let before = own.len();
        let children = stats.iter().filter(|stat| own.contains(&stat.ppid));
        let children: Vec<i32> = children.map(|stat| stat.pid).collect();
        own.extend(children);
        if own.len() == before {
            break;
        }
    }
    let mut out = format!(
        "{} processes\n\n{:>8}  {:>8}  state  command\n",
        own.len(),
        "pid",
        "parent"
    );
    for stat in stats
        .iter()
        .filter(|stat| own.contains(&stat.pid))
        .take(LISTED)
    {
        let words = read(&PathBuf::from(format!("/proc/{}/cmdline", stat.pid))).unwrap_or_default();
        let words = words.trim_end_matches('\0').replace('\0', " ");
        let words: String = if words.is_empty() {
            format!("[{}]", stat.comm)
        } else {
            words.chars().take(WORDS).collect()
        };
        out.push_str(&format!(
            "{:>8}  {:>8}  {:5}  {}\n",
            stat.pid,
            stat.ppid,
            stat.state,
            words.escape_debug()
        ));
    }
    more(&mut out, own.len());
    Ok(out)
}

/// This machine, and the control groups of the process: memory, processor, pressure.
pub(super) fn machine(generation: Generation) -> String {
    let mut out = String::new();
    for path in [
        "/proc/loadavg",
        "/proc/meminfo",
        "/proc/pressure/cpu",
        "/proc/pressure/memory",
        "/proc/pressure/io",
    ] {
        section(&mut out, Path::new(path));
    }
    let groups =
        read(&PathBuf::from(format!("/proc/{}/cgroup", generation.pid))).unwrap_or_default();
    let mounts = read(Path::new("/proc/self/mounts")).unwrap_or_default();
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controller), Some(path)) = (fields.next(), fields.next()) else {
            continue;
        };
        let names: &[&str] = match controller {
            "" => &[
                "memory.events",
                "memory.current",
                "memory.max",
                "memory.pressure",
                "cpu.stat",
                "cpu.pressure",
                "io.pressure",
                "pids.current",
            ],
            "memory" => &[
                "memory.usage_in_bytes",
                "memory.limit_in_bytes",
                "memory.failcnt",
                "memory.oom_control",
            ],
            _ => continue,
        };
        let Some(mount) = mount(&mounts, controller) else {
            continue;
        };
        let home = Path::new(mount).join(path.trim_start_matches('/'));
        for name in names {
            let path = home.join(name);
            if path.exists() {
                section(&mut out, &path);
            }
        }
    }
    out
}

/// Where the hierarchy of a controller is mounted; cgroup2 has none of a name.
fn mount<'a>(mounts: &'a str, controller: &str) -> Option<&'a str> {
    mounts.lines().find_map(|line| {
        let mut words = line.split(' ').skip(1);
        let (path, kind, options) = (words.next()?, words.next()?, words.next()?);
        let found = match controller {
            "" => kind == "cgroup2",
            name => kind == "cgroup" && options.split(',').any(|option| option == name),
        };
        found.then_some(path)
    })
}

/// The end of a file that may be huge, with at most `max` bytes.
pub(super) fn end_of(path: &Path, max: u64) -> Result<Vec<u8>, String> {
    use std::io::Seek as _;
    let meta = fs::metadata(path).map_err(|e| plain(&e))?;
    // A pipe or a terminal has no end to read, and would be waited for.
    if !meta.is_file() {
        return Err("is no file that can be read again".to_owned());
    }
    let mut file = File::open(path).map_err(|e| plain(&e))?;
    let mut bytes = Vec::new();
    file.seek(io::SeekFrom::Start(meta.len().saturating_sub(max)))
        .and_then(|_| file.take(max).read_to_end(&mut bytes))
        .map_err(|e| plain(&e))?;
    Ok(bytes)
}

/// The last runs of each check, oldest first.
pub(super) fn runs(rows: &[crate::journal::Row]) -> String {
    let mut out = String::new();
    for row in rows.iter().filter(|row| row.what == "run") {
        let took = row
            .detail
            .get("took_ms")
            .and_then(serde_json::Value::as_u64);
        let measured = row.detail.get("measured").filter(|m| !m.is_null());
        let count = row
            .detail
            .get("count")
            .and_then(serde_json::Value::as_u64)
            .unwrap_or(1);
        let check = row.check.as_deref().unwrap_or("?");
        let times = if count > 1 {
            format!(" {count} times")
        } else {
            String::new()
        };
        let took = took.map_or_else(String::new, |ms| format!(" in {ms}ms"));
        out.push_str(&format!(
            "{}  {check}  {}{times}{took}  {}
",
            row.time,
            row.word,
            row.text.escape_debug()
        ));
        if let Some(measured) = measured {
            out.push_str(&format!("    {measured}\n"));
        }
    }
    if out.is_empty() {
        out.push_str("the journal holds no run\n");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{mount, name_and_state};

    #[test]
    fn a_name_may_hold_braces() {
        let told = name_and_state("12 (a) b (c) T 1 2");
        assert_eq!(told, ("a) b (c".to_owned(), "T".to_owned()));
        assert_eq!(name_and_state(""), ("?".to_owned(), "?".to_owned()));
    }

    #[test]
    fn both_kinds_of_control_groups_are_found() {
        let mounts = "tmpfs /sys/fs/cgroup tmpfs rw 0 0\ncgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0\n\
            cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n";
        assert_eq!(mount(mounts, "memory"), Some("/sys/fs/cgroup/memory"));
        assert_eq!(mount(mounts, ""), Some("/sys/fs/cgroup/unified"));
        assert_eq!(mount(mounts, "cpu"), None);
    }
}
