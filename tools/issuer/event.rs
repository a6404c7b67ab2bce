//! What is sent: events made of their number, or requests that a test prepared.

use std::fs;
use std::io::{self, Write};

use flate2::Compression;
use flate2::write::GzEncoder;

/// One request, complete.
pub struct Event {
    /// The test's name for it.
    pub id: String,
    /// How many events it holds, named `<id>-0`, `<id>-1` and so on; 0: it is one, named `id`.
    pub several: u64,
    /// The request's bytes.
    pub bytes: Vec<u8>,
}

/// Where events come from.
pub struct Source {
    path: String,
    prefix: String,
    topic: String,
    topics: u64,
    bodies: bool,
    levels: bool,
    next: u64,
    end: u64,
    prepared: Option<std::vec::IntoIter<Event>>,
}

/// Events of a body of several.
const SEVERAL: u64 = 3;
const FILLER: &[u8] = b"0123456789abcdefghijklmnopqrstuvwxyz";

impl Source {
    /// With a `requests` file, its requests; else `count` of them, spread over `topics` topics. `bodies`: of every kind.
    /// `levels`: some ask for a stronger acknowledgement.
    #[expect(clippy::too_many_arguments, reason = "the command line's own, each once")]
    pub fn new(
        requests: &str,
        path: &str,
        prefix: &str,
        topic: &str,
        topics: u64,
        bodies: bool,
        levels: bool,
        count: u64,
    ) -> io::Result<Source> {
        let prepared =
            if requests.is_empty() { None } else { Some(read(&fs::read(requests)?)?.into_iter()) };
        Ok(Source {
            path: path.to_owned(),
            prefix: prefix.to_owned(),
            topic: topic.to_owned(),
            topics: topics.max(1),
            bodies,
            levels,
            next: 1,
            end: count,
            prepared,
        })
    }

    /// The next request; None when there is no more.
    pub fn next_event(&mut self) -> Option<Event> {
        if let Some(prepared) = &mut self.prepared {
            return prepared.next();
        }
        if self.next > self.end {
            return None;
        }
        let n = self.next;
        self.next += 1;
        Some(self.made(n))
    }

    /// Three GETs and a POST, then again. With `bodies` some are several events, some are compressed, some chunked.
    fn made(&self, n: u64) -> Event {
        let id = format!("{}{n}", self.prefix);
        let data = data(&id, n);
        let topic = match self.topics {
            1 => self.topic.clone(),
            topics => format!("{}-{}", self.topic, n % topics),
        };
        let (path, length) = (&self.path, data.len());
        // Few: each waits, for a sync or for Kafka, and while these are away the others must go on.
        let level = match (self.levels, n % 256) {
            (true, 77) => "Sparkngin-Ack: kafka\r\n",
            (true, k) if k % 16 == 9 || k % 32 == 6 => "Sparkngin-Ack: disk\r\n",
            _ => "",
        };
        let common = format!("HTTP/1.1\r\nHost: localhost\r\nUser-Agent: issuer\r\n{level}");
        let head = format!("POST {path}?topic={topic}&id={id} {common}");
        match (n % 16, self.bodies) {
            (1 | 6 | 11, true) => {
                let each = (0..SEVERAL).map(|k| format!("\"{}\"", data_of(&id, k)));
                let each: Vec<String> = each.collect();
                let (kind, text) = match n % 16 {
                    6 => ("x-ndjson", each.join("\n")),
                    _ => ("json", format!("[{}]", each.join(","))),
                };
                let (coding, body) = match n % 16 {
                    1 => ("Content-Encoding: gzip\r\n", gzip(text.as_bytes())),
                    _ => ("", text.into_bytes()),
                };
                let more = format!(
                    "Content-Type: application/{kind}\r\n{coding}Content-Length: {}\r\n\r\n",
                    body.len()
                );
                let bytes = [(head + &more).as_bytes(), &body].concat();
                return Event { id, several: SEVERAL, bytes };
            }
            (3, true) => {
                let (first, rest) = data.split_at(length / 2);
                let chunk = |text: &str| match text.len() {
                    0 => String::new(),
                    len => format!("{len:x}\r\n{text}\r\n"),
                };
                let chunks = format!("{}{}0\r\n\r\n", chunk(first), chunk(rest));
                let request = format!("{head}Transfer-Encoding: chunked\r\n\r\n{chunks}");
                return Event { id, several: 0, bytes: request.into_bytes() };
            }
            _ => {}
        }
        let request = if n % 4 == 0 {
            format!("{head}Content-Length: {length}\r\n\r\n{data}")
        } else {
            format!("GET {path}?topic={topic}&id={id}&data={data} {common}\r\n")
        };
        Event { id, several: 0, bytes: request.into_bytes() }
    }
}

/// `<id>.` and up to 399 bytes that follow from n.
fn data(id: &str, n: u64) -> String {
    let filler = FILLER.iter().cycle().skip((n % 36) as usize).take((n * 37 % 400) as usize);
    format!("{id}.{}", filler.map(|&b| char::from(b)).collect::<String>())
}

/// The same for one of several.
fn data_of(id: &str, k: u64) -> String {
    data(&format!("{id}-{k}"), k)
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    // Writing to memory does not fail.
    let _ = encoder.write_all(bytes);
    encoder.finish().unwrap_or_default()
}

fn read(mut bytes: &[u8]) -> io::Result<Vec<Event>> {
    let bad =
        || io::Error::new(io::ErrorKind::InvalidData, "--requests: not `id length` and the bytes");
    let mut events = Vec::new();
    while !bytes.is_empty() {
        let end = bytes.iter().position(|&b| b == b'\n').ok_or_else(bad)?;
        let line = std::str::from_utf8(&bytes[..end]).map_err(|_| bad())?;
        let (id, length) = line.split_once(' ').ok_or_else(bad)?;
        let length: usize = length.parse().map_err(|_| bad())?;
        let rest = &bytes[end + 1..];
        let request = rest.get(..length).ok_or_else(bad)?;
        events.push(Event { id: id.to_owned(), several: 0, bytes: request.to_vec() });
        bytes = &rest[length..];
    }
    Ok(events)
}
