//! How this machine is: what the engine must know to tell a sick target from a machine that stalls.

use std::fs;
use std::num::NonZero;
use std::thread::available_parallelism;
use std::time::Duration;

use checkd_core::engine::HostFacts;

/// How often the machine is looked at: half of the ten seconds that the kernel averages over.
pub(crate) const EVERY: Duration = Duration::from_secs(5);

/// The machine now. Without pressure stall information (`CONFIG_PSI`) it is never under pressure.
pub(crate) fn read() -> HostFacts {
    let pressure =
        |of: &str| fs::read_to_string(format!("/proc/pressure/{of}")).map_or(0, |text| full(&text));
    HostFacts {
        cores: available_parallelism()
            .map_or(1, NonZero::get)
            .try_into()
            .unwrap_or(u32::MAX),
        memory_full: pressure("memory"),
        io_full: pressure("io"),
    }
}

/// `avg10` of the line `full avg10=1.23 avg60=… avg300=… total=…`, in whole percent.
fn full(text: &str) -> u8 {
    text.lines()
        .find_map(|line| line.strip_prefix("full avg10="))
        .and_then(|rest| rest.split(['.', ' ']).next())
        .and_then(|whole| whole.parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::{full, read};

    #[test]
    fn the_kernel_s_lines_are_read() {
        let text = "some avg10=80.11 avg60=1.00 avg300=0.00 total=5\nfull avg10=42.77 avg60=0.51 avg300=0.00 total=7\n";
        assert_eq!(full(text), 42);
        assert_eq!(full("some avg10=80.11 avg60=1.00 avg300=0.00 total=5\n"), 0);
        assert_eq!(full("full avg10=x\n"), 0);
        assert_eq!(full(""), 0);
        assert!(read().cores >= 1);
    }
}
