//! Whether the keeper still answers: it is asked for a sign of life, and its silence is told.

use std::time::Duration;

use checkd_core::Span;
use checkd_core::diagnostic::Diagnostic;
use tokio::time::Instant;

/// How often it is asked.
pub(super) const EVERY: Duration = Duration::from_secs(5);
/// A keeper that answers nothing for so long hangs. It may wait for a disk that stalls, so this is long.
const HANGS: Duration = Duration::from_secs(15);

/// What was heard of the keeper.
#[derive(Debug, Default)]
pub(super) struct Pulse {
    /// Since when an answer is due.
    asked: Option<Instant>,
}

impl Pulse {
    /// It said something, whatever it was.
    pub(super) fn heard(&mut self) {
        self.asked = None;
    }

    /// Whether it is to be asked now: not while an answer is due.
    pub(super) fn ask(&mut self, now: Instant) -> bool {
        let free = self.asked.is_none();
        self.asked.get_or_insert(now);
        free
    }

    /// For how long it has been silent, once that is long.
    pub(super) fn silent(&self, now: Instant) -> Option<Span> {
        let since = now.saturating_duration_since(self.asked?);
        let ms = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        (since >= HANGS).then_some(Span::millis(ms / 1_000 * 1_000))
    }
}

/// What a person is told of a keeper that hangs.
pub(super) fn hangs(pid: u32, silent: Span) -> Diagnostic {
    Diagnostic::error(
        "C0522",
        format!("the keeper (pid {pid}) has not answered for {silent}"),
    )
    .note("it is stopped, or waits for a disk or a network file system")
    .note("until it answers no member is started or stopped, and no end of one is seen")
    .help(way_out(pid))
}

/// What can be done, and what it costs.
pub(super) fn way_out(pid: u32) -> String {
    format!(
        "`ps -o stat,wchan -p {pid}` shows what it waits for; after `kill -KILL {pid}` members live on \
         under another keeper, and only the exit codes of those that run now are lost"
    )
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::{HANGS, Pulse};

    #[test]
    fn only_a_long_silence_is_told_and_any_word_ends_it() {
        let begin = Instant::now();
        let mut pulse = Pulse::default();
        assert_eq!(pulse.silent(begin + HANGS * 10), None);
        assert!(pulse.ask(begin));
        assert!(!pulse.ask(begin + HANGS));
        assert_eq!(pulse.silent(begin + HANGS / 2), None);
        let silent = pulse.silent(begin + HANGS * 2).unwrap();
        assert_eq!(silent.to_string(), "30s");
        pulse.heard();
        assert_eq!(pulse.silent(begin + HANGS * 2), None);
        assert!(pulse.ask(begin + HANGS * 2));
    }
}
