//! The layout of the tables against `layouts/`, which holds one file for each minor version: what was
//! published once stays, and what is new stands after it.

use std::any::type_name;
use std::fmt::Write as _;
use std::mem::{align_of, offset_of, size_of};
use std::path::PathBuf;

use crate::{Host, Plugin, VERSION};

/// A table as lines: its name and alignment, and for each field its place, its name and its type.
macro_rules! lines {
    ($table:ident { $($field:ident),* $(,)? }) => {{
        fn of<T>(_: fn(&$table) -> &T) -> &'static str {
            type_name::<T>()
        }
        let mut text = format!("{} aligned to {}\n", stringify!($table), align_of::<$table>());
        $(
            let (at, name) = (offset_of!($table, $field), stringify!($field));
            writeln!(text, "  {at:3} {name}: {}", of(|table| &table.$field)).unwrap();
        )*
        (text, size_of::<$table>())
    }};
}

/// Every table, and after each the size of it.
fn tables() -> [(String, usize); 2] {
    [
        lines!(Plugin {
            version,
            describe,
            configure,
            submit,
            cancel,
            release,
            shutdown
        }),
        lines!(Host { version, sink }),
    ]
}

fn shown(tables: &[(String, usize)]) -> String {
    let each = tables
        .iter()
        .map(|(lines, size)| format!("{lines}  {size:3} end\n"));
    each.collect::<Vec<_>>().join("\n")
}

fn file(minor: &str) -> PathBuf {
    let name = format!("{minor}.txt");
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("layouts")
        .join(name)
}

/// `1.0` of `1.0.3`.
fn minor() -> &'static str {
    VERSION.rsplit_once('.').unwrap().0
}

/// What to do about a table that is not laid out as published; nothing when it is.
fn judged(published: &str, now: &str) -> Result<(), String> {
    if published == now {
        return Ok(());
    }
    let fields = |text: &str| -> Vec<String> {
        let kept = text.lines().filter(|line| !line.ends_with(" end"));
        kept.map(str::to_owned).collect()
    };
    let old: Vec<Vec<String>> = published.split("\n\n").map(fields).collect();
    let new: Vec<Vec<String>> = now.split("\n\n").map(fields).collect();
    let grown = old.len() == new.len()
        && old
            .iter()
            .zip(&new)
            .all(|(old, new)| new.get(..old.len()) == Some(&**old));
    let advice = if grown {
        "Only new fields came, after all others: that is a new minor version. Raise `version` in \
         plugin-api/abi/Cargo.toml to the next minor version (and the one that Cargo.toml of the \
         workspace asks for), add the fields to the list in this file, and write the new layout \
         with\n\n    LAYOUT=write cargo test -p checkd-abi layout\n\nThe layouts of earlier versions \
         stay as they are."
    } else {
        "A field of a published version was changed, moved or removed, or one was added that the list \
         in this file lacks. If it was changed: every plugin that is out there would break. Take it \
         back, and add a new field after all others instead. If that cannot be: it is a new major \
         version of checkd-abi, with a host that serves both."
    };
    Err(format!(
        "the tables are not laid out as published.\n\n{advice}\n\npublished:\n{published}\nnow:\n{now}"
    ))
}

#[test]
fn the_layout_is_that_of_its_version() {
    let now = shown(&tables());
    let file = file(minor());
    if std::env::var_os("LAYOUT").is_some_and(|word| word == "write") {
        assert!(
            !file.exists(),
            "{} is published; raise the minor version first",
            file.display()
        );
        std::fs::write(&file, &now).unwrap();
    }
    let published = std::fs::read_to_string(&file).unwrap_or_default();
    if let Err(told) = judged(&published, &now) {
        panic!("{told}");
    }
}

/// Each version of this major one that was ever published still holds.
#[test]
fn what_was_published_once_has_kept_its_place() {
    let now = shown(&tables());
    let major = VERSION.split_once('.').unwrap().0;
    let mut found = 0;
    for entry in std::fs::read_dir(file("x").parent().unwrap()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if !name.starts_with(&format!("{major}.")) {
            continue;
        }
        found += 1;
        let published = std::fs::read_to_string(&path).unwrap();
        for (old, new) in published.split("\n\n").zip(now.split("\n\n")) {
            let old: Vec<_> = old.lines().filter(|line| !line.ends_with(" end")).collect();
            let new: Vec<_> = new.lines().take(old.len()).collect();
            assert_eq!(old, new, "{name}");
        }
    }
    assert!(found > 0, "no layout was found: this test looks wrongly");
}

#[test]
fn a_changed_layout_is_told_with_what_to_do() {
    let published = "Plugin aligned to 8\n    0 version: Text\n    8 end\n\nHost aligned to 8\n    0 sink: fn()\n    8 end\n";
    assert_eq!(judged(published, published), Ok(()));
    let grown = published.replace("    8 end\n\n", "    8 pause: fn(u64)\n   16 end\n\n");
    let told = judged(published, &grown).unwrap_err();
    assert!(told.contains("a new minor version"), "{told}");
    assert!(told.contains("LAYOUT=write"), "{told}");
    for broken in [
        published.replace("version: Text", "version: Other"),
        published.replace("    0 version", "    8 version"),
        published.replace("    8 end\n\n", "   16 end\n\n"),
        published.replace("    0 version: Text\n", ""),
    ] {
        let told = judged(published, &broken).unwrap_err();
        let size_alone = broken.contains("   16 end");
        assert_eq!(told.contains("a new major version"), !size_alone, "{told}");
    }
}
