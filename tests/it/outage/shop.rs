//! The eight members with their Redis, the two faults, and what the members' own logs say of them.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use checkd_tests::{
    Checkd, Line, Log, Signal, alive, eventually, never, root, signal, state, venv,
};

use super::{MEMBERS, Times};

/// How long the tests wait for what must happen.
const PATIENCE: Duration = Duration::from_mins(6);

/// A place with a Redis in which the eight members live; it ends them all when it is dropped.
pub(super) struct Shop {
    /// The directory, the ports, and the daemon, if checkd is the one that keeps the members.
    pub(super) place: Checkd,
    redis: Child,
}

/// What was done to the members in one fault.
pub(super) struct Tally {
    /// Lives that began, of all members.
    pub(super) restarts: usize,
    /// So many were down at once: told to stop, and not answering yet.
    pub(super) most_down: usize,
    /// From the end of the fault to the moment when all answer.
    pub(super) well_after: Duration,
}

impl Drop for Shop {
    fn drop(&mut self) {
        drop(self.redis.kill());
        drop(self.redis.wait());
    }
}

impl Shop {
    /// Starts Redis in this place.
    pub(super) fn open(place: Checkd) -> Self {
        let redis = place
            .verb_of(Path::new("redis-server"), ["--port", "0", "--save", ""])
            .args(["--unixsocket", "redis.sock"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is there: `tests/run` installs the real peers");
        let shop = Self { place, redis };
        eventually("Redis answers", PATIENCE, || shop.ask_redis());
        shop
    }

    fn ask_redis(&self) -> Option<()> {
        let mut stream = UnixStream::connect(self.place.dir().join("redis.sock")).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        stream.write_all(b"PING\r\n").ok()?;
        let mut answer = [0; 7];
        stream.read_exact(&mut answer).ok()?;
        (&answer == b"+PONG\r\n").then_some(())
    }

    /// The command of a member, in which its port is written so.
    pub(super) fn command(port: &str) -> Vec<String> {
        let peers = root().join("tests/peers");
        let peers = peers.display();
        let gunicorn = venv("gunicorn").display().to_string();
        let line = format!(
            "{gunicorn} --config {peers}/shop.py --chdir {peers} --bind 127.0.0.1:{port} --threads 8 \
             --graceful-timeout 1 --no-control-socket shop:app"
        );
        line.split_whitespace().map(str::to_owned).collect()
    }

    /// What a member finds in its environment beside the name of its log.
    pub(super) fn environment(times: Times) -> [(&'static str, String); 4] {
        let patience = Duration::from_millis(times.patience_ms).as_secs_f64();
        [
            ("SHOP_REDIS", "$DIR/redis.sock".to_owned()),
            ("SHOP_PATIENCE", patience.to_string()),
            ("PYTHONDONTWRITEBYTECODE", "1".to_owned()),
            ("HOME", "$DIR".to_owned()),
        ]
    }

    /// The log of a member: its name is that of its port.
    fn log(&self, index: u16) -> Log {
        let name = format!("shop-{}.log", self.place.port(index));
        Log::at(&self.place.dir().join(name))
    }

    fn lines(&self) -> BTreeMap<u16, Vec<Line>> {
        (0..MEMBERS)
            .map(|index| (index, self.log(index).lines()))
            .collect()
    }

    /// Waits until all members answer, judged by asking them; how long that took.
    pub(super) fn wait_well(&self) -> Duration {
        let since = Instant::now();
        eventually("all members answer", PATIENCE, || {
            let well = |index| asked(self.place.port(index));
            (0..MEMBERS).all(well).then_some(())
        });
        since.elapsed()
    }

    /// Redis stands still and goes on. `seen` is called just before it goes on, `healed` as soon as all
    /// answer again.
    pub(super) fn outage(
        &self,
        times: Times,
        seen: impl FnOnce(),
        healed: impl FnOnce(Duration),
    ) -> Tally {
        let before = self.lines();
        let still = || state(self.redis.id()) == Some('T');
        signal(self.redis.id(), Signal::STOP);
        eventually("Redis stands still", PATIENCE, || still().then_some(()));
        never(
            "Redis goes on by itself",
            Duration::from_secs(times.outage),
            || (!still()).then_some(()),
        );
        seen();
        signal(self.redis.id(), Signal::CONT);
        let well_after = self.wait_well();
        healed(well_after);
        self.wait_calm();
        self.tally(&before, well_after)
    }

    /// All eight deadlock. `seen` is called when the first of them is told to stop.
    pub(super) fn wedge(&self, seen: impl FnOnce()) -> Tally {
        let before = self.lines();
        for index in 0..MEMBERS {
            self.place.post(index, "/wedge");
        }
        let since = Instant::now();
        eventually("somebody is restarted", PATIENCE, || {
            let lines = self.lines();
            (0..MEMBERS)
                .any(|n| stops(&lines[&n]) > stops(&before[&n]))
                .then_some(())
        });
        seen();
        self.wait_well();
        let well_after = since.elapsed();
        self.wait_calm();
        self.tally(&before, well_after)
    }

    /// Waits until nobody was started for two of supervisord's ticks, and all answer.
    fn wait_calm(&self) {
        let mut last = (0, Instant::now());
        eventually("nobody is restarted any more", PATIENCE, || {
            let starts: usize = self.lines().values().map(|lines| starts(lines)).sum();
            if starts != last.0 {
                last = (starts, Instant::now());
            }
            (last.1.elapsed() > Duration::from_secs(11)).then_some(())
        });
        self.wait_well();
    }

    fn tally(&self, before: &BTreeMap<u16, Vec<Line>>, well_after: Duration) -> Tally {
        let mut restarts = 0;
        let mut downs = Vec::new();
        for (index, lines) in self.lines() {
            let new = &lines[before[&index].len()..];
            restarts += starts(new);
            downs.extend(downs_of(new));
            // The log is right about who lives: the last life runs, and those before it do not.
            let lives: Vec<u32> = self.log(index).starts();
            let living: Vec<u32> = lives.iter().copied().filter(|&pid| alive(pid)).collect();
            assert_eq!(living, lives[lives.len() - 1..], "lives of member {index}");
        }
        Tally {
            restarts,
            most_down: most_at_once(&downs),
            well_after,
        }
    }
}

/// Whether a member answers as it should.
fn asked(port: u16) -> bool {
    let ask = || {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        stream.write_all(b"GET /ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        std::io::Result::Ok(text)
    };
    ask().is_ok_and(|text| text.starts_with("HTTP/1.1 200 "))
}

fn of<'a>(lines: &'a [Line], event: &'a str) -> impl Iterator<Item = &'a Line> {
    lines.iter().filter(move |line| line.event == event)
}

fn starts(lines: &[Line]) -> usize {
    of(lines, "start").count()
}

fn stops(lines: &[Line]) -> usize {
    of(lines, "stop").count()
}

/// From when to when a member was down by its supervisor's hand: told to stop, and not answering yet.
fn downs_of(lines: &[Line]) -> Vec<(Duration, Duration)> {
    let mut downs = Vec::new();
    let (mut since, mut started) = (None, false);
    for line in lines {
        match line.event.as_str() {
            "stop" => since = since.or(Some(line.time)),
            // One that was killed before it could say so.
            "start" => (since, started) = (since.or(Some(line.time)), true),
            "request" if started => {
                downs.extend(since.take().map(|since| (since, line.time)));
                started = false;
            }
            _ => {}
        }
    }
    downs
}

/// How many of these spans overlap at most.
fn most_at_once(downs: &[(Duration, Duration)]) -> usize {
    let at = |moment: Duration| {
        downs
            .iter()
            .filter(|(from, to)| (*from..*to).contains(&moment))
            .count()
    };
    downs.iter().map(|(from, _)| at(*from)).max().unwrap_or(0)
}
