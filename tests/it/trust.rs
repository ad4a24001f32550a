//! A library, or a command's program or script, that others could change is refused before anything of
//! it runs, with who and how.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use checkd_tests::{Checkd, library};

/// A user and a group that are not ours and need not exist.
const STRANGER: u32 = 12_345;

/// One way to lay a library down, below a directory that only we can change.
struct Case {
    what: &'static str,
    /// Lays it down and gives the path that is named.
    lay: fn(&Path) -> PathBuf,
    /// What is told of it, with the directory taken out; nothing: it is used.
    told: &'static [&'static str],
    /// Whether only root can lay it down so.
    needs_root: bool,
}

fn copied(to: PathBuf) -> PathBuf {
    let built = library("tests/fixtures/hostile-plugins", "hostile_plugins");
    fs::copy(built, &to).expect("the library is copied");
    mode(&to, 0o755);
    to
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("it is ours");
}

fn below(dir: &Path, name: &str, of: u32) -> PathBuf {
    let below = dir.join(name);
    fs::create_dir(&below).expect("a directory");
    mode(&below, of);
    below
}

const CASES: &[Case] = &[
    Case {
        what: "a file that only we can change",
        lay: |dir| copied(dir.join("lib.so")),
        told: &[],
        needs_root: false,
    },
    Case {
        what: "a file that everybody can write to",
        lay: |dir| {
            let path = copied(dir.join("lib.so"));
            mode(&path, 0o777);
            path
        },
        told: &["`/lib.so` can be changed by everybody: its mode is 0777"],
        needs_root: false,
    },
    Case {
        what: "a directory in which everybody can write",
        lay: |dir| copied(below(dir, "open", 0o777).join("lib.so")),
        told: &["`/open` can be changed by everybody: its mode is 0777"],
        needs_root: false,
    },
    Case {
        what: "a directory like /tmp",
        lay: |dir| copied(below(dir, "sticky", 0o1777).join("lib.so")),
        told: &[],
        needs_root: false,
    },
    Case {
        what: "a directory further up, and the file",
        lay: |dir| {
            let path = copied(below(&below(dir, "up", 0o757), "down", 0o755).join("lib.so"));
            mode(&path, 0o646);
            path
        },
        told: &[
            "`/up/down/lib.so` can be changed by everybody: its mode is 0646",
            "`/up` can be changed by everybody: its mode is 0757",
        ],
        needs_root: false,
    },
    Case {
        what: "a link in a directory in which everybody can write",
        lay: |dir| {
            let path = copied(dir.join("lib.so"));
            let link = below(dir, "links", 0o777).join("link.so");
            symlink(path, &link).expect("a link");
            link
        },
        told: &["`/links` can be changed by everybody: its mode is 0777"],
        needs_root: false,
    },
    Case {
        what: "a link to a file in a directory in which everybody can write",
        lay: |dir| {
            let path = copied(below(dir, "open", 0o777).join("lib.so"));
            let link = dir.join("link.so");
            symlink(path, &link).expect("a link");
            link
        },
        told: &["`/open` can be changed by everybody: its mode is 0777"],
        needs_root: false,
    },
    Case {
        what: "somebody else's file",
        lay: |dir| {
            let path = copied(dir.join("lib.so"));
            chown(&path, Some(STRANGER), None).expect("we are root");
            path
        },
        told: &["`/lib.so` belongs to user 12345, not to root"],
        needs_root: true,
    },
    Case {
        what: "somebody else's file in a directory like /tmp",
        lay: |dir| {
            let path = copied(below(dir, "sticky", 0o1777).join("lib.so"));
            chown(&path, Some(STRANGER), None).expect("we are root");
            path
        },
        told: &["`/sticky/lib.so` belongs to user 12345, not to root"],
        needs_root: true,
    },
    Case {
        what: "somebody else's directory",
        lay: |dir| {
            let theirs = below(dir, "theirs", 0o755);
            let path = copied(theirs.join("lib.so"));
            chown(theirs, Some(STRANGER), None).expect("we are root");
            path
        },
        told: &["`/theirs` belongs to user 12345, not to root"],
        needs_root: true,
    },
    Case {
        what: "a file that another group can write to",
        lay: |dir| {
            let path = copied(dir.join("lib.so"));
            chown(&path, None, Some(STRANGER)).expect("we are root");
            mode(&path, 0o775);
            path
        },
        told: &["`/lib.so` can be changed by group 12345: its mode is 0775"],
        needs_root: true,
    },
];

fn config(path: &Path, more: &str) -> String {
    format!(
        "[plugin.acme]\npath = \"{}\"\n{more}\n[group.web]\ncommand = [\"sleep\", \"1000\"]\n\
         [group.web.checks.a]\nkind = \"hostile_print\"\n",
        path.display()
    )
}

#[test]
fn a_library_that_others_can_change_is_refused_with_who_and_how() {
    let root = rustix::process::geteuid().is_root();
    for case in CASES.iter().filter(|case| root || !case.needs_root) {
        let checkd = Checkd::prepare("");
        let dir = checkd.dir().canonicalize().expect("it is there");
        let path = (case.lay)(&dir);
        checkd.write_config(&config(&path, ""));
        let answer = checkd.ask(["validate", "checkd.toml"]);
        if case.told.is_empty() {
            assert_eq!(answer.code, Some(0), "{}: {answer:#?}", case.what);
            continue;
        }
        assert_eq!(answer.code, Some(2), "{}: {answer:#?}", case.what);
        let said = answer.stderr.replace(&*dir.to_string_lossy(), "");
        let refused = refusal(&said);
        let name = path.strip_prefix(&dir).expect("it is below").display();
        let first = format!("error[C0214]: cannot use plugin `/{name}`");
        assert_eq!(refused.first(), Some(&&*first), "{}: {said}", case.what);
        let notes = refused
            .iter()
            .filter_map(|line| line.trim().strip_prefix("= "));
        let notes: Vec<&str> = notes.take(case.told.len()).collect();
        assert_eq!(notes, case.told, "{}: {said}", case.what);
        let rest = refused.join(" ");
        for words in ["it was not loaded", "help: take the right away", "`sha256`"] {
            assert!(rest.contains(words), "{}: {said}", case.what);
        }
    }
}

/// The lines of the first C0214 in what was said.
fn refusal(said: &str) -> Vec<&str> {
    said.lines()
        .skip_while(|line| !line.starts_with("error[C0214]"))
        .take_while(|line| !line.is_empty())
        .collect()
}

#[test]
fn a_command_whose_script_others_can_change_is_refused_with_who_and_how() {
    let root = rustix::process::geteuid().is_root();
    for case in CASES.iter().filter(|case| root || !case.needs_root) {
        let checkd = Checkd::prepare("");
        let dir = checkd.dir().canonicalize().expect("it is there");
        let path = (case.lay)(&dir);
        let path = path.display();
        for command in [
            format!("[\"touch\", \"ran\", \"{path}\"]"),
            // As its own program: what is laid down is none, and nobody comes so far.
            format!("[\"{path}\"]"),
        ] {
            checkd.write_config(&format!(
                "[plugin.acme]\ncommand = {command}\n[group.web]\ncommand = [\"sleep\", \"1000\"]\n\
                 [group.web.checks.a]\nkind = \"of_acme\"\n"
            ));
            let answer = checkd.ask(["validate", "checkd.toml"]);
            let what = format!("{}, {command}: {answer:#?}", case.what);
            assert_eq!(answer.code, Some(2), "{what}");
            let said = answer.stderr.replace(&*dir.to_string_lossy(), "");
            let refused = refusal(&said);
            if case.told.is_empty() {
                assert!(refused.is_empty(), "{what}");
                continue;
            }
            assert_eq!(
                refused.first(),
                Some(&"error[C0214]: cannot use plugin `acme`"),
                "{what}"
            );
            for told in case.told {
                let line = format!("= {told}");
                assert!(
                    refused.iter().any(|one| one.trim() == line),
                    "{told}: {what}"
                );
            }
            let rest = refused.join(" ");
            for words in ["it was not started", "help: take the right away"] {
                assert!(rest.contains(words), "{words}: {what}");
            }
            assert!(!dir.join("ran").exists(), "{what}");
            // Every verb that would start it says the same.
            let inspected = checkd.ask(["plugin", "inspect", "acme"]);
            assert_eq!(inspected.code, Some(2), "{inspected:#?}");
            assert!(inspected.stderr.contains("error[C0214]"), "{inspected:#?}");
            assert!(
                inspected.stdout.contains("no: it is refused"),
                "{inspected:#?}"
            );
        }
    }
}

#[test]
fn a_command_that_runs_as_a_user_may_be_that_users_own() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let checkd = Checkd::prepare("");
    let script = checkd.dir().join("theirs.sh");
    fs::write(&script, "#!/bin/sh\nexit 3\n").expect("written");
    mode(&script, 0o755);
    let passwd = fs::read_to_string("/etc/passwd").expect("there is one");
    let nobody = passwd.lines().find(|line| line.starts_with("nobody:"));
    let nobody = nobody.and_then(|line| line.split(':').nth(2)?.parse().ok());
    chown(&script, Some(nobody.expect("there is a nobody")), None).expect("we are root");
    for (user, refused) in [("", true), ("user = \"nobody\"\n", false)] {
        checkd.write_config(&format!(
            "[plugin.acme]\ncommand = [\"./theirs.sh\"]\n{user}\
             [group.web]\ncommand = [\"sleep\", \"1000\"]\n\
             [group.web.checks.a]\nkind = \"of_acme\"\n"
        ));
        let answer = checkd.ask(["validate", "checkd.toml"]);
        assert_eq!(!refusal(&answer.stderr).is_empty(), refused, "{answer:#?}");
    }
}

#[test]
fn a_pinned_library_may_be_anybodys_file_and_runs_only_as_it_was_pinned() {
    let checkd = Checkd::prepare("");
    let path = copied(checkd.dir().join("lib.so"));
    mode(&path, 0o777);
    checkd.write_config(&config(&path, ""));
    let inspected = checkd.ask(["plugin", "inspect", "lib.so"]);
    assert_eq!(inspected.code, Some(2), "{inspected:#?}");
    let summed = std::process::Command::new("sha256sum")
        .arg(&path)
        .output()
        .expect("sha256sum is there");
    let sum: String = String::from_utf8_lossy(&summed.stdout)
        .chars()
        .take(64)
        .collect();
    checkd.write_config(&config(&path, &format!("sha256 = \"{sum}\"")));
    let good = checkd.ask(["validate", "checkd.toml"]);
    assert_eq!(good.code, Some(0), "{good:#?}");
    let mut changed = fs::read(&path).expect("it is ours");
    changed.push(0);
    fs::write(&path, changed).expect("it is everybody's");
    let refused = checkd.ask(["validate", "checkd.toml"]);
    assert_eq!(refused.code, Some(2), "{refused:#?}");
    assert!(refused.stderr.contains("error[C0210]"), "{refused:#?}");
    assert!(refused.stderr.contains(&sum), "{refused:#?}");
}
