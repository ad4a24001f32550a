//! What a validated configuration means: immutable, with every default filled in.
//!
//! A [`Plan`] is made by [`crate::config::read`] and by nothing else outside tests, so whoever holds
//! one may rely on its rules: names are unique, expressions refer to checks that exist, a timeout is
//! not longer than its interval, limits can be reached.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::compose::Complex;
use crate::config::units::exact_size;
use crate::{CheckKind, CheckName, GroupName, LeafId, MemberId, MemberName, Span};

/// Everything that the daemon was told.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// `[daemon]`.
    pub daemon: DaemonPlan,
    /// `[plugin.N]`, in name order.
    pub plugins: Vec<PluginPlan>,
    /// `[group.N]`, in name order.
    pub groups: Vec<GroupPlan>,
    /// `[maintenance.N]`, in name order.
    pub maintenance: Vec<MaintenancePlan>,
    /// `[notify.N]`, in name order.
    pub notify: Vec<SinkPlan>,
}

/// `[daemon]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DaemonPlan {
    /// Journal, private copies of plugins, output of members; `None`: the host's default place.
    pub state_dir: Option<String>,
    /// Path of the control socket; `None`: `control.sock` in the state directory.
    pub control: Option<String>,
    /// Unix group that may use the control socket besides its owner.
    pub control_group: Option<String>,
    /// Directories whose `*.so` are plugins.
    pub plugins: Vec<String>,
    /// What happens to members when the daemon ends.
    pub on_exit: OnExit,
    /// How long journal rows are kept.
    pub journal_keep: Option<Span>,
    /// How large the journal may grow, in bytes.
    pub journal_max_size: Option<u64>,
    /// Log filter: `error`, `warn`, `info`, `debug`.
    pub log: Option<String>,
}

/// What happens to members when the daemon ends in good order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnExit {
    /// They live on and are adopted by the next daemon.
    #[default]
    Leave,
    /// They are stopped.
    Stop,
}

/// `[plugin.N]`: one plugin with settings of its own.
#[derive(Clone, Debug, PartialEq)]
pub struct PluginPlan {
    /// The name in the configuration.
    pub name: String,
    /// What to load or to start.
    pub source: PluginSource,
    /// The file's SHA-256 in lower-case hex, when pinned.
    pub sha256: Option<String>,
    /// Where its checks run.
    pub isolation: Isolation,
    /// What its worker may take and be.
    pub confine: ConfinePlan,
}

/// What the worker of a plugin may take and be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfinePlan {
    /// Resource limits; what is not named here is as checkd was started with it, but for core files:
    /// none.
    pub limits: BTreeMap<Resource, Bounds>,
    /// The user that it runs as; `None`: checkd's.
    pub user: Option<String>,
    /// All that it may reach; `None`: whatever its user may.
    pub allow: Option<Vec<Grant>>,
}

/// Limits as a configuration writes them: `{ memory = "1GiB", open_files = 64 }`.
pub fn written<'a>(limits: impl Iterator<Item = (&'a Resource, &'a Bounds)>) -> String {
    let limits = limits.map(|(resource, bounds)| {
        let value = |bound: u64| match resource {
            _ if bound == Bounds::UNLIMITED => "\"unlimited\"".to_owned(),
            Resource::OpenFiles | Resource::Processes => bound.to_string(),
            Resource::Cpu => format!("\"{}\"", Span(bound.saturating_mul(1_000))),
            Resource::Memory
            | Resource::Core
            | Resource::FileSize
            | Resource::Stack
            | Resource::LockedMemory => format!("\"{}\"", exact_size(bound)),
        };
        let both = match bounds.hard {
            Some(hard) if hard == bounds.soft => value(hard),
            Some(hard) => format!(
                "{{ soft = {}, hard = {} }}",
                value(bounds.soft),
                value(hard)
            ),
            None => format!("{{ soft = {} }}", value(bounds.soft)),
        };
        format!("{} = {both}", resource.as_str())
    });
    format!("{{ {} }}", limits.collect::<Vec<String>>().join(", "))
}

/// Something that a confined worker may reach.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Grant {
    /// Sockets of any kind.
    Network,
    /// To start other programs.
    Exec,
    /// To read a file, or all below a directory.
    Read(String),
    /// To read, change, make and remove it.
    Write(String),
}

/// As in `allow`.
impl std::fmt::Display for Grant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Network => f.write_str("network"),
            Self::Exec => f.write_str("exec"),
            Self::Read(path) => write!(f, "read:{path}"),
            Self::Write(path) => write!(f, "write:{path}"),
        }
    }
}

/// Where a plugin comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PluginSource {
    /// A shared library.
    Library(String),
    /// A program that speaks the worker protocol.
    Command {
        /// Program and arguments.
        words: Vec<String>,
        /// Where it is started; `None`: where the host is.
        directory: Option<String>,
    },
}

/// Where a plugin's checks run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Isolation {
    /// In a worker process: a crash costs one worker.
    #[default]
    Process,
    /// In the daemon itself: faster, and a crash costs the daemon.
    InProcess,
}

/// A named set of members with one policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GroupPlan {
    /// Its name.
    pub name: GroupName,
    /// Whether decisions are carried out or only recorded.
    pub mode: Mode,
    /// Who is in it, in index order.
    pub members: Vec<MemberPlan>,
    /// Its checks, in name order.
    pub checks: Vec<CheckPlan>,
    /// Restart-worthy.
    pub live: Complex,
    /// Serve-worthy; restarts nothing.
    pub ready: Complex,
    /// What says that a start succeeded; `live` when not given.
    pub startup: Complex,
    /// The group is ready when so many members are; all of them when not given.
    pub ready_members: u32,
    /// How restarts are decided.
    pub policy: PolicyPlan,
    /// How a member is started and stopped (own manager).
    pub launch: Launch,
    /// Groups that must be ready before this one is started: indices into `Plan::groups`.
    pub depends_on: Vec<u32>,
}

/// Whether decisions are carried out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Decisions are carried out.
    #[default]
    Auto,
    /// Decisions are recorded, nothing is done.
    Observe,
}

/// One supervised process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberPlan {
    /// `GROUP-INDEX` under the own manager.
    pub name: MemberName,
    /// Counts from 0.
    pub index: u32,
    /// What `{port}` stands for; `None` when the group has no ports.
    pub port: Option<u16>,
}

/// A configured use of a kind in a group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckPlan {
    /// Its name, unique in the group.
    pub name: CheckName,
    /// Its kind.
    pub kind: CheckKind,
    /// Per member, or once for the group.
    pub scope: Scope,
    /// The kind's own options, placeholders not yet replaced. No decision rests on them, and they may
    /// name what is nobody else's business: they are not written down with the plan.
    #[serde(skip)]
    pub options: serde_json::Map<String, serde_json::Value>,
    /// From one run to the next.
    pub interval: Span,
    /// The same while a streak is open.
    pub fast_interval: Span,
    /// What one run may take: the target's deadline.
    pub timeout: Span,
    /// Consecutive Fails until `live` reads the leaf as Fail.
    pub fall: u32,
    /// Consecutive Fails until `ready` does.
    pub ready_fall: u32,
    /// Consecutive passes until either reads it as Pass again.
    pub rise: u32,
    /// `live` reads Fail only when the streak is at least this long.
    pub min_fail_span: Span,
    /// Fail also when so many of the last so many samples were.
    pub n_of_m: Option<NOfM>,
    /// How old the newest sample may be.
    pub freshness: Span,
    /// Its samples come unasked; silence is Fail(stale).
    pub passive: bool,
    /// Index into the document's places: where this check is written.
    #[serde(skip)]
    pub place: crate::diagnostic::Place,
}

/// `n_of_m = "6 of 10"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NOfM {
    /// So many Fails
    pub n: u32,
    /// among so many samples; at most 64.
    pub m: u32,
}

/// How far one run speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// About one member: one leaf per member.
    #[default]
    Process,
    /// About this machine: one leaf shared by the group.
    Host,
    /// About something that the group needs: one leaf shared by the group.
    Dependency,
}

/// `[group.N.policy]`, every default filled in. Defaults and their reasons:
/// `config::defaults`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PolicyPlan {
    /// Until the first success failures do not count.
    pub startup_timeout: Span,
    /// A start counts as effective only after this long up.
    pub confirm_up: Span,
    /// After the daemon's start nothing is killed automatically for this long.
    pub settle: Span,
    /// How many members may be out by our hand at once; at least 1.
    pub max_out: u32,
    /// No member that is ready is killed when fewer than this many others are.
    pub min_up: u32,
    /// So many members in trouble within a minute, and the group is held.
    pub hold_at: u32,
    /// What the processes get that checks blame, before their member is restarted: `TERM`, `KILL`, …;
    /// `None`: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<String>,
    /// Who is restarted when single restarts do not help.
    pub strategy: Strategy,
    /// So long after a hold began one member is restarted, to see whether that helps.
    pub canary_after: Span,
    /// Restarts of a sick member before it is given up.
    pub sick_restarts: Limit,
    /// Starts of a dead member before it is given up.
    pub dead_starts: Limit,
    /// Futile restarts in one incident before a sick member is given up.
    pub futile_max: u32,
    /// Backoff of dead members.
    pub dead_backoff: Backoff,
    /// Backoff of sick members; the first restart is at once.
    pub sick_backoff: Backoff,
    /// Backoff begins anew after so long continuously healthy.
    pub backoff_reset: Span,
    /// Interval of checks while given up.
    pub down_interval: Span,
    /// When an exited member is started again.
    pub restart: RestartType,
    /// Exit codes that are a success.
    pub success_codes: Vec<i32>,
    /// Exit codes after which a start is useless.
    pub permanent_codes: Vec<i32>,
    /// Run before a sick member is killed, to keep what it says; placeholders not yet replaced, `{dir}`
    /// among them. Empty: none.
    #[serde(skip)]
    pub evidence_command: Vec<String>,
}

/// Who is restarted with a member that its own restart did not help: OTP's supervision strategies, and
/// a careful one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// Nobody else, ever.
    #[default]
    OneForOne,
    /// All members: all stop, then all start.
    OneForAll,
    /// It and those after it in order: they stop, then they start.
    RestForOne,
    /// All members, one after the other through the budget.
    Rolling,
}

impl Strategy {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OneForOne => "one_for_one",
            Self::OneForAll => "one_for_all",
            Self::RestForOne => "rest_for_one",
            Self::Rolling => "rolling",
        }
    }
}

/// `"4 in 60m"`: at most `max` within a sliding `window`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limit {
    /// So many
    pub max: u32,
    /// in any stretch of this length.
    pub window: Span,
}

/// A growing wait: `min(cap, base · 2^(n-1))`, drawn from its upper half.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backoff {
    /// The first wait.
    pub base: Span,
    /// The longest wait.
    pub cap: Span,
}

/// OTP's restart types.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RestartType {
    /// Always started again.
    #[default]
    Permanent,
    /// Started again unless it exited with a success code.
    Transient,
    /// Never started again.
    Temporary,
}

impl RestartType {
    /// The word in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Permanent => "permanent",
            Self::Transient => "transient",
            Self::Temporary => "temporary",
        }
    }
}

/// How the own manager starts and stops a member. Of this a decision tells how it is stopped, and no
/// more is written down with the plan.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Launch {
    /// Program and arguments, placeholders not yet replaced.
    #[serde(skip)]
    pub command: Vec<String>,
    /// Working directory.
    #[serde(skip)]
    pub directory: Option<String>,
    /// User to run as.
    #[serde(skip)]
    pub user: Option<String>,
    /// Environment on top of the daemon's.
    #[serde(skip)]
    pub environment: BTreeMap<String, Text>,
    /// Files of `KEY=value` lines.
    #[serde(skip)]
    pub env_file: Vec<String>,
    /// File mode creation mask.
    #[serde(skip)]
    pub umask: Option<u32>,
    /// Resource limits; what is not named here is as checkd was started with it.
    #[serde(skip)]
    pub limits: BTreeMap<Resource, Bounds>,
    /// Where standard output and error go; `None`: a file in the state directory.
    #[serde(skip)]
    pub output: Option<String>,
    /// How that file is kept.
    #[serde(skip)]
    pub output_file: OutputFile,
    /// The signal that asks a member to stop: `TERM`, `INT`, `QUIT`, …
    pub stop_signal: String,
    /// How long it may take before its whole tree is killed.
    pub stop_timeout: Span,
}

/// What the kernel limits for each process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resource {
    /// File descriptors.
    OpenFiles,
    /// Processes and threads of the member's user, all of them together.
    Processes,
    /// Address space, in bytes.
    Memory,
    /// A core file, in bytes.
    Core,
    /// Any file that is written, in bytes.
    FileSize,
    /// The stack of the first thread, in bytes.
    Stack,
    /// Processor time, in seconds.
    Cpu,
    /// Memory that is kept from being paged out, in bytes.
    LockedMemory,
}

/// A resource limit; [`Bounds::UNLIMITED`] is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bounds {
    /// What holds for the process, which may raise it up to `hard`.
    pub soft: u64,
    /// What it can be raised to; `None`: as checkd was started with it.
    pub hard: Option<u64>,
}

impl Bounds {
    /// No limit.
    pub const UNLIMITED: u64 = u64::MAX;
}

/// How the file of a member's output is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutputFile {
    /// It is set aside when it is so large, in bytes.
    pub max_size: u64,
    /// So many that were set aside are kept beside it.
    pub keep: u32,
    /// Each line begins with the time at which it came.
    pub timestamps: bool,
}

/// A text, or where to read one that is secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Text {
    /// As it stands.
    Plain(String),
    /// The content of a file, without its last line end.
    File(String),
    /// The value of an environment variable of the daemon.
    Env(String),
}

/// The days of a week as they are written, Monday first.
pub const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// `[maintenance.N]`: when groups are left alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MaintenancePlan {
    /// The name in the configuration.
    pub name: String,
    /// The groups that it is for; `None`: all of them.
    pub groups: Option<Vec<GroupName>>,
    /// On which of [`DAYS`] it begins.
    pub days: [bool; 7],
    /// When it begins, in minutes after midnight.
    pub from: u16,
    /// When it ends; the next day when that is not later than `from`.
    pub to: u16,
    /// The name of a time zone; `None`: that of the machine.
    pub timezone: Option<String>,
    /// Why, for a person.
    pub reason: Option<String>,
}

impl MaintenancePlan {
    /// Whether it is for this group.
    pub fn is_for(&self, group: &GroupName) -> bool {
        (self.groups.as_ref()).is_none_or(|groups| groups.contains(group))
    }

    /// Whether it begins on this day of the week; Monday is 0.
    pub fn on(&self, day: u8) -> bool {
        self.days.get(usize::from(day)).copied().unwrap_or(false)
    }
}

/// `[notify.N]`: somebody who is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SinkPlan {
    /// The name in the configuration.
    pub name: String,
    /// Where news goes.
    pub target: Target,
    /// The words of [`crate::news`] that it is told of.
    pub events: Vec<String>,
    /// The groups that it is told about; `None`: all of them.
    pub groups: Option<Vec<GroupName>>,
    /// News is collected for so long, and sent as one message.
    pub collect: Span,
    /// From one message to the next at least so long.
    pub min_interval: Span,
    /// What one attempt may take.
    pub timeout: Span,
    /// News that could not be sent for so long is dropped.
    pub retry_for: Span,
}

/// Where a sink's news goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A JSON document is posted.
    Webhook(HttpTarget),
    /// A program is run, with the JSON document on its standard input.
    Command(Vec<String>),
    /// A mail is sent.
    Smtp(SmtpTarget),
    /// Alerts are posted to a Prometheus Alertmanager.
    Alertmanager(HttpTarget),
}

impl Target {
    /// The word in `kind`.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Webhook(_) => "webhook",
            Self::Command(_) => "command",
            Self::Smtp(_) => "smtp",
            Self::Alertmanager(_) => "alertmanager",
        }
    }
}

/// Where something is posted to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpTarget {
    /// The whole URL; for Alertmanager its base.
    pub url: Text,
    /// More headers.
    pub headers: BTreeMap<String, Text>,
    /// Name and password, sent as basic authentication.
    pub login: Option<(Text, Text)>,
    /// A PEM file of certificates to trust besides.
    pub ca_file: Option<String>,
}

/// Where mail is handed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SmtpTarget {
    /// Host name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is secured.
    pub tls: SmtpTls,
    /// The sender.
    pub from: String,
    /// Who gets it.
    pub to: Vec<String>,
    /// Name and password.
    pub login: Option<(Text, Text)>,
    /// A PEM file of certificates to trust besides.
    pub ca_file: Option<String>,
}

/// How a connection to a mail server is secured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SmtpTls {
    /// After its first words; without it nothing is sent.
    Starttls,
    /// From its beginning.
    Tls,
    /// Not at all.
    None,
}

impl Plan {
    /// The group at `index`.
    pub fn group(&self, index: u32) -> Option<&GroupPlan> {
        self.groups.get(index as usize)
    }

    /// The name of the group at `index`, or `?`.
    pub fn group_name(&self, index: u32) -> &str {
        self.group(index).map_or("?", |group| group.name.as_str())
    }

    /// Every member, group by group.
    pub fn members(&self) -> impl Iterator<Item = MemberId> + '_ {
        self.groups.iter().zip(0u32..).flat_map(|(group, g)| {
            (0u32..)
                .take(group.members.len())
                .map(move |member| MemberId { group: g, member })
        })
    }

    /// The group called `name`, with its index.
    pub fn find_group(&self, name: &str) -> Option<(u32, &GroupPlan)> {
        (0u32..)
            .zip(&self.groups)
            .find(|(_, group)| group.name.as_str() == name)
    }

    /// The member called `member` of the group called `group`.
    pub fn find(&self, group: &str, member: &str) -> Option<MemberId> {
        let (group, plan) = self.find_group(group)?;
        let members = (0u32..).zip(&plan.members);
        let (member, _) = members
            .into_iter()
            .find(|(_, m)| m.name.as_str() == member)?;
        Some(MemberId { group, member })
    }

    /// The plan of one member.
    pub fn member(&self, id: MemberId) -> Option<&MemberPlan> {
        self.group(id.group)?.members.get(id.member as usize)
    }

    /// The plan of the check that a leaf is of.
    pub fn check(&self, leaf: LeafId) -> Option<&CheckPlan> {
        self.group(leaf.group)?.checks.get(leaf.check as usize)
    }

    /// `web/web-3`.
    pub fn path(&self, id: MemberId) -> String {
        match (self.group(id.group), self.member(id)) {
            (Some(group), Some(member)) => {
                [group.name.as_str(), "/", member.name.as_str()].concat()
            }
            _ => format!("?/{}", id.member),
        }
    }

    /// `web/web-3:ping`, or `web:database` for a shared leaf.
    pub fn leaf_path(&self, leaf: LeafId) -> String {
        let check = self.check(leaf).map_or("?", |c| c.name.as_str());
        match leaf.member {
            Some(member) => format!(
                "{}:{check}",
                self.path(MemberId {
                    group: leaf.group,
                    member
                })
            ),
            None => format!(
                "{}:{check}",
                self.group(leaf.group).map_or("?", |g| g.name.as_str())
            ),
        }
    }
}

impl GroupPlan {
    /// Index of the check called `name`.
    pub fn check_index(&self, name: &str) -> Option<u32> {
        (0u32..)
            .zip(&self.checks)
            .find(|(_, c)| c.name.as_str() == name)
            .map(|(i, _)| i)
    }
}
