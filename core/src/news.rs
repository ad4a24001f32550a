//! What a notice is to whoever is told of it: the word that `events` of a `[notify.N]` chooses it by,
//! and whether it begins something, is a step on the way, or ends what was told before.

use serde::{Deserialize, Serialize};

use crate::policy::NoticeKind;

/// What a notice does to what was told before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Something is wrong from now on; told once an incident, until an end is told.
    Problem,
    /// Something that happened and is over; each is told.
    Step,
    /// What was wrong is over; told only to who was told of it.
    End,
}

/// How bad it is to whoever is woken by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Urgency {
    /// Good to know.
    Info,
    /// checkd is at it.
    Warning,
    /// It does not go away by itself: a person is needed.
    Critical,
}

/// One kind of notice, for sinks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct News {
    /// The word in `events`, and in what is sent.
    pub event: &'static str,
    /// What it does to what was told before.
    pub role: Role,
    /// How bad it is.
    pub urgency: Urgency,
    /// As a headline: `3 of web` + `gave up`.
    pub headline: &'static str,
}

const fn news(event: &'static str, role: Role, urgency: Urgency, headline: &'static str) -> News {
    News {
        event,
        role,
        urgency,
        headline,
    }
}

/// The one place that knows every kind of notice as news. A word here that [`EVENTS`] lacks would be
/// refused in a configuration; a test holds the two together.
pub const fn of(kind: NoticeKind) -> News {
    use Role::{End, Problem, Step};
    use Urgency::{Critical, Info, Warning};
    match kind {
        NoticeKind::Incident => news("incident", Problem, Warning, "failed"),
        NoticeKind::GivenUp => news("given_up", Problem, Critical, "given up"),
        NoticeKind::Blind => news("blind", Problem, Critical, "blind"),
        NoticeKind::Acting => news("restart", Step, Info, "being restarted"),
        NoticeKind::Stopping => news("restart", Step, Info, "being stopped"),
        NoticeKind::Signalling => news("restart", Step, Info, "worker got a signal"),
        NoticeKind::SignalledInVain => {
            news("restart", Step, Warning, "worker got a signal in vain")
        }
        NoticeKind::Futile => news("restart", Step, Warning, "restarted in vain"),
        NoticeKind::Hold => news("hold", Problem, Critical, "held"),
        NoticeKind::Thaw => news("recovered", End, Info, "not held any more"),
        NoticeKind::Waiting => news("waiting", Problem, Critical, "waiting for the budget"),
        NoticeKind::Flapping => news("unstable", Step, Warning, "flapping"),
        NoticeKind::Chronic => news("unstable", Step, Warning, "restarted all day"),
        NoticeKind::Stall => news("stall", Step, Warning, "stalls"),
        NoticeKind::Unwritten => news("journal", Problem, Critical, "cannot write its journal"),
        NoticeKind::Quarantined => news("plugin", Problem, Critical, "quarantined"),
        NoticeKind::Released => news("recovered", End, Info, "used again"),
        NoticeKind::Recovered => news("recovered", End, Info, "recovered"),
    }
}

/// The words that `events` may hold.
pub const EVENTS: &[&str] = &[
    "incident",
    "given_up",
    "hold",
    "waiting",
    "blind",
    "restart",
    "unstable",
    "stall",
    "journal",
    "plugin",
    "recovered",
];

/// What lasts until an end is told: all that makes an alert.
pub const PROBLEMS: &[&str] = &[
    "incident", "given_up", "hold", "waiting", "blind", "journal", "plugin",
];

/// What ends: told only to who was told of what is over.
pub const END: &str = "recovered";

/// What a sink is told of unless it says otherwise: what a person wants to be woken for. A member that
/// failed and is being restarted needs nobody, and a page that needs nobody teaches people not to
/// look; so `incident`, `restart`, `unstable` and `stall` are for sinks that keep a record.
pub const EVENTS_BY_DEFAULT: &[&str] = &[
    "given_up",
    "hold",
    "waiting",
    "blind",
    "journal",
    "plugin",
    "recovered",
];

#[cfg(test)]
mod tests {
    use super::{END, EVENTS, EVENTS_BY_DEFAULT, PROBLEMS, Role, of};
    use crate::policy::NoticeKind;

    #[test]
    fn every_word_is_of_a_notice_and_every_notice_has_its_word() {
        let kinds = [
            NoticeKind::Incident,
            NoticeKind::Acting,
            NoticeKind::Stopping,
            NoticeKind::Recovered,
            NoticeKind::Futile,
            NoticeKind::Signalling,
            NoticeKind::SignalledInVain,
            NoticeKind::GivenUp,
            NoticeKind::Blind,
            NoticeKind::Hold,
            NoticeKind::Thaw,
            NoticeKind::Waiting,
            NoticeKind::Flapping,
            NoticeKind::Chronic,
            NoticeKind::Stall,
            NoticeKind::Unwritten,
            NoticeKind::Quarantined,
            NoticeKind::Released,
        ];
        for kind in kinds {
            let news = of(kind);
            assert!(EVENTS.contains(&news.event), "{kind:?}");
            let problem = news.role == Role::Problem;
            assert_eq!(PROBLEMS.contains(&news.event), problem, "{kind:?}");
            assert_eq!(news.event == END, news.role == Role::End, "{kind:?}");
        }
        for event in EVENTS {
            assert!(
                kinds.iter().any(|kind| of(*kind).event == *event),
                "{event}"
            );
        }
        assert!(EVENTS_BY_DEFAULT.iter().all(|event| EVENTS.contains(event)));
    }
}
