//! Plugins that are commands: a program that speaks the worker protocol, in a real daemon.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use checkd_tests::{Checkd, root};

/// `$COMMAND` stands for the plugin's.
const CONFIG: &str = r#"
[plugin.acme]
command = $COMMAND

[defaults]
interval = "500ms"
timeout = "250ms"

[group.web]
command = ["sleep", "infinity"]
processes = 1

[group.web.checks.backlog]
kind = "acme_backlog"
directory = "$DIR/orders-{index}"
fail_above = 1

[group.web.health]
live = "backlog"

[group.web.policy]
fall = 1000
"#;

/// The worker of the documents, in the directory of the configuration.
fn place_worker(checkd: &Checkd) {
    let worker = root().join("docs/examples/plain-worker/backlog.py");
    fs::copy(worker, checkd.dir().join("checks.py")).expect("it is copied");
    fs::create_dir(checkd.dir().join("orders-0")).expect("a directory");
}

fn edit_worker(checkd: &Checkd, old: &str, new: &str) {
    let path = checkd.dir().join("checks.py");
    let text = fs::read_to_string(&path).expect("it is readable");
    assert!(text.contains(old));
    fs::write(path, text.replace(old, new)).expect("it is written");
}

#[test]
fn a_command_is_started_where_the_configuration_is_and_its_checks_count() {
    // A relative script, a script of its own right, and one that writes to its standard output.
    for command in [
        r#"["python3", "checks.py"]"#,
        r#"["./checks.py"]"#,
        r#"["sh", "-c", "exec ./stdout.py >&0"]"#,
    ] {
        let mut checkd = Checkd::prepare(&CONFIG.replace("$COMMAND", command));
        place_worker(&checkd);
        let written = fs::read_to_string(checkd.dir().join("checks.py")).expect("it is readable");
        let stdout = checkd.dir().join("stdout.py");
        fs::write(&stdout, written.replace("os.write(0,", "os.write(1,")).expect("written");
        fs::set_permissions(&stdout, fs::Permissions::from_mode(0o755)).expect("it is ours");
        // From another directory too: every verb means the same command.
        for (directory, file) in [
            (checkd.dir(), "checkd.toml".into()),
            (Path::new("/"), { checkd.dir().join("checkd.toml") }),
        ] {
            let validate = checkd
                .verb(["validate".as_ref(), file.as_os_str()])
                .current_dir(directory)
                .output()
                .expect("checkd runs");
            let told = String::from_utf8_lossy(&validate.stderr).into_owned();
            assert!(validate.status.success(), "{command}: {told}");
        }
        checkd.run();
        checkd.wait_check("web/web-0", "backlog", "pass");
        for order in ["a", "b"] {
            fs::write(checkd.dir().join("orders-0").join(order), "").expect("written");
        }
        checkd.wait_check("web/web-0", "backlog", "fail");
        let told = checkd.ask(["explain", "web/web-0"]).stdout;
        assert!(told.contains("2 orders wait, 1 allowed"), "{told}");
    }
}

#[test]
fn reload_notices_a_changed_script_by_its_content() {
    let mut checkd = Checkd::prepare(&CONFIG.replace("$COMMAND", r#"["python3", "checks.py"]"#));
    place_worker(&checkd);
    checkd.run();
    checkd.wait_check("web/web-0", "backlog", "pass");
    edit_worker(&checkd, "orders wait", "parcels wait");
    let answer = checkd.ask(["reload"]);
    assert_eq!(answer.code, Some(0), "{answer:?}");
    assert!(
        answer.stdout.contains("plugin `acme` rebuilt"),
        "{answer:?}"
    );
    checkd.wait("web/web-0", "is judged by the new script", |member| {
        let message = member["checks"][0]["message"].as_str()?;
        message.contains("parcels wait").then_some(())
    });

    // One that is broken now changes nothing, and the old one goes on.
    edit_worker(&checkd, "import json", "import jason");
    let answer = checkd.ask(["reload"]);
    assert_eq!(answer.code, Some(2), "{answer:?}");
    for word in [
        "error[C0207]: cannot use plugin `acme`",
        "jason",
        "`python3 checks.py`",
    ] {
        assert!(answer.stderr.contains(word), "{word}: {answer:?}");
    }
    fs::write(checkd.dir().join("orders-0/a"), "").expect("written");
    checkd.wait("web/web-0", "is judged by the script of before", |member| {
        let message = member["checks"][0]["message"].as_str()?;
        message.contains("1 parcels wait").then_some(())
    });

    // Put right again it is what runs: the content counts, not the time of the file.
    edit_worker(&checkd, "import jason", "import json");
    let answer = checkd.ask(["reload"]);
    assert!(
        answer.stdout.contains("nothing in it differs"),
        "{answer:?}"
    );
}

#[test]
fn a_command_that_cannot_be_used_says_why_with_its_name() {
    let checkd = Checkd::prepare("");
    place_worker(&checkd);
    let stdout = checkd.dir().join("stdout.py");
    fs::copy(checkd.dir().join("checks.py"), &stdout).expect("it is copied");
    let printing = fs::read_to_string(&stdout)
        .expect("it is readable")
        .replace("os.write(0,", "os.write(1,");
    fs::write(&stdout, printing).expect("it is written");
    for (command, words) in [
        (
            r#"["acme-nowhere"]"#,
            &["C0209", "there is no program `acme-nowhere` in PATH"][..],
        ),
        (
            r#"["./nowhere"]"#,
            &["C0209", "there is no program `./nowhere`"],
        ),
        (r#"["true"]"#, &["C0207", "exited with code 0"]),
        (
            r#"["python3", "stdout.py"]"#,
            &["C0207", "answers are written to descriptor 0"],
        ),
        (
            r#"["python3", "nowhere.py"]"#,
            &["C0207", "exited with code 2", "can't open file"],
        ),
    ] {
        checkd.write_config(&CONFIG.replace("$COMMAND", command));
        let answer = checkd.ask(["validate", "checkd.toml"]);
        assert_eq!(answer.code, Some(2), "{command}: {answer:?}");
        assert!(
            answer.stderr.contains("cannot use plugin `acme`"),
            "{answer:?}"
        );
        assert!(answer.stderr.contains("its command is `"), "{answer:?}");
        for word in words {
            assert!(
                answer.stderr.contains(word),
                "{word} of {command}: {}",
                answer.stderr
            );
        }
    }
}

#[test]
fn a_program_is_looked_at_by_its_file() {
    let checkd = Checkd::prepare("");
    place_worker(&checkd);
    for file in ["checks.py", "./checks.py"] {
        let inspected = checkd.ask(["plugin", "inspect", file]);
        assert_eq!(inspected.code, Some(0), "{inspected:?}");
        assert!(inspected.stdout.contains("acme_backlog"), "{inspected:?}");
        let kinds = checkd.ask(["kinds", "acme_backlog", "--plugin", file]);
        assert!(
            kinds.stdout.contains("Most orders that may wait."),
            "{kinds:?}"
        );
        let once = checkd.ask([
            "check",
            "acme_backlog",
            "--plugin",
            file,
            "--set",
            "directory=orders-0",
            "--set",
            "fail_above=1",
        ]);
        assert_eq!(
            (once.code, once.stdout.contains("0 orders wait")),
            (Some(0), true),
            "{once:?}"
        );
    }
}

#[test]
fn what_cannot_be_printed_is_said_and_is_no_success() {
    let full = || std::fs::File::create("/dev/full").expect("it is always there");
    for words in [&["kinds"][..], &["kinds", "--json"], &["schema"]] {
        let done = std::process::Command::new(checkd_tests::checkd_binary())
            .args(words)
            .stdout(full())
            .output()
            .expect("checkd runs");
        let told = String::from_utf8_lossy(&done.stderr);
        assert_eq!(done.status.code(), Some(1), "{words:?}: {told}");
        assert_eq!(told.matches("no space left on device").count(), 1, "{told}");
    }
}
