//! All that can be said about one plugin, also about one that is refused: its files, who can change
//! them, what it was built with, its kinds. It is never loaded into this process.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use checkd_core::CheckKind;
use checkd_core::diagnostic::{Diagnostic, Severity};
use checkd_core::plan::{Isolation, PluginPlan, PluginSource};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::catalog::{Catalog, Offer, Plugin};
use super::confine::Confine;
use super::program::{self, hex};
use super::protocol::VERSIONS;
use super::trust::{self, Us};
use super::{c_door, loader};

/// Files that are larger are not read for their hash.
const HASHED_MAX: u64 = 1 << 30;

/// One plugin, looked at from all sides.
#[derive(Debug)]
pub struct Inspected {
    /// What was looked at.
    pub plan: PluginPlan,
    /// The library, or the command's program and its other words that are files.
    pub files: Vec<FileFacts>,
    /// Who it says that it is; `None` when it is refused as a whole.
    pub plugin: Option<Arc<Plugin>>,
    /// The kinds that it offers and that are well-formed, also those that clash with others.
    pub offers: Vec<Offer>,
    /// Those of them that somebody else offers too, and so nobody.
    pub clashing: BTreeSet<CheckKind>,
    /// What is refused of it, and why.
    pub diagnostics: Vec<Diagnostic>,
}

/// One file of a plugin.
#[derive(Debug, Serialize)]
pub struct FileFacts {
    /// Where it is, behind all links.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// The number of the user whom it belongs to.
    pub user: u32,
    /// The number of its group.
    pub group: u32,
    /// Its mode, as `chmod` takes it: `0755`.
    pub mode: String,
    /// SHA-256 of its content in lower-case hex; `None` when it cannot be read.
    pub sha256: Option<String>,
    /// Who besides root and checkd's user can change it, or put another in its place.
    pub changeable: Vec<String>,
}

/// By which contract a plugin is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DoorKind {
    /// A library, by `checkd-abi`.
    Rust,
    /// A library, by `checkd_plugin.h`.
    C,
    /// A program, by the worker protocol.
    Command,
}

/// Looks at the plugin that `plan` names. Blocks while a worker starts and describes itself.
pub fn inspect(mut plan: PluginPlan) -> Inspected {
    let files = files(&plan);
    // Whatever the configuration says: not in this process.
    plan.isolation = Isolation::Process;
    match Catalog::examine(&plan) {
        Ok(examined) => Inspected {
            plan,
            files,
            plugin: Some(examined.plugin),
            offers: examined.offers,
            clashing: examined.clashing,
            diagnostics: examined.diagnostics,
        },
        Err(refused) => Inspected {
            plan,
            files,
            plugin: None,
            offers: Vec::new(),
            clashing: BTreeSet::new(),
            diagnostics: vec![refused],
        },
    }
}

impl Inspected {
    /// By which contract it is called; `None` when that is not known, since it was not loaded.
    pub fn door(&self) -> Option<DoorKind> {
        match (&self.plan.source, &self.plugin) {
            (PluginSource::Command { .. }, _) => Some(DoorKind::Command),
            (PluginSource::Library(_), None) => None,
            // A worker of our own has said it.
            (PluginSource::Library(_), Some(plugin)) => {
                if plugin.built_with.starts_with(c_door::HEADER_NAME) {
                    Some(DoorKind::C)
                } else {
                    Some(DoorKind::Rust)
                }
            }
        }
    }

    /// Whether nothing of it is refused.
    pub fn is_whole(&self) -> bool {
        let mut all = self.diagnostics.iter();
        all.all(|told| told.severity == Severity::Warning)
    }
}

impl DoorKind {
    /// What this host serves at that door.
    pub fn served(self) -> String {
        match self {
            Self::Rust => format!("checkd-abi {}.x", major(checkd_abi::VERSION)),
            Self::C => format!("{} {}.x", c_door::HEADER_NAME, c_door::HEADER.0),
            Self::Command => {
                let versions: Vec<String> = VERSIONS.iter().map(u32::to_string).collect();
                format!("worker protocol {}", versions.join(", "))
            }
        }
    }
}

fn major(version: &str) -> &str {
    version.split_once('.').map_or(version, |(major, _)| major)
}

/// The files that a plugin is made of, as far as it names them.
fn files(plan: &PluginPlan) -> Vec<FileFacts> {
    // What cannot be confined as it says is refused, and its diagnostic says why.
    let us = Confine::of(&plan.confine).map_or(Us::now(None), |confine| confine.trusts());
    let paths = match &plan.source {
        PluginSource::Library(path) => vec![path.into()],
        PluginSource::Command { words, directory } => program::files(words, directory.as_deref()),
    };
    paths.iter().filter_map(|path| facts(path, us)).collect()
}

/// What is to be said of one file; `None` when there is none, or it is none.
fn facts(path: &Path, us: Us) -> Option<FileFacts> {
    let file = loader::open(path).ok()?;
    let found = file.metadata().ok()?;
    // One whose way cannot be walked is refused, and its diagnostic says why.
    let changeable = trust::faults(path, &file, us).unwrap_or_default();
    Some(FileFacts {
        path: path.canonicalize().unwrap_or_else(|_| path.into()),
        bytes: found.len(),
        user: found.uid(),
        group: found.gid(),
        mode: format!("{:04o}", found.mode() & 0o7777),
        sha256: sha256(file).ok().flatten(),
        changeable,
    })
}

/// The hash of a whole file; `None` when it is too large.
fn sha256(file: File) -> io::Result<Option<String>> {
    let mut hash = Sha256::new();
    let mut size = 0;
    let mut file = file.take(HASHED_MAX + 1);
    let mut part = vec![0; 64 << 10];
    loop {
        let length = file.read(&mut part)?;
        let read = part.get(..length).unwrap_or_default();
        if read.is_empty() {
            break;
        }
        size += length as u64;
        hash.update(read);
    }
    Ok((size <= HASHED_MAX).then(|| hex(&hash.finalize())))
}
