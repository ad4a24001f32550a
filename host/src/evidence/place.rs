//! Where evidence lies: one directory a capture, `INCIDENT/GROUP.MEMBER-TIME`, and the bound over all.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::journal::{Filter, Row};
use crate::wall;

/// All captures together take this much at most; the oldest go first.
pub(super) const RING: u64 = 256 << 20;
/// A member is looked at once in this time, in milliseconds.
pub(super) const ONCE_IN: i64 = 10 * 60 * 1_000;
/// So many files of a capture are named to a person.
const NAMED: usize = 24;
/// What a command leaves behind is looked into this deep.
const DEPTH: u32 = 8;

/// What was kept of one member at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Capture {
    pub(crate) incident: u64,
    pub(crate) group: String,
    pub(crate) member: String,
    pub(crate) wall_ms: i64,
    pub(crate) path: PathBuf,
}

/// Every capture below `root`, oldest first. What has another name is nobody's and stays.
pub(crate) fn captures(root: &Path) -> Vec<Capture> {
    let mut found = Vec::new();
    for incident in entries(root) {
        let Some(number) = incident.file_name().to_str().and_then(|n| n.parse().ok()) else {
            continue;
        };
        found.extend(entries(&incident.path()).filter_map(|entry| parse(number, &entry.path())));
    }
    found.sort_by(|a, b| (a.wall_ms, &a.path).cmp(&(b.wall_ms, &b.path)));
    found
}

fn entries(path: &Path) -> impl Iterator<Item = fs::DirEntry> + use<> {
    fs::read_dir(path).into_iter().flatten().flatten()
}

fn parse(incident: u64, path: &Path) -> Option<Capture> {
    let (who, time) = path.file_name()?.to_str()?.rsplit_once('-')?;
    let (group, member) = who.split_once('.')?;
    Some(Capture {
        incident,
        group: group.to_owned(),
        member: member.to_owned(),
        wall_ms: wall::parse_compact(time)?,
        path: path.to_owned(),
    })
}

/// Makes the directory of a capture.
pub(super) fn make(
    root: &Path,
    incident: u64,
    group: &str,
    member: &str,
    now_ms: i64,
) -> io::Result<PathBuf> {
    let above = root.join(incident.to_string());
    let mut builder = DirBuilder::new();
    builder.mode(0o700);
    builder.recursive(true).create(&above)?;
    let path = above.join(format!("{group}.{member}-{}", wall::compact(now_ms)));
    builder.recursive(false).create(&path)?;
    Ok(path)
}

/// Writes one file of a capture, or goes on with it.
pub(super) fn write(dir: &Path, name: &str, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(dir.join(name))?;
    file.write_all(text.as_bytes())
}

/// What a directory takes.
pub(super) fn size(path: &Path) -> u64 {
    fn below(path: &Path, depth: u32) -> u64 {
        let sizes = entries(path).map(|entry| match entry.metadata() {
            Ok(meta) if meta.is_dir() && depth > 0 => below(&entry.path(), depth - 1),
            Ok(meta) => meta.len(),
            Err(_) => 0,
        });
        sizes.fold(0, u64::saturating_add)
    }
    below(path, DEPTH)
}

/// Takes the oldest captures away until what is left fits into `limit`.
pub(super) fn trim(root: &Path, limit: u64) {
    let all = captures(root);
    let sized: Vec<u64> = all.iter().map(|capture| size(&capture.path)).collect();
    let mut total = sized.iter().copied().fold(0, u64::saturating_add);
    for (capture, size) in all.iter().zip(sized) {
        if total <= limit {
            break;
        }
        match fs::remove_dir_all(&capture.path) {
            Ok(()) => total = total.saturating_sub(size),
            Err(error) => {
                let path = capture.path.display();
                tracing::warn!(%path, %error, "old evidence cannot be removed");
            }
        }
        if let Some(incident) = capture.path.parent() {
            // Only when it is empty.
            drop(fs::remove_dir(incident));
        }
    }
}

/// The captures that `filter` lets pass, as rows beside those of the journal.
pub(crate) fn rows(root: &Path, filter: &Filter) -> Vec<Row> {
    let wanted = |capture: &Capture| {
        let path = format!("{}/{}", capture.group, capture.member);
        let named = filter
            .members
            .as_ref()
            .is_none_or(|members| members.contains(&path));
        let until = filter.until_ms.unwrap_or(i64::MAX);
        named && (filter.since_ms..=until).contains(&capture.wall_ms)
    };
    let mut captures = captures(root);
    captures.retain(wanted);
    let many = captures.len().saturating_sub(filter.limit as usize);
    captures.into_iter().skip(many).map(row).collect()
}

fn row(capture: Capture) -> Row {
    let mut files: Vec<(String, u64)> = entries(&capture.path)
        .filter_map(|entry| {
            let meta = entry.metadata().ok()?;
            let size = if meta.is_dir() {
                size(&entry.path())
            } else {
                meta.len()
            };
            Some((entry.file_name().to_string_lossy().into_owned(), size))
        })
        .collect();
    files.sort();
    let total = files
        .iter()
        .fold(0u64, |sum, (_, size)| sum.saturating_add(*size));
    let shown = files.iter().take(NAMED);
    let shown: serde_json::Map<_, _> = shown
        .map(|(name, size)| (name.clone(), (*size).into()))
        .collect();
    let path = capture.path.display().to_string();
    Row {
        time: wall::rfc3339(capture.wall_ms),
        wall_ms: capture.wall_ms,
        group: capture.group,
        member: Some(capture.member),
        check: None,
        what: "evidence".to_owned(),
        word: "kept".to_owned(),
        text: path.clone(),
        incident: i64::try_from(capture.incident).ok(),
        intent: None,
        detail: serde_json::json!({ "path": path, "bytes": total, "files": shown }),
    }
}

#[cfg(test)]
mod tests {
    use super::{captures, make, size, trim, write};

    #[test]
    fn the_oldest_goes_first_and_what_is_not_ours_stays() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("evidence");
        assert_eq!(captures(&root), []);
        let at = |second: i64| 1_700_000_000_000 + second * 1_000;
        for (incident, member, second) in [(7, "web-0", 3), (7, "web-1", 1), (9, "web-0", 2)] {
            let path = make(&root, incident, "web", member, at(second)).unwrap();
            write(&path, "why.txt", &"x".repeat(1_000)).unwrap();
            write(&path, "why.txt", &"y".repeat(500)).unwrap();
            assert_eq!(size(&path), 1_500);
        }
        std::fs::create_dir(root.join("mine")).unwrap();
        std::fs::write(root.join("9/note"), "x").unwrap();
        let of = |root: &std::path::Path| -> Vec<(u64, String, i64)> {
            let all = captures(root).into_iter();
            all.map(|c| (c.incident, c.member, c.wall_ms)).collect()
        };
        let name = |name: &str| name.to_owned();
        assert_eq!(
            of(&root),
            [
                (7, name("web-1"), at(1)),
                (9, name("web-0"), at(2)),
                (7, name("web-0"), at(3))
            ]
        );
        trim(&root, 4_500);
        assert_eq!(captures(&root).len(), 3);
        trim(&root, 1_500);
        assert_eq!(of(&root), [(7, name("web-0"), at(3))]);
        assert!(root.join("mine").is_dir() && root.join("9/note").is_file());
        trim(&root, 0);
        assert!(!root.join("7").exists());
    }
}
