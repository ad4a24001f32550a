//! Runs `docs/plugin-guide.md`, its sisters for Python and C, `docs/operations.md` and `docs/notifications.md`: every block is written to a file, or executed and its output compared.
//!
//! - ```` ```toml title="Cargo.toml" ```` (in any language) is written to that file.
//! - ```` ```sh ```` is executed, beginning where the block before it ended. It must succeed, or with
//!   `exit="2"` end with that code.
//!   With `needs="root"` it is left out, and said so, where the tests run without root.
//! - ```` ```text ```` right after it is what it prints: standard output, or standard error when it is
//!   to fail. `…` in it stands for anything within a line, and on a line of its own for any lines.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use checkd_tests::{Checkd, checkd_binary, library, root};

/// A fenced block of the guide.
#[derive(Debug, Default)]
struct Block {
    /// Where its fence stands, from 1.
    line: usize,
    /// `sh`, `toml`, `text`.
    language: String,
    /// The rest of the line that opens it: `title="Cargo.toml"`.
    attributes: String,
    text: String,
}

impl Block {
    fn attribute(&self, name: &str) -> Option<&str> {
        let (_, rest) = self.attributes.split_once(&format!("{name}=\""))?;
        Some(
            rest.split_once('"')
                .expect("an attribute ends with a quote")
                .0,
        )
    }
}

#[test]
fn every_block_of_the_plugin_guide_does_what_it_says() {
    let checkd = Checkd::prepare("");
    let desk = Desk::of(&checkd);
    let [written, executed, compared] = follow("docs/plugin-guide.md", &desk);
    assert!(
        written >= 5 && executed >= 15 && compared >= 10,
        "only {written} files, {executed} commands, {compared} outputs: this test looks wrongly"
    );
}

#[test]
fn every_block_of_the_plugin_guide_for_python_does_what_it_says() {
    let checkd = Checkd::prepare("");
    let desk = Desk::of(&checkd);
    let [written, executed, compared] = follow("docs/plugin-guide-python.md", &desk);
    assert!(
        written >= 3 && executed >= 12 && compared >= 9,
        "only {written} files, {executed} commands, {compared} outputs: this test looks wrongly"
    );
}

#[test]
fn every_block_of_the_guide_for_c_does_what_it_says() {
    let checkd = Checkd::prepare("");
    let desk = Desk::of(&checkd);
    let [written, executed, compared] = follow("docs/plugin-guide-c.md", &desk);
    assert!(
        written >= 3 && executed >= 12 && compared >= 10,
        "only {written} files, {executed} commands, {compared} outputs: this test looks wrongly"
    );
}

#[test]
fn every_block_of_the_operations_page_does_what_it_says() {
    let checkd = Checkd::prepare("");
    let desk = Desk::of(&checkd);
    let [written, executed, compared] = follow("docs/operations.md", &desk);
    assert!(
        written >= 3 && executed >= 15 && compared >= 9,
        "only {written} files, {executed} commands, {compared} outputs: this test looks wrongly"
    );
}

#[test]
fn every_block_of_the_notifications_page_does_what_it_says() {
    let [written, executed, compared] = follow("docs/notifications.md", &Desk::new());
    assert!(
        written == 2 && executed >= 4 && compared >= 4,
        "only {written} files, {executed} commands, {compared} outputs: this test looks wrongly"
    );
}

/// Follows a document block by block: how many were written, executed, compared.
fn follow(document: &str, desk: &Desk) -> [usize; 3] {
    let text = fs::read_to_string(root().join(document)).expect("the document");
    let blocks = blocks(&text);
    let (mut written, mut executed, mut compared) = (0, 0, 0);
    let mut place = desk.directory.path().to_path_buf();
    let mut blocks = blocks.iter().peekable();
    while let Some(block) = blocks.next() {
        if let Some(title) = block.attribute("title") {
            desk.write(&place.join(title), &block.text);
            written += 1;
        } else if block.language == "sh" && left_out(document, block) {
            blocks.next_if(|next| next.language == "text");
            executed += 1;
        } else if block.language == "sh" {
            let (printed, end) = desk.execute(document, &place, block);
            place = end;
            executed += 1;
            if let Some(expected) = blocks.next_if(|next| next.language == "text") {
                assert!(
                    fits(&expected.text, &printed),
                    "{document}:{}: expected\n{}\nbut it printed\n{printed}",
                    expected.line,
                    expected.text
                );
                compared += 1;
            }
        } else {
            panic!(
                "{document}:{}: this block is neither written nor executed",
                block.line
            );
        }
    }
    [written, executed, compared]
}

/// Whether this block cannot be executed by who runs the tests.
fn left_out(document: &str, block: &Block) -> bool {
    let out = block.attribute("needs") == Some("root") && !rustix::process::geteuid().is_root();
    if out {
        let mut stderr = std::io::stderr();
        writeln!(stderr, "{document}:{}: left out without root", block.line).ok();
    }
    out
}

/// Where the guide is followed: an empty directory, with `checkd` in PATH.
struct Desk {
    directory: tempfile::TempDir,
    path: String,
    /// Kept between runs and shared with the example, so that only the guide's own crate is built.
    target: PathBuf,
    /// What commands inherit besides.
    environment: Vec<(OsString, OsString)>,
}

impl Desk {
    /// One whose daemons and members are found and ended by what they inherit, with `checkd`, also
    /// when a block fails.
    fn of(checkd: &Checkd) -> Self {
        let mut desk = Self::new();
        let inherited = checkd.verb(["status"]);
        desk.environment = inherited
            .get_envs()
            .filter(|(name, _)| name.to_string_lossy().starts_with("CHECKD_TEST"))
            .filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())))
            .collect();
        assert_eq!(desk.environment.len(), 1);
        desk
    }

    fn new() -> Self {
        let directory = tempfile::Builder::new()
            .prefix("guide-")
            .tempdir()
            .expect("a directory");
        let bin = checkd_binary()
            .parent()
            .expect("a binary is in a directory");
        let library = library("docs/examples/spool-check", "spool_check");
        let target = library
            .ancestors()
            .nth(2)
            .expect("target/debug/lib")
            .to_path_buf();
        let path = std::env::var("PATH").unwrap_or_default();
        // The guide's reader has checkd's sources in a folder.
        std::os::unix::fs::symlink(root(), directory.path().join("checkd")).expect("a link");
        Self {
            directory,
            path: format!("{}:{path}", bin.display()),
            target,
            environment: Vec::new(),
        }
    }

    fn write(&self, file: &Path, text: &str) {
        assert!(
            file.starts_with(self.directory.path()),
            "{} leads away",
            file.display()
        );
        fs::create_dir_all(file.parent().expect("it is below")).expect("a directory");
        let text = beside(text);
        fs::write(file, text).expect("a file of the guide is written");
        self.prepare_crates();
    }

    /// The crates that were begun here; not the sources, which are linked.
    fn crates(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.directory.path()).into_iter().flatten();
        entries
            .flatten()
            .filter(|entry| entry.file_type().is_ok_and(|of| of.is_dir()))
            .map(|entry| entry.path())
            .filter(|path| path.join("Cargo.toml").exists())
            .collect()
    }

    /// Gives each new crate the versions that are tested, so that no registry is looked at, and the
    /// shared target directory.
    fn prepare_crates(&self) {
        for path in self.crates() {
            if !path.join("Cargo.lock").exists() {
                let lock = root().join("docs/examples/spool-check/Cargo.lock");
                fs::copy(lock, path.join("Cargo.lock")).expect("the lock file");
                let link = path.join("target");
                std::os::unix::fs::symlink(&self.target, link).expect("a link to target");
            }
        }
    }

    /// What the block printed, and the directory in which it ended.
    fn execute(&self, document: &str, place: &Path, block: &Block) -> (String, PathBuf) {
        let end = self.directory.path().join(".place");
        let script = format!(
            "trap 'pwd >{}' EXIT\n{}",
            end.display(),
            beside(&block.text)
        );
        // A block that waits for what never comes fails instead of standing still.
        let output = Command::new("timeout")
            .args(["300", "sh", "-eu", "-c", &script])
            .current_dir(place)
            .env("PATH", &self.path)
            .env("NO_COLOR", "1")
            .env_remove("CHECKD_CONFIG")
            .env_remove("CHECKD_CONTROL")
            .env_remove("CARGO_TARGET_DIR")
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::null())
            .output()
            .expect("sh runs");
        let expected = block
            .attribute("exit")
            .map_or(0, |code| code.parse().expect("a number"));
        let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(
            output.status.code(),
            Some(expected),
            "{document}:{}:\n{}\nstandard output:\n{stdout}\nstandard error:\n{stderr}",
            block.line,
            block.text
        );
        let ended = fs::read_to_string(&end).expect("the block says where it ended");
        self.prepare_crates();
        let printed = if stdout.is_empty() { stderr } else { stdout };
        (printed, PathBuf::from(ended.trim_end()))
    }
}

/// The guide's reader has checkd's sources beside his own; here they are where they are.
fn beside(text: &str) -> String {
    text.replace("../checkd/", &format!("{}/", root().display()))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

impl Drop for Desk {
    /// Takes what was built for this desk out of the shared directory.
    fn drop(&mut self) {
        for path in self.crates() {
            let cleaned = Command::new("cargo")
                .args(["clean", "--quiet", "--offline", "--package"])
                .arg(path.file_name().unwrap_or_default())
                .current_dir(&path)
                .status();
            // Only room on the disk is lost.
            drop(cleaned);
        }
    }
}

/// Every fenced block.
fn blocks(document: &str) -> Vec<Block> {
    let mut found = Vec::new();
    let mut open: Option<Block> = None;
    for (number, line) in (1..).zip(document.lines()) {
        match (open.take(), line.strip_prefix("```")) {
            (None, None) => {}
            (None, Some(opening)) => {
                let (language, attributes) = opening.split_once(' ').unwrap_or((opening, ""));
                open = Some(Block {
                    line: number,
                    language: language.to_owned(),
                    attributes: attributes.to_owned(),
                    text: String::new(),
                });
            }
            (Some(block), Some(_)) => found.push(block),
            (Some(mut block), None) => {
                writeln!(block.text, "{line}").expect("a text grows");
                open = Some(block);
            }
        }
    }
    assert!(open.is_none(), "a block is never closed: {open:?}");
    found
}

/// Whether `printed` is as `expected` says; `…` stands for anything within a line, and on a line of
/// its own for any lines.
fn fits(expected: &str, printed: &str) -> bool {
    fn lines_fit(expected: &[&str], printed: &[&str]) -> bool {
        match (expected, printed) {
            ([], []) => true,
            (["…", rest @ ..], _) => {
                (0..=printed.len()).any(|skipped| lines_fit(rest, &printed[skipped..]))
            }
            ([first, expected @ ..], [line, printed @ ..]) => {
                line_fits(first, line) && lines_fit(expected, printed)
            }
            _ => false,
        }
    }
    fn line_fits(expected: &str, line: &str) -> bool {
        match expected.split_once('…') {
            None => expected.trim_end() == line.trim_end(),
            Some((head, tail)) => line.strip_prefix(head).is_some_and(|rest| {
                let mut ends = (0..=rest.len()).filter_map(|end| rest.get(end..));
                ends.any(|rest| line_fits(tail, rest))
            }),
        }
    }
    let expected: Vec<_> = expected.trim_end().lines().collect();
    let printed: Vec<_> = printed.trim_end().lines().collect();
    lines_fit(&expected, &printed)
}

#[test]
fn an_expected_output_fits_only_what_it_says() {
    for (expected, printed, fit) in [
        ("a\nb\n", "a\nb", true),
        ("a\nb\n", "a\nc", false),
        ("a\n", "a\nb", false),
        ("a\nb\n", "a", false),
        ("…\nb\n", "a\na\nb", true),
        ("…\n", "", true),
        ("a\n…\nb\n…\n", "a\nb\nc", true),
        ("a … c\n", "a b c", true),
        ("a … c\n", "a b d", false),
        ("…b…\n", "abc", true),
        ("a…\n", "ba", false),
    ] {
        assert_eq!(fits(expected, printed), fit, "{expected:?} {printed:?}");
    }
}
