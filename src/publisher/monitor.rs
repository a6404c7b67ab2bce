//! Handshakes that fail before anybody is asked at the door: of who speaks without CURVE where there is a key, or has another
//! publisher's. libzmq tells of them by a monitor of the socket, and does not say who it was.

use std::time::{Duration, Instant};

use zmq::{Context, DONTWAIT, PAIR, POLLIN, PollItem, Socket, SocketEvent};

use crate::lines::{Level, Lines, Throttle};

/// libzmq's numbers of what was wrong.
const CRYPTOGRAPHIC: u32 = 0x1100_0001;
const MISMATCH: u32 = 0x1100_0002;
/// Who is shut out tries again and again.
const REMIND: Duration = Duration::from_secs(10);
/// Heard in one turn, so that a flood of them does not keep the ring waiting.
const TURN: usize = 100;

/// What is told of one socket.
pub struct Monitor {
    socket: Socket,
    door: &'static str,
    locked: bool,
    /// By what was wrong.
    said: [Throttle; 3],
}

impl Monitor {
    /// Watches a socket that does not listen yet; `locked`: it has a key. To be dropped after it.
    ///
    /// # Errors
    /// What libzmq says.
    pub fn new(
        context: &Context,
        of: &Socket,
        door: &'static str,
        locked: bool,
    ) -> zmq::Result<Monitor> {
        let watched = format!("inproc://monitor.{door}");
        of.monitor(&watched, SocketEvent::HANDSHAKE_FAILED_PROTOCOL as i32)?;
        let socket = context.socket(PAIR)?;
        socket.set_linger(0)?;
        // With a limit libzmq's own thread would wait for us.
        socket.set_rcvhwm(0)?;
        socket.connect(&watched)?;
        let said = std::array::from_fn(|_| Throttle::new(REMIND));
        Ok(Monitor { socket, door, locked, said })
    }

    /// Says what happened since it was called last.
    pub fn hear(&mut self, now: Instant, lines: &Lines) {
        for _ in 0..TURN {
            let Ok(frames) = self.socket.recv_multipart(DONTWAIT) else { return };
            // Which event, of two bytes, and its value.
            let value = frames.first().and_then(|frame| frame.get(2..6)?.try_into().ok());
            let (kind, why) = why(value.map_or(0, u32::from_ne_bytes), self.locked);
            if let Some(times) = self.said[kind].pass(now) {
                let text = format!(
                    "a handshake at {} fails: {why} ({times} since the last line)",
                    self.door
                );
                lines.say(Level::Warn, text);
            }
        }
    }

    /// What to poll.
    pub fn poll_item(&self) -> PollItem<'_> {
        self.socket.as_poll_item(POLLIN)
    }
}

fn why(value: u32, locked: bool) -> (usize, &'static str) {
    match value {
        CRYPTOGRAPHIC => {
            (0, "the peer has another publisher's key, or a broken one, for --server-key")
        }
        MISMATCH if locked => (1, "the peer has no key, and \"sparkngin_curve_key\" demands one"),
        MISMATCH => (1, "the peer wants CURVE, and there is no \"sparkngin_curve_key\""),
        _ => (2, "what the peer says is no handshake"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zmq::{DEALER, ROUTER};

    #[test]
    fn a_handshake_that_fails_is_said_once_in_a_while_with_its_reason_and_one_that_does_not_is_not()
    {
        let context = Context::new();
        let server = zmq::CurveKeyPair::new().unwrap();
        let other = zmq::CurveKeyPair::new().unwrap();
        let own = zmq::CurveKeyPair::new().unwrap();
        let listen = context.socket(ROUTER).unwrap();
        listen.set_curve_server(true).unwrap();
        listen.set_curve_secretkey(&server.secret_key).unwrap();
        let mut monitor = Monitor::new(&context, &listen, "feed", true).unwrap();
        listen.bind("tcp://127.0.0.1:*").unwrap();
        let endpoint = listen.get_last_endpoint().unwrap().unwrap();
        let lines = Lines::default();
        let rows =
            [(Some(&server), ""), (None, "has no key"), (Some(&other), "another publisher's")];
        for (key, said) in rows {
            let client = context.socket(DEALER).unwrap();
            client.set_linger(0).unwrap();
            if let Some(key) = key {
                client.set_curve_serverkey(&key.public_key).unwrap();
                client.set_curve_publickey(&own.public_key).unwrap();
                client.set_curve_secretkey(&own.secret_key).unwrap();
            }
            client.connect(&endpoint).unwrap();
            client.send("hello", 0).unwrap();
            if said.is_empty() {
                assert_eq!(listen.recv_multipart(0).unwrap()[1], b"hello");
                monitor.hear(Instant::now(), &lines);
                assert!(lines.take().is_empty());
                continue;
            }
            let heard = zmq::poll(&mut [monitor.poll_item()], 20_000).unwrap();
            assert_eq!(heard, 1, "{said}");
            monitor.hear(Instant::now(), &lines);
            let heard: Vec<_> = lines.take().into_iter().map(|(_, text)| text).collect();
            assert!(heard.len() == 1 && heard[0].contains(said), "{said}: {heard:?}");
            assert!(heard[0].starts_with("a handshake at feed fails: "));
            // It tries again, and that is not said again so soon.
            if zmq::poll(&mut [monitor.poll_item()], 5_000).unwrap() == 1 {
                monitor.hear(Instant::now(), &lines);
            }
            assert!(lines.take().is_empty(), "{said}");
        }
    }
}
