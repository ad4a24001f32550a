//! One POST: a connection of its own, plain or secured, and the head of the answer.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;

use checkd_core::plan::HttpTarget;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{
    AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, USER_AGENT,
};
use hyper::{Method, Request, Response, Uri};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};

use super::secret::Secrets;
use super::tls;

/// Room for the head of an answer.
const HEAD_MAX: usize = 64 * 1_024;
/// So much of a refusal is read, for its words.
const REFUSAL_MAX: usize = 1_024;

/// Posts `body` as JSON to the target's URL with `suffix` behind it. What came back, in one line.
///
/// # Errors
/// One line: it could not be sent, or the answer is not 2xx.
pub(super) async fn post(
    target: &HttpTarget,
    suffix: &str,
    body: Vec<u8>,
    secrets: &mut Secrets,
) -> Result<String, String> {
    let url = secrets.text("url", &target.url)?;
    let url = format!(
        "{}{suffix}",
        url.trim()
            .trim_end_matches(|c| !suffix.is_empty() && c == '/')
    );
    let uri: Uri = url.parse().map_err(|_| "`url` is no URL".to_owned())?;
    // What stands behind the host is often the secret, whether it was written as one or not.
    if let Some(path) = uri.path_and_query().map(ToString::to_string)
        && path.len() > 1
        && suffix.is_empty()
    {
        secrets.hide(&path);
    }
    let host = uri.host().ok_or("`url` names no host")?.to_owned();
    let secured = match uri.scheme_str() {
        Some("https") => true,
        Some("http") => false,
        _ => return Err("`url` must begin with `http://` or `https://`".to_owned()),
    };
    let port = uri.port_u16().unwrap_or(if secured { 443 } else { 80 });
    let headers = headers(target, &uri, secrets)?;
    let stream = connect(&host, port).await?;
    let ca_file = target.ca_file.as_deref().map(|path| secrets.path(path));
    let mut request = Request::new(Full::new(Bytes::from(body)));
    *request.method_mut() = Method::POST;
    *request.headers_mut() = headers;
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    *request.uri_mut() = path.parse().map_err(|_| "`url` is no URL".to_owned())?;
    if secured {
        let stream = tls::secure(stream, &host, ca_file.as_deref()).await?;
        exchange(stream, request).await
    } else {
        exchange(stream, request).await
    }
}

/// Opens a connection.
pub(super) async fn connect(host: &str, port: u16) -> Result<TcpStream, String> {
    let name = host.trim_matches(['[', ']']);
    let addresses: Vec<_> = lookup_host((name, port))
        .await
        .map_err(|e| format!("cannot find `{host}`: {}", inner(&e)))?
        .collect();
    TcpStream::connect(addresses.as_slice()).await.map_err(|e| {
        format!(
            "cannot connect to {host}:{port}: {}",
            crate::manager::plain(&e)
        )
    })
}

fn headers(target: &HttpTarget, uri: &Uri, secrets: &mut Secrets) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    let host = HeaderValue::from_str(authority).map_err(|_| "`url` is no URL".to_owned())?;
    headers.insert(HOST, host);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let agent = concat!("checkd/", env!("CARGO_PKG_VERSION"));
    headers.insert(USER_AGENT, HeaderValue::from_static(agent));
    if let Some((name, password)) = &target.login {
        let (name, password) = (
            secrets.text("username", name)?,
            secrets.text("password", password)?,
        );
        let both = base64(format!("{name}:{password}").as_bytes());
        secrets.hide(&both);
        let value = HeaderValue::from_str(&format!("Basic {both}"));
        headers.insert(AUTHORIZATION, value.map_err(|_| "no header".to_owned())?);
    }
    for (name, text) in &target.headers {
        let value = secrets.text(name, text)?;
        let (Ok(key), Ok(value)) = (
            HeaderName::from_bytes(name.as_bytes()),
            HeaderValue::from_str(&value),
        ) else {
            return Err(format!("`{name}` cannot stand in a header"));
        };
        headers.insert(key, value);
    }
    Ok(headers)
}

async fn exchange<S: AsyncRead + AsyncWrite + Unpin + Send>(
    stream: S,
    request: Request<Full<Bytes>>,
) -> Result<String, String> {
    let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
        .max_buf_size(HEAD_MAX)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|e| broken(&e))?;
    let talk = async {
        let answer = sender.send_request(request).await.map_err(|e| broken(&e))?;
        let status = answer.status();
        if status.is_success() {
            // Whatever else it has to say, it took the message.
            return Ok(format!("answered {status}"));
        }
        let words = words(answer).await;
        let not_followed = if status.is_redirection() {
            "; redirects are not followed"
        } else {
            ""
        };
        let colon = if words.is_empty() { "" } else { ": " };
        Err(format!("answered {status}{colon}{words}{not_followed}"))
    };
    drive(connection, talk).await
}

/// The beginning of a refusal, where it is there at once.
async fn words(answer: Response<Incoming>) -> String {
    let mut body = answer.into_body();
    let mut text = Vec::new();
    let read = async {
        while let Some(Ok(frame)) = body.frame().await {
            if let Some(data) = frame.data_ref() {
                let room = REFUSAL_MAX.saturating_sub(text.len());
                text.extend_from_slice(data.get(..room).unwrap_or(data));
                if data.len() >= room {
                    break;
                }
            }
        }
    };
    // Its status says enough; the words are a courtesy.
    drop(tokio::time::timeout(std::time::Duration::from_secs(1), read).await);
    String::from_utf8_lossy(&text).trim().to_owned()
}

fn broken(error: &hyper::Error) -> String {
    if error.is_incomplete_message() || error.is_canceled() {
        return "it closed the connection without an answer".to_owned();
    }
    if error.is_parse() {
        return format!("it did not answer in HTTP: {}", inner(error));
    }
    format!("the connection broke: {}", inner(error))
}

/// The innermost reason: the words around it name layers.
pub(super) fn inner(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    // The system's own words differ from one library to the other by a number and a capital.
    match innermost.to_string().split_once(" (os error") {
        Some((words, _)) => {
            let mut letters = words.chars();
            let first = letters.next().into_iter().flat_map(char::to_lowercase);
            first.chain(letters).collect()
        }
        None => innermost.to_string(),
    }
}

/// Runs `talk` while the connection below it is driven too: no task is left behind.
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

/// Base64 with padding.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for digit in 0..4u32 {
            let index = (bits >> (18 - 6 * digit)) & 63;
            let known = digit as usize <= chunk.len();
            let letter = DIGITS.get(index as usize).copied().unwrap_or(b'=');
            text.push(if known { char::from(letter) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::base64;

    #[test]
    fn base64_is_as_in_rfc_4648() {
        for (text, coded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foobar", "Zm9vYmFy"),
            ("anna:s3cr?t~", "YW5uYTpzM2NyP3R+"),
        ] {
            assert_eq!(base64(text.as_bytes()), coded);
        }
    }
}
