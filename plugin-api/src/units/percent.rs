//! A share: `"25%"`.

use std::fmt;
use std::str::FromStr;

use super::{number, quantity, quoted};

/// A share, written `"25%"`; may be more than `"100%"` (two busy cores are `"200%"`).
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub struct Percent(f64);

impl Percent {
    /// `n` per cent; `None` when it is negative or not finite.
    pub fn new(n: f64) -> Option<Self> {
        (n.is_finite() && n >= 0.0).then_some(Self(n))
    }
    /// 25.0 for `"25%"`.
    pub const fn as_percent(self) -> f64 {
        self.0
    }
    /// 0.25 for `"25%"`.
    pub const fn as_ratio(self) -> f64 {
        self.0 / 100.0
    }
}

impl FromStr for Percent {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        match text.strip_suffix('%') {
            Some(digits) => number(digits.trim_end())
                .map(Self)
                .ok_or_else(|| wrong(text)),
            None if number(text).is_some() => Err(bare(text)),
            None => Err(wrong(text)),
        }
    }
}

fn bare(number: &str) -> String {
    format!("`{number}` has no unit: write `\"{number}%\"`")
}

fn wrong(text: &str) -> String {
    format!("{} is no share: write it like `\"25%\"`", quoted(text))
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}%", self.0))
    }
}

quantity!(
    Percent,
    "percent",
    r"^\s*[0-9]+(\.[0-9]+)?\s*%\s*$",
    "A share in per cent.",
    "25%",
    bare
);
