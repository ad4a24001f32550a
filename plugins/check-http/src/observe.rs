//! One bounded attempt: connect, send, read the answer to its end, follow redirects.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Instant;

use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::{HOST, LOCATION};
use hyper::{Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout_at;

use crate::judge::{Answer, Observation, Stage};
use crate::request::Request;
use crate::status::Statuses;
use crate::target::{NoTarget, Target};

/// Room for the head of an answer; a longer one is wrong.
const MOST_HEAD: usize = 64 * 1024;

/// What to send, and how far to go.
#[derive(Debug)]
pub(crate) struct Attempt<'a> {
    pub(crate) request: &'a Request,
    pub(crate) status: &'a Statuses,
    pub(crate) redirects: u8,
    pub(crate) max_body: usize,
}

impl Attempt<'_> {
    /// Makes the attempt; comes back by `deadline`, whatever the server does, because all of it
    /// runs under this one timer. Says too where the last redirect led, if there was one.
    pub(crate) async fn observe(&self, deadline: Instant) -> (Observation, Option<Target>) {
        let mut stage = Stage::Connecting;
        let mut next = None;
        let follow = self.follow(&mut stage, &mut next);
        let observation = match timeout_at(deadline.into(), follow).await {
            Ok(observation) => observation,
            Err(_elapsed) => Observation::NotInTime(stage),
        };
        (observation, next.map(|request| request.target))
    }

    async fn follow(&self, stage: &mut Stage, next: &mut Option<Request>) -> Observation {
        let mut left = self.redirects;
        loop {
            let request = next.as_ref().unwrap_or(self.request);
            let (answer, location) = match exchange(request, self.max_body, stage).await {
                Ok(found) => found,
                Err(observation) => return observation,
            };
            let location = location
                .filter(|_| self.redirects > 0 && !self.status.take(answer.status.as_u16()));
            let Some(location) = location else {
                return Observation::Answered(answer);
            };
            let Some(fewer) = left.checked_sub(1) else {
                return Observation::RedirectedTooOften(self.redirects);
            };
            left = fewer;
            let followed = request.follow(answer.status, &location);
            match followed {
                Ok(request) => *next = Some(request),
                Err(NoTarget::Https) => return Observation::RedirectedToHttps,
                Err(NoTarget::Wrong(why)) => return Observation::RedirectedAstray(why),
            }
        }
    }
}

/// One request and its answer; and where it leads, if it is a redirect.
async fn exchange(
    request: &Request,
    max_body: usize,
    stage: &mut Stage,
) -> Result<(Answer, Option<String>), Observation> {
    *stage = Stage::Connecting;
    let stream = connect(&request.target.host, request.target.port).await?;
    *stage = Stage::Waiting;
    let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
        .max_buf_size(MOST_HEAD)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| broken(&error, stage))?;
    let talk = async {
        let answer = sender
            .send_request(message(request)?)
            .await
            .map_err(|error| broken(&error, stage))?;
        let location = location(&answer);
        read(answer, max_body, stage)
            .await
            .map(|answer| (answer, location))
    };
    drive(connection, talk).await
}

async fn connect(host: &str, port: u16) -> Result<TcpStream, Observation> {
    let addresses: Vec<_> = match lookup_host((host, port)).await {
        Ok(addresses) => addresses.collect(),
        Err(error) => return Err(Observation::Unresolved(error)),
    };
    if addresses.is_empty() {
        return Err(Observation::Unresolved(io::ErrorKind::NotFound.into()));
    }
    TcpStream::connect(addresses.as_slice())
        .await
        .map_err(Observation::NotConnected)
}

fn message(request: &Request) -> Result<hyper::Request<Full<hyper::body::Bytes>>, Observation> {
    let mut message = hyper::Request::new(Full::new(request.body.clone()));
    *message.method_mut() = request.method.clone();
    *message.uri_mut() = request.target.path.clone();
    *message.headers_mut() = request.headers.clone();
    if !message.headers().contains_key(HOST) {
        let host = request
            .target
            .authority
            .parse()
            .map_err(|_| Observation::Broken("its host cannot stand in a header".to_owned()))?;
        message.headers_mut().insert(HOST, host);
    }
    Ok(message)
}

fn location(answer: &Response<Incoming>) -> Option<String> {
    let leads_on = matches!(
        answer.status(),
        StatusCode::MOVED_PERMANENTLY
            | StatusCode::FOUND
            | StatusCode::SEE_OTHER
            | StatusCode::TEMPORARY_REDIRECT
            | StatusCode::PERMANENT_REDIRECT
    );
    let location = answer.headers().get(LOCATION).filter(|_| leads_on)?;
    Some(String::from_utf8_lossy(location.as_bytes()).into_owned())
}

/// Reads the body to its end, or to the first byte over `max_body`.
async fn read(
    answer: Response<Incoming>,
    max_body: usize,
    stage: &mut Stage,
) -> Result<Answer, Observation> {
    let status = answer.status();
    let mut body = answer.into_body();
    let mut text = Vec::new();
    *stage = Stage::Reading(0);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| broken(&error, stage))?;
        let Some(data) = frame.data_ref() else {
            continue;
        };
        let room = max_body.saturating_sub(text.len());
        text.extend_from_slice(data.get(..room).unwrap_or(data));
        *stage = Stage::Reading(text.len());
        if data.len() > room {
            return Ok(Answer {
                status,
                body: text,
                cut: true,
            });
        }
    }
    Ok(Answer {
        status,
        body: text,
        cut: false,
    })
}

fn broken(error: &hyper::Error, stage: &Stage) -> Observation {
    // hyper's own words name the layer; the reason is in the innermost source.
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    let answered = matches!(stage, Stage::Reading(_));
    let is_parse = error.is_parse();
    let why = innermost.to_string().to_lowercase();
    if answered {
        Observation::BrokenOff(why)
    } else if is_parse {
        Observation::Broken(why)
    } else {
        Observation::Closed
    }
}

/// Runs `talk` while the connection below it is driven too: no task of its own that could be left
/// behind.
async fn drive<T>(
    connection: impl Future<Output = hyper::Result<()>>,
    talk: impl Future<Output = T>,
) -> T {
    let mut connection = pin!(connection);
    let mut talk = pin!(talk);
    let mut driving = true;
    poll_fn(|cx| {
        if driving {
            // How a connection ends, `talk` sees too.
            driving = connection.as_mut().poll(cx).is_pending();
        }
        let talk: Pin<&mut _> = talk.as_mut();
        match talk.poll(cx) {
            Poll::Ready(found) => Poll::Ready(found),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}
