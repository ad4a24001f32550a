//! `checkd plugin verify`: the contract of every check, held by any library or command, a line a
//! clause.

use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use checkd_core::diagnostic::{Diagnostic, nearest};
use checkd_plugin_api::testkit::Outcome;
use serde_json::{Value, json};

use crate::cli::check::span;
use crate::cli::paint::{Ink, Paper, print, print_json};
use crate::cli::{FAILED, USAGE, kinds, tell};
use crate::plugin::program;
use crate::plugin::verify::{About, Verify};

/// Arguments of `checkd plugin verify`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Try this kind alone.
    #[arg(long)]
    kind: Option<String>,
    /// Valid options of the kind [default: those of its example].
    #[arg(long, value_name = "JSON", value_parser = table)]
    options: Option<Value>,
    /// Options that want an answer from a peer at port `{port}` of this machine, such as
    /// '{"url":"http://127.0.0.1:{port}/"}': then peers that are silent, drip and are not there are
    /// tried.
    #[arg(long, value_name = "JSON")]
    peer: Option<String>,
    /// Options with which a run panics: then that is tried.
    #[arg(long, value_name = "JSON", value_parser = table)]
    panics: Option<Value>,
    /// How long a run may take.
    #[arg(long, value_name = "SPAN", default_value = "10s", value_parser = span)]
    timeout: Duration,
    /// How long the plugin may take to begin, to describe itself, to judge options, to end.
    #[arg(long, value_name = "SPAN", default_value = "5s", value_parser = span)]
    patience: Duration,
    /// As JSON.
    #[arg(long)]
    json: bool,
    /// The plugin's library, or a command that speaks the worker protocol.
    #[arg(
        value_name = "FILE|COMMAND",
        required = true,
        num_args = 1..,
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    plugin: Vec<String>,
}

/// One clause that was tried.
struct Tried {
    kind: Option<String>,
    clause: &'static str,
    outcome: Outcome,
}

/// Runs the verb: 0 when no clause is broken, 1 when one is, 2 when there is nothing to try.
pub(super) fn run(args: Args) -> ExitCode {
    let opened =
        program::meant(&args.plugin).and_then(|plan| Verify::open(&plan.source, args.patience));
    let verify = match opened {
        Ok(verify) => verify,
        Err(told) => {
            tell::tell(&told);
            return ExitCode::from(USAGE);
        }
    };
    let offered: Vec<String> = verify.kinds().collect();
    let chosen = match chosen(&args, &offered) {
        Ok(chosen) => chosen,
        Err(told) => {
            tell::tell(&told);
            return ExitCode::from(USAGE);
        }
    };
    let about = About {
        options: args.options,
        peer: args.peer,
        panics: args.panics,
        timeout: args.timeout,
    };
    let paper = Paper::of_stdout();
    let mut tried: Vec<Tried> = Vec::new();
    let begun = Instant::now();
    // A plugin that breaks its promises may take its time for each of them.
    let progress = !args.json && io::stderr().is_terminal();
    let mut hear = |kind: Option<&str>, clause, outcome: Option<Outcome>| {
        let Some(outcome) = outcome else {
            if progress {
                drop(write!(io::stderr().lock(), "  ....  {clause}"));
            }
            return;
        };
        if progress {
            drop(write!(io::stderr().lock(), "\r\x1b[K"));
        }
        if !args.json {
            let before = tried.last().filter(|before| before.kind.as_deref() == kind);
            print(&line(
                paper,
                clause,
                &outcome,
                before.map(|before| &before.outcome),
            ));
        }
        tried.push(Tried {
            kind: kind.map(str::to_owned),
            clause,
            outcome,
        });
    };
    if !args.json {
        print(&head(&args.plugin.join(" "), &verify));
    }
    verify.whole(&mut |clause, outcome| hear(None, clause, outcome));
    for kind in &chosen {
        if !args.json {
            print(&format!("\nkind `{}`\n", kinds::plain(kind)));
        }
        verify.kind(kind, &about, &mut |clause, outcome| {
            hear(Some(kind), clause, outcome);
        });
    }
    let count =
        |which: fn(&Outcome) -> bool| tried.iter().filter(|tried| which(&tried.outcome)).count();
    let held = count(|outcome| matches!(outcome, Outcome::Held));
    let broken = count(|outcome| matches!(outcome, Outcome::Broken(_)));
    let skipped = count(|outcome| matches!(outcome, Outcome::Skipped(_)));
    if args.json {
        print_json(&as_json(&verify, &tried));
    } else {
        print(&format!(
            "\n{held} passed, {broken} failed, {skipped} skipped, in {} s\n",
            begun.elapsed().as_secs()
        ));
        if about.peer.is_none() && skipped > 0 {
            print("`--peer` and `--panics` tell how the skipped ones can be tried: see --help\n");
        }
    }
    if broken == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(FAILED)
    }
}

/// The kinds to be tried.
fn chosen(args: &Args, offered: &[String]) -> Result<Vec<String>, Diagnostic> {
    if let Some(kind) = &args.kind {
        if offered.contains(kind) {
            return Ok(vec![kind.clone()]);
        }
        let told = Diagnostic::error("C0211", format!("the plugin offers no kind `{kind}`"))
            .note(format!("it offers: {}", offered.join(", ")));
        return Err(match nearest(kind, offered.iter().map(String::as_str)) {
            Some(near) => told.help(format!("did you mean `{near}`?")),
            None => told,
        });
    }
    let told = args.options.is_some() || args.peer.is_some() || args.panics.is_some();
    if told && offered.len() > 1 {
        return Err(
            Diagnostic::error("C0212", "the options do not say of which kind they are")
                .note(format!("the plugin offers: {}", offered.join(", ")))
                .help("name one of them with `--kind`"),
        );
    }
    Ok(offered.to_vec())
}

fn head(origin: &str, verify: &Verify) -> String {
    let mut text = format!("{}\n", kinds::plain(origin));
    let facts: Vec<&str> = [&*verify.package, &*verify.built_with]
        .into_iter()
        .filter(|fact| !fact.is_empty())
        .collect();
    if !facts.is_empty() {
        text.push_str(&format!("{}\n", kinds::plain(&facts.join("; built with "))));
    }
    text.push_str("\nthe plugin\n");
    text
}

/// One clause; `before` is what became of the one before it.
fn line(paper: Paper, clause: &str, outcome: &Outcome, before: Option<&Outcome>) -> String {
    let (word, ink, why) = match outcome {
        Outcome::Held => ("pass", Ink::Good, None),
        Outcome::Skipped(why) => ("skip", Ink::Quiet, Some(*why)),
        Outcome::Broken(why) => ("FAIL", Ink::Bad, Some(&**why)),
    };
    let mut text = format!("  {}  {clause}\n", paper.ink(ink, word));
    if let Some(why) = why {
        let why = if before == Some(outcome) {
            "as above"
        } else {
            why
        };
        paper.hang(&mut text, "        ", 8, why, ink);
    }
    text
}

fn as_json(verify: &Verify, tried: &[Tried]) -> Value {
    let clauses: Vec<Value> = tried
        .iter()
        .map(|tried| {
            let (outcome, why) = match &tried.outcome {
                Outcome::Held => ("pass", None),
                Outcome::Skipped(why) => ("skip", Some(*why)),
                Outcome::Broken(why) => ("fail", Some(&**why)),
            };
            json!({ "kind": tried.kind, "clause": tried.clause, "outcome": outcome, "why": why })
        })
        .collect();
    json!({
        "package": verify.package,
        "built_with": verify.built_with,
        "clauses": clauses,
    })
}

/// Options as a person writes them on the command line.
fn table(text: &str) -> Result<Value, String> {
    match serde_json::from_str(text) {
        Ok(value @ Value::Object(_)) => Ok(value),
        Ok(_) => Err("options are a JSON object, such as '{\"port\":80}'".into()),
        Err(error) => Err(format!("no JSON: {error}")),
    }
}
