//! Names and identities: what a person writes, and what the engine counts with.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// A checked name: `[a-z][a-z0-9_-]*`, at most [`NAME_MAX`] bytes.
///
/// Names are lower case because environment layers are (`CHECKD__GROUP__SHOP__…`); the marker keeps
/// the name of a group from being passed where the name of a check is wanted.
pub struct Name<Of> {
    text: Arc<str>,
    of: PhantomData<fn() -> Of>,
}

/// The longest name in bytes: it becomes part of file names and of terminal columns.
pub const NAME_MAX: usize = 64;

/// Marks the name of a group.
pub enum OfGroup {}
/// Marks the name of a member (`shop-0`).
pub enum OfMember {}
/// Marks the name of a check, unique in its group.
pub enum OfCheck {}
/// Marks a check kind (`http`), unique in a catalog.
pub enum OfKind {}

/// The name of a group.
pub type GroupName = Name<OfGroup>;
/// The name of a member, `GROUP-INDEX` under the own manager.
pub type MemberName = Name<OfMember>;
/// The name of a check, unique in its group.
pub type CheckName = Name<OfCheck>;
/// The type of a check, unique in a catalog.
pub type CheckKind = Name<OfKind>;

impl<Of> Name<Of> {
    /// Takes `text` when it is a name, `None` otherwise.
    pub fn new(text: &str) -> Option<Self> {
        let mut bytes = text.bytes();
        let first = bytes.next()?;
        let fits = first.is_ascii_lowercase()
            && text.len() <= NAME_MAX
            && bytes
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-');
        fits.then(|| Self {
            text: text.into(),
            of: PhantomData,
        })
    }

    /// A name that a program other than us gave (supervisord allows more than we do): anything but
    /// an empty text, a control character or a `/`.
    pub fn foreign(text: &str) -> Option<Self> {
        let fits = !text.is_empty() && !text.chars().any(|c| c.is_control() || c == '/');
        fits.then(|| Self {
            text: text.into(),
            of: PhantomData,
        })
    }

    /// The text of the name.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl<Of> Clone for Name<Of> {
    fn clone(&self) -> Self {
        Self {
            text: Arc::clone(&self.text),
            of: PhantomData,
        }
    }
}
impl<Of> PartialEq for Name<Of> {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}
impl<Of> Eq for Name<Of> {}
impl<Of> PartialOrd for Name<Of> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl<Of> Ord for Name<Of> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.text.cmp(&other.text)
    }
}
impl<Of> Hash for Name<Of> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}
impl<Of> fmt::Display for Name<Of> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}
impl<Of> fmt::Debug for Name<Of> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.text)
    }
}
impl<Of> Serialize for Name<Of> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}
impl<'de, Of> Deserialize<'de> for Name<Of> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::foreign(&text).ok_or_else(|| serde::de::Error::custom("not a name"))
    }
}

/// The place of a member in a [`Plan`](crate::plan::Plan): group and member count from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MemberId {
    /// Index into `Plan::groups`.
    pub group: u32,
    /// Index into `GroupPlan::members`.
    pub member: u32,
}

/// A leaf of the complex checks: one check of a group, on one member or shared by all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LeafId {
    /// Index into `Plan::groups`.
    pub group: u32,
    /// Index into `GroupPlan::checks`.
    pub check: u32,
    /// Index into `GroupPlan::members` for scope `process`; `None` for `host` and `dependency`.
    pub member: Option<u32>,
}

/// One life of a process: a pid is reused, a pid with its start time and its boot is not.
///
/// Source: policy.md P2; `/proc/PID/stat` field 22 and `/proc/sys/kernel/random/boot_id`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Generation {
    /// The boot id as a number; 32 hexadecimal digits when serialised, for no JSON number is so long.
    #[serde(with = "hexadecimal")]
    pub boot: u128,
    /// Process id in the host's pid namespace.
    pub pid: u32,
    /// Start time in clock ticks since boot.
    pub start: u64,
}

/// One process of this boot: its pid may go to another one, its start time does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Process {
    /// Process id in the host's pid namespace.
    pub pid: u32,
    /// Start time in clock ticks since boot: `/proc/PID/stat`, field 22.
    pub start: u64,
}

/// A `u128` as text.
mod hexadecimal {
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(number: &u128, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&format_args!("{number:032x}"))
    }
    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<u128, D::Error> {
        let text = String::deserialize(from)?;
        u128::from_str_radix(&text, 16).map_err(serde::de::Error::custom)
    }
}

/// Names one intended act; unique for the life of a journal and strictly growing.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct IntentId(pub u64);

/// Threads everything from the first failure of a member until it was healthy for a while.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct IncidentId(pub u64);
