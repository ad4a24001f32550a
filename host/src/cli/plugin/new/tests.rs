//! Names that are refused, and that the guide shows what is written.

use super::*;

#[test]
fn a_name_is_one_that_every_tool_takes() {
    let judged = |typed: &str| name(OsStr::new(typed));
    for good in ["acme", "acme-queue", "acme_queue2", "a"] {
        assert_eq!(judged(good).ok().as_deref(), Some(good));
    }
    let long = "a".repeat(NAME_MAX + 1);
    for (bad, why) in [
        ("", "lower-case letters"),
        ("-", "lower-case letters"),
        ("Acme", "lower-case letters"),
        ("1acme", "lower-case letters"),
        ("../acme", "lower-case letters"),
        ("acme/queue", "lower-case letters"),
        ("acme-", "lower-case letters"),
        ("acmé", "lower-case letters"),
        ("ac me", "lower-case letters"),
        (&*long, "lower-case letters"),
        ("http", "check kind `http` of its own"),
        ("fn", "for themselves"),
        ("proc-macro", "for themselves"),
        ("checkd", "for themselves"),
    ] {
        let told = judged(bad).unwrap_err();
        assert_eq!(told.code, "C0215");
        assert!(told.notes.concat().contains(why), "{bad}: {told:?}");
    }
}

#[test]
fn the_guides_show_what_is_written() {
    let guides = [
        (
            &template::RUST,
            include_str!("../../../../../docs/plugin-guide.md"),
            &["src/lib.rs", "src/tests.rs"][..],
        ),
        (
            &template::PYTHON,
            include_str!("../../../../../docs/plugin-guide-python.md"),
            &["checks.py", "test_checks.py"],
        ),
        (
            &template::C,
            include_str!("../../../../../docs/plugin-guide-c.md"),
            &["check.c", "test.sh"],
        ),
    ];
    let project = template::Project {
        name: "spool",
        sdk: None,
    };
    for (template, guide, shown) in guides {
        for path in shown {
            let file = template.files.iter().find(|file| file.path == *path);
            let text = project.fill(file.unwrap());
            let (_, block) = guide.split_once(&format!("title=\"{path}\"\n")).unwrap();
            let (block, _) = block.split_once("\n```").unwrap();
            assert_eq!(
                format!("{block}\n"),
                text,
                "{path} of {}",
                template.language
            );
        }
    }
}

#[test]
fn nothing_of_a_template_is_left_open() {
    for template in [&template::RUST, &template::PYTHON, &template::C] {
        for sdk in [None, Some(Path::new("/a \"path\""))] {
            let name = "acme-queue";
            let project = template::Project { name, sdk };
            for file in template.files {
                let text = project.fill(file);
                for open in ["@NAME@", "@KIND@", "@TYPE@", "@SDK"] {
                    assert!(!text.contains(open), "{text}");
                }
                assert!(text.is_empty() || text.ends_with('\n'), "{}", file.path);
                if file.path == "Cargo.toml" {
                    let read: toml::Table = text.parse().unwrap();
                    assert_eq!(read["package"]["name"].as_str(), Some(name));
                }
            }
        }
    }
}
