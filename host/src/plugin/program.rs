//! A plugin that is a program: which file is one, where it is started, and whether it has changed.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use checkd_core::diagnostic::Diagnostic;
use checkd_core::plan::{ConfinePlan, Isolation, PluginPlan, PluginSource};
use sha2::{Digest, Sha256};

use super::elf;

/// Files of a command that are larger count by their size alone.
const FILE_MAX: u64 = 64 << 20;

/// The plugin that a person means by these words, where there is no configuration that names it:
/// several are a command; one is a file, or else a program in PATH.
///
/// # Errors
/// There is neither.
pub fn meant(words: &[String]) -> Result<PluginPlan, Diagnostic> {
    let [word] = words else {
        return Ok(command(words.join(" "), words.to_vec()));
    };
    if is_file(word) {
        Ok(named(Path::new(word)))
    } else if in_path(word).is_some() {
        Ok(command(word.clone(), vec![word.clone()]))
    } else {
        Err(nowhere(word))
    }
}

/// Whether a word is a path: what is wrong with its file is for the loader to tell.
pub fn is_file(word: &str) -> bool {
    word.contains('/') || Path::new(word).symlink_metadata().is_ok()
}

/// That a word is no plugin.
fn nowhere(word: &str) -> Diagnostic {
    Diagnostic::error("C0201", format!("cannot use plugin `{word}`"))
        .note("there is no such file, and no such program in PATH")
        .note("nothing was loaded or started")
}

/// The plugin that a person names by its file, where there is no configuration: a shared library, or
/// a program that speaks the worker protocol.
///
/// A script begins with `#!`; of other files the name and the header say which they are. Whatever is
/// neither is taken for a library, whose loader says what is wrong with it.
fn named(file: &Path) -> PluginPlan {
    if !is_program(file) {
        return library(file);
    }
    let path = file.to_string_lossy().into_owned();
    // A bare name would be looked for in PATH.
    let word = if path.contains('/') {
        path
    } else {
        format!("./{path}")
    };
    command(file_name(file), vec![word])
}

/// A library that nobody has configured.
pub(super) fn library(file: &Path) -> PluginPlan {
    PluginPlan {
        name: file_name(file),
        source: PluginSource::Library(file.to_string_lossy().into_owned()),
        sha256: None,
        isolation: Isolation::Process,
        confine: ConfinePlan::default(),
    }
}

/// A command that nobody has configured, started where we are.
fn command(name: String, words: Vec<String>) -> PluginPlan {
    PluginPlan {
        name,
        source: PluginSource::Command {
            words,
            directory: None,
        },
        sha256: None,
        isolation: Isolation::Process,
        confine: ConfinePlan::default(),
    }
}

/// `acme_checks` for `/opt/acme/libacme_checks.so`.
pub(super) fn file_name(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    stem.strip_prefix("lib").unwrap_or(&stem).to_owned()
}

fn is_program(path: &Path) -> bool {
    if path.extension().is_some_and(|extension| extension == "so") {
        return false;
    }
    let Ok(file) = File::open(path) else {
        return false;
    };
    let mut begins = [0; 2];
    let script = (&file).read_exact(&mut begins).is_ok() && begins == *b"#!";
    script || elf::is_program(&file).unwrap_or(false)
}

/// The program of a command as it is started in `directory`: a path is relative to it, a name is
/// looked for in PATH.
pub(super) fn program(word: &str, directory: Option<&str>) -> PathBuf {
    match directory {
        Some(directory) if word.contains('/') => Path::new(directory).join(word),
        _ => word.into(),
    }
}

/// The program of this name, as a command's first word is found.
fn in_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut all = std::env::split_paths(&path).map(|directory| directory.join(name));
    all.find(|path| {
        let found = path.metadata();
        found.is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
    })
}

/// Whether the program of a command is a script, which may start other programs for its work.
pub(super) fn is_script(words: &[String], directory: Option<&str>) -> bool {
    let program = words.get(..1).unwrap_or_default();
    files(program, directory).first().is_some_and(|path| {
        let mut begins = [0; 2];
        let read = File::open(path).and_then(|mut file| file.read_exact(&mut begins));
        read.is_ok() && begins == *b"#!"
    })
}

/// The files that a command is made of, as far as its words name them: its program, and every other
/// word that is a regular file, such as a script.
pub(super) fn files(words: &[String], directory: Option<&str>) -> Vec<PathBuf> {
    let base = Path::new(directory.unwrap_or_default());
    let paths = words.iter().enumerate().filter_map(|(at, word)| {
        if at == 0 && !word.contains('/') {
            in_path(word)
        } else {
            Some(base.join(word))
        }
    });
    paths.filter(|path| path.is_file()).collect()
}

/// What a command is: its words, and what stands in those of them that are files. Another one is
/// another plugin for `reload`.
pub(super) fn fingerprint(words: &[String], directory: Option<&str>) -> String {
    let mut hash = Sha256::new();
    for word in words {
        // The length, so that no two commands run into one text.
        hash.update(format!("{} {word} ", word.len()));
        let file = match directory {
            Some(directory) => Path::new(directory).join(word),
            None => word.into(),
        };
        // One that cannot be read is as one that is not there: the program will say so itself.
        let _not_read = take_in(&file, &mut hash);
    }
    hex(&hash.finalize())
}

fn take_in(path: &Path, hash: &mut Sha256) -> io::Result<()> {
    let found = std::fs::metadata(path)?;
    if !found.is_file() {
        return Ok(());
    }
    hash.update(format!("{} ", found.len()));
    if found.len() > FILE_MAX {
        return Ok(());
    }
    let mut file = File::open(path)?.take(FILE_MAX);
    let mut part = vec![0; 64 << 10];
    loop {
        let length = file.read(&mut part)?;
        match part.get(..length) {
            None | Some([]) => return Ok(()),
            Some(read) => hash.update(read),
        }
    }
}

/// In lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a text cannot fail.
        let _written = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests;
