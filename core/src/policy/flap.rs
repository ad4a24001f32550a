//! Whether a member goes back and forth: a label and a notice, and no gate.
//!
//! Nagios' measure: of the last [`SAMPLES`] samples the share of changes, newer ones weighing more
//! (from 0.8 to 1.2). It begins at [`ENTER`] percent and ends at [`LEAVE`], so the label itself does
//! not go back and forth.

use serde::{Deserialize, Serialize};

/// So many samples are looked at.
const SAMPLES: u32 = 20;
/// From so many percent of change on a member flaps.
const ENTER: u32 = 30;
/// Below so many it does not any more.
const LEAVE: u32 = 20;

/// The newest samples of a member, as far as `live` says yes or no to them alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Flap {
    /// The newest in bit 0; a set bit is a Fail.
    ring: u32,
    /// How many there are, up to [`SAMPLES`].
    seen: u32,
    /// Whether it counts as flapping.
    pub(crate) flapping: bool,
}

impl Flap {
    /// Takes a sample. True when the member begins to flap.
    pub(crate) fn take(&mut self, fails: bool) -> bool {
        self.ring = (self.ring << 1 | u32::from(fails)) & ((1 << SAMPLES) - 1);
        self.seen = (self.seen + 1).min(SAMPLES);
        let percent = self.percent();
        let before = self.flapping;
        self.flapping = percent >= if before { LEAVE } else { ENTER };
        self.flapping && !before
    }

    /// How much changes, in percent; 0 until enough was seen.
    pub(crate) fn percent(self) -> u32 {
        if self.seen < SAMPLES {
            return 0;
        }
        let changes = self.ring ^ (self.ring >> 1);
        // Change i is between the sample i and the one before it; 0 is the newest.
        let last = SAMPLES - 2;
        let weights = (0..=last).filter(|i| changes & (1 << i) != 0);
        let sum: u32 = weights.map(|i| 1_200 - 400 * i / last).sum();
        sum / (10 * (SAMPLES - 1))
    }
}

#[cfg(test)]
mod tests {
    use super::Flap;

    fn after(samples: &str) -> Flap {
        let mut flap = Flap::default();
        for sample in samples.chars() {
            flap.take(sample == 'F');
        }
        flap
    }

    #[test]
    fn the_share_of_changes_and_their_age_decide() {
        for (samples, percent, flapping) in [
            ("....................", 0, false),
            ("FFFFFFFFFFFFFFFFFFFF", 0, false),
            // One outage is two changes; it is no flapping wherever it stands.
            (".....FFFFF..........", 9, false),
            ("..........FFFFF.....", 11, false),
            (".F.F.F.F.F.F.F.F.F.F", 100, true),
            // Too few to say.
            ("F.F.F.F.F.F.F", 0, false),
            // Six changes, old and new.
            (".F.F.F..............", 27, false),
            ("..............F.F.F.", 36, true),
            // It goes on until it is clearly over.
            ("F.F.F.F.F.F.F.F.F.F.FFFFFFFFFFFFFFFF", 17, false),
            ("F.F.F.F.F.F.F.F.F.F.FFFFFFFFFFFFF", 31, true),
        ] {
            let flap = after(samples);
            assert_eq!(
                (flap.percent(), flap.flapping),
                (percent, flapping),
                "{samples}"
            );
        }
    }
}
