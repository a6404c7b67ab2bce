//! `sparkngin audit`: reads topics back and closes the books, by stream and hour. Commits nothing and changes nothing.
//!
//! ```text
//!   rings -> RingStream --+
//!   topics -> Partition --+--> Books -> Closed -> a line a stream, or JSON
//!   dead letters, holes --+
//! ```
//!
//! The rings are asked first: what they call acknowledged is in Kafka by then. Then the ends of all partitions are
//! noted, and each is read to where it ended.

mod books;
mod letters;
mod report;
mod rings;
mod seqs;
#[cfg(test)]
mod tests;
mod topics;

use std::io::{self, Write};

use rdkafka::message::{BorrowedMessage, Headers, Message};
use sparkngin_core::ring::Name;

use self::books::{Books, Partition};
use self::report::{Report, Topic};
use self::topics::{Extents, Topics};
use crate::access::Access;
use crate::args;
use crate::config;
use crate::letter::{self, Letters};
use crate::topics::Pattern;
use crate::word::{Origin, Word, Wrong, word};

/// ms of an hour.
const HOUR: i64 = 3_600_000;

/// Why it ended, if not with balanced books.
#[derive(Debug)]
pub enum Ended {
    /// A word that cannot be.
    Wrong(String),
    /// Something is unexplained, or could not be read.
    Failed(String),
}

struct Settings {
    access: Access,
    patterns: Vec<Pattern>,
    name: Name,
    letters: Letters,
}

/// Audits, and prints the books.
///
/// # Errors
/// [`Ended`], a sentence for stderr.
pub fn run(args: &args::Audit) -> Result<(), Ended> {
    let settings = settings(args).map_err(|wrong| Ended::Wrong(wrong.to_string()))?;
    let mut books = Books::default();
    for dir in &args.ring {
        rings::add(dir, &settings.name, &mut books).map_err(Ended::Failed)?;
    }
    let topics = Topics::new(&settings.access).map_err(Ended::Failed)?;
    let report = read(&topics, &settings, books)?;
    let written = match args.json {
        true => report.json(&mut io::stdout().lock(), args.exactly_once),
        false => report.text(&mut io::stdout().lock()),
    };
    match written.and_then(|()| io::stdout().flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            return Err(Ended::Failed(error.to_string()));
        }
        _ => {}
    }
    match report.verdict(args.exactly_once) {
        None => Ok(()),
        Some(text) => Err(Ended::Failed(text)),
    }
}

fn settings(args: &args::Audit) -> Result<Settings, Wrong> {
    let missing = |flag, why| Word { text: "", origin: Origin::flag(flag) }.wrong(why);
    let servers = args
        .cluster
        .servers
        .as_ref()
        .ok_or_else(|| missing("--kafka", "it is needed, such as --kafka 127.0.0.1:9092"))?;
    if args.topic.is_empty() {
        return Err(missing("--topic", "at least one is needed, such as --topic clicks"));
    }
    let patterns = args.topic.iter().map(|text| config::pattern("--topic", text));
    Ok(Settings {
        patterns: patterns.collect::<Result<_, _>>()?,
        name: word(&args.cluster.name, "--name", "kafka").read(str::parse)?,
        letters: word(&args.cluster.dead_letter, "--dead-letter", "topic:sparkngin.dead")
            .read(config::letters)?,
        access: config::access(servers, &None, &args.cluster.property, None)?,
    })
}

fn read(topics: &Topics, settings: &Settings, mut books: Books) -> Result<Report, Ended> {
    let dead = match &settings.letters {
        Letters::Topic(topic) => Some(topic.as_str()),
        Letters::File(_) => None,
    };
    let found = topics.matching(&settings.patterns, dead).map_err(Ended::Failed)?;
    for pattern in &settings.patterns {
        let Pattern::Name(name) = pattern else { continue };
        if !found.contains_key(name) {
            return Err(Ended::Wrong(format!("--topic {name:?}: Kafka has no such topic")));
        }
    }
    let letters: Vec<Pattern> =
        dead.map(|topic| Pattern::Name(topic.to_owned())).into_iter().collect();
    let letters = topics.matching(&letters, None).map_err(Ended::Failed)?;
    let mut report = Report::default();
    let mut expired = None;
    read_events(topics, &found, &mut books, &mut report, &mut expired).map_err(Ended::Failed)?;
    read_letters(topics, &letters, &mut books, &mut report).map_err(Ended::Failed)?;
    if let Letters::File(path) = &settings.letters {
        report.letters = letters::read_file(path, &mut books)
            .map_err(|error| Ended::Failed(format!("{}: {error}", path.display())))?;
    }
    report.streams = books.close(expired);
    if report.missing() > 0 {
        // A hint, and no more: what was found stands without it.
        report.unnamed = topics.others(&found, dead).unwrap_or(0);
    }
    Ok(report)
}

fn read_events(
    topics: &Topics,
    found: &Extents,
    books: &mut Books,
    report: &mut Report,
    expired: &mut Option<u64>,
) -> Result<(), String> {
    for (name, extents) in found {
        let mut of = Topic::new(name, extents);
        for extent in extents {
            let mut partition = Partition::default();
            let mut first = None;
            topics.read(name, extent, |message| {
                let hour = hour(message);
                first.get_or_insert(hour);
                of.records += 1;
                match header(message, "sg").and_then(|sg| sg.parse().ok()) {
                    Some(id) => partition.take(id, hour),
                    None => of.foreign += 1,
                }
            })?;
            if extent.from > 0 {
                // What was deleted is older than what is still there; of an empty partition nobody knows.
                *expired = (*expired).max(Some(first.unwrap_or(u64::MAX)));
            }
            books.add(partition);
        }
        report.topics.push(of);
    }
    Ok(())
}

fn read_letters(
    topics: &Topics,
    dead: &Extents,
    books: &mut Books,
    report: &mut Report,
) -> Result<(), String> {
    for (name, extents) in dead {
        for extent in extents {
            topics.read(name, extent, |message| {
                let (id, hole) = (header(message, "sg"), header(message, letter::HOLE));
                letters::add(id, hole, books, &mut report.letters);
            })?;
        }
    }
    Ok(())
}

/// A header's text, the first one of this name.
fn header<'a>(message: &'a BorrowedMessage<'_>, name: &str) -> Option<&'a str> {
    let headers = message.headers()?;
    let value = headers.iter().find(|header| header.key == name)?.value?;
    std::str::from_utf8(value).ok()
}

fn hour(message: &BorrowedMessage<'_>) -> u64 {
    message.timestamp().to_millis().map_or(0, |ms| (ms / HOUR).max(0) as u64)
}
