//! Inputs as a journal keeps them: most are samples, and of a sample most is known from what came before
//! it or from when it was heard.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Input, member_of};
use crate::event::Event;
use crate::policy::leaf::is_default;
use crate::{Cause, Generation, Instant, LeafId, Measurement, MemberId, Sample, Span, Status};

/// What is written of an [`Input`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Short {
    /// A sample.
    Sample {
        /// When the engine took it.
        at: Instant,
        /// As in [`Input::Event`].
        #[serde(default, skip_serializing_if = "Option::is_none")]
        asked: Option<Instant>,
        /// Of which leaf: group, check, and member if it is of one.
        #[serde(with = "as_list")]
        leaf: LeafId,
        /// What it says.
        status: Status,
        /// Why.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cause: Option<Cause>,
        /// For a person.
        #[serde(default, skip_serializing_if = "str::is_empty")]
        message: Arc<str>,
        /// Whom it blames: nothing else that it measured is told ([`Sample::measurements`]).
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        measured: Vec<Measurement>,
        /// How long before it was taken it had ended.
        #[serde(default, skip_serializing_if = "is_default")]
        late: Span,
        /// How long it took.
        #[serde(default, skip_serializing_if = "is_default")]
        took: Span,
        /// The life that it is about, when that is another one than of what came before about its member.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        generation: Option<Generation>,
    },
    /// Any other, word for word.
    #[serde(untagged)]
    Whole(Input),
}

/// Shortens inputs in the order in which they were told, or gives them back in that order: each end keeps
/// one of its own, from the first input on.
#[derive(Clone, Debug, Default)]
pub struct Lives(BTreeMap<MemberId, Generation>);

impl Lives {
    /// What is to be written of `input`.
    pub fn shorten(&mut self, input: Input) -> Short {
        let (at, asked, leaf, sample) = match input {
            Input::Event {
                at,
                asked,
                event: Event::Sample { leaf, sample },
            } => (at, asked, leaf, sample),
            Input::Event { .. } | Input::Passes { .. } => {
                self.note(&input);
                return Short::Whole(input);
            }
        };
        let known = self.of(leaf);
        // What cannot be said in short is not: a life that is not known any more, a run that ends later.
        if (known.is_some() && sample.generation.is_none())
            || (leaf.member.is_none() && sample.generation.is_some())
            || sample.at > at
        {
            let event = Event::Sample { leaf, sample };
            return Short::Whole(Input::Event { at, asked, event });
        }
        self.learn(leaf, sample.generation);
        Short::Sample {
            at,
            asked,
            leaf,
            status: sample.status,
            cause: sample.cause,
            message: sample.message,
            measured: sample.measurements,
            late: at.since(sample.at),
            took: sample.took,
            generation: sample.generation.filter(|it| Some(*it) != known),
        }
    }

    /// The input of which this was written.
    pub fn restore(&mut self, short: Short) -> Input {
        match short {
            Short::Whole(input) => {
                self.note(&input);
                input
            }
            Short::Sample {
                at,
                asked,
                leaf,
                status,
                cause,
                message,
                measured,
                late,
                took,
                generation,
            } => {
                let generation = generation.or_else(|| self.of(leaf));
                self.learn(leaf, generation);
                let sample = Sample {
                    status,
                    cause,
                    message,
                    measurements: measured,
                    at: at - late,
                    took,
                    generation,
                };
                let event = Event::Sample { leaf, sample };
                Input::Event { at, asked, event }
            }
        }
    }

    fn of(&self, leaf: LeafId) -> Option<Generation> {
        self.0.get(&member_of(leaf)?).copied()
    }

    fn learn(&mut self, leaf: LeafId, generation: Option<Generation>) {
        if let (Some(member), Some(generation)) = (member_of(leaf), generation) {
            self.0.insert(member, generation);
        }
    }

    fn note(&mut self, input: &Input) {
        if let Input::Event {
            event: Event::Started {
                member, generation, ..
            },
            ..
        } = input
        {
            self.0.insert(*member, *generation);
        }
    }
}

/// A leaf as `[group, check]` or `[group, check, member]`.
mod as_list {
    use serde::de::Error as _;

    use super::{Deserialize, Deserializer, LeafId, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(leaf: &LeafId, to: S) -> Result<S::Ok, S::Error> {
        match leaf.member {
            Some(member) => [leaf.group, leaf.check, member].serialize(to),
            None => [leaf.group, leaf.check].serialize(to),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<LeafId, D::Error> {
        let (group, check, member) = match Vec::<u32>::deserialize(from)?.as_slice() {
            [group, check] => (*group, *check, None),
            [group, check, member] => (*group, *check, Some(*member)),
            other => {
                return Err(D::Error::invalid_length(
                    other.len(),
                    &"two or three numbers",
                ));
            }
        };
        Ok(LeafId {
            group,
            check,
            member,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Input, Lives, Short};
    use crate::event::Event;
    use crate::{Cause, Generation, Instant, LeafId, Measurement, MemberId, Sample, Span, Status};

    const fn life(pid: u32) -> Generation {
        Generation {
            boot: 1 << 90,
            pid,
            start: 77,
        }
    }

    fn blamed() -> Measurement {
        Measurement {
            name: "blamed".into(),
            value: 4_711.0,
            unit: "pid".into(),
            limit: Some(12_345.0),
        }
    }

    fn sample(member: Option<u32>, generation: Option<Generation>, ended: u64) -> Input {
        let leaf = LeafId {
            group: 3,
            check: 1,
            member,
        };
        let fails = generation == Some(life(8));
        let sample = Sample {
            status: if fails { Status::Fail } else { Status::Pass },
            cause: fails.then_some(Cause::Refused),
            message: "200 OK in 4.2ms".into(),
            measurements: fails.then(blamed).into_iter().collect(),
            at: Instant(ended),
            took: Span(4),
            generation,
        };
        Input::Event {
            at: Instant(93_676_020),
            asked: None,
            event: Event::Sample { leaf, sample },
        }
    }

    fn started(pid: u32) -> Input {
        let member = MemberId {
            group: 3,
            member: 30,
        };
        Input::Event {
            at: Instant(93_676_021),
            asked: Some(Instant(93_676_000)),
            event: Event::Started {
                member,
                generation: life(pid),
                adopted: false,
            },
        }
    }

    #[test]
    fn what_is_written_comes_back() {
        const NOW: u64 = 93_676_020;
        let told = [
            sample(Some(30), None, NOW),
            sample(Some(30), Some(life(7)), NOW),
            sample(Some(30), Some(life(7)), NOW - 12),
            sample(Some(31), Some(life(9)), NOW),
            started(8),
            sample(Some(30), Some(life(8)), NOW),
            // One of the life before, heard late.
            sample(Some(30), Some(life(7)), NOW),
            sample(Some(30), Some(life(8)), NOW),
            // Of no life, after one was known; ended in the future; of a life, and of the whole group.
            sample(Some(30), None, NOW),
            sample(Some(30), Some(life(8)), NOW + 1),
            sample(None, Some(life(8)), NOW),
            sample(None, None, NOW),
        ];
        let (mut writes, mut reads) = (Lives::default(), Lives::default());
        let text = |input: &Input| serde_json::to_string(input).unwrap();
        let mut lengths = Vec::new();
        for input in told {
            let was = text(&input);
            let written = serde_json::to_string(&writes.shorten(input)).unwrap();
            lengths.push(written.len());
            let short: Short = serde_json::from_str(&written).unwrap();
            assert_eq!(text(&reads.restore(short)), was, "{written}");
            // As an older checkd wrote it.
            let whole: Short = serde_json::from_str(&was).unwrap();
            assert_eq!(text(&Lives::default().restore(whole)), was);
        }
        assert!(lengths[2] < 120, "{lengths:?}");
    }
}
