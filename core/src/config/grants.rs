//! `allow` of a plugin: what its worker may reach beyond what every program needs.

use super::Node;
use super::form::{self, Judged, VALUE, Wrong};
use crate::diagnostic::nearest;
use crate::plan::Grant;

/// The words of `allow`; a path stands behind those that end in a colon.
pub(super) const WORDS: [&str; 4] = ["network", "exec", "read:", "write:"];

/// A list of grants, in its order, each once. The empty list is one: nothing is granted.
pub(super) fn grants(node: &Node) -> Judged<Vec<Grant>> {
    let (mut found, mut wrong) = (Vec::new(), Vec::new());
    for (word, _) in form::texts(node)? {
        let grant = match word.split_once(':') {
            None if word == "network" => Grant::Network,
            None if word == "exec" => Grant::Exec,
            Some(("read", path)) if !path.is_empty() => Grant::Read(path.to_owned()),
            Some(("write", path)) if !path.is_empty() => Grant::Write(path.to_owned()),
            _ => {
                wrong.push(word);
                continue;
            }
        };
        if !found.contains(&grant) {
            found.push(grant);
        }
    }
    if wrong.is_empty() {
        return Ok(found);
    }
    let shown: Vec<String> = wrong.iter().map(|word| form::quoted(word)).collect();
    let told = Wrong::new(VALUE, format!("may not hold {}", shown.join(", ")))
        .note("it may hold `network`, `exec`, `read:PATH` and `write:PATH`");
    let meant = wrong.iter().filter_map(|word| meant(word));
    Err(Box::new(
        match (meant.collect::<Vec<_>>().as_slice(), wrong.len()) {
            ([], _) => told,
            ([only], 1) => told.help(only.clone()),
            (several, _) => several
                .iter()
                .fold(told, |told, one| told.note(one.clone())),
        },
    ))
}

/// What was probably meant.
fn meant(word: &str) -> Option<String> {
    if word.starts_with('/') || word.starts_with("./") {
        return Some(format!(
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
            Some(format!("did you mean `\"{near}:PATH\"`?"))
        }
        Some(near @ ("read" | "write")) => Some(format!("did you mean `\"{near}:{path}\"`?")),
        Some(near) => Some(format!("did you mean `\"{near}\"`?")),
        None => None,
    }
}
