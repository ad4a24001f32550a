//! The reader: walks the tables, collects every mistake, and builds the plan.

use std::collections::BTreeSet;

use super::keys;
use super::resources;
use super::section::{MISSING, Of, Section};
use super::{Document, Draft, Kinds, Node, Table, UnknownKinds, Value, group, maintenance, notify};
use crate::diagnostic::{Diagnostic, Place, Severity};
use crate::plan::{ConfinePlan, DaemonPlan, Isolation, OnExit, Plan, PluginPlan, PluginSource};
use crate::{CheckName, GroupName};

pub(super) const NAME: &str = "C0109";
const PLUGIN_SOURCE: &str = "C0122";

/// What every part of the reader needs.
pub(super) struct Reader<'a> {
    pub(super) document: &'a Document,
    pub(super) kinds: &'a Kinds,
    pub(super) unknown_kinds: UnknownKinds,
    pub(super) out: Vec<Diagnostic>,
    /// What was told about a value that many checks inherit: once is enough.
    inherited: BTreeSet<(&'static str, Place, String)>,
    /// Checks whose options have mistakes.
    pub(super) unsound: BTreeSet<(GroupName, CheckName)>,
}

/// Reads the whole document.
pub(super) fn draft(document: &Document, kinds: &Kinds, unknown_kinds: UnknownKinds) -> Draft {
    let mut reader = Reader {
        document,
        kinds,
        unknown_kinds,
        out: Vec::new(),
        inherited: BTreeSet::new(),
        unsound: BTreeSet::new(),
    };
    let plan = reader.root();
    let mut told = reader.out;
    // In the order of the files, so that a person goes through them once.
    told.sort_by_key(|one| one.primary.as_ref().map(|(place, _)| *place));
    Draft {
        plan,
        diagnostics: told,
        unsound: reader.unsound,
    }
}

/// `[plugin.N]` and `daemon.plugins`, before any kind is known.
pub(super) fn plugins(document: &Document) -> (Vec<PluginPlan>, Vec<String>, Vec<Diagnostic>) {
    let kinds = Kinds::new();
    let mut reader = Reader {
        document,
        kinds: &kinds,
        unknown_kinds: UnknownKinds::Tolerate,
        out: Vec::new(),
        inherited: BTreeSet::new(),
        unsound: BTreeSet::new(),
    };
    let plugins = reader.plugins(document.root.table("plugin"));
    let daemon = Section {
        table: document.root.table("daemon"),
        keys: keys::DAEMON,
        of: Of::Daemon,
    };
    (plugins, daemon.words("plugins"), reader.out)
}

impl<'a> Reader<'a> {
    /// Tells a mistake that may stand in a value that others inherit too: once a place.
    pub(super) fn once(&mut self, told: Diagnostic) {
        let new = told
            .primary
            .as_ref()
            .is_none_or(|(place, words)| self.inherited.insert((told.code, *place, words.clone())));
        if new {
            self.out.push(told);
        }
    }

    /// Marks a check when what was told since `before`, about its options, refuses them.
    pub(super) fn unsound_since(&mut self, before: usize, group: &str, check: &str) {
        let told = self.out.get(before..).unwrap_or(&[]);
        if told.iter().any(|one| one.severity == Severity::Error)
            && let (Some(group), Some(check)) = (GroupName::new(group), CheckName::new(check))
        {
            self.unsound.insert((group, check));
        }
    }

    fn root(&mut self) -> Plan {
        let root = Section::open(
            Some(&self.document.root),
            keys::ROOT,
            Of::Root,
            &mut self.out,
        );
        let daemon = self.daemon(root.table_of("daemon"));
        let plugins = self.plugins(root.table_of("plugin"));
        let defaults = Section::open(
            root.table_of("defaults"),
            keys::DEFAULTS,
            Of::Defaults,
            &mut self.out,
        );
        let groups = group::groups(self, root.table_of("group"), defaults);
        let empty = root
            .table_of("group")
            .is_none_or(|table| table.entries.is_empty());
        let refused = self.out.iter().any(|one| one.severity == Severity::Error);
        // Beside a `[gruop]` it would be the same mistake once more.
        if empty && !refused {
            self.out.push(
                Diagnostic::warning(
                    group::NOTHING,
                    "there is no group: nothing is started, and nothing is checked",
                )
                .help("add `[group.NAME]` with a `command`"),
            );
        }
        let maintenance =
            maintenance::windows(self, root.table_of("maintenance"), root.table_of("group"));
        let notify = notify::sinks(self, root.table_of("notify"), root.table_of("group"));
        Plan {
            daemon,
            plugins,
            groups,
            maintenance,
            notify,
        }
    }

    fn daemon(&mut self, table: Option<&'a Table>) -> DaemonPlan {
        let daemon = Section::open(table, keys::DAEMON, Of::Daemon, &mut self.out);
        let text = |key| daemon.text(key).map(str::to_owned);
        DaemonPlan {
            state_dir: text("state_dir"),
            control: text("control"),
            control_group: text("control_group"),
            plugins: daemon.words("plugins"),
            on_exit: match daemon.choice("on_exit") {
                Some("stop") => OnExit::Stop,
                _ => OnExit::Leave,
            },
            journal_keep: daemon.wait("journal_keep"),
            journal_max_size: daemon.size("journal_max_size"),
            log: text("log"),
        }
    }

    fn plugins(&mut self, table: Option<&'a Table>) -> Vec<PluginPlan> {
        let mut plugins: Vec<PluginPlan> = self
            .named(table, "plugin", crate::id::NAME_MAX)
            .into_iter()
            .filter_map(|(name, at, table)| self.plugin(name, at, table))
            .collect();
        plugins.sort_by(|a, b| a.name.cmp(&b.name));
        plugins
    }

    fn plugin(&mut self, name: &'a str, at: Place, table: &'a Table) -> Option<PluginPlan> {
        let section = Section::open(Some(table), keys::PLUGIN, Of::Plugin(name), &mut self.out);
        let command = section.words("command");
        let source = match (section.text("path"), section.node("command")) {
            (Some(path), None) => PluginSource::Library(path.to_owned()),
            (None, Some(_)) if !command.is_empty() => {
                if !self.fits_a_command(name, &section) {
                    return None;
                }
                PluginSource::Command {
                    words: command,
                    directory: None,
                }
            }
            (None, Some(node)) => {
                if matches!(&node.value, Value::List(items) if items.is_empty()) {
                    self.out.push(
                        Diagnostic::error(PLUGIN_SOURCE, "`command` is empty")
                            .at(node.place, format!("in `[plugin.{name}]`")),
                    );
                }
                return None;
            }
            (Some(_), Some(node)) => {
                self.out.push(
                    Diagnostic::error(
                        PLUGIN_SOURCE,
                        format!("plugin `{name}` has a `path` and a `command`"),
                    )
                    .at(node.place, "only one of them can be")
                    .help("take one of them out"),
                );
                return None;
            }
            (None, None) => {
                if section.node("path").is_none() {
                    self.out.push(
                        Diagnostic::error(
                            MISSING,
                            format!("plugin `{name}` has neither a `path` nor a `command`"),
                        )
                        .at(at, "one of them is needed"),
                    );
                }
                return None;
            }
        };
        let isolation = match section.choice("isolation") {
            Some("in-process") => Isolation::InProcess,
            _ => Isolation::Process,
        };
        let limits = resources::limits(self, &section, Of::PluginLimits(name), |limit| {
            Of::PluginLimit(name, limit)
        });
        for key in ["limits", "user", "allow"] {
            if let (Isolation::InProcess, Some(place)) = (isolation, section.place(key)) {
                self.out.push(
                    Diagnostic::error(
                        super::form::VALUE,
                        format!("`{key}` is about a worker process, and there is none"),
                    )
                    .at(place, format!("in `[plugin.{name}]`"))
                    .note("with `isolation = \"in-process\"` its checks run in the daemon itself")
                    .help("take one of the two out"),
                );
            }
        }
        let allow = section.grants("allow");
        if allow.is_none() && section.node("allow").is_some() {
            // It was told; without it the plugin would run with more than it was meant to have.
            return None;
        }
        Some(PluginPlan {
            name: name.to_owned(),
            source,
            sha256: section.sha256("sha256"),
            isolation,
            confine: ConfinePlan {
                limits,
                user: section.text("user").map(str::to_owned),
                allow,
            },
        })
    }

    /// Refuses what says something about a library beside a `command`: it would be believed and not
    /// hold.
    fn fits_a_command(&mut self, name: &str, section: &Section<'a>) -> bool {
        let before = self.out.len();
        let in_process = section.choice("isolation") == Some("in-process");
        for (key, there, why) in [
            (
                "sha256",
                true,
                "a `command` has no single file to hold it against",
            ),
            (
                "isolation",
                in_process,
                "a `command` is a process of its own",
            ),
        ] {
            if let Some(node) = section.node(key).filter(|_| there) {
                let told = format!("plugin `{name}` is a `command`, and `{key}` is of a library");
                self.out.push(
                    Diagnostic::error(PLUGIN_SOURCE, told)
                        .at(node.place, why)
                        .help(format!("take `{key}` out")),
                );
            }
        }
        self.out.len() == before
    }

    /// The tables of `[what.NAME]` with good names; others are told and left out.
    pub(super) fn named(
        &mut self,
        table: Option<&'a Table>,
        what: &str,
        longest: usize,
    ) -> Vec<(&'a str, Place, &'a Table)> {
        let mut found = Vec::new();
        for (name, at, node) in table.map_or(&[][..], |table| table.entries.as_slice()) {
            let good = self.good_name(what, name, *at, longest);
            match &node.value {
                Value::Table(inner) if good => found.push((name.as_str(), *at, inner)),
                Value::Table(_) => {}
                Value::Text(_)
                | Value::Integer(_)
                | Value::Float(_)
                | Value::Bool(_)
                | Value::List(_) => self.out.push(
                    Diagnostic::error(
                        super::form::TYPE,
                        format!(
                            "{what} `{name}` must be a table, not {}",
                            super::form::shown(node)
                        ),
                    )
                    .at(node.place, ""),
                ),
            }
        }
        found
    }

    pub(super) fn good_name(&mut self, what: &str, name: &str, at: Place, longest: usize) -> bool {
        let good = crate::GroupName::new(name).is_some() && name.len() <= longest;
        if !good {
            let told = Diagnostic::error(NAME, format!("`{name}` cannot be the name of a {what}"))
                .at(at, "not a name")
                .note(format!(
                    "names begin with a lower-case letter and go on with `a-z`, `0-9`, `_` and `-`; at most {longest} of them"
                ));
            let better: String = name
                .to_ascii_lowercase()
                .chars()
                .map(|c| {
                    if c.is_ascii_alphanumeric() || c == '_' {
                        c
                    } else {
                        '-'
                    }
                })
                .collect();
            let sure = crate::GroupName::new(&better).is_some() && better.len() <= longest;
            self.out.push(if sure {
                told.help(format!("`{better}` is one"))
            } else {
                told
            });
        }
        good
    }

    /// The place of these bytes of a text.
    pub(super) fn within(&self, node: &Node, bytes: std::ops::Range<usize>) -> Place {
        self.document.within(node, bytes)
    }

    /// Tells what is wrong with the placeholders of one text.
    pub(super) fn placeholders(
        &mut self,
        node: &Node,
        allowed: &[(super::placeholder::Placeholder, Option<&str>)],
        of: &dyn Fn() -> String,
    ) {
        super::placeholder::check(self.document, node, allowed, of, &mut self.out);
    }
}
