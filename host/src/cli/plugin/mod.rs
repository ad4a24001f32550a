//! `checkd plugin`: begin a plugin, and look at plugins without running them in this process. One
//! file a verb.

mod inspect;
mod list;
mod new;
mod verify;

use std::process::ExitCode;

use clap::Subcommand;
use serde_json::Value;

use super::{Layers, kinds};
use crate::plugin::{Offer, Plugin};

/// Arguments of `checkd plugin`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Write the project of a new plugin: it builds, passes its own tests and loads at once.
    New(new::Args),
    /// Say all that can be said about one plugin: what it offers, who can change it, and what of it
    /// would be refused. It is looked at in a process of its own.
    Inspect(inspect::Args),
    /// Hold a library or a command to the contract of every check, clause by clause, each in a worker
    /// of its own.
    Verify(verify::Args),
    /// List the plugins of a configuration.
    List {
        #[command(flatten)]
        layers: Layers,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
}

/// Runs the verb.
pub fn run(args: Args) -> ExitCode {
    match args.verb {
        Verb::New(args) => new::new(&args),
        Verb::Inspect(args) => inspect::run(args),
        Verb::Verify(args) => verify::run(args),
        Verb::List { layers, json } => list::list(&layers, json),
    }
}

/// The stable JSON of a plugin.
fn of<'a>(plugin: &Plugin, offers: impl Iterator<Item = &'a Offer>) -> Value {
    serde_json::json!({
        "name": plugin.name,
        "origin": plugin.origin,
        "package": plugin.package,
        "built_with": plugin.built_with,
        "kinds": offers.map(kinds::json).collect::<Vec<Value>>(),
    })
}
