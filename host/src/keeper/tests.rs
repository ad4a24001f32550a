//! The keeper on real processes.

use tokio::io::AsyncWriteExt as _;

use super::protocol::{Lines, PROTOCOL, Request, line, signal_named};

#[tokio::test]
async fn a_line_has_a_bounded_length_and_half_a_line_is_none() {
    let (mut writer, reader) = tokio::io::duplex(64);
    let mut lines = Lines::new(reader, 16);
    let write = async move {
        writer
            .write_all(b"one\n\n0123456789abcde\nhalf")
            .await
            .unwrap();
    };
    let read = async move {
        for expected in [&b"one"[..], b"", b"0123456789abcde"] {
            assert_eq!(lines.next().await.unwrap().unwrap(), expected);
        }
        assert_eq!(lines.next().await.unwrap(), None);
    };
    tokio::join!(write, read);

    let (mut writer, reader) = tokio::io::duplex(64);
    let mut lines = Lines::new(reader, 16);
    writer.write_all(&[b'x'; 64]).await.unwrap();
    let told = lines.next().await.unwrap_err().to_string();
    assert!(told.contains("longer than 16 bytes"), "{told}");
}

#[test]
fn what_is_too_long_is_not_sent() {
    let request = Request::Hello { protocol: PROTOCOL };
    assert!(line(&request, 100).unwrap().ends_with(b"}\n"));
    assert!(line(&request, 10).unwrap_err().contains("10 is the most"));
}

#[test]
fn what_is_not_understood_is_refused() {
    for text in [
        "",
        "{}",
        "[]",
        r#"{"ask":"hello","protocol":1,"more":1}"#,
        r#"{"ask":"format_disk"}"#,
        r#"{"ask":"act"}"#,
        r#"{"ask":"act","tag":-1,"verb":"start","path":"a/b"}"#,
    ] {
        let read = serde_json::from_str::<Request>(text);
        assert!(read.is_err(), "{text}: {read:?}");
    }
    assert!(signal_named("SIGTERM").is_ok() && signal_named("SEGFAULT").is_err());
}

#[tokio::test]
async fn a_stranger_on_the_socket_is_told_what_was_wrong_and_harms_nobody() {
    let state = tempfile::tempdir().unwrap();
    crate::manager::tests::keep(state.path()).await;
    let (_directory, socket) = super::below(state.path(), super::SOCKET).unwrap();
    for first in [
        &b"GET / HTTP/1.1\n"[..],
        b"{\"ask\":\"hello\",\"protocol\":0}\n",
        b"{\"ask\":\"list\"}\n",
    ] {
        let mut stream = tokio::net::UnixStream::connect(&socket).await.unwrap();
        stream.write_all(first).await.unwrap();
        let mut lines = Lines::new(stream, 4096);
        let answer = lines.next().await.unwrap().unwrap();
        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.contains("refused"), "{answer}");
        assert_eq!(lines.next().await.unwrap(), None);
    }
    // It still serves those who greet.
    let mut stream = tokio::net::UnixStream::connect(&socket).await.unwrap();
    let hello = line(&Request::Hello { protocol: PROTOCOL }, 100).unwrap();
    stream.write_all(&hello).await.unwrap();
    let mut lines = Lines::new(stream, 4096);
    let answer = lines.next().await.unwrap().unwrap();
    assert!(String::from_utf8(answer).unwrap().contains("hello"));
}

#[test]
fn what_another_build_asks_is_named_where_it_is_not_understood() {
    // The daemon takes a refusal of its `ping` for the sign of life that it is.
    let told = serde_json::from_str::<Request>(r#"{"ask":"ping_of_a_later_build"}"#).unwrap_err();
    let told = told.to_string();
    assert!(
        told.contains("unknown variant `ping_of_a_later_build`"),
        "{told}"
    );
}
