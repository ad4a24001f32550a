//! What the person watching `checkd run` sees: one line for each thing that happens.

use std::io::{IsTerminal, Write};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;

use anstyle::{AnsiColor, Style};
use checkd_core::policy::NoticeKind;

use crate::cli::paint::broken;
use crate::wall;

/// So many lines may wait for a terminal that does not take them (Ctrl-S, a full pipe).
const QUEUE: usize = 1_024;

/// Below so many columns a text is not broken: there is no room beside the time and the member.
const NARROW: usize = 40;

/// Writes lines to standard error from a thread of its own, so a terminal that stands still holds up
/// nothing.
#[derive(Debug)]
pub(super) struct Talk {
    queue: SyncSender<String>,
    writer: JoinHandle<()>,
    colour: bool,
    width: usize,
}

impl Talk {
    /// Begins to talk. `width` is how wide the column of members is.
    pub(super) fn begin(width: usize) -> std::io::Result<Self> {
        let (queue, lines) = sync_channel::<String>(QUEUE);
        let writer = std::thread::Builder::new()
            .name("talk".to_owned())
            .spawn(move || {
                for line in lines {
                    // A closed terminal is no reason to end.
                    drop(std::io::stderr().lock().write_all(line.as_bytes()));
                }
            })?;
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let colour = !plain && std::io::stderr().is_terminal();
        Ok(Self {
            queue,
            writer,
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
            Some(NoticeKind::GivenUp | NoticeKind::Hold) => AnsiColor::Red.on_default().bold(),
            Some(NoticeKind::Acting) => AnsiColor::Yellow.on_default(),
            Some(NoticeKind::Recovered | NoticeKind::Thaw) => AnsiColor::Green.on_default(),
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

    /// Waits until everything is written.
    pub(super) fn end(self) {
        drop(self.queue);
        if self.writer.join().is_err() {
            tracing::debug!("the writer of lines ended badly");
        }
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
    use super::parts;

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
