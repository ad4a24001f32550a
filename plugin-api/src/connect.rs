//! What it says about a target that no connection to it came to stand, and what it does not say.

use std::io::{Error, ErrorKind};

use crate::{Cause, Sample};

impl Sample {
    /// A connection to `peer` did not come to stand: Fail when the peer refused or cannot be reached,
    /// Unknown when this machine could not even try (no permission; out of descriptors, ports or
    /// memory), because then no restart of the peer would help.
    ///
    /// ```
    /// # use checkd_plugin_api::{Cause, Sample};
    /// let error = std::io::Error::from_raw_os_error(111);
    /// let sample = Sample::not_connected(&error, "127.0.0.1:80");
    /// assert_eq!(sample, Sample::fail(Cause::Refused, "connection refused, 127.0.0.1:80"));
    /// ```
    #[must_use]
    pub fn not_connected(error: &Error, peer: &str) -> Self {
        let text = error.to_string();
        // As messages are written: lower case, without the number.
        let text = text
            .split(" (os error")
            .next()
            .unwrap_or_default()
            .to_lowercase();
        let message = format!("{text}, {peer}");
        let kind = error.kind();
        let short = [ErrorKind::AddrNotAvailable, ErrorKind::OutOfMemory].contains(&kind);
        if kind == ErrorKind::PermissionDenied {
            Self::unknown(Cause::NoPermission, message)
        } else if short || is_out_of_descriptors(error) {
            Self::unknown(Cause::HostStall, message)
        } else if kind == ErrorKind::TimedOut {
            Self::fail(Cause::Timeout, message)
        } else {
            Self::fail(Cause::Refused, message)
        }
    }
}

/// ENFILE and EMFILE, for which the standard library has no kind.
fn is_out_of_descriptors(error: &Error) -> bool {
    matches!(error.raw_os_error(), Some(23 | 24))
}

#[cfg(test)]
mod tests {
    use std::io::Error;

    use crate::{Cause, Sample, Status};

    #[test]
    fn only_what_a_peer_does_is_a_fail() {
        for (number, status, cause, words) in [
            (111, Status::Fail, Cause::Refused, "connection refused"),
            (113, Status::Fail, Cause::Refused, "no route to host"),
            (101, Status::Fail, Cause::Refused, "network is unreachable"),
            (
                104,
                Status::Fail,
                Cause::Refused,
                "connection reset by peer",
            ),
            (2, Status::Fail, Cause::Refused, "no such file or directory"),
            (110, Status::Fail, Cause::Timeout, "connection timed out"),
            (
                13,
                Status::Unknown,
                Cause::NoPermission,
                "permission denied",
            ),
            (
                1,
                Status::Unknown,
                Cause::NoPermission,
                "operation not permitted",
            ),
            (24, Status::Unknown, Cause::HostStall, "too many open files"),
            (
                23,
                Status::Unknown,
                Cause::HostStall,
                "too many open files in system",
            ),
            (
                99,
                Status::Unknown,
                Cause::HostStall,
                "cannot assign requested address",
            ),
            (
                12,
                Status::Unknown,
                Cause::HostStall,
                "cannot allocate memory",
            ),
        ] {
            let sample = Sample::not_connected(&Error::from_raw_os_error(number), "h:1");
            assert_eq!(
                (sample.status, sample.cause),
                (status, Some(cause)),
                "{number}"
            );
            assert_eq!(sample.message, format!("{words}, h:1"));
        }
    }
}
