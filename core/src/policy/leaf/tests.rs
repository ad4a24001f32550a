//! Streaks and what a leaf says, as properties and as tables.

use std::sync::Arc;

use proptest::prelude::*;

use super::Leaf;
use crate::plan::NOfM;
use crate::policy::sim;
use crate::{Instant, Sample, Span, Status};

fn sample(letter: char, at: u64) -> Sample {
    let status = match letter {
        'p' => Status::Pass,
        'w' => Status::Warn,
        'f' => Status::Fail,
        _ => Status::Unknown,
    };
    Sample {
        status,
        cause: None,
        message: Arc::from(""),
        measurements: Vec::new(),
        at: Instant(at),
        took: Span::ZERO,
        generation: None,
    }
}

/// Feeds one letter a second; says what `live` and `ready` read at the end.
fn read(letters: &str, min_fail_span: Span, n_of_m: Option<NOfM>) -> (Status, Status) {
    let mut check = sim::check("ping");
    (check.fall, check.ready_fall, check.rise) = (3, 2, 2);
    (check.min_fail_span, check.n_of_m) = (min_fail_span, n_of_m);
    let mut leaf = Leaf::default();
    let mut at = 0;
    for letter in letters.chars() {
        at += 1_000;
        let _ = leaf.take(&check, &sample(letter, at));
    }
    (
        leaf.live_reading(Instant(at)),
        leaf.ready_reading(Instant(at)),
    )
}

#[test]
fn readings() {
    use Status::{Fail, Pass, Unknown, Warn};
    for (letters, live, ready) in [
        ("", Unknown, Unknown),
        ("p", Unknown, Unknown),
        ("pp", Pass, Pass),
        ("pw", Warn, Warn),
        ("ff", Unknown, Fail),
        ("fff", Fail, Fail),
        ("ppff", Pass, Fail),
        ("ppfff", Fail, Fail),
        ("ppffp", Pass, Fail),
        ("ppffpp", Pass, Pass),
        ("ppfffp", Fail, Fail),
        ("ppfffpp", Pass, Pass),
        ("ppffuf", Fail, Fail),
        ("ppffuuuuf", Fail, Fail),
        ("ppuuuu", Pass, Pass),
        ("ppuuuuu", Unknown, Unknown),
        ("ppuuuuup", Pass, Pass),
        ("ppfffuuuuu", Unknown, Unknown),
        ("ppfffuuuuuf", Fail, Fail),
    ] {
        assert_eq!(read(letters, Span::ZERO, None), (live, ready), "{letters}");
    }
}

#[test]
fn a_streak_must_also_be_long() {
    assert_eq!(read("ppfff", Span::secs(3), None).0, Status::Pass);
    assert_eq!(read("ppffff", Span::secs(3), None).0, Status::Fail);
}

#[test]
fn n_of_m_sees_what_a_streak_never_does() {
    let rule = Some(NOfM { n: 4, m: 7 });
    assert_eq!(read("ppffpff", Span::ZERO, None).0, Status::Pass);
    assert_eq!(read("ppffpff", Span::ZERO, rule).0, Status::Fail);
    assert_eq!(
        read("ppffpffpp", Span::ZERO, rule).0,
        Status::Fail,
        "still 4 of the last 7"
    );
    assert_eq!(read("ppffpffppp", Span::ZERO, rule).0, Status::Pass);
}

#[test]
fn two_minutes_of_unknown_make_it_blind() {
    let check = sim::check("ping");
    let mut leaf = Leaf::default();
    for (letter, at) in [('p', 0), ('p', 1_000), ('u', 2_000)] {
        let _ = leaf.take(&check, &sample(letter, at));
    }
    assert_eq!(leaf.blind_at(), Some(Instant(122_000)));
    assert_eq!(leaf.live_reading(Instant(121_999)), Status::Pass);
    assert_eq!(leaf.live_reading(Instant(122_000)), Status::Unknown);
}

proptest! {
    /// Unknown lengthens no streak and breaks none: leaving it out changes no settled reading.
    #[test]
    fn unknown_is_no_evidence(letters in "[pwfu]{0,40}") {
        let definite: String = letters.chars().filter(|c| *c != 'u').collect();
        let with = read(&format!("{letters}p"), Span::ZERO, None);
        let without = read(&format!("{definite}p"), Span::ZERO, None);
        prop_assert_eq!(with, without);
    }
}
