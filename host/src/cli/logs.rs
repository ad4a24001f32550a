//! `checkd logs`: what a member wrote, and what it writes; with or without a daemon.

mod output;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use checkd_core::config::placeholder::{self, Placeholder};
use checkd_core::diagnostic::{Diagnostic, nearest};

use crate::api::client::escape;
use crate::api::wire::Explained;
use crate::manager::plain;

use super::find::{self, Home, Place};
use super::{Daemon, FAILED, USAGE, tell};
use output::Output;

/// So many lines come before what `-f` waits for.
const BEFORE_FOLLOWING: usize = 10;

/// Arguments of `checkd logs`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Which member: `group/member`.
    member: String,
    /// Go on with what it writes, over its restarts and those of checkd.
    #[arg(short, long)]
    follow: bool,
    /// Only the last so many lines [default: all that are kept; with `-f` the last 10].
    #[arg(short = 'n', long, value_name = "N")]
    lines: Option<usize>,
    #[command(flatten)]
    daemon: Daemon,
}

/// Runs the verb.
pub fn run(args: Args) -> ExitCode {
    let Args {
        member,
        follow,
        lines,
        daemon,
    } = args;
    let path = match path_of(&member, &find::place(&daemon)) {
        Ok(path) => path,
        Err(code) => return code,
    };
    let lines = lines.or(follow.then_some(BEFORE_FOLLOWING));
    let output = Output::at(path);
    if !follow && output.kept().is_ok_and(|files| files.is_empty()) {
        tell::say(&format!("`{member}` has written nothing yet"));
        return ExitCode::SUCCESS;
    }
    match output.show(lines, follow, &mut std::io::stdout().lock()) {
        Ok(()) => ExitCode::SUCCESS,
        // Nobody reads any more (`| head`): what was wanted is done.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            let file = output.path().display();
            tell::tell(
                &Diagnostic::error(
                    "C0511",
                    format!("the output of `{member}` cannot be read: {}", plain(&error)),
                )
                .note(format!("it is in `{file}`")),
            );
            ExitCode::from(FAILED)
        }
    }
}

/// The file that a member's output goes to; it may not exist yet. The files decide where there are
/// some, so that a daemon is not needed; else the daemon says whether there is such a member.
fn path_of(member: &str, place: &Place) -> Result<PathBuf, ExitCode> {
    let here = place.home.as_ref().and_then(|home| file_of(member, home));
    if let Some(path) = &here
        && !Output::at(path.clone())
            .kept()
            .is_ok_and(|files| files.is_empty())
    {
        return Ok(path.clone());
    }
    let ask = format!("/api/v1/explain?select={}", escape(member));
    match place.control.get::<Explained>(&ask) {
        Ok(explained) => match explained.members.as_slice() {
            [one] => match (&one.output, here) {
                (Some(path), _) => Ok(PathBuf::from(path)),
                (None, Some(path)) => Ok(path),
                (None, None) => {
                    tell::say(&format!("`{member}` has written nothing yet"));
                    Err(ExitCode::SUCCESS)
                }
            },
            several => {
                tell::tell(&one_member(
                    member,
                    several.iter().map(|m| m.report.path.as_str()),
                ));
                Err(ExitCode::from(USAGE))
            }
        },
        Err(failure) => match &place.home {
            Some(home) if find::nobody(&failure) => {
                tell::tell(&unknown(member, home));
                Err(ExitCode::from(FAILED))
            }
            _ => Err(find::no_answer(&failure)),
        },
    }
}

/// Where the configuration says that the output of `member` goes.
fn file_of(member: &str, home: &Home) -> Option<PathBuf> {
    let (group, name) = member.split_once('/')?;
    // What is no name leads to no file: no `..`, no second directory.
    let plain = |text: &str| {
        !text.is_empty()
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
    };
    if !plain(group) || !plain(name) {
        return None;
    }
    match find::text_at(&home.document, &["group", group, "output"]) {
        None => Some(
            home.state
                .join("output")
                .join(group)
                .join(format!("{name}.log")),
        ),
        Some(text) => placeholder::fill(text, |asked| match asked {
            Placeholder::Group => Some(group.to_owned()),
            Placeholder::Member => Some(name.to_owned()),
            Placeholder::Index => name.rsplit_once('-').map(|(_, index)| index.to_owned()),
            // The daemon knows.
            Placeholder::Port | Placeholder::Pid => None,
        })
        .ok()
        .map(PathBuf::from),
    }
}

fn one_member<'a>(member: &str, paths: impl Iterator<Item = &'a str>) -> Diagnostic {
    let paths: Vec<&str> = paths.take(12).collect();
    Diagnostic::error(
        "C0510",
        format!("`checkd logs` shows one member, and `{member}` names several"),
    )
    .note(format!("members: {}", paths.join(", ")))
}

/// There are no files of such a member, and no daemon that could say more.
fn unknown(member: &str, home: &Home) -> Diagnostic {
    let known = known(&home.state.join("output"));
    let told = Diagnostic::error(
        "C0511",
        format!("there is no output of a member `{member}`"),
    )
    .note("no daemon answers, so only members that have written something are known");
    let told = match known.as_slice() {
        [] => told.note(format!(
            "there is none at all in `{}`",
            home.state.join("output").display()
        )),
        some => {
            let some: Vec<&str> = some.iter().take(12).map(String::as_str).collect();
            told.note(format!("members: {}", some.join(", ")))
        }
    };
    match nearest(member, known.iter().map(String::as_str)) {
        Some(name) => told.help(format!("did you mean `{name}`?")),
        None => told,
    }
}

/// `group/member` of every file of output, in their order.
fn known(directory: &Path) -> Vec<String> {
    let entries = |path: &Path| std::fs::read_dir(path).into_iter().flatten().flatten();
    let mut known: Vec<String> = entries(directory)
        .flat_map(|group| {
            let name = group.file_name().to_string_lossy().into_owned();
            entries(&group.path()).filter_map(move |file| {
                let file = file.file_name();
                Some(format!("{name}/{}", file.to_str()?.strip_suffix(".log")?))
            })
        })
        .collect();
    known.sort();
    known
}
