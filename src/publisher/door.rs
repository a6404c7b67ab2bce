//! The door: who is let in when both sockets have CURVE. libzmq asks here for each handshake (ZAP, ZeroMQ's RFC 27), and
//! accepts every key while nobody answers there: so it is bound before the sockets are made.
//!
//! On the feed a key is the name that it was given to, and libzmq then says that name with every message of the connection.
//! On the live port it is one of the readers', if these are listed; if not, who knows the publisher's own key is let in.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

use sparkngin_core::feed::printable;
use zmq::{Context, DONTWAIT, REP, Socket};

use crate::key::{PublicKey, SecretKey};
use crate::lines::{Level, Lines, Throttle};

/// Where libzmq asks, in each context.
const ENDPOINT: &str = "inproc://zeromq.zap.01";
/// What the sockets are called there.
pub const LIVE: &str = "live";
/// As above.
pub const FEED: &str = "feed";
/// The user that stands for nobody in particular: no subscriber's name.
pub const ANYBODY: &str = "*";
/// Who is shut out tries again and again.
const REMIND: Duration = Duration::from_secs(10);
/// Handshakes answered in one turn, so that a flood of them does not keep the ring waiting.
const TURN: usize = 100;

/// What CURVE needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Curve {
    /// The publisher's own key.
    pub secret: SecretKey,
    /// By the subscribers' places in the configuration; None lets any key use the name.
    pub subscribers: Vec<Option<PublicKey>>,
    /// Who may read live; None lets any key in.
    pub readers: Option<Vec<PublicKey>>,
}

/// Who is let in where.
#[derive(Debug)]
struct List {
    names: HashMap<PublicKey, String>,
    /// Some name is for whoever uses it.
    anybody: bool,
    readers: Option<HashSet<PublicKey>>,
}

/// Answers for one context.
pub struct Door {
    socket: Socket,
    list: List,
    /// By door and reason.
    refused: BTreeMap<(Vec<u8>, &'static str), Throttle>,
}

impl Door {
    /// Begins to be asked; `names` in the order of the configuration.
    ///
    /// # Errors
    /// What libzmq says.
    pub fn new(context: &Context, curve: &Curve, names: &[String]) -> zmq::Result<Door> {
        let socket = context.socket(REP)?;
        socket.set_linger(0)?;
        socket.bind(ENDPOINT)?;
        Ok(Door { socket, list: List::new(curve, names), refused: BTreeMap::new() })
    }

    /// The socket, to wait on.
    pub fn socket(&self) -> &Socket {
        &self.socket
    }

    /// Answers whom it was asked about.
    pub fn answer(&mut self, now: Instant, lines: &Lines) {
        for _ in 0..TURN {
            let Ok(request) = self.socket.recv_multipart(DONTWAIT) else { return };
            let (user, text) = match self.list.admit(&request) {
                Ok(user) => (Some(user), "OK"),
                Err(why) => {
                    let door = request.get(2).cloned().unwrap_or_default();
                    // libzmq alone asks here, for the two sockets.
                    let throttle = self.refused.entry((door, why));
                    let throttle = throttle.or_insert_with(|| Throttle::new(REMIND));
                    if let Some(times) = throttle.pass(now) {
                        lines.say(Level::Warn, said(&request, why, times));
                    }
                    (None, why)
                }
            };
            let frame = |n: usize| request.get(n).map_or(&b""[..], Vec::as_slice);
            let status: &[u8] = if user.is_some() { b"200" } else { b"400" };
            let reply = [
                b"1.0",
                frame(1),
                status,
                text.as_bytes(),
                user.unwrap_or_default().as_bytes(),
                b"",
            ];
            // Who asked may be gone.
            let _ = self.socket.send_multipart(reply, DONTWAIT);
        }
    }
}

fn said(request: &[Vec<u8>], why: &str, times: u64) -> String {
    let shown =
        |n: usize| printable(&String::from_utf8_lossy(request.get(n).map_or(&[], Vec::as_slice)));
    let (door, from) = (shown(2), shown(3));
    let from = if from.is_empty() { String::new() } else { format!(" from {from}") };
    format!("a peer{from} is not let in at {door}: {why} ({times} since the last line)")
}

impl List {
    fn new(curve: &Curve, names: &[String]) -> List {
        let keyed = |(name, key): (&String, &Option<PublicKey>)| key.map(|key| (key, name.clone()));
        List {
            names: names.iter().zip(&curve.subscribers).filter_map(keyed).collect(),
            anybody: names.is_empty() || curve.subscribers.iter().any(Option::is_none),
            readers: curve.readers.as_ref().map(|keys| keys.iter().copied().collect()),
        }
    }

    /// The user of a connection, or why it is refused. Never empty: else a peer could perhaps name one itself.
    fn admit(&self, request: &[Vec<u8>]) -> Result<&str, &'static str> {
        // Version, request, domain, address, routing id, mechanism, credentials.
        let [version, _, domain, _, _, mechanism, key] = request else { return Err("no request") };
        let key = PublicKey::from_bytes(key);
        let (b"1.0", b"CURVE", Some(key)) = (version.as_slice(), mechanism.as_slice(), key) else {
            return Err("it has no key");
        };
        let known = match domain.as_slice() {
            b"live" => {
                self.readers.as_ref().is_none_or(|keys| keys.contains(&key)).then_some(ANYBODY)
            }
            b"feed" => {
                let name = self.names.get(&key).map(String::as_str);
                name.or(self.anybody.then_some(ANYBODY))
            }
            _ => None,
        };
        known.ok_or("its key is not known")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(domain: &str, mechanism: &str, key: &[u8]) -> Vec<Vec<u8>> {
        let frames: [&[u8]; 7] =
            [b"1.0", b"1", domain.as_bytes(), b"192.0.2.1", b"", mechanism.as_bytes(), key];
        frames.map(<[u8]>::to_vec).to_vec()
    }

    #[test]
    fn who_is_shut_out_again_and_again_is_told_once_for_each_door() {
        let context = Context::new();
        let (secret, _) = SecretKey::draw().unwrap();
        let key = PublicKey::from_bytes(&[1; 32]);
        let curve = Curve { secret, subscribers: vec![key], readers: Some(Vec::new()) };
        let mut door = Door::new(&context, &curve, &["a".to_owned()]).unwrap();
        let asks = context.socket(zmq::REQ).unwrap();
        asks.connect(ENDPOINT).unwrap();
        let (lines, now) = (Lines::default(), Instant::now());
        for (at, seconds) in [("feed", 0), ("feed", 5), ("live", 6), ("feed", 11)] {
            asks.send_multipart(request(at, "CURVE", &[9; 32]), 0).unwrap();
            assert_eq!(zmq::poll(&mut [door.socket().as_poll_item(zmq::POLLIN)], 20_000), Ok(1));
            door.answer(now + Duration::from_secs(seconds), &lines);
            assert_eq!(asks.recv_multipart(0).unwrap()[2], b"400");
        }
        let said: Vec<_> = lines.take().into_iter().map(|(_, text)| text).collect();
        let line = |door, times| {
            format!(
                "a peer from 192.0.2.1 is not let in at {door}: its key is not known ({times} since the last line)"
            )
        };
        assert_eq!(said, [line("feed", 1), line("live", 1), line("feed", 2)]);
    }

    #[test]
    fn each_key_opens_its_own_door_and_no_other() {
        let key = |n| PublicKey::from_bytes(&[n; 32]).unwrap();
        let (secret, _) = SecretKey::draw().unwrap();
        let names = ["a".to_owned(), "b".to_owned()];
        let subscribers = vec![Some(key(1)), Some(key(2))];
        let curve = Curve { secret, subscribers, readers: Some(vec![key(3)]) };
        let list = List::new(&curve, &names);
        let admitted = |list: &List, domain: &str, n: u8| {
            list.admit(&request(domain, "CURVE", &[n; 32])).ok().map(str::to_owned)
        };
        for (door, n, user) in [
            ("feed", 1, Some("a")),
            ("feed", 2, Some("b")),
            ("feed", 3, None),
            ("feed", 4, None),
            ("live", 3, Some(ANYBODY)),
            ("live", 1, None),
            ("other", 1, None),
            ("", 1, None),
        ] {
            assert_eq!(admitted(&list, door, n).as_deref(), user, "{n} at {door}");
        }
        let open = Curve { subscribers: vec![Some(key(1)), None], readers: None, ..curve };
        let list = List::new(&open, &names);
        for (door, n, user) in [("feed", 1, "a"), ("feed", 9, ANYBODY), ("live", 9, ANYBODY)] {
            assert_eq!(admitted(&list, door, n).as_deref(), Some(user), "{n} at {door}");
        }
        for bad in [
            request("live", "NULL", b""),
            request("live", "PLAIN", b"x"),
            request("live", "CURVE", b"x"),
            vec![],
            vec![vec![]],
        ] {
            assert!(list.admit(&bad).is_err(), "{bad:?}");
        }
    }
}
