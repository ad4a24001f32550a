//! Whom the kernel killed for want of memory: by its own control group, else by the kernel's log.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use rustix::fs::OFlags;
use rustix::time::{ClockId, clock_gettime};

/// So long after the kernel's words an end may come that they are about.
const WITHIN: Duration = Duration::from_secs(10);
/// The kernel sends the signal first and says so after it: so often, and so long apart, we look.
const LOOKS: u32 = 3;
const APART: Duration = Duration::from_millis(20);
/// So many records are read at once; the kernel keeps fewer.
const RECORDS: u32 = 100_000;
/// No record is longer.
const RECORD: usize = 8_192;

thread_local! {
    static LOG: RefCell<Log> = const { RefCell::new(Log { file: None, killed: BTreeMap::new() }) };
}

/// The kernel's log, read as far as it goes.
struct Log {
    file: Option<File>,
    /// When it killed whom, since boot.
    killed: BTreeMap<u32, Duration>,
}

/// Whether a process that was ended by SIGKILL, not ours, was killed for want of memory.
pub(super) async fn was_short(pid: u32, cgroup: Option<&Path>) -> bool {
    if let Some(count) = cgroup.and_then(kills_in) {
        return count > 0;
    }
    for look in 0..LOOKS {
        match LOG.with_borrow_mut(|log| log.names(pid)) {
            Some(true) => return true,
            // It cannot be read: as without root.
            None => return false,
            Some(false) if look + 1 < LOOKS => tokio::time::sleep(APART).await,
            Some(false) => {}
        }
    }
    false
}

/// How many of a control group were killed so; `None` where the kernel does not count.
fn kills_in(cgroup: &Path) -> Option<u64> {
    let events = fs::read_to_string(cgroup.join("memory.events")).ok()?;
    let mut counts = events
        .lines()
        .filter_map(|line| line.strip_prefix("oom_kill "));
    counts.next()?.trim().parse().ok()
}

impl Log {
    /// Whether the kernel says that it killed `pid` just now; `None` when its log cannot be read.
    fn names(&mut self, pid: u32) -> Option<bool> {
        if self.file.is_none() {
            let options = OFlags::NONBLOCK.bits().cast_signed();
            let opened = OpenOptions::new()
                .read(true)
                .custom_flags(options)
                .open("/dev/kmsg");
            self.file = opened.ok();
        }
        let mut file = self.file.as_ref()?;
        let mut record = [0u8; RECORD];
        for _ in 0..RECORDS {
            match file.read(&mut record) {
                Ok(0) => break,
                Ok(length) => {
                    let text = String::from_utf8_lossy(record.get(..length).unwrap_or_default());
                    if let Some((pid, at)) = victim(&text) {
                        self.killed.insert(pid, at);
                    }
                }
                // Records were overwritten before we came to them: the next ones are there.
                Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {}
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                Err(_) => {
                    self.file = None;
                    return None;
                }
            }
        }
        let now = clock_gettime(ClockId::Monotonic);
        let now = Duration::from_secs(now.tv_sec.unsigned_abs())
            + Duration::from_nanos(now.tv_nsec.unsigned_abs());
        self.killed
            .retain(|_, at| now.saturating_sub(*at) <= WITHIN);
        Some(self.killed.remove(&pid).is_some())
    }
}

/// Whom a record of the kernel says it killed, and when.
fn victim(record: &str) -> Option<(u32, Duration)> {
    let (head, text) = record.split_once(';')?;
    let mut fields = head.split(',');
    // What a process wrote into the log bears another facility than the kernel's.
    let priority: u32 = fields.next()?.parse().ok()?;
    if priority >= 8 {
        return None;
    }
    let at = Duration::from_micros(fields.nth(1)?.parse().ok()?);
    let (before, rest) = text.split_once("Killed process ")?;
    // Old kernels say it in two records, of which this is the second.
    let so = before.is_empty() || before.to_lowercase().contains("out of memory");
    let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    so.then_some((digits.parse().ok()?, at))
}

#[cfg(test)]
mod tests {
    use super::{kills_in, victim};
    use std::time::Duration;

    #[test]
    fn the_kernel_s_words_are_understood_and_nobody_else_s() {
        let at = Duration::from_micros(16_012_840_184);
        let lines = [
            "3,1021,16012840184,-;Memory cgroup out of memory: Killed process 4711 (python3) total-vm:219904kB, anon-rss:31744kB, file-rss:6144kB, shmem-rss:0kB, UID:0 pgtables:160kB oom_score_adj:0\n",
            "3,1021,16012840184,-;Out of memory: Killed process 4711 (a) b) total-vm:1kB\n",
            "3,1021,16012840184,-;Killed process 4711 (python3) total-vm:1kB\n",
        ];
        for line in lines {
            assert_eq!(victim(line), Some((4711, at)), "{line}");
        }
        for line in [
            "12,1021,16012840184,-;Out of memory: Killed process 4711 (x)\n",
            "6,1021,16012840184,-;eth0: Killed process 4711\n",
            "3,1021,16012840184,-;Out of memory: Killed process x\n",
            "3,1021,16012840184,-;oom_reaper: reaped process 4711 (python3)\n",
            "",
            ";",
            "3,1;Killed process 1 (x)",
        ] {
            assert_eq!(victim(line), None, "{line}");
        }
    }

    #[test]
    fn a_control_group_that_does_not_count_says_nothing() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(kills_in(dir.path()), None);
        let events = "low 0\nhigh 0\nmax 12\noom 2\noom_kill 1\noom_group_kill 0\n";
        std::fs::write(dir.path().join("memory.events"), events).unwrap();
        assert_eq!(kills_in(dir.path()), Some(1));
    }
}
