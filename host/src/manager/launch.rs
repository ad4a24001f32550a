//! From a member's `Launch` to a running process, or to the reason why there is none.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use checkd_core::plan::{GroupPlan, Launch, MemberPlan, Text};

use super::placeholders::fill;

/// Everything that a start needs, with no placeholder left.
#[derive(Debug)]
pub(super) struct Request {
    program: String,
    arguments: Vec<String>,
    directory: Option<String>,
    user: Option<String>,
    environment: BTreeMap<String, String>,
    umask: Option<u32>,
    output: PathBuf,
}

impl Request {
    /// Reads the launch of one member, its secrets and its environment files.
    ///
    /// # Errors
    /// One line for a person: what could not be read.
    pub(super) fn new(
        group: &GroupPlan,
        member: &MemberPlan,
        output_dir: &Path,
    ) -> Result<Self, String> {
        let launch: &Launch = &group.launch;
        let fill = |text: &String| fill(text, group, member);
        let mut words = launch.command.iter().map(fill);
        let program = words.next().ok_or("the group has no `command`")??;
        let arguments = words.collect::<Result<_, _>>()?;
        let mut environment = BTreeMap::new();
        for path in &launch.env_file {
            read_env_file(&fill(path)?, &mut environment)?;
        }
        for (key, text) in &launch.environment {
            environment.insert(key.clone(), read_text(key, text, group, member)?);
        }
        for (name, value) in NAMES
            .into_iter()
            .zip([group.name.as_str(), member.name.as_str()])
        {
            environment.insert(name.to_owned(), value.to_owned());
        }
        environment.insert(MARK.to_owned(), output_dir.display().to_string());
        let output = output_path(group, member, output_dir)?;
        Ok(Self {
            program,
            arguments,
            directory: launch.directory.as_ref().map(fill).transpose()?,
            user: launch.user.as_ref().map(fill).transpose()?,
            environment,
            umask: launch.umask,
            output,
        })
    }

    /// Starts the process and returns its pid once the program itself runs (the exec was seen).
    ///
    /// Its standard output and error go to a file that it holds itself, never through us: our death
    /// cannot break it.
    ///
    /// # Errors
    /// One line for a person: which file, which directory, which permission.
    pub(super) fn spawn(&self) -> Result<u32, String> {
        let output = open_output(&self.output)?;
        let errors = output
            .try_clone()
            .map_err(|e| format!("cannot share its output: {e}"))?;
        let mut command = Command::new(&self.program);
        command
            .args(&self.arguments)
            .envs(&self.environment)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .process_group(0);
        // What systemd tells the daemon is not the member's: a member that took up the daemon's
        // notify socket would speak in its name.
        for name in [
            "NOTIFY_SOCKET",
            "WATCHDOG_USEC",
            "WATCHDOG_PID",
            "LISTEN_FDS",
            "LISTEN_PID",
        ] {
            if !self.environment.contains_key(name) {
                command.env_remove(name);
            }
        }
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        if let Some(user) = &self.user {
            let account = Account::find(user)?;
            command.uid(account.uid).gid(account.gid);
            for (key, value) in [("HOME", account.home), ("USER", user.clone())] {
                if !self.environment.contains_key(key) {
                    command.env(key, value);
                }
            }
        }
        if let Some(mask) = self.umask {
            set_umask(&mut command, mask);
        }
        crate::open_files::as_found(&mut command);
        match command.spawn() {
            // The child is waited for through its pidfd; dropping the handle reaps nothing.
            Ok(child) => Ok(child.id()),
            Err(error) => Err(self.why_not(&error)),
        }
    }

    fn why_not(&self, error: &io::Error) -> String {
        let program = &self.program;
        if let Some(directory) = &self.directory {
            match std::fs::metadata(directory) {
                Ok(meta) if !meta.is_dir() => {
                    return format!("directory `{directory}` is a file");
                }
                Err(e) if e.kind() == io::ErrorKind::NotFound => {
                    return format!("directory `{directory}` does not exist");
                }
                Err(e) => return format!("cannot enter directory `{directory}`: {}", plain(&e)),
                Ok(_) => {}
            }
        }
        let found = self.find_program();
        match (error.kind(), found) {
            (io::ErrorKind::NotFound, Some(path)) => match interpreter(&path) {
                Some(interpreter) => format!(
                    "`{}` asks for the interpreter `{interpreter}`, which does not exist",
                    path.display()
                ),
                None => format!(
                    "cannot start `{}`: its loader does not exist",
                    path.display()
                ),
            },
            (io::ErrorKind::NotFound, None) if program.contains('/') => {
                format!("program `{program}` does not exist{}", self.seen_from())
            }
            (io::ErrorKind::NotFound, None) => {
                format!("program `{program}` is in no directory of PATH")
            }
            (io::ErrorKind::PermissionDenied, Some(path)) => {
                let mode = std::fs::metadata(&path).map_or(0, |m| m.permissions().mode());
                if path.is_dir() {
                    format!("`{}` is a directory, not a program", path.display())
                } else if mode & 0o111 == 0 {
                    format!(
                        "`{}` is not executable (mode {:04o})",
                        path.display(),
                        mode & 0o7777
                    )
                } else if self.user.is_some() {
                    self.may_not(&format!("execute `{}`", path.display()))
                } else {
                    format!("cannot execute `{}`: {}", path.display(), plain(error))
                }
            }
            (io::ErrorKind::PermissionDenied, None) if self.user.is_some() => {
                self.may_not(&format!("execute `{program}`, or enter its directory"))
            }
            (io::ErrorKind::PermissionDenied, None) => format!(
                "cannot execute `{program}`: it, or a directory on the way to it, is closed to this user"
            ),
            _ => match error
                .raw_os_error()
                .map(rustix::io::Errno::from_raw_os_error)
            {
                Some(rustix::io::Errno::PERM) if self.user.is_some() => self.may_not("be taken on"),
                Some(rustix::io::Errno::NOEXEC) => {
                    format!("`{program}` is no program of this machine (and has no `#!` line)")
                }
                Some(rustix::io::Errno::AGAIN) => {
                    "the limit of processes is reached (`ulimit -u`, or pids.max)".to_owned()
                }
                _ => format!("cannot start `{program}`: {}", plain(error)),
            },
        }
    }

    fn may_not(&self, what: &str) -> String {
        let user = self.user.as_deref().unwrap_or("?");
        if rustix::process::geteuid().is_root() {
            format!("user `{user}` may not {what}")
        } else {
            format!("only root can start a member as user `{user}`")
        }
    }

    fn seen_from(&self) -> String {
        match &self.directory {
            Some(directory) if !self.program.starts_with('/') => {
                format!(" (seen from `{directory}`)")
            }
            _ => String::new(),
        }
    }

    fn path(&self) -> PathBuf {
        let path = self.environment.get("PATH").map(OsString::from);
        path.or_else(|| std::env::var_os("PATH"))
            .unwrap_or_else(|| "/bin:/usr/bin".into())
            .into()
    }

    fn find_program(&self) -> Option<PathBuf> {
        if self.program.contains('/') {
            let base = self.directory.as_deref().unwrap_or(".");
            let path = Path::new(base).join(&self.program);
            return path.exists().then_some(path);
        }
        std::env::split_paths(&self.path())
            .map(|d| d.join(&self.program))
            .find(|p| p.exists())
    }
}

/// What stands in the environment of every member: who it is. By these a new daemon finds what the
/// one before started and did not live to note, and a member knows itself.
pub(super) const NAMES: [&str; 2] = ["CHECKD_GROUP", "CHECKD_MEMBER"];
/// And whose it is: the output directory is in the state directory.
const MARK: &str = "CHECKD_OUTPUT";

/// The mark of all members of one state directory.
pub(super) fn mark(output_dir: &Path) -> String {
    format!("{MARK}={}", output_dir.display())
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

/// The system's words without Rust's `(os error 2)`.
pub(crate) fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_lowercase().chain(letters).collect()
    })
}

#[expect(unsafe_code, reason = "std offers no umask for a child")]
fn set_umask(command: &mut Command, mask: u32) {
    let set = move || {
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(mask));
        Ok(())
    };
    // SAFETY: between fork and exec the closure makes one system call, which is async-signal-safe;
    // it allocates nothing and takes no lock.
    unsafe {
        command.pre_exec(set);
    }
}

fn open_output(path: &Path) -> Result<File, String> {
    let told = |what: &str, at: &Path, e: &io::Error| {
        format!(
            "cannot {what} `{}` for its output: {}",
            at.display(),
            plain(e)
        )
    };
    if let Some(directory) = path.parent() {
        DirBuilder::new()
            .recursive(true)
            .mode(0o750)
            .create(directory)
            .map_err(|e| told("make the directory", directory, &e))?;
    }
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o640)
        .open(path)
        .map_err(|e| told("open", path, &e))
}

fn interpreter(path: &Path) -> Option<String> {
    use std::io::Read;
    let mut head = [0u8; 256];
    let read = File::open(path).and_then(|mut f| f.read(&mut head)).ok()?;
    let head = String::from_utf8_lossy(head.get(..read)?).into_owned();
    let line = head.lines().next()?.strip_prefix("#!")?.trim();
    line.split_whitespace().next().map(str::to_owned)
}

fn read_text(
    key: &str,
    text: &Text,
    group: &GroupPlan,
    member: &MemberPlan,
) -> Result<String, String> {
    match text {
        Text::Plain(text) => fill(text, group, member),
        Text::File(path) => {
            let path = fill(path, group, member)?;
            let content = std::fs::read_to_string(&path).map_err(|e| {
                format!(
                    "cannot read `{path}` for environment `{key}`: {}",
                    plain(&e)
                )
            })?;
            let content = content.strip_suffix('\n').unwrap_or(&content);
            Ok(content.strip_suffix('\r').unwrap_or(content).to_owned())
        }
        Text::Env(name) => std::env::var(name).map_err(|_| {
            format!("environment `{key}` comes from `{name}`, which checkd's own environment lacks")
        }),
    }
}

/// `KEY=value` lines; empty lines and `#` lines are passed over, quotes around a value are taken off.
fn read_env_file(path: &str, into: &mut BTreeMap<String, String>) -> Result<(), String> {
    let text = std::fs::read_to_string(path)
        .map_err(|e| format!("cannot read env_file `{path}`: {}", plain(&e)))?;
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
    Account::find(user).map(drop)
}

/// What `/etc/passwd` says about a user.
struct Account {
    uid: u32,
    gid: u32,
    home: String,
}

impl Account {
    fn find(user: &str) -> Result<Self, String> {
        let text = std::fs::read_to_string("/etc/passwd")
            .map_err(|e| format!("cannot read `/etc/passwd`: {}", plain(&e)))?;
        text.lines()
            .find_map(|line| {
                let mut fields = line.split(':');
                let (name, uid) = (fields.next()?, fields.nth(1)?);
                if name != user && uid != user {
                    return None;
                }
                let gid = fields.next()?.parse().ok()?;
                Some(Self {
                    uid: uid.parse().ok()?,
                    gid,
                    home: fields.nth(1)?.to_owned(),
                })
            })
            .ok_or_else(|| format!("there is no user `{user}` in /etc/passwd"))
    }
}
