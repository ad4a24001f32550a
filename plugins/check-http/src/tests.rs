//! Tables for the rules, the URLs and the judge; loopback servers that behave and that do not.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use checkd_plugin_api::testkit::{self, Contract, Linked, Subject as _};
use checkd_plugin_api::{Cause, Sample, Status};
use hyper::StatusCode;
use serde_json::{Value, json};

use crate::judge::{Answer, Observation, Stage, Terms, judge};
use crate::request::base64;
use crate::status::Statuses;
use crate::target::{NoTarget, Target};

const QUICK: Duration = Duration::from_millis(200);
const PATIENT: Duration = Duration::from_secs(20);

fn http() -> Linked {
    Linked::of::<crate::Http>()
}

fn problems(options: &Value) -> Vec<String> {
    http().problems(options)
}

fn run(options: &Value, timeout: Duration) -> Sample {
    http().run_within(options, &testkit::request(), timeout)
}

/// A server that hears one request a connection and then does `answer`; what it heard comes out of
/// the receiver. It serves as many connections as there are.
fn server(answer: impl Fn(&str, &mut TcpStream) + Send + 'static) -> (u16, Receiver<String>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let (heard, requests) = channel();
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let request = hear(&stream);
            heard.send(request.clone()).unwrap_or_default();
            answer(&request, &mut stream);
        }
    });
    (port, requests)
}

/// The head of a request, and its body.
fn hear(stream: &TcpStream) -> String {
    let mut reader = BufReader::new(stream);
    let mut text = String::new();
    while !text.ends_with("\r\n\r\n") && reader.read_line(&mut text).unwrap_or(0) > 0 {}
    let length = text
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    reader.read_exact(&mut body).unwrap();
    text + &String::from_utf8(body).unwrap()
}

/// Always gives this answer.
fn says(answer: &'static str) -> u16 {
    server(move |_, stream| stream.write_all(answer.as_bytes()).unwrap_or(())).0
}

fn url(port: u16) -> String {
    format!("http://127.0.0.1:{port}/ping")
}

fn verdict(sample: &Sample) -> (Status, Option<Cause>) {
    (sample.status, sample.cause)
}

#[test]
fn it_holds_the_contract_of_every_check() {
    Contract::new(json!({ "url": "http://127.0.0.1:1/" }).to_string())
        .peer(|peer| json!({ "url": format!("http://{peer}/") }).to_string())
        .hold(&http());
}

#[test]
fn the_readme_names_every_option_and_no_other() {
    let readme = include_str!("../README.md");
    let rows = readme
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let mut written: Vec<_> = rows.collect();
    written.sort_unstable();
    let schema = http().facts().options;
    let known = schema["properties"].as_object().unwrap();
    let mut known: Vec<_> = known.keys().map(String::as_str).collect();
    known.sort_unstable();
    assert_eq!(written, known);
}

#[test]
fn urls_are_taken_apart() {
    for (url, host, port, path, shown) in [
        (
            "http://127.0.0.1:80/a?b=c#d",
            "127.0.0.1",
            80,
            "/a?b=c",
            "http://127.0.0.1:80/a",
        ),
        (
            "http://shop.internal",
            "shop.internal",
            80,
            "/",
            "http://shop.internal/",
        ),
        ("HTTP://h/", "h", 80, "/", "http://h/"),
        ("http://h?q=/", "h", 80, "/?q=/", "http://h/"),
        (
            "http://[::1]:8080/x",
            "::1",
            8080,
            "/x",
            "http://[::1]:8080/x",
        ),
        ("http://[::1]/x", "::1", 80, "/x", "http://[::1]/x"),
        ("http://h/a%20b", "h", 80, "/a%20b", "http://h/a%20b"),
    ] {
        let target = Target::parse(url).unwrap();
        let found = (target.host.as_str(), target.port, target.path.to_string());
        assert_eq!(found, (host, port, path.to_owned()), "{url}");
        assert_eq!(target.to_string(), shown, "{url}");
    }
}

#[test]
fn what_is_no_url_is_refused_with_its_option() {
    for (url, expected) in [
        ("", "`url`: is ``, which must begin with `http://`"),
        (
            "/ping",
            "`url`: is `/ping`, which must begin with `http://`",
        ),
        ("127.0.0.1:80/ping", "must begin with `http://`"),
        ("ftp://h/", "must begin with `http://`"),
        (
            "https://h/",
            "is `https://h/`, and `https://` is not offered yet",
        ),
        ("http://", "names no host"),
        ("http:///ping", "names no host"),
        ("http://:80/", "names no host"),
        ("http://h:/", "has port ``: ports go from 1 to 65535"),
        ("http://h:0/", "has port `0`"),
        ("http://h:65536/", "has port `65536`"),
        ("http://h:99999999999999999999/", "has port `9999"),
        ("http://h:8o80/", "has `:8o80` where a port should be"),
        ("http://h:80:80/", "has `:80:80` where a port should be"),
        ("http://h:{port}/", "where a port should be"),
        ("http://[::1/", "has brackets without an IPv6 address"),
        ("http://[h]/", "has brackets without an IPv6 address"),
        ("http://[::1]x/", "has `x` where a port should be"),
        ("http://a b/", "has a host `a b` that is neither"),
        ("http://é/", "has a host `é` that is neither"),
        ("http://h/é", "has a character in its path"),
        ("http://h/a b", "has a character in its path"),
        ("http://h/a\r\nx: y", "has a character in its path"),
        ("http://root:hunter2@h/", "`url`: must not hold a user"),
    ] {
        let [found] = problems(&json!({ "url": url })).try_into().expect(url);
        assert!(found.contains(expected), "{url}: {found}");
        assert!(
            !found.contains("hunter2") && !found.contains('\n'),
            "{url}: {found}"
        );
    }
}

#[test]
fn a_redirect_leads_where_a_browser_would_go() {
    let base = Target::parse("http://h:81/a/b?q").unwrap();
    for (location, expected) in [
        ("http://other/x", "http://other/x"),
        ("//other:82/x", "http://other:82/x"),
        ("/x?y#z", "http://h:81/x?y"),
        ("x", "http://h:81/a/x"),
        ("../x", "http://h:81/x"),
        ("../../../x", "http://h:81/x"),
        ("./", "http://h:81/a/"),
        ("..", "http://h:81/"),
        ("?r", "http://h:81/a/b?r"),
        ("", "http://h:81/a/b?q"),
    ] {
        let target = base.follow(location).unwrap();
        let found = format!("http://{}{}", target.authority, target.path);
        assert_eq!(found, expected, "{location}");
    }
    assert_eq!(base.follow("https://h/"), Err(NoTarget::Https));
    for location in ["ftp://h/", "mailto:a", "http://h:0/", "/a b", "/\u{fffd}"] {
        assert!(
            matches!(base.follow(location), Err(NoTarget::Wrong(_))),
            "{location}"
        );
    }
}

#[test]
fn mistakes_are_told_together_and_each_with_its_option() {
    let fine = |more: Value| {
        let mut options = json!({ "url": "http://h/" });
        options
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        options
    };
    for (options, expected) in [
        (fine(json!({})), &[][..]),
        (fine(json!({ "status": 204 })), &[]),
        (fine(json!({ "status": "204" })), &[]),
        (fine(json!({ "status": ["2xx", 301, "404"] })), &[]),
        (fine(json!({ "username": "a", "password": "b" })), &[]),
        (json!({}), &["`url`: is required"]),
        (
            fine(json!({ "status": "2XX" })),
            &["`status`: is `2XX`, which is neither"],
        ),
        (
            fine(json!({ "status": "1xx" })),
            &["`status`: is `1xx`, which is neither"],
        ),
        (
            fine(json!({ "status": 99 })),
            &["`status`: is `99`, which is no final HTTP status"],
        ),
        (
            fine(json!({ "status": 600 })),
            &["`status`: is `600`, which is no final"],
        ),
        (
            fine(json!({ "status": -200 })),
            &["`status`: is `-200`, which"],
        ),
        (
            fine(json!({ "status": [] })),
            &["`status`: is an empty list"],
        ),
        (fine(json!({ "status": true })), &["`status`: invalid type"]),
        (
            fine(json!({ "method": "get" })),
            &["`method`: is `get`, and methods are in capitals: write `GET`"],
        ),
        (
            fine(json!({ "method": "" })),
            &["`method`: is ``, which is no HTTP method"],
        ),
        (
            fine(json!({ "method": "G ET" })),
            &["`method`: is `G ET`, which is no HTTP method"],
        ),
        (
            fine(json!({ "method": "CONNECT" })),
            &["`method`: is `CONNECT`, which opens a tunnel"],
        ),
        (
            fine(json!({ "headers": { "a b": "c" } })),
            &["`headers`: holds `a b`, which is no name"],
        ),
        (
            fine(json!({ "headers": { "a": "b\nc" } })),
            &["`headers`: gives `a` a value"],
        ),
        (
            fine(json!({ "headers": { "Content-Length": "1" } })),
            &["`headers`: holds `Content-Length`"],
        ),
        (
            fine(json!({ "body": "a", "json": {} })),
            &["`json`: cannot stand together"],
        ),
        (
            fine(json!({ "username": "a" })),
            &["`username`: needs `password`"],
        ),
        (
            fine(json!({ "password": "a" })),
            &["`password`: needs `username`"],
        ),
        (
            fine(json!({ "username": "a:b", "password": "c" })),
            &["`username`: holds a `:`"],
        ),
        (
            fine(json!({ "username": "a", "password": "b", "bearer": "c" })),
            &["`bearer`: cannot stand together with `username`"],
        ),
        (
            fine(json!({ "bearer": "c", "headers": { "Authorization": "d" } })),
            &["`bearer`: cannot stand together with an `authorization`"],
        ),
        (
            fine(json!({ "bearer": "hunter2\n" })),
            &["`bearer`: has a character"],
        ),
        (fine(json!({ "contains": "" })), &["`contains`: is empty"]),
        (
            fine(json!({ "contains": "a", "method": "HEAD" })),
            &["`contains`: cannot be found"],
        ),
        (
            fine(json!({ "redirects": 11 })),
            &["`redirects`: is 11, and may be 10 at most"],
        ),
        (fine(json!({ "max_body": "0B" })), &["`max_body`: is zero"]),
        (
            json!({ "url": "h", "method": "x", "contains": "", "redirects": 99 }),
            &["`url`", "`method`", "`contains`", "`redirects`"],
        ),
    ] {
        let found = problems(&options);
        assert_eq!(found.len(), expected.len(), "{options}: {found:?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.starts_with(expected), "{options}: {found}");
            assert!(!found.contains("hunter2"), "{found}");
        }
    }
}

#[test]
fn statuses_take_what_they_name() {
    for (written, taken, not_taken, shown) in [
        (json!("2xx"), &[200, 299][..], &[199, 300, 503][..], "2xx"),
        (json!(204), &[204], &[200, 404], "204"),
        (
            json!([200, "3xx", "404"]),
            &[200, 302, 404],
            &[201, 403],
            "200, 3xx or 404",
        ),
    ] {
        let statuses: Statuses = serde_json::from_value(written).unwrap();
        assert!(taken.iter().all(|status| statuses.take(*status)), "{shown}");
        assert!(
            !not_taken.iter().any(|status| statuses.take(*status)),
            "{shown}"
        );
        assert_eq!(statuses.to_string(), shown);
    }
    assert_eq!(Statuses::default().to_string(), "2xx");
}

#[test]
fn base64_is_that_of_the_standard() {
    for (text, expected) in [
        ("", ""),
        ("f", "Zg=="),
        ("fo", "Zm8="),
        ("foo", "Zm9v"),
        ("foobar", "Zm9vYmFy"),
        ("me:pw", "bWU6cHc="),
        ("Aladdin:open sesame", "QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
        ("\u{fb}\u{ff}", "w7vDvw=="),
    ] {
        assert_eq!(base64(text.as_bytes()), expected);
    }
}

#[test]
fn each_observation_has_its_sample() {
    let statuses = Statuses::default();
    let terms = Terms {
        target: "http://h/",
        status: &statuses,
        contains: Some("po\"ng"),
        timeout: Duration::from_secs(2),
    };
    let error = |number| io::Error::from_raw_os_error(number);
    let answer = |status, body: &str, cut| {
        let status = StatusCode::from_u16(status).unwrap();
        Observation::Answered(Answer {
            status,
            body: body.into(),
            cut,
        })
    };
    let wrong = (Status::Fail, Some(Cause::Wrong));
    let late = (Status::Fail, Some(Cause::Timeout));
    let refused = (Status::Fail, Some(Cause::Refused));
    let misconfigured = (Status::Unknown, Some(Cause::Misconfigured));
    for (observation, expected, message) in [
        (
            answer(200, "<po\"ng>", false),
            (Status::Pass, None),
            "200 OK",
        ),
        (answer(200, "po\"ng", true), (Status::Pass, None), "200 OK"),
        (
            answer(200, "ping", false),
            wrong,
            "200 OK, but no `po\\\"ng` in the body, http://h/",
        ),
        (
            answer(200, "ping", true),
            wrong,
            "200 OK, but no `po\\\"ng` in the first 4B of the body, http://h/",
        ),
        (
            answer(200, "", false),
            wrong,
            "200 OK, but no `po\\\"ng` in the body, http://h/",
        ),
        (
            answer(503, "po\"ng", false),
            wrong,
            "503 Service Unavailable, not 2xx, http://h/",
        ),
        (answer(599, "", false), wrong, "599, not 2xx, http://h/"),
        (
            Observation::NotInTime(Stage::Connecting),
            late,
            "no connection within 2s, http://h/",
        ),
        (
            Observation::NotInTime(Stage::Waiting),
            late,
            "no answer within 2s, http://h/",
        ),
        (
            Observation::NotInTime(Stage::Reading(7)),
            late,
            "the answer did not end within 2s (7 bytes of body came), http://h/",
        ),
        (
            Observation::Unresolved(io::Error::other("Name unknown")),
            misconfigured,
            "no address known for the host: name unknown, http://h/",
        ),
        (
            Observation::NotConnected(error(111)),
            refused,
            "connection refused, http://h/",
        ),
        (
            Observation::NotConnected(error(110)),
            late,
            "connection timed out, http://h/",
        ),
        (
            Observation::NotConnected(error(24)),
            (Status::Unknown, Some(Cause::HostStall)),
            "too many open files, http://h/",
        ),
        (
            Observation::NotConnected(error(1)),
            (Status::Unknown, Some(Cause::NoPermission)),
            "operation not permitted, http://h/",
        ),
        (
            Observation::Closed,
            refused,
            "closed without an answer, http://h/",
        ),
        (
            Observation::Broken("x".to_owned()),
            wrong,
            "the answer is not HTTP (x), http://h/",
        ),
        (
            Observation::BrokenOff("x".to_owned()),
            wrong,
            "the answer broke off (x), http://h/",
        ),
        (
            Observation::RedirectedTooOften(3),
            wrong,
            "more than 3 redirects, http://h/",
        ),
        (
            Observation::RedirectedToHttps,
            misconfigured,
            "redirected to `https://`, which is not offered yet, http://h/",
        ),
        (
            Observation::RedirectedAstray("names no host".to_owned()),
            wrong,
            "redirected to something that names no host, http://h/",
        ),
    ] {
        let sample = judge(&terms, &observation);
        assert_eq!(verdict(&sample), expected, "{observation:?}");
        assert_eq!(sample.message, message, "{observation:?}");
    }
}

#[test]
fn a_whole_answer_passes_and_the_request_is_as_configured() {
    let (port, requests) = server(|_, stream| {
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\npong")
            .unwrap();
    });
    let sample = run(&json!({ "url": url(port), "contains": "pong" }), PATIENT);
    assert_eq!(sample.message, "200 OK", "{sample:?}");
    let told = sample
        .measurements
        .iter()
        .map(|m| (&*m.name, m.value, &*m.unit));
    assert!(
        told.eq([("status", 200.0, ""), ("body", 4.0, "B")]),
        "{sample:?}"
    );
    let request = requests.recv().unwrap();
    assert!(request.starts_with("GET /ping HTTP/1.1\r\n"), "{request}");
    for line in [
        format!("host: 127.0.0.1:{port}\r\n"),
        "user-agent: checkd\r\n".to_owned(),
        "accept-encoding: identity\r\n".to_owned(),
        "connection: close\r\n".to_owned(),
    ] {
        assert!(request.contains(&line), "{request}");
    }

    let options = json!({
        "url": format!("http://127.0.0.1:{port}/q?a=b#c"),
        "method": "POST",
        "json": { "a": [1, "é"] },
        "headers": { "Host": "shop", "X-A": "b", "User-Agent": "me" },
        "username": "me",
        "password": "pw",
    });
    assert_eq!(run(&options, PATIENT).status, Status::Pass);
    let request = requests.recv().unwrap();
    assert!(request.starts_with("POST /q?a=b HTTP/1.1\r\n"), "{request}");
    assert!(request.ends_with("\r\n\r\n{\"a\":[1,\"é\"]}"), "{request}");
    for line in [
        "host: shop\r\n",
        "x-a: b\r\n",
        "user-agent: me\r\n",
        "content-type: application/json\r\n",
        "authorization: Basic bWU6cHc=\r\n",
    ] {
        assert!(request.contains(line), "{line} {request}");
    }

    let options = json!({ "url": url(port), "body": "hi", "method": "PUT", "bearer": "t0k" });
    assert_eq!(run(&options, PATIENT).status, Status::Pass);
    let request = requests.recv().unwrap();
    assert!(
        request.contains("authorization: Bearer t0k\r\n"),
        "{request}"
    );
    assert!(
        request.ends_with("\r\n\r\nhi") && !request.contains("content-type"),
        "{request}"
    );
}

#[test]
fn answers_of_every_shape_are_read_to_their_end() {
    for (answer, expected, message) in [
        (
            "HTTP/1.1 204 No Content\r\n\r\n",
            (Status::Pass, None),
            "204 No Content",
        ),
        (
            "HTTP/1.0 200 OK\r\n\r\nuntil the end",
            (Status::Pass, None),
            "200 OK",
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
            (Status::Pass, None),
            "200 OK",
        ),
        (
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
            (Status::Pass, None),
            "200 OK",
        ),
        (
            "HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n",
            (Status::Fail, Some(Cause::Wrong)),
            "500 Internal Server Error, not 2xx",
        ),
        (
            "HTTP/1.1 302 Found\r\nlocation: /\r\ncontent-length: 0\r\n\r\n",
            (Status::Fail, Some(Cause::Wrong)),
            "302 Found, not 2xx",
        ),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nshort",
            (Status::Fail, Some(Cause::Wrong)),
            "the answer broke off",
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
            (Status::Fail, Some(Cause::Wrong)),
            "the answer broke off",
        ),
        (
            "SSH-2.0-x\r\n\r\n",
            (Status::Fail, Some(Cause::Wrong)),
            "the answer is not HTTP",
        ),
        (
            "\0\0\0\0",
            (Status::Fail, Some(Cause::Wrong)),
            "the answer is not HTTP",
        ),
        (
            "",
            (Status::Fail, Some(Cause::Refused)),
            "closed without an answer",
        ),
        (
            "HTTP/1.1 20",
            (Status::Fail, Some(Cause::Refused)),
            "closed without an answer",
        ),
    ] {
        let sample = run(&json!({ "url": url(says(answer)) }), PATIENT);
        assert_eq!(verdict(&sample), expected, "{answer:?} {sample:?}");
        assert!(sample.message.starts_with(message), "{answer:?} {sample:?}");
    }
}

#[test]
fn a_head_without_end_is_wrong() {
    let (port, _requests) = server(|_, stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\n").unwrap_or_default();
        while stream.write_all(&[b'a'; 4096]).is_ok() {}
    });
    let sample = run(&json!({ "url": url(port) }), PATIENT);
    assert_eq!(
        verdict(&sample),
        (Status::Fail, Some(Cause::Wrong)),
        "{sample:?}"
    );
}

#[test]
fn a_body_without_end_is_read_up_to_its_limit() {
    let (port, _requests) = server(|_, stream| {
        stream
            .write_all(b"HTTP/1.1 200 OK\r\n\r\n")
            .unwrap_or_default();
        while stream.write_all(&[b'a'; 4096]).is_ok() {}
    });
    let sample = run(&json!({ "url": url(port), "max_body": "10kB" }), PATIENT);
    assert_eq!(verdict(&sample), (Status::Pass, None), "{sample:?}");
    assert!(
        (sample.measurements[1].value - 10_000.0).abs() < 0.1,
        "{sample:?}"
    );
    let options = json!({ "url": url(port), "max_body": "10kB", "contains": "b" });
    let sample = run(&options, PATIENT);
    assert!(
        sample
            .message
            .contains("no `b` in the first 10kB of the body"),
        "{sample:?}"
    );
}

#[test]
fn a_server_that_is_silent_at_any_stage_fails_in_time() {
    for (answer, message) in [
        ("", "no answer within 200ms"),
        ("HTTP/1.1 200", "no answer within 200ms"),
        ("HTTP/1.1 200 OK\r\na: b\r\n", "no answer within 200ms"),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n",
            "the answer did not end within 200ms (0 bytes of body came)",
        ),
        (
            "HTTP/1.1 200 OK\r\n\r\npong",
            "the answer did not end within 200ms (4 bytes",
        ),
    ] {
        let (port, _requests) = server(move |_, stream| {
            stream.write_all(answer.as_bytes()).unwrap();
            io::copy(stream, &mut io::sink()).unwrap_or_default();
        });
        let sample = run(&json!({ "url": url(port), "contains": "pong" }), QUICK);
        assert_eq!(
            verdict(&sample),
            (Status::Fail, Some(Cause::Timeout)),
            "{answer:?}"
        );
        assert!(sample.message.starts_with(message), "{answer:?} {sample:?}");
    }
}

#[test]
fn a_server_that_drips_cannot_stretch_the_time() {
    for head in ["", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"] {
        let drop = if head.is_empty() {
            "HTTP/1.1 200 OK\r\na: "
        } else {
            "1\r\na\r\n"
        };
        let (port, _requests) = server(move |_, stream| {
            stream.write_all(head.as_bytes()).unwrap_or_default();
            for byte in drop.bytes().cycle() {
                if stream.write_all(&[byte]).is_err() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        let began = Instant::now();
        let sample = run(&json!({ "url": url(port) }), QUICK);
        assert_eq!(
            verdict(&sample),
            (Status::Fail, Some(Cause::Timeout)),
            "{head:?} {sample:?}"
        );
        assert!(began.elapsed() < PATIENT);
    }
}

#[test]
fn a_refusing_server_fails_at_once() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let sample = run(
        &json!({ "url": format!("http://127.0.0.1:{port}/a?token=b") }),
        PATIENT,
    );
    let message = format!("connection refused, http://127.0.0.1:{port}/a");
    assert_eq!(sample, Sample::fail(Cause::Refused, message));
}

/// `/a` leads to `/b`, that to `/c`, which is there.
fn chain() -> (u16, Receiver<String>) {
    server(|request, stream| {
        let path = request.split(' ').nth(1).unwrap();
        let answer = match path {
            "/a" => "HTTP/1.1 302 Found\r\nlocation: b\r\ncontent-length: 0\r\n\r\n",
            "/b" => "HTTP/1.1 307 There\r\nlocation: /c?d\r\ncontent-length: 0\r\n\r\n",
            "/c?d" => "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\npong",
            "/round" => "HTTP/1.1 301 R\r\nlocation: /round\r\ncontent-length: 0\r\n\r\n",
            "/tls" => "HTTP/1.1 301 R\r\nlocation: https://h/\r\ncontent-length: 0\r\n\r\n",
            "/astray" => "HTTP/1.1 301 R\r\nlocation: http://h:x/\r\ncontent-length: 0\r\n\r\n",
            "/nowhere" => "HTTP/1.1 301 R\r\ncontent-length: 0\r\n\r\n",
            _ => "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n",
        };
        stream.write_all(answer.as_bytes()).unwrap();
    })
}

#[test]
fn redirects_are_followed_as_far_as_asked() {
    let (port, requests) = chain();
    let at = |path: &str| format!("http://127.0.0.1:{port}{path}");
    let wrong = (Status::Fail, Some(Cause::Wrong));
    for (path, redirects, status, expected, message) in [
        ("/a", 0, json!("2xx"), wrong, "302 Found, not 2xx"),
        ("/a", 1, json!("2xx"), wrong, "more than 1 redirect,"),
        ("/a", 2, json!("2xx"), (Status::Pass, None), "200 OK"),
        ("/a", 2, json!(302), (Status::Pass, None), "302 Found"),
        ("/round", 10, json!("2xx"), wrong, "more than 10 redirects"),
        (
            "/nowhere",
            10,
            json!("2xx"),
            wrong,
            "301 Moved Permanently, not 2xx",
        ),
        (
            "/astray",
            1,
            json!("2xx"),
            wrong,
            "redirected to something that has `:x` where",
        ),
        (
            "/tls",
            1,
            json!("2xx"),
            (Status::Unknown, Some(Cause::Misconfigured)),
            "redirected to `https://`",
        ),
    ] {
        let options = json!({ "url": at(path), "redirects": redirects, "status": status });
        let sample = run(&options, PATIENT);
        assert_eq!(verdict(&sample), expected, "{options} {sample:?}");
        assert!(sample.message.starts_with(message), "{options} {sample:?}");
    }
    assert!(requests.try_iter().count() > 0);
    let options = json!({
        "url": at("/a"), "redirects": 2, "method": "POST", "json": 1, "bearer": "t0k",
    });
    assert_eq!(run(&options, PATIENT).status, Status::Pass);
    let heard: Vec<_> = requests.try_iter().collect();
    assert!(
        heard[0].starts_with("POST /a ") && heard[0].ends_with("\r\n\r\n1"),
        "{heard:?}"
    );
    assert!(
        heard[1].starts_with("GET /b ") && heard[1].ends_with("\r\n\r\n"),
        "{heard:?}"
    );
    assert!(
        heard[2].starts_with("GET /c?d ") && !heard[2].contains("content-type"),
        "{heard:?}"
    );
    assert!(
        heard.iter().all(|request| request.contains("Bearer t0k")),
        "{heard:?}"
    );
}

#[test]
fn a_failure_after_a_redirect_says_where_it_was() {
    let (port, _requests) = server(|request, stream| {
        let answer = if request.starts_with("GET /ping") {
            "HTTP/1.1 302 Found\r\nlocation: /gone?token=x\r\ncontent-length: 0\r\n\r\n"
        } else {
            "HTTP/1.1 410 Gone\r\ncontent-length: 0\r\n\r\n"
        };
        stream.write_all(answer.as_bytes()).unwrap_or_default();
    });
    let sample = run(&json!({ "url": url(port), "redirects": 1 }), PATIENT);
    let gone = format!("http://127.0.0.1:{port}/gone");
    let message = format!("410 Gone, not 2xx, {}, redirected to {gone}", url(port));
    assert_eq!(sample.message, message);
}

#[test]
fn redirects_share_the_one_deadline() {
    let (port, requests) = server(|_, stream| {
        std::thread::sleep(Duration::from_millis(60));
        let answer = "HTTP/1.1 302 Found\r\nlocation: /on\r\ncontent-length: 0\r\n\r\n";
        stream.write_all(answer.as_bytes()).unwrap_or_default();
    });
    let sample = run(&json!({ "url": url(port), "redirects": 10 }), QUICK);
    assert_eq!(
        verdict(&sample),
        (Status::Fail, Some(Cause::Timeout)),
        "{sample:?}"
    );
    assert!(requests.try_iter().count() < 10);
}

#[test]
fn what_is_secret_to_one_server_does_not_go_to_another() {
    let (to, requests) = server(|_, stream| {
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
            .unwrap_or_default();
    });
    let (from, _requests) = server(move |_, stream| {
        let line = format!("HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:{to}/\r\n");
        stream
            .write_all((line + "content-length: 0\r\n\r\n").as_bytes())
            .unwrap_or_default();
    });
    let options = json!({
        "url": url(from), "redirects": 1, "bearer": "t0k", "headers": { "Cookie": "c00k" },
    });
    assert_eq!(run(&options, PATIENT).status, Status::Pass);
    let request = requests.recv().unwrap();
    assert!(
        !request.contains("t0k") && !request.contains("c00k"),
        "{request}"
    );
    assert!(
        request.contains(&format!("host: 127.0.0.1:{to}\r\n")),
        "{request}"
    );
}

#[test]
fn a_configured_check_shows_no_secret() {
    let options: crate::Options = serde_json::from_value(
        json!({ "url": "http://h/", "username": "me", "password": "hunter2" }),
    )
    .unwrap();
    let shown = format!("{options:?}");
    assert!(!shown.contains("hunter2"), "{shown}");
    let check = <crate::Http as checkd_plugin_api::Check>::configure(options).unwrap();
    let shown = format!("{check:?}");
    assert!(
        !shown.contains("hunter2") && !shown.contains(&base64(b"me:hunter2")),
        "{shown}"
    );
}
