//! Where the publisher binds: the words of `sparkngin_listen`, as endpoints of ZeroMQ.

use std::net::{IpAddr, Ipv4Addr};
use std::str::from_utf8;

use crate::args::{Args, ConfError};

/// The most bytes of a unix socket's path, without the zero that ends it.
pub const LONGEST_SOCKET: usize = 107;

const ADDRESS: &str = "\"port\", \"address:port\" or \"unix:path\"";

/// What `sparkngin_listen` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// Where live messages are published.
    pub live: String,
    /// Where durable subscribers connect; None is `feed.sock` in the ring's directory.
    pub feed: Option<String>,
}

impl Default for Listen {
    /// 127.0.0.1:7000, and the feed in the ring's directory.
    fn default() -> Listen {
        Listen { live: "tcp://127.0.0.1:7000".into(), feed: None }
    }
}

impl Listen {
    /// Reads the directive's words.
    ///
    /// # Errors
    /// A word that is no address or no parameter; an address that others reach, without `insecure`.
    pub fn read(args: &mut Args<'_>) -> Result<Listen, ConfError> {
        let words: Vec<Vec<u8>> = args.words().map(<[u8]>::to_vec).collect();
        let (address, parameters) = words.split_first().ok_or(ConfError::Logged)?;
        let mut feed = None;
        let mut insecure = false;
        for word in parameters {
            match word.strip_prefix(b"feed=") {
                Some(address) if feed.is_none() => feed = Some(feed_at(args, address)?),
                None if word == b"insecure" => insecure = true,
                _ => return Err(args.parameter(word, "\"feed=\" or \"insecure\"")),
            }
        }
        let (live, open) = match address.strip_prefix(b"unix:") {
            Some(path) => (socket(args, path)?, false),
            None => tcp(address).ok_or_else(|| args.invalid(address, ADDRESS))?,
        };
        if open && !insecure {
            return Err(ConfError::Told(format!(
                "\"{}\" needs \"insecure\": who reaches the port can read every event, and \"sparkngin_curve_key\" is not \
                 built yet",
                args.text()
            )));
        }
        Ok(Listen { live, feed })
    }
}

fn feed_at(args: &mut Args<'_>, address: &[u8]) -> Result<String, ConfError> {
    match address.strip_prefix(b"unix:") {
        Some(path) => socket(args, path),
        None if tcp(address).is_some() => Err(ConfError::Told(format!(
            "a feed over TCP is not built yet, \"feed=\" in \"{}\" must be \"feed=unix:path\"",
            args.text()
        ))),
        None => Err(args.invalid(address, "\"feed=unix:path\"")),
    }
}

/// The endpoint of a unix socket.
fn socket(args: &mut Args<'_>, path: &[u8]) -> Result<String, ConfError> {
    if path.is_empty() {
        return Err(args.invalid(b"unix:", ADDRESS));
    }
    let full = args.path(path)?;
    endpoint(&full).ok_or_else(|| {
        args.invalid(
            path,
            format!("a path of at most {LONGEST_SOCKET} bytes of UTF-8, as sockets need"),
        )
    })
}

/// The endpoint of a unix socket at a path. None if sockets cannot be there.
pub fn endpoint(path: &[u8]) -> Option<String> {
    let path = from_utf8(path).ok().filter(|path| path.len() <= LONGEST_SOCKET)?;
    Some(format!("ipc://{path}"))
}

/// The endpoint of a port, and whether others than this machine reach it.
fn tcp(address: &[u8]) -> Option<(String, bool)> {
    let text = from_utf8(address).ok()?;
    let (host, port) = match text.rsplit_once(':') {
        Some(parts) => parts,
        None => ("127.0.0.1", text),
    };
    let port =
        Some(port).filter(|port| port.bytes().all(|b| b.is_ascii_digit()))?.parse::<u16>().ok()?;
    if port == 0 {
        return None;
    }
    let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let ip = match (host, inner) {
        ("*", _) => return Some((format!("tcp://*:{port}"), true)),
        ("localhost", _) => IpAddr::from(Ipv4Addr::LOCALHOST),
        (_, Some(v6)) => IpAddr::V6(v6.parse().ok()?),
        (v4, None) => IpAddr::V4(v4.parse().ok()?),
    };
    let host = if ip.is_ipv6() { format!("[{ip}]") } else { ip.to_string() };
    Some((format!("tcp://{host}:{port}"), !ip.is_loopback()))
}
