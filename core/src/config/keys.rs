//! The one list of keys: the reader, the reference, the JSON Schema and the list of changed
//! settings all come from here.

use super::defaults as d;
use crate::Span;
use crate::plan::Limit;

/// One key of a table.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// As written.
    pub name: &'static str,
    /// What its value looks like.
    pub form: Form,
    /// What holds without it.
    pub default: Said,
    /// One sentence or two.
    pub doc: &'static str,
    /// Named, and not built yet: refused, so that nobody relies on it.
    pub later: bool,
}

/// What a value looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Any text.
    Text,
    /// A text in which placeholders are replaced for each member.
    Template,
    /// A list of texts, with placeholders.
    Templates,
    /// A list of texts.
    Texts,
    /// `"30s"`
    Span,
    /// A span that is not zero.
    Wait,
    /// `"512MiB"`
    Size,
    /// A whole number from `.0` on.
    Count(u32),
    /// `true` or `false`.
    Bool,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A whole number or `"25%"`, from `.0` on.
    Share(u32),
    /// `"4 in 60m"`
    Limit,
    /// `"6 of 10"`
    NOfM,
    /// Exit codes.
    Codes,
    /// Some of these words, as a list.
    Choices(&'static [&'static str]),
    /// A complex check.
    Expression,
    /// `"027"`
    Mask,
    /// `["network", "read:/srv"]`
    Grants,
    /// `{ base = 8100 }`
    Ports,
    /// Texts by name, some of them secret.
    Environment,
    /// A text that may be secret.
    TextOrSecret,
    /// A text that is secret: `{ file = … }` or `{ env = … }`, never written here.
    Secret,
    /// 64 hex digits.
    Sha256,
    /// A path, or a table about the file.
    Output,
    /// A resource limit: one value, or two of them.
    Bounds(Unit),
    /// One value of a resource limit.
    Bound(Unit),
    /// A table with keys of its own.
    Table,
}

/// What a resource is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Things, at least one.
    Count,
    /// Bytes.
    Size,
    /// Whole seconds.
    Time,
}

/// A default, as the reference shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// Nothing happens without it.
    Nothing,
    /// There is no plan without it.
    Required,
    /// A span.
    Span(Span),
    /// A number.
    Number(u32),
    /// A percentage.
    Percent(u32),
    /// A limit.
    Limit(Limit),
    /// A text.
    Text(&'static str),
    /// A list of numbers.
    Codes(&'static [i32]),
    /// Computed: in words.
    Words(&'static str),
}

/// A table and its keys.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// As in a header: `group.N.policy`.
    pub path: &'static str,
    /// What it is for.
    pub doc: &'static str,
    /// Its keys, in the order in which people should read them.
    pub keys: &'static [Key],
    /// The whole table is not built yet.
    pub later: bool,
}

const fn key(name: &'static str, form: Form, default: Said, doc: &'static str) -> Key {
    Key {
        name,
        form,
        default,
        doc,
        later: false,
    }
}

const fn later(name: &'static str, form: Form, doc: &'static str) -> Key {
    Key {
        name,
        form,
        default: Said::Nothing,
        doc,
        later: true,
    }
}

const fn shape(path: &'static str, doc: &'static str, keys: &'static [Key]) -> Shape {
    Shape {
        path,
        doc,
        keys,
        later: false,
    }
}

/// `[daemon]`
pub const DAEMON: &[Key] = &[
    key(
        "state_dir",
        Form::Text,
        Said::Words("`/var/lib/checkd`; without root `checkd` in the XDG state directory"),
        "Where the journal, the members' output and private copies of plugins are kept.",
    ),
    key(
        "control",
        Form::Text,
        Said::Words("`control.sock` in `state_dir`"),
        "The control socket: the command line talks to the daemon through it.",
    ),
    key(
        "control_group",
        Form::Text,
        Said::Nothing,
        "A Unix group whose members may use the control socket besides its owner.",
    ),
    later(
        "report",
        Form::Text,
        "The socket for heartbeats of members.",
    ),
    key(
        "plugins",
        Form::Texts,
        Said::Nothing,
        "Directories; each `*.so` in them is a plugin.",
    ),
    key(
        "include",
        Form::Texts,
        Said::Nothing,
        "More files, read in name order after this one; patterns such as `conf.d/*.toml`, relative to this file.",
    ),
    key(
        "on_exit",
        Form::Choice(&["leave", "stop"]),
        Said::Text("leave"),
        "What happens to members when the daemon ends: they live on and are adopted by the next one, or they are stopped.",
    ),
    key(
        "journal_keep",
        Form::Wait,
        Said::Words("7d"),
        "How long runs are kept in the journal; decisions are kept twelve times as long.",
    ),
    key(
        "journal_max_size",
        Form::Size,
        Said::Words("1GiB"),
        "How large the journal may grow; the oldest runs go first.",
    ),
    key(
        "log",
        Form::Choice(&["error", "warn", "info", "debug"]),
        Said::Text("warn"),
        "How much the daemon logs on standard error, beside what it says about members.",
    ),
];

/// `[plugin.N]`
pub const PLUGIN: &[Key] = &[
    key(
        "path",
        Form::Text,
        Said::Nothing,
        "The plugin's shared library, which nobody but root, checkd's user and `user` may be able to change. Either this or `command`.",
    ),
    key(
        "command",
        Form::Texts,
        Said::Nothing,
        "A program and its arguments that speaks the worker protocol, started in the configuration's directory. Either this or `path`. The program, and each file that an argument names, must be one that nobody but root, checkd's user and `user` can change.",
    ),
    key(
        "sha256",
        Form::Sha256,
        Said::Nothing,
        "The library's SHA-256 in hex; another file is refused, and this one may be anybody's. Not for a `command`, whose files are read anew at each start.",
    ),
    key(
        "isolation",
        Form::Choice(&["process", "in-process"]),
        Said::Text("process"),
        "Where its checks run: in a worker process, where a crash costs one worker, or in the daemon itself.",
    ),
    key(
        "limits",
        Form::Table,
        Said::Words("as checkd was started with, and no core file"),
        "Resource limits of each process of its worker.",
    ),
    key(
        "user",
        Form::Text,
        Said::Words("checkd's user"),
        "The user that its worker runs as; only root can give one.",
    ),
    key(
        "allow",
        Form::Grants,
        Said::Words("whatever its user may"),
        "All that its worker may reach, `[]` being nothing more than every program needs: `network`, sockets of any kind, to this machine and others; `exec`, to start other programs; `read:PATH`, a file or all below a directory; `write:PATH`, the same, to change and remove too. What is not allowed gives an error to the check.",
    ),
    later("watch", Form::Bool, "Load it anew when its file changes."),
];

/// `[group.N]`
pub const GROUP: &[Key] = &[
    Key {
        name: "manager",
        form: Form::Choice(&["own"]),
        default: Said::Text("own"),
        doc: "Who starts and stops the members: `own` means children of checkd. More are to come.",
        later: false,
    },
    key(
        "command",
        Form::Templates,
        Said::Required,
        "Program and arguments of a member.",
    ),
    key(
        "processes",
        Form::Count(1),
        Said::Number(d::PROCESSES),
        "How many members: `N-0`, `N-1`, …",
    ),
    key(
        "ports",
        Form::Ports,
        Said::Nothing,
        "`{ base = 8100 }`: `{port}` is the base plus the member's index.",
    ),
    key(
        "directory",
        Form::Template,
        Said::Words("the daemon's"),
        "The members' working directory.",
    ),
    key(
        "user",
        Form::Text,
        Said::Words("the daemon's"),
        "The user that members run as.",
    ),
    key(
        "umask",
        Form::Mask,
        Said::Words("the daemon's"),
        "File mode creation mask, in octal: `\"027\"`.",
    ),
    key(
        "environment",
        Form::Environment,
        Said::Nothing,
        "Variables on top of the daemon's own. A secret is `{ file = \"…\" }` or `{ env = \"…\" }`.",
    ),
    key(
        "env_file",
        Form::Templates,
        Said::Nothing,
        "Files of `KEY=value` lines, read at each start.",
    ),
    key(
        "limits",
        Form::Table,
        Said::Words("as checkd was started with"),
        "Resource limits of each process of a member.",
    ),
    key(
        "output",
        Form::Output,
        Said::Words("a file per member in `state_dir`"),
        "Where standard output and error go: a path, with placeholders, or a table.",
    ),
    key(
        "stop_signal",
        Form::Choice(&[
            "TERM", "INT", "QUIT", "HUP", "USR1", "USR2", "WINCH", "KILL",
        ]),
        Said::Text(d::STOP_SIGNAL),
        "The signal that asks a member to stop.",
    ),
    key(
        "stop_timeout",
        Form::Span,
        Said::Span(d::STOP_TIMEOUT),
        "How long stopping may take before the member's whole process tree is killed.",
    ),
    key(
        "restart",
        Form::Choice(&["permanent", "transient", "temporary"]),
        Said::Text("permanent"),
        "When a member that exited is started again: always, unless it exited with a success code, or never.",
    ),
    key(
        "success_codes",
        Form::Codes,
        Said::Codes(&d::SUCCESS_CODES),
        "Exit codes that are a success.",
    ),
    key(
        "permanent_codes",
        Form::Codes,
        Said::Codes(&d::PERMANENT_CODES),
        "Exit codes after which a start is useless: the member is given up at once.",
    ),
    key(
        "depends_on",
        Form::Texts,
        Said::Nothing,
        "Groups that must be ready before this one is started.",
    ),
    key(
        "mode",
        Form::Choice(&["auto", "observe"]),
        Said::Text("auto"),
        "`observe`: decisions are recorded, nothing is done.",
    ),
    later(
        "template",
        Form::Text,
        "A template whose tables this group takes over.",
    ),
    key("checks", Form::Table, Said::Nothing, "One table per check."),
    key(
        "expressions",
        Form::Table,
        Said::Nothing,
        "Named complex checks, usable in `health`.",
    ),
    key(
        "health",
        Form::Table,
        Said::Nothing,
        "What the checks mean together.",
    ),
    key(
        "policy",
        Form::Table,
        Said::Nothing,
        "How restarts are decided.",
    ),
];

/// `[group.N.checks.C]`, the host's own keys.
pub const CHECK: &[Key] = &[
    key(
        "kind",
        Form::Text,
        Said::Required,
        "What is checked, such as `http`; `checkd kinds` lists them.",
    ),
    key(
        "scope",
        Form::Choice(&["process", "host", "dependency"]),
        Said::Words("the kind's"),
        "Whether a run speaks about one member, about this machine, or about something that the group needs.",
    ),
    INTERVAL,
    FAST_INTERVAL,
    TIMEOUT,
    FALL,
    READY_FALL,
    RISE,
    MIN_FAIL_SPAN,
    N_OF_M,
    FRESHNESS,
];

const INTERVAL: Key = key(
    "interval",
    Form::Wait,
    Said::Span(d::INTERVAL),
    "From one run to the next.",
);
const FAST_INTERVAL: Key = key(
    "fast_interval",
    Form::Wait,
    Said::Words("half of `interval`, and not less than `timeout`"),
    "The same while a streak is open: after a Fail, until it is confirmed or over.",
);
const TIMEOUT: Key = key(
    "timeout",
    Form::Wait,
    Said::Words("5s, or `fast_interval` when that is shorter"),
    "What one run may take; a target that is silent for longer fails.",
);
const FALL: Key = key(
    "fall",
    Form::Count(1),
    Said::Number(d::FALL),
    "Fails in a row until `live` reads the check as Fail.",
);
const READY_FALL: Key = key(
    "ready_fall",
    Form::Count(1),
    Said::Number(d::READY_FALL),
    "Fails in a row until `ready` does.",
);
const RISE: Key = key(
    "rise",
    Form::Count(1),
    Said::Number(d::RISE),
    "Passes in a row until either reads it as Pass again.",
);
const MIN_FAIL_SPAN: Key = key(
    "min_fail_span",
    Form::Span,
    Said::Span(d::MIN_FAIL_SPAN),
    "The Fails in a row must span at least this for `live`.",
);
const N_OF_M: Key = key(
    "n_of_m",
    Form::NOfM,
    Said::Words("off"),
    "`\"6 of 10\"`: Fail also when so many of the last samples were; for patterns that no streak sees.",
);
const FRESHNESS: Key = later("freshness", Form::Wait, "How old the newest sample may be.");

/// `[group.N.policy]`
pub const POLICY: &[Key] = &[
    FALL,
    READY_FALL,
    RISE,
    MIN_FAIL_SPAN,
    FAST_INTERVAL,
    key(
        "startup_timeout",
        Form::Wait,
        Said::Span(d::STARTUP_TIMEOUT),
        "A start must succeed within this; until the first success failures do not count.",
    ),
    key(
        "confirm_up",
        Form::Span,
        Said::Span(d::CONFIRM_UP),
        "A start counts as effective only after this long up.",
    ),
    key(
        "settle",
        Form::Span,
        Said::Words("30s, or two of the longest interval"),
        "After the daemon's start nothing is killed automatically for this long.",
    ),
    key(
        "max_out",
        Form::Share(1),
        Said::Percent(d::MAX_OUT_PERCENT),
        "How many members, or which share of them, may be out by our hand at once; at least one.",
    ),
    key(
        "min_up",
        Form::Share(0),
        Said::Number(d::MIN_UP),
        "No member that is still ready is killed when fewer than this many others are; one that is not is no loss.",
    ),
    key(
        "hold_at",
        Form::Share(2),
        Said::Words("50%, at least 3"),
        "How many members, or which share of them, must turn bad within a minute for the group to be held: no sick member is restarted then but one, to see whether that helps. A number above that of the members switches this off; a dependency that fails still holds.",
    ),
    key(
        "canary_after",
        Form::Wait,
        Said::Span(d::CANARY_AFTER),
        "So long after a hold began one member is restarted. If that helps the hold is over; if not, it goes on for 5m, doubling to 30m.",
    ),
    key(
        "signal",
        Form::Choice(&["TERM", "INT", "QUIT", "ABRT", "KILL"]),
        Said::Nothing,
        "For a member that replaces its own workers: the signal by which a worker ends that the failing checks blame. The member is restarted when that does not help.",
    ),
    key(
        "strategy",
        Form::Choice(&["one_for_one", "one_for_all", "rest_for_one", "rolling"]),
        Said::Text("one_for_one"),
        "Who is restarted when the restarts of two members did not help, once an hour: nobody else; all, or those from the first such member on, which stop before the first is started again; or all, one after the other through the budget.",
    ),
    key(
        "allow_group_restart",
        Form::Bool,
        Said::Words("`false`"),
        "Must be `true` for any other strategy than `one_for_one`: a group that is restarted as a whole serves nobody meanwhile.",
    ),
    key(
        "sick_restarts",
        Form::Limit,
        Said::Limit(d::SICK_RESTARTS),
        "Restarts of a sick member, and signals to its workers, before it is given up; the last of them is a restart.",
    ),
    key(
        "dead_starts",
        Form::Limit,
        Said::Limit(d::DEAD_STARTS),
        "Starts of a dead member before it is given up.",
    ),
    key(
        "backoff_base",
        Form::Wait,
        Said::Words("1s for a dead member, 10s for a sick one"),
        "The first wait; it doubles. One value is for both.",
    ),
    key(
        "backoff_cap",
        Form::Wait,
        Said::Words("60s for a dead member, 5m for a sick one"),
        "The longest wait. One value is for both.",
    ),
    key(
        "backoff_reset",
        Form::Span,
        Said::Span(d::BACKOFF_RESET),
        "Waits begin anew after so long continuously healthy.",
    ),
    key(
        "evidence_command",
        Form::Texts,
        Said::Nothing,
        "Program and arguments that are run before a sick member is restarted, to keep what they say and write; `{dir}` in them is the directory of the evidence.",
    ),
];

/// `[group.N.health]`
pub const HEALTH: &[Key] = &[
    key(
        "startup",
        Form::Expression,
        Said::Words("`live`"),
        "Says that a start succeeded.",
    ),
    key(
        "live",
        Form::Expression,
        Said::Words("all checks of scope `process`"),
        "Restart-worthy: Fail proposes a restart.",
    ),
    key(
        "ready",
        Form::Expression,
        Said::Words("`live`"),
        "Serve-worthy: restarts nothing.",
    ),
    key(
        "ready_members",
        Form::Count(1),
        Said::Words("all members"),
        "The group is ready when so many members are.",
    ),
    key(
        "group",
        Form::Text,
        Said::Nothing,
        "The long form of `ready_members`: `\"at_least(2, ready)\"`.",
    ),
    key(
        "allow_dependency_in_live",
        Form::Text,
        Said::Words("refused"),
        "The reason why a check of scope `dependency` may restart members here.",
    ),
];

/// `ports = { … }`
pub const PORTS: &[Key] = &[
    key(
        "base",
        Form::Count(1),
        Said::Required,
        "The port of the first member.",
    ),
    later("pattern", Form::Text, "A pattern on the member's name."),
];

/// `output = { … }`
pub const OUTPUT: &[Key] = &[
    key(
        "path",
        Form::Template,
        Said::Words("a file per member in `state_dir`"),
        "The file; or a device or a pipe, which the member then writes itself: a pipe that nobody reads holds it up when it is full.",
    ),
    key(
        "max_size",
        Form::Size,
        Said::Text(d::OUTPUT_MAX_SIZE_TEXT),
        "The file is set aside, as `path.1`, at the end of the line that makes it so large; a line that never ends may make it twice as large.",
    ),
    key(
        "keep",
        Form::Count(0),
        Said::Number(d::OUTPUT_KEEP),
        "So many files that were set aside are kept: `path.1` is the newest of them.",
    ),
    key(
        "timestamps",
        Form::Bool,
        Said::Text("false"),
        "Whether each line begins with the time at which it came, in UTC.",
    ),
];

/// `limits = { … }`
pub const LIMITS: &[Key] = &[
    key(
        "open_files",
        Form::Bounds(Unit::Count),
        Said::Nothing,
        "File descriptors; systemd's `LimitNOFILE`, `ulimit -n`.",
    ),
    key(
        "processes",
        Form::Bounds(Unit::Count),
        Said::Nothing,
        "Processes and threads of the member's user, whoever started them; root has no such limit; `LimitNPROC`, `ulimit -u`.",
    ),
    key(
        "memory",
        Form::Bounds(Unit::Size),
        Said::Nothing,
        "Address space, which is more than the memory in use: past it a process gets no more; `LimitAS`, `ulimit -v`.",
    ),
    key(
        "core",
        Form::Bounds(Unit::Size),
        Said::Nothing,
        "A core file; `\"0B\"` for none; `LimitCORE`, `ulimit -c`.",
    ),
    key(
        "file_size",
        Form::Bounds(Unit::Size),
        Said::Nothing,
        "Any file that a process writes itself; its output is no such file; `LimitFSIZE`, `ulimit -f`.",
    ),
    key(
        "stack",
        Form::Bounds(Unit::Size),
        Said::Nothing,
        "The stack of a process; `LimitSTACK`, `ulimit -s`.",
    ),
    key(
        "cpu",
        Form::Bounds(Unit::Time),
        Said::Nothing,
        "Processor time of a process; past it the kernel ends it with SIGXCPU; `LimitCPU`, `ulimit -t`.",
    ),
    key(
        "locked_memory",
        Form::Bounds(Unit::Size),
        Said::Nothing,
        "Memory that is kept from being paged out; `LimitMEMLOCK`, `ulimit -l`.",
    ),
];

const fn bounds(unit: Unit) -> [Key; 2] {
    [
        key(
            "soft",
            Form::Bound(unit),
            Said::Words("`hard`"),
            "What holds; a process may raise it up to `hard`.",
        ),
        key(
            "hard",
            Form::Bound(unit),
            Said::Words("as checkd was started with"),
            "What it can be raised to.",
        ),
    ]
}
const COUNTS: &[Key] = &bounds(Unit::Count);
const SIZES: &[Key] = &bounds(Unit::Size);
const TIMES: &[Key] = &bounds(Unit::Time);

/// The keys of a limit that is written as a table.
pub(super) fn bounds_of(unit: Unit) -> &'static [Key] {
    match unit {
        Unit::Count => COUNTS,
        Unit::Size => SIZES,
        Unit::Time => TIMES,
    }
}

/// `[defaults]`: what a check or a policy may say, said once for all groups.
#[expect(
    clippy::indexing_slicing,
    reason = "the compiler evaluates it: an index out of bounds would not compile"
)]
pub const DEFAULTS: &[Key] = &{
    // The keys of a check without `kind` and `scope`, then the keys of a policy that are not among
    // them.
    const NONE: Key = FALL;
    const fn in_check(name: &str) -> bool {
        let mut i = 0;
        while i < CHECK.len() {
            if same(CHECK[i].name, name) {
                return true;
            }
            i += 1;
        }
        false
    }
    const fn same(a: &str, b: &str) -> bool {
        let (a, b) = (a.as_bytes(), b.as_bytes());
        if a.len() != b.len() {
            return false;
        }
        let mut i = 0;
        while i < a.len() {
            if a[i] != b[i] {
                return false;
            }
            i += 1;
        }
        true
    }
    const fn count() -> usize {
        let mut n = CHECK.len() - 2;
        let mut i = 0;
        while i < POLICY.len() {
            if !in_check(POLICY[i].name) {
                n += 1;
            }
            i += 1;
        }
        n
    }
    let mut all = [NONE; count()];
    let mut n = 0;
    let mut i = 2;
    while i < CHECK.len() {
        all[n] = CHECK[i];
        n += 1;
        i += 1;
    }
    i = 0;
    while i < POLICY.len() {
        if !in_check(POLICY[i].name) {
            all[n] = POLICY[i];
            n += 1;
        }
        i += 1;
    }
    all
};

/// `[notify.N]`
pub const NOTIFY: &[Key] = &[
    key(
        "kind",
        Form::Choice(&["webhook", "command", "smtp", "alertmanager"]),
        Said::Required,
        "How news is sent.",
    ),
    key(
        "events",
        Form::Choices(crate::news::EVENTS),
        Said::Words(EVENTS_BY_DEFAULT),
        "Of what it is told. `recovered` goes only to who was told of what is over.",
    ),
    key(
        "groups",
        Form::Texts,
        Said::Words("all groups"),
        "About which groups it is told.",
    ),
    key(
        "collect",
        Form::Span,
        Said::Words("30s, 1s for `alertmanager`"),
        "News is collected for so long after the first, and sent as one message.",
    ),
    key(
        "min_interval",
        Form::Span,
        Said::Words("1m, 0s for `alertmanager`"),
        "From one message to the next at least so long; what happens meanwhile is collected.",
    ),
    key(
        "timeout",
        Form::Wait,
        Said::Span(d::NOTIFY_TIMEOUT),
        "What one attempt to send may take.",
    ),
    key(
        "retry_for",
        Form::Wait,
        Said::Span(d::NOTIFY_RETRY_FOR),
        "News that could not be sent for so long is dropped, and it is said.",
    ),
    key(
        "url",
        Form::TextOrSecret,
        Said::Nothing,
        "`webhook`, `alertmanager`: where it is posted to, with `http://` or `https://`; for `alertmanager` without `/api/v2/alerts`. Often a secret itself: `{ file = \"…\" }` or `{ env = \"…\" }`.",
    ),
    key(
        "headers",
        Form::Environment,
        Said::Nothing,
        "`webhook`, `alertmanager`: more headers. A secret is `{ file = \"…\" }` or `{ env = \"…\" }`.",
    ),
    key(
        "command",
        Form::Texts,
        Said::Nothing,
        "`command`: program and arguments; the message comes on its standard input, as JSON.",
    ),
    key(
        "server",
        Form::Text,
        Said::Nothing,
        "`smtp`: `\"host\"` or `\"host:port\"`; without a port 587, with `tls = \"tls\"` 465, with `tls = \"none\"` 25.",
    ),
    key(
        "tls",
        Form::Choice(&["starttls", "tls", "none"]),
        Said::Words("`\"starttls\"`; `\"tls\"` at port 465"),
        "`smtp`: whether the connection is made secure after its first words, from its beginning, or never.",
    ),
    key(
        "from",
        Form::Text,
        Said::Nothing,
        "`smtp`: the sender's address.",
    ),
    key("to", Form::Texts, Said::Nothing, "`smtp`: who gets it."),
    key(
        "username",
        Form::TextOrSecret,
        Said::Nothing,
        "`smtp`, `webhook`, `alertmanager`: who sends; together with `password`.",
    ),
    key(
        "password",
        Form::Secret,
        Said::Nothing,
        "`smtp`, `webhook`, `alertmanager`: a secret, `{ file = \"…\" }` or `{ env = \"…\" }`.",
    ),
    key(
        "ca_file",
        Form::Text,
        Said::Words("the certificates that this machine trusts"),
        "`smtp`, `webhook`, `alertmanager`: a PEM file of certificates to trust besides.",
    ),
];

/// [`crate::news::EVENTS_BY_DEFAULT`] as written.
const EVENTS_BY_DEFAULT: &str =
    "`[\"given_up\", \"hold\", \"waiting\", \"blind\", \"journal\", \"recovered\"]`";

/// `[maintenance.N]`
pub const MAINTENANCE: &[Key] = &[
    key(
        "groups",
        Form::Texts,
        Said::Words("all groups"),
        "The groups that are left alone.",
    ),
    key(
        "days",
        Form::Choices(&crate::plan::DAYS),
        Said::Words("every day"),
        "The days on which it begins.",
    ),
    key(
        "from",
        Form::Text,
        Said::Required,
        "When it begins: `\"02:00\"`.",
    ),
    key(
        "to",
        Form::Text,
        Said::Required,
        "When it ends; the next day when that is not later than `from`.",
    ),
    key(
        "timezone",
        Form::Text,
        Said::Words("that of this machine"),
        "The time zone of `from` and `to`: `\"Europe/Berlin\"`, `\"UTC\"`.",
    ),
    key(
        "reason",
        Form::Text,
        Said::Nothing,
        "Why, for the person who asks `checkd explain`.",
    ),
];

/// The tables of the root.
pub const ROOT: &[Key] = &[
    key("daemon", Form::Table, Said::Nothing, "The daemon itself."),
    later("http", Form::Table, "The TCP listener."),
    key(
        "defaults",
        Form::Table,
        Said::Nothing,
        "What holds for all groups.",
    ),
    key(
        "plugin",
        Form::Table,
        Said::Nothing,
        "Plugins with settings of their own.",
    ),
    key("group", Form::Table, Said::Nothing, "Groups of members."),
    key("notify", Form::Table, Said::Nothing, "Who is told."),
    key(
        "maintenance",
        Form::Table,
        Said::Nothing,
        "When groups are left alone.",
    ),
    later("template", Form::Table, "Tables of a group to reuse."),
];

/// Every table, in reading order.
pub const SHAPES: &[Shape] = &[
    shape("daemon", "The daemon itself.", DAEMON),
    shape(
        "group.N",
        "A named set of members with one policy. N is its name: `[a-z][a-z0-9_-]*`.",
        GROUP,
    ),
    shape(
        "group.N.output",
        "How the output of a member is kept. `output = \"/path/{member}.log\"` is short for `output = { path = \"/path/{member}.log\" }`.",
        OUTPUT,
    ),
    shape(
        "group.N.limits",
        "Resource limits of each process of a member. One value is the soft and the hard limit; `{ soft = …, hard = … }` tells them apart, and `\"unlimited\"` is none. Above the hard limit that checkd was started with only root can go.",
        LIMITS,
    ),
    shape(
        "group.N.checks.C",
        "One check, called C. All other keys are the kind's own options; `checkd kinds KIND` shows them.",
        CHECK,
    ),
    shape(
        "group.N.health",
        "What the checks mean together. Expressions: `docs/policy.md`.",
        HEALTH,
    ),
    shape(
        "group.N.policy",
        "How restarts are decided. A key of a check that is set here holds for all checks of the group.",
        POLICY,
    ),
    shape(
        "defaults",
        "What holds for all groups where neither the check nor the group's policy says otherwise.",
        DEFAULTS,
    ),
    shape("plugin.N", "One plugin with settings of its own.", PLUGIN),
    shape(
        "plugin.N.limits",
        "Resource limits of each process of a plugin's worker, as those of a group's members.",
        LIMITS,
    ),
    shape(
        "maintenance.N",
        "A time in which no member of some groups is restarted, nor started again when it dies; what a person asks for is done, and so is the first start. N is a name for it.",
        MAINTENANCE,
    ),
    shape(
        "notify.N",
        "Somebody who is told when a person is needed; N is a name for it. What is sent: `docs/notifications.md`.",
        NOTIFY,
    ),
];

/// The key called `name`.
pub(super) fn find(keys: &'static [Key], name: &str) -> Option<&'static Key> {
    keys.iter().find(|key| key.name == name)
}
