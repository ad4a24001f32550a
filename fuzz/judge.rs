//! What must hold whatever a worker says: read by the fuzzer, and by an ordinary test of the host.
//!
//! The first byte says in which pieces the stream arrives, the others are the stream.

use std::io::BufReader;

use checkd_core::{Instant, Span, Status};

use super::protocol::{
    Ask, LINE_MAX, MEASUREMENTS_MAX, Problem, TEXT_MAX, Tell, bounded, line, parse, read_line,
    run_of,
};
use super::text::{When, facts, sample};

/// The longest fault of one message: an error of 256 bytes, an excerpt of 80, and words.
const FAULT_MAX: usize = 512;

/// Reads a whole stream as the host does.
pub(crate) fn read(bytes: &[u8]) {
    let Some((&piece, stream)) = bytes.split_first() else {
        return;
    };
    let mut stream = BufReader::with_capacity(usize::from(piece) + 1, stream);
    let mut buffer = Vec::new();
    while let Ok(true) = read_line(&mut stream, &mut buffer) {
        assert!(buffer.len() <= LINE_MAX && !buffer.contains(&b'\n'));
        match parse::<Tell>(&buffer) {
            Ok(tell) => {
                // A worker of ours says nothing that it could not read itself.
                if let Some(said) = line(&tell) {
                    let end = said.iter().position(|&byte| byte == b'\n');
                    assert_eq!(end, said.len().checked_sub(1), "{tell:?}");
                    let said = said.trim_ascii_end();
                    assert!(parse::<Tell>(said).is_ok(), "{tell:?}");
                }
                take(tell);
            }
            Err(fault) => {
                is_one_line(&fault, FAULT_MAX);
                // Whichever run it is taken for: only that it is found without a panic.
                let _run = run_of(&buffer);
            }
        }
        // The other way round, a worker of ours reads its host.
        if let Err(fault) = parse::<Ask>(&buffer) {
            is_one_line(&fault, FAULT_MAX);
        }
    }
}

/// Takes a message as the host does, and holds what becomes of it to what core relies on.
fn take(tell: Tell) {
    match tell {
        Tell::Hello { plugin, .. } => is_one_line(&bounded(&plugin, 128), 128),
        Tell::Described { kinds } => {
            for kind in kinds {
                match facts(&kind, "fuzz") {
                    Ok(facts) => {
                        assert!(facts.options.is_object());
                        assert!(
                            facts
                                .options
                                .get("properties")
                                .is_none_or(serde_json::Value::is_object)
                        );
                        let claims = facts.options.get("properties");
                        assert!(claims.is_none_or(|all| all.get("timeout").is_none()));
                        assert!(facts.kind.as_str().len() <= 64);
                    }
                    Err(why) => is_one_line(&why, FAULT_MAX),
                }
            }
        }
        Tell::Configured { problems, .. } => {
            for mut problem in problems {
                problem.bound();
                is_bounded(&problem);
            }
        }
        Tell::Sample { sample: said, .. } => {
            let when = When {
                at: Instant(1_000),
                took: Span(5),
                generation: None,
            };
            let (sample, fault) = sample(said, when);
            is_one_line(&sample.message, TEXT_MAX);
            assert!(sample.measurements.len() <= MEASUREMENTS_MAX);
            for one in &sample.measurements {
                assert!(one.value.is_finite() && one.limit.is_none_or(f64::is_finite));
                is_one_line(&one.name, 64);
                is_one_line(&one.unit, 64);
            }
            // Only a pass has no cause.
            assert_eq!(sample.cause.is_none(), sample.status == Status::Pass);
            if let Some(fault) = fault {
                is_one_line(&fault, FAULT_MAX);
            }
        }
        Tell::Log { message, .. } | Tell::Error { message, .. } => {
            is_one_line(&bounded(&message, TEXT_MAX), TEXT_MAX);
        }
    }
}

fn is_bounded(problem: &Problem) {
    is_one_line(problem.option.as_deref().unwrap_or_default(), 128);
    is_one_line(&problem.message, TEXT_MAX);
    is_one_line(problem.help.as_deref().unwrap_or_default(), TEXT_MAX);
}

#[track_caller]
fn is_one_line(text: &str, max: usize) {
    assert!(text.len() <= max, "{} bytes: {text}", text.len());
    assert!(!text.contains(char::is_control), "{text:?}");
}

#[cfg(test)]
mod tests {
    use std::fs;

    #[test]
    fn every_seed_of_the_fuzzer_and_what_is_made_of_it_by_hand_is_read() {
        let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/corpus/reader");
        let mut seeds = 0;
        for seed in fs::read_dir(corpus).unwrap() {
            let bytes = fs::read(seed.unwrap().path()).unwrap();
            super::read(&bytes);
            // In pieces of many sizes, cut off anywhere, and with one byte of it another.
            for piece in (0..=u8::MAX).step_by(15) {
                let mut other = bytes.clone();
                *other.first_mut().unwrap() = piece;
                super::read(&other);
            }
            // Not each place of a long one: that is what the fuzzer is for.
            for at in (1..bytes.len()).step_by(1 + bytes.len() / 150) {
                super::read(bytes.get(..at).unwrap());
                for byte in [0, b'"', b'\\', b'}', b'9', 0xff] {
                    let mut other = bytes.clone();
                    *other.get_mut(at).unwrap() = byte;
                    super::read(&other);
                }
            }
            seeds += 1;
        }
        assert!(seeds >= 10, "{seeds} seeds in {corpus}");
    }
}
