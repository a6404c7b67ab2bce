//! Addresses as people write them, as endpoints of ZeroMQ, and which of them must be locked.

use std::net::{IpAddr, Ipv4Addr};
use std::str::from_utf8;

use sparkngin_core::ring::Name;

/// The most bytes of a unix socket's path, without the zero that ends it.
pub const LONGEST_SOCKET: usize = 107;

/// What others could reach, and nothing locks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unlocked<'a> {
    /// Live, from other machines: whoever comes can read every event.
    Live,
    /// The feed, over TCP, from this machine or others: whoever comes can acknowledge this one's events.
    Feed(&'a Name),
}

/// The endpoint of a port, and whether others than this machine reach it. `port` alone is on 127.0.0.1.
pub fn tcp(address: &[u8]) -> Option<(String, bool)> {
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

/// The endpoint of a unix socket at a path. None if sockets cannot be there.
pub fn unix(path: &[u8]) -> Option<String> {
    let path = from_utf8(path).ok().filter(|path| path.len() <= LONGEST_SOCKET)?;
    Some(format!("ipc://{path}"))
}

/// What is open that nobody said may be: live that other machines reach needs a key of the publisher's, a feed over TCP
/// one of each subscriber's.
pub fn unlocked<'a>(
    live_is_open: bool,
    curve: bool,
    feed: Option<&str>,
    mut guests: impl Iterator<Item = (&'a Name, bool)>,
) -> Option<Unlocked<'a>> {
    if live_is_open && !curve {
        return Some(Unlocked::Live);
    }
    let over_tcp = feed.is_some_and(|feed| feed.starts_with("tcp:"));
    let open = guests.find(|(_, keyed)| over_tcp && !keyed);
    open.map(|(name, _)| Unlocked::Feed(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_reach_must_be_locked() {
        let name: Name = "kafka".parse().unwrap();
        for (live, curve, feed, keyed, expected) in [
            (false, false, None, false, None),
            (true, false, None, false, Some(Unlocked::Live)),
            (true, true, None, false, None),
            (false, false, Some("ipc:///f"), false, None),
            (false, true, Some("tcp://127.0.0.1:1"), false, Some(Unlocked::Feed(&name))),
            (true, true, Some("tcp://*:1"), true, None),
        ] {
            let guests = [(&name, keyed)].into_iter();
            assert_eq!(unlocked(live, curve, feed, guests), expected, "{live} {curve} {feed:?}");
        }
    }

    #[test]
    fn an_address_is_open_unless_it_is_on_loopback() {
        for (word, endpoint, open) in [
            ("7000", "tcp://127.0.0.1:7000", false),
            ("localhost:1", "tcp://127.0.0.1:1", false),
            ("[::1]:1", "tcp://[::1]:1", false),
            ("*:1", "tcp://*:1", true),
            ("0.0.0.0:1", "tcp://0.0.0.0:1", true),
            ("[::]:1", "tcp://[::]:1", true),
            ("192.0.2.1:1", "tcp://192.0.2.1:1", true),
        ] {
            assert_eq!(tcp(word.as_bytes()), Some((endpoint.to_owned(), open)), "{word}");
        }
        for word in ["", "0", "65536", "x:1", "::1:1", "1:", "+1"] {
            assert_eq!(tcp(word.as_bytes()), None, "{word}");
        }
    }
}
