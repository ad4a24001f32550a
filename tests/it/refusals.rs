//! What is wrong in the text is refused as a whole, with its place, and nothing is started or changed.

use checkd_tests::Checkd;

const CONFIG: &str = r#"
[defaults]
interval = "1s"
timeout = "500ms"

[group.web]
command = [$SERVER]
processes = 4
ports = { base = $BASE }

[group.web.checks.ping]
kind = "http"
url = "http://127.0.0.1:{port}/ping"

[group.web.checks.rss]
kind = "memory"
max_rss = "512MiB"

[group.web.health]
live = "ping and rss"
ready_members = 2

[group.web.policy]
fall = 3
"#;

/// One mistake: what is replaced by what, what must be underlined, and what must be said beside it.
struct Mistake {
    of: &'static str,
    right: &'static str,
    wrong: &'static str,
    underlined: &'static str,
    says: &'static [&'static str],
}

const MISTAKES: &[Mistake] = &[
    Mistake {
        of: "an unknown option of a kind",
        right: "max_rss = ",
        wrong: "max_rs = ",
        underlined: "max_rs",
        says: &["did you mean `max_rss`?"],
    },
    Mistake {
        of: "an unknown key of the host",
        right: "fall = 3",
        wrong: "fal = 3",
        underlined: "fal",
        says: &["did you mean `fall`?"],
    },
    Mistake {
        of: "an unknown table",
        right: "[group.web.policy]",
        wrong: "[group.web.polici]",
        underlined: "polici",
        says: &["did you mean `policy`?"],
    },
    Mistake {
        of: "an unknown kind",
        right: "kind = \"memory\"",
        wrong: "kind = \"memori\"",
        underlined: "\"memori\"",
        says: &["did you mean `memory`?"],
    },
    Mistake {
        of: "an unknown name in an expression",
        right: "\"ping and rss\"",
        wrong: "\"ping and rs\"",
        underlined: "rs",
        says: &["did you mean `rss`?"],
    },
    Mistake {
        of: "a broken expression",
        right: "\"ping and rss\"",
        wrong: "\"ping and (rss\"",
        underlined: "(",
        says: &[],
    },
    Mistake {
        of: "an impossible quorum in an expression",
        right: "\"ping and rss\"",
        wrong: "\"at_least(3, ping, rss)\"",
        underlined: "3",
        says: &["2"],
    },
    Mistake {
        of: "an impossible number of members",
        right: "ready_members = 2",
        wrong: "ready_members = 5",
        underlined: "5",
        says: &["4"],
    },
    Mistake {
        of: "a time without its unit",
        right: "timeout = \"500ms\"",
        wrong: "timeout = 500",
        underlined: "500",
        says: &["\"500s\""],
    },
    Mistake {
        of: "a time over its interval",
        right: "timeout = \"500ms\"",
        wrong: "timeout = \"15s\"",
        underlined: "timeout",
        says: &["interval"],
    },
    Mistake {
        of: "a size that is none",
        right: "\"512MiB\"",
        wrong: "\"512 bananas\"",
        underlined: "\"512 bananas\"",
        says: &["MiB"],
    },
    Mistake {
        of: "an unknown placeholder",
        right: "{port}/ping",
        wrong: "{prt}/ping",
        underlined: "{prt}",
        says: &["did you mean `{port}`?"],
    },
    Mistake {
        of: "broken TOML",
        right: "processes = 4",
        wrong: "processes = = 4",
        underlined: "=",
        says: &[],
    },
];

#[test]
fn each_mistake_is_underlined_and_refused() {
    for mistake in MISTAKES {
        let config = CONFIG.replacen(mistake.right, mistake.wrong, 1);
        assert_ne!(config, CONFIG, "{} changes nothing", mistake.of);
        let checkd = Checkd::prepare(&config);
        let text = std::fs::read_to_string(checkd.dir().join("checkd.toml")).expect("it is there");
        let line = 1 + text
            .lines()
            .position(|l| l.contains(mistake.wrong))
            .expect("the mistake");
        let answer = checkd.ask(["validate", "checkd.toml"]);
        let said = &answer.stderr;
        assert_eq!(answer.code, Some(2), "{}: {answer:?}", mistake.of);
        assert!(
            said.contains("error[C01"),
            "{} has no code:\n{said}",
            mistake.of
        );
        assert!(
            said.contains(&format!("checkd.toml:{line}:")),
            "{}, line {line}:\n{said}",
            mistake.of
        );
        let marks = "^".repeat(mistake.underlined.chars().count());
        let underlines: Vec<&str> = said.split(|c| c != '^').filter(|m| !m.is_empty()).collect();
        assert!(
            underlines.contains(&marks.as_str()),
            "{}: `{}` is not what is underlined:\n{said}",
            mistake.of,
            mistake.underlined
        );
        for word in mistake.says {
            assert!(
                said.contains(word),
                "{} lacks `{word}`:\n{said}",
                mistake.of
            );
        }
        assert!(
            answer.stdout.is_empty(),
            "{}: talk among the data: {}",
            mistake.of,
            answer.stdout
        );
    }
}

#[test]
fn all_mistakes_are_told_at_once_and_nothing_is_started() {
    let config = CONFIG
        .replacen("max_rss = ", "max_rs = ", 1)
        .replacen("\"ping and rss\"", "\"ping and rs\"", 1)
        .replacen("fall = 3", "fall = 0", 1);
    let checkd = Checkd::prepare(&config);
    for verb in ["validate", "run"] {
        let answer = checkd.ask([verb, "checkd.toml"]);
        assert_eq!(answer.code, Some(2), "{verb}: {answer:?}");
        let errors = answer.stderr.matches("error[C01").count();
        assert_eq!(
            errors, 3,
            "{verb} tells {errors} of 3 mistakes:\n{}",
            answer.stderr
        );
    }
    assert!(
        checkd.log("web-0").starts().is_empty(),
        "a member was started"
    );
    assert!(
        !checkd.state_dir().exists(),
        "a state directory was made for nothing"
    );
}
