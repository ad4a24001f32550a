//! All check kinds that this process knows: built-ins, and what plugins offer.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use checkd_core::CheckKind;
use checkd_core::config::{KindFacts, Kinds};
use checkd_core::diagnostic::{Diagnostic, Place};
use checkd_core::plan::{ConfinePlan, Isolation, PluginPlan, PluginSource};
use checkd_plugin_api::host::Registration;
use serde_json::{Map, Value};

use crate::manager::plain;

use super::confine::{Confine, incomplete};
use super::image::Image;
use super::linked::BuiltIn;
use super::loader::{Library, UNUSED, reason};
use super::probe::{NO_KIND, Probe};
use super::process::Launch;
use super::program;
use super::protocol::{KindText, Problem, TEXT_MAX, Target, bounded};
use super::trust::look_at_all;
use super::{builtin, convert, options};

/// Where a worker's program is: this one, also after its file was replaced.
const THIS_PROGRAM: &str = "/proc/self/exe";

/// The longest command in bytes as it is shown.
const ORIGIN_MAX: usize = 256;

/// All check kinds that this process knows.
#[derive(Debug)]
pub struct Catalog {
    offers: BTreeMap<CheckKind, Arc<Offer>>,
    kinds: Kinds,
    plugins: Vec<Arc<Plugin>>,
    unavailable: Vec<Unavailable>,
    /// Plugins that could not be loaded, to be tried again.
    failed: Mutex<Vec<(Source, Unavailable)>>,
    /// What came when they were tried again.
    late: RwLock<BTreeMap<CheckKind, Arc<Offer>>>,
    program: PathBuf,
}

/// A catalog without any kind.
impl Default for Catalog {
    fn default() -> Self {
        Self {
            offers: BTreeMap::new(),
            kinds: Kinds::new(),
            plugins: Vec::new(),
            unavailable: Vec::new(),
            failed: Mutex::default(),
            late: RwLock::default(),
            program: THIS_PROGRAM.into(),
        }
    }
}

/// One kind, and who offers it.
#[derive(Debug)]
pub struct Offer {
    /// What core needs to know.
    pub facts: KindFacts,
    /// One line for a person.
    pub summary: String,
    /// The smallest honest use, as TOML; may be empty.
    pub example: String,
    /// The package that holds it, with its version; may be empty.
    pub package: String,
    /// Whether a run occupies a thread.
    pub blocking: bool,
    /// Who offers it.
    pub plugin: Arc<Plugin>,
    pub(crate) linked: Option<Linked>,
}

/// Where a built-in is called.
#[derive(Clone, Copy)]
pub(crate) struct Linked(pub(crate) &'static Registration);

impl std::fmt::Debug for Linked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Linked")
            .field(&self.0.descriptor().kind)
            .finish()
    }
}

/// A delivery of kinds: what is linked in, a library, a program.
#[derive(Debug)]
pub struct Plugin {
    /// Its name in the configuration, or its file's.
    pub name: String,
    /// `built in`, its path, or its command.
    pub origin: String,
    /// What it calls itself, with its version; may be empty.
    pub package: String,
    /// What it says that it was built with, for a person; may be empty.
    pub built_with: String,
    /// What it is, as a hash: of a library its content, of a command its words and the content of
    /// those that are files. Another one is a plugin that has changed.
    pub fingerprint: String,
    /// How its checks run.
    pub(crate) door: Door,
    /// A worker that is kept to judge options, until the runs begin.
    probe: Mutex<Option<Probe>>,
}

/// How a run reaches a plugin.
#[derive(Debug)]
pub(crate) enum Door {
    /// Called directly.
    Linked,
    /// Called through the library's table, in this process.
    Library(Arc<Library>),
    /// In a process of its own.
    Worker(Launch),
}

/// A plugin that could not be loaded: its checks are Unknown(plugin unavailable), and it is tried
/// again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unavailable {
    /// Its name in the configuration, or the file's.
    pub name: String,
    /// Its path or command.
    pub origin: String,
    /// Its library, when it is one.
    pub file: Option<String>,
    /// Why it could not be used when it was last tried, one line.
    pub why: String,
}

/// A plugin beside the built-ins.
pub(super) struct Examined {
    pub(super) plugin: Arc<Plugin>,
    /// Its well-formed kinds.
    pub(super) offers: Vec<Offer>,
    /// Those of them that somebody offers already.
    pub(super) clashing: BTreeSet<CheckKind>,
    /// What is wrong with some of its kinds.
    pub(super) diagnostics: Vec<Diagnostic>,
}

/// Where the configuration says something of a plugin: the place of a key of `[plugin.NAME]`, when it
/// is there.
pub type Places<'a> = &'a dyn Fn(&str, &str) -> Option<Place>;

/// No configuration names it.
const NOWHERE: Places<'static> = &|_, _| None;

/// A plugin as the configuration or a directory names it.
#[derive(Clone, Debug)]
struct Source {
    name: String,
    origin: String,
    what: PluginSource,
    sha256: Option<String>,
    isolation: Isolation,
    confine: ConfinePlan,
}

impl Catalog {
    /// Collects the built-ins, every plugin of the configuration and every `*.so` of `dirs`.
    ///
    /// Blocks while plugins describe themselves, each in a worker of its own. What cannot be used is
    /// told in a diagnostic and left out.
    pub fn open(plugins: &[PluginPlan], dirs: &[String]) -> (Self, Vec<Diagnostic>) {
        Self::open_with(Path::new(THIS_PROGRAM), plugins, dirs)
    }

    /// As [`open`](Self::open); what is wrong with a plugin is told at its place.
    pub fn open_at(
        places: Places<'_>,
        plugins: &[PluginPlan],
        dirs: &[String],
    ) -> (Self, Vec<Diagnostic>) {
        let mut diagnostics = Vec::new();
        let offers = built_ins(&mut diagnostics);
        let program = Path::new(THIS_PROGRAM);
        Self::collect(program, places, plugins, dirs, offers, diagnostics)
    }

    /// As [`open`](Self::open), with another `checkd` as the program of workers: for tests and for
    /// programs that hold the host as a library.
    pub fn open_with(
        program: &Path,
        plugins: &[PluginPlan],
        dirs: &[String],
    ) -> (Self, Vec<Diagnostic>) {
        let mut diagnostics = Vec::new();
        let offers = built_ins(&mut diagnostics);
        Self::collect(program, NOWHERE, plugins, dirs, offers, diagnostics)
    }

    /// As [`open_with`](Self::open_with), without the built-ins: for tests of built-ins that were
    /// made a plugin.
    pub fn open_alone(program: &Path, plugins: &[PluginPlan]) -> (Self, Vec<Diagnostic>) {
        Self::collect(program, NOWHERE, plugins, &[], Vec::new(), Vec::new())
    }

    fn collect(
        program: &Path,
        places: Places<'_>,
        plugins: &[PluginPlan],
        dirs: &[String],
        mut offers: Vec<Offer>,
        mut diagnostics: Vec<Diagnostic>,
    ) -> (Self, Vec<Diagnostic>) {
        let plans = plans(plugins, dirs, &mut diagnostics);
        let sources: Vec<Source> = plans.iter().map(Source::of).collect();
        let lacks = plans.iter().filter_map(|plan| {
            let lacks = incomplete(&plan.name, &plan.confine)?;
            Some(placed(lacks, &plan.name, places))
        });
        diagnostics.extend(lacks);
        // At once: a plugin that hangs costs its five seconds only once.
        let described: Vec<_> = std::thread::scope(|scope| {
            let asked: Vec<_> = sources
                .iter()
                .map(|source| scope.spawn(|| describe(program, source)))
                .collect();
            asked
                .into_iter()
                .map(std::thread::ScopedJoinHandle::join)
                .collect()
        });
        let mut loaded = Vec::new();
        let (mut failed, mut unavailable) = (Vec::new(), Vec::new());
        for (source, described) in sources.into_iter().zip(described) {
            let described = described.unwrap_or_else(|_| {
                let told = format!("cannot use plugin `{}`", source.origin);
                Err(Diagnostic::error("C0207", told).note("describing it panicked"))
            });
            match described {
                Ok((plugin, kinds)) => {
                    let only = kinds.len() == 1;
                    let mut told = Vec::new();
                    for kind in kinds {
                        offer(&plugin, kind, only, &mut offers, &mut told);
                    }
                    let told = told.into_iter();
                    diagnostics.extend(told.map(|one| placed(one, &source.name, places)));
                    loaded.push(plugin);
                }
                Err(diagnostic) => {
                    let missing = source.unavailable(&diagnostic);
                    unavailable.push(missing.clone());
                    diagnostics.push(placed(diagnostic, &source.name, places));
                    failed.push((source, missing));
                }
            }
        }
        let offers = settle(offers, &mut diagnostics);
        let kinds = offers
            .iter()
            .map(|(kind, offer)| (kind.clone(), offer.facts.clone()))
            .collect();
        let catalog = Self {
            offers,
            kinds,
            plugins: loaded,
            unavailable,
            failed: Mutex::new(failed),
            late: RwLock::default(),
            program: program.into(),
        };
        (catalog, diagnostics)
    }

    /// What one plugin offers beside the built-ins, and what of it cannot be used.
    ///
    /// # Errors
    /// It is no plugin for this host.
    pub(super) fn examine(plan: &PluginPlan) -> Result<Examined, Diagnostic> {
        let (plugin, kinds) = describe(Path::new(THIS_PROGRAM), &Source::of(plan))?;
        let (mut offers, mut diagnostics) = (Vec::new(), Vec::new());
        let only = kinds.len() == 1;
        for kind in kinds {
            offer(&plugin, kind, only, &mut offers, &mut diagnostics);
        }
        let built_ins = built_ins(&mut diagnostics);
        let mut clashing = BTreeSet::new();
        for kind in offers.iter().map(|offer| &offer.facts.kind) {
            let all = built_ins.iter().chain(&offers);
            let same: Vec<&Offer> = all.filter(|other| other.facts.kind == *kind).collect();
            if same.len() > 1 && clashing.insert(kind.clone()) {
                diagnostics.push(twice(kind, &same));
            }
        }
        Ok(Examined {
            plugin,
            offers,
            clashing,
            diagnostics,
        })
    }

    /// What the configuration reader needs to know about each kind.
    pub fn kinds(&self) -> &Kinds {
        &self.kinds
    }

    /// Every kind with who offers it, sorted by name.
    pub fn offers(&self) -> impl Iterator<Item = &Offer> {
        self.offers.values().map(|offer| &**offer)
    }

    /// The names of plugins that are another library, or another command, than in the catalog
    /// `before`.
    pub fn rebuilt_since(&self, before: &Self) -> Vec<String> {
        let content = |plugin: &Plugin| match &plugin.door {
            Door::Worker(_) => Some(plugin.fingerprint.clone()),
            // One that is mapped into this process is the one that it began with.
            Door::Linked | Door::Library(_) => None,
        };
        let rebuilt = self.plugins.iter().filter(|plugin| {
            let old = before.plugins.iter().find(|old| old.name == plugin.name);
            old.is_some_and(|old| content(old) != content(plugin))
        });
        rebuilt.map(|plugin| plugin.name.clone()).collect()
    }

    /// Every plugin that was loaded, in the order of the configuration, then of the directories.
    pub fn plugins(&self) -> impl Iterator<Item = &Plugin> {
        self.plugins.iter().map(|plugin| &**plugin)
    }

    /// Plugins that could not be loaded when the catalog was opened.
    pub fn unavailable(&self) -> &[Unavailable] {
        &self.unavailable
    }

    /// Lets the kind itself judge its options, with placeholders and secrets resolved for `target`.
    ///
    /// Blocks while a plugin's worker answers. Empty: the options are good. A kind that is not known
    /// has no opinion.
    pub fn try_configure(
        &self,
        kind: &CheckKind,
        options: &Map<String, Value>,
        target: &Target,
    ) -> Vec<Problem> {
        let Some(offer) = self.offer(kind) else {
            return Vec::new();
        };
        let resolved = match options::resolve(&offer.facts, options, target) {
            Ok(resolved) => resolved,
            Err(problems) => return problems,
        };
        match (&offer.plugin.door, offer.linked) {
            (Door::Worker(launch), _) => {
                match offer.plugin.probe(launch, kind.as_str(), &resolved, target) {
                    Ok(problems) => problems,
                    Err(why) => {
                        let plugin = &offer.plugin.name;
                        let told = format!("plugin `{plugin}` cannot judge them: {why}");
                        let help = "`checkd plugin verify` tries it, clause by clause";
                        vec![Problem {
                            help: Some(help.into()),
                            ..Problem::of_all(told)
                        }]
                    }
                }
            }
            (Door::Library(library), _) => {
                match library.configure(kind.as_str(), &resolved, target) {
                    Ok(_) => Vec::new(),
                    Err(problems) => problems,
                }
            }
            (Door::Linked, Some(linked)) => match BuiltIn::configure(linked, &resolved) {
                Ok(_) => Vec::new(),
                Err(problems) => problems,
            },
            (Door::Linked, None) => Vec::new(),
        }
    }

    /// Ends the workers that were kept to judge options.
    pub fn rest(&self) {
        let kept = self.plugins.iter().filter_map(|plugin| {
            let mut probe = plugin.probe.lock().unwrap_or_else(PoisonError::into_inner);
            probe.take()
        });
        // Each takes a moment to end: first all are told, then all are waited for.
        let kept: Vec<Probe> = kept.inspect(Probe::end).collect();
        drop(kept);
    }

    /// The offer of a kind, also one that came late.
    pub(crate) fn offer(&self, kind: &CheckKind) -> Option<Arc<Offer>> {
        let late = || {
            let late = self.late.read().unwrap_or_else(PoisonError::into_inner);
            late.get(kind).map(Arc::clone)
        };
        self.offers.get(kind).map(Arc::clone).or_else(late)
    }

    /// Tries the plugins again that could not be loaded. Blocks. What they offer now can be run from
    /// now on; a kind that somebody else offers already is left alone.
    pub fn try_again(&self) {
        // They stay told while they are tried.
        let sources: Vec<Source> = self.failed().iter().map(|(one, _)| one.clone()).collect();
        for source in sources {
            let is_it = |(one, _): &(Source, Unavailable)| one.origin == source.origin;
            match describe(&self.program, &source) {
                Ok((plugin, kinds)) => {
                    let (mut offers, mut diagnostics) = (Vec::new(), Vec::new());
                    let only = kinds.len() == 1;
                    for kind in kinds {
                        offer(&plugin, kind, only, &mut offers, &mut diagnostics);
                    }
                    let origin = &*plugin.origin;
                    tracing::info!(plugin = plugin.name, origin, "plugin is there now");
                    let mut late = self.late.write().unwrap_or_else(PoisonError::into_inner);
                    for offer in offers {
                        let kind = offer.facts.kind.clone();
                        if !self.offers.contains_key(&kind) {
                            late.entry(kind).or_insert_with(|| Arc::new(offer));
                        }
                    }
                    drop(late);
                    self.failed().retain(|one| !is_it(one));
                }
                Err(diagnostic) => {
                    let still = source.unavailable(&diagnostic);
                    let why = &*still.why;
                    tracing::debug!(plugin = source.name, why, "plugin is still unavailable");
                    for one in self.failed().iter_mut().filter(|one| is_it(one)) {
                        one.1 = still.clone();
                    }
                }
            }
        }
    }

    /// Whether a plugin is still missing.
    pub(crate) fn is_incomplete(&self) -> bool {
        !self.failed().is_empty()
    }

    /// The plugins that are missing now, each with why.
    pub(crate) fn missing(&self) -> Vec<Unavailable> {
        self.failed().iter().map(|(_, one)| one.clone()).collect()
    }

    fn failed(&self) -> MutexGuard<'_, Vec<(Source, Unavailable)>> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Source {
    /// What is told of it while it cannot be used.
    fn unavailable(&self, why: &Diagnostic) -> Unavailable {
        Unavailable {
            name: self.name.clone(),
            origin: self.origin.clone(),
            file: self.file().map(str::to_owned),
            why: bounded(&reason(why), TEXT_MAX),
        }
    }

    /// What a plan names.
    fn of(plan: &PluginPlan) -> Self {
        let origin = match &plan.source {
            PluginSource::Library(path) => path.clone(),
            PluginSource::Command { words, .. } => bounded(&words.join(" "), ORIGIN_MAX),
        };
        Self {
            name: plan.name.clone(),
            origin,
            what: plan.source.clone(),
            sha256: plan.sha256.clone(),
            isolation: plan.isolation,
            confine: plan.confine.clone(),
        }
    }

    /// The plugin in the user's words: a library is its path, a command is known by its name.
    fn told(&self) -> &str {
        match &self.what {
            PluginSource::Library(path) => path,
            PluginSource::Command { .. } => &self.name,
        }
    }

    fn file(&self) -> Option<&str> {
        match &self.what {
            PluginSource::Library(path) => Some(path),
            PluginSource::Command { .. } => None,
        }
    }
}

impl Plugin {
    /// Lets the plugin's worker judge options; starts one when none is kept.
    fn probe(
        &self,
        launch: &Launch,
        kind: &str,
        options: &Map<String, Value>,
        target: &Target,
    ) -> Result<Vec<Problem>, String> {
        let mut kept = self.probe.lock().unwrap_or_else(PoisonError::into_inner);
        let mut probe = match kept.take() {
            Some(probe) => probe,
            None => Probe::open(launch, &self.origin).map_err(|told| reason(&told))?,
        };
        // One that broke is not kept.
        let judged = probe.configure(kind, options, target)?;
        *kept = Some(probe);
        Ok(judged)
    }
}

/// The plugins that the configuration and the directories name.
pub(crate) fn plans(
    plugins: &[PluginPlan],
    dirs: &[String],
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<PluginPlan> {
    let mut seen = BTreeSet::new();
    let mut plans = plugins.to_vec();
    for plan in plugins {
        if let PluginSource::Library(path) = &plan.source {
            seen.insert(real(Path::new(path)));
        }
    }
    for dir in dirs {
        match libraries(Path::new(dir)) {
            Ok(found) => {
                for path in found {
                    // One that has a table of its own, or is in two directories, is taken once.
                    if seen.insert(real(&path)) {
                        plans.push(program::library(&path));
                    }
                }
            }
            Err(error) => diagnostics.push(
                Diagnostic::error("C0201", format!("cannot look for plugins in `{dir}`"))
                    .note(plain(&error))
                    .note("no plugin of this directory is loaded"),
            ),
        }
    }
    plans
}

/// Every `*.so` of a directory, sorted.
fn libraries(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "so") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// The file behind links, or the path as it is.
fn real(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.into())
}

/// How a plugin is started that nobody has configured: in a process of its own, from this program.
pub(super) fn launch(
    name: &str,
    source: &PluginSource,
    origin: &str,
) -> Result<Launch, Diagnostic> {
    let program = Path::new(THIS_PROGRAM);
    let confine = Confine::of(&ConfinePlan::default()).map_err(|fault| fault.diagnostic(origin))?;
    match source {
        PluginSource::Command { words, directory } => {
            let directory = directory.as_deref();
            look_at_all(&program::files(words, directory), confine.trusts())
                .map_err(|fault| fault.diagnostic(origin))?;
            Ok(Launch::command(name, program, words, directory, &confine))
        }
        PluginSource::Library(path) => {
            let image = Image::take(Path::new(path), None, confine.trusts())
                .map_err(|fault| fault.diagnostic(origin))?;
            Ok(Launch::library(name, program, image, &confine))
        }
    }
}

/// A diagnostic about a plugin at what it is about in its `[plugin.NAME]`.
fn placed(told: Diagnostic, name: &str, places: Places<'_>) -> Diagnostic {
    let first = told.notes.first().map(String::as_str).unwrap_or_default();
    let key = match told.code {
        "C0210" => "sha256",
        "C0217" if first.contains("limit") => "limits",
        "C0217" if first.contains("user") => "user",
        "C0217" | "C0218" => "allow",
        _ => "path",
    };
    let place = [key, "path", "command"]
        .iter()
        .find_map(|key| places(name, key));
    match place {
        Some(place) => told.at(place, format!("in `[plugin.{name}]`")),
        None => told,
    }
}

/// Asks a plugin what it offers.
fn describe(program: &Path, source: &Source) -> Result<(Arc<Plugin>, Vec<KindText>), Diagnostic> {
    asked(program, source).map_err(|mut told| {
        // What checkd does now stands last, once.
        let now = |note: &String| {
            note == UNUSED || note.ends_with("not loaded") || note.ends_with("not started")
        };
        let last = told.notes.iter().find(|note| now(note)).cloned();
        told.notes.retain(|note| !now(note));
        told.note(last.unwrap_or_else(|| UNUSED.into()))
    })
}

fn asked(program: &Path, source: &Source) -> Result<(Arc<Plugin>, Vec<KindText>), Diagnostic> {
    let (origin, told) = (&source.origin, source.told());
    let confine = Confine::of(&source.confine).map_err(|fault| fault.diagnostic(told))?;
    let named = |diagnostic: Diagnostic| match source.what {
        PluginSource::Command { .. } if told != origin => {
            diagnostic.note(format!("its command is `{origin}`"))
        }
        PluginSource::Command { .. } | PluginSource::Library(_) => diagnostic,
    };
    let about = |diagnostic: Diagnostic| {
        let mut told = named(diagnostic);
        if let Some(reach) = confine.reach() {
            told = told.note(format!("its worker {reach}"));
        }
        match &source.what {
            PluginSource::Command { words, directory }
                if confine.is_alone() && program::is_script(words, directory.as_deref()) =>
            {
                told.help(
                    "its program is a script: name what that starts, or add `exec` to `allow`",
                )
            }
            PluginSource::Command { .. } | PluginSource::Library(_) => told,
        }
    };
    let fingerprint;
    let launch = match &source.what {
        PluginSource::Command { words, directory } => {
            let directory = directory.as_deref();
            look_at_all(&program::files(words, directory), confine.trusts())
                .map_err(|fault| named(fault.diagnostic(told)))?;
            fingerprint = program::fingerprint(words, directory);
            Launch::command(&source.name, program, words, directory, &confine)
        }
        PluginSource::Library(path) => {
            let image = Image::take(Path::new(path), source.sha256.as_deref(), confine.trusts())
                .map_err(|fault| fault.diagnostic(origin))?;
            if source.isolation == Isolation::InProcess {
                // Never closed, as the library is not: the dynamic linker knows libraries by their
                // names, and the number of a closed descriptor would be the next one's name.
                let image: &'static Image = Box::leak(Box::new(image));
                let library =
                    Library::open(&image.path()).map_err(|fault| fault.diagnostic(origin))?;
                let described = library.describe().map_err(|why| unusable(origin, &why))?;
                if described.kinds.is_empty() {
                    return Err(unusable(origin, NO_KIND));
                }
                let plugin = Plugin {
                    name: source.name.clone(),
                    origin: origin.clone(),
                    package: package(&described.name, &described.version),
                    built_with: library.built_with(&described.sdk),
                    fingerprint: image.sha256.clone(),
                    door: Door::Library(Arc::new(library)),
                    probe: Mutex::default(),
                };
                return Ok((Arc::new(plugin), described.kinds));
            }
            fingerprint = image.sha256.clone();
            Launch::library(&source.name, program, image, &confine)
        }
    };
    let mut probe = Probe::open(&launch, told).map_err(about)?;
    let kinds = probe.describe(told).map_err(about)?;
    let plugin = Plugin {
        name: source.name.clone(),
        origin: origin.clone(),
        package: package(&probe.plugin, &probe.release),
        built_with: probe.built_with.clone(),
        fingerprint,
        door: Door::Worker(launch),
        probe: Mutex::new(Some(probe)),
    };
    Ok((Arc::new(plugin), kinds))
}

/// `acme-checks 1.4.0`; empty when the plugin says neither.
fn package(name: &str, version: &str) -> String {
    bounded(format!("{name} {version}").trim(), 128)
}

fn unusable(origin: &str, why: &str) -> Diagnostic {
    Diagnostic::error("C0207", format!("cannot use plugin `{origin}`")).note(why)
}

/// What is linked in.
fn built_ins(diagnostics: &mut Vec<Diagnostic>) -> Vec<Offer> {
    let plugin = Arc::new(Plugin {
        name: "built in".into(),
        origin: "built in".into(),
        package: format!("checkd {}", env!("CARGO_PKG_VERSION")),
        built_with: String::new(),
        fingerprint: String::new(),
        door: Door::Linked,
        probe: Mutex::default(),
    });
    let mut offers = Vec::new();
    for registration in builtin::all() {
        offer(
            &plugin,
            convert::registration(registration),
            false,
            &mut offers,
            diagnostics,
        );
        if let Some(offer) = offers.last_mut() {
            offer.linked = Some(Linked(registration));
        }
    }
    offers
}

/// Takes one kind of a plugin, the `only` one that it has or one of several, or tells why it cannot be
/// used.
fn offer(
    plugin: &Arc<Plugin>,
    text: KindText,
    only: bool,
    offers: &mut Vec<Offer>,
    diagnostics: &mut Vec<Diagnostic>,
) {
    match convert::facts(&text, &plugin.origin) {
        Ok(facts) => offers.push(Offer {
            facts,
            summary: bounded(&text.summary, 256),
            example: text.example,
            package: bounded(&text.package, 128),
            blocking: text.blocking,
            plugin: Arc::clone(plugin),
            linked: None,
        }),
        Err(why) => diagnostics.push(
            Diagnostic::error(
                "C0206",
                format!("cannot use a kind of plugin `{}`", plugin.origin),
            )
            .note(why)
            .note(if only {
                UNUSED
            } else {
                "its other kinds are used"
            }),
        ),
    }
}

/// One offer for each kind; a kind that is offered twice is nobody's.
fn settle(
    offers: Vec<Offer>,
    diagnostics: &mut Vec<Diagnostic>,
) -> BTreeMap<CheckKind, Arc<Offer>> {
    let mut by_kind: BTreeMap<CheckKind, Vec<Offer>> = BTreeMap::new();
    for offer in offers {
        by_kind
            .entry(offer.facts.kind.clone())
            .or_default()
            .push(offer);
    }
    let mut settled = BTreeMap::new();
    for (kind, mut offers) in by_kind {
        match (offers.pop(), offers.is_empty()) {
            (Some(only), true) => {
                settled.insert(kind, Arc::new(only));
            }
            (Some(last), false) => {
                offers.push(last);
                let offers: Vec<&Offer> = offers.iter().collect();
                diagnostics.push(twice(&kind, &offers));
            }
            (None, _) => {}
        }
    }
    settled
}

fn twice(kind: &CheckKind, offers: &[&Offer]) -> Diagnostic {
    let times = if offers.len() == 2 {
        "twice".into()
    } else {
        format!("{} times", offers.len())
    };
    let mut told = Diagnostic::error("C0205", format!("check kind `{kind}` is offered {times}"));
    for offer in offers {
        told = told.note(match (&offer.plugin.door, offer.plugin.package.as_str()) {
            (Door::Linked, _) => format!("built in ({})", offer.package),
            (_, "") => format!("`{}`", offer.plugin.origin),
            (_, package) => format!("`{}` ({package})", offer.plugin.origin),
        });
    }
    told.note("none of them is used until this is settled")
        .help(format!(
            "give the plugin's check its own kind, for example `my_{kind}`"
        ))
}

#[cfg(test)]
mod tests;
