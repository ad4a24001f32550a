//! The files that a program needs to begin at all.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// What may always be read: programs, libraries, settings of the system, and what the kernel tells.
/// Those that are not there are left out.
pub(super) const SYSTEM: [&str; 10] = [
    "/bin",
    "/etc",
    "/lib",
    "/lib32",
    "/lib64",
    "/nix/store",
    "/proc",
    "/sbin",
    "/sys",
    "/usr",
];

/// What may always be read and written.
pub(super) const DEVICES: [&str; 5] = [
    "/dev/full",
    "/dev/null",
    "/dev/random",
    "/dev/urandom",
    "/dev/zero",
];

/// The programs that load programs: the kernel starts them.
const LOADERS: [&str; 4] = [
    "/lib/ld-linux-aarch64.so.1",
    "/lib/ld-musl-aarch64.so.1",
    "/lib/ld-musl-x86_64.so.1",
    "/lib64/ld-linux-x86-64.so.2",
];

/// A script may be run by a script, and that by one: the kernel follows so many.
const SCRIPTS_MAX: usize = 5;

/// The longest first line of a script that the kernel reads.
const LINE_MAX: u64 = 256;

/// The directory of the addresses of name servers, where `/etc/resolv.conf` is a link.
pub(super) fn resolver() -> Option<PathBuf> {
    let file = std::fs::canonicalize("/etc/resolv.conf").ok()?;
    file.parent().map(Path::to_owned)
}

/// What must be executable for a command to begin: its program; when that is a script, the program
/// that it names, also by `env`; and what loads them.
pub(super) fn programs(command: &[OsString]) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = LOADERS.iter().map(PathBuf::from).collect();
    let mut next: Vec<PathBuf> = command
        .first()
        .and_then(|word| find(word))
        .into_iter()
        .collect();
    for _ in 0..SCRIPTS_MAX {
        let Some(program) = next.pop() else { break };
        next.extend(interpreters(&program));
        found.push(program);
    }
    found.extend(next);
    found
}

/// A program as `execvp` finds it.
fn find(word: &OsStr) -> Option<PathBuf> {
    if word.as_bytes().contains(&b'/') {
        return Some(word.into());
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|directory| directory.join(word))
        .find(|file| rustix::fs::access(file, rustix::fs::Access::EXEC_OK).is_ok())
}

/// What the first line of a script names; nothing for another file.
fn interpreters(program: &Path) -> Vec<PathBuf> {
    let mut line = Vec::new();
    let read = File::open(program).and_then(|file| file.take(LINE_MAX).read_to_end(&mut line));
    let Some(line) = read.ok().and_then(|_| line.strip_prefix(b"#!")) else {
        return Vec::new();
    };
    let line = line.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let mut words = line
        .split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty())
        .map(OsStr::from_bytes);
    let Some(interpreter) = words.next().map(PathBuf::from) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    if interpreter.file_name() == Some(OsStr::new("env")) {
        // `env -S python3 -u`, `env python3`.
        found.extend(
            words
                .find(|word| !word.as_bytes().starts_with(b"-"))
                .and_then(find),
        );
    }
    found.push(interpreter);
    found
}
