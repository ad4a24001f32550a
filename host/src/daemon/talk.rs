//! What the person watching `checkd run` sees: one line for each thing that happens.

use std::io::{IsTerminal, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use checkd_core::policy::NoticeKind;

use crate::cli::paint::broken;
use crate::wall;

/// So many lines may wait for a terminal that does not take them (Ctrl-S, a full pipe).
const QUEUE: usize = 1_024;

/// A terminal that stands still must not keep the daemon from ending.
const LAST_LINES: Duration = Duration::from_secs(1);

/// Below so many columns a text is not broken: there is no room beside the time and the member.
const NARROW: usize = 40;

/// Writes lines to standard error from a thread of its own, so a terminal that stands still holds up
/// nothing.
#[derive(Debug)]
pub(super) struct Talk {
    queue: SyncSender<String>,
    /// Hears nothing, and that there is nobody any more when everything is written.
    written: Receiver<()>,
    colour: bool,
    width: usize,
}

impl Talk {
    /// Begins to talk. `width` is how wide the column of members is.
    pub(super) fn begin(width: usize) -> std::io::Result<Self> {
        Self::begin_into(std::io::stderr(), width)
    }

    fn begin_into(mut sink: impl Write + Send + 'static, width: usize) -> std::io::Result<Self> {
        let (queue, lines) = sync_channel::<String>(QUEUE);
        let (writing, written) = sync_channel(0);
        std::thread::Builder::new()
            .name("talk".to_owned())
            .spawn(move || {
                let _writing: SyncSender<()> = writing;
                for line in lines {
                    // A closed terminal is no reason to end.
                    drop(sink.write_all(line.as_bytes()));
                }
            })?;
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let colour = !plain && std::io::stderr().is_terminal();
        Ok(Self {
            queue,
            written,
            colour,
            width: width.max("checkd".len()),
        })
    }

    /// Makes the column of members as wide as they need.
    pub(super) fn widen(&mut self, width: usize) {
        self.width = width.max("checkd".len());
    }

    /// One line as it stands.
    pub(super) fn line(&self, text: &str) {
        // A full queue loses a line of talk; the journal has it.
        drop(self.queue.try_send(format!("{text}\n")));
    }

    /// `12:00:03  web/web-2  text`, broken between words at the terminal's width.
    pub(super) fn about(&self, wall_ms: i64, who: &str, text: &str, kind: Option<NoticeKind>) {
        let style = match kind {
            Some(NoticeKind::Incident) => AnsiColor::Red.on_default(),
            Some(
                NoticeKind::GivenUp
                | NoticeKind::Hold
                | NoticeKind::Unwritten
                | NoticeKind::Quarantined,
            ) => AnsiColor::Red.on_default().bold(),
            Some(NoticeKind::Acting | NoticeKind::Signalling | NoticeKind::Stopping) => {
                AnsiColor::Yellow.on_default()
            }
            Some(NoticeKind::Recovered | NoticeKind::Thaw | NoticeKind::Released) => {
                AnsiColor::Green.on_default()
            }
            Some(NoticeKind::Blind | NoticeKind::Stall | NoticeKind::Flapping) => {
                AnsiColor::Magenta.on_default()
            }
            Some(NoticeKind::Waiting | NoticeKind::Chronic) => {
                AnsiColor::Yellow.on_default().bold()
            }
            _ => Style::new(),
        };
        let style = if self.colour { style } else { Style::new() };
        let time = wall::time_of_day(wall_ms);
        let width = self.width;
        let head = format!("{time}  {who:width$}  ");
        self.line(&hung(&head, text, style));
    }

    /// `12:00:03  checkd  text`.
    pub(super) fn own(&self, text: &str) {
        self.about(wall::now_ms(), "checkd", text, None);
    }

    /// Waits until everything is written; not for long where nobody takes it.
    pub(super) fn end(self) {
        drop(self.queue);
        // Nothing is ever sent: it ends when the writer does, or the patience.
        let _written = self.written.recv_timeout(LAST_LINES);
    }
}

/// `head` and `text`, which is broken between words at the terminal's width; every line after the
/// first begins below the text's first word.
pub(super) fn hung(head: &str, text: &str, style: Style) -> String {
    let column = head.chars().count();
    let mut lines = String::from(head);
    for (n, part) in parts(text, columns(), column).iter().enumerate() {
        if n > 0 {
            lines.push('\n');
            lines.push_str(&" ".repeat(column));
        }
        lines.push_str(&format!("{style}{part}{style:#}"));
    }
    lines
}

/// How wide the terminal is now, when standard error is one.
fn columns() -> Option<usize> {
    let stderr = std::io::stderr();
    let terminal = stderr.is_terminal();
    let size = rustix::termios::tcgetwinsize(&stderr).ok();
    size.filter(|_| terminal)
        .map(|size| usize::from(size.ws_col))
        .filter(|&columns| columns >= NARROW)
}

/// The lines of a text that begins at `column`; one where there is no terminal.
fn parts(text: &str, columns: Option<usize>, column: usize) -> Vec<String> {
    let Some(columns) = columns else {
        return vec![text.to_owned()];
    };
    let room = columns.saturating_sub(column).max(NARROW / 2);
    let parts = broken(text, room);
    if parts.is_empty() {
        vec![String::new()]
    } else {
        parts
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::mpsc::{Receiver, channel};

    use super::{Talk, parts};

    /// A terminal that takes nothing until it is let go.
    struct Still(Receiver<()>);

    impl io::Write for Still {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.recv().ok();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_terminal_that_stands_still_does_not_keep_us_from_ending() {
        let (let_go, still) = channel();
        let talk = Talk::begin_into(Still(still), 0).unwrap();
        talk.own("a line that nobody takes");
        // Before, this waited for as long as the terminal.
        talk.end();
        drop(let_go);
    }

    #[test]
    fn a_line_is_broken_on_a_terminal_alone() {
        let text = "restart waits for budget (1 out, at most 1 allowed)";
        assert_eq!(parts(text, None, 20), [text]);
        assert_eq!(parts(text, Some(200), 20), [text]);
        let broken = parts(text, Some(50), 20);
        assert_eq!(broken.join(" "), text);
        assert!(broken.len() > 1 && broken.iter().all(|part| part.len() <= 30));
        assert_eq!(parts("", Some(80), 20), [""]);
    }
}
