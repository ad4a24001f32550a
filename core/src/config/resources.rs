//! `output` and `limits` of a group: where a member's words go, and how much it may take.

use std::collections::BTreeMap;

use super::form;
use super::keys::{self, Form};
use super::placeholder::Placeholder;
use super::read::Reader;
use super::section::{MISSING, Of, Section};
use crate::diagnostic::Diagnostic;
use crate::plan::{Bounds, OutputFile, Resource};

/// Numbers that contradict each other.
const NEVER: &str = "C0118";
/// The smallest file that output is set aside at.
const OUTPUT_LEAST: u64 = 64 << 10;
/// So many old files are renamed in one go.
const OUTPUT_KEEP_MOST: u32 = 100;

/// `output = "path"`, or `output = { … }`.
pub(super) fn output<'a>(
    reader: &mut Reader<'a>,
    group: &Section<'a>,
    name: &'a str,
    allowed: &[(Placeholder, Option<&str>)],
) -> (Option<String>, OutputFile) {
    let mut file = OutputFile::default();
    let section = group
        .table_of("output")
        .map(|table| Section::open(Some(table), keys::OUTPUT, Of::Output(name), &mut reader.out));
    let path = match &section {
        Some(section) => section.node("path"),
        None => group.node("output"),
    };
    if let Some(node) = path {
        reader.placeholders(node, allowed, &|| format!("group `{name}`"));
    }
    if let Some(section) = &section {
        file.max_size = section.size("max_size").unwrap_or(file.max_size);
        file.keep = section.count("keep", 0).unwrap_or(file.keep);
        file.timestamps = section.boolean("timestamps").unwrap_or(file.timestamps);
        let place = section.place("max_size").unwrap_or_default();
        if file.max_size < OUTPUT_LEAST {
            reader.out.push(
                Diagnostic::error(form::VALUE, "`max_size` is too small")
                    .at(place, format!("in {}", section.of))
                    .note("a file would be set aside for every few lines; at least `64KiB`"),
            );
        }
        if file.keep > OUTPUT_KEEP_MOST {
            reader.out.push(
                Diagnostic::error(form::VALUE, format!("`keep` is too large: `{}`", file.keep))
                    .at(
                        section.place("keep").unwrap_or_default(),
                        format!("in {}", section.of),
                    )
                    .note(format!(
                        "at most {OUTPUT_KEEP_MOST}; each is renamed when the newest is set aside"
                    )),
            );
        }
    }
    let path = path.and_then(|node| form::text(node).ok());
    (path.map(str::to_owned), file)
}

/// The name of each resource, as in `keys::LIMITS`.
const RESOURCES: [(&str, Resource); 8] = [
    ("open_files", Resource::OpenFiles),
    ("processes", Resource::Processes),
    ("memory", Resource::Memory),
    ("core", Resource::Core),
    ("file_size", Resource::FileSize),
    ("stack", Resource::Stack),
    ("cpu", Resource::Cpu),
    ("locked_memory", Resource::LockedMemory),
];

impl Resource {
    /// As in `limits`: `open_files`.
    pub fn as_str(self) -> &'static str {
        let found = RESOURCES.iter().find(|(_, resource)| *resource == self);
        found.map_or("?", |(name, _)| name)
    }
}

/// `limits = { … }`, each of them one value or two.
pub(super) fn limits<'a>(
    reader: &mut Reader<'a>,
    above: &Section<'a>,
    whose: Of<'a>,
    one: impl Fn(&'static str) -> Of<'a>,
) -> BTreeMap<Resource, Bounds> {
    let mut limits = BTreeMap::new();
    let section = Section::open(
        above.table_of("limits"),
        keys::LIMITS,
        whose,
        &mut reader.out,
    );
    for (key, resource) in RESOURCES {
        let Some(Form::Bounds(unit)) = keys::find(keys::LIMITS, key).map(|key| key.form) else {
            continue;
        };
        let Some(table) = section.table_of(key) else {
            if let Some(both) = section.bound(key, unit) {
                let (soft, hard) = (both, Some(both));
                limits.insert(resource, Bounds { soft, hard });
            }
            continue;
        };
        let of = one(key);
        let two = Section::open(Some(table), keys::bounds_of(unit), of, &mut reader.out);
        let hard = two.bound("hard", unit);
        let place = section.place(key).unwrap_or_default();
        match two.bound("soft", unit).or(hard) {
            Some(soft) if hard.is_some_and(|hard| soft > hard) => reader.out.push(
                Diagnostic::error(
                    NEVER,
                    format!("the soft limit of `{key}` is above the hard one"),
                )
                .at(two.place("soft").unwrap_or(place), format!("in {of}"))
                .note("a process may raise the soft limit up to the hard one"),
            ),
            Some(soft) => {
                limits.insert(resource, Bounds { soft, hard });
            }
            None if table.entries.is_empty() => reader.out.push(
                Diagnostic::error(MISSING, format!("limit `{key}` says nothing"))
                    .at(place, format!("in {}", section.of))
                    .help("give a value, or `soft` and `hard`"),
            ),
            // Told.
            None => {}
        }
    }
    limits
}
