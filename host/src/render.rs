//! Diagnostics as terminal text: what is wrong, the line at fault, the facts, and what to do.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::io::{self, IsTerminal, Write};
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use checkd_core::config::Source;
use checkd_core::diagnostic::{Diagnostic, Place, Severity};

/// Writes every diagnostic, then a line that counts them, to standard error: in colour only on a
/// terminal, and never when `NO_COLOR` is set.
pub fn to_stderr(diagnostics: &[Diagnostic], sources: &[Source]) -> io::Result<()> {
    let stderr = io::stderr();
    let colour = stderr.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
    let text = all(diagnostics, sources, colour);
    stderr.lock().write_all(text.as_bytes())
}

/// The same text as a page, without colour.
pub fn plain(diagnostics: &[Diagnostic], sources: &[Source]) -> String {
    all(diagnostics, sources, false)
}

/// So many are shown: nobody reads more before mending some.
const SHOWN: usize = 200;

/// The diagnostics in their order, at most [`SHOWN`] of them, and how many there are. Errors go
/// before warnings where not all can be shown.
fn all(diagnostics: &[Diagnostic], sources: &[Source], colour: bool) -> String {
    let sources = &*masked(diagnostics, sources);
    let lines = Lines::of(sources);
    let errors = diagnostics
        .iter()
        .filter(|told| told.severity == Severity::Error)
        .count();
    let mut left = [SHOWN.saturating_sub(errors), SHOWN];
    let [warnings, errors] = &mut left;
    let mut text = String::new();
    let mut shown = 0;
    for diagnostic in diagnostics {
        let left = match diagnostic.severity {
            Severity::Warning => &mut *warnings,
            Severity::Error => &mut *errors,
        };
        if *left == 0 {
            continue;
        }
        *left -= 1;
        shown += 1;
        text.push_str(&with_lines(diagnostic, sources, &lines, colour));
        text.push('\n');
    }
    match diagnostics.len() - shown {
        0 => {}
        more => text.push_str(&format!(
            "and {more} more; mend these first, or see all with `checkd validate --json`\n\n"
        )),
    }
    text.push_str(&count(diagnostics));
    text
}

/// `2 errors, 1 warning`, as a line; empty when there is nothing.
pub fn count(diagnostics: &[Diagnostic]) -> String {
    let of = |severity| {
        diagnostics
            .iter()
            .filter(|d| d.severity == severity)
            .count()
    };
    let plural = |n: usize, word: &str| match n {
        1 => format!("1 {word}"),
        n => format!("{n} {word}s"),
    };
    match (of(Severity::Error), of(Severity::Warning)) {
        (0, 0) => String::new(),
        (0, warnings) => plural(warnings, "warning") + "\n",
        (errors, 0) => plural(errors, "error") + "\n",
        (errors, warnings) => {
            format!(
                "{}, {}\n",
                plural(errors, "error"),
                plural(warnings, "warning")
            )
        }
    }
}

/// Where the lines of each source begin, once somebody asks: a large file may have many mistakes.
pub struct Lines(Vec<OnceCell<Vec<usize>>>);

impl Lines {
    /// Of these sources.
    pub fn of(sources: &[Source]) -> Self {
        Self(sources.iter().map(|_| OnceCell::new()).collect())
    }

    /// The line of a byte, from 1, and the byte at which that line begins.
    pub fn line(&self, source: u32, text: &str, at: usize) -> (usize, usize) {
        let Some(begins) = self.0.get(source as usize) else {
            return (1, 0);
        };
        let begins = begins.get_or_init(|| {
            std::iter::once(0)
                .chain(text.match_indices('\n').map(|(at, _)| at + 1))
                .collect()
        });
        let line = begins.partition_point(|&begin| begin <= at);
        let begin = line.checked_sub(1).and_then(|index| begins.get(index));
        (line, begin.copied().unwrap_or(0))
    }
}

/// One diagnostic, with a line end.
pub fn one(diagnostic: &Diagnostic, sources: &[Source], colour: bool) -> String {
    let sources = masked(std::slice::from_ref(diagnostic), sources);
    let lines = Lines::of(&sources);
    with_lines(diagnostic, &sources, &lines, colour)
}

/// The sources with every value masked that may be a secret, at its length: whichever mistake stands
/// beside it, its line is shown.
fn masked<'a>(diagnostics: &[Diagnostic], sources: &'a [Source]) -> Cow<'a, [Source]> {
    let mut sources = Cow::Borrowed(sources);
    for told in diagnostics.iter().filter(|told| told.hidden) {
        let Some((place, _)) = &told.primary else {
            continue;
        };
        let Some(source) = sources.to_mut().get_mut(place.source as usize) else {
            continue;
        };
        let range = span(*place, 0, &source.text);
        let value = source.text.get(range.clone()).unwrap_or_default();
        let quote = value.chars().next().filter(|c| "\"'".contains(*c));
        let hidden: String = value
            .chars()
            .map(|c| match c {
                '\n' => "\n".into(),
                _ if Some(c) == quote => c.into(),
                _ => "*".repeat(c.len_utf8()),
            })
            .collect();
        source.text.replace_range(range, &hidden);
    }
    sources
}

fn with_lines(diagnostic: &Diagnostic, sources: &[Source], lines: &Lines, colour: bool) -> String {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let title = level
        .primary_title(printable(&diagnostic.message))
        .id(diagnostic.code);
    let mut group = Group::with_title(title);
    let mut cuts = Vec::new();
    if let Some((place, words)) = &diagnostic.primary {
        let mut marks = vec![(*place, AnnotationKind::Primary, words)];
        marks.extend(
            diagnostic
                .secondary
                .iter()
                .map(|(place, words)| match words.as_str() {
                    "" => (*place, AnnotationKind::Visible, words),
                    _ => (*place, AnnotationKind::Context, words),
                }),
        );
        // One excerpt per source, the primary one first.
        let mut shown: Vec<u32> = Vec::new();
        for (place, _, _) in &marks {
            if !shown.contains(&place.source) {
                shown.push(place.source);
            }
        }
        for index in shown {
            if let Some(source) = sources.get(index as usize) {
                let here: Vec<_> = marks
                    .iter()
                    .copied()
                    .filter(|(p, _, _)| p.source == index)
                    .collect();
                cuts.push((source, index, here));
            }
        }
    }
    for (source, index, marks) in &cuts {
        let places = marks.iter().map(|(place, _, _)| *place);
        let (text, line, offset) = excerpt(*index, &source.text, lines, places);
        let mut snippet = Snippet::source(text)
            .path(source.name.as_str())
            .line_start(line);
        for (place, kind, words) in marks {
            let mut mark = kind.span(span(*place, offset, text));
            if !words.is_empty() {
                mark = mark.label(printable(words));
            }
            snippet = snippet.annotation(mark);
        }
        group = group.element(snippet);
    }
    for note in &diagnostic.notes {
        group = group.element(Level::NOTE.no_name().message(printable(note)));
    }
    let mut report = vec![group];
    if let Some(help) = &diagnostic.help {
        report.push(Group::with_title(
            Level::HELP.secondary_title(printable(help)),
        ));
    }
    let renderer = if colour {
        Renderer::styled()
    } else {
        Renderer::plain()
    };
    tidy(&renderer.render(&report), cuts.is_empty())
}

/// Drops the empty gutter lines that only separate: before a fact, before the help, at the end.
/// Without an excerpt there is no gutter, and facts are set in by hand.
fn tidy(rendered: &str, alone: bool) -> String {
    let bare = |line: &str| {
        let line = anstream::adapter::strip_str(line).to_string();
        line.trim().to_owned()
    };
    let lines: Vec<&str> = rendered.lines().collect();
    let mut kept = String::with_capacity(rendered.len());
    for (index, line) in lines.iter().enumerate() {
        let next = lines.get(index + 1).map(|next| bare(next));
        let separates = match next.as_deref() {
            None => true,
            Some(next) => next.starts_with("= ") || next.starts_with("help: "),
        };
        if bare(line) == "|" && separates {
            continue;
        }
        if alone && bare(line).starts_with("= ") {
            kept.push_str("  ");
        }
        kept.push_str(line.trim_end());
        kept.push('\n');
    }
    kept
}

/// The whole lines around the marks, the number of the first, and its first byte: a large file is
/// not searched by the renderer for a few lines.
fn excerpt<'a>(
    source: u32,
    text: &'a str,
    lines: &Lines,
    places: impl Iterator<Item = Place>,
) -> (&'a str, usize, usize) {
    let (mut start, mut end) = (text.len(), 0);
    for place in places {
        start = start.min(place.start as usize);
        end = end.max(place.end as usize);
    }
    let start = floor(text, start);
    let end = floor(text, end.max(start));
    let (line, first) = lines.line(source, text, start);
    let last = text
        .get(end..)
        .and_then(|t| t.find('\n'))
        .map_or(text.len(), |at| end + at);
    (text.get(first..last).unwrap_or(""), line, first)
}

fn floor(text: &str, mut at: usize) -> usize {
    at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

fn span(place: Place, offset: usize, text: &str) -> Range<usize> {
    let start = floor(text, (place.start as usize).saturating_sub(offset));
    let end = floor(text, (place.end as usize).saturating_sub(offset)).max(start);
    start..end
}

/// Without control characters: what a stranger wrote must not steer the terminal.
fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

#[cfg(test)]
mod tests;
