//! The exact shape of a message, without colour.

use checkd_core::config::Source;
use checkd_core::diagnostic::{Diagnostic, Place};

use super::{count, one, plain};

fn place(text: &str, part: &str) -> Place {
    let start = text.find(part).expect("is there");
    Place {
        source: 0,
        start: u32::try_from(start).expect("short"),
        end: u32::try_from(start + part.len()).expect("short"),
    }
}

fn check(diagnostic: &Diagnostic, text: &str, expected: &str) {
    let sources = [Source {
        name: "checkd.toml".to_owned(),
        text: text.to_owned(),
    }];
    let rendered = one(diagnostic, &sources, false);
    assert_eq!(rendered, expected.trim_start_matches('\n'), "\n{rendered}");
}

#[test]
fn an_unknown_option() {
    let text = "\n\n[group.web]\nmax_rs = \"512MiB\"\nother = 1\n";
    let told = Diagnostic::error("C0102", "check kind `memory` has no option `max_rs`")
        .at(place(text, "max_rs"), "in check `rss` of group `web`")
        .note("options: cumulative, max_rss")
        .help("did you mean `max_rss`?");
    check(
        &told,
        text,
        r#"
error[C0102]: check kind `memory` has no option `max_rs`
 --> checkd.toml:4:1
  |
4 | max_rs = "512MiB"
  | ^^^^^^ in check `rss` of group `web`
  = options: cumulative, max_rss
help: did you mean `max_rss`?
"#,
    );
}

#[test]
fn what_may_be_a_secret_is_masked_also_beside_another_mistake() {
    let text = "check = { bearer = \"tigér 'x\", urll = \"a\" }\nlist = [\n  \"lion\" ]\n";
    let sources = [Source {
        name: "checkd.toml".to_owned(),
        text: text.to_owned(),
    }];
    let secret = Diagnostic::error("C0121", "`bearer` is a secret and is not written here")
        .at(place(text, "\"tigér 'x\""), "in check `a`")
        .hide();
    let list = Diagnostic::error("C0121", "`list` is a secret and is not written here")
        .at(place(text, "[\n  \"lion\" ]"), "in check `a`")
        .hide();
    let other = Diagnostic::error("C0102", "there is no `urll`").at(place(text, "urll"), "");
    let page = plain(&[other, secret, list], &sources);
    for word in ["tig", "lion"] {
        assert!(!page.contains(word), "{page}");
    }
    let line = "1 | check = { bearer = \"*********\", urll = \"a\" }\n";
    assert_eq!(page.matches(line).count(), 2, "{page}");
    assert!(
        page.contains("  |                    ^^^^^^^^^^^ in check `a`\n"),
        "{page}"
    );
}

#[test]
fn two_values_that_contradict_each_other() {
    let text = "[x]\ninterval = \"5s\"\ntimeout = \"15s\"\n";
    let told = Diagnostic::error(
        "C0117",
        "check `ping` of group `web` may outlive its own interval",
    )
    .at(place(text, "timeout"), "must not be longer than `interval`")
    .also(place(text, "interval"), "")
    .help("set `timeout = \"4s\"`, or raise `interval` above 15s");
    check(
        &told,
        text,
        r#"
error[C0117]: check `ping` of group `web` may outlive its own interval
 --> checkd.toml:3:1
  |
2 | interval = "5s"
3 | timeout = "15s"
  | ^^^^^^^ must not be longer than `interval`
help: set `timeout = "4s"`, or raise `interval` above 15s
"#,
    );
}

#[test]
fn a_message_without_a_place() {
    let told = Diagnostic::error("C0203", "cannot use plugin `/opt/checkd/libcheck_disk.so`")
        .note("plugin was built with checkd-abi 2.0")
        .note("this host speaks checkd-abi 1.x")
        .help("rebuild the plugin");
    check(
        &told,
        "",
        r"
error[C0203]: cannot use plugin `/opt/checkd/libcheck_disk.so`
   = plugin was built with checkd-abi 2.0
   = this host speaks checkd-abi 1.x
help: rebuild the plugin
",
    );
}

#[test]
fn hostile_places_and_texts_do_not_panic() {
    let sources = [Source {
        name: "x".to_owned(),
        text: "äöü\n\u{1b}[31m".to_owned(),
    }];
    for start in 0..12 {
        for end in 0..14 {
            for source in 0..2 {
                let told =
                    Diagnostic::error("C0000", "x\u{1b}[2J").at(Place { source, start, end }, "y");
                assert!(!one(&told, &sources, false).contains('\u{1b}'));
            }
        }
    }
}

#[test]
fn the_last_line_counts() {
    let error = Diagnostic::error("C0000", "");
    let warning = Diagnostic::warning("C0000", "");
    assert_eq!(count(&[]), "");
    assert_eq!(count(std::slice::from_ref(&error)), "1 error\n");
    assert_eq!(
        count(&[error.clone(), warning.clone(), error]),
        "2 errors, 1 warning\n"
    );
    assert_eq!(count(std::slice::from_ref(&warning)), "1 warning\n");
}

#[test]
fn of_very_many_mistakes_only_some_are_shown_and_errors_first() {
    let many = |n: usize, told: &Diagnostic| vec![told.clone(); n];
    let lint = Diagnostic::warning("C0120", "a lint");
    let error = Diagnostic::error("C0102", "a mistake");
    for (lints, errors, shown, end) in [
        (200, 0, (200, 0), "a lint\n\n200 warnings\n"),
        (150, 100, (100, 100), "100 errors, 150 warnings\n"),
        (5, 80_000, (0, 200), "80000 errors, 5 warnings\n"),
    ] {
        let told = [many(lints, &lint), many(errors, &error)].concat();
        let text = super::all(&told, &[], false);
        let found = |word: &str| text.matches(word).count();
        assert_eq!((found("a lint"), found("a mistake")), shown);
        assert!(text.ends_with(end), "{:?}", text.lines().last());
        let more = lints + errors - 200;
        let said = format!("\n\nand {more} more; ");
        assert_eq!(text.contains(&said), more > 0, "{said}");
    }
}
