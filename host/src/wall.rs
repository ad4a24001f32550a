//! Wall-clock time for people: the engine counts in boot time, people read the clock on the wall.

use checkd_core::{Instant, Span};
use jiff::Timestamp;
use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;

/// Both clocks, read at the same moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Both {
    boot: Instant,
    wall_ms: i64,
}

impl Both {
    /// Reads them now.
    pub(crate) fn read() -> Self {
        Self {
            boot: crate::clock::now(),
            wall_ms: Timestamp::now().as_millisecond(),
        }
    }

    /// A clock on the wall that shows this now, and goes on with the time that passes.
    pub(crate) fn counted_from(wall_ms: i64) -> Self {
        Self {
            boot: crate::clock::now(),
            wall_ms,
        }
    }

    /// What the clock on the wall showed at `at`, in milliseconds since 1970.
    pub(crate) fn wall_ms(self, at: Instant) -> i64 {
        let ago = i64::try_from(self.boot.since(at).0).unwrap_or(0);
        let ahead = i64::try_from(at.since(self.boot).0).unwrap_or(0);
        self.wall_ms.saturating_sub(ago).saturating_add(ahead)
    }

    /// Now, in milliseconds since 1970.
    pub(crate) fn now_ms(self) -> i64 {
        self.wall_ms
    }
}

/// Now, in milliseconds since 1970.
pub(crate) fn now_ms() -> i64 {
    Timestamp::now().as_millisecond()
}

/// `12:00:03`, in the time zone of this machine.
pub(crate) fn time_of_day(wall_ms: i64) -> String {
    format(wall_ms, "%H:%M:%S")
}

/// `2026-11-20 12:00:03`, in the time zone of this machine.
pub(crate) fn date_and_time(wall_ms: i64) -> String {
    format(wall_ms, "%Y-%m-%d %H:%M:%S")
}

/// `2026-11-20T11:00:03Z`: for programs.
pub(crate) fn rfc3339(wall_ms: i64) -> String {
    Timestamp::from_millisecond(wall_ms).map_or_else(|_| "?".to_owned(), |t| t.to_string())
}

/// `20261120T110003Z`: for file names.
pub(crate) fn compact(wall_ms: i64) -> String {
    Timestamp::from_millisecond(wall_ms).map_or_else(
        |_| wall_ms.to_string(),
        |t| t.strftime("%Y%m%dT%H%M%SZ").to_string(),
    )
}

/// What [`compact`] wrote, to the second.
pub(crate) fn parse_compact(text: &str) -> Option<i64> {
    let time = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", text).ok()?;
    let time = time.to_zoned(TimeZone::UTC).ok()?;
    Some(time.timestamp().as_millisecond())
}

fn format(wall_ms: i64, pattern: &str) -> String {
    Timestamp::from_millisecond(wall_ms).map_or_else(
        |_| "?".to_owned(),
        |t| t.to_zoned(TimeZone::system()).strftime(pattern).to_string(),
    )
}

/// Reads a length of time as a person writes it: `90s`, `10m`, `2h30m`, `1d`, `400ms`.
///
/// # Errors
/// One line that says what to write.
pub(crate) fn parse_span(text: &str) -> Result<Span, String> {
    const UNITS: [(&str, u64); 5] = [
        ("ms", 1),
        ("s", 1_000),
        ("m", 60_000),
        ("h", 3_600_000),
        ("d", 86_400_000),
    ];
    let wrong = || format!("`{text}` is no length of time: write `90s`, `10m`, `2h30m` or `1d`");
    let mut rest = text.trim();
    let mut total = 0u64;
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let split = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let (number, behind) = rest.split_at_checked(split).ok_or_else(wrong)?;
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let end = behind
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(behind.len());
        let (unit, behind) = behind.split_at_checked(end).ok_or_else(wrong)?;
        let (_, size) = UNITS
            .iter()
            .find(|(name, _)| *name == unit)
            .ok_or_else(wrong)?;
        total = number
            .checked_mul(*size)
            .and_then(|n| total.checked_add(n))
            .ok_or_else(wrong)?;
        rest = behind;
    }
    Ok(Span(total))
}

/// Reads a moment that is over as a person writes it, in the time zone of this machine: `12:03:05`,
/// `12:03`, `2026-11-20 12:03`, `2026-11-20T11:03:05Z`, `-5m`. A second is meant to its end.
///
/// # Errors
/// One line that says what to write.
pub(crate) fn parse_moment(text: &str) -> Result<i64, String> {
    moment(text, now_ms(), &TimeZone::system())
}

/// The same, and refused when it has not come yet: nothing can be told of it.
///
/// # Errors
/// One line that says what to write.
pub(crate) fn parse_past(text: &str) -> Result<i64, String> {
    let at = parse_moment(text)?;
    // The second that is meant may not be over.
    if at > now_ms().saturating_add(1_000) {
        return Err(format!(
            "{} has not come yet; without it you are told how it is now",
            date_and_time(at)
        ));
    }
    Ok(at)
}

fn moment(text: &str, now_ms: i64, zone: &TimeZone) -> Result<i64, String> {
    let text = text.trim();
    let wrong = || format!("`{text}` is no moment: write `12:03:05`, `2026-11-20 12:03` or `-5m`");
    if let Some(ago) = text.strip_prefix('-') {
        let ago = parse_span(ago).map_err(|_| wrong())?;
        return Ok(now_ms.saturating_sub(i64::try_from(ago.0).unwrap_or(i64::MAX)));
    }
    let end_of_second = |ms: i64| ms.div_euclid(1_000) * 1_000 + 999;
    if let Ok(moment) = text.parse::<Timestamp>() {
        return Ok(end_of_second(moment.as_millisecond()));
    }
    let on = |day: Date, time: Time| {
        let moment = day.to_datetime(time).to_zoned(zone.clone()).ok()?;
        Some(end_of_second(moment.timestamp().as_millisecond()))
    };
    if let Some(time) = clock(text) {
        let today = Timestamp::from_millisecond(now_ms)
            .map_err(|_| wrong())?
            .to_zoned(zone.clone())
            .date();
        let moment = on(today, time).ok_or_else(wrong)?;
        if moment <= end_of_second(now_ms) {
            return Ok(moment);
        }
        // What is over and not of today was yesterday.
        let yesterday = today.yesterday().map_err(|_| wrong())?;
        return on(yesterday, time).ok_or_else(wrong);
    }
    let (day, time) = text.split_once([' ', 'T']).ok_or_else(wrong)?;
    let day: Date = day.parse().map_err(|_| wrong())?;
    clock(time).and_then(|time| on(day, time)).ok_or_else(wrong)
}

/// `12:03:05` or `12:03`.
fn clock(text: &str) -> Option<Time> {
    let mut parts = text.split(':').map(|part| part.parse::<i8>().ok());
    let (hour, minute) = (parts.next()??, parts.next()??);
    let second = match parts.next() {
        Some(second) => second?,
        None => 0,
    };
    parts
        .next()
        .is_none()
        .then(|| Time::new(hour, minute, second, 0).ok())?
}

#[cfg(test)]
mod tests {
    use super::{moment, parse_span};
    use checkd_core::Span;
    use jiff::tz::TimeZone;

    #[test]
    fn a_moment_is_read_as_it_is_written() {
        // 2026-11-20 12:00:00 UTC
        const NOON: i64 = 1_795_176_000_000;
        for (text, ms) in [
            ("12:00:00", Some(NOON + 999)),
            ("11:59", Some(NOON - 60_000 + 999)),
            ("12:00:01", Some(NOON - 86_400_000 + 1_999)),
            ("2026-11-20 11:59:30", Some(NOON - 30_000 + 999)),
            ("2026-11-20 11:59", Some(NOON - 60_000 + 999)),
            ("2026-11-20T11:59:30Z", Some(NOON - 30_000 + 999)),
            ("-5m", Some(NOON - 300_000)),
            ("5m", None),
            ("25:00", None),
            ("12", None),
            ("12:00:00:00", None),
            ("2026-13-20 11:59", None),
            ("yesterday", None),
        ] {
            assert_eq!(moment(text, NOON, &TimeZone::UTC).ok(), ms, "{text}");
        }
    }

    #[test]
    fn a_length_of_time_is_read_as_it_is_written() {
        for (text, span) in [
            ("90s", Some(Span::secs(90))),
            ("2h30m", Some(Span::mins(150))),
            ("1d", Some(Span::mins(1_440))),
            ("400ms", Some(Span::millis(400))),
            ("10", None),
            ("", None),
            ("m", None),
            ("10x", None),
            ("-1s", None),
            ("99999999999999999999s", None),
            ("18446744073709551615d", None),
        ] {
            assert_eq!(parse_span(text).ok(), span, "{text}");
        }
    }
}
