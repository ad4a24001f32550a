//! Real files: which of them is a program, and what counts as a change.

use std::fs;

use super::*;

#[test]
fn a_file_is_a_program_or_a_library() {
    let dir = tempfile::tempdir().unwrap();
    let script = dir.path().join("checks.py");
    fs::write(&script, "#!/usr/bin/env python3\n").unwrap();
    let script_so = dir.path().join("libchecks.so");
    fs::write(&script_so, "#!/bin/sh\n").unwrap();
    let text = dir.path().join("text");
    fs::write(&text, "none of both").unwrap();
    let this = std::env::current_exe().unwrap();
    let sh = Path::new("/bin/sh");
    for (file, program, name) in [
        (&*script, true, "checks"),
        (&script_so, false, "checks"),
        (&text, false, "text"),
        (&dir.path().join("nowhere"), false, "nowhere"),
        (&this, true, ""),
        (sh, true, "sh"),
    ] {
        let plugin = named(file);
        let is = matches!(plugin.source, PluginSource::Command { .. });
        assert_eq!(is, program, "{}", file.display());
        assert!(plugin.name.starts_with(name), "{}", plugin.name);
    }
}

#[test]
fn one_word_is_a_file_or_a_program_in_path_and_several_are_a_command() {
    let meant = |words: &[&str]| {
        let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
        meant(&words).map(|plan| plan.source)
    };
    let command = |words: &[&str]| {
        Ok(PluginSource::Command {
            words: words.iter().map(|&word| word.to_owned()).collect(),
            directory: None,
        })
    };
    assert_eq!(meant(&["sh"]), command(&["sh"]));
    assert_eq!(meant(&["/bin/sh"]), command(&["/bin/sh"]));
    assert_eq!(meant(&["no", "--such"]), command(&["no", "--such"]));
    let library = PluginSource::Library("./nowhere.so".into());
    assert_eq!(meant(&["./nowhere.so"]), Ok(library));
    let told = meant(&["acme-nowhere"]).unwrap_err();
    assert_eq!(told.code, "C0201");
}

#[test]
fn a_changed_word_and_a_changed_file_are_seen() {
    let dir = tempfile::tempdir().unwrap();
    let directory = dir.path().to_string_lossy().into_owned();
    let words = |words: &[&str]| -> Vec<String> { words.iter().map(|&w| w.to_owned()).collect() };
    let of = |text: &[&str]| fingerprint(&words(text), Some(&directory));
    fs::write(dir.path().join("checks.py"), "one").unwrap();
    let before = of(&["python3", "checks.py"]);
    assert_eq!(of(&["python3", "checks.py"]), before);
    assert_ne!(of(&["python3", "checks.py", "-v"]), before);
    assert_ne!(of(&["python3 checks.py"]), before);
    fs::write(dir.path().join("checks.py"), "two").unwrap();
    assert_ne!(of(&["python3", "checks.py"]), before);
    fs::write(dir.path().join("checks.py"), "one").unwrap();
    assert_eq!(of(&["python3", "checks.py"]), before, "the content counts");
}
