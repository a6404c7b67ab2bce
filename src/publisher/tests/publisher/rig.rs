//! A ring in a directory of its own, publishers for it in this process or another one, and subscribers.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use sparkngin_core::event::{Event, HeaderFields, Intake, Request};
use sparkngin_core::feed::{self, Client, Due, Incoming, Refused};
use sparkngin_core::format::{Fields, Format, Rendering, binary};
use sparkngin_core::id::{Region, Seq, Stream};
use sparkngin_core::ring::{
    Configuration, Lease, Ledger, Overflow, Refused as NoRoom, Ring, SubscriberBooks, Wanted,
    Writer,
};
use sparkngin_publisher::key::{PublicKey, SecretKey};
use sparkngin_publisher::{Handle, Level, Settings, start};

/// Ten times what anything here takes.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until `look` gives something: the one place where these tests wait.
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let (_kept, never) = mpsc::channel::<()>();
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        // Nobody ever sends: this only lets a millisecond pass.
        let _ = never.recv_timeout(Duration::from_millis(1));
    }
}

/// A directory with a ring in it, gone at the end.
pub struct Rig {
    pub dir: PathBuf,
    pub ring: Ring,
    wanted: Wanted,
}

impl Rig {
    /// So many blocks of 64 KiB.
    pub fn new(blocks: u64) -> Rig {
        Rig::with_blocks(blocks, 64 * 1024)
    }

    pub fn with_blocks(blocks: u64, block_bytes: u32) -> Rig {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("sgp-{}-{number}", std::process::id()));
        fs::create_dir(&dir).expect("a directory of its own");
        let bytes = blocks * u64::from(block_bytes);
        let wanted = Wanted { dir: dir.clone(), bytes, block_bytes };
        let ring = Ring::open_or_make(&wanted).expect("a ring");
        Rig { dir, ring, wanted }
    }

    pub fn again(&self) -> Ring {
        self.ring.again().expect("the ring once more")
    }

    pub fn writer(&self) -> Writer {
        Writer::take(self.again()).expect("a slot")
    }

    pub fn live(&self) -> String {
        format!("ipc://{}/live.sock", self.dir.display())
    }

    pub fn feed(&self) -> String {
        format!("ipc://{}/feed.sock", self.dir.display())
    }

    pub fn settings(&self, policy: Overflow, names: &[&str]) -> Settings {
        let subscribers = names.iter().map(|name| name.parse().expect("a name")).collect();
        Settings {
            live: self.live(),
            feed: self.feed(),
            curve: None,
            rendering: Rendering {
                format: Format::Json,
                delimiter: Default::default(),
                fields: Fields::All,
            },
            gzip: false,
            configuration: Configuration { policy, subscribers, configured_at: 1 },
        }
    }

    /// Publishes from this process, as soon as the lease is free.
    pub fn publish(&self, settings: Settings) -> Handle {
        let lease = until("the lease", || Lease::try_take(&self.dir).expect("the directory"));
        start(lease, self.again(), settings).expect("a thread")
    }

    /// Publishes from a process of its own, `kafka` under `reject`; it is there when this returns.
    pub fn publish_elsewhere(&self) -> Publisher {
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "child_that_publishes", "--nocapture"])
            .env("SPARKNGIN_TEST_DIR", &self.dir)
            .env(
                "SPARKNGIN_TEST_RING",
                format!("{} {}", self.wanted.bytes, self.wanted.block_bytes),
            )
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a process");
        let out = BufReader::new(child.stdout.take().expect("its output"));
        let ready = out.lines().map_while(Result::ok).any(|line| line.contains("publishing"));
        assert!(ready, "the process publishes");
        Publisher(child)
    }

    pub fn ledger(&self) -> Ledger {
        Ledger::read(&self.ring)
    }

    pub fn books(&self, name: &str) -> SubscriberBooks {
        let named = |s: &SubscriberBooks| s.name.as_str() == name;
        self.ledger().subscribers.into_iter().find(named).expect("a subscriber of this name")
    }
}

/// Another ring in the rig's directory, with so many blocks of 4096 bytes. The rig lets the one that it had go.
pub fn renew(rig: &mut Rig, blocks: u64) -> Writer {
    let wanted = Wanted { dir: rig.dir.clone(), bytes: blocks * 4096, block_bytes: 4096 };
    rig.ring = Ring::open_or_make(&wanted).expect("a ring");
    rig.writer()
}

impl Drop for Rig {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// A process that publishes. It ends with this value at the latest.
pub struct Publisher(Child);

impl Publisher {
    pub fn pid(&self) -> u32 {
        self.0.id()
    }

    pub fn kill(mut self) {
        self.0.kill().expect("killed");
        self.0.wait().expect("gone");
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The other process's side of [`Rig::publish_elsewhere`].
pub fn publish_if_asked() {
    let Ok(dir) = std::env::var("SPARKNGIN_TEST_DIR") else { return };
    let sizes = std::env::var("SPARKNGIN_TEST_RING").expect("the sizes");
    let (bytes, block_bytes) = sizes.split_once(' ').expect("two sizes");
    let wanted = Wanted {
        dir: PathBuf::from(&dir),
        bytes: bytes.parse().expect("bytes"),
        block_bytes: block_bytes.parse().expect("bytes of a block"),
    };
    let ring = Ring::open_or_make(&wanted).expect("the ring");
    let rig = Rig { dir: wanted.dir.clone(), ring, wanted };
    let handle = rig.publish(rig.settings(Overflow::Reject, &["kafka"]));
    until("it listens", || Path::new(&dir).join("feed.sock").exists().then_some(()));
    println!("publishing");
    // The directory is the other process's: until it closes its end, or kills this one.
    let _ = std::io::stdin().read(&mut [0]);
    drop(handle);
    std::mem::forget(rig);
}

/// An event as a worker stores it.
pub fn event(topic: &str, data: &str) -> Vec<u8> {
    let query = format!("topic={topic}&level=info&data={data}");
    let request = Request {
        query: query.as_bytes(),
        peer: b"192.0.2.1",
        user_agent: Some(b"curl/8"),
        received: 1_700_000_000_000_000_000,
        ..Request::default()
    };
    let keep = HeaderFields { user_agent: true, ..HeaderFields::default() };
    let intake = Intake { topic: None, keep: &keep, max_event: 32768, ..Intake::default() };
    let event = Event::read(&request, &intake).expect("an event");
    let mut bytes = Vec::new();
    binary::encode(&event, &mut bytes);
    bytes
}

/// Appends what fits; how many did.
pub fn fill(writer: &mut Writer, bytes: &[u8], most: u64) -> u64 {
    for n in 0..most {
        match writer.append(1_700_000_000_000_000_000, bytes) {
            Ok(_) => {}
            Err(NoRoom::Full { .. }) => return n,
            Err(other) => panic!("refused: {other}"),
        }
    }
    most
}

/// A subscriber of the feed, with the client that the real one has.
pub struct Subscriber {
    context: zmq::Context,
    endpoint: String,
    pub socket: zmq::Socket,
    pub client: Client,
    /// Each record in the order in which it came.
    pub taken: Vec<(Region, Stream, Seq, Vec<u8>)>,
    pub lost: u64,
    /// Each hole that may be none, and each end that may be none.
    pub uncertain: Vec<(Region, Stream, Seq, Option<Seq>)>,
    pub expects_uncertain: bool,
    pub welcomes: usize,
    pub refused: Vec<Refused>,
    pub faults: Vec<String>,
    /// Whether what was taken is acknowledged at once.
    pub acknowledges: bool,
    keys: Option<Keys>,
}

/// What a client of CURVE has: its own keys, and the server's public one.
#[derive(Clone)]
pub struct Keys {
    pub own: (SecretKey, PublicKey),
    pub server: PublicKey,
}

impl Keys {
    pub fn set(&self, socket: &zmq::Socket) {
        socket.set_curve_serverkey(self.server.bytes()).expect("the server's key");
        socket.set_curve_secretkey(self.own.0.bytes()).expect("a secret key");
        socket.set_curve_publickey(self.own.1.bytes()).expect("a public key");
    }
}

impl Subscriber {
    pub fn new(endpoint: &str, name: &str, window: u64) -> Subscriber {
        Subscriber::with(endpoint, name, window, None)
    }

    pub fn with(endpoint: &str, name: &str, window: u64, keys: Option<Keys>) -> Subscriber {
        let context = zmq::Context::new();
        let settings =
            feed::Settings { name: name.to_owned(), window, from: Some("a test".into()) };
        let socket = connect(&context, endpoint, keys.as_ref());
        let mut client = Client::new(settings);
        client.connected(Instant::now());
        Subscriber {
            context,
            endpoint: endpoint.to_owned(),
            socket,
            client,
            taken: Vec::new(),
            lost: 0,
            uncertain: Vec::new(),
            expects_uncertain: false,
            welcomes: 0,
            refused: Vec::new(),
            faults: Vec::new(),
            acknowledges: true,
            keys,
        }
    }

    /// A new connection for the same client.
    pub fn reconnect(&mut self) {
        self.socket = connect(&self.context, &self.endpoint, self.keys.as_ref());
        self.client.connected(Instant::now());
    }

    /// Takes what is there, and does what is due.
    pub fn turn(&mut self) {
        while let Ok(frames) = self.socket.recv_multipart(zmq::DONTWAIT) {
            match self.client.receive(frames, Instant::now()) {
                Ok(incoming) => self.take(incoming),
                Err(fault) => self.faults.push(fault.to_string()),
            }
        }
        while let Some(due) = self.client.due(Instant::now()) {
            match due {
                Due::Send(message) => {
                    let _ = self.socket.send_multipart(message.frames(vec![]), zmq::DONTWAIT);
                }
                Due::Reconnect(_) => self.reconnect(),
            }
        }
    }

    fn take(&mut self, incoming: Incoming<Vec<u8>>) {
        match incoming {
            Incoming::Batch(records) => {
                let (region, stream) = (records.region, records.stream);
                for record in records.slice() {
                    let record = record.expect("checked");
                    self.taken.push((region, stream, record.seq, record.bytes.to_vec()));
                }
                self.done(region, stream, records.last());
            }
            Incoming::Lost { region, stream, from, to, .. } => {
                self.lost += to.0 - from.0 + 1;
                self.done(region, stream, to);
            }
            Incoming::Uncertain { region, stream, from, to, .. } => {
                assert!(self.expects_uncertain, "nothing is uncertain here");
                self.uncertain.push((region, stream, from, to));
                if let Some(to) = to {
                    self.done(region, stream, to);
                }
            }
            Incoming::Welcome(_) => self.welcomes += 1,
            Incoming::Refused(refused) => self.refused.push(refused),
            Incoming::Nothing => {}
        }
    }

    fn done(&mut self, region: Region, stream: Stream, seq: Seq) {
        if self.acknowledges {
            self.client.done(region, stream, seq);
        }
    }

    /// Turns until `look` gives something.
    pub fn until<T>(&mut self, what: &str, mut look: impl FnMut(&Subscriber) -> Option<T>) -> T {
        until(what, || {
            self.turn();
            look(self)
        })
    }

    /// Turns until so many records were taken.
    pub fn take_all(&mut self, count: u64) {
        self.until(&format!("{count} records"), |s| (s.taken.len() as u64 >= count).then_some(()));
    }

    /// Every stream's records came in order, each once.
    pub fn assert_in_order(&self) {
        let mut next = std::collections::BTreeMap::new();
        for (region, stream, seq, _) in &self.taken {
            let expected = next.entry((*region, *stream)).or_insert(*seq);
            assert_eq!(seq, expected, "stream {stream}");
            *expected = expected.next();
        }
        assert_eq!(self.faults, Vec::<String>::new());
    }
}

fn connect(context: &zmq::Context, endpoint: &str, keys: Option<&Keys>) -> zmq::Socket {
    let socket = context.socket(zmq::DEALER).expect("a socket");
    socket.set_linger(0).expect("linger");
    socket.set_reconnect_ivl(20).expect("reconnect");
    if let Some(keys) = keys {
        keys.set(&socket);
    }
    socket.connect(endpoint).expect("connected");
    socket
}

/// A reader of live messages.
pub struct Reader {
    _context: zmq::Context,
    pub socket: zmq::Socket,
}

impl Reader {
    pub fn new(endpoint: &str, topics: &[&str]) -> Reader {
        Reader::with(endpoint, topics, |_| {})
    }

    pub fn with(endpoint: &str, topics: &[&str], set: impl FnOnce(&zmq::Socket)) -> Reader {
        let context = zmq::Context::new();
        let socket = context.socket(zmq::SUB).expect("a socket");
        socket.set_linger(0).expect("linger");
        socket.set_rcvtimeo(PATIENCE.as_millis() as i32).expect("a time-out");
        set(&socket);
        for topic in topics {
            socket.set_subscribe(topic.as_bytes()).expect("subscribed");
        }
        socket.connect(endpoint).expect("connected");
        Reader { _context: context, socket }
    }

    pub fn next(&self) -> (String, Vec<u8>) {
        let mut frames = self.socket.recv_multipart(0).expect("a message in time");
        assert_eq!(frames.len(), 2, "topic and event");
        let payload = frames.pop().expect("two");
        (String::from_utf8(frames.pop().expect("two")).expect("a topic"), payload)
    }

    /// The member `data` of each of the next so many JSON messages.
    pub fn data(&self, count: usize) -> Vec<String> {
        (0..count).map(|_| data(&self.next().1)).collect()
    }
}

/// The member `data` of a JSON message.
pub fn data(json: &[u8]) -> String {
    let value: serde_json::Value = serde_json::from_slice(json).expect("JSON");
    value["data"].as_str().expect("text").to_owned()
}

/// Every line the publisher said, at the level of a warning or above.
pub fn complaints(handle: &Handle) -> Vec<String> {
    let lines = handle.lines().into_iter();
    lines.filter(|(level, _)| *level >= Level::Warn).map(|(_, text)| text).collect()
}

/// Everything it said, at any level, until it said this.
pub fn said(publisher: &Handle, what: &str) -> String {
    let mut all = String::new();
    until(what, || {
        all.extend(publisher.lines().into_iter().map(|(_, line)| line + "\n"));
        all.contains(what).then_some(())
    });
    all
}
