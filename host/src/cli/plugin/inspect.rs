//! `checkd plugin inspect`: all that can be said about one plugin, looked at in a process of its own.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use checkd_core::diagnostic::{Diagnostic, nearest};
use checkd_core::plan::{PluginPlan, PluginSource, Scope, written};
use serde_json::{Value, json};

use crate::cli::paint::{Ink, Paper, print, print_json};
use crate::cli::{Layers, USAGE, kinds, tell};
use crate::plugin::inspect::{DoorKind, FileFacts, Inspected, inspect};
use crate::plugin::{Offer, catalog, program};

/// Arguments of `checkd plugin inspect`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// As JSON.
    #[arg(long)]
    json: bool,
    /// The configuration in which a NAME is looked for [default: the one that `checkd run` takes].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A library, a program or a whole command (after `--`, when it has options) that speaks the
    /// worker protocol, or the name of a plugin in the configuration.
    #[arg(value_name = "FILE|COMMAND|NAME", required = true, num_args = 1..)]
    plugin: Vec<String>,
}

/// Runs the verb: 0 when nothing of the plugin is refused, 2 otherwise.
pub(super) fn run(args: Args) -> ExitCode {
    let json = args.json;
    let plan = match plan(args) {
        Ok(plan) => plan,
        Err(told) => {
            if json {
                print_json(&json!({ "usable": false, "diagnostics": [diagnostic(&told)] }));
            }
            tell::tell(&told);
            return ExitCode::from(USAGE);
        }
    };
    let inspected = inspect(plan);
    if json {
        print_json(&as_json(&inspected));
    } else {
        print(&text(&inspected, Paper::of_stdout()));
    }
    for diagnostic in &inspected.diagnostics {
        tell::tell(diagnostic);
    }
    if inspected.is_whole() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(USAGE)
    }
}

/// What a person means: several words are a command, one is a file, or a name.
fn plan(args: Args) -> Result<PluginPlan, Diagnostic> {
    let [one] = args.plugin.as_slice() else {
        return program::meant(&args.plugin);
    };
    let names_none = program::is_file(one) || Path::new(one).extension().is_some();
    if names_none && args.config.is_none() {
        return program::meant(&args.plugin);
    }
    let loaded = crate::config::load(&Layers {
        file: args.config,
        set: Vec::new(),
    });
    let (plugins, directories, mistakes) = checkd_core::config::plugins(&loaded.document);
    let (plugins, directories) =
        crate::config::settled(loaded.file.as_deref(), plugins, directories);
    // What else is wrong with the configuration is for `validate` to tell.
    let plans = catalog::plans(&plugins, &directories, &mut Vec::new());
    let names: Vec<String> = plans.iter().map(|plan| plan.name.clone()).collect();
    if let Some(plan) = plans.into_iter().find(|plan| plan.name == *one) {
        // It would be looked at without what could not be read, such as its pin.
        if tell::all_warnings(&mistakes) {
            return Ok(plan);
        }
        let told = Diagnostic::error("C0201", format!("cannot use plugin `{one}`"));
        return Err(told
            .note("the configuration has a mistake in what it says of its plugins")
            .help("`checkd validate` says where"));
    }
    let told = match program::meant(&args.plugin) {
        Ok(plan) => return Ok(plan),
        Err(told) => told,
    };
    let told = match &loaded.file {
        None => told.note("no configuration was found that could name it"),
        Some(file) if !tell::all_warnings(&loaded.diagnostics) => told.note(format!(
            "`{}` cannot be used: `checkd validate` says why",
            file.display()
        )),
        Some(file) if names.is_empty() => {
            told.note(format!("`{}` names no plugin", file.display()))
        }
        Some(file) => told.note(format!("`{}` names: {}", file.display(), names.join(", "))),
    };
    Err(match nearest(one, names.iter().map(String::as_str)) {
        Some(near) => told.help(format!("did you mean `{near}`?")),
        None => told,
    })
}

/// All of it, for a person.
fn text(found: &Inspected, paper: Paper) -> String {
    let mut text = String::new();
    for (label, words) in rows(found) {
        paper.hang(&mut text, label, 13, &kinds::plain(&words), Ink::Plain);
    }
    for offer in &found.offers {
        text.push_str(&format!(
            "\n{}: {}\n",
            offer.facts.kind,
            kinds::plain(&offer.summary)
        ));
        paper.hang(&mut text, "", 0, &how(offer, found), Ink::Plain);
        text.push_str(&kinds::body(offer));
    }
    text
}

/// What is said of the whole plugin: a label and its words.
fn rows(found: &Inspected) -> Vec<(&'static str, String)> {
    let mut rows = Vec::new();
    if let Some(plugin) = found.plugin.as_ref().filter(|one| !one.package.is_empty()) {
        rows.push(("plugin", plugin.package.clone()));
    }
    match &found.plan.source {
        PluginSource::Library(path) => {
            rows.push(("library", path.clone()));
        }
        PluginSource::Command { words, directory } => {
            rows.push(("command", words.join(" ")));
            if let Some(directory) = directory {
                rows.push(("started in", directory.clone()));
            }
        }
    }
    if let (Some(door), Some(plugin)) = (found.door(), &found.plugin) {
        let built_with = match &*plugin.built_with {
            "" => "it does not say with what".to_owned(),
            said => format!("built with {said}"),
        };
        let door_is = match door {
            DoorKind::Rust => "Rust",
            DoorKind::C => "C",
            DoorKind::Command => "a process of its own",
        };
        rows.push(("door", format!("{door_is}; {built_with}")));
        rows.push(("host serves", door.served()));
    }
    for file in &found.files {
        rows.extend(of_file(file));
    }
    if let Some(pin) = &found.plan.sha256 {
        rows.push(("pinned to", pin.clone()));
    }
    let confine = &found.plan.confine;
    if !confine.limits.is_empty() {
        rows.push(("limits", written(confine.limits.iter())));
    }
    if let Some(user) = &confine.user {
        rows.push(("user", user.clone()));
    }
    if let Some(allow) = &confine.allow {
        let words: Vec<String> = allow.iter().map(|word| format!("\"{word}\"")).collect();
        rows.push(("allow", format!("[{}]", words.join(", "))));
    }
    rows.push(("used", verdict(found)));
    rows
}

fn of_file(file: &FileFacts) -> Vec<(&'static str, String)> {
    let who = |number: u32| match number {
        0 => "root".to_owned(),
        number => number.to_string(),
    };
    let mut rows = vec![
        ("file", file.path.display().to_string()),
        (
            "",
            format!(
                "{} bytes, user {}, group {}, mode {}",
                file.bytes,
                who(file.user),
                who(file.group),
                file.mode
            ),
        ),
        (
            "SHA-256",
            file.sha256
                .clone()
                .unwrap_or_else(|| "it cannot be read".into()),
        ),
    ];
    if file.changeable.is_empty() {
        rows.push(("changed by", "nobody but root and who runs checkd".into()));
    }
    for (at, fault) in file.changeable.iter().enumerate() {
        rows.push((if at == 0 { "changed by" } else { "" }, fault.clone()));
    }
    rows
}

/// How much of it checkd would use.
fn verdict(found: &Inspected) -> String {
    if found.plugin.is_none() {
        return "no: it is refused".into();
    }
    let used = found.offers.len()
        - found
            .offers
            .iter()
            .filter(|one| clashes(one, found))
            .count();
    let refused = found.diagnostics.len();
    let word = if used == 1 { "kind" } else { "kinds" };
    match (used, refused) {
        (0, _) => "no: all that it offers is refused".into(),
        (used, 0) => format!("yes: {used} {word}"),
        (used, refused) => format!("in part: {used} {word}; refused: {refused}"),
    }
}

fn clashes(offer: &Offer, found: &Inspected) -> bool {
    found.clashing.contains(&offer.facts.kind)
}

/// How a kind is run.
fn how(offer: &Offer, found: &Inspected) -> String {
    let scope = match offer.facts.scope {
        Scope::Process => "scope process: one run for each member",
        Scope::Host => "scope host: one run for all of a group, about this machine",
        Scope::Dependency => "scope dependency: one run for all of a group, about what it needs",
    };
    let shape = match (offer.facts.passive, offer.blocking) {
        (true, _) => "passive: its samples come unasked",
        (false, true) => "blocking: a run occupies a thread",
        (false, false) => "async: a run occupies no thread",
    };
    let same = |other: &&Offer| other.facts.kind == offer.facts.kind;
    let refused = match found.offers.iter().filter(same).count() {
        2.. => "; not used: the plugin offers this kind more than once",
        _ if clashes(offer, found) => "; not used: checkd itself offers this kind",
        _ => "",
    };
    format!("{scope}; {shape}{refused}")
}

/// The stable JSON of a plugin and of what is refused of it.
fn as_json(found: &Inspected) -> Value {
    let kinds: Vec<Value> = found
        .offers
        .iter()
        .map(|offer| {
            let mut kind = kinds::json(offer);
            if let Some(kind) = kind.as_object_mut() {
                kind.insert("clashes".into(), clashes(offer, found).into());
            }
            kind
        })
        .collect();
    let plugin = found.plugin.as_ref();
    let (library, command) = match &found.plan.source {
        PluginSource::Library(path) => (Some(path), None),
        PluginSource::Command { words, .. } => (None, Some(words)),
    };
    let confine = &found.plan.confine;
    let limits = confine.limits.iter();
    let limits = (!confine.limits.is_empty()).then(|| written(limits));
    let allow = confine.allow.as_ref();
    let allow = allow.map(|allow| allow.iter().map(ToString::to_string).collect::<Vec<_>>());
    let diagnostics: Vec<Value> = found.diagnostics.iter().map(diagnostic).collect();
    json!({
        "name": found.plan.name,
        "origin": plugin.map(|one| &one.origin),
        "library": library,
        "command": command,
        "package": plugin.map(|one| &one.package),
        "door": found.door(),
        "built_with": plugin.map(|one| &one.built_with),
        "served": found.door().map(DoorKind::served),
        "files": found.files,
        "pinned": found.plan.sha256,
        "limits": limits,
        "user": found.plan.confine.user,
        "allow": allow,
        "usable": found.is_whole(),
        "kinds": kinds,
        "diagnostics": diagnostics,
    })
}

fn diagnostic(told: &Diagnostic) -> Value {
    json!({
        "severity": told.severity,
        "code": told.code,
        "message": told.message,
        "notes": told.notes,
        "help": told.help,
    })
}
