//! What is offered, by whom, and what is left out with which words.

use super::*;

fn command(name: &str) -> PluginPlan {
    let worker = concat!(env!("CARGO_MANIFEST_DIR"), "/src/plugin/client/worker.py");
    PluginPlan {
        name: name.into(),
        source: PluginSource::Command {
            words: vec!["python3".into(), worker.into(), name.into()],
            directory: None,
        },
        sha256: None,
        isolation: Isolation::Process,
        confine: ConfinePlan::default(),
    }
}

fn kind(name: &str) -> CheckKind {
    CheckKind::new(name).unwrap()
}

fn judged(catalog: &Catalog, name: &str) -> Vec<String> {
    let problems = catalog.try_configure(&kind(name), &Map::new(), &Target::default());
    problems.iter().map(ToString::to_string).collect()
}

#[test]
fn a_program_offers_kinds_and_judges_their_options() {
    let (catalog, told) = Catalog::open(&[command("a")], &[]);
    let kinds: Vec<&str> = catalog.kinds().keys().map(CheckKind::as_str).collect();
    assert_eq!(
        kinds,
        [
            "dies_configuring",
            "http",
            "memory",
            "passes",
            "refuses",
            "tcp"
        ]
    );
    let told: Vec<String> = told
        .iter()
        .map(|told| format!("{}: {}", told.code, told.notes.join("; ")))
        .collect();
    assert_eq!(
        told,
        [
            "C0206: kind `claims` has an option `timeout`, which is a key of checkd itself; its other kinds are used",
            "C0206: kind `Bad Name` is not named `[a-z][a-z0-9_-]*`; its other kinds are used",
        ]
    );
    assert_eq!(judged(&catalog, "passes"), [""; 0]);
    assert_eq!(
        judged(&catalog, "refuses"),
        ["`limit`: must be at least 1, found 0"]
    );
    // A plugin that dies over options does not take the judgement of the next ones with it.
    let died = judged(&catalog, "dies_configuring");
    assert!(died.concat().contains("SIGSEGV"), "{died:?}");
    assert_eq!(judged(&catalog, "passes"), [""; 0]);
    assert_eq!(judged(&catalog, "memory").len(), 1);
}

#[test]
fn a_kind_of_two_plugins_is_nobodys_and_both_are_named() {
    let (catalog, told) = Catalog::open(&[command("a"), command("b")], &[]);
    assert!(!catalog.kinds().contains_key(&kind("passes")));
    assert!(catalog.kinds().contains_key(&kind("tcp")));
    let twice = told
        .iter()
        .find(|told| told.message.contains("`passes`"))
        .unwrap();
    assert_eq!(twice.code, "C0205");
    let notes = twice.notes.join("\n");
    assert!(
        notes.contains("worker.py a") && notes.contains("worker.py b"),
        "{notes}"
    );
}

#[test]
fn what_is_not_there_is_told_and_the_rest_is_used() {
    let missing = PluginPlan {
        source: PluginSource::Library("/nowhere/libx.so".into()),
        ..command("x")
    };
    let (catalog, told) = Catalog::open(&[missing], &["/nowhere/plugins".into()]);
    let codes: Vec<&str> = told.iter().map(|told| told.code).collect();
    assert_eq!(codes, ["C0201", "C0201"]);
    let names: Vec<&str> = catalog
        .unavailable()
        .iter()
        .map(|plugin| plugin.name.as_str())
        .collect();
    assert_eq!(names, ["x"]);
    assert!(catalog.is_incomplete());
    assert_eq!(catalog.kinds().len(), 3);
    // Tried again in vain it is still told, with the newest reason.
    catalog.try_again();
    let missing = catalog.missing();
    assert_eq!(missing, catalog.unavailable());
    assert_eq!(missing[0].file.as_deref(), Some("/nowhere/libx.so"));
    assert_eq!(missing[0].why, "there is no such file");
}

#[test]
fn a_directory_is_read_for_libraries_alone_and_in_order() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["b.so", "a.so", "readme.md"] {
        fs::write(dir.path().join(name), "").unwrap();
    }
    let path = dir.path().to_string_lossy().into_owned();
    // The same directory twice is no two plugins.
    let (catalog, told) = Catalog::open(&[], &[path.clone(), path]);
    let names: Vec<&str> = catalog
        .unavailable()
        .iter()
        .map(|plugin| plugin.name.as_str())
        .collect();
    assert_eq!(names, ["a", "b"]);
    assert!(told.iter().all(|told| told.code == "C0202"), "{told:?}");
}
