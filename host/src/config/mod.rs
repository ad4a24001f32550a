//! Layers of configuration: files, environment and `--set` merged into a `Document` with places.
//!
//! [`load`] reads and merges, [`configure`] goes the whole way to a plan whose options were judged
//! by the kinds themselves. Modules: `find` (which files), `layer` (one source to a tree with
//! places), `merge` (all trees to one), `chain`, `here` (what this machine lacks).

mod chain;
mod find;
mod here;
mod layer;
mod merge;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use checkd_core::config::{Document, Source};
use checkd_core::diagnostic::{Diagnostic, Place, Severity};

pub use chain::{Configured, Purpose, configure, places, settled};

use crate::cli::Layers;
use layer::Layer;

/// What was read, before it is understood.
#[derive(Debug, Default)]
pub struct Loaded {
    /// The merged tree; empty when a layer could not be read or is not TOML. A value that was
    /// refused is in it as a number that is none.
    pub document: Document,
    /// The configuration file itself.
    pub file: Option<PathBuf>,
    /// What is wrong with files, with their TOML, with variables and `--set`.
    pub diagnostics: Vec<Diagnostic>,
}

/// Whether there is no tree to go on with; a value that is none leaves the others standing.
fn broken(diagnostics: &[Diagnostic]) -> bool {
    diagnostics
        .iter()
        .any(|told| told.severity == Severity::Error && told.code != TYPE)
}

/// Codes of this module; each has a paragraph in `docs/errors.md`.
const BROKEN: &str = "C0101";
const LAYER: &str = "C0114";
const TYPE: &str = "C0105";

/// Reads every layer with the process's own environment.
pub fn load(layers: &Layers) -> Loaded {
    load_with(
        layers,
        std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v))),
    )
}

/// Reads every layer: the file, what it includes, the variables, `--set`; later wins.
fn load_with(
    layers: &Layers,
    environment: impl Iterator<Item = (String, std::ffi::OsString)>,
) -> Loaded {
    let mut reading = Reading::default();
    let file = match &layers.file {
        Some(file) => Ok(file.clone()),
        None => find::default_file(),
    };
    let file = match file {
        Ok(file) => {
            reading.file(&file, None);
            reading.includes(&file);
            Some(file)
        }
        Err(told) => {
            reading.diagnostics.push(*told);
            None
        }
    };
    reading.environment(environment);
    for set in &layers.set {
        reading.set(set);
    }
    reading.done(file)
}

/// The layers read so far.
#[derive(Default)]
struct Reading {
    sources: Vec<Source>,
    layers: Vec<Layer>,
    diagnostics: Vec<Diagnostic>,
}

impl Reading {
    /// Reads one file; `named` is where the configuration names it.
    fn file(&mut self, file: &std::path::Path, named: Option<Place>) {
        match find::text_of(file) {
            Ok(text) => {
                let index = self.source(file.display().to_string(), text);
                if let Some(source) = self.sources.get(index as usize) {
                    let layer = layer::file(index, &source.text, &mut self.diagnostics);
                    self.layers.push(layer);
                }
            }
            Err(told) => self.diagnostics.push(match named {
                Some(place) => told.at(place, "named here"),
                None => *told,
            }),
        }
    }

    fn includes(&mut self, file: &std::path::Path) {
        let Some(main) = self.layers.first() else {
            return;
        };
        let patterns = main.texts(&["daemon", "include"]);
        for (pattern, place) in patterns {
            match find::matching(file, &pattern) {
                Ok(files) => {
                    for file in files {
                        let before = self.layers.len();
                        self.file(&file, Some(place));
                        let again = self
                            .layers
                            .get(before)
                            .and_then(|layer| layer.place(&["daemon", "include"]));
                        if let Some(again) = again {
                            self.diagnostics.push(
                                Diagnostic::error(LAYER, "an included file includes nothing")
                                    .at(again, "only the first file may")
                                    .help("name the files in the first file"),
                            );
                        }
                    }
                }
                Err(told) => self.diagnostics.push(told.at(place, "")),
            }
        }
    }

    fn environment(&mut self, environment: impl Iterator<Item = (String, std::ffi::OsString)>) {
        let mut variables: Vec<(String, std::ffi::OsString)> = environment
            .filter(|(name, _)| name.starts_with(layer::PREFIX))
            .collect();
        variables.sort();
        for (name, value) in variables {
            let Ok(value) = value.into_string() else {
                self.diagnostics.push(Diagnostic::error(
                    LAYER,
                    format!("the variable `{name}` is not UTF-8"),
                ));
                continue;
            };
            let start = name.len() + 1;
            let path = layer::path_of_variable(&name);
            let index = self.source("environment".to_owned(), format!("{name}={value}"));
            self.assignment(index, start, path);
        }
    }

    fn set(&mut self, text: &str) {
        let index = self.source("--set".to_owned(), text.to_owned());
        let Some((path, _)) = text.split_once('=') else {
            self.diagnostics.push(
                Diagnostic::error(LAYER, "`--set` needs a key and a value")
                    .at(layer::place(index, 0..text.len()), "no `=`")
                    .help("write `--set group.web.policy.fall=3`"),
            );
            return;
        };
        let names: Vec<String> = path.split('.').map(|name| name.trim().to_owned()).collect();
        self.assignment(index, path.len() + 1, names);
    }

    fn assignment(&mut self, index: u32, start: usize, path: Vec<String>) {
        let Some(source) = self.sources.get(index as usize) else {
            return;
        };
        match layer::assignment(index, &source.text, start, path) {
            Ok(layer) => self.layers.push(layer),
            Err(told) => self.diagnostics.push(*told),
        }
    }

    fn source(&mut self, name: String, text: String) -> u32 {
        self.sources.push(Source { name, text });
        u32::try_from(self.sources.len() - 1).unwrap_or(u32::MAX)
    }

    fn done(mut self, file: Option<PathBuf>) -> Loaded {
        let broken = broken(&self.diagnostics);
        let root = if broken {
            Ok(checkd_core::config::Table::default())
        } else {
            match self.layers.as_mut_slice() {
                // Nothing to merge, and a large file need not be copied.
                [only] => Ok(std::mem::take(&mut only.root)),
                layers => merge::merge(layers),
            }
        };
        let root = root.unwrap_or_else(|told| {
            self.diagnostics.push(*told);
            checkd_core::config::Table::default()
        });
        Loaded {
            document: Document {
                sources: self.sources,
                root,
            },
            file,
            diagnostics: self.diagnostics,
        }
    }
}
