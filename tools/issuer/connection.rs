//! One connection: a request at a time, opened again when the server closes it.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};

use crate::event::Event;

/// What became of a request.
pub struct Line {
    /// Its id.
    pub id: String,
    /// How many events it holds, as [`Event::several`] has it.
    pub several: u64,
    /// Of 207: the events that are not stored, and their statuses.
    pub refused: Vec<(u64, u16)>,
    /// The answer's status; 0 where none came.
    pub status: u16,
    /// When it was handed over, µs since 1970.
    pub sent: u128,
}

struct Pending {
    event: Event,
    written: usize,
    sent: u128,
    since: Instant,
}

/// A keep-alive connection and the request on it.
pub struct Connection {
    ports: Vec<u16>,
    next_port: usize,
    stream: Option<TcpStream>,
    retry: Option<Instant>,
    pending: Option<Pending>,
    answer: Vec<u8>,
    patience: Duration,
}

impl Connection {
    /// Not open yet; the n-th of them begins with the n-th port. It waits so long for an answer.
    pub fn new(ports: &[u16], n: usize, patience: Duration) -> Connection {
        let ports = ports.to_vec();
        Connection {
            ports,
            next_port: n,
            stream: None,
            retry: None,
            pending: None,
            answer: Vec::new(),
            patience,
        }
    }

    /// Whether it waits for an answer.
    pub fn is_busy(&self) -> bool {
        self.pending.is_some()
    }

    /// Whether it can take a request: open, or opened now.
    pub fn is_idle(&mut self, now: Instant) -> bool {
        if self.is_busy() || self.retry.is_some_and(|at| now < at) {
            return false;
        }
        if self.stream.as_ref().is_some_and(closed) {
            self.stream = None;
        }
        if self.stream.is_none() {
            self.open(now);
        }
        self.stream.is_some()
    }

    fn open(&mut self, now: Instant) {
        let port = self.ports[self.next_port % self.ports.len()];
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let opened =
            TcpStream::connect_timeout(&address, Duration::from_millis(200)).and_then(|stream| {
                stream.set_nodelay(true)?;
                stream.set_nonblocking(true)?;
                Ok(stream)
            });
        match opened {
            Ok(stream) => {
                self.stream = Some(stream);
                self.retry = None;
            }
            Err(_) => {
                self.next_port += 1;
                self.retry = Some(now + Duration::from_millis(5));
            }
        }
    }

    /// Begins a request; its end comes from `turn`.
    pub fn send(&mut self, event: Event, now: Instant, sent: u128) {
        self.answer.clear();
        self.pending = Some(Pending { event, written: 0, sent, since: now });
    }

    /// What to wait for.
    pub fn wait(&self) -> Option<PollFd<'_>> {
        let pending = self.pending.as_ref()?;
        let left = pending.written < pending.event.bytes.len();
        let flags = if left { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN };
        self.stream.as_ref().map(|stream| PollFd::new(stream, flags))
    }

    /// Writes and reads what can be; what became of the request, once it has come to its end.
    pub fn turn(&mut self, now: Instant) -> Option<Line> {
        self.pending.as_ref()?;
        match self.exchange() {
            Some(status) => self.end(status),
            None if self
                .pending
                .as_ref()
                .is_some_and(|p| now.duration_since(p.since) > self.patience) =>
            {
                self.stream = None;
                self.end(0)
            }
            None => None,
        }
    }

    fn end(&mut self, status: u16) -> Option<Line> {
        let Pending { event: Event { id, several, .. }, sent, .. } = self.pending.take()?;
        let refused = if status == 207 { refused(&self.answer) } else { Vec::new() };
        Some(Line { id, several, refused, status, sent })
    }

    /// The end without an answer, for a request still under way.
    pub fn give_up(&mut self) -> Option<Line> {
        self.end(0)
    }

    /// The answer's status once it is complete; 0 when the connection ended before.
    fn exchange(&mut self) -> Option<u16> {
        let (Some(stream), Some(pending)) = (self.stream.as_mut(), self.pending.as_mut()) else {
            return Some(0);
        };
        while pending.written < pending.event.bytes.len() {
            match stream.write(&pending.event.bytes[pending.written..]) {
                Ok(n) => pending.written += n,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => break, // an answer may be there nevertheless
            }
        }
        let mut buffer = [0; 4096];
        loop {
            match stream.read(&mut buffer) {
                Ok(0) => {
                    self.stream = None;
                    return Some(self.complete(true).unwrap_or(0));
                }
                Ok(n) => self.answer.extend_from_slice(&buffer[..n]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return self.complete(false),
                Err(_) => {
                    self.stream = None;
                    return Some(self.complete(true).unwrap_or(0));
                }
            }
        }
    }

    fn complete(&mut self, ended: bool) -> Option<u16> {
        let head = self.answer.windows(4).position(|w| w == b"\r\n\r\n")? + 4;
        let text = String::from_utf8_lossy(&self.answer[..head]).to_ascii_lowercase();
        let status: u16 = text.split(' ').nth(1)?.parse().ok()?;
        let length = text
            .split("\r\ncontent-length:")
            .nth(1)
            .and_then(|rest| rest.lines().next()?.trim().parse().ok());
        let length: usize = if status == 204 { 0 } else { length.unwrap_or(0) };
        if self.answer.len() < head + length && !ended {
            return None;
        }
        if text.contains("\r\nconnection: close") {
            self.stream = None;
        }
        Some(status)
    }
}

/// The indexes and statuses in the list of a 207.
fn refused(answer: &[u8]) -> Vec<(u64, u16)> {
    let text = String::from_utf8_lossy(answer);
    let each = text.split("{\"index\":").skip(1);
    each.filter_map(|one| {
        let (index, rest) = one.split_once(",\"status\":")?;
        Some((index.parse().ok()?, rest.split(',').next()?.parse().ok()?))
    })
    .collect()
}

/// Whether the server has closed an idle connection.
fn closed(stream: &TcpStream) -> bool {
    !matches!(stream.peek(&mut [0]), Err(error) if error.kind() == ErrorKind::WouldBlock)
}
