//! `sparkngin_cors`: from which pages scripts may send events and read the answer. An event from elsewhere is not
//! refused for that: a browser sends it anyway and keeps the answer for itself, so nothing would be kept out.

use std::net::Ipv6Addr;

use regex::bytes::Regex;

use crate::answer::Answer;
use crate::args::{Args, ConfError};
use crate::request::Incoming;
use crate::topics::regex;

/// How long a browser need not ask again, s.
const MAX_AGE: u64 = 3600;
/// The most bytes of names in a question that are looked at.
const LONGEST: usize = 4096;

const ORIGIN: &str = "\"*\", an origin like \"https://www.example.org\", or \"~regex\"";

/// What the directive says.
#[derive(Debug)]
pub struct Cors {
    /// `*`
    any: bool,
    origins: Vec<Box<[u8]>>,
    patterns: Vec<Regex>,
    credentials: bool,
    max_age: u64,
}

impl Cors {
    /// Reads the words of the directive; None for `off`.
    ///
    /// # Errors
    /// The word that is wrong.
    pub fn read(args: &Args<'_>) -> Result<Option<Cors>, ConfError> {
        if args.off()? {
            return Ok(None);
        }
        args.distinct()?;
        let (any, origins, patterns) = (false, Vec::new(), Vec::new());
        let mut cors = Cors { any, origins, patterns, credentials: false, max_age: MAX_AGE };
        for word in args.words() {
            match word {
                b"*" => cors.any = true,
                b"credentials" => cors.credentials = true,
                [b'~', pattern @ ..] => cors.patterns.push(regex(args, word, pattern)?),
                _ => match word.strip_prefix(b"max_age=") {
                    // 0: a browser asks each time.
                    Some(time) => cors.max_age = args.time_from(time, 0)?.div_ceil(1000),
                    None if is_origin(word) => cors.origins.push(word.into()),
                    None => return Err(args.invalid(word, ORIGIN)),
                },
            }
        }
        let some = !cors.origins.is_empty() || !cors.patterns.is_empty();
        let text = args.text();
        match (cors.any, some, cors.credentials) {
            (false, false, _) => Err(ConfError::Told(format!(
                "\"{text}\" names no origin, it must name one at least: {ORIGIN}"
            ))),
            (true, true, _) => {
                Err(ConfError::Told(format!("\"*\" in \"{text}\" must be the only origin")))
            }
            (true, _, true) => Err(ConfError::Told(format!(
                "\"credentials\" in \"{text}\" needs a list of origins in place of \"*\""
            ))),
            _ => Ok(Some(cors)),
        }
    }

    fn lets(&self, origin: &[u8]) -> bool {
        self.any
            || self.origins.iter().any(|known| known.eq_ignore_ascii_case(origin))
            || self.patterns.iter().any(|regex| regex.is_match(origin))
    }

    /// What lets a page of this origin see the answer; nothing if it is not to.
    fn headers(&self, origin: Option<&[u8]>) -> Vec<(&'static str, String)> {
        let mut headers = Vec::new();
        if !self.any {
            // Also without one: a cache must not give this answer to a page.
            headers.push(("Vary", "Origin".into()));
        }
        let origin = origin.filter(|origin| self.lets(origin)).and_then(shown);
        if let Some(origin) = origin {
            let origin = if self.any { "*" } else { origin };
            headers.push(("Access-Control-Allow-Origin", origin.into()));
            if self.credentials {
                headers.push(("Access-Control-Allow-Credentials", "true".into()));
            }
        }
        headers
    }
}

/// Scheme, host and perhaps a port, in ASCII.
fn is_origin(word: &[u8]) -> bool {
    let Some(at) = word.windows(3).position(|three| three == b"://") else { return false };
    let (scheme, host) = (&word[..at], &word[at + 3..]);
    !scheme.is_empty()
        && scheme.iter().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(byte))
        && std::str::from_utf8(host).is_ok_and(is_host)
}

/// A name or an address, IPv6 in brackets, and perhaps a port from 1 to 65535.
fn is_host(text: &str) -> bool {
    let (name, port) = match text.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => (name, Some(port)),
        _ => (text, None),
    };
    let digits = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
    let good = |port: &str| digits(port) && port.parse::<u16>().is_ok_and(|port| port > 0);
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    let named = match name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(v6) => v6.parse::<Ipv6Addr>().is_ok(),
        None => !name.is_empty() && name.bytes().all(legal),
    };
    named && port.is_none_or(good)
}

/// An origin that may stand in an answer.
fn shown(origin: &[u8]) -> Option<&str> {
    std::str::from_utf8(origin).ok().filter(|text| text.bytes().all(|b| b.is_ascii_graphic()))
}

/// What the answer to a request says to browsers.
pub fn headers(incoming: Incoming<'_>) -> Vec<(&'static str, String)> {
    let Some(cors) = incoming.settings().cors() else { return Vec::new() };
    if !matches!(incoming.path().name, b"log" | b"log.gif") {
        return Vec::new();
    }
    let mut headers = cors.headers(incoming.named(b"origin"));
    if headers.iter().any(|(name, _)| *name == "Access-Control-Allow-Origin") {
        let exposed = "Sparkngin-Receipt, Sparkngin-Privacy, Retry-After";
        headers.push(("Access-Control-Expose-Headers", exposed.into()));
    }
    headers
}

/// Whether a request is a browser's question what it may send, in a place that answers these.
pub fn asked(incoming: Incoming<'_>) -> bool {
    incoming.settings().cors().is_some()
        && incoming.named(b"origin").is_some()
        && incoming.named(b"access-control-request-method").is_some()
}

/// The answer to that.
pub fn preflight(incoming: Incoming<'_>) -> Answer {
    let origin = incoming.named(b"origin");
    let cors = incoming.settings().cors().filter(|cors| origin.is_some_and(|o| cors.lets(o)));
    let Some(cors) = cors else {
        return Answer::error(403, "pages of this origin may not read what is answered here", None);
    };
    let pixel = incoming.path().name == b"log.gif";
    let mut headers = vec![
        ("Access-Control-Allow-Methods", if pixel { "GET" } else { "GET, POST" }.to_owned()),
        ("Access-Control-Max-Age", cors.max_age.to_string()),
    ];
    let wanted = incoming.named(b"access-control-request-headers").unwrap_or_default();
    let wanted = wanted.get(..LONGEST).unwrap_or(wanted);
    let names = wanted.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    let names: Vec<&str> = names.filter(|name| may_be_sent(name)).filter_map(shown).collect();
    if !names.is_empty() {
        headers.push(("Access-Control-Allow-Headers", names.join(", ")));
    }
    Answer::preflight(headers)
}

/// The headers that mean something here.
fn may_be_sent(name: &[u8]) -> bool {
    const NAMES: [&[u8]; 4] =
        [b"content-type", b"content-encoding", b"sparkngin-ack", b"authorization"];
    let lower = name.to_ascii_lowercase();
    let token = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
    lower.iter().all(token)
        && (NAMES.contains(&lower.as_slice())
            || lower.starts_with(b"sparkngin-header-")
            || lower.starts_with(b"ce-"))
}
