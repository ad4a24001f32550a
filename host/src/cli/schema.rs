//! `checkd schema`: the configuration as editors and documents need it.

use std::process::ExitCode;

use checkd_core::config::{self, reference};

use crate::config::load;
use crate::plugin::{Catalog, protocol};
use crate::render;

/// Arguments of `checkd schema`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    layers: super::Layers,
    /// Print the reference of all keys as Markdown instead.
    #[arg(long)]
    markdown: bool,
    /// Print the schema of the worker protocol's messages instead.
    #[arg(long, conflicts_with = "markdown")]
    worker_protocol: bool,
}

/// Runs the verb.
#[expect(
    clippy::needless_pass_by_value,
    reason = "every verb takes its arguments for itself"
)]
pub fn run(args: Args) -> ExitCode {
    if args.markdown {
        return written(&reference::markdown());
    }
    if args.worker_protocol {
        return pretty(&protocol::schema::schema());
    }
    let mut plugins = (Vec::new(), Vec::new());
    let mut document = config::Document::default();
    // Without a configuration the schema is that of the built-ins alone.
    if args.layers.file.is_some() {
        let loaded = load(&args.layers);
        let (named, directories, told) = config::plugins(&loaded.document);
        let mut diagnostics = loaded.diagnostics;
        diagnostics.extend(told);
        if !diagnostics.is_empty() {
            if render::to_stderr(&diagnostics, &loaded.document.sources).is_err() {
                return ExitCode::from(super::FAILED);
            }
            return ExitCode::from(super::USAGE);
        }
        plugins = crate::config::settled(loaded.file.as_deref(), named, directories);
        document = loaded.document;
    }
    let places = crate::config::places(&document);
    let (catalog, told) = Catalog::open_at(&places, &plugins.0, &plugins.1);
    if render::to_stderr(&told, &document.sources).is_err() {
        return ExitCode::from(super::FAILED);
    }
    pretty(&reference::json_schema(catalog.kinds()))
}

fn pretty(schema: &serde_json::Value) -> ExitCode {
    match serde_json::to_string_pretty(schema) {
        Ok(text) => written(&format!("{text}\n")),
        Err(_) => ExitCode::from(super::FAILED),
    }
}

fn written(text: &str) -> ExitCode {
    if super::paint::print(text) {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(super::FAILED)
    }
}
