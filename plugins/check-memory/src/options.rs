//! What a person may write for this check.

use checkd_plugin_api::Problems;
use checkd_plugin_api::units::Size;

/// The options of kind `memory`.
#[derive(Clone, Debug, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// Most resident memory that is fine, such as `"512MiB"`.
    pub max_rss: Size,
    /// Count the whole process tree below the member too.
    #[serde(default)]
    pub cumulative: bool,
}

impl Options {
    /// Every rule that no type can hold.
    pub(crate) fn problems(&self) -> Problems {
        let mut problems = Problems::none();
        if self.max_rss.as_bytes() == 0 {
            problems.add("max_rss", "is zero, which no living process can keep");
        }
        problems
    }
}
