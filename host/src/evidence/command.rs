//! A person's own command, such as gcore or py-spy: run for a while, what it says kept, and killed with
//! everything that it started.

use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use checkd_core::config::evidence::DIR;
use checkd_core::config::placeholder::{Piece, Placeholder, pieces};
use rustix::process::{Pid, Signal};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Command;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::place;
use crate::keeper::plain;
use crate::keeper::processes::{Handle, row};

/// So much of what it says is kept.
const SAID_MAX: usize = 256 << 10;
/// What it may write into the directory.
const WRITTEN_MAX: u64 = 192 << 20;
/// How often is looked how much that is.
const LOOK: Duration = Duration::from_millis(100);
/// Stands in the environment of the command and of what it starts.
const MARK: &str = "CHECKD_EVIDENCE";
/// How its end may be waited for after it was killed.
const REAP: Duration = Duration::from_millis(500);

/// What the command line is filled in with.
#[derive(Clone, Debug)]
pub(super) struct About {
    pub(super) group: String,
    pub(super) member: String,
    pub(super) index: u32,
    pub(super) pid: u32,
    pub(super) port: Option<u16>,
}

/// The words with their placeholders replaced.
pub(super) fn filled(words: &[String], about: &About, dir: &Path) -> Result<Vec<String>, String> {
    let fill = |word: &String| {
        let mut text = String::new();
        for piece in pieces(word) {
            match piece {
                Piece::Text(part) => text.push_str(part),
                Piece::Placeholder(Placeholder::Group, _) => text.push_str(&about.group),
                Piece::Placeholder(Placeholder::Member, _) => text.push_str(&about.member),
                Piece::Placeholder(Placeholder::Index, _) => {
                    text.push_str(&about.index.to_string());
                }
                Piece::Placeholder(Placeholder::Pid, _) => text.push_str(&about.pid.to_string()),
                Piece::Placeholder(Placeholder::Port, _) => {
                    let port = about.port.ok_or_else(|| {
                        format!("`{word}` needs a port, and the group sets no `ports`")
                    })?;
                    text.push_str(&port.to_string());
                }
                Piece::Unknown(DIR, _) => text.push_str(&dir.display().to_string()),
                Piece::Unknown(_, at) => text.push_str(word.get(at).unwrap_or("")),
            }
        }
        Ok(text)
    };
    words.iter().map(fill).collect()
}

/// Runs the words until they end, or `deadline`, or there is `enough`; what became of it, and what it
/// said.
pub(super) async fn run(
    words: &[String],
    dir: &Path,
    deadline: Instant,
    enough: &Notify,
) -> (String, Vec<u8>) {
    let mut said = Vec::new();
    let became = go(words, dir, deadline, enough, &mut said).await;
    (became, said)
}

async fn go(
    words: &[String],
    dir: &Path,
    deadline: Instant,
    enough: &Notify,
    said: &mut Vec<u8>,
) -> String {
    let Some((program, arguments)) = words.split_first() else {
        return "is empty".to_owned();
    };
    let mark = dir.display().to_string();
    let begun = Instant::now();
    let spawned = Command::new(program)
        .args(arguments)
        .current_dir(dir)
        .env(MARK, &mark)
        // What systemd gave the daemon is not for others.
        .env_remove("NOTIFY_SOCKET")
        .env_remove("WATCHDOG_USEC")
        .env_remove("WATCHDOG_PID")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn();
    let mut child = match spawned {
        Ok(child) => child,
        Err(error) => return format!("`{program}` cannot be started: {}", plain(&error)),
    };
    let group = child
        .id()
        .and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let mut err = Vec::new();
    let status = {
        let streams = async { tokio::join!(keep(stdout, said), keep(stderr, &mut err)) };
        tokio::pin!(streams);
        let mut look = tokio::time::interval(LOOK);
        let mut read = false;
        loop {
            tokio::select! {
                status = child.wait() => {
                    if !read {
                        // What it started may hold its output open; what is there is taken.
                        drop(tokio::time::timeout(LOOK, &mut streams).await);
                    }
                    break Ok(status);
                }
                _ = &mut streams, if !read => read = true,
                () = tokio::time::sleep_until(deadline) => {
                    let whole = begun.elapsed().as_secs_f64();
                    break Err(format!("was not done within {whole:.1}s and was killed"));
                }
                () = enough.notified() => {
                    break Err("a person wanted something else of the member, so it was killed".to_owned());
                }
                _ = look.tick() => {
                    let dir = dir.to_owned();
                    let size = tokio::task::spawn_blocking(move || place::size(&dir)).await;
                    if size.is_ok_and(|size| size > WRITTEN_MAX) {
                        break Err(format!("wrote more than {} MiB and was killed", WRITTEN_MAX >> 20));
                    }
                }
            }
        }
    };
    // It was not reaped, or it was and its group is what is left of it.
    if status.is_err()
        && let Some(group) = group
    {
        rustix::process::kill_process_group(group, Signal::KILL).ok();
    }
    let sweep = tokio::task::spawn_blocking(move || kill_marked(&mark));
    let (left, _) = tokio::join!(
        tokio::time::timeout(REAP, sweep),
        tokio::time::timeout(REAP, child.wait())
    );
    let left = left.ok().and_then(Result::ok).unwrap_or(0);
    if !err.is_empty() {
        said.extend_from_slice(b"\n== standard error\n");
        said.extend_from_slice(&err);
    }
    let by_itself = status.is_ok();
    let mut became = match status {
        Ok(Ok(status)) => format!(
            "{} after {:.1}s",
            ended(status),
            begun.elapsed().as_secs_f64()
        ),
        Ok(Err(error)) => format!("was lost: {}", plain(&error)),
        Err(why) => why,
    };
    if left > 0 && by_itself {
        became.push_str(&format!("; {left} that it left behind were killed"));
    }
    became
}

/// Keeps the beginning of what comes, and takes the rest, so that nobody waits to write it.
async fn keep(from: Option<impl AsyncRead + Unpin>, into: &mut Vec<u8>) {
    let Some(mut from) = from else { return };
    let mut chunk = vec![0; 16_384];
    while let Ok(count @ 1..) = from.read(&mut chunk).await {
        let room = SAID_MAX.saturating_sub(into.len()).min(count);
        into.extend_from_slice(chunk.get(..room).unwrap_or_default());
    }
}

/// Kills whoever was started with this mark, also those that went into a session of their own. How
/// many they were.
fn kill_marked(value: &str) -> usize {
    let mark = format!("{MARK}={value}");
    let mut killed = BTreeSet::new();
    // What forks while it is being killed is found in the next round.
    for _ in 0..5 {
        let found: Vec<(u32, u64)> = marked(&mark).difference(&killed).copied().collect();
        if found.is_empty() {
            break;
        }
        for (pid, start) in found {
            if let Some(pidfd) = Handle::open_bare(pid, start) {
                rustix::process::pidfd_send_signal(&pidfd, Signal::KILL).ok();
            }
            killed.insert((pid, start));
        }
    }
    killed.len()
}

fn marked(mark: &str) -> BTreeSet<(u32, u64)> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
            let row = row(pid).filter(|row| !row.zombie)?;
            let environment = std::fs::read(entry.path().join("environ")).ok()?;
            let mut all = environment.split(|&byte| byte == 0);
            all.any(|entry| entry == mark.as_bytes())
                .then_some((pid, row.start))
        })
        .collect()
}

fn ended(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(0), _) => "ended well".to_owned(),
        (Some(code), _) => format!("ended with exit code {code}"),
        (None, Some(signal)) => format!("was ended by signal {signal}"),
        (None, None) => "ended badly".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::{About, filled, run};
    use std::time::Duration;
    use tokio::sync::Notify;
    use tokio::time::Instant;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|&word| word.to_owned()).collect()
    }

    #[test]
    fn every_placeholder_is_filled_in() {
        let about = About {
            group: "web".to_owned(),
            member: "web-3".to_owned(),
            index: 3,
            pid: 4711,
            port: None,
        };
        let asked = words(&["{group} {member} {index} {pid}", "{dir}/core {{dir}} {x"]);
        let found = filled(&asked, &about, "/e".as_ref()).unwrap();
        assert_eq!(found, ["web web-3 3 4711", "/e/core {dir} {x"]);
        assert!(filled(&words(&["{port}"]), &about, "/e".as_ref()).is_err());
    }

    #[tokio::test]
    async fn one_that_hangs_and_forks_away_is_killed_with_all_that_it_started() {
        let dir = tempfile::tempdir().unwrap();
        let script = "(setsid sh -c 'echo $$ > away; exec sleep 1000' &); sleep 1000 & \
            while [ ! -s away ]; do sleep 0.02; done; echo hangs; wait";
        let deadline = Instant::now() + Duration::from_secs(5);
        let (became, said) = run(
            &words(&["sh", "-c", script]),
            dir.path(),
            deadline,
            &Notify::new(),
        )
        .await;
        assert!(
            became.contains("was not done within 5.0s and was killed"),
            "{became}"
        );
        assert_eq!(said, b"hangs\n");
        let away = std::fs::read_to_string(dir.path().join("away")).unwrap();
        let pid: u32 = away.trim().parse().unwrap();
        let ended = async {
            while crate::keeper::processes::row(pid).is_some_and(|row| !row.zombie) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_mins(1), ended)
            .await
            .unwrap();
    }

    #[tokio::test]
    async fn what_cannot_run_fails_or_says_too_much_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let soon = || Instant::now() + Duration::from_mins(1);
        let (became, _) = run(&words(&["/no/such"]), dir.path(), soon(), &Notify::new()).await;
        assert_eq!(
            became,
            "`/no/such` cannot be started: no such file or directory"
        );
        let (became, said) = run(
            &words(&["sh", "-c", "echo so; echo no >&2; exit 3"]),
            dir.path(),
            soon(),
            &Notify::new(),
        )
        .await;
        assert!(
            became.starts_with("ended with exit code 3 after "),
            "{became}"
        );
        assert_eq!(said, b"so\n\n== standard error\nno\n");
        let (became, said) = run(
            &words(&["sh", "-c", "head -c 2000000 /dev/zero"]),
            dir.path(),
            soon(),
            &Notify::new(),
        )
        .await;
        assert!(became.starts_with("ended well"), "{became}");
        assert_eq!(said.len(), super::SAID_MAX);
    }
}
