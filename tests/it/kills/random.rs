//! Random instants inside restarts, the same ones for the same seed.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::str::FromStr;
use std::thread;
use std::time::Duration;

use checkd_tests::{Signal, checkd_binary, eventually, signal};

use super::stage::{PATIENCE, Stage};

/// So many daemons with their members are killed at the same time.
const STAGES: u64 = 4;
/// The members that are frozen in each round; one more is left in peace.
const FROZEN: u16 = 3;

/// Numbers that are the same for the same seed.
struct Chance(u64);

impl Chance {
    /// One below `bound`.
    fn below(&mut self, bound: u64) -> u64 {
        // Steele, Lea, Flood: SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    /// Lets some time pass: the instant is what is tested, so there is nothing to wait for.
    fn pass(&mut self, from: u64, to: u64) {
        thread::sleep(Duration::from_millis(from + self.below(to - from)));
    }
}

fn asked<T: FromStr<Err: Debug>>(name: &str, else_: T) -> T {
    std::env::var(name).map_or(else_, |text| text.parse().expect("a number"))
}

/// Kills the keeper in one case of three; whether it did.
fn perhaps_keeper(stage: &Stage, chance: &mut Chance) -> bool {
    let keeper = stage.keeper().filter(|_| chance.below(3) == 0);
    if let Some(keeper) = keeper {
        signal(keeper, Signal::KILL);
    }
    keeper.is_some()
}

/// Two kills while three members are restarted.
fn round(stage: &mut Stage, chance: &mut Chance, cut: &mut BTreeSet<u32>, what: &str) {
    let names: Vec<String> = stage.names().take(FROZEN.into()).collect();
    let peaceful = stage.names().last().expect("there are members");
    let before: Vec<_> = names.iter().map(|name| stage.starts(name)).collect();
    let peace = stage.life(&peaceful);
    let old: Vec<u32> = names.iter().map(|name| stage.pid(name)).collect();
    let begun = || stage.checkd.talk().matches("  restart: ").count();
    let begun_before = begun();
    for &pid in &old {
        signal(pid, Signal::STOP);
    }
    // The first restart has begun, the others are about to, and each takes some tenths of a second.
    eventually(what, PATIENCE, || (begun() > begun_before).then_some(()));
    chance.pass(0, 400);
    let mut keeper_died = perhaps_keeper(stage, chance);
    let only_keeper = keeper_died && chance.below(2) == 0;
    if only_keeper {
        chance.pass(0, 400);
        perhaps_keeper(stage, chance);
    } else {
        stage.checkd.end(Signal::KILL);
        // The next one is killed as it begins, or goes on with the acts of the first.
        let mut next = stage.spawn(checkd_binary());
        chance.pass(0, 400);
        keeper_died |= perhaps_keeper(stage, chance);
        next.kill().expect("it is our child");
        next.wait().expect("it is our child");
        stage.run();
    }
    // Of a life that ends while nobody holds its pipe, what was in the pipe goes with it.
    if keeper_died && !only_keeper {
        cut.extend(&old);
    }
    for (name, &pid) in names.iter().zip(&old) {
        stage.wait_other_life(name, pid, what);
    }
    stage.wait_live();
    for (name, before) in names.iter().zip(before) {
        let lives = stage.starts(name);
        assert_eq!(
            lives.len(),
            before.len() + 1,
            "{what}: one restart of {name} was wanted\n{}",
            stage.story(name)
        );
        let new = stage.pid(name);
        let noted = stage.life(name);
        assert!(
            !noted.iter().any(|n| n.pid == new && n.event == "signal"),
            "{what}: a second kill\n{}",
            stage.story(name)
        );
        assert!(
            !noted
                .iter()
                .any(|n| n.event == "signal" && n.detail == "SIGHUP"),
            "{what}: the kernel woke a frozen member\n{}",
            stage.story(name)
        );
    }
    assert_eq!(
        stage.life(&peaceful),
        peace,
        "{what}: {peaceful} was touched"
    );
    stage.assert_sound(what);
}

#[test]
fn at_a_hundred_random_instants_nothing_is_done_twice_and_nothing_is_lost() {
    let seed: u64 = asked("CHECKD_TEST_SEED", 7);
    let kills: u64 = asked("CHECKD_TEST_KILLS", 100);
    let interrupted: usize = thread::scope(|scope| {
        let stages: Vec<_> = (0..STAGES)
            .map(|number| {
                scope.spawn(move || {
                    let mut chance = Chance(seed ^ (number << 32));
                    let mut stage = Stage::open(FROZEN + 1);
                    let mut cut = BTreeSet::new();
                    let rounds = kills.div_ceil(2 * STAGES);
                    for number in 0..rounds {
                        let what = format!("seed {seed}, round {number} of {rounds}");
                        round(&mut stage, &mut chance, &mut cut, &what);
                    }
                    stage.assert_lines("at the end", &cut);
                    stage.checkd.talk().matches("ended during an act").count()
                })
            })
            .collect();
        stages
            .into_iter()
            .map(|stage| stage.join().expect("every round went well"))
            .sum()
    });
    // A part of the kills, by what the next daemon said, fell between an intent and its outcome.
    assert!(
        interrupted as u64 * 8 >= kills,
        "only {interrupted} of {kills} kills fell into a restart: this test looks wrongly"
    );
}
