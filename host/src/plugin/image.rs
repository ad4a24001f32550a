//! The private copy of a plugin's library: what is checked, described and run is one and the same
//! file, whatever happens to the original.
//!
//! Replacing a library under a process that has mapped it is fatal, and a worker that starts again
//! must get the library that was described. So the file is read once, into memory that nobody can
//! write any more.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read, Seek as _, Write as _};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use sha2::{Digest, Sha256};

use crate::manager::plain;

use super::loader::{Fault, look, open};
use super::program::hex;
use super::trust::{self, Us};

/// The largest library in bytes.
const SIZE_MAX: u64 = 1 << 30;

/// A library as it was when it was read.
#[derive(Debug)]
pub(crate) struct Image {
    memory: OwnedFd,
    /// SHA-256 of its content, in lower-case hex.
    pub(crate) sha256: String,
}

impl Image {
    /// Reads the library at `path`, when it is one for this machine. It is opened once: what is
    /// looked at is what is copied.
    ///
    /// A library whose SHA-256 is `pinned` may be anybody's file: whatever they write to it, it runs
    /// only when it is the pinned one. Any other must be one that nobody but `us` can change.
    pub(crate) fn take(path: &Path, pinned: Option<&str>, us: Us) -> Result<Self, Fault> {
        let file = open(path)?;
        look(&file)?;
        if pinned.is_none() {
            trust::look(path, &file, us)?;
        }
        let image = Self::copy(path, file).map_err(|error| {
            Fault::new("C0201", format!("it cannot be copied: {}", plain(&error)))
                .help("checkd runs a plugin from a copy in memory: give it room for that")
        })?;
        match pinned {
            Some(pin) if !pin.eq_ignore_ascii_case(&image.sha256) => Err(Fault::new(
                "C0210",
                format!("its SHA-256 is {}", image.sha256),
            )
            .note(format!("the configuration pins {pin}"))
            .note("it was not loaded")
            .help("if the new file is yours, pin its SHA-256")),
            _ => Ok(image),
        }
    }

    fn copy(path: &Path, file: File) -> io::Result<Self> {
        // Its name shows in the maps of the worker.
        let name = path.file_name().unwrap_or_default().as_bytes();
        let name = CString::new(name.get(..200).unwrap_or(name)).unwrap_or_default();
        let memory = memfd_create(&*name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        let mut memory = File::from(memory);
        let mut library = file.take(SIZE_MAX + 1);
        library.get_mut().rewind()?;
        let mut hash = Sha256::new();
        let mut part = vec![0; 64 << 10];
        let mut size = 0;
        loop {
            let length = library.read(&mut part)?;
            let read = part.get(..length).unwrap_or_default();
            if read.is_empty() {
                break;
            }
            size += length as u64;
            hash.update(read);
            memory.write_all(read)?;
        }
        if size > SIZE_MAX {
            return Err(io::Error::other(format!("larger than {SIZE_MAX} bytes")));
        }
        let memory = OwnedFd::from(memory);
        let all = SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
        fcntl_add_seals(&memory, all)?;
        let sha256 = hex(&hash.finalize());
        Ok(Self { memory, sha256 })
    }

    /// Where any process of this user finds it while this process lives.
    pub(crate) fn path(&self) -> PathBuf {
        format!(
            "/proc/{}/fd/{}",
            std::process::id(),
            self.memory.as_raw_fd()
        )
        .into()
    }
}
