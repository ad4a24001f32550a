//! All check kinds that this process knows: built-ins, and what plugins offer.

use checkd_core::CheckKind;
use checkd_core::config::Kinds;
use checkd_core::diagnostic::Diagnostic;
use checkd_core::plan::PluginPlan;
use serde_json::{Map, Value};

use super::protocol::{Problem, Target};

/// All check kinds that this process knows.
#[derive(Debug, Default)]
pub struct Catalog {
    kinds: Kinds,
    unavailable: Vec<Unavailable>,
}

/// A plugin that could not be loaded: its checks are Unknown(plugin unavailable), and it is tried
/// again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unavailable {
    /// Its name in the configuration, or the file's.
    pub name: String,
    /// Its path or command.
    pub origin: String,
}

impl Catalog {
    /// Collects the built-ins, every plugin of the configuration and every `*.so` of `dirs`.
    ///
    /// Blocks while plugins describe themselves, each in a worker of its own. What cannot be used is
    /// told in a diagnostic and left out.
    pub fn open(plugins: &[PluginPlan], dirs: &[String]) -> (Self, Vec<Diagnostic>) {
        let _ = (plugins, dirs);
        (Self::default(), Vec::new())
    }

    /// What the configuration reader needs to know about each kind.
    pub fn kinds(&self) -> &Kinds {
        &self.kinds
    }

    /// Plugins that could not be loaded.
    pub fn unavailable(&self) -> &[Unavailable] {
        &self.unavailable
    }

    /// Lets the kind itself judge its options, with placeholders and secrets resolved for `target`.
    ///
    /// Blocks while a plugin's worker answers. Empty: the options are good.
    pub fn try_configure(
        &self,
        kind: &CheckKind,
        options: &Map<String, Value>,
        target: &Target,
    ) -> Vec<Problem> {
        let _ = (kind, options, target);
        Vec::new()
    }
}
