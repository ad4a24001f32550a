//! The one home of every default, with its reason.

use crate::diagnostic::Place;
use crate::plan::{
    Backoff, CheckPlan, Launch, Limit, OutputFile, PolicyPlan, RestartType, Scope, Strategy,
};
use crate::{CheckKind, CheckName, Span};

/// From one run to the next: Kubernetes' `periodSeconds`.
pub const INTERVAL: Span = Span::secs(10);
/// A run may take as long as this, or as the fast interval when that is shorter. A second, as
/// Kubernetes has it, is the first cause of false restarts.
pub const TIMEOUT: Span = Span::secs(5);
/// Consecutive Fails that `live` waits for: with 3 % noise 0.0002 false restarts a member and day,
/// against 0.23 with three.
pub const FALL: u32 = 5;
/// And they must span at least this.
pub const MIN_FAIL_SPAN: Span = Span::secs(15);
/// Consecutive Fails that `ready` waits for; the same streak, read a second time.
pub const READY_FALL: u32 = 3;
/// Consecutive passes until a leaf is good again: `HAProxy`'s `rise`.
pub const RISE: u32 = 2;
/// A sample is too old after so many intervals.
pub const FRESHNESS_INTERVALS: u64 = 3;

/// A start must succeed within this.
pub const STARTUP_TIMEOUT: Span = Span::secs(120);
/// A start counts only after this long up: long enough for a process that dies while it reads its
/// settings.
pub const CONFIRM_UP: Span = Span::secs(10);
/// Nothing is killed automatically this soon after the daemon's start, or for two of the longest
/// interval.
pub const SETTLE: Span = Span::secs(30);
/// How much of a group may be out by our hand at once, in percent; at least one member.
pub const MAX_OUT_PERCENT: u32 = 25;
/// How many members must stay up when a sick one is killed.
pub const MIN_UP: u32 = 0;
/// How much of a group must turn bad within a minute for it to be held, in percent; and never fewer
/// than [`HOLD_LEAST`].
pub const HOLD_PERCENT: u32 = 50;
/// Two that fail together are a coincidence; a group of fewer members than this is never held, and
/// helped one member at a time.
pub const HOLD_LEAST: u32 = 3;
/// A hold tries one restart after this long: a group whose members only a restart cures would
/// otherwise stay down for ever (policy.md section 5).
pub const CANARY_AFTER: Span = Span::secs(60);
/// Restarts of a sick member before it is given up. Three futile ones in a row do it sooner.
pub const SICK_RESTARTS: Limit = Limit {
    max: 4,
    window: Span::mins(60),
};
/// Starts of a dead member before it is given up.
pub const DEAD_STARTS: Limit = Limit {
    max: 10,
    window: Span::mins(10),
};
/// Futile restarts in one incident before a sick member is given up.
pub const FUTILE_MAX: u32 = 3;
/// Waits between starts of a dead member: starting it costs no capacity.
pub const DEAD_BACKOFF: Backoff = Backoff {
    base: Span::secs(1),
    cap: Span::secs(60),
};
/// Waits between restarts of a sick member, after the first.
pub const SICK_BACKOFF: Backoff = Backoff {
    base: Span::secs(10),
    cap: Span::secs(300),
};
/// Continuously healthy for this long, and waits begin anew.
pub const BACKOFF_RESET: Span = Span::mins(10);
/// Interval of checks while given up.
pub const DOWN_INTERVAL: Span = Span::secs(30);
/// Exit codes after which a start is useless: `EX_CONFIG` of sysexits.h, and 125 as container
/// engines use it for their own mistakes.
pub const PERMANENT_CODES: [i32; 2] = [78, 125];
/// Exit codes that are a success.
pub const SUCCESS_CODES: [i32; 1] = [0];

/// What one attempt to send news may take.
pub const NOTIFY_TIMEOUT: Span = Span::secs(10);
/// How long it is tried: over a night and a day, so that a mail server's bad day loses nothing.
pub const NOTIFY_RETRY_FOR: Span = Span::mins(24 * 60);
/// How long news is collected: as Alertmanager's `group_wait`. An outage reaches its members within
/// their intervals, and is one message.
pub const NOTIFY_COLLECT: Span = Span::secs(30);
/// From one message to the next.
pub const NOTIFY_MIN_INTERVAL: Span = Span::mins(1);
/// Alertmanager collects by itself; what happens in one second is one request.
pub const NOTIFY_COLLECT_ALERTS: Span = Span::secs(1);

/// Members of a group.
pub const PROCESSES: u32 = 1;
/// The signal that asks a member to stop.
pub const STOP_SIGNAL: &str = "TERM";
/// How long it may take.
pub const STOP_TIMEOUT: Span = Span::secs(10);

/// A member's output file is set aside at this size: what people still page through.
pub const OUTPUT_MAX_SIZE: u64 = 10 << 20;
/// The same in words.
pub const OUTPUT_MAX_SIZE_TEXT: &str = "10MiB";
/// So many old ones are kept.
pub const OUTPUT_KEEP: u32 = 3;

/// Half of the interval, as `HAProxy`'s `fastinter` and Envoy's edge intervals, and never shorter
/// than one run may take.
pub fn fast_interval(interval: Span, timeout: Option<Span>) -> Span {
    (interval / 2)
        .max(timeout.unwrap_or(Span::ZERO))
        .max(Span::millis(1))
}

/// [`TIMEOUT`], or the fast interval when that is shorter.
pub fn timeout(fast_interval: Span) -> Span {
    TIMEOUT.min(fast_interval)
}

/// [`FRESHNESS_INTERVALS`] intervals.
pub fn freshness(interval: Span) -> Span {
    interval * FRESHNESS_INTERVALS
}

/// [`SETTLE`], or two of the longest interval.
pub fn settle(longest_interval: Span) -> Span {
    SETTLE.max(longest_interval * 2)
}

/// `percent` of `members`, rounded down, and at least one.
pub fn max_out(percent: u32, members: u32) -> u32 {
    let share = u64::from(members) * u64::from(percent) / 100;
    u32::try_from(share).unwrap_or(u32::MAX).max(1)
}

/// `percent` of `members`, rounded up, and at least [`HOLD_LEAST`].
pub fn hold_at(percent: u32, members: u32) -> u32 {
    let share = (u64::from(members) * u64::from(percent)).div_ceil(100);
    u32::try_from(share).unwrap_or(u32::MAX).max(HOLD_LEAST)
}

impl CheckPlan {
    /// A check of scope `process` of which the configuration says nothing but its name and its kind.
    pub fn of_defaults(name: CheckName, kind: CheckKind) -> Self {
        Self {
            name,
            kind,
            scope: Scope::Process,
            options: serde_json::Map::new(),
            interval: INTERVAL,
            fast_interval: INTERVAL / 2,
            timeout: TIMEOUT,
            fall: FALL,
            ready_fall: READY_FALL,
            rise: RISE,
            min_fail_span: MIN_FAIL_SPAN,
            n_of_m: None,
            freshness: INTERVAL * FRESHNESS_INTERVALS,
            passive: false,
            place: Place::default(),
        }
    }
}

impl PolicyPlan {
    /// The policy of a group of `members` whose configuration says nothing about it.
    pub fn of_defaults(members: u32) -> Self {
        Self {
            startup_timeout: STARTUP_TIMEOUT,
            confirm_up: CONFIRM_UP,
            settle: settle(INTERVAL),
            max_out: max_out(MAX_OUT_PERCENT, members),
            min_up: MIN_UP,
            hold_at: hold_at(HOLD_PERCENT, members),
            canary_after: CANARY_AFTER,
            signal: None,
            strategy: Strategy::OneForOne,
            sick_restarts: SICK_RESTARTS,
            dead_starts: DEAD_STARTS,
            futile_max: FUTILE_MAX,
            dead_backoff: DEAD_BACKOFF,
            sick_backoff: SICK_BACKOFF,
            backoff_reset: BACKOFF_RESET,
            down_interval: DOWN_INTERVAL,
            restart: RestartType::Permanent,
            success_codes: SUCCESS_CODES.to_vec(),
            permanent_codes: PERMANENT_CODES.to_vec(),
            evidence_command: Vec::new(),
        }
    }
}

impl Default for OutputFile {
    fn default() -> Self {
        Self {
            max_size: OUTPUT_MAX_SIZE,
            keep: OUTPUT_KEEP,
            timestamps: false,
        }
    }
}

impl Launch {
    /// How `command` is started and stopped when the configuration says nothing more.
    pub fn of_defaults(command: Vec<String>) -> Self {
        Self {
            command,
            stop_signal: STOP_SIGNAL.to_owned(),
            stop_timeout: STOP_TIMEOUT,
            ..Self::default()
        }
    }
}
