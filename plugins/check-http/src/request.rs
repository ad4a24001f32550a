//! From options to a request that is ready to be sent: every rule that no type can hold.

use checkd_plugin_api::Problems;
use hyper::body::Bytes;
use hyper::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE,
    HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING, USER_AGENT,
};
use hyper::{Method, StatusCode};

use crate::options::Options;
use crate::target::{NoTarget, Target};

/// So many redirects may be followed at most.
const MOST_REDIRECTS: u8 = 10;

/// What is sent.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) target: Target,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Request {
    /// Reads the options; all problems at once, each with its option.
    pub(crate) fn new(options: &Options) -> Result<Self, Problems> {
        let mut problems = Problems::none();
        let target = target(&options.url, &mut problems);
        let method = method(&options.method, &mut problems);
        let mut headers = headers(options, &mut problems);
        if let Some(authorization) = authorization(options, &headers, &mut problems) {
            headers.insert(AUTHORIZATION, authorization);
        }
        if options.body.is_some() && options.json.is_some() {
            problems.add(
                "json",
                "cannot stand together with `body`: a request has one body",
            );
        }
        if options.contains.as_deref() == Some("") {
            problems.add(
                "contains",
                "is empty, so every body would pass: leave it out",
            );
        }
        if options.contains.is_some() && method == Some(Method::HEAD) {
            problems.add(
                "contains",
                "cannot be found: an answer to `HEAD` has no body",
            );
        }
        if options.redirects > MOST_REDIRECTS {
            let found = options.redirects;
            problems.add(
                "redirects",
                format!("is {found}, and may be {MOST_REDIRECTS} at most"),
            );
        }
        if options.max_body.as_bytes() == 0 {
            problems.add("max_body", "is zero, so no answer could be read");
        }
        let body = match (&options.body, &options.json) {
            (Some(body), _) => Bytes::from(body.clone()),
            (None, Some(json)) => Bytes::from(json.to_string()),
            (None, None) => Bytes::new(),
        };
        match (method, target) {
            (Some(method), Some(target)) => problems.or(Self {
                method,
                target,
                headers,
                body,
            }),
            // Who is missing has left a problem behind.
            _ => Err(problems),
        }
    }

    /// The request that a redirect asks for.
    pub(crate) fn follow(&self, status: StatusCode, location: &str) -> Result<Self, NoTarget> {
        let target = self.target.follow(location)?;
        let mut next = Self {
            target,
            ..self.clone()
        };
        if !next.target.is_same_server(&self.target) {
            next.headers.remove(AUTHORIZATION);
            next.headers.remove(COOKIE);
        }
        let was_post = self.method == Method::POST;
        let to_get = match status {
            StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND => was_post,
            StatusCode::SEE_OTHER => self.method != Method::HEAD,
            _ => false,
        };
        if to_get {
            next.method = Method::GET;
            next.body = Bytes::new();
            next.headers.remove(CONTENT_TYPE);
        }
        Ok(next)
    }
}

fn target(url: &str, problems: &mut Problems) -> Option<Target> {
    let shown = url.escape_debug();
    match Target::parse(url) {
        Ok(target) => Some(target),
        Err(NoTarget::Https) => {
            problems.add(
                "url",
                format!("is `{shown}`, and `https://` is not offered yet"),
            );
            None
        }
        Err(NoTarget::Wrong(why)) => {
            // What stands before an `@` may be a password.
            if url.contains('@') {
                problems.add("url", why);
            } else {
                problems.add("url", format!("is `{shown}`, which {why}"));
            }
            None
        }
    }
}

fn method(name: &str, problems: &mut Problems) -> Option<Method> {
    let capitals = name.to_ascii_uppercase();
    let shown = name.escape_debug();
    match Method::from_bytes(name.as_bytes()) {
        _ if name != capitals => {
            problems.add(
                "method",
                format!(
                    "is `{shown}`, and methods are in capitals: write `{}`",
                    capitals.escape_debug()
                ),
            );
            None
        }
        Ok(Method::CONNECT) => {
            problems.add(
                "method",
                "is `CONNECT`, which opens a tunnel and has no answer to judge",
            );
            None
        }
        Ok(method) => Some(method),
        Err(_) => {
            problems.add("method", format!("is `{shown}`, which is no HTTP method"));
            None
        }
    }
}

fn headers(options: &Options, problems: &mut Problems) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(USER_AGENT, HeaderValue::from_static("checkd"));
    headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    if options.json.is_some() {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    for (name, value) in &options.headers {
        let shown = name.escape_debug();
        let Ok(header) = HeaderName::from_bytes(name.as_bytes()) else {
            problems.add(
                "headers",
                format!("holds `{shown}`, which is no name of a header"),
            );
            continue;
        };
        if [CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING].contains(&header) {
            problems.add(
                "headers",
                format!("holds `{shown}`, which checkd sets by itself"),
            );
            continue;
        }
        match HeaderValue::from_str(value) {
            Ok(value) => {
                headers.insert(header, value);
            }
            Err(_) => problems.add(
                "headers",
                format!("gives `{shown}` a value that no header can carry"),
            ),
        }
    }
    headers
}

fn authorization(
    options: &Options,
    headers: &HeaderMap,
    problems: &mut Problems,
) -> Option<HeaderValue> {
    let (option, text) = match (&options.username, &options.password, &options.bearer) {
        (None, None, None) => return None,
        (None, None, Some(token)) => ("bearer", format!("Bearer {}", token.reveal())),
        (Some(name), Some(_), None) if name.contains(':') => {
            problems.add(
                "username",
                "holds a `:`, which basic authentication cannot carry",
            );
            return None;
        }
        (Some(name), Some(password), None) => {
            let pair = format!("{name}:{}", password.reveal());
            ("password", format!("Basic {}", base64(pair.as_bytes())))
        }
        (Some(_), None, None) => {
            problems.add("username", "needs `password`");
            return None;
        }
        (None, Some(_), None) => {
            problems.add("password", "needs `username`");
            return None;
        }
        (_, _, Some(_)) => {
            problems.add(
                "bearer",
                "cannot stand together with `username` and `password`",
            );
            return None;
        }
    };
    if headers.contains_key(AUTHORIZATION) {
        problems.add(
            option,
            "cannot stand together with an `authorization` in `headers`",
        );
        return None;
    }
    if let Ok(mut value) = HeaderValue::from_str(&text) {
        value.set_sensitive(true);
        Some(value)
    } else {
        problems.add(option, "has a character that no header can carry");
        None
    }
}

/// Base64 with padding, as basic authentication writes it.
pub(crate) fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let at = |index: usize| u32::from(group.get(index).copied().unwrap_or_default());
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for digit in 0..4 {
            let value = (bits >> (18 - 6 * digit)) & 0x3f;
            match DIGITS.get(value as usize) {
                Some(&letter) if digit <= group.len() => text.push(char::from(letter)),
                _ => text.push('='),
            }
        }
    }
    text
}
