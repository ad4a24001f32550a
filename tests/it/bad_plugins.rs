//! Plugins that cannot be used: refused with a reason when a person asks, and at run time no reason to
//! leave members without supervision.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use checkd_tests::{Checkd, library};

/// One file that is no plugin for this host, and the words that must say why.
struct Bad {
    name: &'static str,
    make: fn(&Path),
    says: &'static [&'static str],
}

const BAD: &[Bad] = &[
    Bad {
        name: "text.so",
        make: text,
        says: &["not", "library"],
    },
    Bad {
        name: "empty.so",
        make: empty,
        says: &["empty"],
    },
    Bad {
        name: "cut.so",
        make: cut,
        says: &["cut off", "help: build the plugin again"],
    },
    Bad {
        name: "foreign.so",
        make: foreign,
        says: &["architecture"],
    },
    Bad {
        name: "plain.so",
        make: without_symbol,
        says: &["symbol"],
    },
    Bad {
        name: "breaks.so",
        make: breaks_when_loaded,
        says: &["sigabrt", "while the library was loaded"],
    },
];

fn text(path: &Path) {
    fs::write(path, "this is no library\n").expect("the file is written");
}

fn empty(path: &Path) {
    fs::write(path, "").expect("the file is written");
}

/// A download that ended early.
fn cut(path: &Path) {
    let whole = fs::read(hostile()).expect("the library is readable");
    fs::write(path, &whole[..whole.len() / 2]).expect("the file is written");
}

/// A library for another machine: the field `e_machine` of an ELF header, at byte 18.
fn foreign(path: &Path) {
    let mut whole = fs::read(hostile()).expect("the library is readable");
    whole[18..20].copy_from_slice(&243u16.to_le_bytes()); // RISC-V
    fs::write(path, whole).expect("the file is written");
}

fn without_symbol(path: &Path) {
    compile("int answer(void) { return 42; }\n", path);
}

fn breaks_when_loaded(path: &Path) {
    let code = "#include <stdlib.h>\n__attribute__((constructor)) void begin(void) { abort(); }\n";
    compile(code, path);
}

fn compile(code: &str, path: &Path) {
    let source = path.with_extension("c");
    fs::write(&source, code).expect("the file is written");
    let compiled = Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .arg(path)
        .arg(&source)
        .status();
    assert!(
        compiled.is_ok_and(|status| status.success()),
        "cc does not compile a C library"
    );
}

fn hostile() -> PathBuf {
    library("tests/fixtures/hostile-plugins", "hostile_plugins")
}

fn config(path: &Path) -> String {
    format!(
        r#"
[plugin.bad]
path = "{}"

[defaults]
interval = "500ms"
timeout = "250ms"

[group.web]
command = [$SERVER]
processes = 1
ports = {{ base = $BASE }}

[group.web.checks.ping]
kind = "http"
url = "http://127.0.0.1:{{port}}/ping"

[group.web.checks.bad]
kind = "hostile_panic"

[group.web.health]
live = "ping and bad"
startup = "ping"

[group.web.policy]
confirm_up = "1s"
settle = "0s"
"#,
        path.display()
    )
}

#[test]
fn a_person_who_asks_is_told_why_and_nothing_runs() {
    for bad in BAD {
        let checkd = Checkd::prepare("");
        let path = checkd.dir().join(bad.name);
        (bad.make)(&path);
        checkd.write_config(&config(&path));
        for verb in [
            &["plugin", "inspect", bad.name][..],
            &["validate", "checkd.toml"],
        ] {
            let answer = checkd.ask(verb);
            let said = answer.stderr.to_lowercase();
            assert_eq!(
                answer.code,
                Some(2),
                "{verb:?} of {}: {answer:#?}",
                bad.name
            );
            assert!(
                said.contains("error[c02"),
                "{verb:?} of {} gives no code: {said}",
                bad.name
            );
            assert!(
                said.contains(bad.name),
                "{verb:?} does not name {}: {said}",
                bad.name
            );
            for word in bad.says {
                assert!(
                    said.contains(word),
                    "{verb:?} of {} lacks `{word}`: {said}",
                    bad.name
                );
            }
            assert!(
                !said.contains("panicked"),
                "{verb:?} of {}: {said}",
                bad.name
            );
        }
    }
}

#[test]
fn members_are_supervised_although_a_plugin_cannot_be_loaded() {
    let mut checkd = Checkd::prepare("");
    let path = checkd.dir().join("text.so");
    text(&path);
    checkd.write_config(&config(&path));
    checkd.run();
    let leaf = checkd.wait_check("web/web-0", "bad", "unknown");
    assert_eq!(leaf["cause"], "plugin_unavailable", "{leaf:#}");
    let message = leaf["message"].as_str().expect("a sample has a message");
    for word in ["text.so` cannot be used: it is", "tried again every 10s"] {
        assert!(message.contains(word), "`{message}` lacks `{word}`");
    }
    let explained = checkd.ask(["explain", "web/web-0"]).stdout;
    let command = format!("checkd plugin inspect {}", path.display());
    assert!(explained.contains(&command), "{explained}");
    checkd.wait_health("web/web-0", "healthy");
    assert!(
        checkd.talk().contains("text.so"),
        "it was not announced:\n{}",
        checkd.talk()
    );
}
