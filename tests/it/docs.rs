//! Documents that keep their promises: links lead somewhere, and what is shown as a command exists.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use checkd_tests::{Checkd, root};

#[test]
fn every_link_leads_somewhere() {
    let mut wrong = Vec::new();
    for document in documents() {
        let text = fs::read_to_string(root().join(&document)).expect("a document is readable");
        for link in text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
        {
            let path = link.split('#').next().unwrap_or_default();
            if path.is_empty() || path.contains("://") || path.contains(' ') {
                continue;
            }
            // The frame of the generated docs/configuration.md stands beside its generator.
            let frame = document == Path::new("core/src/config/reference.md");
            let base = if frame {
                Path::new("docs")
            } else {
                document.parent().expect("a path")
            };
            if !root().join(base).join(path).exists() {
                wrong.push(format!("{} links to {link}", document.display()));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "these links lead nowhere:\n  {}\n",
        wrong.join("\n  ")
    );
}

#[test]
fn every_document_is_in_the_index() {
    let index = fs::read_to_string(root().join("docs/README.md")).expect("docs/README.md");
    let missing: Vec<_> = documents()
        .into_iter()
        .filter_map(|document| {
            let path = document.strip_prefix("docs").ok()?.to_path_buf();
            // Records of decisions and the example's own README are reached through their directory.
            let own = path.components().count() == 1 && path != Path::new("README.md");
            (own && !index.contains(&format!("({})", path.display()))).then_some(path)
        })
        .collect();
    assert!(
        missing.is_empty(),
        "docs/README.md does not list {missing:?}"
    );
}

#[test]
fn the_readme_has_two_commands_that_exist() {
    let readme = fs::read_to_string(root().join("README.md")).expect("README.md");
    for command in ["docs/quick-start/run", "tests/run"] {
        assert!(
            readme.contains(&format!("\n{command}\n")),
            "the README does not show {command}"
        );
        assert!(root().join(command).is_file(), "{command} does not exist");
    }
}

#[test]
fn every_configuration_of_the_readme_is_valid() {
    let readme = fs::read_to_string(root().join("README.md")).expect("README.md");
    let blocks: Vec<_> = readme
        .split("```toml\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .collect();
    assert!(
        !blocks.is_empty(),
        "the README shows no configuration: this test looks wrongly"
    );
    for block in blocks {
        let checkd = Checkd::prepare("");
        checkd.write_raw_config(block);
        let answer = checkd.ask(["validate", "checkd.toml"]);
        assert_eq!(answer.code, Some(0), "{block}\n{}", answer.stderr);
        // Its program need not be on the machine that runs the tests.
        let other =
            |line: &str| line.starts_with("warning[") && !line.starts_with("warning[C0127]");
        assert!(
            !answer.stderr.lines().any(other),
            "{block}\n{}",
            answer.stderr
        );
    }
}

/// Every Markdown document that is committed, relative to the root.
fn documents() -> Vec<PathBuf> {
    let output = Command::new("git")
        .args([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
            "--",
            "*.md",
        ])
        .current_dir(root())
        .output()
        .expect("git lists the tree's files");
    let list = String::from_utf8(output.stdout).expect("paths are text");
    let documents: Vec<_> = list.split_terminator('\0').map(PathBuf::from).collect();
    assert!(
        documents.len() > 5,
        "only {documents:?} found: this test looks wrongly"
    );
    documents
}
