//! Tables for the rules and the judge; loopback peers that are silent, drip, refuse, lie and close.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use checkd_plugin_api::testkit::{self, Contract, Linked, Subject as _};
use checkd_plugin_api::{Cause, Sample, Status};
use serde_json::{Value, json};

use crate::judge::{Observation, Terms, judge};

const QUICK: Duration = Duration::from_millis(200);
const PATIENT: Duration = Duration::from_secs(20);

fn tcp() -> Linked {
    Linked::of::<crate::Tcp>()
}

fn problems(options: &Value) -> Vec<String> {
    tcp().problems(options)
}

fn run(options: &Value, timeout: Duration) -> Sample {
    tcp().run_within(options, &testkit::request(), timeout)
}

/// A peer that does `talk` with whoever connects first, in a thread of its own.
fn peer(talk: impl FnOnce(TcpStream) + Send + 'static) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        if let Ok((stream, _)) = listener.accept() {
            talk(stream);
        }
    });
    port
}

/// Holds the connection until the other side closes it.
fn hold(mut stream: TcpStream) {
    io::copy(&mut stream, &mut io::sink()).unwrap_or_default();
}

#[test]
fn it_holds_the_contract_of_every_check() {
    Contract::new(json!({ "port": 1 }).to_string())
        .peer(|peer| json!({ "port": peer.port(), "expect": "PONG" }).to_string())
        .hold(&tcp());
}

#[test]
fn the_readme_names_every_option_and_no_other() {
    let readme = include_str!("../README.md");
    let rows = readme
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let mut written: Vec<_> = rows.collect();
    written.sort_unstable();
    let schema = tcp().facts().options;
    let known = schema["properties"].as_object().unwrap();
    let mut known: Vec<_> = known.keys().map(String::as_str).collect();
    known.sort_unstable();
    assert_eq!(written, known);
}

#[test]
fn mistakes_are_told_together_and_each_with_its_option() {
    for (options, expected) in [
        (json!({ "port": 80, "host": "::1" }), &[][..]),
        (
            json!({ "port": 80, "host": "db.internal", "send": "a", "expect": "b" }),
            &[],
        ),
        (json!({ "host": "" }), &["`port`: is required"]),
        (
            json!({ "port": 80, "host": "" }),
            &["`host`: is ``, which is neither"],
        ),
        (
            json!({ "port": 80, "host": "[::1]" }),
            &["`host`: is `[::1]`, which is neither"],
        ),
        (
            json!({ "port": 80, "host": "a:80" }),
            &["`host`: is `a:80`, which is neither"],
        ),
        (
            json!({ "port": 80, "host": "a b\n" }),
            &["`host`: is `a b\\n`, which is neither"],
        ),
        (
            json!({ "port": 80, "send": "PING" }),
            &["`send`: needs `expect`"],
        ),
        (
            json!({ "port": 80, "host": "/", "send": "", "expect": "" }),
            &["`host`", "`send`: is empty", "`expect`: is empty"],
        ),
    ] {
        let found = problems(&options);
        assert_eq!(found.len(), expected.len(), "{options}: {found:?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.starts_with(expected), "{options}: {found}");
        }
    }
}

#[test]
fn each_observation_has_its_sample() {
    let terms = Terms {
        peer: "h:1",
        expect: Some("+PONG\r\n"),
        timeout: Duration::from_secs(2),
    };
    let error = |number| io::Error::from_raw_os_error(number);
    for (observation, status, cause, message) in [
        (Observation::Connected, Status::Pass, None, "connected, h:1"),
        (
            Observation::Heard,
            Status::Pass,
            None,
            "answered with `+PONG\\r\\n`, h:1",
        ),
        (
            Observation::Unresolved(io::Error::other("Name unknown")),
            Status::Unknown,
            Some(Cause::Misconfigured),
            "no address known for h:1: name unknown",
        ),
        (
            Observation::NotConnected(error(111)),
            Status::Fail,
            Some(Cause::Refused),
            "connection refused, h:1",
        ),
        (
            Observation::NotConnected(error(113)),
            Status::Fail,
            Some(Cause::Refused),
            "no route to host, h:1",
        ),
        (
            Observation::NotConnected(error(110)),
            Status::Fail,
            Some(Cause::Timeout),
            "connection timed out, h:1",
        ),
        (
            Observation::NotConnected(error(24)),
            Status::Unknown,
            Some(Cause::HostStall),
            "too many open files, h:1",
        ),
        (
            Observation::NotConnected(error(99)),
            Status::Unknown,
            Some(Cause::HostStall),
            "cannot assign requested address, h:1",
        ),
        (
            Observation::NotConnected(error(13)),
            Status::Unknown,
            Some(Cause::NoPermission),
            "permission denied, h:1",
        ),
        (
            Observation::NotConnectedInTime,
            Status::Fail,
            Some(Cause::Timeout),
            "no connection within 2s, h:1",
        ),
        (
            Observation::NotHeardInTime(0),
            Status::Fail,
            Some(Cause::Timeout),
            "connected, then silent: no `+PONG\\r\\n` within 2s, h:1",
        ),
        (
            Observation::NotHeardInTime(7),
            Status::Fail,
            Some(Cause::Timeout),
            "no `+PONG\\r\\n` within 2s (7 bytes came), h:1",
        ),
        (
            Observation::Ended(7, None),
            Status::Fail,
            Some(Cause::Wrong),
            "closed after 7 bytes without `+PONG\\r\\n`, h:1",
        ),
        (
            Observation::Ended(0, Some(error(104))),
            Status::Fail,
            Some(Cause::Wrong),
            "broke off after 0 bytes: connection reset by peer, h:1",
        ),
        (
            Observation::TooLong(65_536),
            Status::Fail,
            Some(Cause::Wrong),
            "sent 65536 bytes without `+PONG\\r\\n`, h:1",
        ),
    ] {
        let what = format!("{observation:?}");
        let sample = judge(&terms, observation);
        assert_eq!((sample.status, sample.cause), (status, cause), "{what}");
        assert_eq!(sample.message, message, "{what}");
    }
}

#[test]
fn a_peer_that_listens_passes() {
    let port = peer(hold);
    let sample = run(&json!({ "port": port }), PATIENT);
    assert_eq!(sample, Sample::pass(format!("connected, 127.0.0.1:{port}")));
}

#[test]
fn a_peer_that_answers_passes_also_when_the_text_comes_in_pieces() {
    let port = peer(|mut stream| {
        let mut asked = [0; 6];
        stream.read_exact(&mut asked).unwrap();
        assert_eq!(&asked, b"PING\r\n");
        stream.set_nodelay(true).unwrap();
        for piece in ["-LOADING\r\n+P", "O", "NG\r\n"] {
            stream.write_all(piece.as_bytes()).unwrap();
        }
        hold(stream);
    });
    let options = json!({ "port": port, "send": "PING\r\n", "expect": "+PONG" });
    let sample = run(&options, PATIENT);
    assert_eq!(sample.status, Status::Pass, "{sample:?}");
}

#[test]
fn a_silent_peer_fails_in_time() {
    let port = peer(hold);
    let sample = run(&json!({ "port": port, "expect": "x" }), QUICK);
    assert_eq!(
        (sample.status, sample.cause),
        (Status::Fail, Some(Cause::Timeout))
    );
    let message = format!("connected, then silent: no `x` within 200ms, 127.0.0.1:{port}");
    assert_eq!(sample.message, message);
}

#[test]
fn a_dripping_peer_cannot_stretch_the_time() {
    let port = peer(|mut stream| {
        while stream.write_all(b".").is_ok() {
            std::thread::sleep(Duration::from_millis(5));
        }
    });
    let began = Instant::now();
    let sample = run(&json!({ "port": port, "expect": "x" }), QUICK);
    assert_eq!(
        (sample.status, sample.cause),
        (Status::Fail, Some(Cause::Timeout))
    );
    assert!(sample.message.contains("bytes came"), "{sample:?}");
    assert!(began.elapsed() < PATIENT);
}

#[test]
fn a_refusing_peer_fails_at_once() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let sample = run(&json!({ "port": port }), PATIENT);
    let message = format!("connection refused, 127.0.0.1:{port}");
    assert_eq!(sample, Sample::fail(Cause::Refused, message));
}

#[test]
fn a_closing_peer_fails() {
    let port = peer(|mut stream| stream.write_all(b"bye").unwrap());
    let sample = run(&json!({ "port": port, "expect": "x" }), PATIENT);
    let message = format!("closed after 3 bytes without `x`, 127.0.0.1:{port}");
    assert_eq!(sample, Sample::fail(Cause::Wrong, message));
}

#[test]
fn a_peer_that_talks_without_end_is_not_listened_to_without_end() {
    let port = peer(|mut stream| while stream.write_all(&[b'.'; 4096]).is_ok() {});
    let sample = run(&json!({ "port": port, "expect": "x" }), PATIENT);
    assert_eq!(
        (sample.status, sample.cause),
        (Status::Fail, Some(Cause::Wrong))
    );
    assert!(sample.message.starts_with("sent 6"), "{sample:?}");
}

#[test]
fn a_name_without_an_address_is_unknown() {
    let sample = run(
        &json!({ "port": 80, "host": "no-such-host.invalid" }),
        PATIENT,
    );
    assert_eq!(
        (sample.status, sample.cause),
        (Status::Unknown, Some(Cause::Misconfigured))
    );
}
