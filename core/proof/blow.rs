//! What can happen to the world, as lines that a person can read, write and take out.

use std::fmt;

use super::chance::Chance;

/// What happens. The number behind a blow means what is said here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    /// From now on check `number` of the member says so.
    Passes,
    Fails,
    TimesOut,
    Warns,
    Unknown,
    /// The same of all members of the group, and of the leaf that they share.
    AllPass,
    AllFail,
    AllUnknown,
    /// Only a new process passes check `number` again.
    Wedges,
    AllWedge,
    /// A worker of the member is stuck: check `number` fails and blames it until that worker has ended.
    Sticks,
    /// New processes are wedged too, or not any more.
    Incurable,
    Curable,
    /// Its process exits with code `number`.
    Dies,
    /// Each of its processes dies after so many seconds.
    Loops,
    Holds,
    JournalDown,
    /// Each intent takes so many seconds.
    JournalSlow,
    JournalWell,
    CannotStart,
    CanStart,
    /// Every wake-up comes so many milliseconds late.
    Lags,
    LagsNot,
    /// Nothing runs for so many seconds.
    Freezes,
    /// So many percent of the time nobody has memory.
    Presses,
    /// Acts do not reach the manager, which is known five seconds later; or do again.
    Unheard,
    Heard,
    Crash,
    /// So many events later.
    CrashSoon,
    /// The journal has lost what came after the last stored intent.
    CrashLossy,
    /// The configuration with this number.
    Reload,
    Restart,
    RestartNow,
    Start,
    Stop,
    /// For so many minutes.
    Pause,
    /// Its group is left alone for so many minutes.
    Maintenance,
    Resume,
    Reset,
    /// What no host should send, and what comes late or twice.
    StartedTwice,
    ExitedStranger,
    DoneStranger,
    DoneTwice,
    StoredStranger,
    StoredTwice,
    RefusedTwice,
    /// A sample of another life.
    SampleStranger,
    SampleNowhere,
    SampleTwice,
    /// Step by step: time goes to the next wake-up; or on, until something is decided.
    Wakes,
    Waits,
    /// What is on its way for the member comes: the journal's answer, what the manager does next. Or it
    /// does not: the journal refuses, the manager cannot.
    Comes,
    Balks,
    /// All that is on its way for the member comes, and what comes of that.
    Goes,
    /// The daemon is killed, and its journal has lost what came after the last stored intent.
    CrashLossyNow,
}

/// Each with its word, and how often it comes.
const VERBS: &[(Verb, &str, u64)] = &[
    (Verb::Passes, "passes", 6),
    (Verb::Fails, "fails", 10),
    (Verb::TimesOut, "times-out", 4),
    (Verb::Warns, "warns", 1),
    (Verb::Unknown, "is-unknown", 4),
    (Verb::AllPass, "all-pass", 3),
    (Verb::AllFail, "all-fail", 4),
    (Verb::AllUnknown, "all-unknown", 1),
    (Verb::Wedges, "wedges", 16),
    (Verb::AllWedge, "all-wedge", 5),
    (Verb::Sticks, "sticks", 12),
    (Verb::Incurable, "is-incurable", 2),
    (Verb::Curable, "is-curable", 2),
    (Verb::Dies, "dies", 8),
    (Verb::Loops, "crash-loops", 3),
    (Verb::Holds, "crash-loops-no-more", 2),
    (Verb::JournalDown, "journal-refuses", 1),
    (Verb::JournalSlow, "journal-takes", 2),
    (Verb::JournalWell, "journal-stores", 3),
    (Verb::CannotStart, "cannot-be-started", 1),
    (Verb::CanStart, "can-be-started", 1),
    (Verb::Lags, "lags", 2),
    (Verb::LagsNot, "lags-not", 2),
    (Verb::Freezes, "freezes", 3),
    (Verb::Presses, "presses", 2),
    (Verb::Unheard, "unheard", 1),
    (Verb::Heard, "heard", 2),
    (Verb::Crash, "crash", 2),
    (Verb::CrashSoon, "crash-in", 3),
    (Verb::CrashLossy, "crash-lossy-in", 3),
    (Verb::Reload, "reload", 2),
    (Verb::Restart, "asked-to-restart", 2),
    (Verb::RestartNow, "asked-to-restart-now", 1),
    (Verb::Start, "asked-to-start", 2),
    (Verb::Stop, "asked-to-stop", 1),
    (Verb::Pause, "paused-for", 1),
    (Verb::Maintenance, "maintenance-for", 1),
    (Verb::Resume, "resumed", 1),
    (Verb::Reset, "reset", 1),
    (Verb::StartedTwice, "noise-started-twice", 1),
    (Verb::ExitedStranger, "noise-exited-stranger", 1),
    (Verb::DoneStranger, "noise-done-stranger", 1),
    (Verb::DoneTwice, "noise-done-twice", 1),
    (Verb::StoredStranger, "noise-stored-stranger", 1),
    (Verb::StoredTwice, "noise-stored-twice", 1),
    (Verb::RefusedTwice, "noise-refused-twice", 1),
    (Verb::SampleStranger, "noise-sample-stranger", 3),
    (Verb::SampleNowhere, "noise-sample-nowhere", 1),
    (Verb::SampleTwice, "noise-sample-twice", 1),
    // No storm has these: they are for going step by step.
    (Verb::Wakes, "wakes", 0),
    (Verb::Waits, "waits", 0),
    (Verb::Comes, "comes", 0),
    (Verb::Balks, "balks", 0),
    (Verb::Goes, "goes", 0),
    (Verb::CrashLossyNow, "crash-lossy", 0),
];

/// One thing that happens, so many seconds after the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Blow {
    pub(crate) wait: u64,
    pub(crate) verb: Verb,
    pub(crate) group: u32,
    pub(crate) member: u32,
    pub(crate) number: u64,
}

impl Blow {
    /// At once, to one member.
    pub(crate) const fn on(verb: Verb, group: u32, member: u32, number: u64) -> Self {
        Self {
            wait: 0,
            verb,
            group,
            member,
            number,
        }
    }

    pub(crate) fn random(chance: &mut Chance) -> Self {
        let sum = VERBS.iter().map(|(_, _, weight)| weight).sum();
        let mut drawn = chance.below(sum);
        let mut verb = Verb::Fails;
        for &(one, _, weight) in VERBS {
            if drawn < weight {
                verb = one;
                break;
            }
            drawn -= weight;
        }
        let number = match verb {
            Verb::Dies => chance.one(&[0, 1, 1, 1, 78], 1),
            Verb::Loops => chance.one(&[0, 3, 30], 3),
            Verb::JournalSlow => chance.one(&[1, 5, 40], 5),
            Verb::Lags => chance.one(&[100, 700, 2_000], 700),
            Verb::Freezes => chance.one(&[1, 6, 20, 400, 1_200], 6),
            Verb::Presses => chance.one(&[0, 0, 50, 90], 0),
            Verb::CrashSoon | Verb::CrashLossy => chance.below(40),
            Verb::Reload => chance.below(3),
            Verb::Pause | Verb::Maintenance => 1 + chance.below(30),
            _ => chance.below(5),
        };
        Self {
            wait: chance.one(&[0, 0, 1, 5, 20, 40, 60, 200], 5) * (50 + chance.below(100)) / 100,
            verb,
            group: u32::try_from(chance.below(3)).unwrap_or(0),
            member: u32::try_from(chance.below(6)).unwrap_or(0),
            number,
        }
    }

    pub(crate) fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace();
        let wait = words.next()?.strip_suffix('s')?.parse().ok()?;
        let word = words.next()?;
        let &(verb, _, _) = VERBS.iter().find(|(_, name, _)| *name == word)?;
        let (group, member) = words.next()?.split_once('/')?;
        let blow = Self {
            wait,
            verb,
            group: group.parse().ok()?,
            member: member.parse().ok()?,
            number: words.next()?.parse().ok()?,
        };
        words.next().is_none().then_some(blow)
    }
}

/// `12s fails 0/2 1`: after twelve seconds check 1 of member 2 of group 0 fails.
impl fmt::Display for Blow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = VERBS.iter().find(|(verb, _, _)| *verb == self.verb);
        let word = name.map_or("?", |(_, word, _)| word);
        let Self {
            wait,
            group,
            member,
            number,
            ..
        } = self;
        write!(f, "{wait}s {word} {group}/{member} {number}")
    }
}
