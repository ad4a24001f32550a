//! Builds what the tests start: checkd itself, and libraries in workspaces of their own.

use std::collections::BTreeMap;
use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};

use serde_json::Value;

use crate::root;

/// The binary under test, built now: `cargo test` alone may leave an old one in place. It is built as
/// this crate is, so that a benchmark measures a release.
///
/// # Panics
/// When it does not build.
pub fn checkd() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let mut arguments = vec!["--package", "checkd"];
        if !cfg!(debug_assertions) {
            arguments.push("--release");
        }
        let built = cargo_build(&root().join("Cargo.toml"), &arguments);
        built
            .iter()
            .find_map(|artifact| artifact.get("executable")?.as_str().map(PathBuf::from))
            .unwrap_or_else(|| panic!("cargo built no `checkd`"))
    })
}

/// The shared library of a crate in a workspace of its own, such as a user's plugin: the path of its
/// directory is relative to the root. `name` is the library's, for directories with several.
///
/// # Panics
/// When it does not build.
pub fn library(directory: &str, name: &str) -> PathBuf {
    static BUILT: Mutex<BTreeMap<String, Vec<PathBuf>>> = Mutex::new(BTreeMap::new());
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    let libraries = built.entry(directory.to_owned()).or_insert_with(|| {
        // One target directory for all of them: what they depend on is built once.
        let target = root().join("target/fixtures");
        let target = target.to_string_lossy();
        let manifest = root().join(directory).join("Cargo.toml");
        cargo_build(&manifest, &["--target-dir", &target])
            .iter()
            .filter_map(|artifact| artifact.get("filenames")?.as_array())
            .flatten()
            .filter_map(|file| file.as_str().map(PathBuf::from))
            .filter(|file| file.extension().is_some_and(|e| e == "so"))
            .collect()
    });
    let file = format!("lib{}.so", name.replace('-', "_"));
    libraries
        .iter()
        .find(|path| path.ends_with(&file))
        .unwrap_or_else(|| panic!("{directory} built {libraries:?} and no {file}"))
        .clone()
}

/// A program of the virtual environment that holds the real peers.
///
/// # Panics
/// When it is not there: a peer that is missing fails its tests.
pub fn venv(program: &str) -> PathBuf {
    let path = root().join("target/venv/bin").join(program);
    assert!(
        path.exists(),
        "{} is missing; `tests/run` installs the real peers",
        path.display()
    );
    path
}

/// What cargo says about each artifact that it built or found fresh.
fn cargo_build(manifest: &Path, arguments: &[&str]) -> Vec<Value> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    // What cargo set for the test that runs us: a build script that looks at it (ring's does) would be
    // run anew, here and by the person's next build.
    for (name, _) in env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&*name);
        }
    }
    let output = command
        .args([
            "build",
            "--quiet",
            "--locked",
            "--message-format",
            "json-render-diagnostics",
        ])
        .arg("--manifest-path")
        .arg(manifest)
        .args(arguments)
        .stderr(Stdio::inherit())
        .output()
        .unwrap_or_else(|e| panic!("cargo does not run: {e}"));
    assert!(
        output.status.success(),
        "{} does not build",
        manifest.display()
    );
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| {
            message
                .get("reason")
                .is_some_and(|r| r == "compiler-artifact")
        })
        .collect()
}
