//! The suite itself: a check that keeps every clause, and one puppet per clause that breaks it.

use std::cell::RefCell;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::rc::Rc;
use std::time::Duration;

use serde_json::{Value, json};

use super::{CLAUSES, Contract, DrippingPeer, Outcome, SilentPeer, Subject, SubjectInstance};
use crate::host::{KindFacts, Request};
use crate::{Cause, Problems, Sample, Scope};

/// One way to break the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    None,
    Changing,
    Undocumented,
    TakesTimeout,
    BadExample,
    Once,
    Lenient,
    FirstMistakeOnly,
    BareNumbers,
    Eager,
    Twice,
    Mute,
    NotFinite,
    Static,
    TellsSecret,
    PassesSilence,
    WrongCause,
    NoTotalDeadline,
    PassesClosed,
    Panicking,
    Overruns,
}

/// A kind without any SDK: every promise is kept by hand, but for the one that is flawed.
struct Puppet {
    flaw: Flaw,
    shared: Rc<RefCell<u32>>,
}

struct Strings {
    flaw: Flaw,
    shared: Rc<RefCell<u32>>,
    peer: Option<SocketAddr>,
    panics: bool,
}

impl Puppet {
    fn new(flaw: Flaw) -> Self {
        Self {
            flaw,
            shared: Rc::default(),
        }
    }
}

impl Subject for Puppet {
    fn facts(&self) -> KindFacts {
        let mut describes = self.shared.borrow_mut();
        *describes += 1;
        let mut properties = json!({
            "peer": { "type": "string", "description": "Whom to ask." },
            "wait": { "type": ["string", "null"], "format": "span", "description": "How long." },
            "token": { "anyOf": [{ "format": "secret" }, { "type": "null" }], "description": "?" },
            "panic": { "type": "boolean", "description": "Whether to." },
        });
        if self.flaw == Flaw::Undocumented {
            properties["peer"] = json!({ "type": "string" });
        }
        if self.flaw == Flaw::TakesTimeout {
            properties["timeout"] = json!({ "description": "Not ours." });
        }
        let changing = self.flaw == Flaw::Changing;
        KindFacts {
            kind: "puppet".to_owned(),
            summary: if changing {
                format!("time {describes}")
            } else {
                "a puppet".to_owned()
            },
            scope: Scope::Process,
            passive: false,
            blocking: true,
            options: json!({
                "type": "object", "properties": properties, "additionalProperties": false
            }),
            example: if self.flaw == Flaw::BadExample {
                "peer = 5"
            } else {
                "peer = \"{member}\""
            }
            .to_owned(),
            package: "puppet 1.0.0".to_owned(),
        }
    }

    fn configure(&self, options: &str) -> Result<Box<dyn SubjectInstance>, Problems> {
        let options: Value = serde_json::from_str(options).unwrap();
        let mut problems = Problems::none();
        for (key, value) in options.as_object().unwrap() {
            match (key.as_str(), value) {
                ("token", Value::String(text)) if self.flaw == Flaw::TellsSecret => {
                    problems.add(key, format!("`{text}` is too short"));
                }
                ("peer" | "token", Value::String(_)) | ("panic", Value::Bool(_)) => {}
                ("wait", Value::String(text)) if text.ends_with('s') => {}
                ("wait", _) if self.flaw == Flaw::BareNumbers => problems.add(key, "is no span"),
                ("wait", _) => problems.add(key, "write `\"30s\"`"),
                _ if self.flaw == Flaw::Lenient => {}
                _ if self.flaw == Flaw::FirstMistakeOnly && !problems.is_empty() => {}
                _ => problems.add(key, "unknown or ill-typed"),
            }
        }
        problems.or(())?;
        let peer = options["peer"].as_str().and_then(|text| text.parse().ok());
        if let (Some(peer), Flaw::Eager) = (peer, self.flaw) {
            TcpStream::connect::<SocketAddr>(peer).ok();
        }
        let mut shared = self.shared.borrow_mut();
        *shared += 1;
        if self.flaw == Flaw::Once && *shared > 2 {
            return Err(Problems::one("", "only twice"));
        }
        let panics = options["panic"] == true;
        Ok(Box::new(Strings {
            flaw: self.flaw,
            shared: Rc::clone(&self.shared),
            peer,
            panics,
        }))
    }
}

impl SubjectInstance for Strings {
    fn run(&mut self, _: &Request, timeout: Duration) -> Vec<Sample> {
        if self.panics {
            let cause = if self.flaw == Flaw::Panicking {
                Cause::Overran
            } else {
                Cause::Crashed
            };
            return vec![Sample::unknown(cause, "the check panicked")];
        }
        if let Some(peer) = self.peer {
            return vec![self.ask(peer, timeout)];
        }
        let mut runs = self.shared.borrow_mut();
        *runs += 1;
        let mut sample = Sample::pass("well");
        if self.flaw == Flaw::Static && runs.is_multiple_of(2) {
            sample = Sample::unknown(Cause::Misconfigured, "not yet");
        }
        if self.flaw == Flaw::Overruns {
            sample = Sample::unknown(Cause::Overran, "still looking");
        }
        if self.flaw == Flaw::Mute {
            sample = Sample::fail(Cause::Wrong, "");
        }
        if self.flaw == Flaw::WrongCause {
            sample = Sample::fail(Cause::Crashed, "?");
        }
        if self.flaw == Flaw::NotFinite {
            sample = sample.measure("n", f64::NAN, "");
        }
        if self.flaw == Flaw::Twice {
            return vec![sample.clone(), sample];
        }
        vec![sample]
    }
}

impl Strings {
    fn ask(&self, peer: SocketAddr, timeout: Duration) -> Sample {
        let begin = std::time::Instant::now();
        let refused = if self.flaw == Flaw::PassesClosed {
            Cause::Wrong
        } else {
            Cause::Refused
        };
        let Ok(mut stream) = TcpStream::connect_timeout(&peer, timeout) else {
            return Sample::fail(refused, "refused");
        };
        stream.set_read_timeout(Some(timeout)).unwrap();
        let patience = if self.flaw == Flaw::NoTotalDeadline {
            6
        } else {
            1
        };
        loop {
            match stream.read(&mut [0; 64]) {
                Ok(0) => return Sample::fail(Cause::Wrong, "closed"),
                Ok(_) if begin.elapsed() < timeout * patience => {}
                Err(_) if self.flaw == Flaw::PassesSilence => return Sample::pass("quiet"),
                Ok(_) | Err(_) => return Sample::fail(Cause::Timeout, "no answer"),
            }
        }
    }
}

fn broken(flaw: Flaw) -> Vec<&'static str> {
    let contract = Contract::new(json!({}))
        .peer(|peer| json!({ "peer": peer.to_string() }))
        .panics(json!({ "panic": true }));
    contract
        .broken(&Puppet::new(flaw))
        .iter()
        .map(|broken| broken.clause)
        .collect()
}

#[test]
fn a_kind_that_keeps_its_promises_breaks_no_clause() {
    assert_eq!(broken(Flaw::None), [""; 0]);
}

#[test]
fn every_clause_can_be_broken() {
    let table = [
        (Flaw::Changing, "it describes itself"),
        (
            Flaw::Undocumented,
            "its options are an object with documented keys",
        ),
        (Flaw::TakesTimeout, "it leaves the host's keys to the host"),
        (Flaw::BadExample, "its example parses and is accepted"),
        (
            Flaw::Lenient,
            "unknown options are refused, all of them by name",
        ),
        (
            Flaw::FirstMistakeOnly,
            "unknown options are refused, all of them by name",
        ),
        (
            Flaw::BareNumbers,
            "a quantity without a unit is refused with what to write",
        ),
        (Flaw::Eager, "configuring it connects to nobody"),
        (
            Flaw::Overruns,
            "with valid options a run neither breaks nor overruns",
        ),
        (Flaw::Mute, "samples say why, and their numbers are numbers"),
        (
            Flaw::WrongCause,
            "samples say why, and their numbers are numbers",
        ),
        (
            Flaw::NotFinite,
            "samples say why, and their numbers are numbers",
        ),
        (Flaw::TellsSecret, "a secret is repeated nowhere"),
        (Flaw::Static, "instances share no memory"),
        (
            Flaw::PassesSilence,
            "a silent peer is a Fail by the deadline",
        ),
        (
            Flaw::NoTotalDeadline,
            "a dripping peer is a Fail by the deadline",
        ),
        (Flaw::PassesClosed, "a closed port is a Fail"),
        (
            Flaw::Panicking,
            "a panic is Unknown(crashed), and the next run happens",
        ),
    ];
    // These two make other clauses meaningless, so more than one is broken.
    let wide = [
        (Flaw::Once, "valid options are accepted, also twice"),
        (Flaw::Twice, "a run is answered once"),
    ];
    // The clauses about peers wait for a deadline each: all puppets at once.
    std::thread::scope(|scope| {
        for (flaw, clause) in table {
            scope.spawn(move || assert_eq!(broken(flaw), [clause], "{flaw:?}"));
        }
        for (flaw, clause) in wide {
            scope.spawn(move || assert!(broken(flaw).contains(&clause), "{flaw:?}"));
        }
    });
    for clause in CLAUSES {
        let mut tried = table.iter().chain(&wide).map(|(_, name)| *name);
        assert!(
            tried.any(|name| name == clause.name),
            "nobody breaks `{}`",
            clause.name
        );
    }
}

#[test]
fn a_broken_contract_is_told_clause_by_clause() {
    let hold = || Contract::new(json!({})).hold(&Puppet::new(Flaw::Mute));
    let payload = std::panic::catch_unwind(hold).unwrap_err();
    let told = payload.downcast_ref::<String>().unwrap();
    assert_eq!(
        told,
        "kind `puppet` breaks 1 of 17 clauses:\n- samples say why, and their numbers are numbers: \
         a sample says no word: fail Some(Wrong) ``"
    );
}

#[test]
fn a_clause_that_cannot_be_tried_is_skipped_with_its_reason() {
    let contract = Contract::new(json!({}));
    let puppet = Puppet::new(Flaw::PassesSilence);
    let skipped: Vec<_> = CLAUSES
        .iter()
        .filter_map(|clause| match clause.judge(&contract, &puppet) {
            Outcome::Skipped(why) => Some((clause.name, why)),
            Outcome::Held | Outcome::Broken(_) => None,
        })
        .collect();
    let names: Vec<_> = skipped.iter().map(|(name, _)| *name).collect();
    assert_eq!(
        names,
        [
            "configuring it connects to nobody",
            "a silent peer is a Fail by the deadline",
            "a dripping peer is a Fail by the deadline",
            "a closed port is a Fail",
            "a panic is Unknown(crashed), and the next run happens",
        ]
    );
    assert!(skipped.iter().all(|(_, why)| why.contains("was not told")));
}

#[test]
fn options_of_an_example_are_what_the_host_would_make_of_them() {
    let contract =
        Contract::of_example("peer = \"{member}:{port}\"\ntoken = { env = \"T\" }").unwrap();
    assert_eq!(
        contract.options,
        json!({ "peer": "shop-0:8100", "token": "secret" })
    );
    assert!(Contract::of_example("peer =").is_err());
}

#[test]
fn peers_do_what_they_say() {
    let silent = SilentPeer::new().unwrap();
    assert!(!silent.was_visited().unwrap());
    let mut stream = TcpStream::connect(silent.address().unwrap()).unwrap();
    stream.write_all(b"?").unwrap();
    assert!(silent.was_visited().unwrap() && !silent.was_visited().unwrap());

    let dripping = DrippingPeer::new().unwrap();
    let mut stream = TcpStream::connect(dripping.address()).unwrap();
    let mut head = [0; 30];
    stream.read_exact(&mut head).unwrap();
    assert!(head.starts_with(b"HTTP/1.1 200 OK\r\nx-drip: aaaa"));
    drop(dripping);
    std::io::copy(&mut stream, &mut std::io::sink()).ok();
}
