//! `sparkngin tail`: live events on the terminal, for eyes or as JSON lines. Nothing is acknowledged.

use std::io::{self, Write};
use std::time::Duration;

use serde::Serialize;
use sparkngin_core::gzip;

use crate::args::Tail;
use crate::keys::Keys;
use crate::letter::hex;
use crate::socket::{Link, Monitor, why_not};

/// A message inflated is no larger: a few bytes may claim to be gigabytes.
const LARGEST: usize = 16 * 1024 * 1024;
/// When nothing comes, and nothing listens perhaps, that is said once.
const PATIENCE: Duration = Duration::from_secs(3);

#[derive(Serialize)]
struct Line<'a> {
    topic: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload_hex: Option<String>,
}

/// Prints until it is ended, or `--count` events were printed.
///
/// # Errors
/// A sentence: the endpoint cannot be, or stdout is gone.
pub fn run(args: &Tail, keys: Option<&Keys>) -> Result<(), String> {
    let mut live = Live::connect(args, keys)?;
    let mut out = io::stdout().lock();
    let mut printed = 0;
    while args.count.is_none_or(|count| printed < count) {
        let frames = live.next()?;
        let [topic, payload] = frames.as_slice() else { continue };
        match print(&mut out, topic, payload, args.json) {
            Ok(()) => printed += 1,
            // Who reads along has had enough: `| head`.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            Err(error) => return Err(format!("stdout: {error}")),
        }
    }
    Ok(())
}

/// The live port, from outside: it is waited for as long as it takes.
struct Live<'a> {
    args: &'a Tail,
    keys: Option<&'a Keys>,
    context: zmq::Context,
    made: u64,
    socket: zmq::Socket,
    monitor: Monitor,
    said: &'static str,
}

impl Live<'_> {
    fn connect<'a>(args: &'a Tail, keys: Option<&'a Keys>) -> Result<Live<'a>, String> {
        let context = zmq::Context::new();
        let made = connect(&context, args, keys, 0);
        let (socket, monitor) =
            made.map_err(|error| format!("{}: {}", args.live, why_not(error)))?;
        Ok(Live { args, keys, context, made: 0, socket, monitor, said: "" })
    }

    /// The next message. Who is not let in tries again each few seconds, and says why once.
    fn next(&mut self) -> Result<Vec<Vec<u8>>, String> {
        let wrong = |error: zmq::Error| format!("{}: {error}", self.args.live);
        loop {
            let mut items = [self.socket.as_poll_item(zmq::POLLIN), self.monitor.poll_item()];
            match zmq::poll(&mut items, PATIENCE.as_millis() as i64) {
                Err(zmq::Error::EINTR) => continue,
                Err(error) => return Err(wrong(error)),
                Ok(0) if self.said.is_empty() => self.say("nothing yet, waiting"),
                Ok(_) => {}
            }
            match self.socket.recv_multipart(zmq::DONTWAIT) {
                Ok(frames) => {
                    // Silence is nothing to speak of any more.
                    self.said = "nothing more";
                    return Ok(frames);
                }
                Err(zmq::Error::EAGAIN | zmq::Error::EINTR) => {}
                Err(error) => return Err(wrong(error)),
            }
            let mut shut_out = None;
            while let Some(link) = self.monitor.link() {
                if let Link::ShutOut(why) = link {
                    shut_out = Some(why);
                }
            }
            if let Some(why) = shut_out {
                self.say(why);
                // It may have given up by itself.
                let _ = self.socket.disconnect(&self.args.live);
                let _ = zmq::poll(&mut [], PATIENCE.as_millis() as i64 / 3);
                self.made += 1;
                let made = connect(&self.context, self.args, self.keys, self.made);
                (self.socket, self.monitor) = made.map_err(wrong)?;
            }
        }
    }

    fn say(&mut self, what: &'static str) {
        if self.said != what {
            eprintln!("sparkngin: {}: {what}", self.args.live);
            self.said = what;
        }
    }
}

fn connect(
    context: &zmq::Context,
    args: &Tail,
    keys: Option<&Keys>,
    number: u64,
) -> zmq::Result<(zmq::Socket, Monitor)> {
    let socket = context.socket(zmq::SUB)?;
    socket.set_linger(0)?;
    socket.set_reconnect_ivl(50)?;
    // A publisher that is stopped, or whose machine is gone, is noticed.
    socket.set_heartbeat_ivl(1000)?;
    socket.set_heartbeat_timeout(5000)?;
    if let Some(keys) = keys {
        keys.set(&socket)?;
    }
    let monitor = Monitor::new(context, &socket, number, keys.is_some())?;
    socket.set_subscribe(args.topic.as_bytes())?;
    socket.connect(&args.live)?;
    Ok((socket, monitor))
}

fn print(out: &mut impl Write, topic: &[u8], payload: &[u8], json: bool) -> io::Result<()> {
    let inflated = payload.starts_with(&[0x1f, 0x8b]).then(|| gzip::inflate(payload, LARGEST).ok());
    let payload = inflated.flatten().unwrap_or_else(|| payload.to_vec());
    let topic = String::from_utf8_lossy(topic);
    if json {
        let text = std::str::from_utf8(&payload).ok();
        let payload_hex = text.is_none().then(|| hex(&payload));
        serde_json::to_writer(&mut *out, &Line { topic: &topic, payload: text, payload_hex })?;
    } else {
        // Control bytes of strangers do not reach the terminal.
        let shown: String = String::from_utf8_lossy(&payload)
            .chars()
            .map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c })
            .collect();
        write!(out, "{topic}  {shown}")?;
    }
    out.write_all(b"\n")?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(payload: &[u8], json: bool) -> String {
        let mut out = Vec::new();
        print(&mut out, b"clicks", payload, json).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_line_for_eyes_shows_no_control_bytes() {
        assert_eq!(printed(b"a\x1b[2Jb\nc", false), "clicks  a\u{fffd}[2Jb\u{fffd}c\n");
    }

    #[test]
    fn a_json_line_has_topic_and_payload_and_hex_for_bytes_that_are_no_text() {
        let line: serde_json::Value = serde_json::from_str(&printed(b"{\"a\":1}", true)).unwrap();
        assert_eq!(
            (line["topic"].as_str(), line["payload"].as_str()),
            (Some("clicks"), Some("{\"a\":1}"))
        );
        let line: serde_json::Value = serde_json::from_str(&printed(b"\x01\xff", true)).unwrap();
        assert_eq!(line["payload_hex"], "01ff");
    }

    #[test]
    fn a_gzip_message_is_inflated() {
        let mut packed = Vec::new();
        gzip::compress(b"hello", &mut packed);
        assert_eq!(printed(&packed, false), "clicks  hello\n");
    }
}
