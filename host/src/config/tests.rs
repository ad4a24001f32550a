//! Layers with their places, in files of a temporary directory.

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;

use checkd_core::config::{Document, Value};

use super::load_with;
use crate::cli::Layers;

struct Case {
    directory: tempfile::TempDir,
    set: Vec<String>,
    environment: Vec<(String, OsString)>,
}

impl Case {
    fn new(files: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        for (name, text) in files {
            let path = directory.path().join(name);
            fs::create_dir_all(path.parent().expect("has one")).expect("made");
            fs::write(path, text).expect("written");
        }
        Self {
            directory,
            set: Vec::new(),
            environment: Vec::new(),
        }
    }
    fn set(mut self, text: &str) -> Self {
        self.set.push(text.to_owned());
        self
    }
    fn variable(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.into()));
        self
    }
    fn load(self) -> super::Loaded {
        let file: PathBuf = self.directory.path().join("checkd.toml");
        let layers = Layers {
            file: Some(file),
            set: self.set,
        };
        load_with(&layers, self.environment.into_iter())
    }
}

fn shown(document: &Document, path: &[&str]) -> String {
    let (last, tables) = path.split_last().expect("a path");
    let mut table = &document.root;
    for name in tables {
        table = table.table(name).expect("a table");
    }
    let node = table.get(last).expect("a value");
    let value = match &node.value {
        Value::Text(text) => text.clone(),
        Value::Integer(number) => number.to_string(),
        Value::Float(_) | Value::Bool(_) | Value::List(_) | Value::Table(_) => "?".to_owned(),
    };
    let source = &document.sources[node.place.source as usize];
    let name = source.name.rsplit('/').next().expect("a name");
    let text = source
        .text
        .get(node.place.start as usize..node.place.end as usize);
    format!("{value} from {name} `{}`", text.expect("inside"))
}

#[test]
fn later_layers_win_and_every_value_knows_its_place() {
    let loaded = Case::new(&[
        (
            "checkd.toml",
            "[daemon]\ninclude = [\"conf.d/*.toml\"]\n[group.web.policy]\nfall = 3\nrise = 3\nsettle = \"1s\"\nconfirm_up = \"1s\"\n",
        ),
        ("conf.d/20-b.toml", "group.web.policy.rise = 5\n"),
        ("conf.d/10-a.toml", "[group.web.policy]\nfall = 4\nrise = 4\n"),
        ("conf.d/ignored.txt", "not = toml = at all"),
    ])
    .variable("CHECKD__GROUP__WEB__POLICY__SETTLE", "2s")
    .variable("CHECKD__GROUP__WEB__POLICY__CONFIRM_UP", "2s")
    .variable("CHECKD__GROUP__WEB__ENVIRONMENT__MODE", "\"x\"")
    .variable("CHECKD_CONFIG", "not a setting")
    .set("group.web.policy.confirm_up=3s")
    .load();
    assert_eq!(loaded.diagnostics, []);
    for (path, expected) in [
        (
            &["group", "web", "policy", "fall"][..],
            "4 from 10-a.toml `4`",
        ),
        (&["group", "web", "policy", "rise"], "5 from 20-b.toml `5`"),
        (
            &["group", "web", "policy", "settle"],
            "2s from environment `2s`",
        ),
        (
            &["group", "web", "policy", "confirm_up"],
            "3s from --set `3s`",
        ),
        (
            &["group", "web", "environment", "MODE"],
            "x from environment `\"x\"`",
        ),
    ] {
        assert_eq!(shown(&loaded.document, path), expected);
    }
}

#[test]
fn keys_that_look_like_paths_stay_keys() {
    let loaded = Case::new(&[(
        "checkd.toml",
        "\"a.b[0]\" = 1\n\"[\" = 2\n[x.\"y.z\"]\nq = 3\n",
    )])
    .set("group.web.mode=observe")
    .load();
    assert_eq!(loaded.diagnostics, []);
    let names: Vec<&str> = loaded
        .document
        .root
        .entries
        .iter()
        .map(|(name, _, _)| name.as_str())
        .collect();
    assert_eq!(names, ["a.b[0]", "[", "x", "group"]);
    assert_eq!(
        shown(&loaded.document, &["x", "y.z", "q"]),
        "3 from checkd.toml `3`"
    );
}

#[test]
fn mistakes_of_several_files_are_told_together() {
    let loaded = Case::new(&[
        (
            "checkd.toml",
            "[daemon]\ninclude = [\"conf.d/*.toml\", \"gone.toml\"]\n",
        ),
        ("conf.d/a.toml", "[group.web\nfall = 4\n"),
        ("conf.d/b.toml", "x = 2020-01-01\ny = nan\n"),
    ])
    .set("nonsense")
    .set("gruop.web.mode=observe")
    .set("group.web.command=[\"a\"")
    .load();
    let told: Vec<(&str, String)> = loaded
        .diagnostics
        .iter()
        .map(|d| {
            let (place, _) = d
                .primary
                .as_ref()
                .map_or((None, ""), |(p, w)| (Some(p), w.as_str()));
            let text = place.map_or("", |p| {
                let text = &loaded.document.sources[p.source as usize].text;
                text.get(p.start as usize..p.end as usize).expect("inside")
            });
            (d.code, text.to_owned())
        })
        .collect();
    let told: Vec<(&str, &str)> = told.iter().map(|(c, t)| (*c, t.as_str())).collect();
    assert_eq!(
        told,
        [
            ("C0101", ""),
            ("C0105", "2020-01-01"),
            ("C0105", "nan"),
            ("C0114", "\"gone.toml\""),
            ("C0114", "nonsense"),
            ("C0114", "gruop.web.mode"),
            ("C0101", ""),
        ]
    );
}
