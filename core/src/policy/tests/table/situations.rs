//! Every state that a member can be in, and how it comes to be in it.

use super::around;
use super::events::pause;
use crate::event::{Command, Event, Exit};
use crate::plan::RestartType;
use crate::policy::sim::{World, group};
use crate::policy::state::{Health, Life, Phase};
use crate::{Generation, GroupName, Instant, Span, Status};

/// A state with its story.
pub(super) struct Situation {
    pub(super) name: &'static str,
    pub(super) script: fn() -> World,
}

const THEN: Instant = Instant(0);

/// Every life with every health and every phase of an attempt.
pub(super) fn axes() -> Vec<(Life, Health, Option<Phase>)> {
    let mut all = Vec::new();
    for life in chain(next_life) {
        for health in chain(next_health) {
            all.push((life, health.clone(), None));
            let phases = chain(next_phase).into_iter();
            all.extend(phases.map(|phase| (life, health.clone(), Some(phase))));
        }
    }
    all
}

fn chain<T>(next: fn(Option<&T>) -> Option<T>) -> Vec<T> {
    let mut all = Vec::new();
    while let Some(one) = next(all.last()) {
        all.push(one);
    }
    all
}

const fn next_life(after: Option<&Life>) -> Option<Life> {
    match after {
        None => Some(Life::Stopped),
        Some(Life::Stopped) => Some(Life::Starting { since: THEN }),
        Some(Life::Starting { .. }) => Some(Life::Up { since: THEN }),
        Some(Life::Up { .. }) => Some(Life::Dead {
            exit: Exit::Lost,
            since: THEN,
        }),
        Some(Life::Dead { .. }) => None,
    }
}

const fn next_health(after: Option<&Health>) -> Option<Health> {
    match after {
        None => Some(Health::Unproven),
        Some(Health::Unproven) => Some(Health::Healthy { since: THEN }),
        Some(Health::Healthy { .. }) => Some(Health::Failed { since: THEN }),
        Some(Health::Failed { .. }) => None,
    }
}

const fn next_phase(after: Option<&Phase>) -> Option<Phase> {
    match after {
        None => Some(Phase::Storing),
        Some(Phase::Storing) => Some(Phase::Acting),
        Some(Phase::Acting) => Some(Phase::Confirming),
        Some(Phase::Confirming) => None,
    }
}

pub(super) const fn word(phase: Option<Phase>) -> &'static str {
    match phase {
        None => "idle",
        Some(Phase::Storing) => "storing",
        Some(Phase::Acting) => "acting",
        Some(Phase::Confirming) => "confirming",
    }
}

macro_rules! all {
    ($($name:literal => $script:expr),* $(,)?) => {
        Ok(&[$(Situation { name: $name, script: $script }),*])
    };
}

/// The stories of a state, or why there is none.
pub(super) fn situations(
    life: Life,
    health: &Health,
    phase: Option<Phase>,
) -> Result<&'static [Situation], &'static str> {
    use Phase::{Acting, Confirming, Storing};
    match (life, health, phase) {
        (
            Life::Stopped | Life::Dead { .. },
            Health::Healthy { .. } | Health::Failed { .. },
            None | Some(Storing | Acting | Confirming),
        ) => Err("without a process nobody is healthy or failed"),
        (Life::Stopped | Life::Dead { .. }, Health::Unproven, Some(Confirming)) => {
            Err("what is confirmed runs")
        }
        (
            Life::Starting { .. },
            Health::Healthy { .. } | Health::Failed { .. },
            None | Some(Storing | Acting | Confirming),
        ) => Err("whoever is proved good or bad is up"),
        (Life::Up { .. }, Health::Unproven | Health::Healthy { .. }, Some(Confirming)) => {
            Err("when it is up its start is judged, and when it is well its signal is")
        }
        (Life::Stopped, Health::Unproven, None) => all![
            "not started yet, what it needs is missing" => unsupplied,
            "stopped by hand" => stopped,
            "it did its work and ended" => ended_well,
        ],
        (Life::Stopped, Health::Unproven, Some(Storing)) => all![
            "its first start is decided" => || World::new(vec![group(2, &["ping"], 1)]),
        ],
        (Life::Stopped, Health::Unproven, Some(Acting)) => all![
            "its first start is under way" =>
                || in_phase(World::new(vec![group(2, &["ping"], 1)]), "acting"),
            "it is gone with its group, and its stop is not told yet" => around::gone_with_its_group,
        ],
        (Life::Starting { .. }, Health::Unproven, None) => all![
            "given up, and somebody else started it" => adopted,
        ],
        (Life::Starting { .. }, Health::Unproven, Some(Storing)) => all![
            "a restart by hand of what is starting is decided" => || restart_now(starting()),
        ],
        (Life::Starting { .. }, Health::Unproven, Some(Acting)) => all![
            "a restart by hand of what is starting is under way" =>
                || in_phase(restart_now(starting()), "acting"),
        ],
        (Life::Starting { .. }, Health::Unproven, Some(Confirming)) => all![
            "it was started" => starting,
        ],
        (Life::Up { .. }, Health::Unproven, None) => all![
            "nobody could tell whether its start succeeded" => blind,
        ],
        (Life::Up { .. }, Health::Unproven, Some(Storing)) => all![
            "blind, a restart by hand is decided" => || restart(blind()),
        ],
        (Life::Up { .. }, Health::Unproven, Some(Acting)) => all![
            "blind, a restart by hand is under way" => || in_phase(restart(blind()), "acting"),
        ],
        (Life::Up { .. }, Health::Healthy { .. }, None) => all![
            "all is well" => healthy,
            "all is well, paused" => || paused(healthy()),
            "four failures in a row" => suspect,
            "four failures in a row, as of all others: its group is held" => around::suspect_in_a_hold,
        ],
        (Life::Up { .. }, Health::Healthy { .. }, Some(Storing)) => all![
            "a restart by hand is decided" => || restart(healthy()),
            "its group is restarted one by one, and its turn is the first" => around::in_a_roll,
            "a stop by hand is decided" => || asked(healthy(), Command::Stop),
        ],
        (Life::Up { .. }, Health::Healthy { .. }, Some(Acting)) => all![
            "a restart by hand is under way" => || in_phase(restart(healthy()), "acting"),
            "a stop by hand is under way" =>
                || in_phase(asked(healthy(), Command::Stop), "acting"),
            "it is stopped with its group" => around::stopped_together,
        ],
        (Life::Up { .. }, Health::Failed { .. }, None) => all![
            "sick, the budget is spent" => || sick(spent()),
            "sick and paused" => || sick(paused(healthy())),
            "given up, left running" => given_up,
            "sick, its group is held" => around::held,
            "sick, another one is the canary of the hold" => around::beside_the_canary,
            "sick, only observed" => around::observed,
            "sick in a maintenance window" => around::sick_in_a_window,
            "sick, what it needs has failed" => around::unsupplied,
            "sick, this machine stalls" => around::stalled,
            "sick, the daemon began a moment ago" => around::settling,
            "sick, the journal takes nothing" => around::unwritable,
            "sick, the end of its worker did not help" => signalled_in_vain,
        ],
        (Life::Up { .. }, Health::Failed { .. }, Some(Storing)) => all![
            "sick, its restart is decided" => || in_phase(failing(healthy()), "storing"),
            "sick, a signal to its worker is decided" => || in_phase(stuck(), "storing"),
        ],
        (Life::Up { .. }, Health::Failed { .. }, Some(Acting)) => all![
            "sick, its restart is under way" => || in_phase(failing(healthy()), "acting"),
            "sick, the canary of a hold" => around::canary,
            "sick, a signal to its worker is under way" => || in_phase(stuck(), "acting"),
        ],
        (Life::Up { .. }, Health::Failed { .. }, Some(Confirming)) => all![
            "sick, its worker has ended" => || in_phase(stuck(), "confirming"),
        ],
        (Life::Dead { .. }, Health::Unproven, None) => all![
            "it died and waits out its backoff" => dead,
            "it died in a maintenance window" => around::dead_in_a_window,
            "given up, on parole" => parole,
            "given up: it said that starting it is useless" => useless,
        ],
        (Life::Dead { .. }, Health::Unproven, Some(Storing)) => all![
            "it died, its start is decided" => || in_phase(dead(), "storing"),
        ],
        (Life::Dead { .. }, Health::Unproven, Some(Acting)) => all![
            "it died, its start is under way" => || in_phase(dead(), "acting"),
            "ended by our hand, its new process is not there yet" => between,
        ],
    }
}

pub(super) fn healthy() -> World {
    let mut world = World::new(vec![group(2, &["ping"], 1)]);
    world.pass(Span::mins(2));
    world
}

fn unsupplied() -> World {
    let mut first = group(2, &["ping"], 1);
    first.depends_on = vec![1];
    let mut second = group(1, &["ping"], 1);
    second.name = GroupName::new("zoo").unwrap();
    let mut world = World::new(vec![first, second]);
    world.cannot_start = true;
    world.pass(Span::secs(5));
    world
}

fn asked(mut world: World, command: Command) -> World {
    world.command(0, command).unwrap();
    world
}

fn restart(world: World) -> World {
    asked(world, Command::Restart { now: false })
}

fn restart_now(world: World) -> World {
    asked(world, Command::Restart { now: true })
}

pub(super) fn paused(world: World) -> World {
    let pause = pause(world.now);
    asked(world, pause)
}

/// Goes on to the instant in which its attempt is in this phase.
pub(super) fn in_phase(mut world: World, phase: &str) -> World {
    for _ in 0..120_000 {
        if !world.engine.attempts().is_empty() {
            let report = world.engine.explain(World::id(0), world.now).unwrap();
            if report.attempt.is_some_and(|it| it.phase == phase) {
                return world;
            }
        }
        world.pass(Span::millis(1));
    }
    world
}

fn stopped() -> World {
    let mut world = asked(healthy(), Command::Stop);
    world.pass(Span::secs(30));
    world
}

fn ended_well() -> World {
    let mut plan = group(2, &["ping"], 1);
    plan.policy.restart = RestartType::Transient;
    let mut world = World::new(vec![plan]);
    world.pass(Span::mins(2));
    world.die(World::id(0), Exit::Code(0));
    world
}

fn starting() -> World {
    in_phase(World::new(vec![group(2, &["ping"], 1)]), "confirming")
}

fn blind() -> World {
    let mut world = World::new(vec![group(2, &["ping"], 1)]);
    world.say(0, 0, Status::Unknown);
    world.pass(Span::mins(4));
    world
}

/// A worker of it is stuck, and is blamed for that.
fn stuck() -> World {
    let mut plan = group(2, &["ping"], 1);
    plan.policy.signal = Some("TERM".to_owned());
    let mut world = World::new(vec![plan]);
    world.pass(Span::mins(2));
    world.blame(0, 0, 4711);
    world
}

/// It waits for its restart.
fn signalled_in_vain() -> World {
    let mut world = stuck();
    world.cannot_signal = Some("process 4711 did not end within 10s of SIGTERM".to_owned());
    world = in_phase(world, "acting");
    for _ in 0..1_000 {
        world.pass(Span::millis(1));
        if world.engine.attempts().is_empty() {
            break;
        }
    }
    world
}

fn suspect() -> World {
    let mut world = healthy();
    world.say(0, 0, Status::Fail);
    world.pass(Span::secs(22));
    world
}

fn failing(mut world: World) -> World {
    world.say(0, 0, Status::Fail);
    world
}

pub(super) fn sick(world: World) -> World {
    let mut world = failing(world);
    world.pass(Span::secs(40));
    world
}

/// The other one is dead and does not come back.
fn spent() -> World {
    let mut world = healthy();
    world.cannot_start = true;
    world.die(World::id(1), Exit::Code(1));
    world
}

fn given_up() -> World {
    let mut world = failing(healthy());
    world.cured_by_restart = false;
    world.pass(Span::mins(30));
    world
}

fn dead() -> World {
    let mut world = healthy();
    world.die(World::id(0), Exit::Code(1));
    world
}

fn parole() -> World {
    let mut world = healthy();
    world.cannot_start = true;
    world.die(World::id(0), Exit::Code(1));
    world.pass(Span::mins(12));
    world
}

fn useless() -> World {
    let mut world = healthy();
    world.die(World::id(0), Exit::Code(78));
    world
}

fn adopted() -> World {
    let mut world = useless();
    let generation = Generation {
        boot: 1,
        pid: 77,
        start: world.now.0,
    };
    world.event(&Event::Started {
        member: World::id(0),
        generation,
        adopted: true,
    });
    world
}

fn between() -> World {
    let mut world = in_phase(restart(healthy()), "acting");
    for _ in 0..20_000 {
        let report = world.engine.explain(World::id(0), world.now).unwrap();
        if report.life == "dead" {
            break;
        }
        world.pass(Span::millis(1));
    }
    world
}
