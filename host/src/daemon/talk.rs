//! What the person watching `checkd run` sees: one line for each thing that happens.

use std::io::{IsTerminal, Write};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;

use anstyle::{AnsiColor, Style};
use checkd_core::policy::NoticeKind;

use crate::wall;

/// So many lines may wait for a terminal that does not take them (Ctrl-S, a full pipe).
const QUEUE: usize = 1_024;

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

    /// `12:00:03  web/web-2  text`.
    pub(super) fn about(&self, wall_ms: i64, who: &str, text: &str, kind: Option<NoticeKind>) {
        let style = match kind {
            Some(NoticeKind::Incident) => AnsiColor::Red.on_default(),
            Some(NoticeKind::GivenUp) => AnsiColor::Red.on_default().bold(),
            Some(NoticeKind::Acting) => AnsiColor::Yellow.on_default(),
            Some(NoticeKind::Recovered) => AnsiColor::Green.on_default(),
            Some(NoticeKind::Blind) => AnsiColor::Magenta.on_default(),
            _ => Style::new(),
        };
        let style = if self.colour { style } else { Style::new() };
        let time = wall::time_of_day(wall_ms);
        let width = self.width;
        self.line(&format!("{time}  {who:width$}  {style}{text}{style:#}"));
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
