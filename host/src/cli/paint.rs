//! Text for a terminal: its width, its colours, lines that break between words.

use std::io::{ErrorKind, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use anstyle::{AnsiColor, Style};
use checkd_core::Status;

/// What a text means, and so how it is coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ink {
    Plain,
    Good,
    Bad,
    Busy,
    Unsure,
    Quiet,
    Strong,
}

/// How to write to standard output.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paper {
    /// Columns.
    pub(crate) width: usize,
    colour: bool,
}

impl Paper {
    /// As standard output is: 80 columns without a terminal, at most 110 with one, colour only on a
    /// terminal and without `NO_COLOR`.
    pub(crate) fn of_stdout() -> Self {
        let stdout = std::io::stdout();
        let terminal = stdout.is_terminal();
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let size = rustix::termios::tcgetwinsize(&stdout)
            .ok()
            .map(|size| usize::from(size.ws_col));
        let width = size
            .filter(|&columns| terminal && columns >= 40)
            .unwrap_or(80)
            .min(110);
        Self {
            width,
            colour: terminal && !plain,
        }
    }

    /// 80 columns without colour.
    pub(crate) const fn plain() -> Self {
        Self {
            width: 80,
            colour: false,
        }
    }

    /// `text` in its colour.
    pub(crate) fn ink(self, ink: Ink, text: &str) -> String {
        let style = match ink {
            Ink::Plain => Style::new(),
            Ink::Good => AnsiColor::Green.on_default(),
            Ink::Bad => AnsiColor::Red.on_default(),
            Ink::Busy => AnsiColor::Yellow.on_default(),
            Ink::Unsure => AnsiColor::Magenta.on_default(),
            Ink::Quiet => Style::new().dimmed(),
            Ink::Strong => Style::new().bold(),
        };
        if self.colour {
            format!("{style}{text}{style:#}")
        } else {
            text.to_owned()
        }
    }

    /// `head`, then `text` broken between words; every line after the first begins below the first
    /// word of the text. `column` is where that is, and `head` is padded to it.
    pub(crate) fn hang(self, out: &mut String, head: &str, column: usize, text: &str, ink: Ink) {
        let used = shown(head);
        out.push_str(head);
        out.push_str(&" ".repeat(column.saturating_sub(used)));
        let room = self.width.saturating_sub(column.max(used)).max(20);
        let mut first = true;
        for line in broken(text, room) {
            if !first {
                out.push_str(&" ".repeat(column));
            }
            first = false;
            out.push_str(&self.ink(ink, &line));
            out.push('\n');
        }
        if first {
            out.truncate(out.trim_end_matches(' ').len());
            out.push('\n');
        }
    }
}

/// Colour of a status.
pub(crate) const fn of_status(status: Status) -> Ink {
    match status {
        Status::Pass => Ink::Good,
        Status::Warn => Ink::Busy,
        Status::Fail => Ink::Bad,
        Status::Unknown => Ink::Unsure,
    }
}

/// How many columns a text takes, colours left out.
fn shown(text: &str) -> usize {
    let mut columns = 0;
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        if c == '\u{1b}' {
            // A colour ends with its first letter.
            for c in rest.by_ref() {
                if c.is_ascii_alphabetic() {
                    break;
                }
            }
        } else {
            columns += 1;
        }
    }
    columns
}

/// Lines of at most `room` columns; a longer word stands alone. Control characters, which hostile
/// output may hold, become `?`.
pub(crate) fn broken(text: &str, room: usize) -> Vec<String> {
    let text: String = text
        .chars()
        .map(|c| if c.is_control() && c != '\n' { '?' } else { c })
        .collect();
    let mut lines = Vec::new();
    let mut line = String::new();
    let mut columns = 0;
    for word in text.split_whitespace() {
        let width = word.chars().count();
        if columns > 0 && columns + 1 + width > room {
            lines.push(std::mem::take(&mut line));
            columns = 0;
        }
        if columns > 0 {
            line.push(' ');
            columns += 1;
        }
        line.push_str(word);
        columns += width;
    }
    if !line.is_empty() {
        lines.push(line);
    }
    lines
}

/// Whether data could not be written for another reason than that nobody reads on.
static LOST: AtomicBool = AtomicBool::new(false);

/// Whether some of what this program printed is lost: its exit code must not say that all is well.
pub(crate) fn lost() -> bool {
    LOST.load(Ordering::Relaxed)
}

/// Writes data to standard output. False when nobody takes it (`| head`).
pub(crate) fn print(text: &str) -> bool {
    let mut stdout = std::io::stdout().lock();
    let written = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush());
    if let Err(error) = &written
        && error.kind() != ErrorKind::BrokenPipe
        && !LOST.swap(true, Ordering::Relaxed)
    {
        let why = crate::manager::plain(error);
        super::tell::say(&format!("cannot write to standard output: {why}"));
    }
    written.is_ok()
}

/// Writes a value as JSON to standard output.
pub(crate) fn print_json(value: &impl serde::Serialize) -> bool {
    serde_json::to_string_pretty(value).is_ok_and(|text| print(&format!("{text}\n")))
}

#[cfg(test)]
mod tests {
    use super::{Ink, Paper, broken, shown};

    #[test]
    fn lines_break_between_words_and_hang() {
        assert_eq!(broken("one two three", 7), ["one two", "three"]);
        assert_eq!(broken("extraordinary x", 5), ["extraordinary", "x"]);
        assert_eq!(broken("a\u{1b}[31mb", 20), ["a?[31mb"]);
        assert_eq!(shown("\u{1b}[31mred\u{1b}[0m"), 3);
        let mut out = String::new();
        let paper = Paper {
            width: 30,
            ..Paper::plain()
        };
        paper.hang(
            &mut out,
            "head",
            8,
            "the text is longer than that",
            Ink::Plain,
        );
        assert_eq!(out, "head    the text is longer\n        than that\n");
    }
}
