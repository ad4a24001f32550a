//! What a kind says about itself.

use serde::{Deserialize, Serialize};

/// What a kind says about itself: a constant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Descriptor {
    /// Its name in the configuration, `[a-z][a-z0-9_-]*`, unique in a catalog.
    pub kind: &'static str,
    /// One line for a person.
    pub summary: &'static str,
    /// How far one run speaks.
    pub scope: Scope,
    /// Whether its samples come unasked; then silence is Fail(stale).
    pub passive: bool,
    /// The smallest honest configuration, as TOML; empty when there is none.
    pub example: &'static str,
}

/// How far one run speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// About one member: a run per member.
    #[default]
    Process,
    /// About this machine: a run per group.
    Host,
    /// About something that members need: a run per group.
    Dependency,
}

/// The longest name of a kind, in bytes.
const KIND_MAX: usize = 64;

impl Descriptor {
    /// A kind of scope `process` without an example.
    ///
    /// # Panics
    ///
    /// When `kind` is not `[a-z][a-z0-9_-]*` of at most 64 bytes. A descriptor is a constant, so
    /// this is an error of the compiler.
    pub const fn new(kind: &'static str, summary: &'static str) -> Self {
        assert!(
            is_name(kind.as_bytes()),
            "a kind's name is [a-z][a-z0-9_-]*, at most 64 bytes"
        );
        Self {
            kind,
            summary,
            scope: Scope::Process,
            passive: false,
            example: "",
        }
    }
    /// Whether `kind` can be the name of a kind.
    #[must_use]
    pub const fn is_kind(kind: &str) -> bool {
        is_name(kind.as_bytes())
    }
    /// Sets how far one run speaks.
    #[must_use]
    pub const fn scope(mut self, scope: Scope) -> Self {
        self.scope = scope;
        self
    }
    /// Says that samples come unasked.
    #[must_use]
    pub const fn passive(mut self) -> Self {
        self.passive = true;
        self
    }
    /// Sets the smallest honest configuration: the options of the kind as TOML.
    #[must_use]
    pub const fn example(mut self, toml: &'static str) -> Self {
        self.example = toml;
        self
    }
}

const fn is_name(mut rest: &[u8]) -> bool {
    let mut first = true;
    if rest.len() > KIND_MAX || rest.is_empty() {
        return false;
    }
    while let [byte, tail @ ..] = rest {
        let fits = byte.is_ascii_lowercase()
            || (!first && (byte.is_ascii_digit() || *byte == b'_' || *byte == b'-'));
        if !fits {
            return false;
        }
        first = false;
        rest = tail;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::is_name;

    #[test]
    fn a_kind_has_a_name_that_fits_everywhere() {
        for (name, fits) in [
            ("tcp", true),
            ("spool_age-2", true),
            ("", false),
            ("2tcp", false),
            ("Tcp", false),
            ("a.b", false),
            ("é", false),
        ] {
            assert_eq!(is_name(name.as_bytes()), fits, "{name}");
        }
        assert!(is_name(&[b'a'; 64]));
        assert!(!is_name(&[b'a'; 65]));
    }
}
