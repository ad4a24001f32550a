//! What a person may write for this check.

use checkd_plugin_api::units::Span;
use checkd_plugin_api::{Problems, schemars, serde};

/// The options of kind `spool`.
#[derive(Clone, Debug, serde::Deserialize, schemars::JsonSchema)]
#[serde(crate = "checkd_plugin_api::serde", deny_unknown_fields)]
#[schemars(crate = "checkd_plugin_api::schemars")]
pub struct Options {
    /// The spool; a relative path begins where checkd was started.
    pub directory: String,
    /// Most files that may wait.
    #[serde(default)]
    pub max_depth: Option<u64>,
    /// Longest that a file may wait, by the time it was last written.
    #[serde(default)]
    pub max_age: Option<Span>,
    /// What it means when the directory is not there.
    #[serde(default)]
    pub missing: Missing,
}

/// What it means when the directory is not there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(crate = "checkd_plugin_api::serde", rename_all = "snake_case")]
#[schemars(crate = "checkd_plugin_api::schemars")]
pub enum Missing {
    /// The member should have made it.
    Fail,
    /// Perhaps the path is wrong, and nothing should be restarted because of that.
    #[default]
    Unknown,
}

impl Options {
    /// Every rule that no type can hold, all at once.
    pub(crate) fn problems(&self) -> Problems {
        let mut problems = Problems::none();
        if self.directory.is_empty() {
            problems.add("directory", "is empty: write where the files wait");
        }
        if self.max_depth.is_none() && self.max_age.is_none() {
            problems.add(
                "max_depth",
                "or `max_age` must be set: without a limit nothing can fail",
            );
        }
        if self.max_age.is_some_and(|age| age.as_millis() == 0) {
            problems.add(
                "max_age",
                "is zero, so every file would have waited too long",
            );
        }
        problems
    }
}
