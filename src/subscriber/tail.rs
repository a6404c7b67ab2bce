//! `sparkngin tail`: live events on the terminal, for eyes or as JSON lines. Nothing is acknowledged.

use std::io::{self, Write};
use std::time::Duration;

use serde::Serialize;
use sparkngin_core::gzip;

use crate::args::Tail;
use crate::letter::hex;

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
pub fn run(args: &Tail) -> Result<(), String> {
    let wrong = |error: zmq::Error| format!("{}: {error}", args.live);
    let context = zmq::Context::new();
    let socket = context.socket(zmq::SUB).map_err(wrong)?;
    socket.set_linger(0).map_err(wrong)?;
    socket.set_reconnect_ivl(50).map_err(wrong)?;
    // A publisher that is stopped, or whose machine is gone, is noticed.
    socket.set_heartbeat_ivl(1000).map_err(wrong)?;
    socket.set_heartbeat_timeout(5000).map_err(wrong)?;
    socket.set_subscribe(args.topic.as_bytes()).map_err(wrong)?;
    socket.connect(&args.live).map_err(wrong)?;
    if socket.poll(zmq::POLLIN, PATIENCE.as_millis() as i64) == Ok(0) {
        eprintln!("sparkngin: nothing yet from {}, waiting", args.live);
    }
    let mut out = io::stdout().lock();
    let mut printed = 0;
    while args.count.is_none_or(|count| printed < count) {
        let frames = match socket.recv_multipart(0) {
            Ok(frames) => frames,
            Err(zmq::Error::EINTR) => continue,
            Err(error) => return Err(wrong(error)),
        };
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
