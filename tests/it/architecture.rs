//! Holds the shape of the tree: who may import whom, and the rules that a reviewer would nag about.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};
use checkd_tests::root;

/// Who may import whom in the workspace (`docs/architecture.md`); plugins are matched by their prefix.
const EDGES: &[(&str, &[&str])] = &[
    ("checkd-core", &[]),
    ("checkd-abi", &[]),
    ("checkd-plugin-api", &["checkd-abi"]),
    ("check-", &["checkd-plugin-api"]),
    (
        "checkd",
        &["checkd-core", "checkd-plugin-api", "checkd-abi", "check-"],
    ),
    ("checkd-tests", &[]),
];

/// Who may name `abi_stable`: the frozen types, the SDK that fills them in, the host's loader.
const ABI_STABLE: &[&str] = &["checkd-abi", "checkd-plugin-api", "checkd"];

/// What would make core impure: clocks, files, sockets, threads, logs.
const NOT_IN_CORE: &[&str] = &[
    "tokio", "tracing", "rusqlite", "rustix", "procfs", "libc", "hyper", "axum", "rand",
];

fn metadata() -> Metadata {
    MetadataCommand::new()
        .manifest_path(root().join("Cargo.toml"))
        .no_deps()
        .other_options(vec!["--offline".into(), "--locked".into()])
        .exec()
        .expect("cargo metadata reads the workspace")
}

fn matches(pattern: &str, name: &str) -> bool {
    pattern == name || (pattern.ends_with('-') && name.starts_with(pattern))
}

#[test]
fn crates_import_only_whom_they_may() {
    let metadata = metadata();
    let ours: BTreeSet<&str> = metadata.packages.iter().map(|p| p.name.as_str()).collect();
    let mut wrong = Vec::new();
    for package in &metadata.packages {
        let Some((_, allowed)) = EDGES.iter().find(|(name, _)| matches(name, &package.name)) else {
            wrong.push(format!("`{}` has no line in EDGES", package.name));
            continue;
        };
        for dependency in &package.dependencies {
            let known = ours.contains(dependency.name.as_str());
            let development = dependency.kind == DependencyKind::Development;
            if known && !development && !allowed.iter().any(|a| matches(a, &dependency.name)) {
                wrong.push(format!(
                    "`{}` must not import `{}`",
                    package.name, dependency.name
                ));
            }
            if dependency.name == "abi_stable" && !ABI_STABLE.contains(&package.name.as_str()) {
                wrong.push(format!("`{}` must not name abi_stable", package.name));
            }
            if package.name == "checkd-core"
                && !development
                && NOT_IN_CORE.contains(&dependency.name.as_str())
            {
                wrong.push(format!(
                    "core is pure and must not import `{}`",
                    dependency.name
                ));
            }
        }
    }
    none(&wrong);
}

#[test]
fn a_plugin_imports_what_a_user_could() {
    // Development dependencies too: the tests of a built-in may use nothing that a user's cannot.
    let mut wrong = Vec::new();
    for package in metadata()
        .packages
        .iter()
        .filter(|p| p.name.starts_with("check-"))
    {
        for dependency in &package.dependencies {
            if ["checkd-core", "checkd", "abi_stable", "checkd-abi"].contains(&&*dependency.name)
                || (dependency.name.starts_with("check-"))
            {
                wrong.push(format!(
                    "`{}` must not import `{}`",
                    package.name, dependency.name
                ));
            }
        }
    }
    none(&wrong);
}

#[test]
fn built_ins_are_linked_in_one_file() {
    let mut naming = Vec::new();
    for file in sources().filter(|f| f.starts_with("host/src")) {
        if read(&file)
            .lines()
            .any(|l| l.trim_start().starts_with("use check_"))
        {
            naming.push(file.display().to_string());
        }
    }
    assert_eq!(
        naming.len(),
        1,
        "built-ins are named in {naming:?}, not in one file"
    );
    let text = read(Path::new(&naming[0]));
    for package in metadata()
        .packages
        .iter()
        .filter(|p| p.name.starts_with("check-"))
    {
        let line = format!("use {} as _;", package.name.replace('-', "_"));
        assert!(text.contains(&line), "`{line}` is missing in {}", naming[0]);
    }
}

#[test]
fn every_crate_takes_the_workspace_lints() {
    let mut wrong = Vec::new();
    for package in metadata().packages {
        let text = fs::read_to_string(&package.manifest_path).expect("a manifest is readable");
        if !text.contains("[lints]\nworkspace = true") {
            wrong.push(format!(
                "{} does not take the workspace's lints",
                package.manifest_path
            ));
        }
    }
    none(&wrong);
}

#[test]
fn every_file_says_what_it_is_for() {
    let wrong: Vec<String> = sources()
        // A plugin's and the API's crate documentation is their README.
        .filter(|file| {
            let text = read(file);
            !text.starts_with("//! ") && !text.starts_with("#![doc = include_str!(")
        })
        .map(|file| format!("{} does not open with a `//!` sentence", file.display()))
        .collect();
    none(&wrong);
}

#[test]
fn no_module_is_called_after_nothing() {
    let empty = ["utils", "util", "common", "helpers", "helper", "misc"];
    let wrong: Vec<String> = sources()
        .filter(|file| {
            let mut parts = file.iter().filter_map(|p| p.to_str());
            parts.any(|part| empty.contains(&part.trim_end_matches(".rs")))
        })
        .map(|file| format!("{}: name it after what it does", file.display()))
        .collect();
    none(&wrong);
}

#[test]
fn nothing_is_silenced_without_a_reason() {
    // Put together here so that this file does not find itself.
    let forbidden = [
        (["#[", "ignore"].concat(), "an ignored test is no test"),
        (
            ["#[", "should_panic"].concat(),
            "assert what happens instead",
        ),
        (["#[", "allow("].concat(), "use `#[expect(…, reason = …)]`"),
        (
            ["#![", "allow("].concat(),
            "use `#![expect(…, reason = …)]`",
        ),
    ];
    let mut wrong = Vec::new();
    for file in sources() {
        for (number, line) in (1..).zip(read(&file).lines()) {
            for (pattern, instead) in &forbidden {
                if line.trim_start().starts_with(pattern.as_str()) {
                    wrong.push(format!("{}:{number}: {instead}", file.display()));
                }
            }
        }
    }
    none(&wrong);
}

#[test]
fn unsafe_code_stands_where_it_may_and_says_why() {
    // The border to loaded libraries on both of its sides, single system calls in the host,
    // the plugins that are hostile on purpose, and an allocator that counts.
    let may = [
        "plugin-api/",
        "host/src/",
        "tests/fixtures/",
        "core/scale/heap.rs",
    ];
    let mut wrong = Vec::new();
    for file in sources() {
        let text = read(&file);
        let uses = text.lines().any(|line| {
            let code = line.split("//").next().unwrap_or_default();
            ["{", "fn", "impl", "extern"]
                .iter()
                .any(|u| code.contains(&["unsafe ", u].concat()))
        });
        if uses && !may.iter().any(|place| file.starts_with(place)) {
            wrong.push(format!("{} must not hold unsafe code", file.display()));
        }
        if uses && !text.contains("SAFETY:") {
            wrong.push(format!(
                "{} has unsafe code without a SAFETY comment",
                file.display()
            ));
        }
    }
    none(&wrong);
}

#[test]
fn one_loop_owns_the_engine() {
    let holding = |place: &str, what: &str| -> Vec<String> {
        let of = |file: &PathBuf| file.starts_with(place) && !tests(file);
        let found = sources()
            .filter(of)
            .filter(|file| read(file).contains(what));
        found.map(|file| file.display().to_string()).collect()
    };
    let events = holding("core/src", "pub enum Event ");
    assert_eq!(
        events,
        ["core/src/event.rs"],
        "the event enum stands in one file"
    );
    let closed = !read(Path::new("core/src/event.rs")).contains("non_exhaustive");
    assert!(
        closed,
        "who adds an event must meet every place that takes one"
    );
    let making = holding("host/src", "Engine::new(");
    assert_eq!(
        making.len(),
        1,
        "{making:?} make engines; one loop owns the only one"
    );
    assert!(
        making[0].starts_with("host/src/daemon/"),
        "{making:?} is not the loop"
    );
}

#[test]
fn every_error_code_has_its_paragraph() {
    let documented: BTreeSet<String> = read(Path::new("docs/errors.md"))
        .lines()
        .filter(|line| line.starts_with('#'))
        .flat_map(codes)
        .collect();
    let mut used: BTreeMap<String, String> = BTreeMap::new();
    // Tests may make up a code; the programs may not.
    let shown = |f: &PathBuf| (f.starts_with("core") || f.starts_with("host")) && !tests(f);
    for file in sources().filter(shown) {
        let text = read(&file);
        // A code in a comment is an example; a code in a string is shown to a person.
        for line in text.lines().filter(|l| !l.trim_start().starts_with("//")) {
            for code in codes(line).filter(|c| line.contains(&format!("\"{c}"))) {
                used.entry(code)
                    .or_insert_with(|| file.display().to_string());
            }
        }
    }
    assert!(
        !used.is_empty(),
        "no error code was found in the sources: this test looks wrongly"
    );
    let mut wrong: Vec<String> = used
        .iter()
        .filter(|(code, _)| !documented.contains(*code))
        .map(|(code, file)| format!("{code} of {file} has no paragraph in docs/errors.md"))
        .collect();
    wrong.extend(
        documented
            .iter()
            .filter(|code| !used.contains_key(*code))
            .map(|code| format!("{code} of docs/errors.md is used nowhere")),
    );
    none(&wrong);
}

#[test]
fn the_architecture_document_names_what_exists() {
    let text = read(Path::new("docs/architecture.md"));
    let mut wrong = Vec::new();
    let mut named = 0;
    // The tree: each line of the text blocks that opens with a path.
    for block in text
        .split("```text\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
    {
        for line in block.lines() {
            let path = line.split_whitespace().next().unwrap_or_default();
            if path.contains('/') || path.contains('.') {
                named += 1;
                if !root().join(path.trim_end_matches('/')).exists() {
                    wrong.push(format!(
                        "docs/architecture.md names {path}, which does not exist"
                    ));
                }
            }
        }
    }
    assert!(
        named > 10,
        "docs/architecture.md shows no tree: this test looks wrongly"
    );
    // The invariants: each names the tests that hold it, as `file.rs::test`.
    let mut held = 0;
    for word in text.split('`').skip(1).step_by(2) {
        let Some((file, name)) = word.split_once(".rs::") else {
            continue;
        };
        held += 1;
        let found = fs::read_to_string(root().join(format!("{file}.rs")))
            .is_ok_and(|source| source.contains(&format!("fn {name}(")));
        if !found {
            wrong.push(format!(
                "docs/architecture.md names {word}, which does not exist"
            ));
        }
    }
    assert!(
        held >= 10,
        "docs/architecture.md does not say which tests hold its invariants"
    );
    none(&wrong);
}

#[test]
fn nothing_is_written_past_the_locked_streams() {
    // clippy sees `print!`; it does not see a process exit hidden in a library.
    let mut wrong = Vec::new();
    for file in sources().filter(|f| f.starts_with("core/src") && !tests(f)) {
        for banned in [
            "std::fs",
            "std::net",
            "std::thread",
            "std::process",
            "std::env",
            "std::io",
            "io::std",
        ] {
            // Text is written into memory through this trait: what does so can reach nothing else by it.
            let trait_alone = "use std::io::{self, Write};";
            if read(&file).lines().any(|l| {
                !l.trim_start().starts_with("//") && l != trait_alone && l.contains(banned)
            }) {
                wrong.push(format!(
                    "{} is core and must not name {banned}",
                    file.display()
                ));
            }
        }
    }
    none(&wrong);
}

/// Every committed Rust file that is ours, relative to the root, in order.
fn sources() -> impl Iterator<Item = PathBuf> {
    let listed = Command::new("git")
        .args([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
            "--",
            "*.rs",
        ])
        .current_dir(root())
        .output();
    let files: Vec<PathBuf> = match listed {
        Ok(output) if output.status.success() => String::from_utf8(output.stdout)
            .expect("paths are text")
            .split_terminator('\0')
            .map(PathBuf::from)
            .filter(|file| root().join(file).exists())
            .collect(),
        // A source archive without its history: look at the directories.
        _ => walk(root()),
    };
    assert!(
        files.len() > 20,
        "only {} Rust files found: this test looks wrongly",
        files.len()
    );
    files.into_iter()
}

fn walk(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let entries = fs::read_dir(directory).expect("a directory of the tree is readable");
    for path in entries.map(|e| e.expect("an entry is readable").path()) {
        if path.is_dir() && !path.ends_with("target") && !path.ends_with(".git") {
            found.extend(walk(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(
                path.strip_prefix(root())
                    .expect("it is below the root")
                    .to_path_buf(),
            );
        }
    }
    found.sort();
    found
}

/// Whether a file holds nothing but tests, by the names that tests have in this tree.
fn tests(file: &Path) -> bool {
    file.iter()
        .any(|part| part == "tests" || part == "tests.rs")
}

fn read(file: &Path) -> String {
    fs::read_to_string(root().join(file))
        .unwrap_or_else(|e| panic!("{} is not readable: {e}", file.display()))
}

/// Every `Cnnnn` in a line.
fn codes(line: &str) -> impl Iterator<Item = String> + '_ {
    line.split(|c: char| !c.is_ascii_alphanumeric())
        .filter_map(|word| {
            let digits = word.strip_prefix('C')?;
            (digits.len() == 4 && digits.bytes().all(|b| b.is_ascii_digit()))
                .then(|| word.to_owned())
        })
}

fn none(wrong: &[String]) {
    assert!(wrong.is_empty(), "\n  {}\n", wrong.join("\n  "));
}
