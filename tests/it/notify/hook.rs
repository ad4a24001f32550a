//! A web server that gets what checkd posts, and behaves as badly as it is told to.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use checkd_tests::eventually;
use serde_json::Value;

/// How it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    /// 200.
    Takes,
    /// 500, with words.
    Fails,
    /// Takes the request and says nothing.
    Hangs,
    /// 200, and a body that never ends.
    Endless,
    /// Closes the connection.
    Closes,
}

#[derive(Debug)]
struct State {
    manner: Manner,
    got: Vec<(Vec<String>, Value)>,
}

/// One server.
#[derive(Clone, Debug)]
pub(super) struct Hook {
    pub(super) port: u16,
    state: Arc<Mutex<State>>,
}

impl Hook {
    pub(super) fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let state = State {
            manner,
            got: Vec::new(),
        };
        let hook = Self {
            port,
            state: Arc::new(Mutex::new(state)),
        };
        let serving = hook.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let serving = serving.clone();
                thread::spawn(move || serving.serve(stream));
            }
        });
        hook
    }

    pub(super) fn behave(&self, manner: Manner) {
        self.state().manner = manner;
    }

    /// The documents of all requests so far, also of those that were not taken.
    pub(super) fn got(&self) -> Vec<Value> {
        self.state()
            .got
            .iter()
            .map(|(_, json)| json.clone())
            .collect()
    }

    /// The heads of all requests so far: the request line, then the headers.
    pub(super) fn heads(&self) -> Vec<Vec<String>> {
        self.state()
            .got
            .iter()
            .map(|(head, _)| head.clone())
            .collect()
    }

    /// Waits for a document of which `wanted` is true.
    #[track_caller]
    pub(super) fn wait(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        eventually(what, Duration::from_mins(1), || {
            self.got().into_iter().find(|document| wanted(document))
        })
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self, mut stream: TcpStream) {
        let Some((head, body)) = request(&stream) else {
            return;
        };
        let json = serde_json::from_slice(&body).unwrap_or(Value::Null);
        let manner = {
            let mut state = self.state();
            state.got.push((head, json));
            state.manner
        };
        let answer = match manner {
            Manner::Takes => "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            Manner::Fails => {
                "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 12\r\n\r\nout of order"
            }
            Manner::Endless => "HTTP/1.1 200 OK\r\n\r\n",
            Manner::Hangs => "",
            Manner::Closes => return,
        };
        // Whoever asked may have gone, and that is the end of it.
        let mut open = stream.write_all(answer.as_bytes()).is_ok();
        while open && manner == Manner::Endless {
            open = stream.write_all(&[b'x'; 8_192]).is_ok();
        }
        if manner == Manner::Hangs {
            drop(stream.read(&mut [0]));
        }
    }
}

/// The head and the body of one request.
fn request(stream: &TcpStream) -> Option<(Vec<String>, Vec<u8>)> {
    let mut reader = BufReader::new(stream);
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        match line.trim_end() {
            "" => break,
            line => head.push(line.to_owned()),
        }
    }
    let length = head.iter().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse::<usize>().ok())?
    })?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((head, body))
}
