//! Each check is a folder of the same shape, ours and a user's.

use std::fs;
use std::path::PathBuf;

use checkd_tests::root;

/// What a README says, in this order, after one line that says what the check does.
const HEADINGS: &[&str] = &[
    "# What it tells you",
    "# Options",
    "# When it passes, fails, is unknown",
    "# Example",
    "# Limits",
];

#[test]
fn every_readme_of_a_check_says_the_same_things_in_the_same_order() {
    for folder in folders() {
        let readme = read(&folder, "README.md");
        let mut lines = readme.lines().filter(|line| !line.is_empty());
        let first = lines.next().unwrap_or_default();
        assert!(
            first.ends_with('.') && !first.starts_with('#'),
            "{folder:?}: {first}"
        );
        let headings: Vec<_> = readme
            .lines()
            .filter(|line| line.starts_with('#'))
            .collect();
        assert_eq!(headings, HEADINGS, "{folder:?}");
    }
}

#[test]
fn every_check_has_its_example_in_its_descriptor_and_in_its_readme() {
    for folder in folders() {
        let example = read(&folder, "example.toml");
        assert!(!example.is_empty(), "{folder:?}");
        let (_, section) = read(&folder, "README.md")
            .split_once("# Example\n")
            .map(|(a, b)| (a.to_owned(), b.to_owned()))
            .expect("the heading was looked for before");
        assert!(
            section.contains(&example),
            "{folder:?}: the README has another example"
        );
        let source = read(&folder, "src/lib.rs");
        for line in [
            "#![doc = include_str!(\"../README.md\")]",
            ".example(include_str!(\"../example.toml\"))",
            "register_check!(",
        ] {
            assert!(
                source.contains(line),
                "{folder:?}: src/lib.rs has no `{line}`"
            );
        }
        for file in ["src/options.rs", "src/tests.rs"] {
            assert!(folder.join(file).is_file(), "{folder:?} has no {file}");
        }
    }
}

/// Every built-in, and the example of a user's plugin.
fn folders() -> Vec<PathBuf> {
    let mut folders = vec![root().join("docs/examples/spool-check")];
    for entry in fs::read_dir(root().join("plugins")).expect("plugins/") {
        folders.push(entry.expect("an entry is readable").path());
    }
    assert!(
        folders.len() > 3,
        "only {folders:?} found: this test looks wrongly"
    );
    folders
}

fn read(folder: &std::path::Path, file: &str) -> String {
    let path = folder.join(file);
    fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}
