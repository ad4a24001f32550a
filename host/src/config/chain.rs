//! The whole way: layers, plugins, catalog, plan, and each kind's own word on its options.

use std::path::{Path, PathBuf};

use checkd_core::config::{self, Document, Draft, UnknownKinds};
use checkd_core::diagnostic::{Diagnostic, Place, Severity};
use checkd_core::plan::{CheckPlan, Grant, GroupPlan, Plan, PluginPlan, PluginSource, Scope};

use crate::cli::Layers;
use crate::plugin::{Catalog, Target};

const KIND_REFUSES: &str = "C0103";

/// What the configuration is read for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// `validate`, `reload`: everything must be right.
    Judge,
    /// `run`: what is wrong in the text is refused, and a plugin that cannot be loaded now leaves
    /// its checks Unknown.
    Run,
}

/// A configuration that was read, and what came of it.
#[derive(Debug)]
pub struct Configured {
    /// There when nothing refuses it.
    pub plan: Option<Plan>,
    /// All kinds; none when the layers themselves are broken.
    pub catalog: Option<Catalog>,
    /// The merged tree: what diagnostics point into.
    pub document: Document,
    /// Everything that was found: of plugins, then in the order of the sources.
    pub diagnostics: Vec<Diagnostic>,
    /// The configuration file.
    pub file: Option<PathBuf>,
}

/// Goes the whole way. Blocks while plugins describe themselves and judge their options.
pub fn configure(layers: &Layers, purpose: Purpose) -> Configured {
    let loaded = super::load(layers);
    let broken = super::broken(&loaded.diagnostics);
    let mut diagnostics = loaded.diagnostics;
    let document = loaded.document;
    let file = loaded.file;
    let mut catalog = None;
    let mut plan = None;
    if !broken {
        let base = &base_of(file.as_deref());
        let (plugins, directories, told) = config::plugins(&document);
        let (plugins, directories) = settled(file.as_deref(), plugins, directories);
        // A `[plugin.N]` with mistakes offers nothing: its kinds are not unknown because of that.
        let whole = !refused(&told);
        let (catalog, of_plugins) = {
            let places = places(&document);
            let (opened, told) = Catalog::open_at(&places, &plugins, &directories);
            (&*catalog.insert(opened), told)
        };
        // Nor is one that cannot be loaded refused twice: what it says of itself is the cause.
        let missing = !whole || !catalog.unavailable().is_empty();
        let strict = if missing {
            UnknownKinds::Tolerate
        } else {
            UnknownKinds::Refuse
        };
        let mut draft = config::draft(&document, catalog.kinds(), strict);
        let mut told = std::mem::take(&mut draft.diagnostics);
        kinds_judge(&draft, catalog, &document, &mut told);
        super::here::judge(&draft.plan, &document, &mut told);
        // A value that is none was told already; what is said about it as a value is about that.
        let mut none: Vec<Place> = diagnostics.iter().filter_map(place_of).collect();
        none.sort_unstable();
        told.retain(|one| !about(one, &none));
        diagnostics.extend(told);
        diagnostics.sort_by_key(place_of);
        let whole = purpose == Purpose::Run || !refused(&of_plugins);
        if whole && !refused(&diagnostics) {
            let mut read = draft.plan;
            read.daemon.settle_paths(base);
            for plugin in &mut read.plugins {
                settle_plugin(base, plugin);
            }
            plan = Some(read);
        }
        // First, for what follows may follow from it.
        diagnostics.splice(0..0, of_plugins);
    }
    Configured {
        plan,
        catalog,
        document,
        diagnostics,
        file,
    }
}

/// Where a document says something of a plugin: `[plugin.NAME]`, and a key of it.
pub fn places(document: &Document) -> impl Fn(&str, &str) -> Option<Place> {
    |name, key| document.place_of(&["plugin", name, key])
}

/// Plugins and plugin directories with their paths as the configuration means them.
pub fn settled(
    file: Option<&Path>,
    mut plugins: Vec<PluginPlan>,
    mut directories: Vec<String>,
) -> (Vec<PluginPlan>, Vec<String>) {
    let base = &base_of(file);
    for plugin in &mut plugins {
        settle_plugin(base, plugin);
    }
    for directory in &mut directories {
        settle(base, directory);
    }
    (plugins, directories)
}

/// The directory of the configuration, absolute: what is settled by it is settled for good.
fn base_of(file: Option<&Path>) -> PathBuf {
    let directory = file.and_then(Path::parent).unwrap_or(Path::new(""));
    // An empty path has no absolute form.
    let directory = if directory.as_os_str().is_empty() {
        Path::new(".")
    } else {
        directory
    };
    std::path::absolute(directory).unwrap_or_else(|_| directory.to_owned())
}

fn place_of(told: &Diagnostic) -> Option<Place> {
    told.primary.as_ref().map(|(place, _)| *place)
}

/// Whether a mistake is about one of the values at `places` (in order, none in another): in it, or
/// about the form of a list around it.
fn about(told: &Diagnostic, places: &[Place]) -> bool {
    let holds = |outer: Place, inner: Place| {
        outer.source == inner.source && outer.start <= inner.start && inner.end <= outer.end
    };
    let Some(place) = place_of(told) else {
        return false;
    };
    let begins = |place: Place| (place.source, place.start);
    let after = places.partition_point(|none| begins(*none) <= begins(place));
    let at_or_before = after.checked_sub(1).and_then(|index| places.get(index));
    let first_inside = places.get(places.partition_point(|none| begins(*none) < begins(place)));
    at_or_before.is_some_and(|none| holds(*none, place))
        || (told.code == super::TYPE && first_inside.is_some_and(|none| holds(place, *none)))
}

fn refused(diagnostics: &[Diagnostic]) -> bool {
    diagnostics
        .iter()
        .any(|told| told.severity == Severity::Error)
}

/// A path in the configuration is relative to the configuration's directory, so that every verb
/// means the same file from any directory.
fn settle(base: &Path, path: &mut String) {
    if Path::new(path.as_str()).is_relative() {
        *path = base.join(path.as_str()).to_string_lossy().into_owned();
    }
}

fn settle_plugin(base: &Path, plugin: &mut PluginPlan) {
    match &mut plugin.source {
        PluginSource::Library(path) => settle(base, path),
        PluginSource::Command { directory, .. } => {
            *directory = Some(base.to_string_lossy().into_owned());
        }
    }
    for grant in plugin.confine.allow.iter_mut().flatten() {
        match grant {
            Grant::Read(path) | Grant::Write(path) => settle(base, path),
            Grant::Network | Grant::Exec => {}
        }
    }
}

trait SettlePaths {
    fn settle_paths(&mut self, base: &Path);
}

impl SettlePaths for checkd_core::plan::DaemonPlan {
    fn settle_paths(&mut self, base: &Path) {
        for path in [&mut self.state_dir, &mut self.control]
            .into_iter()
            .flatten()
        {
            settle(base, path);
        }
        for path in &mut self.plugins {
            settle(base, path);
        }
    }
}

/// Lets every kind judge the options of its checks, as they are for the first member; also while
/// there are mistakes elsewhere, so that all of them come together.
fn kinds_judge(draft: &Draft, catalog: &Catalog, document: &Document, out: &mut Vec<Diagnostic>) {
    for (group, check) in draft.checks() {
        if !catalog.kinds().contains_key(&check.kind) {
            continue;
        }
        let target = target(group, check, document);
        for problem in catalog.try_configure(&check.kind, &check.options, &target) {
            out.push(refusal(group, check, document, &problem));
        }
    }
}

/// Stands in for a port while the group's `ports` have a mistake of their own.
const SOME_PORT: u16 = 1;

fn target(group: &GroupPlan, check: &CheckPlan, document: &Document) -> Target {
    let some_port = || {
        let written = document.place_of(&["group", group.name.as_str(), "ports"]);
        written.map(|_| SOME_PORT)
    };
    let own = check.scope == Scope::Process;
    let member = group.members.first().filter(|_| own);
    Target {
        group: group.name.to_string(),
        member: member.map(|member| member.name.to_string()),
        index: member.map(|member| member.index),
        pid: own.then(std::process::id),
        port: member.and_then(|member| member.port.or_else(some_port)),
    }
}

fn refusal(
    group: &GroupPlan,
    check: &CheckPlan,
    document: &Document,
    problem: &crate::plugin::Problem,
) -> Diagnostic {
    let path = ["group", group.name.as_str(), "checks", check.name.as_str()];
    let option = problem.option.as_deref();
    let place = option
        .and_then(|option| {
            let mut path = path.to_vec();
            path.push(option);
            document.place_of(&path)
        })
        .unwrap_or(check.place);
    let message = match option {
        Some(option) => format!("`{option}` {}", problem.message),
        None => format!("check kind `{}` refuses its options", check.kind),
    };
    let told = Diagnostic::error(KIND_REFUSES, message).at(
        place,
        format!("in check `{}` of group `{}`", check.name, group.name),
    );
    let told = match option {
        Some(_) => told,
        None => told.note(&*problem.message),
    };
    match &problem.help {
        Some(help) => told.help(help),
        None => told,
    }
}
