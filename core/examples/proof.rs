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
        Some("replay") => match words.get(1) {
            Some(file) => replay(file),
            None => usage(),
        },
        _ => usage(),
    }
}

fn usage() -> ExitCode {
    eprintln!("usage: proof storm [--events N] [--seed N] | proof replay FILE.storm");
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
            Err(broken) => {
                let storm = storm.shrunk(&broken);
                let broken = storm.run().err().unwrap_or(broken);
                let name = format!("core/scenarios/{}.storm", storm.seed);
                let text = storm.to_text(&broken);
                eprintln!("{text}");
                match std::fs::write(&name, &text) {
                    Ok(()) => eprintln!("kept in {name}"),
                    Err(error) => eprintln!("{name}: {error}"),
                }
                return ExitCode::FAILURE;
            }
        }
    }
    println!(
        "{} events in {storms} storms of seed {seed}; no invariant broken",
        all.events
    );
    for (number, looked) in (1..).zip(all.looked) {
        println!("I{number:<2} looked at {looked} times");
    }
    ExitCode::SUCCESS
}
