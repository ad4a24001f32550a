//! Every code of the configuration, one mistake a folder: exactly what a person reads.
//!
//! A folder of `tests/errors` holds a `checkd.toml` and, in `stderr.txt`, what
//! `checkd validate checkd.toml` says about it. After a wanted change
//! `SNAPSHOTS=overwrite cargo test -p checkd-tests errors` writes the new texts; read their diff as
//! you read code.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use checkd_tests::{checkd_binary, root};
use snapbox::{Assert, Data};

/// Whether it is a folder in which mistakes of several codes stand together: it begins with none.
fn together(folder: &Path) -> bool {
    !name(folder).starts_with("C0")
}

fn folders() -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = fs::read_dir(root().join("tests/errors"))
        .expect("tests/errors can be read")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.is_dir())
        .collect();
    folders.sort();
    assert!(
        !folders.is_empty(),
        "no folder was found: this test looks wrongly"
    );
    folders
}

fn name(folder: &Path) -> &str {
    folder
        .file_name()
        .and_then(|name| name.to_str())
        .expect("a name")
}

/// A directory with the programs that the examples start: `validate` looks for them.
fn programs() -> &'static Path {
    static PROGRAMS: OnceLock<tempfile::TempDir> = OnceLock::new();
    let directory = PROGRAMS.get_or_init(|| {
        let directory = tempfile::tempdir().expect("a directory");
        for name in ["gunicorn", "python3", "true"] {
            let path = directory.path().join(name);
            fs::write(&path, "").expect("written");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("made executable");
        }
        directory
    });
    directory.path()
}

fn validate(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(checkd_binary())
        .args(["validate", "checkd.toml"])
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .env("PATH", programs())
        .output()
        .expect("checkd runs")
}

#[test]
fn every_mistake_is_told_in_these_words() {
    let snapshots = Assert::new().action_env("SNAPSHOTS");
    let mut wrong = Vec::new();
    for folder in folders() {
        let output = validate(&folder, &[]);
        let said = String::from_utf8(output.stderr).expect("UTF-8");
        let expected = Data::read_from(&folder.join("stderr.txt"), None).raw();
        if let Err(difference) =
            snapshots.try_eq(Some(&name(&folder)), said.as_str().into(), expected)
        {
            wrong.push(difference.to_string());
        }
        // What is refused changes nothing and is exit 2; a lint alone is refused when asked for.
        let refused = said.contains("error[");
        assert_eq!(
            output.status.code(),
            Some(if refused { 2 } else { 0 }),
            "{}",
            name(&folder)
        );
        assert_eq!(refused, output.stdout.is_empty(), "{}", name(&folder));
        let strict = validate(&folder, &["--strict"]);
        assert_eq!(strict.status.code(), Some(2), "{} --strict", name(&folder));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_folder_is_about_its_code_alone() {
    for folder in folders() {
        let said = fs::read_to_string(folder.join("stderr.txt")).expect("a snapshot");
        let found = codes(&said);
        if together(&folder) {
            assert!(found.len() >= 2, "{said}");
        } else {
            let code = name(&folder).split('-').next().expect("a code");
            assert_eq!(
                found,
                BTreeSet::from([code.to_owned()]),
                "{}",
                name(&folder)
            );
        }
    }
}

#[test]
fn every_code_of_the_configuration_has_a_folder() {
    let documented = fs::read_to_string(root().join("docs/errors.md")).expect("docs/errors.md");
    let wanted: BTreeSet<&str> = documented
        .lines()
        .filter_map(|line| line.strip_prefix("### "))
        .filter(|code| code.starts_with("C01"))
        .collect();
    let folders = folders();
    let there: BTreeSet<&str> = folders
        .iter()
        .filter(|folder| !together(folder))
        .filter_map(|folder| name(folder).split('-').next())
        .collect();
    assert_eq!(wanted, there);
}

#[test]
fn as_json_each_mistake_has_its_line_and_column() {
    let folder = root().join("tests/errors/C0102-option-of-a-kind");
    let output = validate(&folder, &["--json"]);
    assert_eq!(output.status.code(), Some(2));
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(json["valid"], false);
    let told = &json["diagnostics"][0];
    assert_eq!(told["code"], "C0102");
    assert_eq!(told["help"], "did you mean `max_rss`?");
    let place = &told["places"][0];
    let text = fs::read_to_string(folder.join("checkd.toml")).expect("a file");
    let line = place["line"].as_u64().expect("a line");
    let at_fault = text
        .lines()
        .nth(usize::try_from(line).expect("small") - 1)
        .expect("is there");
    assert!(at_fault.starts_with("max_rs "), "{at_fault}");
    assert_eq!(
        (&place["source"], &place["column"]),
        (&"checkd.toml".into(), &1.into())
    );
}

/// `C0102` of `error[C0102]`.
fn codes(said: &str) -> BTreeSet<String> {
    said.lines()
        .filter_map(|line| {
            let rest = line
                .strip_prefix("error[")
                .or_else(|| line.strip_prefix("warning["))?;
            Some(rest.split(']').next()?.to_owned())
        })
        .collect()
}

#[test]
fn the_reference_is_the_readers_own_list() {
    let output = Command::new(checkd_binary())
        .args(["schema", "--markdown"])
        .output()
        .expect("checkd runs");
    let page = String::from_utf8(output.stdout).expect("UTF-8");
    // After a wanted change: `checkd schema --markdown > docs/configuration.md`.
    let expected = Data::read_from(&root().join("docs/configuration.md"), None).raw();
    Assert::new()
        .action_env("SNAPSHOTS")
        .eq(page.as_str(), expected);
    let (_, after) = page.split_once("```toml\n").expect("an example");
    let (example, _) = after.split_once("```").expect("its end");
    let folder = tempfile::tempdir().expect("a directory");
    fs::write(folder.path().join("checkd.toml"), example).expect("written");
    let judged = validate(folder.path(), &["--strict"]);
    assert!(
        judged.status.success(),
        "{}",
        String::from_utf8_lossy(&judged.stderr)
    );
}

#[test]
fn the_schema_knows_every_key_and_the_options_of_each_kind() {
    let output = Command::new(checkd_binary())
        .arg("schema")
        .output()
        .expect("checkd runs");
    let schema: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let group = &schema["properties"]["group"]["additionalProperties"];
    assert_eq!(group["properties"]["stop_timeout"]["type"], "string");
    assert_eq!(group["additionalProperties"], false);
    assert!(group["properties"]["template"].is_null(), "not yet");
    let checks = group["properties"]["checks"]["additionalProperties"]["anyOf"].as_array();
    let memory = checks
        .into_iter()
        .flatten()
        .find(|check| check["properties"]["kind"]["const"] == "memory")
        .expect("the kind `memory`");
    let to = memory["properties"]["max_rss"]["$ref"]
        .as_str()
        .expect("a reference");
    let option = schema
        .pointer(to.strip_prefix('#').expect("inside"))
        .expect("leads somewhere");
    assert!(option["description"].is_string());
    // Every reference leads somewhere.
    let mut open = vec![&schema];
    while let Some(value) = open.pop() {
        match value {
            serde_json::Value::Object(map) => {
                if let Some(to) = map.get("$ref").and_then(|to| to.as_str()) {
                    let found = to.strip_prefix('#').and_then(|path| schema.pointer(path));
                    assert!(found.is_some(), "{to} leads nowhere");
                }
                open.extend(map.values());
            }
            serde_json::Value::Array(items) => open.extend(items),
            serde_json::Value::Null
            | serde_json::Value::Bool(_)
            | serde_json::Value::Number(_)
            | serde_json::Value::String(_) => {}
        }
    }
}
