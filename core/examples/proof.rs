//! Long runs of what `cargo test` does in short: `cargo run --release -p checkd-core --example proof --
//! storm --events 10000000 --seed 1`.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it is a command")]
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "the bans are for the library"
)]

#[path = "../proof/mod.rs"]
mod proof;

use std::process::ExitCode;

use proof::arena::arenas;
use proof::explore::explore;
use proof::storm::{Seen, Storm};

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let number = |name: &str, or: u64| {
        let at = words.iter().position(|word| word == name);
        let value = at.and_then(|at| words.get(at + 1));
        value.and_then(|it| it.parse().ok()).unwrap_or(or)
    };
    match words.first().map(String::as_str) {
        Some("storm") => storms(number("--events", 1_000_000), number("--seed", 1)),
        Some("explore") => {
            let (members, depth) = (number("--members", 2), number("--depth", 100));
            let states = number("--states", 100_000);
            explorations(u32::try_from(members).unwrap_or(0), depth, states)
        }
        Some("replay") => match words.get(1) {
            Some(file) => replay(file),
            None => usage(),
        },
        _ => usage(),
    }
}

fn usage() -> ExitCode {
    eprintln!(
        "usage: proof storm [--events N] [--seed N]\n       \
         proof explore [--members 2|3] [--depth N] [--states N]\n       \
         proof replay FILE.storm"
    );
    ExitCode::from(2)
}

fn replay(file: &str) -> ExitCode {
    let told = std::fs::read_to_string(file).map_err(|it| it.to_string());
    match told.and_then(|text| Storm::from_text(&text)?.run()) {
        Ok(seen) => {
            println!("{} events, nothing broken", seen.events);
            ExitCode::SUCCESS
        }
        Err(broken) => {
            eprintln!("{broken}");
            ExitCode::FAILURE
        }
    }
}

/// Storms until so many events were taken. The first one that breaks something is shrunk and kept.
fn storms(events: u64, seed: u64) -> ExitCode {
    let (mut all, mut storms) = (Seen::default(), 0_u64);
    while all.events < events {
        let storm = Storm::random(seed.wrapping_mul(1_000_000_007).wrapping_add(storms));
        storms += 1;
        match storm.run() {
            Ok(one) => all.add(&one),
            Err(broken) => return keep(storm, &broken),
        }
    }
    println!(
        "{} events in {storms} storms of seed {seed}; no invariant broken",
        all.events
    );
    println!("{}", looked(all.looked));
    ExitCode::SUCCESS
}

/// Every arena with so many members, each to `depth` or until it has more than `states`.
fn explorations(members: u32, depth: u64, states: u64) -> ExitCode {
    let depth = u32::try_from(depth).unwrap_or(u32::MAX);
    let (mut all, mut sum) = ([0_u64; 10], (0_u64, 0_u64));
    let mut met = std::collections::BTreeMap::<&str, u64>::new();
    println!("arena       depth      states       steps  well within");
    for arena in arenas(members) {
        match explore(&arena, depth, states) {
            Ok(found) => {
                println!(
                    "{:10}  {:>5}  {:>10}  {:>10}  {:>11}",
                    arena.name,
                    found.depth,
                    found.states,
                    found.steps,
                    found.well_within.to_string()
                );
                sum = (sum.0 + found.states, sum.1 + found.steps);
                for (sum, one) in all.iter_mut().zip(found.looked) {
                    *sum += one;
                }
                for (word, steps) in found.met {
                    *met.entry(word).or_default() += steps;
                }
            }
            Err((broken, storm)) => return keep(storm, &broken),
        }
    }
    println!("{} states, {} steps; no invariant broken", sum.0, sum.1);
    let met: Vec<_> = (met.iter().map(|(word, steps)| format!("{word} {steps}"))).collect();
    println!("met: {}", met.join(", "));
    println!("{}", looked(all));
    ExitCode::SUCCESS
}

fn looked(all: [u64; 10]) -> String {
    let lines = (1..).zip(all);
    let lines = lines.map(|(number, looked)| format!("I{number:<2} looked at {looked} times"));
    lines.collect::<Vec<_>>().join("\n")
}

/// What broke something is shrunk, and stays.
fn keep(storm: Storm, broken: &str) -> ExitCode {
    let storm = storm.shrunk(broken);
    let broken = storm.run().err().unwrap_or(broken.to_owned());
    let name = format!("core/scenarios/{}.storm", storm.seed);
    let text = storm.to_text(&broken);
    eprintln!("{text}");
    match std::fs::write(&name, &text) {
        Ok(()) => eprintln!("kept in {name}"),
        Err(error) => eprintln!("{name}: {error}"),
    }
    ExitCode::FAILURE
}
