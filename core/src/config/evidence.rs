//! `evidence_command`: what is run before a sick member is killed.

use super::placeholder::{Piece, Placeholder, pieces};
use super::read::Reader;
use super::section::Section;
use crate::diagnostic::{Diagnostic, nearest};

/// The placeholder that only this command has: the directory of the evidence.
pub const DIR: &str = "dir";

const KEY: &str = "evidence_command";
const UNKNOWN: &str = "C0110";
const EMPTY: &str = "C0123";

/// Reads it from the first of `tables` that has it, for a group with these tables.
pub(super) fn command<'a>(
    reader: &mut Reader<'a>,
    tables: &[Section<'a>],
    group: &Section<'a>,
) -> Vec<String> {
    let found = tables
        .iter()
        .find_map(|table| Some((table, table.node(KEY)?, table.texts(KEY)?)));
    let Some((table, node, words)) = found else {
        return Vec::new();
    };
    if words.first().is_none_or(|(word, _)| word.is_empty()) {
        reader.once(
            Diagnostic::error(EMPTY, format!("`{KEY}` is empty"))
                .at(node.place, format!("in {}", table.of)),
        );
    }
    let ports = group.node("ports").is_some();
    for (word, node) in &words {
        for piece in pieces(word) {
            let (message, at, why, near) = match piece {
                Piece::Placeholder(Placeholder::Port, at) if !ports => (
                    "`{port}` has no value here".to_owned(),
                    at,
                    "the group has no `ports`",
                    None,
                ),
                Piece::Unknown(word, at) if word != DIR => (
                    format!("there is no placeholder `{{{word}}}`"),
                    at,
                    "placeholders: {dir}, {group}, {index}, {member}, {pid}, {port}",
                    nearest(
                        word,
                        Placeholder::ALL
                            .map(Placeholder::as_str)
                            .into_iter()
                            .chain([DIR]),
                    ),
                ),
                Piece::Text(_) | Piece::Placeholder(..) | Piece::Unknown(..) => continue,
            };
            let told = Diagnostic::error(UNKNOWN, message)
                .at(reader.within(node, at), format!("in {}", table.of))
                .note(why);
            reader.once(match near {
                Some(near) => told.help(format!("did you mean `{{{near}}}`?")),
                None => told,
            });
        }
    }
    words.into_iter().map(|(word, _)| word.to_owned()).collect()
}
