//! What nobody needs to be told, and a person who watches likes to see: starts, the first time
//! healthy, and what is held back by which gate, once.

use std::collections::BTreeMap;

use checkd_core::engine::{Effect, Event};
use checkd_core::journal::Entry;
use checkd_core::policy::{About, Axis, GateName, NoticeKind, Reading, Step};
use checkd_core::{Instant, MemberId};

/// A line for the person who watches.
#[derive(Debug)]
pub(super) struct Line {
    pub member: MemberId,
    pub at: Instant,
    pub text: String,
    pub kind: Option<NoticeKind>,
}

/// Remembers what was shown of each member that waits. In an outage of a large group every member is
/// refused again and again, each time with other numbers, and the few lines that matter drown.
#[derive(Debug, Default)]
pub(super) struct Watcher {
    waits: BTreeMap<MemberId, (Step, Vec<GateName>)>,
}

impl Watcher {
    /// What is worth a line of what happened, and of what came of it.
    pub(super) fn lines(&mut self, event: &Event, effects: &[Effect]) -> Vec<Line> {
        let mut lines = Vec::new();
        if let Event::Started {
            member,
            generation,
            adopted: false,
        } = event
        {
            lines.push(Line {
                member: *member,
                at: crate::clock::now(),
                text: format!("runs as pid {}", generation.pid),
                kind: None,
            });
        }
        let noticed = |id: MemberId| {
            effects
                .iter()
                .any(|e| matches!(e, Effect::Notify(notice) if notice.about == About::Member(id)))
        };
        for effect in effects {
            let Effect::Record(entry) = effect else {
                continue;
            };
            match entry {
                Entry::Transition {
                    member,
                    at,
                    axis: Axis::Health,
                    to,
                    why,
                    ..
                } => {
                    self.waits.remove(member);
                    if *to == "healthy" && !noticed(*member) {
                        lines.push(healthy(*member, *at, why));
                    }
                }
                Entry::Decision {
                    member,
                    intent: Some(_),
                    ..
                } => drop(self.waits.remove(member)),
                Entry::Decision {
                    member,
                    at,
                    step,
                    explanation,
                    intent: None,
                    ..
                } => {
                    let text = self.refused(*member, *step, &explanation.readings);
                    lines.extend(text.map(|text| Line {
                        member: *member,
                        at: *at,
                        text,
                        kind: None,
                    }));
                }
                Entry::Transition { .. }
                | Entry::Group { .. }
                | Entry::Run { .. }
                | Entry::Steady { .. }
                | Entry::Intent { .. }
                | Entry::Outcome { .. }
                | Entry::Operator { .. } => {}
            }
        }
        lines
    }

    /// What a member waits for, unless that was shown already.
    fn refused(&mut self, member: MemberId, step: Step, readings: &[Reading]) -> Option<String> {
        // Waiting for one's turn on this machine is no news, and neither is one good answer of
        // somebody who must wait anyhow.
        let mut closed: Vec<&Reading> = (readings.iter())
            .filter(|reading| !reading.open && reading.gate != GateName::HostRate)
            .collect();
        if closed.len() > 1 {
            closed.retain(|reading| reading.gate != GateName::Fresh);
        }
        let waits = (step, closed.iter().map(|it| it.gate).collect());
        if closed.is_empty() || self.waits.get(&member) == Some(&waits) {
            return None;
        }
        self.waits.insert(member, waits);
        let closed: Vec<String> = closed
            .iter()
            .map(|reading| format!("{} ({})", reading.gate, reading.compared))
            .collect();
        Some(format!(
            "{} waits for {}",
            step.as_str(),
            closed.join(" and ")
        ))
    }
}

fn healthy(member: MemberId, at: Instant, why: &str) -> Line {
    let text = match why {
        "" => "healthy".to_owned(),
        why => format!("healthy: {why}"),
    };
    Line {
        member,
        at,
        text,
        kind: Some(NoticeKind::Recovered),
    }
}

#[cfg(test)]
mod tests {
    use checkd_core::policy::{Comparison, GateName, Reading, Step};
    use checkd_core::{MemberId, Span};

    use super::Watcher;

    fn closed(gate: GateName, seconds: u64) -> Reading {
        Reading {
            gate,
            open: false,
            compared: Comparison::Until {
                remaining: Span::secs(seconds),
                of: Span::secs(10),
            },
            reopens: None,
        }
    }

    #[test]
    fn what_a_member_waits_for_is_shown_once() {
        let mut watcher = Watcher::default();
        let [one, two] = [0, 1].map(|member| MemberId { group: 0, member });
        let mut shown =
            |member, readings: &[Reading]| watcher.refused(member, Step::Restart, readings);

        assert!(shown(one, &[closed(GateName::Hold, 9)]).is_some());
        assert!(
            shown(two, &[closed(GateName::Hold, 9)]).is_some(),
            "another"
        );
        let busy = [closed(GateName::Hold, 8), closed(GateName::HostRate, 1)];
        assert_eq!(shown(one, &busy), None, "its turn is no news");
        let passed = [closed(GateName::Fresh, 0), closed(GateName::Hold, 7)];
        assert_eq!(shown(one, &passed), None, "nor is one good answer");
        let other = [closed(GateName::Budget, 0)];
        assert!(shown(one, &other).is_some(), "another gate");
        assert!(
            shown(one, &[closed(GateName::Hold, 6)]).is_some(),
            "held again"
        );
        assert_eq!(shown(one, &[closed(GateName::HostRate, 1)]), None);
    }
}
