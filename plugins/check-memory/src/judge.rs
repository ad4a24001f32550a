//! From what one look at `/proc` saw to a sample; pure, so that tables can test it.

use checkd_plugin_api::{Cause, Sample};

/// What one look saw.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Observation {
    /// All that was asked for was read.
    Whole(Held),
    /// Part of the tree could not be read; this much of it was.
    Partial(Held, Blind),
    /// The process itself could not be read.
    Nothing(Blind),
}

/// Memory that processes hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Held {
    /// Resident bytes, all processes together.
    pub(crate) rss: u64,
    /// How many processes were counted.
    pub(crate) processes: usize,
}

/// Why something could not be seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Blind {
    /// The member has no process.
    NoProcess,
    /// The process has exited.
    Gone(u32),
    /// The tree changed in each of several walks.
    Restless,
    /// The tree has more processes than are walked.
    TooMany(usize),
    /// The time was up before the tree was walked.
    TimeUp,
    /// Not allowed to read it.
    Forbidden(u32),
    /// This kernel does not tell which processes are children.
    NoChildren,
    /// Any other trouble, in words.
    Unreadable(String),
}

/// Judges one look against the limit, in bytes.
pub(crate) fn judge(max_rss: u64, cumulative: bool, observation: &Observation) -> Sample {
    let (held, blind) = match observation {
        Observation::Whole(held) => (*held, None),
        Observation::Partial(held, blind) => (*held, Some(blind)),
        Observation::Nothing(blind) => return unknown(blind),
    };
    let sample = match blind {
        // A part that is over the limit puts the whole over it.
        _ if held.rss > max_rss => {
            let (rss, limit) = amounts(held.rss, max_rss);
            Sample::fail(
                Cause::Wrong,
                format!("rss {rss}{} over {limit}", of(held, cumulative)),
            )
        }
        Some(blind) => unknown(blind),
        None => {
            let (rss, limit) = amounts(held.rss, max_rss);
            Sample::pass(format!("rss {rss}{} of {limit}", of(held, cumulative)))
        }
    };
    let sample = sample.measure_limit("rss", float(held.rss), "B", float(max_rss));
    if cumulative {
        sample.measure("processes", float(held.processes as u64), "")
    } else {
        sample
    }
}

fn unknown(blind: &Blind) -> Sample {
    match blind {
        Blind::NoProcess => Sample::unknown(Cause::Misconfigured, "there is no process to look at"),
        Blind::Gone(pid) => {
            Sample::unknown(Cause::Misconfigured, format!("process {pid} has exited"))
        }
        Blind::Restless => Sample::unknown(
            Cause::HostStall,
            "the process tree changed in each of 3 walks, so its memory is not known",
        ),
        Blind::TooMany(most) => Sample::unknown(
            Cause::HostStall,
            format!("the process tree has more than {most} processes"),
        ),
        Blind::TimeUp => Sample::unknown(
            Cause::HostStall,
            "the time was up before the process tree was read",
        ),
        Blind::Forbidden(pid) => Sample::unknown(
            Cause::NoPermission,
            format!("not allowed to read the memory of process {pid}"),
        ),
        Blind::NoChildren => Sample::unknown(
            Cause::Misconfigured,
            "this kernel does not list the children of a process: `cumulative` cannot work",
        ),
        Blind::Unreadable(why) => {
            Sample::unknown(Cause::HostStall, format!("`/proc` cannot be read: {why}"))
        }
    }
}

/// ` in 5 processes`, where a tree was asked for.
fn of(held: Held, cumulative: bool) -> String {
    match (cumulative, held.processes) {
        (false, _) => String::new(),
        (true, 1) => " in 1 process".to_owned(),
        (true, processes) => format!(" in {processes} processes"),
    }
}

/// Two amounts for one sentence: rounded, but never so far that they look equal and are not.
fn amounts(a: u64, b: u64) -> (String, String) {
    let rounded = (amount(a), amount(b));
    if a != b && rounded.0 == rounded.1 {
        (format!("{a} B"), format!("{b} B"))
    } else {
        rounded
    }
}

fn amount(bytes: u64) -> String {
    let units = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    for (unit, size) in units {
        if bytes >= size {
            let text = format!("{:.1}", float(bytes) / float(size));
            return format!("{} {unit}", text.strip_suffix(".0").unwrap_or(&text));
        }
    }
    format!("{bytes} B")
}

#[expect(clippy::cast_precision_loss, reason = "no machine holds 2^53 bytes")]
fn float(number: u64) -> f64 {
    number as f64
}
