//! Where a request goes: a URL taken apart, and what a redirect makes of it.

use std::fmt;

use hyper::Uri;

/// A `http://` URL, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// Name or address to connect to, without brackets.
    pub(crate) host: String,
    /// Port to connect to.
    pub(crate) port: u16,
    /// `host` header: as written, with brackets and port.
    pub(crate) authority: String,
    /// Path and query.
    pub(crate) path: Uri,
}

/// Why a text is no target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NoTarget {
    /// TLS comes later.
    Https,
    /// Anything else, in words that follow the text.
    Wrong(String),
}

impl Target {
    /// Takes a URL apart.
    pub(crate) fn parse(url: &str) -> Result<Self, NoTarget> {
        let wrong = |why: &str| NoTarget::Wrong(why.to_owned());
        let Some((scheme, rest)) = url.split_once("://") else {
            return Err(wrong("must begin with `http://`"));
        };
        if scheme.eq_ignore_ascii_case("https") {
            return Err(NoTarget::Https);
        }
        if !scheme.eq_ignore_ascii_case("http") {
            return Err(wrong("must begin with `http://`"));
        }
        let rest = rest.split('#').next().unwrap_or_default();
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at_checked(end).unwrap_or((rest, ""));
        let (host, port) = address(authority)?;
        // A URL may go on with its query at once; a request may not.
        let path = if path.starts_with('/') {
            path.to_owned()
        } else {
            format!("/{path}")
        };
        let path = match path.parse() {
            Ok(parsed) if path.is_ascii() => parsed,
            _ => {
                let why = "has a character in its path that must be written as `%` and two digits";
                return Err(wrong(why));
            }
        };
        Ok(Self {
            host,
            port,
            authority: authority.to_owned(),
            path,
        })
    }

    /// Where a `location` header leads from here.
    pub(crate) fn follow(&self, location: &str) -> Result<Self, NoTarget> {
        let location = location.split('#').next().unwrap_or_default();
        let base = self.path.path();
        let has_scheme = location
            .split_once(':')
            .is_some_and(|(scheme, _)| !scheme.is_empty() && !scheme.contains(['/', '?']));
        if has_scheme {
            return Self::parse(location);
        }
        if let Some(rest) = location.strip_prefix("//") {
            return Self::parse(&format!("http://{rest}"));
        }
        let path = if location.starts_with('/') {
            location.to_owned()
        } else if location.is_empty() {
            self.path.to_string()
        } else if location.starts_with('?') {
            format!("{base}{location}")
        } else {
            let folder = base.rsplit_once('/').map_or("", |(folder, _)| folder);
            format!("{folder}/{location}")
        };
        Self::parse(&format!("http://{}{}", self.authority, without_dots(&path)))
    }

    /// Whether both are the same server, so that what is secret to one may go to the other.
    pub(crate) fn is_same_server(&self, other: &Self) -> bool {
        self.host.eq_ignore_ascii_case(&other.host) && self.port == other.port
    }
}

/// Without the query, where a token may stand.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.authority, self.path.path())
    }
}

/// Takes `host`, `host:port`, `[address]` or `[address]:port` apart.
fn address(authority: &str) -> Result<(String, u16), NoTarget> {
    let wrong = |why: String| Err(NoTarget::Wrong(why));
    if authority.contains('@') {
        return wrong("must not hold a user: write `username` and `password`".to_owned());
    }
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((host, port)) if host.parse::<std::net::Ipv6Addr>().is_ok() => (host, port),
            _ => return wrong("has brackets without an IPv6 address in them".to_owned()),
        },
        None => authority
            .split_at_checked(authority.find(':').unwrap_or(authority.len()))
            .unwrap_or_default(),
    };
    let is_name = |c: char| c.is_ascii_alphanumeric() || "-._:".contains(c);
    if host.is_empty() {
        return wrong("names no host".to_owned());
    }
    if !host.chars().all(is_name) {
        return wrong(format!(
            "has a host `{}` that is neither a name nor an address",
            host.escape_debug()
        ));
    }
    match port.strip_prefix(':') {
        None if port.is_empty() => Ok((host.to_owned(), 80)),
        Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => match digits.parse() {
            Ok(0) | Err(_) => wrong(format!("has port `{digits}`: ports go from 1 to 65535")),
            Ok(port) => Ok((host.to_owned(), port)),
        },
        _ => wrong(format!(
            "has `{}` where a port should be",
            port.escape_debug()
        )),
    }
}

/// Resolves `.` and `..` in the path, as a browser would.
fn without_dots(path_and_query: &str) -> String {
    let (path, query) = match path_and_query.split_once('?') {
        Some((path, query)) => (path, format!("?{query}")),
        None => (path_and_query, String::new()),
    };
    let mut kept = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            "." => {}
            ".." => {
                kept.pop();
            }
            _ => kept.push(segment),
        }
        if last && matches!(segment, "." | "..") {
            kept.push("");
        }
    }
    format!("/{}{query}", kept.join("/"))
}
