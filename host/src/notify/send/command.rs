//! A command: the document on its standard input, the most important of it in its environment. It is
//! killed with everything that it started when its time is over.

use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use checkd_core::Span;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

use super::Parcel;
use crate::keeper::family::Family;
use crate::keeper::processes;
use crate::manager::plain;

/// So much of what it writes is kept.
const OUTPUT_MAX: usize = 2_048;
/// How long its end may take after it was killed.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

pub(super) async fn send(
    words: &[String],
    parcel: &Parcel,
    base: &Path,
    timeout: Span,
) -> Result<String, String> {
    let Some((program, arguments)) = words.split_first() else {
        return Err("`command` is empty".to_owned());
    };
    let document = &parcel.document;
    let input = serde_json::to_vec(document).map_err(|e| e.to_string())?;
    let first = document.items.first();
    let of_first = |get: fn(&crate::notify::message::Item) -> Option<String>| {
        first.and_then(get).unwrap_or_default()
    };
    let begun = Instant::now();
    let mut child = Command::new(program)
        .args(arguments)
        .current_dir(base)
        .env("CHECKD_SUBJECT", &document.subject)
        .env("CHECKD_HOST", &document.host)
        .env("CHECKD_SINK", &document.sink)
        .env("CHECKD_COUNT", document.count.to_string())
        .env("CHECKD_EVENT", of_first(|item| Some(item.event.clone())))
        .env("CHECKD_GROUP", of_first(|item| item.group.clone()))
        .env("CHECKD_MEMBER", of_first(|item| item.member.clone()))
        // What systemd gave the daemon is not for others.
        .env_remove("NOTIFY_SOCKET")
        .env_remove("WATCHDOG_USEC")
        .env_remove("WATCHDOG_PID")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|e| format!("`{program}` cannot be started: {}", plain(&e)))?;
    let pid = child.id().unwrap_or(0);
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let mut out = Vec::new();
    let mut err = Vec::new();
    let feed = async {
        if let Some(mut stdin) = stdin {
            // Whoever does not want to read it all has closed it.
            drop(stdin.write_all(&input).await);
        }
    };
    let outcome = {
        let streams = async { tokio::join!(feed, keep(stdout, &mut out), keep(stderr, &mut err)) };
        let end = async {
            tokio::pin!(streams);
            tokio::select! {
                status = child.wait() => {
                    // What it started may hold its output open; what is there is taken.
                    let rest = tokio::time::timeout(Duration::from_millis(100), streams);
                    drop(rest.await);
                    status
                }
                _ = &mut streams => child.wait().await,
            }
        };
        tokio::time::timeout(timeout.as_duration(), end).await
    };
    let said = said(&err, &out);
    match outcome {
        Ok(Ok(status)) if status.success() => Ok(format!("ended well{said}")),
        Ok(Ok(status)) => Err(format!("{}{said}", ended(status))),
        Ok(Err(error)) => Err(format!("`{program}` was lost: {}", plain(&error))),
        Err(_) => {
            if let Some(row) = processes::row(pid) {
                let family = Family {
                    leader: (row.pid, row.start),
                    known: BTreeSet::new(),
                    reaper: std::process::id(),
                    marks: Vec::new(),
                };
                family.kill_rest(begun, PATIENCE).await;
            }
            drop(child.start_kill());
            drop(tokio::time::timeout(PATIENCE, child.wait()).await);
            Err(format!(
                "was not done within {timeout} and was killed{said}"
            ))
        }
    }
}

/// Keeps the beginning of what comes, and takes the rest, so that nobody waits to write it.
async fn keep(from: Option<impl AsyncRead + Unpin>, into: &mut Vec<u8>) {
    let Some(mut from) = from else { return };
    let mut chunk = vec![0; 4_096];
    while let Ok(count @ 1..) = from.read(&mut chunk).await {
        let room = OUTPUT_MAX.saturating_sub(into.len()).min(count);
        into.extend_from_slice(chunk.get(..room).unwrap_or_default());
    }
}

/// `: its last line`.
fn said(err: &[u8], out: &[u8]) -> String {
    let text = if err.trim_ascii().is_empty() {
        out
    } else {
        err
    };
    let text = String::from_utf8_lossy(text);
    match text.trim().lines().next_back() {
        Some(line) => format!(": {}", line.trim()),
        None => String::new(),
    }
}

fn ended(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with exit code {code}"),
        (None, Some(signal)) => format!("was ended by signal {signal}"),
        (None, None) => "ended badly".to_owned(),
    }
}
