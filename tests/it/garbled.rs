//! Lines of the worker protocol, garbled at random: the reader takes them apart without a panic, and
//! whatever it says about them is short.
//!
//! The seed is fixed. `CHECKD_GARBLED=N` tries N lines instead of some thousands.

use checkd_host::plugin::protocol::{Ask, LINE_MAX, Tell, line, parse, read_line};

const LINES: &[&str] = &[
    r#"{"type":"hello","version":1,"plugin":"acme","release":"1.4.0"}"#,
    r#"{"type":"described","kinds":[{"kind":"a","options":{"type":"object","properties":{"b":{"$ref":"a"}}}}]}"#,
    r#"{"type":"configured","instance":1,"problems":[{"option":"a","message":"no","help":"yes"}]}"#,
    r#"{"type":"sample","run":9,"sample":{"status":"fail","cause":"wrong","message":"x","measurements":[{"name":"a","value":1.5e3,"unit":"s","limit":null}]}}"#,
    r#"{"type":"log","level":"warn","message":"\ud83d\ude00 \u0000"}"#,
    r#"{"type":"error","code":"C0203","message":"m","notes":["a"],"help":"b"}"#,
    r#"{"type":"configure","instance":2,"kind":"a","options":{"q":[1,{}]},"target":{"group":"g","pid":1,"port":80}}"#,
    r#"{"type":"submit","run":9,"instance":2,"timeout_ms":2000}"#,
];

/// What breaks readers: ends, nesting, numbers out of range, half a character.
const TOKENS: &[&[u8]] = &[
    b"\n",
    b"\r\n",
    b"\0",
    b"\"",
    b"\\",
    b"{",
    b"}",
    b"[[[[[[[[",
    b"]",
    b",",
    b":",
    b"null",
    b"NaN",
    b"1e999",
    b"-0",
    b"18446744073709551616",
    b"-1",
    b"0.1",
    b"\\u",
    b"\\ud800",
    b"\xff\xfe",
    b"\xe2\x80",
    b"\xf0\x9f\x98\x80",
    b"\"type\":\"sample\"",
    b"\"type\":",
    b" ",
];

/// A fixed sequence (xorshift).
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % end.max(1) as u64).unwrap_or(0)
    }

    fn garble(&mut self, text: &mut Vec<u8>) {
        for _ in 0..=self.below(6) {
            let at = self.below(text.len() + 1);
            match self.below(6) {
                0 if at < text.len() => text[at] ^= 1 << self.below(8),
                1 => text.truncate(at),
                2 => drop(text.splice(at..at, TOKENS[self.below(TOKENS.len())].iter().copied())),
                3 => {
                    let to = (at + self.below(20)).min(text.len());
                    text.drain(at..to);
                }
                4 => {
                    let part: Vec<u8> = text[at..(at + self.below(60)).min(text.len())].to_vec();
                    let times = self.below(300);
                    drop(text.splice(at..at, part.repeat(times)));
                }
                _ => {
                    let other = LINES[self.below(LINES.len())].as_bytes();
                    let from = self.below(other.len());
                    drop(text.splice(at..at, other[from..].iter().copied()));
                }
            }
        }
    }
}

/// Everything that is done with what a worker or a host says before it is judged.
fn take(text: &[u8]) {
    let (mut stream, mut read, mut taken) = (text, Vec::new(), 0);
    loop {
        match read_line(&mut stream, &mut read) {
            Ok(true) => {}
            Ok(false) => break,
            Err(error) => {
                assert_eq!(error.kind(), std::io::ErrorKind::InvalidData);
                assert!(text.len() > LINE_MAX);
                return;
            }
        }
        assert!(read.len() <= LINE_MAX);
        assert_eq!(text.get(taken..taken + read.len()), Some(&read[..]));
        taken += read.len() + 1;
        match parse::<Tell>(&read) {
            // Whatever is understood can be said again.
            Ok(tell) => drop(parse::<Tell>(&line(&tell).expect("it fitted")).expect("again")),
            Err(fault) => assert!(fault.len() < 1_000, "{} bytes", fault.len()),
        }
        if let Err(fault) = parse::<Ask>(&read) {
            assert!(fault.len() < 1_000, "{} bytes", fault.len());
        }
    }
    // Only a last line may lack its end.
    assert!(
        taken == text.len() || taken == text.len() + 1,
        "{taken} of {}",
        text.len()
    );
}

#[test]
fn garbled_lines_are_taken_apart_without_a_panic_and_told_in_few_words() {
    let times = std::env::var("CHECKD_GARBLED").ok();
    let times = times.and_then(|times| times.parse().ok()).unwrap_or(20_000);
    let mut chance = Chance(0x9e37_79b9_7f4a_7c15);
    for _ in 0..times {
        let mut text = LINES[chance.below(LINES.len())].as_bytes().to_vec();
        text.push(b'\n');
        chance.garble(&mut text);
        take(&text);
    }
}

#[test]
fn a_fault_is_told_in_few_words_however_long_its_line_is() {
    for long in [
        format!(r#"{{"type":"{}"}}"#, "t".repeat(1_000_000)),
        format!(
            r#"{{"type":"log","message":{{"{}":1}}}}"#,
            "m".repeat(1_000_000)
        ),
        format!(
            r#"{{"type":"hello","version":"{}"}}"#,
            "v".repeat(1_000_000)
        ),
    ] {
        let fault = parse::<Tell>(long.as_bytes()).expect_err("it is no message");
        assert!(fault.len() < 1_000, "{} bytes", fault.len());
    }
    take(&vec![b'x'; LINE_MAX + 1]);
    take(&vec![b'x'; LINE_MAX]);
}
