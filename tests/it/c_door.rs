//! Plugins in C and C++: the header and the examples compile without a warning, hold the contract, and
//! a table that does not fit is told from one of a later version.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use checkd_tests::{Answer, Checkd, checkd_binary, root};

const STRICT: [&str; 4] = ["-Wall", "-Wextra", "-pedantic", "-Werror"];

fn include() -> String {
    root()
        .join("plugin-api/include")
        .to_string_lossy()
        .into_owned()
}

/// Compiles to a shared library, with nothing but the header.
#[track_caller]
fn compile(compiler: &str, arguments: &[&str], source: &Path, library: &Path) {
    let output = Command::new(compiler)
        .args(arguments)
        .args(STRICT)
        .args(["-shared", "-fPIC", "-I", &include(), "-o"])
        .arg(library)
        .arg(source)
        .output()
        .unwrap_or_else(|error| panic!("{compiler} does not run: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && said.is_empty(),
        "{compiler} {arguments:?}: {said}"
    );
}

fn example(checkd: &Checkd, compiler: &str, standard: &str, source: &str) -> PathBuf {
    let library = checkd.dir().join("example.so");
    let source = root().join("docs/examples").join(source);
    compile(compiler, &[standard], &source, &library);
    library
}

fn verify(checkd: &Checkd, arguments: &[&str]) -> Answer {
    let patient = ["plugin", "verify", "--patience", "60s", "--timeout", "20s"];
    checkd.ask(patient.iter().chain(arguments))
}

#[test]
fn the_header_compiles_without_a_warning_as_c99_c11_and_cpp17() {
    for (compiler, standard, language) in [
        ("cc", "-std=c99", "c"),
        ("cc", "-std=c11", "c"),
        ("c++", "-std=c++17", "c++"),
    ] {
        let output = Command::new(compiler)
            .args([standard, "-fsyntax-only", "-x", language])
            .args(STRICT)
            .arg(root().join("plugin-api/include/checkd_plugin.h"))
            .output()
            .unwrap_or_else(|error| panic!("{compiler} does not run: {error}"));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success() && said.is_empty(),
            "{standard}: {said}"
        );
    }
}

#[test]
fn the_example_in_c_holds_the_contract_and_runs() {
    let checkd = Checkd::prepare("");
    for standard in ["-std=c99", "-std=c11"] {
        let library = example(&checkd, "cc", standard, "c-check/spool.c");
        let answer = verify(&checkd, &[&*library.to_string_lossy()]);
        assert_eq!(answer.code, Some(0), "{standard}: {answer:#?}");
        for words in [
            "c-check 0.1.0; built with checkd_plugin.h 1.0",
            "kind `c_spool`",
        ] {
            assert!(answer.stdout.contains(words), "{answer:#?}");
        }
    }
    let spool = checkd.dir().join("inbox");
    fs::create_dir(&spool).expect("a directory");
    let run = |max: &str| {
        let library = checkd.dir().join("example.so");
        let set = format!("directory={}", spool.display());
        let max = format!("max_depth={max}");
        let plugin = library.to_string_lossy();
        checkd.ask([
            "check", "c_spool", "--plugin", &*plugin, "--set", &*set, "--set", &*max,
        ])
    };
    fs::write(spool.join("a"), "").expect("written");
    let answer = run("1");
    assert_eq!(
        answer.stdout, "C_SPOOL OK: 1 waiting | depth=1;;1\n",
        "{answer:#?}"
    );
    fs::write(spool.join("b"), "").expect("written");
    let answer = run("1");
    assert_eq!(
        answer.stdout,
        "C_SPOOL CRITICAL: 2 waiting, over 1 | depth=2;;1\n"
    );
    let answer = run("0");
    assert!(
        answer.stderr.contains("`max_depth`: must be at least 1"),
        "{answer:#?}"
    );
    let answer = run("\"many\"");
    assert!(
        answer
            .stderr
            .contains("`max_depth`: must be a whole number"),
        "{answer:#?}"
    );
}

#[test]
fn the_example_in_cpp_holds_the_contract_also_before_silent_peers() {
    let checkd = Checkd::prepare("");
    let library = example(&checkd, "c++", "-std=c++17", "cpp-check/banner.cpp");
    let peer = r#"{"port":{port},"begins":"220 "}"#;
    let answer = verify(&checkd, &["--peer", peer, &*library.to_string_lossy()]);
    assert_eq!(answer.code, Some(0), "{answer:#?}");
    assert!(
        answer.stdout.contains("pass  a silent peer is a Fail"),
        "{answer:#?}"
    );
}

#[test]
fn a_project_begun_in_c_builds_everywhere_and_passes_its_own_tests() {
    let checkd = Checkd::prepare("");
    let answer = checkd.ask(["plugin", "new", "acme-queue", "--c"]);
    assert_eq!(answer.code, Some(0), "{answer:#?}");
    let project = checkd.dir().join("acme-queue");
    let library = project.join("libacme_queue.so");
    for standard in ["-std=c99", "-std=c11"] {
        let brought_along = format!("-I{}", project.display());
        let source = project.join("check.c");
        compile("cc", &[standard, &brought_along], &source, &library);
    }
    fs::remove_file(&library).expect("it was built");
    let bin = checkd_binary().parent().expect("it is in a directory");
    let path = std::env::var("PATH").unwrap_or_default();
    let output = Command::new("make")
        .args(["test", "CFLAGS=-Wall -Wextra -Werror"])
        .current_dir(&project)
        .env("PATH", format!("{}:{path}", bin.display()))
        .output()
        .unwrap_or_else(|error| panic!("make does not run: {error}"));
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:#?}");
    assert!(said.contains(", 0 failed, "), "{said}");
    assert!(said.contains("ok      2 waiting, over 1"), "{said}");
    let library = library.to_string_lossy();
    let answer = checkd.ask(["kinds", "acme_queue", "--plugin", &*library]);
    assert!(answer.stdout.contains("(acme-queue 0.1.0)"), "{answer:#?}");

    // Its own tests find a check that no longer does what they say.
    let source = project.join("check.c");
    let broken = fs::read_to_string(&source).expect("it was written");
    let broken = broken.replace("files > queue->max_depth", "files < queue->max_depth");
    fs::write(&source, broken).expect("written");
    let output = Command::new("make")
        .arg("test")
        .current_dir(&project)
        .env("PATH", format!("{}:{path}", bin.display()))
        .output()
        .unwrap_or_else(|error| panic!("make does not run: {error}"));
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success(), "{output:#?}");
    assert!(said.contains("FAILED  expected 2, 2 waiting"), "{said}");
}

/// A plugin whose tables are of another size or another version, or whose runs lie, as `HOW` says.
const ODD: &str = r#"
#include "checkd_plugin.h"

/* What a header 1.9 might have: fields after the last one. */
struct later_option { checkd_option known; void *more[3]; };
struct later_kind { checkd_kind known; void *more[5]; };
struct later_plugin { checkd_plugin known; void *more[7]; };
struct later_sample { checkd_sample known; void *more[2]; };

static int one;
static void *configure(void *user, const checkd_host *host, const checkd_options *options,
                       checkd_problems *problems)
{
    checkd_text word = checkd_text_of("");
    (void)user;
    (void)problems;
    if (HOW == 9)
        return NULL;
    return host->option_text(options, checkd_text_of("word"), &word) && word.length == 4 ? &one : NULL;
}
static void run(void *instance, const checkd_run *run)
{
    struct later_sample sample;
    (void)instance;
    memset(&sample, 0, sizeof(sample));
    sample.known.size = HOW == 4 ? 8 : sizeof(sample);
    sample.known.status = HOW == 5 ? 9 : CHECKD_PASS;
    sample.known.message = checkd_text_of("well");
    if (HOW == 6)
        return;
    run->sink(run->user, &sample.known);
    if (HOW == 7)
        run->sink(run->user, &sample.known);
}
static void destroy(void *instance) { (void)instance; }

static const struct later_option options[] = { { { CHECKD_TEXT("word"), CHECKD_TEXT("A word."),
    HOW == 8 ? 77 : CHECKD_FORM_TEXT, 0, CHECKD_TEXT("four") }, { 0, 0, 0 } } };
static const struct later_kind kinds[] = { { { CHECKD_TEXT("odd"), CHECKD_TEXT("is odd"),
    CHECKD_TEXT("word = 'five'"), &options[0].known, 1, sizeof(options[0]), CHECKD_SCOPE_HOST, 0, NULL,
    configure, HOW == 3 ? NULL : run, destroy }, { 0, 0, 0, 0, 0 } } };
static const struct later_plugin plugin = { { HOW == 1 ? 40 : sizeof(plugin), HOW == 2 ? 2 : 1, 9,
    CHECKD_TEXT("odd"), CHECKD_TEXT("1"), &kinds[0].known, 1, sizeof(kinds[0]) },
    { 0, 0, 0, 0, 0, 0, 0 } };

const checkd_plugin *checkd_plugin_entry_v1(const checkd_host *host)
{
    (void)host;
    return HOW == 10 ? NULL : &plugin.known;
}
"#;

fn odd(checkd: &Checkd, how: u32) -> String {
    let source = checkd.dir().join("odd.c");
    fs::write(&source, ODD).expect("written");
    let library = checkd.dir().join(format!("odd{how}.so"));
    compile(
        "cc",
        &["-std=c11", &format!("-DHOW={how}")],
        &source,
        &library,
    );
    library.to_string_lossy().into_owned()
}

#[test]
fn a_plugin_of_a_later_header_is_taken() {
    let checkd = Checkd::prepare("");
    let answer = verify(&checkd, &[&*odd(&checkd, 0)]);
    assert_eq!(answer.code, Some(0), "{answer:#?}");
    assert!(
        answer.stdout.contains("built with checkd_plugin.h 1.9"),
        "{answer:#?}"
    );
}

#[test]
fn a_table_that_does_not_fit_is_refused_in_few_lines() {
    let checkd = Checkd::prepare("");
    for (how, told) in [
        (
            1,
            "error[C0204]; its `checkd_plugin` has 40 bytes; 72 are needed",
        ),
        (
            2,
            "error[C0203]; plugin was built with checkd_plugin.h 2.9; this host serves 1.x",
        ),
        (3, "error[C0204]; kind `odd`: one of its functions is NULL"),
        (
            8,
            "error[C0204]; kind `odd`: option `word`: its form 77 is none of 1.x",
        ),
        (
            10,
            "error[C0204]; its `checkd_plugin_entry_v1` returned NULL",
        ),
    ] {
        let answer = checkd.ask(["plugin", "inspect", &*odd(&checkd, how)]);
        assert_eq!(answer.code, Some(2), "{how}: {answer:#?}");
        for words in told.split("; ") {
            assert!(
                answer.stderr.contains(words),
                "{how}: lacks `{words}`: {answer:#?}"
            );
        }
        assert!(answer.stderr.lines().count() <= 6, "{answer:#?}");
    }
}

#[test]
fn a_plugin_of_the_next_major_header_is_refused_with_both_numbers() {
    let checkd = Checkd::prepare("");
    let source = checkd.dir().join("next.c");
    let next = ODD.replace("checkd_plugin_entry_v1", "checkd_plugin_entry_v2");
    // The header of today declares only its own.
    let next = next.replace(
        "const checkd_plugin *checkd_plugin_entry_v2",
        "const checkd_plugin *checkd_plugin_entry_v2(const checkd_host *);\n\
         const checkd_plugin *checkd_plugin_entry_v2",
    );
    fs::write(&source, next).expect("written");
    let library = checkd.dir().join("next.so");
    compile("cc", &["-std=c11", "-DHOW=0"], &source, &library);
    let answer = checkd.ask(["plugin", "inspect", "next.so"]);
    assert_eq!(answer.code, Some(2), "{answer:#?}");
    assert_eq!(
        answer.stderr,
        "error[C0203]: cannot use plugin `next.so`\n   \
         = plugin was built with checkd_plugin.h 2.x\n   \
         = this host serves 1.x\n   \
         = nothing of it is used\n\
         help: rebuild the plugin with the `checkd_plugin.h` of checkd 1.x\n"
    );
}

#[test]
fn a_run_that_lies_is_unknown_and_says_how() {
    let checkd = Checkd::prepare("");
    for (how, code, told) in [
        (
            4,
            3,
            "ODD UNKNOWN: its `checkd_sample` has 8 bytes; 56 are needed",
        ),
        (5, 3, "ODD UNKNOWN: its sample has status 9, which is none"),
        (6, 3, "ODD UNKNOWN: the run returned without an answer"),
        (7, 0, "ODD OK: well"),
        (9, 3, "ODD UNKNOWN: check kind `odd` refuses its options"),
    ] {
        let library = odd(&checkd, how);
        let answer = checkd.ask(["check", "odd", "--plugin", &*library]);
        assert_eq!(answer.code, Some(code), "{how}: {answer:#?}");
        assert!(answer.stdout.starts_with(told), "{how}: {answer:#?}");
    }
    let answer = verify(&checkd, &[&*odd(&checkd, 6)]);
    assert_eq!(answer.code, Some(1), "{answer:#?}");
    assert!(
        answer
            .stdout
            .contains("FAIL  with valid options a run neither breaks nor overruns"),
        "{answer:#?}"
    );
}
