//! Of which run a line is that cannot be read whole.

use std::fmt;

use serde::Deserializer as _;
use serde::de::{IgnoredAny, MapAccess, Visitor};

/// The `run` of a sample that is none: as far as the line is JSON, and whatever stands after it.
///
/// `None` when the line is no JSON object up to there, or a message of another type.
pub(crate) fn run_of(line: &[u8]) -> Option<u64> {
    let mut seen = Seen::default();
    // What is wrong with the line was told already; here only what stands before it counts.
    let _told = serde_json::Deserializer::from_slice(line).deserialize_map(&mut seen);
    seen.run.filter(|_| seen.may_be_sample)
}

/// What was read before the fault.
#[derive(Debug)]
struct Seen {
    run: Option<u64>,
    may_be_sample: bool,
}

impl Default for Seen {
    fn default() -> Self {
        Self {
            run: None,
            may_be_sample: true,
        }
    }
}

impl<'de> Visitor<'de> for &mut Seen {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a message")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "run" => self.run = Some(map.next_value()?),
                "type" => self.may_be_sample = map.next_value::<String>()? == "sample",
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}
