//! Settings that can be meant and seldom are: warnings, each with its arithmetic.

use super::{In, Judge};
use crate::Span;
use crate::config::check::Checks;
use crate::config::read::Reader;
use crate::diagnostic::Diagnostic;
use crate::plan::{CheckPlan, PolicyPlan, Scope};

const SELDOM_MEANT: &str = "C0137";

impl Judge<'_> {
    pub(super) fn lints(&self, reader: &mut Reader<'_>, plan: &PolicyPlan, checks: &Checks<'_>) {
        self.canary(reader, plan, checks);
        self.budget(reader, plan);
        for check in &checks.plans {
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
