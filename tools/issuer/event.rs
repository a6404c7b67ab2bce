//! What is sent: events made of their number, or requests that a test prepared.

use std::fs;
use std::io;

/// One request, complete.
pub struct Event {
    /// The test's name for it.
    pub id: String,
    /// The request's bytes.
    pub bytes: Vec<u8>,
}

/// Where events come from.
pub struct Source {
    path: String,
    prefix: String,
    topic: String,
    topics: u64,
    next: u64,
    end: u64,
    prepared: Option<std::vec::IntoIter<Event>>,
}

const FILLER: &[u8] = b"0123456789abcdefghijklmnopqrstuvwxyz";

impl Source {
    /// With a `requests` file, its requests; else `count` events, spread over `topics` topics.
    pub fn new(
        requests: &str,
        path: &str,
        prefix: &str,
        topic: &str,
        topics: u64,
        count: u64,
    ) -> io::Result<Source> {
        let prepared =
            if requests.is_empty() { None } else { Some(read(&fs::read(requests)?)?.into_iter()) };
        Ok(Source {
            path: path.to_owned(),
            prefix: prefix.to_owned(),
            topic: topic.to_owned(),
            topics: topics.max(1),
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

    /// Three GETs and a POST, then again. The data is `<id>.` and up to 399 bytes that follow from n.
    fn made(&self, n: u64) -> Event {
        let id = format!("{}{n}", self.prefix);
        let start = (n % 36) as usize;
        let filler = FILLER.iter().cycle().skip(start).take((n * 37 % 400) as usize);
        let data = format!("{id}.{}", filler.map(|&b| char::from(b)).collect::<String>());
        let topic = match self.topics {
            1 => self.topic.clone(),
            topics => format!("{}-{}", self.topic, n % topics),
        };
        let (path, length) = (&self.path, data.len());
        let request = if n % 4 == 0 {
            format!(
                "POST {path}?topic={topic}&id={id} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: issuer\r\n\
                 Content-Length: {length}\r\n\r\n{data}"
            )
        } else {
            format!(
                "GET {path}?topic={topic}&id={id}&data={data} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: issuer\r\n\r\n"
            )
        };
        Event { id, bytes: request.into_bytes() }
    }
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
        events.push(Event { id: id.to_owned(), bytes: request.to_vec() });
        bytes = &rest[length..];
    }
    Ok(events)
}
