//! A length of time: `"30s"`, `"1m30s"`, `"250ms"`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::{quantity, quoted, split_number};

/// A length of time in whole milliseconds, written `"250ms"`, `"1.5s"`, `"1m30s"`, `"2h"`, `"3d"`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(u64);

/// Largest first: a span is written in falling units.
const UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];
/// A hundred years of milliseconds: more than that is a slip of the pen.
const MAX: u64 = 36_525 * 86_400_000;

impl Span {
    /// `n` milliseconds.
    pub const fn millis(n: u64) -> Self {
        Self(n)
    }
    /// `n` seconds.
    pub const fn secs(n: u64) -> Self {
        Self(n.saturating_mul(1_000))
    }
    /// The span in milliseconds.
    pub const fn as_millis(self) -> u64 {
        self.0
    }
    /// The span in seconds.
    pub fn as_secs_f64(self) -> f64 {
        self.as_duration().as_secs_f64()
    }
    /// The span as the standard library's type.
    pub const fn as_duration(self) -> Duration {
        Duration::from_millis(self.0)
    }
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut rest = text.trim();
        let mut total = 0_u64;
        let mut smallest = u64::MAX;
        while !rest.is_empty() {
            let (digits, tail) = split_number(rest);
            let end = tail
                .find(|c: char| !c.is_ascii_alphabetic())
                .unwrap_or(tail.len());
            let (unit, tail) = tail.split_at_checked(end).unwrap_or((tail, ""));
            if unit.is_empty() && tail.is_empty() && total == 0 && !digits.is_empty() {
                return Err(bare(digits));
            }
            let size = UNITS
                .iter()
                .find(|(name, _)| *name == unit)
                .map(|(_, size)| *size);
            let part = size.and_then(|size| millis(digits, size));
            match (size, part) {
                (Some(size), Some(part)) if size < smallest => {
                    smallest = size;
                    total = total.saturating_add(part);
                }
                _ => return Err(wrong(text)),
            }
            rest = tail;
        }
        if smallest == u64::MAX {
            return Err(wrong(text));
        }
        if total > MAX {
            return Err(format!("{} is more than a hundred years", quoted(text)));
        }
        Ok(Self(total))
    }
}

/// `digits` of a unit of `size` milliseconds, exactly: `1.5` of 1000 is 1500, `0.5` of 1 is none.
fn millis(digits: &str, size: u64) -> Option<u64> {
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    if fraction.is_empty() || fraction.len() > 9 || whole.is_empty() {
        return None;
    }
    let whole = whole.parse::<u64>().ok()?.checked_mul(size)?;
    let scale = 10_u64.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let part = fraction.parse::<u64>().ok()?.checked_mul(size)?;
    part.is_multiple_of(scale)
        .then(|| whole.checked_add(part / scale))
        .flatten()
}

fn bare(number: &str) -> String {
    format!("`{number}` has no unit: write `\"{number}s\"` for seconds or `\"{number}ms\"`")
}

fn wrong(text: &str) -> String {
    format!(
        "{} is no span of time: write it like `\"30s\"`, `\"1m30s\"`, `\"250ms\"`",
        quoted(text)
    )
}

/// As it is written, in falling units, exactly: `1m30s`.
impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.pad("0s");
        }
        let mut text = String::new();
        let mut rest = self.0;
        for (unit, size) in UNITS {
            let n = rest / size;
            rest %= size;
            if n > 0 {
                text.push_str(&n.to_string());
                text.push_str(unit);
            }
        }
        f.pad(&text)
    }
}

impl From<Span> for Duration {
    fn from(span: Span) -> Self {
        span.as_duration()
    }
}

quantity!(
    Span,
    "span",
    r"^\s*([0-9]+(\.[0-9]+)?(ms|s|m|h|d))+\s*$",
    "A span of time with its unit: ms, s, m, h, d.",
    "30s",
    bare
);
