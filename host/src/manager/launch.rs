//! From a member's `Launch` to the spec of a start, with no placeholder and no secret left to read.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use checkd_core::plan::{GroupPlan, Launch, MemberPlan, Text};

use super::placeholders::fill;
use super::secrets::{self, Reading};
use crate::keeper::protocol::{Account, Output, Spec, Word};
use crate::keeper::{INTENT, MARK, NAMES, plain};

/// What systemd tells the daemon is not the member's: a member that took up the daemon's notify
/// socket would speak in its name.
pub(super) const NOT_INHERITED: [&str; 5] = [
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    "LISTEN_FDS",
    "LISTEN_PID",
];

/// Reads the launch of one member, its secrets and its environment files, which may take long:
/// `reading` says which file it is at.
///
/// # Errors
/// One line for a person: what could not be read.
pub(super) fn spec(
    group: &GroupPlan,
    member: &MemberPlan,
    output_dir: &Path,
    reading: &Reading,
) -> Result<Spec, String> {
    let launch: &Launch = &group.launch;
    let fill = |text: &String| fill(text, group, member);
    let mut words = launch.command.iter().map(fill);
    let program = words.next().ok_or("the group has no `command`")??;
    let arguments = words.collect::<Result<_, _>>()?;
    let mut environment: BTreeMap<OsString, OsString> = std::env::vars_os()
        .filter(|(key, _)| !NOT_INHERITED.iter().any(|name| key == name) && key != INTENT)
        .collect();
    let user = launch.user.as_ref().map(fill).transpose()?;
    let account = match &user {
        Some(user) => {
            let (account, home) = find_account(user)?;
            environment.insert("HOME".into(), home.into());
            // The name also where the configuration has the number.
            environment.insert("USER".into(), account.name.clone().into());
            environment.insert("LOGNAME".into(), account.name.clone().into());
            Some(account)
        }
        None => None,
    };
    let mut own = BTreeMap::new();
    for path in &launch.env_file {
        read_env_file(&fill(path)?, reading, &mut own)?;
    }
    for (key, text) in &launch.environment {
        own.insert(key.clone(), read_text(key, text, reading, group, member)?);
    }
    for (name, value) in NAMES
        .into_iter()
        .zip([group.name.as_str(), member.name.as_str()])
    {
        own.insert(name.to_owned(), value.to_owned());
    }
    own.insert(MARK.to_owned(), output_dir.display().to_string());
    environment.extend(own.into_iter().map(|(k, v)| (k.into(), v.into())));
    Ok(Spec {
        program,
        arguments,
        base: std::env::current_dir().ok(),
        directory: launch.directory.as_ref().map(fill).transpose()?,
        account,
        environment: environment
            .into_iter()
            .map(|(key, value)| (Word::new(key), Word::new(value)))
            .collect(),
        umask: launch.umask,
        limits: launch.limits.iter().map(|(&of, &to)| (of, to)).collect(),
        output: output(group, member, output_dir)?,
    })
}

/// Where the output of a member goes.
///
/// # Errors
/// A placeholder cannot be replaced.
pub(super) fn output(
    group: &GroupPlan,
    member: &MemberPlan,
    output_dir: &Path,
) -> Result<Output, String> {
    let path = output_path(group, member, output_dir)?;
    let path = std::path::absolute(&path).unwrap_or(path);
    let file = group.launch.output_file;
    Ok(Output {
        path: ours(path),
        pipe: output_dir
            .join(group.name.as_str())
            .join(format!("{}.pipe", member.name)),
        max_size: file.max_size,
        keep: file.keep,
        timestamps: file.timestamps,
    })
}

/// The values that come from a file or from checkd's own environment, and those of environment files.
///
/// # Errors
/// One line for a person: what could not be read.
pub(super) fn secrets(group: &GroupPlan, member: &MemberPlan) -> Result<Vec<String>, String> {
    let (reading, mut of_files) = (Reading::default(), BTreeMap::new());
    for path in &group.launch.env_file {
        read_env_file(&fill(path, group, member)?, &reading, &mut of_files)?;
    }
    let secret = |text: &Text| !matches!(text, Text::Plain(_));
    let named = group
        .launch
        .environment
        .iter()
        .filter(|(_, text)| secret(text));
    let named = named.map(|(key, text)| read_text(key, text, &reading, group, member));
    named.chain(of_files.into_values().map(Ok)).collect()
}

/// `/dev/stdout` means the daemon's, and the keeper has another.
fn ours(path: PathBuf) -> PathBuf {
    let standard = [
        ("/dev/stdout", "fd/1"),
        ("/dev/stderr", "fd/2"),
        ("/proc/self/fd/1", "fd/1"),
        ("/proc/self/fd/2", "fd/2"),
    ];
    let found = standard.iter().find(|(name, _)| path == Path::new(name));
    match found {
        Some((_, fd)) => Path::new("/proc")
            .join(std::process::id().to_string())
            .join(fd),
        None => path,
    }
}

/// The file that a member's standard output and error go to.
pub(super) fn output_path(
    group: &GroupPlan,
    member: &MemberPlan,
    output_dir: &Path,
) -> Result<PathBuf, String> {
    match &group.launch.output {
        Some(path) => fill(path, group, member).map(PathBuf::from),
        None => Ok(output_dir
            .join(group.name.as_str())
            .join(format!("{}.log", member.name))),
    }
}

fn read_text(
    key: &str,
    text: &Text,
    reading: &Reading,
    group: &GroupPlan,
    member: &MemberPlan,
) -> Result<String, String> {
    match text {
        Text::Plain(text) => fill(text, group, member),
        Text::File(path) => {
            let path = fill(path, group, member)?;
            let content = secrets::read(&path, reading)
                .map_err(|why| format!("cannot read `{path}` for environment `{key}`: {why}"))?;
            let content = content.strip_suffix('\n').unwrap_or(&content);
            Ok(content.strip_suffix('\r').unwrap_or(content).to_owned())
        }
        Text::Env(name) => std::env::var(name).map_err(|_| {
            format!("environment `{key}` comes from `{name}`, which checkd's own environment lacks")
        }),
    }
}

/// `KEY=value` lines; empty lines and `#` lines are passed over, quotes around a value are taken off.
fn read_env_file(
    path: &str,
    reading: &Reading,
    into: &mut BTreeMap<String, String>,
) -> Result<(), String> {
    let text = secrets::read(path, reading)
        .map_err(|why| format!("cannot read env_file `{path}`: {why}"))?;
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let line = line.strip_prefix("export ").unwrap_or(line);
        // The line is not shown: it may be a secret.
        let (key, value) = line
            .split_once('=')
            .ok_or_else(|| format!("env_file `{path}` line {number} is not `KEY=value`"))?;
        let value = value.trim();
        let bare = ['"', '\'']
            .iter()
            .find_map(|&q| value.strip_prefix(q)?.strip_suffix(q))
            .unwrap_or(value);
        into.insert(key.trim().to_owned(), bare.to_owned());
    }
    Ok(())
}

/// Whether a start as `user` would find an account; the reason when not.
pub(crate) fn has_user(user: &str) -> Result<(), String> {
    find_account(user).map(drop)
}

/// What `/etc/passwd` and `/etc/group` say about a user, and its home.
pub(crate) fn find_account(user: &str) -> Result<(Account, String), String> {
    let read = |path: &str| {
        std::fs::read_to_string(path).map_err(|e| format!("cannot read `{path}`: {}", plain(&e)))
    };
    let text = read("/etc/passwd")?;
    let found = text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, uid) = (fields.next()?, fields.nth(1)?);
        if name != user && uid != user {
            return None;
        }
        let gid = fields.next()?.parse().ok()?;
        let account = Account {
            name: name.to_owned(),
            uid: uid.parse().ok()?,
            gid,
            groups: Vec::new(),
        };
        Some((account, fields.nth(1)?.to_owned()))
    });
    let (mut account, home) =
        found.ok_or_else(|| format!("there is no user `{user}` in /etc/passwd"))?;
    let text = read("/etc/group").unwrap_or_default();
    let lists = |line: &&str| {
        let names = line.rsplit(':').next().unwrap_or_default();
        names.split(',').any(|name| name == account.name)
    };
    let mut groups: Vec<u32> = text
        .lines()
        .filter(lists)
        .filter_map(|line| line.split(':').nth(2)?.parse().ok())
        .collect();
    groups.push(account.gid);
    account.groups = groups;
    Ok((account, home))
}
