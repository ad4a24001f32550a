//! Two checks that do what their options tell them, one awaited and one blocking.

use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use checkd_plugin_api::units::{Percent, Port, Size, Span};
use checkd_plugin_api::{
    BlockingCheck, Cause, Check, Context, Descriptor, Problems, Sample, Scope, Secret,
    register_check, schemars, serde,
};

/// What a person writes.
#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(crate = "checkd_plugin_api::serde", deny_unknown_fields)]
#[schemars(crate = "checkd_plugin_api::schemars")]
pub(crate) struct Options {
    /// What it does.
    mode: Mode,
    /// A port.
    port: Option<Port>,
    /// A limit.
    #[serde(default = "some_space")]
    space: Size,
    /// A wait.
    wait: Option<Span>,
    /// A share.
    share: Option<Percent>,
    /// Not to be printed.
    token: Option<Secret>,
}

fn some_space() -> Size {
    Size::bytes(1 << 20)
}

#[derive(Clone, Copy, serde::Deserialize, schemars::JsonSchema)]
#[serde(crate = "checkd_plugin_api::serde", rename_all = "lowercase")]
#[schemars(crate = "checkd_plugin_api::schemars")]
pub(crate) enum Mode {
    /// Counts its runs.
    Count,
    /// Waits for ever.
    Wait,
    /// Asks the port for a word, and has no timeout of its own.
    Ask,
    /// Asks like `ask`, and holds its thread meanwhile whatever kind it is.
    Hold,
    /// Panics.
    Panic,
    /// Uses the CPU until a while after its deadline.
    Spin,
    /// Sleeps until a while after its deadline.
    Sleep,
}

pub(crate) struct Awaited(Options, u32);

impl Check for Awaited {
    type Options = Options;
    const DESCRIPTOR: Descriptor = Descriptor::new("awaited", "does what it is told")
        .scope(Scope::Host)
        .example("mode = 'count'");

    fn configure(options: Options) -> Result<Self, Problems> {
        let mut problems = Problems::none();
        if options.share.is_some() && options.wait.is_none() {
            problems.add("share", "needs `wait`");
        }
        if options
            .token
            .as_ref()
            .is_some_and(|token| token.reveal().is_empty())
        {
            problems.add("token", "is empty");
        }
        problems.or(Self(options, 0))
    }

    async fn run(&mut self, cx: &Context) -> Sample {
        self.1 += 1;
        match self.0.mode {
            Mode::Wait => std::future::pending().await,
            #[expect(clippy::panic, reason = "what the tests want it to do")]
            Mode::Panic => panic!("no {}", cx.group()),
            Mode::Ask => {
                let port = self.0.port.map_or(0, Port::get);
                let asked = async {
                    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await?;
                    let mut word = String::new();
                    tokio::io::AsyncReadExt::read_to_string(&mut stream, &mut word).await?;
                    Ok(word)
                };
                judge(asked.await)
            }
            Mode::Hold => ask(self.0.port),
            Mode::Count | Mode::Spin | Mode::Sleep => {
                let port = self.0.port.map_or(0, Port::get);
                Sample::pass("ran")
                    .measure("runs", f64::from(self.1), "")
                    .measure_limit("port", f64::from(port), "", self.0.space.as_f64())
            }
        }
    }
}
register_check!(Awaited);

pub(crate) struct Holding(Options, u32, Option<TcpListener>);

impl BlockingCheck for Holding {
    type Options = Options;
    const DESCRIPTOR: Descriptor =
        Descriptor::new("holding", "does what it is told, and blocks").example("mode = 'count'");

    fn configure(options: Options) -> Result<Self, Problems> {
        Ok(Self(options, 0, None))
    }

    fn run(&mut self, cx: &Context) -> Sample {
        self.1 += 1;
        match self.0.mode {
            Mode::Count => Sample::pass("ran").measure("runs", f64::from(self.1), ""),
            #[expect(clippy::panic, reason = "what the tests want it to do")]
            Mode::Panic => panic!("no {}", cx.group()),
            Mode::Ask | Mode::Hold => ask(self.0.port),
            Mode::Wait => {
                // A naive client of a server that accepts and says nothing.
                let listener = TcpListener::bind("127.0.0.1:0");
                judge(listener.and_then(|silent| {
                    let mut stream = TcpStream::connect(silent.local_addr()?)?;
                    self.2 = Some(silent);
                    let mut word = String::new();
                    std::io::Read::read_to_string(&mut stream, &mut word)?;
                    Ok(word)
                }))
            }
            Mode::Spin => {
                let end = cx.deadline() + Duration::from_secs(2);
                while Instant::now() < end {}
                Sample::pass("done")
            }
            Mode::Sleep => {
                std::thread::sleep(cx.timeout() + Duration::from_secs(2));
                Sample::pass("done")
            }
        }
    }
}
register_check!(blocking Holding);

/// Connects and reads to the end, without any timeout.
fn ask(port: Option<Port>) -> Sample {
    let port = port.map_or(0, Port::get);
    judge(
        TcpStream::connect(("127.0.0.1", port)).and_then(|mut stream| {
            let mut word = String::new();
            std::io::Read::read_to_string(&mut stream, &mut word)?;
            Ok(word)
        }),
    )
}

fn judge(asked: std::io::Result<String>) -> Sample {
    match asked {
        Ok(word) => Sample::pass(word),
        Err(error) => Sample::fail(Cause::Refused, error.to_string()),
    }
}
