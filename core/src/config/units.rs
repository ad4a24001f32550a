//! Texts with units: `30s`, `512MiB`, `25%`, `4 in 60m`, `6 of 10`.

use crate::Span;
use crate::plan::{Limit, NOfM};

/// The longest span that a configuration may name: ten years.
pub const SPAN_MAX: Span = Span::secs(10 * 365 * 86_400);

/// The units of time, largest first.
const TIMES: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

const SIZES: [(&str, u64); 9] = [
    ("B", 1),
    ("kB", 1_000),
    ("KiB", 1 << 10),
    ("MB", 1_000_000),
    ("MiB", 1 << 20),
    ("GB", 1_000_000_000),
    ("GiB", 1 << 30),
    ("TB", 1_000_000_000_000),
    ("TiB", 1 << 40),
];

/// `30s`, `1.5s`, `2m30s`, `400ms`: each unit once, the larger first. At most ten years.
pub fn span(text: &str) -> Option<Span> {
    millis(text).filter(|&ms| ms <= SPAN_MAX.0).map(Span)
}

/// Whether `text` is a time and longer than any that is allowed.
pub fn too_long(text: &str) -> bool {
    millis(text).is_some_and(|ms| ms > SPAN_MAX.0)
}

fn millis(text: &str) -> Option<u64> {
    let mut rest = text;
    let mut total = 0u64;
    let mut smallest = usize::MAX;
    while !rest.is_empty() {
        let (thousandths, after) = decimal(rest)?;
        let unit = after
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(after.len());
        let (word, next) = after.split_at_checked(unit)?;
        let rank = TIMES.iter().position(|&(name, _)| name == word)?;
        if smallest != usize::MAX && rank <= smallest {
            return None;
        }
        smallest = rank;
        let (_, millis) = TIMES.get(rank)?;
        let scaled = u128::from(thousandths) * u128::from(*millis);
        if !scaled.is_multiple_of(1_000) {
            return None;
        }
        let more = u64::try_from(scaled / 1_000).unwrap_or(u64::MAX);
        total = total.saturating_add(more);
        rest = next;
    }
    (!text.is_empty()).then_some(total)
}

/// `512MiB`, `1.5GiB`, `200kB`, in bytes.
pub fn size(text: &str) -> Option<u64> {
    let (thousandths, unit) = decimal(text)?;
    let (_, bytes) = SIZES.iter().find(|&&(name, _)| name == unit)?;
    let scaled = u128::from(thousandths) * u128::from(*bytes);
    (scaled.is_multiple_of(1_000))
        .then(|| u64::try_from(scaled / 1_000).ok())
        .flatten()
}

/// `25%`: a whole number from 0 to 100.
pub fn percent(text: &str) -> Option<u32> {
    whole(text.strip_suffix('%')?).filter(|&n| n <= 100)
}

/// `4 in 60m`.
pub fn limit(text: &str) -> Option<Limit> {
    let (max, window) = text.split_once(" in ")?;
    Some(Limit {
        max: whole(max.trim())?,
        window: span(window.trim())?,
    })
}

/// `6 of 10`.
pub fn n_of_m(text: &str) -> Option<NOfM> {
    let (n, m) = text.split_once(" of ")?;
    Some(NOfM {
        n: whole(n.trim())?,
        m: whole(m.trim())?,
    })
}

/// A span exactly as [`span`] reads it, `1m1.6s`: no digit is lost, which `Display` may do.
pub fn exact(span: Span) -> String {
    let mut rest = span.0;
    let mut text = String::new();
    for (unit, millis) in TIMES {
        let n = rest / millis;
        if n == 0 {
            continue;
        }
        rest %= millis;
        text.push_str(&n.to_string());
        if unit == "s" && rest > 0 {
            let decimals = format!("{rest:03}");
            text.push('.');
            text.push_str(decimals.trim_end_matches('0'));
            rest = 0;
        }
        text.push_str(unit);
    }
    if text.is_empty() {
        "0s".to_owned()
    } else {
        text
    }
}

/// A size as [`size`] reads it, in the largest unit of 1024 that divides it.
pub fn exact_size(bytes: u64) -> String {
    let units = [
        ("TiB", 1u64 << 40),
        ("GiB", 1 << 30),
        ("MiB", 1 << 20),
        ("KiB", 1 << 10),
    ];
    let fitting = units
        .iter()
        .find(|(_, unit)| bytes > 0 && bytes.is_multiple_of(*unit));
    match fitting {
        Some((name, unit)) => format!("{}{name}", bytes / unit),
        None => format!("{bytes}B"),
    }
}

fn whole(text: &str) -> Option<u32> {
    text.bytes()
        .all(|b| b.is_ascii_digit())
        .then(|| text.parse().ok())
        .flatten()
}

/// A number with at most three decimals, in thousandths, and what follows it.
fn decimal(text: &str) -> Option<(u64, &str)> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, mut rest) = text.split_at_checked(end)?;
    if digits.is_empty() {
        return None;
    }
    // A number of more digits than that is too large for whatever it stands.
    let whole = digits.parse::<u64>().unwrap_or(u64::MAX);
    let mut thousandths = whole.saturating_mul(1_000);
    if let Some(fraction) = rest.strip_prefix('.') {
        let end = fraction
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(fraction.len());
        let (digits, after) = fraction.split_at_checked(end)?;
        if digits.is_empty() || digits.len() > 3 {
            return None;
        }
        let mut scaled: u64 = digits.parse().ok()?;
        for _ in digits.len()..3 {
            scaled *= 10;
        }
        thousandths = thousandths.saturating_add(scaled);
        rest = after;
    }
    Some((thousandths, rest))
}
/// Minutes after midnight of `"02:30"`; up to `"24:00"`.
pub fn time_of_day(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let digits = |part: &str| part.len() == 2 && part.bytes().all(|b| b.is_ascii_digit());
    if !digits(hours) || !digits(minutes) {
        return None;
    }
    let (hours, minutes): (u16, u16) = (hours.parse().ok()?, minutes.parse().ok()?);
    let all = hours * 60 + minutes;
    (minutes < 60 && all <= 24 * 60).then_some(all)
}
