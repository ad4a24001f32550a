//! Plugins built with other versions of the abi crate, each in a workspace of its own on a copy of that
//! version: older and later ones of the same major version run, another major version is refused in
//! words that a person understands.

use std::path::Path;
use std::process::Command;

use checkd_tests::{Checkd, library, root};

fn verify(plugin: &Path, version: &str) {
    let checkd = Checkd::prepare("");
    let patient = ["plugin", "verify", "--patience", "60s", "--timeout", "20s"];
    let answer = checkd.ask(patient.iter().copied().chain([&*plugin.to_string_lossy()]));
    assert_eq!(answer.code, Some(0), "{answer:#?}");
    let built = format!("built with checkd-abi {version}");
    assert!(answer.stdout.contains(&built), "{answer:#?}");
    assert!(answer.stdout.contains("kind `abi_word`"), "{answer:#?}");
    let plugin = plugin.to_string_lossy();
    let said = checkd.ask(["check", "abi_word", "--plugin", &*plugin, "--set", "word=x"]);
    assert_eq!(said.stdout, "ABI_WORD OK: well\n", "{said:#?}");
}

#[test]
fn a_plugin_of_the_first_version_runs() {
    verify(
        &library("tests/fixtures/abi-1.0.0", "abi_plugin_1_0_0"),
        "1.0.0",
    );
}

#[test]
fn a_plugin_of_a_later_minor_version_runs() {
    verify(
        &library("tests/fixtures/abi-1.9.0", "abi_plugin_1_9_0"),
        "1.9.0",
    );
}

/// Its tables have fields that those of the old plugins lack, so `abi_stable` alone would refuse them.
#[test]
fn a_host_of_a_later_minor_version_takes_old_plugins_and_sees_what_they_lack() {
    let later = library("tests/fixtures/abi-1.9.0", "abi_plugin_1_9_0");
    let host = root().join("target/fixtures/debug/host-1-9-0");
    let ask = |plugin: &Path| {
        let output = Command::new(&host)
            .arg(plugin)
            .output()
            .expect("the host runs");
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stdout).into_owned(),
        )
    };
    for (plugin, version, has) in [
        (
            library("tests/fixtures/abi-1.0.0", "abi_plugin_1_0_0"),
            "1.0.0",
            "lacks",
        ),
        (
            library("docs/examples/spool-check", "spool_check"),
            "1.0.0",
            "lacks",
        ),
        (later, "1.9.0", "has"),
    ] {
        let (code, said) = ask(&plugin);
        let told = format!("plugin of {version}, {has} the later functions\n{{\"name\":");
        assert_eq!(code, Some(0), "{said}");
        assert!(said.starts_with(&told), "{said}");
    }
    let (code, said) = ask(&library("tests/fixtures/abi-2.0.0", "abi_plugin_2_0_0"));
    let told = "plugin was built with checkd-abi 2.0.0, this host speaks 1.9.0\n";
    assert_eq!((code, &*said), (Some(1), told));
}

#[test]
fn a_plugin_of_another_major_version_is_refused_in_a_few_lines() {
    let plugin = library("tests/fixtures/abi-2.0.0", "abi_plugin_2_0_0");
    let checkd = Checkd::prepare("");
    std::fs::copy(plugin, checkd.dir().join("libacme.so")).expect("the plugin is copied");
    for verb in ["inspect", "verify"] {
        let answer = checkd.ask(["plugin", verb, "libacme.so"]);
        assert_eq!(answer.code, Some(2), "{answer:#?}");
        assert_eq!(
            answer.stderr,
            "error[C0203]: cannot use plugin `libacme.so`\n\
             \x20  = plugin was built with checkd-abi 2.0.0\n\
             \x20  = this host speaks checkd-abi 1.0.0\n\
             \x20  = nothing of it is used\n\
             help: rebuild the plugin with `checkd-plugin-api = \"1\"`\n"
        );
        assert!(answer.stderr.lines().count() <= 6);
    }
}
