//! Every mistake about a plugin that shows on loading it: where it stands, whose it is, what checkd does
//! now, and what to do.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use checkd_tests::{Checkd, library};

/// One plugin that cannot be used, and what is told of it.
struct Case {
    plugin: &'static str,
    code: &'static str,
    /// The part of the configuration that is underlined.
    at: &'static str,
    why: &'static str,
    now: &'static str,
    help: &'static str,
}

const UNUSED: &str = "nothing of it is used";

const CASES: &[Case] = &[
    Case {
        plugin: "path = \"nowhere.so\"",
        code: "C0201",
        at: "\"nowhere.so\"",
        why: "there is no such file",
        now: UNUSED,
        help: "give the path of the library",
    },
    Case {
        plugin: "path = \"text.so\"",
        code: "C0202",
        at: "\"text.so\"",
        why: "it is some other kind of file",
        now: UNUSED,
        help: "name the `.so`",
    },
    Case {
        plugin: "path = \"lib.so\"\nsha256 = \"0000000000000000000000000000000000000000000000000000000000000000\"",
        code: "C0210",
        at: "\"0000000000000000000000000000000000000000000000000000000000000000\"",
        why: "its SHA-256 is",
        now: "it was not loaded",
        help: "if the new file is yours",
    },
    Case {
        plugin: "path = \"open.so\"",
        code: "C0214",
        at: "\"open.so\"",
        why: "can be changed by everybody: its mode is 0666",
        now: "it was not loaded",
        help: "take the right away",
    },
    Case {
        plugin: "path = \"lib.so\"\nuser = \"no-such-user\"",
        code: "C0217",
        at: "\"no-such-user\"",
        why: "user `no-such-user`",
        now: "it was not started",
        help: "user",
    },
    Case {
        plugin: "path = \"lib.so\"\nallow = [\"read:nowhere\"]",
        code: "C0217",
        at: "[\"read:nowhere\"]",
        why: "there is no `/nowhere`",
        now: UNUSED,
        help: "make it, or take it out of `allow`",
    },
    Case {
        plugin: "path = \"lib.so\"\nlimits = { open_files = \"unlimited\" }",
        code: "C0217",
        at: "{ open_files = \"unlimited\" }",
        why: "limit `open_files` cannot be unlimited",
        now: "it was not started",
        help: "lower the limit",
    },
    Case {
        plugin: "path = \"lib.so\"\nlimits = { memory = \"1MiB\" }",
        code: "C0207",
        at: "\"lib.so\"",
        why: "its worker has `limits = { memory = \"1MiB\" }`",
        now: UNUSED,
        help: "raise its limits: too low ones are the likely cause",
    },
    Case {
        plugin: "command = [\"no-such-program\"]",
        code: "C0209",
        at: "[\"no-such-program\"]",
        why: "there is no program `no-such-program` in PATH",
        now: UNUSED,
        help: "install it",
    },
    Case {
        plugin: "command = [\"sh\", \"-c\", \"exit 3\"]",
        code: "C0207",
        at: "[\"sh\", \"-c\", \"exit 3\"]",
        why: "its worker exited with code 3",
        now: UNUSED,
        help: "start its command by hand",
    },
    Case {
        plugin: "command = [\"./script\"]\nallow = []",
        code: "C0207",
        at: "[\"./script\"]",
        why: "its worker is confined to `allow = []`",
        now: UNUSED,
        help: "its program is a script",
    },
];

#[test]
fn each_is_told_at_its_place_with_its_plugin_and_what_to_do() {
    let checkd = Checkd::prepare("");
    let dir = checkd.dir().canonicalize().expect("it is there");
    let built = library("tests/fixtures/hostile-plugins", "hostile_plugins");
    for (name, mode) in [("lib.so", 0o755), ("open.so", 0o666)] {
        fs::copy(&built, dir.join(name)).expect("copied");
        fs::set_permissions(dir.join(name), fs::Permissions::from_mode(mode)).expect("ours");
    }
    fs::write(dir.join("text.so"), "I am a text").expect("written");
    fs::write(dir.join("script"), "#!/bin/sh\nsleep 0\n").expect("written");
    fs::set_permissions(dir.join("script"), fs::Permissions::from_mode(0o755)).expect("ours");
    for case in CASES {
        let text = format!(
            "[plugin.acme]\n{}\n[group.web]\ncommand = [\"sleep\", \"1000\"]\n",
            case.plugin
        );
        checkd.write_config(&text);
        let text = fs::read_to_string(dir.join("checkd.toml")).expect("written");
        let answer = checkd.ask(["validate", "checkd.toml"]);
        assert_eq!(answer.code, Some(2), "{answer:#?}");
        let said = answer.stderr.replace(&*dir.to_string_lossy(), "");
        let lines: Vec<&str> = said.lines().take_while(|line| !line.is_empty()).collect();
        let what = format!("{}:\n{said}", case.plugin);
        let [first, arrow, .., last] = lines.as_slice() else {
            panic!("{what}");
        };
        assert!(
            first.starts_with(&format!("error[{}]: ", case.code)),
            "{what}"
        );
        let before = text.split(case.at).next().unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let column = before.lines().last().map_or(0, str::len) + 1;
        let place = format!("--> checkd.toml:{line}:{column}");
        assert_eq!(arrow.trim(), place, "{what}");
        let marked = lines.iter().any(|line| {
            let marks = "^".repeat(case.at.len());
            line.ends_with(&format!(" {marks} in `[plugin.acme]`"))
        });
        assert!(marked, "{what}");
        assert!(said.contains(case.why), "{what}");
        let mut notes = lines
            .iter()
            .filter_map(|line| line.trim().strip_prefix("= "));
        assert!(
            notes
                .next_back()
                .is_some_and(|note| note.ends_with(case.now)),
            "{what}"
        );
        let help = last.strip_prefix("help: ");
        assert!(help.is_some_and(|help| help.contains(case.help)), "{what}");
        // Where there is no line to be shown, whose it is stands all the same.
        let listed = checkd.ask(["plugin", "list", "checkd.toml"]);
        assert!(
            listed.stderr.contains("= in `[plugin.acme]`"),
            "{listed:#?}"
        );
    }
}

/// Refuses options with advice, and breaks on those of another kind.
const PICKY: &str = r#"
import json, os
def tell(**message):
    os.write(0, json.dumps(message).encode() + b"\n")
for line in open(0, "rb", closefd=False):
    ask = json.loads(line)
    if ask["type"] == "hello":
        tell(type="hello", version=1)
    elif ask["type"] == "describe":
        number = {"type": "object", "properties": {"least": {"type": "integer"}}}
        tell(type="described", kinds=[{"kind": "picky", "options": number}, {"kind": "frail"}])
    elif ask["type"] == "configure":
        if ask["kind"] == "frail":
            os._exit(3)
        tell(type="configured", instance=ask["instance"], problems=[
            {"option": "least", "message": "must be at least 2, found 1", "help": "write `least = 2`"},
            {"message": "says nothing of its peer", "help": "add `port`"},
        ])
"#;

#[test]
fn what_a_kind_says_of_its_options_is_told_with_its_advice() {
    let checkd = Checkd::prepare(
        "[plugin.acme]\ncommand = [\"python3\", \"picky.py\"]\n\
         [group.web]\ncommand = [\"sleep\", \"1000\"]\n\
         [group.web.checks.a]\nkind = \"picky\"\nleast = 1\n\
         [group.web.checks.b]\nkind = \"frail\"\n",
    );
    fs::write(checkd.dir().join("picky.py"), PICKY).expect("written");
    let answer = checkd.ask(["validate", "checkd.toml"]);
    assert_eq!(answer.code, Some(2), "{answer:#?}");
    for words in [
        "error[C0103]: `least` must be at least 2, found 1\n",
        "help: write `least = 2`\n",
        "error[C0103]: check kind `picky` refuses its options\n",
        "= says nothing of its peer\nhelp: add `port`\n",
        "error[C0103]: check kind `frail` refuses its options\n",
        "= plugin `acme` cannot judge them: its worker exited with code 3\nhelp: ",
    ] {
        assert!(answer.stderr.contains(words), "{words}: {}", answer.stderr);
    }
    let longest = answer.stderr.lines().map(|line| line.chars().count()).max();
    assert!(longest <= Some(80), "{}", answer.stderr);
}
