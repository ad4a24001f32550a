//! Secrets of one attempt: read when they are needed, and kept out of everything that is said.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use checkd_core::plan::Text;

use crate::manager::plain;

/// The longest secret in bytes.
const SECRET_MAX: u64 = 64 * 1_024;
/// What is shorter is no secret worth the name, and could be part of any word.
const SHORTEST: usize = 4;

/// What was read.
pub(super) struct Secrets {
    base: PathBuf,
    read: Vec<String>,
}

impl Secrets {
    /// None yet; files are seen from `base`.
    pub(super) fn new(base: &Path) -> Self {
        Self {
            base: base.to_owned(),
            read: Vec::new(),
        }
    }

    /// A path of the configuration.
    pub(super) fn path(&self, path: &str) -> PathBuf {
        self.base.join(path)
    }

    /// The text itself.
    ///
    /// # Errors
    /// One line that names where it should have come from, and never what was read.
    pub(super) fn text(&mut self, key: &str, text: &Text) -> Result<String, String> {
        let found = match text {
            Text::Plain(text) => return Ok(text.clone()),
            Text::File(path) => {
                let path = self.path(path);
                let cannot = |e| {
                    let path = path.display();
                    format!("cannot read `{path}` for `{key}`: {}", plain(&e))
                };
                from_file(&path).map_err(cannot)?
            }
            Text::Env(name) => std::env::var(name).map_err(|_| {
                format!("`{key}` comes from `{name}`, which checkd's own environment lacks")
            })?,
        };
        self.hide(&found);
        Ok(found)
    }

    /// Keeps `text` out of what is said.
    pub(super) fn hide(&mut self, text: &str) {
        if text.len() >= SHORTEST {
            self.read.push(text.to_owned());
        }
    }

    /// `text` without secrets.
    pub(super) fn scrub(&self, text: &str) -> String {
        let mut all: Vec<&String> = self.read.iter().collect();
        // One may be part of another.
        all.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        all.into_iter().fold(text.to_owned(), |text, secret| {
            text.replace(secret.as_str(), "[secret]")
        })
    }
}

fn from_file(path: &Path) -> std::io::Result<String> {
    // A pipe would wait for its writer.
    if !std::fs::metadata(path)?.is_file() {
        return Err(std::io::Error::other("it is not a regular file"));
    }
    let mut text = String::new();
    File::open(path)?
        .take(SECRET_MAX + 1)
        .read_to_string(&mut text)?;
    if text.len() as u64 > SECRET_MAX {
        return Err(std::io::Error::other(format!(
            "it is longer than {SECRET_MAX} bytes"
        )));
    }
    let line = text.strip_suffix('\n').unwrap_or(&text);
    Ok(line.strip_suffix('\r').unwrap_or(line).to_owned())
}
