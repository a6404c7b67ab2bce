//! Words -> Settings: each value with its origin, so that a complaint can say where the word stood. Nothing is opened
//! and nobody is asked here; what is wrong is said in one sentence before anything is connected.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use regex::Regex;
use sparkngin_core::event::is_topic;
use sparkngin_core::feed::WINDOW_MAX;
use sparkngin_core::field::{Field, FieldList, FieldName};
use sparkngin_core::format::{Delimiter, Fields, Format, Rendering};
use sparkngin_core::ring::Name;

use crate::access::Access;
use crate::args;
use crate::cursor_topic::Owner;
use crate::keys::{self, Keys};
use crate::letter::Letters;
use crate::log::Form;
use crate::route::{Route, Stamp};
use crate::said::{Value, property};
use crate::topics::{Allowed, Pattern};
use crate::transaction::Transactional;
use crate::word::{Given, Origin, Word, Wrong, size, time, word};

/// The topic of cursors, unless it is named.
const CURSORS: &str = "sparkngin.cursors";
/// The smallest window: a few records of the usual size.
const WINDOW_MIN: u64 = 64 * 1024;

/// Where records go.
#[derive(Clone, Debug)]
pub enum Target {
    /// Kafka, with all that belongs to it.
    Kafka(Box<KafkaSettings>),
    /// Lines in a file; `-` is stdout.
    Lines(PathBuf),
}

/// What only Kafka needs.
#[derive(Clone, Debug)]
pub struct KafkaSettings {
    /// How to reach it.
    pub access: Access,
    /// Which topics events may go to.
    pub allowed: Allowed,
    /// Missing topics are made.
    pub create: bool,
    /// How long records wait for a topic.
    pub grace: Duration,
    /// Where letters go.
    pub letters: Letters,
    /// The topic of cursors: events may not name it, whether or not this subscriber writes there.
    pub cursors: String,
    /// Each record is to be there once.
    pub exact: Option<Transactional>,
}

/// All that `sparkngin subscribe` does.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where nginx publishes.
    pub feeds: Vec<Given<String>>,
    /// For CURVE: none, or as many as feeds.
    pub keys: Vec<Keys>,
    /// The subscriber's name.
    pub name: Name,
    /// Bytes unacknowledged, for each feed.
    pub window: u64,
    /// What records become.
    pub route: Route,
    /// Where they go.
    pub target: Target,
    /// Where the machine's questions are answered.
    pub http: Option<Given<SocketAddr>>,
    /// Where the log goes, and how it is written.
    pub form: Form,
}

impl Settings {
    /// Whether each record is to be in Kafka once.
    pub fn exactly_once(&self) -> bool {
        matches!(&self.target, Target::Kafka(kafka) if kafka.exact.is_some())
    }
}

/// Reads the command line's words.
///
/// # Errors
/// [`Wrong`]: the first one that cannot be.
pub fn settings(args: &args::Subscribe) -> Result<Settings, Wrong> {
    let (feeds, keys) = (feeds(&args.feed)?, keys::read(&args.keys, args.feed.len())?);
    Ok(Settings {
        feeds,
        keys,
        http: http(&args.http, "127.0.0.1:7010")?,
        ..without_feeds(&args.to)?
    })
}

/// The same for who takes records from elsewhere.
///
/// # Errors
/// [`Wrong`], as [`settings`].
pub fn without_feeds(args: &args::Delivery) -> Result<Settings, Wrong> {
    Ok(Settings {
        feeds: Vec::new(),
        keys: Vec::new(),
        name: word(&args.cluster.name, "--name", "kafka").read(str::parse)?,
        window: word(&args.window, "--window", "6m").read(window)?,
        route: route(args)?,
        target: target(args)?,
        http: None,
        form: form(&args.log)?,
    })
}

fn feeds(given: &[String]) -> Result<Vec<Given<String>>, Wrong> {
    let origin = Origin::flag("--feed");
    if given.is_empty() {
        let why = "at least one is needed, such as --feed ipc:///var/lib/nginx/sparkngin/feed.sock";
        return Err(Word { text: "", origin }.wrong(why));
    }
    let mut feeds = Vec::new();
    for (n, text) in given.iter().enumerate() {
        let word = Word { text, origin: origin.clone() };
        let place = text.strip_prefix("ipc://").or_else(|| text.strip_prefix("tcp://"));
        if place.is_none_or(str::is_empty) {
            return Err(word.wrong("it must be ipc:///DIR/feed.sock or tcp://ADDRESS:PORT"));
        }
        // Who connects twice under one name fences itself for ever.
        if given[..n].contains(text) {
            return Err(word.wrong("it stands there twice"));
        }
        feeds.push(Given { value: text.clone(), origin: origin.clone() });
    }
    Ok(feeds)
}

/// How events are written: the words of --format, --delimiter and --fields, and what they are by default.
///
/// # Errors
/// [`Wrong`]: the first one that cannot be.
pub fn rendering(args: &args::Rendering, default: (&str, Fields)) -> Result<Rendering, Wrong> {
    let args::Rendering { format, delimiter, fields } = args;
    let format: Format = word(format, "--format", default.0).read(str::parse)?;
    let between = word(delimiter, "--delimiter", " ");
    if delimiter.is_some() && format != Format::Plain {
        return Err(between.wrong("only --format plain has a delimiter"));
    }
    let delimiter = between.read(|text| Delimiter::parse(text.as_bytes()))?;
    let fields = match fields {
        None => default.1,
        Some(text) => {
            let word = Word { text, origin: Origin::flag("--fields") };
            Fields::Listed(word.read(|text| FieldList::parse(text.split_ascii_whitespace()))?)
        }
    };
    Ok(Rendering { format, delimiter, fields })
}

/// Where the log goes, and how it is written: the word of --log.
///
/// # Errors
/// [`Wrong`]
pub fn form(log: &args::Log) -> Result<Form, Wrong> {
    word(&log.form, "--log", "auto").read(Form::read)
}

fn route(args: &args::Delivery) -> Result<Route, Wrong> {
    let rendering = rendering(&args.rendering, ("json", Fields::All))?;
    let key = match &args.record_key {
        None => Some(Field::Key.into()),
        Some(text) if text.is_empty() => None,
        Some(text) => {
            let word = Word { text, origin: Origin::flag("--record-key") };
            Some(word.read(|text| FieldName::parse(text.as_bytes()))?)
        }
    };
    let stamp = word(&args.timestamp, "--timestamp", "received").read(|text| match text {
        "received" => Ok(Stamp::Received),
        "submitted" => Ok(Stamp::Submitted),
        _ => Err("it must be received or submitted"),
    })?;
    Ok(Route { rendering, key, stamp })
}

fn target(args: &args::Delivery) -> Result<Target, Wrong> {
    let flag = Wrong::flag;
    match (&args.cluster.servers, &args.lines) {
        (Some(_), Some(lines)) => Err(flag("--lines", lines, "it stands in place of --kafka")),
        (None, None) => Err(flag("--kafka", "", "it is needed, such as --kafka 127.0.0.1:9092")),
        (None, Some(lines)) => match args.cluster.property.first() {
            Some(property) => Err(flag("-X", property, "--lines has no Kafka")),
            None => Ok(Target::Lines(PathBuf::from(lines))),
        },
        (Some(servers), None) => Ok(Target::Kafka(Box::new(KafkaSettings {
            exact: exact(args)?,
            cursors: word(&args.cursors, "--cursors", CURSORS).read(topic)?,
            access: access(
                servers,
                &args.compression,
                &args.cluster.property,
                exact(args)?.as_ref(),
            )?,
            allowed: allowed(args)?,
            create: word(&args.create_topics, "--create-topics", "false")
                .read(|text| text.parse::<bool>().map_err(|_| "it must be true or false"))?,
            grace: word(&args.topic_grace, "--topic-grace", "5m").read(time)?,
            letters: word(&args.cluster.dead_letter, "--dead-letter", "topic:sparkngin.dead")
                .read(letters)?,
        }))),
    }
}

/// `--delivery` and what belongs to it.
fn exact(args: &args::Delivery) -> Result<Option<Transactional>, Wrong> {
    let exactly = word(&args.delivery, "--delivery", "at-least-once").read(|text| match text {
        "at-least-once" => Ok(false),
        "exactly-once" => Ok(true),
        _ => Err("it must be at-least-once or exactly-once"),
    })?;
    let id = word(&args.transactional_id, "--transactional-id", "");
    let interval = word(&args.commit_interval, "--commit-interval", "100ms");
    if !exactly {
        for (word, given) in [(id, &args.transactional_id), (interval, &args.commit_interval)] {
            if given.is_some() {
                return Err(word.wrong("it belongs to --delivery exactly-once"));
            }
        }
        return Ok(None);
    }
    let letters = word(&args.cluster.dead_letter, "--dead-letter", "topic:");
    if letters.text.starts_with("file:") {
        return Err(letters.wrong("a file is no part of a transaction, exactly-once needs a topic"));
    }
    let name = args.cluster.name.as_deref().unwrap_or("kafka");
    let default = format!("sparkngin.{name}");
    let id = word(&args.transactional_id, "--transactional-id", &default).read(topic)?;
    let range = Duration::from_millis(1)..=Duration::from_secs(10);
    let interval = interval.read(|text| {
        let time = time(text).ok().filter(|time| range.contains(time));
        time.ok_or("it must be a time between 1ms and 10s")
    })?;
    let topic = word(&args.cursors, "--cursors", CURSORS).read(topic)?;
    Ok(Some(Transactional { id, topic, interval, owner: Owner::this_process() }))
}

/// A name that Kafka takes for a topic.
///
/// # Errors
/// What it must be.
pub fn topic(text: &str) -> Result<String, &'static str> {
    match is_topic(text.as_bytes()) {
        true => Ok(text.to_owned()),
        false => Err("it must be 1 to 249 of a-z, A-Z, 0-9, `.`, `_` and `-`"),
    }
}

/// How to reach Kafka: `--kafka`, `--compression` and `-X`.
///
/// # Errors
/// [`Wrong`]: the first word that cannot be.
pub fn access(
    servers: &str,
    compression: &Option<String>,
    properties: &[String],
    exact: Option<&Transactional>,
) -> Result<Access, Wrong> {
    let word_ = Word { text: servers, origin: Origin::flag("--kafka") };
    let server = |s: &str| {
        s.rsplit_once(':')
            .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
    };
    if !servers.split(',').all(server) {
        return Err(word_.wrong("it must be host:port, or several joined by commas"));
    }
    let compression = word(compression, "--compression", "lz4");
    if !["lz4", "zstd", "none"].contains(&compression.text) {
        return Err(compression.wrong("it must be lz4, zstd or none"));
    }
    let id = exact.map(|own| own.id.as_str());
    let access = |properties: &[_]| Access::new(servers, compression.text, properties, id);
    let mut read = Vec::new();
    for text in properties {
        // Its name alone is said when it is wrong: the value may be a secret.
        let (name, value) = property(text);
        let word = Word { text: name, origin: Origin::flag("-X") };
        let value = match value {
            Some(Value::Text(value)) => value.to_owned(),
            Some(Value::File(path)) => word.read(|_| secret(path))?,
            None => return Err(word.wrong("it must be PROPERTY=VALUE or PROPERTY@FILE")),
        };
        read.push((name.to_owned(), value));
        word.read(|_| access(&read))?;
    }
    word_.read(|_| access(&read))
}

/// What a file has, but for the line's end that editors leave there.
fn secret(path: &str) -> Result<String, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    Ok(text.strip_suffix('\r').unwrap_or(text).to_owned())
}

fn allowed(args: &args::Delivery) -> Result<Allowed, Wrong> {
    let Some(list) = &args.topics else { return Ok(Allowed::Existing) };
    let patterns = list.split(',').map(|text| pattern("--topics", text.trim()));
    Ok(Allowed::Listed(patterns.collect::<Result<_, _>>()?))
}

/// A topic's name, or `~` and a regex for the whole of it.
///
/// # Errors
/// [`Wrong`], when it is neither.
pub fn pattern(flag: &'static str, text: &str) -> Result<Pattern, Wrong> {
    let word = Word { text, origin: Origin::flag(flag) };
    match text.strip_prefix('~') {
        Some(regex) => {
            let whole = format!("^(?:{regex})$");
            Ok(Pattern::Matches(word.read(|_| {
                // Its errors draw the expression over several lines; the last one says it.
                Regex::new(&whole).map_err(|error| {
                    error.to_string().lines().last().unwrap_or("not a regex").trim().to_owned()
                })
            })?))
        }
        None if is_topic(text.as_bytes()) => Ok(Pattern::Name(text.to_owned())),
        None => Err(word.wrong("neither a legal topic name nor a ~regex")),
    }
}

/// Where dead letters go, as `--dead-letter` says it.
///
/// # Errors
/// What it must be.
pub fn letters(text: &str) -> Result<Letters, &'static str> {
    match text.split_once(':') {
        Some(("topic", name)) if is_topic(name.as_bytes()) => Ok(Letters::Topic(name.to_owned())),
        Some(("topic", _)) => Err("it is no legal topic name"),
        Some(("file", path)) if !path.is_empty() => Ok(Letters::File(PathBuf::from(path))),
        _ => Err("it must be topic:NAME or file:PATH"),
    }
}

/// Where the machine's questions are answered: the word of --http.
///
/// # Errors
/// [`Wrong`]
pub fn http(given: &Option<String>, default: &str) -> Result<Option<Given<SocketAddr>>, Wrong> {
    let word = word(given, "--http", default);
    if word.text == "off" {
        return Ok(None);
    }
    let value = word.read(|text| match text.parse::<u16>() {
        Ok(port) => Ok(SocketAddr::from(([127, 0, 0, 1], port))),
        Err(_) => text.parse().map_err(|_| "it must be ADDRESS:PORT, a port, or off"),
    })?;
    Ok(Some(Given { value, origin: word.origin }))
}

fn window(text: &str) -> Result<u64, String> {
    let bytes = size(text)?;
    if (WINDOW_MIN..=WINDOW_MAX).contains(&bytes) {
        Ok(bytes)
    } else {
        Err("it must be between 64k and 64m".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(change: impl FnOnce(&mut args::Subscribe)) -> args::Subscribe {
        let mut args = args::Subscribe {
            feed: vec!["ipc:///tmp/feed.sock".into()],
            ..args::Subscribe::default()
        };
        args.to.cluster.servers = Some("127.0.0.1:9092".into());
        change(&mut args);
        args
    }

    fn wrong(change: impl FnOnce(&mut args::Subscribe)) -> String {
        settings(&args(change)).unwrap_err().to_string()
    }

    #[test]
    fn the_defaults_are_those_of_the_help() {
        let settings = settings(&args(|_| ())).unwrap();
        assert_eq!((settings.name.as_str(), settings.window), ("kafka", 6 << 20));
        assert_eq!(settings.http.unwrap().value, "127.0.0.1:7010".parse().unwrap());
        assert_eq!(settings.route.key, Some(Field::Key.into()));
        let Target::Kafka(kafka) = settings.target else { panic!() };
        assert_eq!(kafka.grace, Duration::from_secs(300));
        assert_eq!(kafka.letters, Letters::Topic("sparkngin.dead".into()));
        assert!(matches!(kafka.allowed, Allowed::Existing));
    }

    #[test]
    fn each_wrong_word_is_told_in_one_line_that_names_its_flag() {
        type Change = fn(&mut args::Subscribe);
        let rows: &[(&str, Change)] = &[
            ("--feed", |a| a.feed.clear()),
            ("--feed", |a| a.feed = vec!["/tmp/feed.sock".into()]),
            ("--feed", |a| a.feed.push("ipc:///tmp/feed.sock".into())),
            ("--kafka", |a| a.to.cluster.servers = None),
            ("--kafka", |a| a.to.cluster.servers = Some("localhost".into())),
            ("--lines", |a| a.to.lines = Some("-".into())),
            ("--name", |a| a.to.cluster.name = Some("a b".into())),
            ("--window", |a| a.to.window = Some("1k".into())),
            ("--window", |a| a.to.window = Some("65m".into())),
            ("--window", |a| a.to.window = Some("eight".into())),
            ("-X", |a| a.to.cluster.property = vec!["acks=1".into()]),
            ("-X", |a| a.to.cluster.property = vec!["no.such=1".into()]),
            ("-X", |a| a.to.cluster.property = vec!["socket.keepalive.enable=perhaps".into()]),
            ("-X", |a| a.to.cluster.property = vec!["linger".into()]),
            ("-X", |a| a.to.cluster.property = vec!["sasl.pasword=s3cret".into()]),
            ("-X", |a| a.to.cluster.property = vec!["sasl.password:s3cret".into()]),
            ("--compression", |a| a.to.compression = Some("rar".into())),
            ("--topics", |a| a.to.topics = Some("a,b c".into())),
            ("--topics", |a| a.to.topics = Some("~(".into())),
            ("--topic-grace", |a| a.to.topic_grace = Some("soon".into())),
            ("--dead-letter", |a| a.to.cluster.dead_letter = Some("sparkngin.dead".into())),
            ("--dead-letter", |a| a.to.cluster.dead_letter = Some("topic:a b".into())),
            ("--delivery", |a| a.to.delivery = Some("at-most-once".into())),
            ("--cursors", |a| a.to.cursors = Some("a b".into())),
            ("--transactional-id", |a| a.to.transactional_id = Some("x".into())),
            ("--commit-interval", |a| a.to.commit_interval = Some("1s".into())),
            ("--commit-interval", |a| {
                a.to.delivery = Some("exactly-once".into());
                a.to.commit_interval = Some("11s".into());
            }),
            ("--dead-letter", |a| {
                a.to.delivery = Some("exactly-once".into());
                a.to.cluster.dead_letter = Some("file:/tmp/dead".into());
            }),
            ("-X", |a| {
                a.to.delivery = Some("exactly-once".into());
                a.to.cluster.property = vec!["transaction.timeout.ms=never".into()];
            }),
            ("--record-key", |a| a.to.record_key = Some("%a".into())),
            ("--format", |a| a.to.rendering.format = Some("xml".into())),
            ("--delimiter", |a| a.to.rendering.delimiter = Some(",".into())),
            ("--fields", |a| a.to.rendering.fields = Some("%a".into())),
            ("--timestamp", |a| a.to.timestamp = Some("now".into())),
            ("--http", |a| a.http = Some("localhost".into())),
            ("--log", |a| a.to.log.form = Some("xml".into())),
        ];
        for (flag, change) in rows {
            let text = wrong(*change);
            assert!(text.starts_with(flag) && !text.contains('\n'), "{flag}: {text}");
            assert!(!text.contains("perhaps") && !text.contains("s3cret"), "{text}");
        }
    }

    #[test]
    fn their_right_twins_are_read() {
        let settings = settings(&args(|a| {
            a.feed.push("tcp://127.0.0.1:7001".into());
            a.to.window = Some("512k".into());
            a.to.cluster.property = vec!["security.protocol=plaintext".into()];
            a.to.topics = Some("orders,~clicks\\..*".into());
            a.to.topic_grace = Some("1500ms".into());
            a.to.cluster.dead_letter = Some("file:/tmp/dead".into());
            a.to.record_key = Some("%user%".into());
            a.to.rendering.format = Some("plain".into());
            a.to.rendering.delimiter = Some("\t".into());
            a.to.rendering.fields = Some("%ip% %topic%".into());
            a.to.timestamp = Some("submitted".into());
            a.http = Some("off".into());
        }))
        .unwrap();
        assert_eq!((settings.feeds.len(), settings.window), (2, 512 << 10));
        assert!(settings.http.is_none());
        let Target::Kafka(kafka) = settings.target else { panic!() };
        assert_eq!(kafka.grace, Duration::from_millis(1500));
        assert_eq!(kafka.letters, Letters::File("/tmp/dead".into()));
        assert_eq!(settings.route.stamp, Stamp::Submitted);
        assert_eq!(settings.route.key, Some(FieldName::parse(b"user").unwrap()));
    }
}
