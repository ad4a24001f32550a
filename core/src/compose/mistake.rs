//! What is wrong in an expression, placed in its own text; the configuration reader moves it into
//! the file.

use std::ops::Range;

use crate::diagnostic::{Diagnostic, Place, Severity};

/// One mistake in an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Its code, `C0131` and following.
    pub code: &'static str,
    /// Refused, or only doubtful.
    pub severity: Severity,
    /// The bytes of the expression's text to underline.
    pub range: Range<usize>,
    /// What is wrong.
    pub message: Box<str>,
    /// Beside the underline.
    pub words: Box<str>,
    /// Facts.
    pub notes: Vec<String>,
    /// What to do.
    pub help: Option<String>,
}

impl Mistake {
    pub(super) fn new(
        code: &'static str,
        range: Range<usize>,
        message: impl Into<Box<str>>,
    ) -> Self {
        Self {
            code,
            severity: Severity::Error,
            range,
            message: message.into(),
            words: Box::default(),
            notes: Vec::new(),
            help: None,
        }
    }
    pub(super) fn lint(mut self) -> Self {
        self.severity = Severity::Warning;
        self
    }
    pub(super) fn words(mut self, words: impl Into<Box<str>>) -> Self {
        self.words = words.into();
        self
    }
    pub(super) fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }
    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The diagnostic, when the bytes stand at `place` in a source.
    pub fn at(self, place: Place) -> Diagnostic {
        Diagnostic {
            severity: self.severity,
            code: self.code,
            message: self.message.into(),
            primary: Some((place, self.words.into())),
            hidden: false,
            secondary: Vec::new(),
            notes: self.notes,
            help: self.help,
        }
    }
}
