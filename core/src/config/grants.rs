//! `allow` of a plugin: what its worker may reach beyond what every program needs.

use super::Node;
use super::form::{self, Judged, VALUE, Wrong};
use crate::diagnostic::nearest;
use crate::plan::Grant;

/// The words of `allow`; a path stands behind those that end in a colon.
pub(super) const WORDS: [&str; 4] = ["network", "exec", "read:", "write:"];

/// A list of grants, in its order, each once. The empty list is one: nothing is granted.
pub(super) fn grants(node: &Node) -> Judged<Vec<Grant>> {
    let mut found = Vec::new();
    for (word, item) in form::texts(node)? {
        let grant = match word.split_once(':') {
            None if word == "network" => Grant::Network,
            None if word == "exec" => Grant::Exec,
            Some(("read", path)) if !path.is_empty() => Grant::Read(path.to_owned()),
            Some(("write", path)) if !path.is_empty() => Grant::Write(path.to_owned()),
            _ => return Err(Box::new(unknown(word, item))),
        };
        if !found.contains(&grant) {
            found.push(grant);
        }
    }
    Ok(found)
}

fn unknown(word: &str, item: &Node) -> Wrong {
    let wrong = Wrong::new(
        VALUE,
        format!(
            "may hold `network`, `exec`, `read:PATH` and `write:PATH`, and {} is in it",
            form::shown(item)
        ),
    );
    if word.starts_with('/') || word.starts_with("./") {
        return wrong.help(format!(
            "write `\"read:{word}\"`, or `\"write:{word}\"` when it writes there too"
        ));
    }
    let (verb, path) = match word.split_once(':') {
        Some((verb, path)) => (verb, path),
        None => (word, ""),
    };
    let typed = verb.to_ascii_lowercase();
    match nearest(&typed, WORDS.map(|word| word.trim_end_matches(':'))) {
        Some(near @ ("read" | "write")) if path.is_empty() => {
            wrong.help(format!("did you mean `\"{near}:PATH\"`?"))
        }
        Some(near @ ("read" | "write")) => wrong.help(format!("did you mean `\"{near}:{path}\"`?")),
        Some(near) => wrong.help(format!("did you mean `\"{near}\"`?")),
        None => wrong,
    }
}
