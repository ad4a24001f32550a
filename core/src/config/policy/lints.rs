//! Settings that can be meant and seldom are: warnings, each with its arithmetic.

use super::{In, Judge, SETTLE_BY_DEFAULT};
use crate::Span;
use crate::config::check::Checks;
use crate::config::read::Reader;
use crate::diagnostic::Diagnostic;
use crate::plan::{CheckPlan, PolicyPlan, Scope, Strategy};

pub(in crate::config) const SELDOM_MEANT: &str = "C0137";

/// The origin of the kinds that checkd brings along.
const BUILT_IN: &str = "built in";

/// A wait longer than this is more likely a slip of the unit.
const LONG: Span = Span::mins(60);

impl Judge<'_> {
    pub(super) fn lints(&self, reader: &mut Reader<'_>, plan: &PolicyPlan, checks: &Checks<'_>) {
        self.canary(reader, plan, checks);
        self.budget(reader, plan);
        self.long_waits(reader, plan);
        self.strategy_without_effect(reader, plan);
        self.signal_without_effect(reader, plan, checks);
        self.codes(reader, plan);
        for check in &checks.plans {
            hair_trigger(reader, check);
            n_of_m(reader, check);
        }
    }

    /// A hold begins by suspicion; a canary that is due before anybody has failed for good holds
    /// nothing back.
    fn canary(&self, reader: &mut Reader<'_>, plan: &PolicyPlan, checks: &Checks<'_>) {
        let Some(place) = self.written(&["canary_after"]) else {
            return;
        };
        let own = (checks.plans.iter()).filter(|check| check.scope == Scope::Process);
        let soonest = own
            .map(|check| (certain(check), check))
            .min_by_key(|(span, _)| *span);
        let wait = plan.canary_after;
        let Some((needed, check)) = soonest.filter(|(needed, _)| *needed >= wait) else {
            return;
        };
        reader.once(
            Diagnostic::warning(
                SELDOM_MEANT,
                format!("a hold would hold nothing back {}", In(self.policy)),
            )
            .at(place, "over before anybody has failed for certain")
            .note(format!(
                "a hold begins with the first failed runs; that check `{}` fails is certain {needed} \
                 later: `fall` {}, {} apart, at least `min_fail_span` {}",
                check.name, check.fall, check.fast_interval, check.min_fail_span
            ))
            .help(format!("raise `canary_after` well above {needed}")),
        );
    }

    fn budget(&self, reader: &mut Reader<'_>, plan: &PolicyPlan) {
        let (members, most) = (self.members, plan.max_out);
        let Some(place) = self.written(&["max_out"]).filter(|_| members > 1) else {
            return;
        };
        if most >= members && plan.min_up == 0 {
            reader.once(
                Diagnostic::warning(
                    SELDOM_MEANT,
                    format!("all members may be restarted at once {}", In(self.policy)),
                )
                .at(place, format!("{most} of {members} members"))
                .note("while all of them start, nobody serves"),
            );
        } else if members.saturating_sub(plan.min_up) < most && plan.min_up < members {
            let left = members - plan.min_up;
            reader.once(
                Diagnostic::warning(
                    SELDOM_MEANT,
                    format!("`max_out` can never be reached {}", In(self.policy)),
                )
                .at(place, format!("allows {most} members"))
                .note(format!(
                    "of {members} members {} must stay up (`min_up`), so at most {left} can be out",
                    plan.min_up
                )),
            );
        }
    }
}

impl Judge<'_> {
    /// A wait of hours in which nothing sick is helped.
    fn long_waits(&self, reader: &mut Reader<'_>, plan: &PolicyPlan) {
        let waits = [
            (
                "settle",
                plan.settle,
                "after each start of checkd no sick member is restarted for so long",
            ),
            (
                "canary_after",
                plan.canary_after,
                "in a hold nobody is restarted for so long, also where a restart helps",
            ),
            (
                "startup_timeout",
                plan.startup_timeout,
                "a start that hangs is not noticed for so long",
            ),
            (
                "backoff_cap",
                plan.sick_backoff.cap,
                "from one attempt to the next a member may wait so long",
            ),
        ];
        for (key, span, so) in waits {
            // A value that is none was told.
            let long = span > LONG && span != SETTLE_BY_DEFAULT;
            let Some(place) = self.written(&[key]).filter(|_| long) else {
                continue;
            };
            reader.once(
                Diagnostic::warning(
                    SELDOM_MEANT,
                    format!("`{key}` is very long {}", In(self.policy)),
                )
                .at(
                    place,
                    format!("{span}, and more than {LONG} is seldom meant"),
                )
                .note(so),
            );
        }
    }

    /// A strategy for many where there is one, or where nothing is done.
    fn strategy_without_effect(&self, reader: &mut Reader<'_>, plan: &PolicyPlan) {
        let several = plan.strategy != Strategy::OneForOne;
        let observes = self.group.choice("mode") == Some("observe");
        // What stands in `[defaults]` is meant for the others.
        let (key, why) = if several && self.members == 1 {
            ("strategy", "the group has one member")
        } else if several && observes {
            ("strategy", "with `mode = \"observe\"` nobody is restarted")
        } else if !several && self.policy.boolean("allow_group_restart") == Some(true) {
            (
                "allow_group_restart",
                "without a `strategy` members are restarted one by one",
            )
        } else {
            return;
        };
        let Some(place) = self.policy.place(key) else {
            return;
        };
        reader.once(
            Diagnostic::warning(
                SELDOM_MEANT,
                format!("`{key}` has no effect {}", In(self.policy)),
            )
            .at(place, why),
        );
    }

    /// A signal where nobody blames a single process, or where nothing is done.
    fn signal_without_effect(
        &self,
        reader: &mut Reader<'_>,
        plan: &PolicyPlan,
        checks: &Checks<'_>,
    ) {
        // What stands in `[defaults]` is meant for the others.
        let Some(place) = self
            .policy
            .place("signal")
            .filter(|_| plan.signal.is_some())
        else {
            return;
        };
        let mut own = (checks.plans.iter()).filter(|check| check.scope == Scope::Process);
        // Of a kind that nobody offers just now nothing is known.
        let can_blame = own.any(|check| {
            let facts = reader.kinds.get(&check.kind);
            facts.is_none_or(|facts| facts.origin != BUILT_IN)
        });
        let why = if self.group.choice("mode") == Some("observe") {
            "with `mode = \"observe\"` nothing is sent"
        } else if plan.sick_restarts.max == 1 {
            "the one act that `sick_restarts` allows is a restart"
        } else if can_blame {
            return;
        } else {
            "no check of the group blames a single process"
        };
        reader.once(
            Diagnostic::warning(
                SELDOM_MEANT,
                format!("`signal` has no effect {}", In(self.policy)),
            )
            .at(place, why)
            .note("it goes to the worker that a failing check names; built-in checks name none, a check of a plugin can"),
        );
    }

    /// An exit code that is good and hopeless at once.
    fn codes(&self, reader: &mut Reader<'_>, plan: &PolicyPlan) {
        let permanent = plan.permanent_codes.iter();
        let Some(code) = permanent
            .copied()
            .find(|it| plan.success_codes.contains(it))
        else {
            return;
        };
        let keys = ["success_codes", "permanent_codes"];
        let Some(place) = keys.iter().find_map(|key| self.group.place(key)) else {
            return;
        };
        reader.once(
            Diagnostic::warning(
                SELDOM_MEANT,
                format!(
                    "exit code {code} is a success and permanent {}",
                    self.group.of
                ),
            )
            .at(place, "stands in `success_codes` and in `permanent_codes`")
            .note("it counts as permanent: the member is given up at once and not started again"),
        );
    }
}

/// One failed run says little: at an error in a hundred a check every ten seconds fails four times an
/// hour.
fn hair_trigger(reader: &mut Reader<'_>, check: &CheckPlan) {
    let name = &check.name;
    let row = certain(check);
    let (what, words, why) = if row == Span::ZERO && check.scope == Scope::Process {
        (
            format!("one failed run of check `{name}` is enough for a restart"),
            "`fall` is 1 and `min_fail_span` is 0s".to_owned(),
            "a packet that is lost, or a moment in which the target is busy, fails a run too",
        )
    } else if check.min_fail_span > LONG {
        (
            format!("`min_fail_span` of check `{name}` is very long"),
            format!(
                "{}, and more than {LONG} is seldom meant",
                check.min_fail_span
            ),
            "a failure is not acted on for so long",
        )
    } else {
        return;
    };
    reader.out.push(
        Diagnostic::warning(SELDOM_MEANT, what)
            .at(check.place, words)
            .note(why),
    );
}

/// From the first failed run of a check until `live` reads it as fail.
fn certain(check: &CheckPlan) -> Span {
    let row = check.fast_interval * u64::from(check.fall.saturating_sub(1));
    row.max(check.min_fail_span)
}

fn n_of_m(reader: &mut Reader<'_>, check: &CheckPlan) {
    let Some(rule) = check.n_of_m else { return };
    let (n, m, fall) = (rule.n, rule.m, check.fall);
    let name = &check.name;
    let (what, why) = if n < fall {
        let what = format!("`fall` of check `{name}` never decides");
        (
            what,
            format!("{n} failures among {m} are enough, and come before {fall} in a row"),
        )
    } else if n == m {
        let what = format!("`n_of_m` of check `{name}` sees nothing that `fall` does not");
        (
            what,
            format!("{n} of {m} are {n} in a row, and `fall` is {fall} in a row"),
        )
    } else {
        return;
    };
    reader.out.push(
        Diagnostic::warning(SELDOM_MEANT, what)
            .at(check.place, format!("`n_of_m` is \"{n} of {m}\""))
            .note(why),
    );
}
