//! An amount of bytes: `"512MiB"`, `"2GB"`.

use std::fmt;
use std::str::FromStr;

use super::{number, quantity, quoted, split_number};

/// An amount of bytes, written `"512MiB"` (1024s), `"2GB"` (1000s), `"4096B"`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Size(u64);

const UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("TB", 1_000_000_000_000),
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("kB", 1_000),
    ("B", 1),
];

impl Size {
    /// `n` bytes.
    pub const fn bytes(n: u64) -> Self {
        Self(n)
    }
    /// The amount in bytes.
    pub const fn as_bytes(self) -> u64 {
        self.0
    }
    /// The amount in bytes as a measurement; exact up to 8 PiB.
    #[expect(
        clippy::cast_precision_loss,
        reason = "exact up to 2^53 bytes, and a measurement"
    )]
    pub const fn as_f64(self) -> f64 {
        self.0 as f64
    }
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (digits, unit) = split_number(text.trim());
        let unit = unit.trim_start();
        if unit.is_empty() && !digits.is_empty() {
            return Err(bare(digits));
        }
        let Some(number) = number(digits) else {
            return Err(wrong(text));
        };
        if let Some((_, size)) = UNITS.iter().find(|(name, _)| *name == unit) {
            return scaled(digits, number, *size)
                .ok_or_else(|| format!("{} is more bytes than can be counted", quoted(text)));
        }
        let near: Vec<String> = UNITS
            .iter()
            .filter(|(name, _)| {
                name.get(..1)
                    .is_some_and(|c| *name != "B" && starts(unit, c))
            })
            .map(|(name, _)| format!("`\"{digits}{name}\"`"))
            .collect();
        if near.is_empty() {
            return Err(wrong(text));
        }
        Err(format!(
            "{} has an unknown unit: write {}",
            quoted(text),
            near.join(" or ")
        ))
    }
}

fn starts(unit: &str, letter: &str) -> bool {
    unit.get(..1)
        .is_some_and(|c| c.eq_ignore_ascii_case(letter))
}

fn scaled(digits: &str, number: f64, size: u64) -> Option<Size> {
    if let Ok(whole) = digits.parse::<u64>() {
        return whole.checked_mul(size).map(Size);
    }
    let bytes = (number * Size(size).as_f64()).round();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "in range, whole"
    )]
    (bytes < 9.0e15).then_some(Size(bytes as u64))
}

fn bare(number: &str) -> String {
    format!("`{number}` has no unit: write `\"{number}MiB\"`, or `\"{number}B\"` for bytes")
}

fn wrong(text: &str) -> String {
    format!(
        "{} is no size: write it like `\"512MiB\"`, `\"2GB\"`, `\"4096B\"`",
        quoted(text)
    )
}

/// Exactly, in the largest unit that divides it: `512MiB`, `1500B`.
impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, size) = UNITS
            .into_iter()
            .find(|(_, size)| self.0 != 0 && self.0.is_multiple_of(*size))
            .unwrap_or(("B", 1));
        f.pad(&format!("{}{unit}", self.0 / size))
    }
}

quantity!(
    Size,
    "size",
    r"^\s*[0-9]+(\.[0-9]+)?\s*(B|kB|KiB|MB|MiB|GB|GiB|TB|TiB)\s*$",
    "An amount of bytes with its unit: B, kB, KiB, MB, MiB, GB, GiB, TB, TiB.",
    "512MiB",
    bare
);
