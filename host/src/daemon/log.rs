//! Logs beside the talk of `checkd run`: the same columns, broken at the terminal's width as it is.

use std::fmt;

use anstyle::Style;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::talk::hung;
use crate::wall;

/// `12:00:03  warning  worker died; it starts again (plugin acme, deaths 2)`.
struct Line {
    width: usize,
}

/// Begins to log to standard error, from `level` on: `error`, `warn`, `info`, `debug`. `width` is how
/// wide the column of members is.
pub(super) fn begin(level: Option<&str>, width: usize) {
    let level = match level {
        Some("error") => LevelFilter::ERROR,
        Some("info") => LevelFilter::INFO,
        Some("debug") => LevelFilter::DEBUG,
        _ => LevelFilter::WARN,
    };
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(std::io::stderr)
        .event_format(Line { width })
        .finish();
    if tracing::subscriber::set_global_default(subscriber).is_err() {
        tracing::debug!("somebody else takes the logs already");
    }
}

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut to: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut said = Said::default();
        event.record(&mut said);
        let level = match *event.metadata().level() {
            Level::ERROR => "error",
            Level::WARN => "warning",
            Level::INFO => "checkd",
            _ => "debug",
        };
        let time = wall::time_of_day(wall::now_ms());
        let width = self.width;
        let mut text = said.message;
        if !said.fields.is_empty() {
            text.push_str(&format!(" ({})", said.fields.join(", ")));
        }
        let head = format!("{time}  {level:width$}  ");
        writeln!(to, "{}", hung(&head, &text, Style::new()))
    }
}

#[derive(Default)]
struct Said {
    message: String,
    fields: Vec<String>,
}

impl Visit for Said {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.take(field, value);
    }
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.take(field, &format!("{value:?}"));
    }
}

impl Said {
    fn take(&mut self, field: &Field, text: &str) {
        // What a plugin or a member said must not move the cursor.
        let text = text.replace(|c: char| c.is_control(), " ");
        if field.name() == "message" {
            self.message = text;
        } else {
            self.fields
                .push(format!("{} {text}", field.name().replace('_', " ")));
        }
    }
}
