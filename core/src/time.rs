//! Time as numbers: an [`Instant`] is handed in by the caller, a [`Span`] is a length with a unit.

use std::fmt;
use std::ops::{Add, AddAssign, Div, Mul, Sub};

use serde::{Deserialize, Serialize};

/// Milliseconds of the boot clock (`CLOCK_BOOTTIME`: it goes on while the machine is suspended).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Instant(pub u64);

/// A length of time in whole milliseconds.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Span(pub u64);

impl Instant {
    /// The span from `earlier` to `self`; zero when `earlier` is later.
    pub fn since(self, earlier: Self) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }
}

impl Span {
    /// No time at all.
    pub const ZERO: Self = Self(0);

    /// `n` milliseconds.
    pub const fn millis(n: u64) -> Self {
        Self(n)
    }
    /// `n` seconds.
    pub const fn secs(n: u64) -> Self {
        Self(n * 1_000)
    }
    /// `n` minutes.
    pub const fn mins(n: u64) -> Self {
        Self(n * 60_000)
    }
    /// The span in milliseconds.
    pub const fn as_millis(self) -> u64 {
        self.0
    }
    /// The span as the standard library's type.
    pub const fn as_duration(self) -> std::time::Duration {
        std::time::Duration::from_millis(self.0)
    }
}

impl Add<Span> for Instant {
    type Output = Self;
    fn add(self, span: Span) -> Self {
        Self(self.0.saturating_add(span.0))
    }
}
impl AddAssign<Span> for Instant {
    fn add_assign(&mut self, span: Span) {
        *self = *self + span;
    }
}
impl Sub<Span> for Instant {
    type Output = Self;
    fn sub(self, span: Span) -> Self {
        Self(self.0.saturating_sub(span.0))
    }
}
impl Add for Span {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}
impl Sub for Span {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}
impl Mul<u64> for Span {
    type Output = Self;
    fn mul(self, n: u64) -> Self {
        Self(self.0.saturating_mul(n))
    }
}
impl Div<u64> for Span {
    type Output = Self;
    /// Zero when `n` is zero.
    fn div(self, n: u64) -> Self {
        Self(self.0.checked_div(n).unwrap_or(0))
    }
}

impl Span {
    fn write(self, to: &mut impl fmt::Write) -> fmt::Result {
        const UNITS: [(u64, &str); 4] = [
            (86_400_000, "d"),
            (3_600_000, "h"),
            (60_000, "m"),
            (1_000, "s"),
        ];
        let ms = self.0;
        if ms == 0 {
            return to.write_str("0s");
        }
        if ms < 1_000 {
            return write!(to, "{ms}ms");
        }
        if ms < 10_000 && !ms.is_multiple_of(1_000) {
            return write!(to, "{}.{}s", ms / 1_000, (ms % 1_000) / 100);
        }
        let mut rest = ms;
        let mut shown = 0;
        for (size, unit) in UNITS {
            let n = rest / size;
            rest %= size;
            if n > 0 {
                write!(to, "{n}{unit}")?;
            }
            if n > 0 || shown > 0 {
                shown += 1;
            }
            if shown == 2 {
                break;
            }
        }
        Ok(())
    }
}

/// As a person writes it: `400ms`, `1.5s`, `10s`, `2m30s`, `1h`, `3d4h`; two units at the most.
impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if f.width().is_none() {
            return self.write(f);
        }
        let mut text = String::new();
        self.write(&mut text)?;
        f.pad(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::Span;

    #[test]
    fn a_span_reads_as_a_person_writes_it() {
        for (ms, text) in [
            (0, "0s"),
            (400, "400ms"),
            (1_500, "1.5s"),
            (10_000, "10s"),
            (10_400, "10s"),
            (150_000, "2m30s"),
            (3_600_000, "1h"),
            (3_605_000, "1h"),
            (273_600_000, "3d4h"),
        ] {
            assert_eq!(Span(ms).to_string(), text, "{ms}");
            assert_eq!(format!("{:>7}", Span(ms)), format!("{text:>7}"), "{ms}");
        }
    }
}
