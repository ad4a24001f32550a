//! The wait before the next attempt: doubling, capped, drawn from its upper half.

use serde::{Deserialize, Serialize};

use crate::Span;
use crate::plan::Backoff;

/// Chance as a number in the state: the same seed gives the same waits (policy.md P1).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Chance(u64);

impl Chance {
    /// Chance that begins at `seed`.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number (splitmix64, Steele, Lea and Flood 2014).
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

impl Backoff {
    /// The `n`-th wait in a row, not yet drawn: `min(cap, base · 2^(n-1))`; nothing for `n` = 0.
    pub fn wait(self, n: u32) -> Span {
        let Some(doublings) = n.checked_sub(1) else {
            return Span::ZERO;
        };
        let factor = 1_u64.checked_shl(doublings).unwrap_or(u64::MAX);
        (self.base * factor).min(self.cap)
    }

    /// The `n`-th wait, uniform in its upper half: members that failed together do not come back
    /// together.
    pub fn drawn(self, n: u32, chance: &mut Chance) -> Span {
        let wait = self.wait(n);
        let half = wait.0 / 2;
        Span(wait.0 - chance.draw().checked_rem(half).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Chance;
    use crate::Span;
    use crate::plan::Backoff;

    #[test]
    fn it_doubles_to_its_cap() {
        let backoff = Backoff {
            base: Span::secs(10),
            cap: Span::secs(300),
        };
        let waits: Vec<u64> = (0..8).map(|n| backoff.wait(n).0 / 1_000).collect();
        assert_eq!(waits, [0, 10, 20, 40, 80, 160, 300, 300]);
        assert_eq!(backoff.wait(u32::MAX), Span::secs(300), "no overflow");
    }

    proptest! {
        #[test]
        fn it_is_drawn_from_the_upper_half(n in 1..100_u32, seed in any::<u64>()) {
            let backoff = Backoff { base: Span::secs(1), cap: Span::secs(60) };
            let drawn = backoff.drawn(n, &mut Chance::new(seed));
            let wait = backoff.wait(n);
            prop_assert!(drawn <= wait && drawn.0 > wait.0 / 2);
        }
    }
}
