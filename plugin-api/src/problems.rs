//! What is wrong with options: all of it at once, each with the option that it is about.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One thing that is wrong with the options.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Problem {
    /// The option that it is about, as a person wrote it; empty when it is about all of them.
    #[serde(default)]
    pub option: String,
    /// What is wrong, found against allowed, with units: no full stop, literals in backticks.
    pub message: String,
    /// One thing to do, only when we are sure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

/// All that is wrong with the options; never empty when it is an error.
///
/// ```
/// use checkd_plugin_api::Problems;
///
/// # struct Tcp;
/// fn configure(send: Option<&str>, expect: Option<&str>) -> Result<Tcp, Problems> {
///     let mut problems = Problems::none();
///     if send.is_some() && expect.is_none() {
///         problems.add("send", "is pointless without `expect`");
///     }
///     problems.or(Tcp)
/// }
/// assert!(configure(Some("PING"), None).is_err());
/// assert!(configure(None, None).is_ok());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Problems {
    list: Vec<Problem>,
}

impl Problems {
    /// Nothing is wrong yet.
    #[must_use]
    pub const fn none() -> Self {
        Self { list: Vec::new() }
    }
    /// One problem with one option.
    #[must_use]
    pub fn one(option: impl Into<String>, message: impl Into<String>) -> Self {
        let mut problems = Self::none();
        problems.add(option, message);
        problems
    }
    /// Adds a problem with an option.
    pub fn add(&mut self, option: impl Into<String>, message: impl Into<String>) {
        self.list.push(Problem {
            option: option.into(),
            message: message.into(),
            help: None,
        });
    }
    /// Adds a problem with an option, and the one thing to do about it.
    pub fn add_with_help(
        &mut self,
        option: impl Into<String>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        let (option, message, help) = (option.into(), message.into(), Some(help.into()));
        self.list.push(Problem {
            option,
            message,
            help,
        });
    }
    /// `value` when nothing is wrong, all problems otherwise.
    pub fn or<T>(self, value: T) -> Result<T, Self> {
        if self.list.is_empty() {
            Ok(value)
        } else {
            Err(self)
        }
    }
    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
    /// Each problem, in the order in which they were found.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.list.iter()
    }
}

impl<'a> IntoIterator for &'a Problems {
    type Item = &'a Problem;
    type IntoIter = std::slice::Iter<'a, Problem>;
    fn into_iter(self) -> Self::IntoIter {
        self.list.iter()
    }
}

impl IntoIterator for Problems {
    type Item = Problem;
    type IntoIter = std::vec::IntoIter<Problem>;
    fn into_iter(self) -> Self::IntoIter {
        self.list.into_iter()
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.option.is_empty() {
            write!(f, "`{}`: ", self.option)?;
        }
        f.write_str(&self.message)?;
        if let Some(help) = &self.help {
            write!(f, " ({help})")?;
        }
        Ok(())
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, problem) in self.list.iter().enumerate() {
            if n > 0 {
                f.write_str("; ")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}
