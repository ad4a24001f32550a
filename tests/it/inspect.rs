//! `checkd plugin inspect`: what it says of a good plugin of each door, what of a bad one is refused
//! and why, and that nothing of it runs in the caller's process.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use checkd_tests::{Answer, Checkd, library, root};
use serde_json::Value;

/// A plugin in C whose kinds are named by `KIND` and `OTHER`; when it is loaded it writes down who
/// loaded it.
const WITNESS: &str = r#"
#include <stdio.h>
#include <unistd.h>
#include "checkd_plugin.h"

__attribute__((constructor)) static void loaded(void)
{
    FILE *file = fopen(WITNESS, "a");
    if (file != NULL) {
        fprintf(file, "%ld\n", (long)getpid());
        fclose(file);
    }
}

static int one;
static void *configure(void *user, const checkd_host *host, const checkd_options *options,
                       checkd_problems *problems)
{
    (void)user;
    (void)host;
    (void)options;
    (void)problems;
    return &one;
}
static void run(void *instance, const checkd_run *run)
{
    (void)instance;
    checkd_answer(run, CHECKD_PASS, CHECKD_CAUSE_NONE, "well", NULL, 0);
}
static void destroy(void *instance) { (void)instance; }

static const checkd_option options[] = {
    { CHECKD_TEXT("wait"), CHECKD_TEXT("How long."), CHECKD_FORM_SPAN, 0, CHECKD_TEXT("30s") },
    { CHECKD_TEXT("room"), CHECKD_TEXT("How much."), CHECKD_FORM_SIZE, 1, CHECKD_TEXT("") },
};
static const checkd_kind kinds[] = {
    { CHECKD_TEXT(KIND), CHECKD_TEXT("is one"), CHECKD_TEXT("room = '1MiB'\n"), options, 2,
      sizeof(options[0]), CHECKD_SCOPE_HOST, 0, NULL, configure, run, destroy },
    { CHECKD_TEXT(OTHER), CHECKD_TEXT("is another"), CHECKD_TEXT(""), NULL, 0, sizeof(options[0]),
      CHECKD_SCOPE_DEPENDENCY, 0, NULL, configure, run, destroy },
};
static const checkd_plugin plugin = {
    sizeof(plugin), 1, 0, CHECKD_TEXT("witness"), CHECKD_TEXT("3.1"), kinds, 2, sizeof(kinds[0]),
};
const checkd_plugin *checkd_plugin_entry_v1(const checkd_host *host)
{
    (void)host;
    return &plugin;
}
"#;

/// `libwitness.so` beside the configuration.
fn witness(checkd: &Checkd, kind: &str, other: &str) -> PathBuf {
    let source = checkd.dir().join("witness.c");
    fs::write(&source, WITNESS).expect("written");
    let library = checkd.dir().join("libwitness.so");
    let wrote = checkd.dir().join("loaded-by");
    let built = Command::new("cc")
        .args(["-std=c99", "-shared", "-fPIC"])
        .arg(format!("-DWITNESS=\"{}\"", wrote.display()))
        .args([format!("-DKIND=\"{kind}\""), format!("-DOTHER=\"{other}\"")])
        .arg("-I")
        .arg(root().join("plugin-api/include"))
        .arg("-o")
        .args([&library, &source])
        .status();
    assert!(built.is_ok_and(|status| status.success()));
    fs::set_permissions(&library, fs::Permissions::from_mode(0o644)).expect("ours");
    library
}

fn inspect(checkd: &Checkd, arguments: &[&str]) -> Answer {
    checkd.ask(["plugin", "inspect"].iter().chain(arguments))
}

fn as_json(checkd: &Checkd, arguments: &[&str], code: i32) -> Value {
    let answer = checkd.ask(["plugin", "inspect", "--json"].iter().chain(arguments));
    assert_eq!(answer.code, Some(code), "{answer:#?}");
    serde_json::from_str(&answer.stdout).unwrap_or_else(|error| panic!("{error}: {answer:#?}"))
}

fn sha256(file: &Path) -> String {
    let summed = Command::new("sha256sum").arg(file).output();
    let summed = summed.expect("sha256sum runs").stdout;
    String::from_utf8_lossy(&summed).chars().take(64).collect()
}

#[test]
fn a_good_library_is_told_whole_and_loaded_by_another_process() {
    let checkd = Checkd::prepare("");
    let library = witness(&checkd, "one", "another");
    let sha256 = sha256(&library);
    let asked = checkd
        .verb(["plugin", "inspect", "libwitness.so"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("checkd runs");
    let caller = asked.id();
    let output = asked.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stdout);
    let loaded = fs::read_to_string(checkd.dir().join("loaded-by")).expect("it was loaded");
    assert!(!loaded.is_empty() && !loaded.lines().any(|pid| pid == caller.to_string()));
    let real = library.canonicalize().expect("it is there");
    let expected = format!(
        "plugin       witness 3.1\n\
         library      libwitness.so\n\
         door         C; built with checkd_plugin.h 1.0\n\
         host serves  checkd_plugin.h 1.x\n\
         file         {}\n\
         \x20            {} bytes, user {}, group {}, mode 0644\n\
         SHA-256      {sha256}\n\
         changed by   nobody but root and who runs checkd\n\
         used         yes: 2 kinds\n\
         \n\
         one: is one\n\
         scope host: one run for all of a group, about this machine; blocking: a run\n\
         occupies a thread\n\
         \n\
         OPTION  TYPE  DEFAULT   MEANING\n\
         room    size  required  How much.\n\
         wait    span  \"30s\"     How long.\n\
         \n\
         written: span \"30s\", size \"512MiB\"\n\
         \n\
         example:\n\
         \x20 [group.NAME.checks.one]\n\
         \x20 kind = \"one\"\n\
         \x20 room = '1MiB'\n\
         \n\
         another: is another\n\
         scope dependency: one run for all of a group, about what it needs; blocking: a\n\
         run occupies a thread\n\
         \n\
         no options\n",
        real.display(),
        fs::metadata(&library).expect("it is there").len(),
        named(rustix::process::geteuid().as_raw()),
        named(rustix::process::getegid().as_raw()),
    );
    assert_eq!(said, expected);
}

fn named(number: u32) -> String {
    if number == 0 {
        "root".to_owned()
    } else {
        number.to_string()
    }
}

#[test]
fn each_door_says_what_it_was_built_with() {
    let checkd = Checkd::prepare("");
    witness(&checkd, "one", "another");
    let spool = library("docs/examples/spool-check", "spool_check");
    let answer = checkd.ask(["plugin", "new", "acme", "--python"]);
    assert_eq!(answer.code, Some(0), "{answer:#?}");
    for (plugin, door, built_with, served, package) in [
        (
            &["libwitness.so"][..],
            "c",
            "checkd_plugin.h 1.0",
            "checkd_plugin.h 1.x",
            "witness 3.1",
        ),
        (
            &[&*spool.to_string_lossy()],
            "rust",
            "checkd-abi 1.0.0, checkd-plugin-api 1.",
            "checkd-abi 1.x",
            "spool-check 0.1.0",
        ),
        (
            &["acme/checks.py"],
            "command",
            "checkd for Python 1.",
            "worker protocol 1",
            "acme 0.1.0",
        ),
        (
            &["--", "python3", "-u", "acme/checks.py"],
            "command",
            "checkd for Python 1.",
            "worker protocol 1",
            "acme 0.1.0",
        ),
    ] {
        let told = as_json(&checkd, plugin, 0);
        assert_eq!(told["door"], door, "{told:#}");
        assert_eq!(told["served"], served, "{told:#}");
        assert_eq!(told["package"], package, "{told:#}");
        assert_eq!(told["usable"], true, "{told:#}");
        let said = told["built_with"].as_str().unwrap_or_default();
        assert!(said.starts_with(built_with), "{told:#}");
        let file = &told["files"][0];
        let path = file["path"].as_str().expect("a path");
        assert_eq!(file["sha256"], *sha256(Path::new(path)), "{told:#}");
        assert_eq!(told["kinds"].as_array().map(Vec::is_empty), Some(false));
    }
}

#[test]
fn what_others_can_change_is_told_and_not_loaded() {
    let checkd = Checkd::prepare("");
    let library = witness(&checkd, "one", "another");
    fs::set_permissions(&library, fs::Permissions::from_mode(0o666)).expect("ours");
    let answer = inspect(&checkd, &["libwitness.so"]);
    assert_eq!(answer.code, Some(2), "{answer:#?}");
    for words in [
        "mode 0666",
        "can be changed by everybody: its mode is 0666",
        &sha256(&library),
        "used no: it is refused",
    ] {
        assert!(answer.unwrapped().contains(words), "{words}: {answer:#?}");
    }
    assert!(answer.stderr.starts_with("error[C0214]"), "{answer:#?}");
    assert!(!checkd.dir().join("loaded-by").exists(), "it was loaded");
    let told = as_json(&checkd, &["libwitness.so"], 2);
    assert_eq!(told["usable"], false, "{told:#}");
    assert_eq!(told["diagnostics"][0]["code"], "C0214", "{told:#}");
    assert_eq!(told["door"], Value::Null, "{told:#}");
    assert_eq!(
        told["files"][0]["changeable"].as_array().map(Vec::len),
        Some(1)
    );

    let answer = checkd.ask(["plugin", "new", "acme", "--python"]);
    assert_eq!(answer.code, Some(0), "{answer:#?}");
    let script = checkd.dir().join("acme/checks.py");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o777)).expect("ours");
    for command in [
        &["acme/checks.py"][..],
        &["--", "python3", "acme/checks.py"],
    ] {
        let answer = inspect(&checkd, command);
        assert_eq!(answer.code, Some(2), "{answer:#?}");
        for words in ["changed by `", "its mode is 0777", "used no: it is refused"] {
            assert!(answer.unwrapped().contains(words), "{words}: {answer:#?}");
        }
        assert!(answer.stderr.starts_with("error[C0214]"), "{answer:#?}");
    }
}

#[test]
fn what_is_no_plugin_is_refused_with_what_is_known_of_it() {
    let checkd = Checkd::prepare("");
    fs::write(checkd.dir().join("text.so"), "I am a text").expect("written");
    fs::create_dir(checkd.dir().join("plugins")).expect("made");
    let later = library("tests/fixtures/abi-2.0.0", "abi_plugin_2_0_0");
    fs::copy(later, checkd.dir().join("later.so")).expect("copied");
    for (plugin, code, why, bytes) in [
        ("text.so", "C0202", "not a shared library", true),
        ("plugins", "C0201", "it is a directory", false),
        ("./nowhere", "C0201", "there is no such file", false),
        ("nowhere", "C0201", "there is no such file", false),
        ("later.so", "C0203", "built with checkd-abi 2.0.0", true),
    ] {
        let answer = inspect(&checkd, &[plugin]);
        assert_eq!(answer.code, Some(2), "{answer:#?}");
        assert!(answer.stderr.contains(code), "{answer:#?}");
        assert!(answer.stderr.contains(why), "{answer:#?}");
        assert_eq!(answer.stdout.contains(" bytes, "), bytes, "{answer:#?}");
        let told = as_json(&checkd, &[plugin], 2);
        assert_eq!(told["usable"], false, "{told:#}");
        assert_eq!(told["diagnostics"][0]["code"], code, "{told:#}");
    }
}

#[test]
fn a_kind_that_is_taken_or_malformed_is_refused_alone() {
    let checkd = Checkd::prepare("");
    witness(&checkd, "one", "http");
    let answer = inspect(&checkd, &["libwitness.so"]);
    assert_eq!(answer.code, Some(2), "{answer:#?}");
    assert!(answer.stderr.contains("error[C0205]"), "{answer:#?}");
    assert!(answer.stderr.contains("built in ("), "{answer:#?}");
    let said = answer.unwrapped();
    assert!(said.contains("used in part: 1 kind; refused: 1"), "{said}");
    assert!(
        said.contains("not used: checkd itself offers this kind"),
        "{said}"
    );
    let told = as_json(&checkd, &["libwitness.so"], 2);
    let clashes = |at: usize| told["kinds"][at]["clashes"].as_bool();
    assert_eq!(
        (clashes(0), clashes(1)),
        (Some(false), Some(true)),
        "{told:#}"
    );

    witness(&checkd, "one", "Not A Kind");
    let answer = inspect(&checkd, &["libwitness.so"]);
    assert_eq!(answer.code, Some(2), "{answer:#?}");
    assert!(answer.stderr.contains("error[C0206]"), "{answer:#?}");
    assert!(answer.stdout.contains("one: is one"), "{answer:#?}");

    witness(&checkd, "tcp", "http");
    let answer = inspect(&checkd, &["libwitness.so"]);
    assert!(
        answer
            .stdout
            .contains("used         no: all that it offers is refused"),
        "{answer:#?}"
    );
}

#[test]
fn a_plugin_of_the_configuration_is_found_by_its_name() {
    let checkd = Checkd::prepare("");
    let library = witness(&checkd, "one", "another");
    let sha256 = sha256(&library);
    fs::set_permissions(&library, fs::Permissions::from_mode(0o666)).expect("ours");
    fs::create_dir(checkd.dir().join("more")).expect("made");
    fs::copy(&library, checkd.dir().join("more/libfound.so")).expect("copied");
    let config = format!(
        "plugins = [\"more\"]\n[plugin.acme]\npath = \"libwitness.so\"\nsha256 = \"{sha256}\"\n\
         isolation = \"in-process\"\n"
    );
    checkd.write_config(&config);
    let elsewhere = checkd.dir().join("elsewhere");
    fs::create_dir(&elsewhere).expect("made");
    let output = checkd
        .verb(["plugin", "inspect", "acme"])
        .current_dir(&elsewhere)
        .output()
        .expect("checkd runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:#?}");
    let pinned = format!("pinned to    {sha256}\n");
    for words in ["plugin       witness 3.1\n", "its mode is 0666", &*pinned] {
        let said = said.replace("\n             ", " ");
        assert!(said.contains(words), "{words}: {said}");
    }
    let found = as_json(&checkd, &["found"], 2);
    assert_eq!(found["name"], "found", "{found:#}");

    let confined =
        "limits = { memory = \"2GiB\", open_files = 64 }\nallow = [\"network\", \"read:/srv\"]\n";
    let of_process = config.replace("isolation = \"in-process\"\n", confined);
    checkd.write_config(&of_process.replace("\"read:/srv\"", "\"read:/usr\""));
    let answer = inspect(&checkd, &["acme"]);
    for words in [
        "limits       { open_files = 64, memory = \"2GiB\" }\n",
        "allow        [\"network\", \"read:/usr\"]\n",
    ] {
        assert!(answer.stdout.contains(words), "{words}: {answer:#?}");
    }
    let told = as_json(&checkd, &["acme"], answer.code.unwrap_or_default());
    assert_eq!(told["allow"][1], "read:/usr", "{told:#}");
    assert_eq!(told["user"], Value::Null, "{told:#}");
    checkd.write_config(&config);

    let answer = inspect(&checkd, &["acmee"]);
    assert_eq!(answer.code, Some(2), "{answer:#?}");
    for words in ["names: acme, found", "help: did you mean `acme`?"] {
        assert!(answer.stderr.contains(words), "{words}: {answer:#?}");
    }

    checkd.write_config("plugins = [");
    let answer = inspect(&checkd, &["acme"]);
    assert!(
        answer.stderr.contains("`checkd validate` says why"),
        "{answer:#?}"
    );

    checkd.write_config(&config.replace(&sha256, "00"));
    let answer = inspect(&checkd, &["acme"]);
    assert_eq!(answer.code, Some(2), "{answer:#?}");
    assert!(answer.stderr.contains("has a mistake"), "{answer:#?}");

    // The right library at another pin.
    let other = config.replace(&sha256, &"0".repeat(64));
    checkd.write_config(&other);
    let answer = inspect(&checkd, &["acme"]);
    assert_eq!(answer.code, Some(2), "{answer:#?}");
    assert!(answer.stderr.contains("error[C0210]"), "{answer:#?}");
    assert!(answer.stdout.contains(&sha256), "{answer:#?}");
}
