//! Which files are the configuration, and their texts.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use checkd_core::diagnostic::Diagnostic;

use super::LAYER;

/// A file larger than this is no configuration.
const LARGEST: u64 = 256 << 20;

/// `$CHECKD_CONFIG`, else `/etc/checkd/checkd.toml`; without root the XDG directories come first.
pub(super) fn default_file() -> Result<PathBuf, Box<Diagnostic>> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    if let Some(file) = variable("CHECKD_CONFIG") {
        return Ok(file.into());
    }
    let mut directories: Vec<PathBuf> = Vec::new();
    if !rustix::process::geteuid().is_root() {
        directories.extend(
            variable("XDG_CONFIG_HOME")
                .map(PathBuf::from)
                .or_else(|| variable("HOME").map(|home| Path::new(&home).join(".config"))),
        );
        let shared = variable("XDG_CONFIG_DIRS").unwrap_or_else(|| "/etc/xdg".into());
        directories.extend(std::env::split_paths(&shared));
    }
    directories.push("/etc".into());
    let files: Vec<PathBuf> = directories
        .iter()
        .map(|directory| directory.join("checkd/checkd.toml"))
        .collect();
    files
        .iter()
        .find(|file| file.exists())
        .cloned()
        .ok_or_else(|| {
            let mut told = Diagnostic::error(LAYER, "there is no configuration");
            for file in &files {
                told = told.note(format!("looked for `{}`", file.display()));
            }
            Box::new(told.help("name the file, or set `CHECKD_CONFIG`"))
        })
}

/// The text of a file.
pub(super) fn text_of(file: &Path) -> Result<String, Box<Diagnostic>> {
    let refused = |why: &str| refusal(format!("cannot read `{}`: {why}", file.display()));
    let opened = File::open(file).map_err(|error| refused(&reason(&error)))?;
    let facts = opened
        .metadata()
        .map_err(|error| refused(&reason(&error)))?;
    if facts.is_dir() {
        return Err(refused("it is a directory"));
    }
    let mut bytes = Vec::new();
    opened
        .take(LARGEST + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| refused(&reason(&error)))?;
    if bytes.len() as u64 > LARGEST {
        return Err(refused(&format!("it is larger than {} MiB", LARGEST >> 20)));
    }
    String::from_utf8(bytes).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        let before = error.as_bytes().get(..good).unwrap_or(&[]);
        let line = before.split(|&b| b == b'\n').count();
        refused(&format!("line {line} is not UTF-8"))
    })
}

/// The files that an include pattern means, in name order. `*` and `?` stand in the last part.
pub(super) fn matching(main: &Path, pattern: &str) -> Result<Vec<PathBuf>, Box<Diagnostic>> {
    let base = main.parent().unwrap_or(Path::new(""));
    let path = base.join(pattern);
    let wild = |text: &str| text.contains(['*', '?']);
    let directory = path.parent().unwrap_or(Path::new(""));
    if wild(
        &directory
            .strip_prefix(base)
            .unwrap_or(directory)
            .to_string_lossy(),
    ) {
        let told = refusal("only the last part of an include may be a pattern".to_owned());
        return Err(Box::new(told.note(format!("found `{pattern}`"))));
    }
    let Some(last) = path.file_name().and_then(|name| name.to_str()) else {
        return Err(refusal(format!("`{pattern}` names no file")));
    };
    if !wild(last) {
        return Ok(vec![path]);
    }
    let shown = if directory.as_os_str().is_empty() {
        Path::new(".")
    } else {
        directory
    };
    let entries = match std::fs::read_dir(shown) {
        Ok(entries) => entries,
        // A directory for what may come later.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => {
            return Err(refusal(format!(
                "cannot list `{}`: {}",
                shown.display(),
                reason(&error)
            )));
        }
    };
    let mut files: Vec<PathBuf> = entries
        .flatten()
        .filter(|entry| {
            entry
                .file_name()
                .to_str()
                .is_some_and(|name| !name.starts_with('.') && fits(last, name))
        })
        .map(|entry| directory.join(entry.file_name()))
        .collect();
    files.sort();
    Ok(files)
}

/// Whether `name` fits a pattern of `*` and `?`.
fn fits(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), name.chars().collect());
    // The row of a table: which prefixes of the name the pattern so far fits.
    let mut row = vec![false; name.len() + 1];
    if let Some(first) = row.first_mut() {
        *first = true;
    }
    for p in pattern {
        let mut next = vec![false; name.len() + 1];
        for at in 0..=name.len() {
            let here = row.get(at).copied().unwrap_or(false);
            let before = at.checked_sub(1);
            let fitted = match p {
                '*' => here || before.and_then(|b| next.get(b)).copied().unwrap_or(false),
                p => before.is_some_and(|b| {
                    row.get(b).copied().unwrap_or(false)
                        && name.get(b).is_some_and(|&c| p == '?' || p == c)
                }),
            };
            if let Some(cell) = next.get_mut(at) {
                *cell = fitted;
            }
        }
        row = next;
    }
    row.last().copied().unwrap_or(false)
}

fn refusal(message: String) -> Box<Diagnostic> {
    Box::new(Diagnostic::error(LAYER, message))
}

/// The operating system's reason without its number.
fn reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    let mut chars = text.chars();
    chars
        .next()
        .map_or_else(String::new, |c| c.to_lowercase().chain(chars).collect())
}

#[cfg(test)]
mod tests {
    use super::fits;

    #[test]
    fn patterns() {
        for (pattern, name, expected) in [
            ("*.toml", "a.toml", true),
            ("*.toml", ".toml", true),
            ("*.toml", "a.toml~", false),
            ("?-*.toml", "1-web.toml", true),
            ("?-*.toml", "10-web.toml", false),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "axxbyy", false),
            ("äö*", "äöü", true),
        ] {
            assert_eq!(fits(pattern, name), expected, "{pattern} {name}");
        }
    }
}
