//! `[group.N.policy]`: how restarts are decided, and whether every limit can be reached.

mod lints;
pub(super) use self::lints::SELDOM_MEANT;

use super::check::Checks;
use super::form::Share;
use super::section::Section;
use super::units::exact;
use super::{defaults, read::Reader};
use crate::Span;
use crate::diagnostic::{Diagnostic, Place};
use crate::plan::{Backoff, Limit, PolicyPlan, RestartType, Strategy};

const LIMITS: &str = "C0118";

/// Stands for "two of the longest interval of the daemon" until all groups are read.
pub(super) const SETTLE_BY_DEFAULT: Span = Span(u64::MAX);

#[expect(
    clippy::too_many_arguments,
    reason = "each is a different table that the policy reads"
)]
pub(super) fn policy<'a>(
    reader: &mut Reader<'a>,
    at: Place,
    policy: Section<'a>,
    defaults_table: Section<'a>,
    group: &Section<'a>,
    members: u32,
    stop_timeout: Span,
    checks: &Checks<'a>,
) -> PolicyPlan {
    let both = [policy, defaults_table];
    let span = |key: &str| both.iter().find_map(|section| section.span(key));
    let wait = |key: &str| both.iter().find_map(|section| section.wait(key));
    let limit = |key: &str| both.iter().find_map(|section| section.limit(key));
    let share = |key: &str, least| both.iter().find_map(|section| section.share(key, least));
    let backoff = |default: Backoff| Backoff {
        base: wait("backoff_base").unwrap_or(
            default
                .base
                .min(wait("backoff_cap").unwrap_or(default.base)),
        ),
        cap: wait("backoff_cap")
            .unwrap_or(default.cap.max(wait("backoff_base").unwrap_or(default.cap))),
    };
    let plan = PolicyPlan {
        startup_timeout: wait("startup_timeout").unwrap_or(defaults::STARTUP_TIMEOUT),
        confirm_up: span("confirm_up").unwrap_or(defaults::CONFIRM_UP),
        settle: span("settle").unwrap_or(SETTLE_BY_DEFAULT),
        max_out: match share("max_out", 1) {
            Some(Share::Members(n)) => n,
            Some(Share::Percent(percent)) => defaults::max_out(percent, members),
            None => defaults::max_out(defaults::MAX_OUT_PERCENT, members),
        },
        min_up: match share("min_up", 0) {
            Some(Share::Members(n)) => n,
            // Rounded up: a floor that is promised holds.
            Some(Share::Percent(percent)) => {
                u32::try_from((u64::from(members) * u64::from(percent)).div_ceil(100))
                    .unwrap_or(u32::MAX)
            }
            None => defaults::MIN_UP,
        },
        hold_at: match share("hold_at", 2) {
            Some(Share::Members(n)) => n,
            Some(Share::Percent(percent)) => defaults::hold_at(percent, members),
            None => defaults::hold_at(defaults::HOLD_PERCENT, members),
        },
        signal: both
            .iter()
            .find_map(|section| section.choice("signal"))
            .map(str::to_owned),
        strategy: match both.iter().find_map(|section| section.choice("strategy")) {
            Some("one_for_all") => Strategy::OneForAll,
            Some("rest_for_one") => Strategy::RestForOne,
            Some("rolling") => Strategy::Rolling,
            _ => Strategy::OneForOne,
        },
        canary_after: wait("canary_after").unwrap_or(defaults::CANARY_AFTER),
        sick_restarts: limit("sick_restarts").unwrap_or(defaults::SICK_RESTARTS),
        dead_starts: limit("dead_starts").unwrap_or(defaults::DEAD_STARTS),
        dead_backoff: backoff(defaults::DEAD_BACKOFF),
        sick_backoff: backoff(defaults::SICK_BACKOFF),
        backoff_reset: span("backoff_reset").unwrap_or(defaults::BACKOFF_RESET),
        restart: match group.choice("restart") {
            Some("transient") => RestartType::Transient,
            Some("temporary") => RestartType::Temporary,
            _ => RestartType::Permanent,
        },
        success_codes: group
            .codes("success_codes")
            .unwrap_or_else(|| defaults::SUCCESS_CODES.to_vec()),
        permanent_codes: group
            .codes("permanent_codes")
            .unwrap_or_else(|| defaults::PERMANENT_CODES.to_vec()),
        evidence_command: super::evidence::command(reader, &both, group),
        ..PolicyPlan::of_defaults(members)
    };
    let judge = Judge {
        policy,
        defaults: defaults_table,
        group,
        at,
        members,
        stop_timeout,
    };
    judge.all(reader, &plan, checks);
    plan
}

/// Looks for limits that cannot be reached and values that contradict each other.
struct Judge<'a> {
    policy: Section<'a>,
    defaults: Section<'a>,
    group: &'a Section<'a>,
    at: Place,
    members: u32,
    stop_timeout: Span,
}

impl Judge<'_> {
    fn all(&self, reader: &mut Reader<'_>, plan: &PolicyPlan, checks: &Checks<'_>) {
        self.backoff(reader, plan);
        self.startup(reader, plan, checks);
        self.min_up(reader, plan);
        self.strategy(reader, plan);
        self.sick(reader, plan);
        self.dead(reader, plan);
        self.lints(reader, plan, checks);
    }

    /// Where one of `keys` is written; `None` when all of them are defaults.
    fn written(&self, keys: &[&str]) -> Option<Place> {
        keys.iter()
            .flat_map(|key| [self.policy.place(key), self.defaults.place(key)])
            .flatten()
            .next()
    }

    fn told(&self, message: String, keys: &[&str], words: impl Into<String>) -> Diagnostic {
        Diagnostic::error(LIMITS, message).at(self.written(keys).unwrap_or(self.at), words)
    }

    fn backoff(&self, reader: &mut Reader<'_>, plan: &PolicyPlan) {
        if plan.dead_backoff.base > plan.dead_backoff.cap {
            let cap = plan.dead_backoff.cap;
            reader.once(self.told(
                format!(
                    "the first wait is longer than the longest {}",
                    In(self.policy)
                ),
                &["backoff_base", "backoff_cap"],
                format!("longer than `backoff_cap`, {cap}"),
            ));
        }
    }

    fn startup(&self, reader: &mut Reader<'_>, plan: &PolicyPlan, checks: &Checks<'_>) {
        let limit = plan.startup_timeout;
        if plan.confirm_up >= limit {
            reader.once(
                self.told(
                    format!("no start can succeed {}", In(self.policy)),
                    &["startup_timeout", "confirm_up"],
                    "too short",
                )
                .note(format!(
                    "a start must succeed within `startup_timeout`, {limit}, and counts only after `confirm_up`, {}",
                    plan.confirm_up
                )),
            );
        }
        let slowest = checks
            .plans
            .iter()
            .map(|check| (check.fast_interval * u64::from(check.rise), check))
            .max_by_key(|(span, _)| *span);
        if let Some((needed, check)) = slowest
            && needed > limit
        {
            reader.once(
                self.told(
                    format!("no start can succeed {}", In(self.policy)),
                    &["startup_timeout"],
                    format!("`startup_timeout` is {limit}"),
                )
                .note(format!(
                    "check `{}` must pass {} times, {} apart: {needed}",
                    check.name, check.rise, check.fast_interval
                ))
                .help(format!("raise `startup_timeout` above {needed}")),
            );
        }
    }

    fn min_up(&self, reader: &mut Reader<'_>, plan: &PolicyPlan) {
        if plan.min_up >= self.members && plan.min_up > 0 {
            let members = self.members;
            reader.once(
                self.told(
                    format!("no sick member could ever be restarted {}", In(self.policy)),
                    &["min_up"],
                    format!("must be less than the {members} members"),
                )
                .note(format!(
                    "while one restarts, {} stay up; `min_up` asks for {}",
                    members - 1,
                    plan.min_up
                )),
            );
        }
    }

    /// A whole group is restarted only where somebody says twice that it may.
    fn strategy(&self, reader: &mut Reader<'_>, plan: &PolicyPlan) {
        let both = [self.policy, self.defaults];
        let allowed = (both.iter()).find_map(|section| section.boolean("allow_group_restart"));
        if plan.strategy == Strategy::OneForOne || allowed == Some(true) {
            return;
        }
        reader.once(
            self.told(
                format!(
                    "nobody allowed to restart the whole group {}",
                    In(self.policy)
                ),
                &["strategy"],
                "restarts more than one member",
            )
            .note("while they restart, the group serves with what is left of it, or not at all")
            .help("write `allow_group_restart = true` beside it, or take `strategy` out"),
        );
    }

    /// A futile restart takes stop and startup to their ends, then waits.
    fn sick(&self, reader: &mut Reader<'_>, plan: &PolicyPlan) {
        let Limit { max, window } = plan.sick_restarts;
        let one = self.stop_timeout + plan.startup_timeout;
        let waits = waits(plan.sick_backoff, max);
        let all = one * u64::from(max - 1) + waits;
        if all <= window {
            return;
        }
        reader.once(
            self.told(
                format!("the limit `sick_restarts` can never be reached {}", In(self.policy)),
                &["sick_restarts", "startup_timeout", "backoff_base", "backoff_cap"],
                format!("{max} futile restarts take longer than {window}"),
            )
            .note(format!(
                "a futile restart takes up to {one}: `stop_timeout` {}, `startup_timeout` {}",
                self.stop_timeout, plan.startup_timeout
            ))
            .note(format!(
                "from the first to restart {max}: {} x {one}, and up to {waits} of waiting, is {all}",
                max - 1
            ))
            .help(format!("write `sick_restarts = \"{max} in {}\"` or more", minutes(all))),
        );
    }

    /// A start that dies at once only waits.
    fn dead(&self, reader: &mut Reader<'_>, plan: &PolicyPlan) {
        let Limit { max, window } = plan.dead_starts;
        let waits = waits(plan.dead_backoff, max);
        if waits <= window {
            return;
        }
        reader.once(
            self.told(
                format!(
                    "the limit `dead_starts` can never be reached {}",
                    In(self.policy)
                ),
                &["dead_starts", "backoff_base", "backoff_cap"],
                format!("{max} starts take longer than {window}"),
            )
            .note(format!(
                "waits double from {} to {}: up to {waits} from the first to start {max}",
                plan.dead_backoff.base, plan.dead_backoff.cap
            ))
            .help(format!(
                "write `dead_starts = \"{max} in {}\"` or more",
                minutes(waits)
            )),
        );
    }
}

/// `in …`, for a sentence.
struct In<'a>(Section<'a>);

impl std::fmt::Display for In<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "in {}", self.0.of)
    }
}

/// All waits between the first and the last of `max` attempts, at their longest.
fn waits(backoff: Backoff, max: u32) -> Span {
    let mut wait = backoff.base;
    let mut sum = Span::ZERO;
    for n in 1..max {
        if wait >= backoff.cap {
            return sum + backoff.cap * u64::from(max - n);
        }
        sum = sum + wait;
        wait = (wait * 2).min(backoff.cap);
    }
    sum
}

/// The next whole minute, as a person writes a window.
fn minutes(span: Span) -> String {
    exact(Span::mins(span.0.div_ceil(60_000)))
}
