//! What a person is told about a mistake: code, message, place, notes, help. Rendering is the host's.

use serde::Serialize;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Legal and probably wrong; `--strict` makes it an error.
    Warning,
    /// Refused.
    Error,
}

/// Where a piece of configuration stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Place {
    /// Index into [`Document::sources`](crate::config::Document): a file, an environment variable
    /// or a `--set`.
    pub source: u32,
    /// First byte in the source's text.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

/// One mistake, told in the order: what, where, why, what checkd does now, help.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// Error or lint.
    pub severity: Severity,
    /// Stable code, `C0102`; each has a paragraph in `docs/errors.md`.
    pub code: &'static str,
    /// What is wrong, in the user's own words; lower case, no full stop.
    pub message: String,
    /// What to underline, and the words beside the underline (may be empty).
    pub primary: Option<(Place, String)>,
    /// Whether what is underlined may be a secret: then nobody shows it, nor beside other mistakes.
    #[serde(skip)]
    pub hidden: bool,
    /// A further place that matters, with its words.
    pub secondary: Vec<(Place, String)>,
    /// Facts: found against allowed, with units; what checkd does now.
    pub notes: Vec<String>,
    /// One thing to do, only where we are sure.
    pub help: Option<String>,
}

impl Diagnostic {
    /// An error that is refused.
    pub fn error(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, code, message)
    }
    /// A lint.
    pub fn warning(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, code, message)
    }
    fn new(severity: Severity, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            severity,
            code,
            message: message.into(),
            primary: None,
            hidden: false,
            secondary: Vec::new(),
            notes: Vec::new(),
            help: None,
        }
    }
    /// Underlines `place`, with `words` beside it.
    #[must_use]
    pub fn at(mut self, place: Place, words: impl Into<String>) -> Self {
        self.primary = Some((place, words.into()));
        self
    }
    /// What is underlined may be a secret.
    #[must_use]
    pub fn hide(mut self) -> Self {
        self.hidden = true;
        self
    }
    /// Underlines a further place.
    #[must_use]
    pub fn also(mut self, place: Place, words: impl Into<String>) -> Self {
        self.secondary.push((place, words.into()));
        self
    }
    /// Adds a fact.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }
    /// Adds what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// The name in `known` that `typed` was probably meant to be.
///
/// Near is Damerau-Levenshtein distance of at most a third of the length, at least 1: `max_rs` is
/// near `max_rss`, `a` is near nothing.
pub fn nearest<'a>(typed: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let allowed = (typed.chars().count() / 3).max(1);
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(typed, name), name))
        .filter(|&(distance, name)| distance <= allowed && distance < name.chars().count())
        .min()
        .map(|(_, name)| name)
}
