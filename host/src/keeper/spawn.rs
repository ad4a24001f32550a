//! From a spec to a running process, or to the reason why there is none.

use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::{Gid, Mode, OFlags, Uid};

use super::protocol::{Account, Spec};
use super::started::Line;
use super::{limits, plain};

impl Spec {
    /// Starts the process and returns its pid once the program itself runs (the exec was seen).
    /// `output` becomes its standard output and error, `door` leads into its control group, `line` is
    /// what it writes, and where, just before its program begins.
    ///
    /// # Errors
    /// One line for a person: which file, which directory, which permission.
    pub(super) fn spawn(
        &self,
        output: File,
        door: Option<File>,
        line: Option<Line>,
    ) -> Result<u32, String> {
        let errors = output
            .try_clone()
            .map_err(|e| format!("cannot share its output: {e}"))?;
        let mut command = Command::new(&self.program);
        command
            .args(&self.arguments)
            .env_clear()
            .envs(self.environment.iter().map(|(k, v)| (k.os(), v.os())))
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors);
        let home = self.base.as_ref().filter(|base| base.is_dir());
        match (home, &self.directory) {
            (Some(base), Some(directory)) => {
                command.current_dir(base.join(directory));
            }
            (None, Some(directory)) => {
                command.current_dir(directory);
            }
            // As another user it may be closed: then it is left at that.
            (Some(base), None) if self.account.is_none() => {
                command.current_dir(base);
            }
            (_, None) => {}
        }
        if let Some(why) = self.is_no_program() {
            return Err(why);
        }
        let limits = limits::sets(&self.limits)?;
        crate::open_files::as_found(&mut command);
        prepare(
            &mut command,
            (door, line),
            limits,
            self.umask.map(Mode::from_raw_mode),
            self.account.as_ref(),
        );
        match command.spawn() {
            // The child is waited for through its pidfd; dropping the handle reaps nothing.
            Ok(child) => Ok(child.id()),
            Err(error) => Err(self.why_not(&error)),
        }
    }

    /// Why the kernel would refuse it, in which case the C library would hand it to a shell.
    fn is_no_program(&self) -> Option<String> {
        // Unless other formats are registered, there are two.
        let others = std::fs::read_dir("/proc/sys/fs/binfmt_misc").is_ok_and(|d| d.count() > 2);
        let path = self.find_program().filter(|_| !others)?;
        let program = head(&path)?;
        if !program.starts_with(b"\x7fELF") {
            let script = program.starts_with(b"#!");
            return (!script).then(|| self.why_not(&rustix::io::Errno::NOEXEC.into()));
        }
        let (theirs, ours) = (
            machine(&program)?,
            machine(&head(Path::new("/proc/self/exe"))?)?,
        );
        // What else a processor of ours can run is for the kernel to say.
        let runs =
            theirs == ours || (theirs, ours) == (I386, X86_64) || (theirs, ours) == (ARM, ARM64);
        (!runs).then(|| {
            format!(
                "`{}` is a program for another machine: {}, and this is {}",
                path.display(),
                machine_name(theirs),
                machine_name(ours)
            )
        })
    }

    fn why_not(&self, error: &io::Error) -> String {
        let program = &self.program;
        if let Some(directory) = &self.directory {
            match std::fs::metadata(self.seen(directory)) {
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
                } else if !path.is_file() {
                    format!("`{}` is a device, a pipe or a socket, not a program", path.display())
                } else if mode & 0o111 == 0 {
                    format!(
                        "`{}` is not executable (mode {:04o})",
                        path.display(),
                        mode & 0o7777
                    )
                } else if self.account.is_some() {
                    self.may_not(&format!("execute `{}`", path.display()))
                } else {
                    format!("cannot execute `{}`: {}", path.display(), plain(error))
                }
            }
            (io::ErrorKind::PermissionDenied, None) if self.account.is_some() => {
                self.may_not(&format!("execute `{program}`, or enter its directory"))
            }
            (io::ErrorKind::PermissionDenied, None) => format!(
                "cannot execute `{program}`: it, or a directory on the way to it, is closed to this user"
            ),
            _ => match error
                .raw_os_error()
                .map(rustix::io::Errno::from_raw_os_error)
            {
                Some(rustix::io::Errno::PERM) if self.account.is_some() => {
                    self.may_not("be taken on")
                }
                Some(rustix::io::Errno::NOEXEC) => {
                    format!("`{program}` is no program of this machine (and has no `#!` line)")
                }
                Some(rustix::io::Errno::AGAIN) => {
                    "the limit of processes is reached (`limits.processes`, `ulimit -u`, or pids.max)"
                        .to_owned()
                }
                _ => format!("cannot start `{program}`: {}", plain(error)),
            },
        }
    }

    fn may_not(&self, what: &str) -> String {
        let user = self.account.as_ref().map_or("?", |a| a.name.as_str());
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

    fn path(&self) -> OsString {
        let path = OsStr::new("PATH");
        let found = self.environment.iter().find(|(key, _)| key.os() == path);
        found.map_or_else(|| "/bin:/usr/bin".into(), |(_, value)| value.os())
    }

    /// A path as the new process sees it.
    fn seen(&self, path: &str) -> PathBuf {
        match &self.base {
            Some(base) => base.join(path),
            None => PathBuf::from(path),
        }
    }

    fn find_program(&self) -> Option<PathBuf> {
        if self.program.contains('/') {
            let base = self.directory.as_deref().unwrap_or(".");
            let path = self.seen(base).join(&self.program);
            return path.exists().then_some(path);
        }
        std::env::split_paths(&self.path())
            .map(|d| d.join(&self.program))
            .find(|p| p.exists())
    }
}

/// What is done in the new process before its program begins.
#[expect(
    unsafe_code,
    reason = "std has no session, umask, groups, limits or control group for a child"
)]
fn prepare(
    command: &mut Command,
    (door, line): (Option<File>, Option<Line>),
    limits: Vec<limits::Set>,
    umask: Option<Mode>,
    account: Option<&Account>,
) {
    let ids = account.map(|account| {
        let groups: Vec<Gid> = account.groups.iter().map(|&g| Gid::from_raw(g)).collect();
        (
            Uid::from_raw(account.uid),
            Gid::from_raw(account.gid),
            groups,
        )
    });
    let steps = move || {
        // A session of its own, and so a process group of its own: in ours the kernel would wake a
        // stopped member, with SIGHUP, at the moment we die.
        rustix::process::setsid()?;
        if let Some(door) = &door {
            // Should it be closed, the tree is known by its process group.
            rustix::io::write(door, b"0").ok();
        }
        limits::apply(&limits)?;
        if let Some(mask) = umask {
            rustix::process::umask(mask);
        }
        if let Some((uid, gid, groups)) = &ids {
            // Only root can, and only root needs to.
            if rustix::process::geteuid().is_root() {
                rustix::thread::set_thread_groups(groups)?;
            }
            rustix::thread::set_thread_gid(*gid)?;
            rustix::thread::set_thread_uid(*uid)?;
        }
        if let Some(line) = &line {
            line.write();
        }
        Ok(())
    };
    // SAFETY: between fork and exec the closure makes system calls only, each async-signal-safe;
    // it allocates nothing, takes no lock, and the new process has one thread.
    unsafe {
        command.pre_exec(steps);
    }
}

/// ELF's numbers of machines.
const I386: u16 = 3;
const ARM: u16 = 40;
const X86_64: u16 = 62;
const ARM64: u16 = 183;

fn machine_name(number: u16) -> String {
    let name = match number {
        I386 => "x86",
        8 => "MIPS",
        20 => "PowerPC",
        21 => "PowerPC 64",
        22 => "s390x",
        ARM => "ARM",
        X86_64 => "x86-64",
        ARM64 => "ARM 64 (aarch64)",
        243 => "RISC-V",
        258 => "LoongArch",
        other => return format!("ELF machine {other}"),
    };
    name.to_owned()
}

/// Opens an ordinary file; a pipe or a device would have us wait for somebody else.
fn open_regular(path: &Path) -> Option<File> {
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(i32::try_from(flags.bits()).ok()?)
        .open(path)
        .ok()?;
    file.metadata().ok()?.is_file().then_some(file)
}

/// The first bytes of a file, as far as they say what it is.
fn head(path: &Path) -> Option<[u8; 20]> {
    use std::io::Read;
    let mut head = [0u8; 20];
    let mut file = open_regular(path)?.take(head.len() as u64);
    let mut at = 0;
    loop {
        match file.read(head.get_mut(at..)?) {
            Ok(0) => return Some(head),
            Ok(n) => at += n,
            // A directory, for one.
            Err(_) => return None,
        }
    }
}

/// For which machine an ELF file is.
fn machine(head: &[u8; 20]) -> Option<u16> {
    let [.., low, high] = *head;
    match head.get(5)? {
        1 => Some(u16::from_le_bytes([low, high])),
        2 => Some(u16::from_be_bytes([low, high])),
        _ => None,
    }
}

fn interpreter(path: &Path) -> Option<String> {
    use std::io::Read;
    let mut head = [0u8; 256];
    let read = open_regular(path)?.read(&mut head).ok()?;
    let head = String::from_utf8_lossy(head.get(..read)?).into_owned();
    let line = head.lines().next()?.strip_prefix("#!")?.trim();
    line.split_whitespace().next().map(str::to_owned)
}
