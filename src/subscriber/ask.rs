//! One request over plain HTTP, with one deadline for all of it: for commands that look at nginx or a subscriber.
//!
//! What is asked stands beside who asks, on loopback or behind the operator's own doors, so there is neither TLS nor a
//! redirect here, and so no library for these.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

/// The longest answer that is read, bytes.
const MOST: u64 = 4 << 20;

/// Where to ask: `http://host[:port]/path`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    host: String,
    port: u16,
    path: String,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its body; bytes that are not UTF-8 are replaced.
    pub body: String,
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.authority(), self.path)
    }
}

impl Url {
    /// Host and port, as the header `Host` has them.
    fn authority(&self) -> String {
        format!("{}:{}", self.bracketed(), self.port)
    }

    /// The host; an address of IPv6 in brackets.
    fn bracketed(&self) -> String {
        if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() }
    }

    /// Reads one; the path ends with a slash afterwards, for what is asked for below it.
    ///
    /// # Errors
    /// What it must be.
    pub fn read(text: &str) -> Result<Url, &'static str> {
        let mut url = Url::exact(text)?;
        if !url.path.ends_with('/') {
            url.path.push('/');
        }
        Ok(url)
    }

    /// Reads one whose path stays as it is.
    ///
    /// # Errors
    /// What it must be.
    pub fn exact(text: &str) -> Result<Url, &'static str> {
        const MUST: &str = "it must be http://HOST[:PORT]/PATH/";
        let rest = text.strip_prefix("http://").ok_or(MUST)?;
        let (place, path) = rest.split_once('/').unwrap_or((rest, ""));
        let bad = |c: char| c.is_whitespace() || c.is_control();
        if text.contains(bad) || place.contains('@') {
            return Err(MUST);
        }
        let (host, port) = match place.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().map_err(|_| MUST)?),
            _ => (place, 80),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() {
            return Err(MUST);
        }
        Ok(Url { host: host.to_owned(), port, path: format!("/{path}") })
    }

    /// The location, where this is the page `status` of one.
    pub fn location(&self) -> Option<String> {
        let path = self.path.strip_suffix("status/").or(self.path.strip_suffix("status"))?;
        let host = if self.port == 80 { self.bracketed() } else { self.authority() };
        path.ends_with('/').then(|| format!("http://{host}{path}"))
    }

    /// Asks for a name below the path.
    ///
    /// # Errors
    /// What the system says, or that it is no answer of HTTP.
    pub fn get(&self, name: &str, patience: Duration) -> io::Result<Answer> {
        let head = "Accept: application/json, text/plain\r\n";
        self.request(&format!("GET {}{name} HTTP/1.0\r\n{head}", self.path), "", patience)
    }

    /// Sends a body of this type to a name below the path.
    ///
    /// # Errors
    /// As [`Url::get`].
    pub fn post(
        &self,
        name: &str,
        (kind, body): (&str, &str),
        patience: Duration,
    ) -> io::Result<Answer> {
        let head = format!("Content-Type: {kind}\r\nContent-Length: {}\r\n", body.len());
        self.request(&format!("POST {}{name} HTTP/1.0\r\n{head}", self.path), body, patience)
    }

    fn request(&self, head: &str, body: &str, patience: Duration) -> io::Result<Answer> {
        let until = Instant::now() + patience;
        let left = || match until.saturating_duration_since(Instant::now()) {
            Duration::ZERO => Err(io::Error::from(io::ErrorKind::TimedOut)),
            left => Ok(left),
        };
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
        for address in (self.host.as_str(), self.port).to_socket_addrs()? {
            let mut stream = match TcpStream::connect_timeout(&address, left()?) {
                Ok(stream) => stream,
                Err(error) => {
                    last = error;
                    continue;
                }
            };
            stream.set_write_timeout(Some(left()?))?;
            // HTTP/1.0: the body ends with the connection, and never comes in chunks.
            write!(stream, "{head}Host: {}\r\n\r\n{body}", self.authority())?;
            let mut bytes = Vec::new();
            let mut part = [0; 16 * 1024];
            while (bytes.len() as u64) < MOST {
                stream.set_read_timeout(Some(left()?))?;
                match stream.read(&mut part)? {
                    0 => return answer(&bytes),
                    n => bytes.extend_from_slice(&part[..n]),
                }
            }
            return Err(io::Error::other("the answer is too long"));
        }
        Err(last)
    }
}

fn answer(bytes: &[u8]) -> io::Result<Answer> {
    let text = String::from_utf8_lossy(bytes);
    let parts = text.split_once("\r\n\r\n");
    let status = text.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5)?.parse().ok());
    match (status, parts) {
        (Some(status), Some((_, body))) => Ok(Answer { status, body: body.to_owned() }),
        _ => Err(io::Error::other("the answer is not HTTP's")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_read_and_what_is_none_is_not() {
        let url = |host: &str, port, path: &str| {
            Ok(Url { host: host.to_owned(), port, path: path.to_owned() })
        };
        assert_eq!(Url::read("http://a/sn/"), url("a", 80, "/sn/"));
        assert_eq!(Url::read("http://a:81/sn"), url("a", 81, "/sn/"));
        assert_eq!(Url::read("http://a"), url("a", 80, "/"));
        assert_eq!(Url::exact("http://a/b?c"), url("a", 80, "/b?c"));
        assert_eq!(Url::read("http://[::1]:81/"), url("::1", 81, "/"));
        assert_eq!(Url::read("http://[::1]"), url("::1", 80, "/"));
        let host = |text| Url::read(text).map(|url| url.authority());
        assert_eq!(host("http://[::1]/sn/").as_deref(), Ok("[::1]:80"));
        assert_eq!(host("http://a:81/").as_deref(), Ok("a:81"));
        for none in [
            "",
            "a",
            "https://a/",
            "http://",
            "http://:80/",
            "http://a:b/",
            "http://a/b c",
            "http://u:p@a/",
        ] {
            assert!(Url::read(none).is_err(), "{none}");
        }
    }

    #[test]
    fn a_page_is_told_from_its_location() {
        let location = |text| Url::read(text).unwrap().location();
        let is = |text: &str| Some(text.to_owned());
        assert_eq!(location("http://h/sn/status"), is("http://h/sn/"));
        assert_eq!(location("http://h:81/status/"), is("http://h:81/"));
        assert_eq!(location("http://[::1]/sn/status"), is("http://[::1]/sn/"));
        assert_eq!(location("http://h/sn/"), None);
        assert_eq!(location("http://h/mystatus"), None);
    }

    #[test]
    fn an_answer_is_read_and_garbage_is_not() {
        let good = answer(b"HTTP/1.1 503 Service Unavailable\r\nA: b\r\n\r\nno\n").unwrap();
        assert_eq!(good, Answer { status: 503, body: "no\n".to_owned() });
        assert!(answer(b"").is_err() && answer(b"SSH-2.0-x\r\n\r\n").is_err());
    }
}
