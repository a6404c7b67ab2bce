//! Sends events over many keep-alive connections at a rate, and writes down what each one was answered.
//!
//! ```text
//! issuer --ports 8080,8081 --log FILE [--rate 2000] [--connections 32] [--count N] [--path /sn/log]
//!        [--prefix e] [--topic load] [--topics 1] [--bodies 1] [--levels 1] [--requests FILE] [--patience 10]
//! ```
//! Each event has an id of its own, `<prefix><n>`, and is never repeated: an answer, or none, is its last word. A line
//! of the log is `id status sent done`, times in µs since 1970, status 0 where no answer came (the event may be there
//! or not): none within `--patience` seconds. With `--bodies 1` some requests hold several events, `<id>-0`, `<id>-1` ...,
//! some are compressed, and some chunked; with `--levels 1` some ask for `disk`, a few for `kafka`. `--requests FILE` sends prepared requests instead, each `id length\n` and
//! its bytes. It ends after `--count` events, or when its standard input is closed, once all that was sent is answered
//! or 5 s have passed.

mod connection;
mod event;

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use connection::{Connection, Line};
use event::Source;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("issuer: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What the command line says, by name.
struct Options(HashMap<String, String>);

impl Options {
    fn read() -> io::Result<Options> {
        let mut found = HashMap::new();
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            let name =
                word.strip_prefix("--").ok_or_else(|| wrong(format!("not an option: {word}")))?;
            let value = words.next().ok_or_else(|| wrong(format!("--{name} needs a value")))?;
            found.insert(name.to_owned(), value);
        }
        Ok(Options(found))
    }

    fn text<'a>(&'a self, name: &str, default: &'a str) -> &'a str {
        self.0.get(name).map_or(default, String::as_str)
    }

    fn number(&self, name: &str, default: u64) -> io::Result<u64> {
        match self.0.get(name) {
            None => Ok(default),
            Some(text) => text.parse().map_err(|_| wrong(format!("--{name} {text}: not a number"))),
        }
    }
}

fn wrong(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, what)
}

/// Micro-seconds since 1970, as the log has them.
fn micros() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros()
}

fn run() -> io::Result<()> {
    let options = Options::read()?;
    let ports = options
        .text("ports", "")
        .split(',')
        .map(|port| port.parse().map_err(|_| wrong(format!("--ports: {port} is no port"))))
        .collect::<io::Result<Vec<u16>>>()?;
    let source = Source::new(
        options.text("requests", ""),
        options.text("path", "/sn/log"),
        options.text("prefix", "e"),
        options.text("topic", "load"),
        options.number("topics", 1)?,
        options.number("bodies", 0)? > 0,
        options.number("levels", 0)? > 0,
        options.number("count", u64::MAX)?,
    )?;
    let patience = Duration::from_secs(options.number("patience", 10)?);
    let connections = (0..options.number("connections", 32)?)
        .map(|n| Connection::new(&ports, usize::try_from(n).unwrap_or(0), patience))
        .collect();
    let log = BufWriter::new(File::create(options.text("log", "/dev/stdout"))?);
    let pace = Pace::new(options.number("rate", 2000)?.max(1));
    Issuer { source, connections, log, pace, leaving: None }.run()
}

struct Issuer {
    source: Source,
    connections: Vec<Connection>,
    log: BufWriter<File>,
    pace: Pace,
    /// Since when nothing more is sent.
    leaving: Option<Instant>,
}

impl Issuer {
    fn run(mut self) -> io::Result<()> {
        loop {
            let now = Instant::now();
            if self.leaving.is_none() && !self.send(now) {
                self.leaving = Some(now);
            }
            for connection in &mut self.connections {
                if let Some(line) = connection.turn(now) {
                    write(&mut self.log, &line)?;
                }
            }
            self.log.flush()?;
            if let Some(since) = self.leaving {
                let busy = self.connections.iter().any(Connection::is_busy);
                if !busy || since.elapsed() > Duration::from_secs(5) {
                    break;
                }
            }
            self.wait()?;
        }
        for line in self.connections.iter_mut().filter_map(Connection::give_up) {
            write(&mut self.log, &line)?;
        }
        self.log.flush()
    }

    /// Gives what is due to connections that wait for nothing; false once there is no more.
    fn send(&mut self, now: Instant) -> bool {
        for connection in &mut self.connections {
            // A connection is opened for an event that is due, not ahead: a leaving worker waits for one without a request.
            if !self.pace.is_due(now) {
                break;
            }
            if !connection.is_idle(now) {
                continue;
            }
            self.pace.next(now);
            let Some(event) = self.source.next_event() else { return false };
            connection.send(event, now, micros());
        }
        true
    }

    fn wait(&mut self) -> io::Result<()> {
        let stdin = io::stdin();
        let mut waits = self.connections.iter().filter_map(Connection::wait).collect::<Vec<_>>();
        if self.leaving.is_none() {
            waits.push(PollFd::new(&stdin, PollFlags::IN));
        }
        let timeout = Timespec { tv_sec: 0, tv_nsec: self.pace.wait(self.leaving.is_some()) };
        match poll(&mut waits, Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        // Whoever started this closes our input to end it; nothing is ever written there.
        if self.leaving.is_none() && waits.last().is_some_and(|wait| !wait.revents().is_empty()) {
            self.leaving = Some(Instant::now());
        }
        Ok(())
    }
}

/// A line for each event of a request.
fn write(log: &mut impl Write, line: &Line) -> io::Result<()> {
    let Line { id, several, refused, status, sent } = line;
    let now = micros();
    if *several == 0 {
        return writeln!(log, "{id} {status} {sent} {now}");
    }
    for k in 0..*several {
        let own = refused.iter().find(|(index, _)| *index == k).map(|(_, status)| *status);
        // What a 207 does not name is stored.
        let status = own.unwrap_or(if *status == 207 { 204 } else { *status });
        writeln!(log, "{id}-{k} {status} {sent} {now}")?;
    }
    Ok(())
}

/// When the next event is due. What could not be sent in time is not made up for by more than 50 ms' worth.
struct Pace {
    gap: Duration,
    next: Instant,
}

impl Pace {
    fn new(rate: u64) -> Pace {
        Pace { gap: Duration::from_nanos(1_000_000_000 / rate), next: Instant::now() }
    }

    fn is_due(&self, now: Instant) -> bool {
        now >= self.next
    }

    fn next(&mut self, now: Instant) {
        let earliest = now.checked_sub(Duration::from_millis(50)).unwrap_or(now);
        self.next = self.next.max(earliest) + self.gap;
    }

    /// Nanoseconds until something is due: about one poll a millisecond, so many events go out together.
    fn wait(&self, leaving: bool) -> i64 {
        if leaving {
            return 5_000_000;
        }
        let left = self.next.saturating_duration_since(Instant::now()).as_nanos();
        i64::try_from(left).unwrap_or(5_000_000).clamp(1_000_000, 5_000_000)
    }
}
