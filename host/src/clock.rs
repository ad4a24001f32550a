//! The one place where the host reads the boot clock that the engine counts in.

use checkd_core::Instant;
use rustix::time::{ClockId, clock_gettime};

/// Now, in milliseconds of `CLOCK_BOOTTIME`: it goes on while the machine is suspended, and no
/// person can set it.
pub fn now() -> Instant {
    let time = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let millis = u64::try_from(time.tv_nsec / 1_000_000).unwrap_or(0);
    Instant(seconds.saturating_mul(1_000).saturating_add(millis))
}

#[cfg(test)]
mod tests {
    use super::now;

    #[test]
    fn the_clock_counts_from_boot_and_never_back() {
        let first = now();
        assert!(first.0 > 0);
        assert!(now() >= first);
    }
}
