//! What the same machine takes for the bare thing: a line to another process and back, many lines at
//! once, and the start of a process.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::{best, micros, millis, say};

/// The word that makes this program the other process.
pub(crate) const ECHO: &str = "--echo";
/// About as long as a message of the worker protocol.
const LINE: &[u8] = b"{\"type\":\"submit\",\"run\":1234,\"instance\":12,\"timeout_ms\":5000}\n";
const IN_FLIGHT: usize = 64;

/// The figures of two cores with nothing else to do.
const TRIP: Duration = Duration::from_nanos(4_500);
const LINES: f64 = 8_500_000.0;
const START: Duration = Duration::from_micros(600);

/// How much slower than that this machine is now; at least 1.
pub(crate) struct Slower {
    pub(crate) trip: f64,
    pub(crate) lines: f64,
}

/// A process that says again what it hears.
pub(crate) struct Echo {
    child: Child,
    stream: UnixStream,
}

/// Is that process.
pub(crate) fn echo() {
    let input = std::io::stdin().lock();
    let mut input = BufReader::new(input);
    let mut output = UnixStream::from(
        std::os::fd::AsFd::as_fd(&std::io::stdin())
            .try_clone_to_owned()
            .expect("a descriptor"),
    );
    let (mut line, mut answer) = (Vec::new(), Vec::new());
    while input
        .read_until(b'\n', &mut line)
        .is_ok_and(|length| length > 0)
    {
        answer.append(&mut line);
        if input.buffer().is_empty() {
            output.write_all(&answer).expect("somebody listens");
            answer.clear();
        }
    }
}

impl Echo {
    pub(crate) fn start() -> Self {
        let (stream, other) = UnixStream::pair().expect("a pair");
        let program = std::env::current_exe().expect("this program");
        let child = Command::new(program)
            .arg(ECHO)
            .stdin(Stdio::from(OwnedFd::from(other)))
            .spawn()
            .expect("it starts");
        Self { child, stream }
    }

    pub(crate) fn slower(&self, rounds: u32) -> Slower {
        let trip = best(rounds, || self.trip());
        let lines = (0..rounds).map(|_| self.lines()).fold(0.0, f64::max);
        say(format_args!(
            "reference: a line to a process and back {}; {IN_FLIGHT} in flight {lines:.0} a second",
            micros(trip)
        ));
        Slower {
            trip: (trip.as_secs_f64() / TRIP.as_secs_f64()).max(1.0),
            lines: (LINES / lines).max(1.0),
        }
    }

    /// The median of a line there and back.
    fn trip(&self) -> Duration {
        let mut stream = &self.stream;
        let mut answer = vec![0; LINE.len()];
        crate::world::median(2_000, || {
            stream.write_all(LINE).expect("it listens");
            stream.read_exact(&mut answer).expect("it answers");
        })
    }

    /// Lines in a second.
    fn lines(&self) -> f64 {
        const COUNT: usize = 200_000;
        let mut stream = &self.stream;
        let many = LINE.repeat(IN_FLIGHT);
        let mut answer = vec![0; many.len()];
        let began = Instant::now();
        stream.write_all(&many).expect("it listens");
        let (mut sent, mut heard) = (IN_FLIGHT, 0);
        while heard < COUNT * LINE.len() {
            let length = stream.read(&mut answer).expect("it answers");
            heard += length;
            // As many as have come back.
            let due = (heard / LINE.len() + IN_FLIGHT - sent).min(IN_FLIGHT);
            let again = many.get(..due * LINE.len()).unwrap_or_default();
            stream.write_all(again).expect("it listens");
            sent += due;
        }
        let rate = (heard / LINE.len()) as f64 / began.elapsed().as_secs_f64();
        let rest = sent * LINE.len() - heard;
        let mut rest = vec![0; rest];
        stream.read_exact(&mut rest).expect("it answers");
        rate
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.stream.shutdown(std::net::Shutdown::Both).ok();
        self.child.wait().ok();
    }
}

/// How much slower the start of a process is than on two cores with nothing else to do; at least 1.
pub(crate) fn start(rounds: u32) -> f64 {
    let took = best(rounds, || {
        crate::world::median(20, || {
            let ended = Command::new("/bin/true").status().expect("it is there");
            assert!(ended.success());
        })
    });
    say(format_args!(
        "reference: a process that does nothing {}",
        millis(took)
    ));
    (took.as_secs_f64() / START.as_secs_f64()).max(1.0)
}
