//! A ring with a publisher, a mock Kafka that fails on command, and the program between them as a process of its own.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers, Message};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use sparkngin_core::event::{Event, HeaderFields, Intake, Request};
use sparkngin_core::format::{Fields, Format, Rendering, binary};
use sparkngin_core::ring::{Books, Configuration, Lease, Ledger, Overflow, Ring, Wanted, Writer};
use sparkngin_publisher::{Handle, Settings, start};

/// Ten times what anything here takes.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// Partitions of topics that a test makes; the mock gives others four.
pub const PARTITIONS: i32 = 3;

/// Waits until `look` gives something: the one place where these tests wait.
#[track_caller]
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        thread::park_timeout(Duration::from_millis(2));
    }
}

/// Waits until a number that rises is this one, as long as it rises.
#[track_caller]
pub fn until_all(what: &str, all: u64, mut look: impl FnMut() -> u64) {
    let mut seen = look();
    while seen != all {
        assert!(seen < all, "{what}: {seen}, more than {all}");
        seen = until(&format!("{what}: more than {seen}"), || Some(look()).filter(|n| *n > seen));
    }
}

/// A directory, gone at the end.
pub struct Dir(PathBuf);

impl Dir {
    pub fn new() -> Dir {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("sgs-{}-{number}", std::process::id()));
        fs::create_dir(&dir).unwrap();
        Dir(dir)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What nginx does: a writer, and a publisher that can go and come back.
pub struct Source {
    pub dir: Dir,
    ring: Ring,
    writer: Writer,
    publisher: Option<Handle>,
    policy: Overflow,
}

impl Source {
    pub fn new() -> Source {
        Source::with(256, Overflow::Reject)
    }

    /// So many blocks of 64 KiB.
    pub fn with(blocks: u64, policy: Overflow) -> Source {
        let dir = Dir::new();
        let bytes = blocks * 65536;
        let wanted = Wanted { dir: dir.path().to_owned(), bytes, block_bytes: 65536 };
        let ring = Ring::open_or_make(&wanted).unwrap();
        let writer = Writer::take(ring.again().unwrap()).unwrap();
        let mut source = Source { dir, ring, writer, publisher: None, policy };
        source.publish();
        source
    }

    pub fn feed(&self) -> String {
        format!("ipc://{}/feed.sock", self.dir.path().display())
    }

    pub fn live(&self) -> String {
        format!("ipc://{}/live.sock", self.dir.path().display())
    }

    /// Begins to publish, as soon as the lease is free.
    pub fn publish(&mut self) {
        let dir = self.dir.path();
        let lease = until("the lease", || Lease::try_take(dir).unwrap());
        let rendering =
            Rendering { format: Format::Json, delimiter: Default::default(), fields: Fields::All };
        let subscribers = vec!["kafka".parse().unwrap()];
        let configuration = Configuration { policy: self.policy, subscribers, configured_at: 1 };
        let (live, feed) = (self.live(), self.feed());
        let settings = Settings { live, feed, curve: None, rendering, gzip: false, configuration };
        self.publisher = Some(start(lease, self.ring.again().unwrap(), settings).unwrap());
    }

    pub fn stop_publishing(&mut self) {
        self.publisher = None;
    }

    /// One event for a topic; its `sg`.
    pub fn event(&mut self, topic: &str, query: &str) -> String {
        let bytes = stored(&format!("topic={topic}&{query}"));
        self.writer.append(now(), &bytes).unwrap().id().to_string()
    }

    /// Bytes that are no event.
    pub fn garbage(&mut self, bytes: &[u8]) -> String {
        self.writer.append(now(), bytes).unwrap().id().to_string()
    }

    /// `count` events with the data 0, 1, 2 ...; their `sg`s, in order.
    pub fn events(&mut self, topic: &str, count: usize) -> Vec<String> {
        (0..count).map(|n| self.event(topic, &format!("data={n}"))).collect()
    }

    /// The same event so many times, quickly.
    pub fn burst(&mut self, topic: &str, count: u64) {
        let (now, bytes) = (now(), stored(&format!("topic={topic}&data=0")));
        for _ in 0..count {
            self.writer.append(now, &bytes).unwrap();
        }
    }

    /// The subscriber's books; its name is in the ring once a publisher has begun.
    #[track_caller]
    pub fn books(&self) -> Books {
        until("its name in the ring", || {
            let ledger = Ledger::read(&self.ring);
            Some(ledger.subscribers.iter().find(|s| s.name.as_str() == "kafka")?.books)
        })
    }

    /// Waits until everything committed is acknowledged, one way or another.
    #[track_caller]
    pub fn drained(&self) -> Books {
        until("an empty ring", || {
            let books = self.books();
            (books.committed > 0 && books.in_ring == 0).then_some(books)
        })
    }
}

pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64
}

fn stored(query: &str) -> Vec<u8> {
    let keep = HeaderFields::default();
    let request = Request {
        query: query.as_bytes(),
        peer: b"127.0.0.1",
        received: now(),
        ..Request::default()
    };
    let intake = Intake { topic: None, keep: &keep, max_event: 1 << 20, ..Intake::default() };
    let mut out = Vec::new();
    binary::encode(&Event::read(&request, &intake).unwrap(), &mut out);
    out
}

/// A Kafka within this process.
pub struct Kafka(pub MockCluster<'static, DefaultProducerContext>);

/// A record as a consumer sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub partition: i32,
    pub offset: i64,
    pub key: Option<Vec<u8>>,
    pub value: Vec<u8>,
    pub timestamp: i64,
    pub headers: BTreeMap<String, Vec<u8>>,
}

impl Seen {
    pub fn sg(&self) -> String {
        self.header("sg")
    }

    pub fn header(&self, name: &str) -> String {
        String::from_utf8(self.headers[name].clone()).unwrap()
    }

    pub fn data(&self) -> String {
        let value: serde_json::Value = serde_json::from_slice(&self.value).unwrap();
        value["data"].as_str().unwrap_or_default().to_owned()
    }
}

impl Kafka {
    pub fn new(topics: &[&str]) -> Kafka {
        let kafka = Kafka(MockCluster::new(1).unwrap());
        for topic in topics {
            kafka.0.create_topic(topic, PARTITIONS, 1).unwrap();
        }
        kafka
    }

    pub fn servers(&self) -> String {
        self.0.bootstrap_servers()
    }

    /// Writes a record.
    #[track_caller]
    pub fn write(&self, topic: &str, key: &str, value: &[u8]) {
        let producer: BaseProducer =
            ClientConfig::new().set("bootstrap.servers", self.servers()).create().unwrap();
        producer.send(BaseRecord::to(topic).key(key).payload(value)).map_err(|e| e.0).unwrap();
        producer.flush(PATIENCE).unwrap();
    }

    /// Deletes what has this key, as it is done in a compacted topic.
    #[track_caller]
    pub fn forget(&self, topic: &str, key: &str) {
        let producer: BaseProducer =
            ClientConfig::new().set("bootstrap.servers", self.servers()).create().unwrap();
        producer.send(BaseRecord::<str, [u8]>::to(topic).key(key)).map_err(|e| e.0).unwrap();
        producer.flush(PATIENCE).unwrap();
    }

    /// Everything in a topic, by partition and offset, once `count` are there.
    #[track_caller]
    pub fn read(&self, topic: &str, count: usize) -> Vec<Seen> {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", self.servers())
            .set("group.id", "test")
            .set("fetch.wait.max.ms", "20")
            .create()
            .unwrap();
        let mut list = TopicPartitionList::new();
        let metadata = consumer.fetch_metadata(Some(topic), PATIENCE).unwrap();
        for partition in 0..metadata.topics()[0].partitions().len() as i32 {
            list.add_partition_offset(topic, partition, Offset::Beginning).unwrap();
        }
        consumer.assign(&list).unwrap();
        let mut seen = Vec::new();
        let start = Instant::now();
        while seen.len() < count {
            assert!(start.elapsed() < PATIENCE, "{} of {count} in {topic}", seen.len());
            match consumer.poll(Duration::from_millis(50)) {
                Some(Ok(message)) => seen.push(one(&message)),
                Some(Err(error)) => eprintln!("consumer: {error}"),
                None => {}
            }
        }
        // What is there beyond the wanted would be a surprise: look a moment longer.
        while let Some(Ok(message)) = consumer.poll(Duration::from_millis(100)) {
            seen.push(one(&message));
        }
        seen.sort_by_key(|seen| (seen.partition, seen.offset));
        seen
    }

    /// How often each `sg` is in a topic.
    #[track_caller]
    pub fn tally(&self, topic: &str, count: usize) -> HashMap<String, usize> {
        let mut tally = HashMap::new();
        for seen in self.read(topic, count) {
            *tally.entry(seen.sg()).or_default() += 1;
        }
        tally
    }
}

fn one(message: &rdkafka::message::BorrowedMessage<'_>) -> Seen {
    let headers = message.headers().map_or_else(BTreeMap::new, |headers| {
        let all = headers.iter();
        all.map(|h| (h.key.to_owned(), h.value.unwrap_or_default().to_vec())).collect()
    });
    Seen {
        partition: message.partition(),
        offset: message.offset(),
        key: message.key().map(<[u8]>::to_vec),
        value: message.payload().unwrap_or_default().to_vec(),
        timestamp: message.timestamp().to_millis().unwrap_or_default(),
        headers,
    }
}

/// The program, running.
pub struct Program {
    child: Child,
    log: PathBuf,
    _dir: Dir,
}

/// The program, to be run.
pub fn sparkngin() -> Command {
    Command::new(env!("CARGO_BIN_EXE_sparkngin"))
}

impl Program {
    /// `sparkngin subscribe` from a source to a Kafka, with more arguments.
    pub fn subscribe(source: &Source, kafka: &Kafka, more: &[&str]) -> Program {
        let mut args = vec!["--kafka".to_owned(), kafka.servers()];
        args.extend(more.iter().map(|&arg| arg.to_owned()));
        Program::start(source, &args)
    }

    pub fn start(source: &Source, more: &[String]) -> Program {
        Program::start_in(source, more, &[])
    }

    /// The same in an environment that has these, too.
    pub fn start_in(source: &Source, more: &[String], environment: &[(&str, String)]) -> Program {
        let dir = Dir::new();
        let log = dir.path().join("log");
        let stderr = File::create(&log).unwrap();
        let mut command = sparkngin();
        command.args(["subscribe", "--feed", &source.feed(), "--http", "0"]).args(more);
        command.envs(environment.iter().map(|(name, value)| (name, value)));
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr).spawn();
        Program { child: child.unwrap(), log, _dir: dir }
    }

    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// Waits until the log has this.
    #[track_caller]
    pub fn says(&self, what: &str) {
        until(&format!("{what:?} in the log"), || self.log().contains(what).then_some(()));
    }

    /// GET from its own port: status line and body.
    #[track_caller]
    pub fn get(&self, path: &str) -> (u16, String) {
        let address = until("its address", || {
            let log = self.log();
            let line = log.lines().find(|line| line.contains("/healthz, /readyz"))?;
            Some(line.rsplit_once("address=")?.1.to_owned())
        });
        let mut stream = TcpStream::connect(address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    /// A number of /metrics, of all rows together.
    #[track_caller]
    pub fn metric(&self, name: &str) -> u64 {
        let (_, body) = self.get("/metrics");
        let rows = body.lines().filter(|line| line.starts_with(&format!("{name}{{")));
        rows.map(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap()).sum()
    }

    /// CPU seconds it has used.
    #[track_caller]
    pub fn cpu(&self) -> f64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        let ticks = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
        ticks as f64 / 100.0
    }

    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends TERM and waits for the end.
    #[track_caller]
    pub fn term(&mut self) -> ExitStatus {
        self.signal("-TERM");
        self.ended()
    }

    #[track_caller]
    pub fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }

    #[track_caller]
    pub fn ended(&mut self) -> ExitStatus {
        until("its end", || self.child.try_wait().unwrap())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("--- the program's log\n{}", self.log());
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
