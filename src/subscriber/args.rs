//! What can be typed. Only the shape is checked here; what it means, and whether it may be, is `config.rs`'s.

// The paths are for who reads this file from elsewhere.
#[path = "args/doctor.rs"]
pub mod doctor;
#[path = "args/monitor.rs"]
pub mod monitor;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

pub use doctor::Doctor;
pub use monitor::{Check, Ganglia, Heartbeat, Status, Top};

/// Everything after the program's name.
#[derive(Debug, Parser)]
#[command(
    name = "sparkngin",
    about = "Takes events from nginx's ring and puts them into Kafka",
    disable_version_flag = true,
    arg_required_else_help = true,
    max_term_width = 100,
    after_help = "Examples:\n  \
        sparkngin mock-kafka --port 9092\n      \
            a Kafka to play with, gone when it ends\n  \
        sparkngin subscribe --feed ipc:///var/lib/nginx/sparkngin/feed.sock --kafka 127.0.0.1:9092\n      \
            from nginx's ring to Kafka, until TERM\n  \
        sparkngin tail\n      \
            see the events go by, without acknowledging any\n  \
        sparkngin ring status /var/lib/nginx/sparkngin\n      \
            what the ring holds, and who holds it\n\n\
        `sparkngin COMMAND --help` says more about each."
)]
pub struct Cli {
    /// Print the versions of this program, librdkafka and libzmq
    #[arg(long, short = 'V', global = false)]
    pub version: bool,
    /// What to do.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// One subcommand each.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Take the feed of one or many nginx and produce to Kafka, acknowledging what Kafka has
    Subscribe(Box<Subscribe>),
    /// Show live events as they are published: nothing is acknowledged, some may be missed
    Tail(Tail),
    /// Read topics back and close the books: what is there twice, what is missing, and why
    Audit(Audit),
    /// Publish a ring in place of nginx: live and feed, from a process of its own
    Publish(Box<Publish>),
    /// Ask nginx, or a subscriber, how it is: a plugin for Nagios and its relatives
    Check(Check),
    /// Ask one nginx or many how they are: a line each
    Status(Status),
    /// See how nginx and subscribers are, in a terminal, again and again
    Top(Top),
    /// Send the figures of nginx and its subscriber to Ganglia's gmond
    Ganglia(Ganglia),
    /// Send a marked event now and then and read it back from Kafka: red or green, from end to end
    Heartbeat(Box<Heartbeat>),
    /// Look at the installed whole, and say what would bite later, each with its remedy
    Doctor(Doctor),
    /// Make a pair of keys for CURVE
    Keygen(Keygen),
    /// Look into a ring directory, in use or left behind; or drain one that is left, which alone writes
    #[command(subcommand)]
    Ring(Ring),
    /// Run librdkafka's mock cluster: a Kafka for trying things out, in memory only
    MockKafka(MockKafka),
}

/// `sparkngin subscribe`.
#[derive(Debug, Default, Args)]
#[command(after_help = "How it behaves:\n  \
    An event counts as delivered when Kafka reported it (acks=all); only then the ring may forget it.\n  \
    Kafka or nginx may be away: it waits, says so, and goes on by itself.\n  \
    What is not on the command line is looked for in the environment (SPARKNGIN_TOPIC_GRACE=1m for\n  \
    --topic-grace 1m), then in the file of --config (topic-grace = \"1m\"), see sparkngin.toml(5).\n  \
    HUP: reads them again, and goes on with the new topics, fields, format, key and time.\n  \
    TERM or INT: takes nothing more, waits 5 s at most for reports, acknowledges, leaves; what is\n  \
    unreported stays in the ring.\n  \
    Each record carries the header `sg` = region-stream-seq: a repeated `sg` in a partition is a duplicate.\n\n\
    Examples:\n  \
    sparkngin subscribe --feed ipc:///var/lib/nginx/sparkngin/feed.sock --kafka 127.0.0.1:9092\n  \
    sparkngin subscribe --feed ipc:///run/a/feed.sock --feed ipc:///run/b/feed.sock \\\n      \
        --kafka k1:9092,k2:9092 --topics 'orders,~clicks\\..*' --record-key id \\\n      \
        -X security.protocol=ssl\n  \
    sparkngin subscribe --config /etc/sparkngin/subscribe.toml -t\n      \
        is the file good?\n  \
    sparkngin subscribe --feed ipc:///run/sn/feed.sock --lines -\n      \
        no broker: every event a line on stdout\n\n\
    Exit codes: 0 asked to end, 2 wrong configuration, 3 another subscriber of this name took over.")]
pub struct Subscribe {
    #[command(flatten)]
    pub source: Source,
    /// Where nginx publishes its feed: ipc:///DIR/feed.sock (repeat it for many nginx)
    #[arg(long, value_name = "ENDPOINT")]
    pub feed: Vec<String>,
    #[command(flatten)]
    pub keys: Keys,
    /// Where /healthz, /readyz and /metrics are answered, or `off`; port 0 picks one
    /// [default: 127.0.0.1:7010]
    #[arg(long, value_name = "ADDRESS")]
    pub http: Option<String>,
    #[command(flatten)]
    pub to: Delivery,
}

/// Where else settings are said, and what else may be done with them.
#[derive(Debug, Default, Args)]
pub struct Source {
    /// The file of settings, see sparkngin.toml(5) [default: none, or $SPARKNGIN_CONFIG]
    #[arg(long, short = 'c', value_name = "FILE")]
    pub config: Option<String>,
    /// Only say whether the settings are good: exit 0, or 2 and what is wrong
    #[arg(long, short = 't')]
    pub test: bool,
    /// Only show the settings as a file would say them, secrets masked, and where each one came from
    #[arg(long)]
    pub dump_config: bool,
}

/// A Kafka, and what of it is a subscriber's.
#[derive(Clone, Debug, Default, Args)]
pub struct Cluster {
    /// Kafka's bootstrap servers: host:port,host:port
    #[arg(long = "kafka", value_name = "SERVERS")]
    pub servers: Option<String>,
    /// A property of librdkafka, passed on as it is, or read from a file, as secrets are (repeat it)
    #[arg(short = 'X', value_name = "PROPERTY=VALUE|PROPERTY@FILE")]
    pub property: Vec<String>,
    /// The subscriber's name, as `sparkngin_subscriber` in nginx names it [default: kafka]
    #[arg(long)]
    pub name: Option<String>,
    /// Where the subscriber puts events that Kafka refuses for good: topic:NAME or file:PATH
    /// [default: topic:sparkngin.dead]
    #[arg(long, value_name = "PLACE")]
    pub dead_letter: Option<String>,
}

/// What records become, and where they go.
#[derive(Debug, Default, Args)]
pub struct Delivery {
    #[command(flatten)]
    pub cluster: Cluster,
    /// In place of Kafka: write each event's value as a line to FILE, `-` is stdout
    #[arg(long, value_name = "FILE")]
    pub lines: Option<String>,
    /// Bytes of events taken but not yet acknowledged, for each feed: 64k to 64m [default: 6m]
    #[arg(long, value_name = "SIZE")]
    pub window: Option<String>,
    /// How batches are compressed: lz4, zstd or none [default: lz4]
    #[arg(long, value_name = "CODEC")]
    pub compression: Option<String>,
    /// Topics that events may go to: names and ~regex (of the whole name), joined by commas
    /// [default: all that exist and do not start with `_`]
    #[arg(long, value_name = "LIST")]
    pub topics: Option<String>,
    /// How long events wait for a listed topic that is missing or forbidden, before they go to the
    /// dead letter [default: 5m]
    #[arg(long, value_name = "TIME")]
    pub topic_grace: Option<String>,
    /// Make missing topics, with the broker's defaults; 1,000 at most
    #[arg(long, value_name = "true|false", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub create_topics: Option<String>,
    /// at-least-once: a crash may repeat events, recognisably. exactly-once: transactions; who reads with
    /// isolation.level=read_committed sees each event once [default: at-least-once]
    #[arg(long, value_name = "GUARANTEE")]
    pub delivery: Option<String>,
    /// The compacted topic that keeps the cursors of exactly-once; made if it is missing
    /// [default: sparkngin.cursors]
    #[arg(long, value_name = "TOPIC")]
    pub cursors: Option<String>,
    /// Who writes, to Kafka: a younger subscriber of this id ends an older one. Subscribers of one
    /// name that read different nginx need one each [default: sparkngin. and the name]
    #[arg(long, value_name = "ID")]
    pub transactional_id: Option<String>,
    /// How often exactly-once commits: 1ms to 10s [default: 100ms]
    #[arg(long, value_name = "TIME")]
    pub commit_interval: Option<String>,
    /// The field whose value is the record's key; "" for none, records are then spread
    /// [default: key]
    #[arg(long, value_name = "FIELD")]
    pub record_key: Option<String>,
    #[command(flatten)]
    pub rendering: Rendering,
    /// The record's time: received, or submitted (kept within receipt -7 days/+1 hour)
    /// [default: received]
    #[arg(long, value_name = "WHICH")]
    pub timestamp: Option<String>,
    #[command(flatten)]
    pub log: Log,
}

/// How events are written.
#[derive(Debug, Default, Args)]
pub struct Rendering {
    /// How an event is written: json, plain, binary or envelope [default: json; live messages: plain]
    #[arg(long)]
    pub format: Option<String>,
    /// What stands between fields in `--format plain` [default: a space]
    #[arg(long, value_name = "TEXT")]
    pub delimiter: Option<String>,
    /// The fields that are written, as '%ip% %topic% %data%'
    /// [default: all there are; live messages: those of sparkngin_fields]
    #[arg(long, value_name = "LIST")]
    pub fields: Option<String>,
}

/// How it is told what goes on.
#[derive(Debug, Default, Args)]
pub struct Log {
    /// Where log lines go. To stderr: auto (a progress line on a terminal, journald where systemd
    /// reads it, else text), text, json, or journald (with priorities). To a server, by RFC 5424:
    /// syslog (/dev/log), syslog:unix:PATH, syslog:udp:HOST:PORT, syslog:tcp:HOST:PORT [default: auto]
    #[arg(long = "log", value_name = "FORM")]
    pub form: Option<String>,
}

/// What a client of CURVE needs.
#[derive(Debug, Default, Args)]
pub struct Keys {
    /// Your own secret key, made by `sparkngin keygen`; nginx has the public one in
    /// `sparkngin_subscriber NAME key=FILE` [default: with --server-key one drawn for this run]
    #[arg(long, value_name = "FILE")]
    pub curve_key: Option<String>,
    /// The publisher's public key: the other half of its `sparkngin_curve_key` (one for all, or
    /// repeat it in the order of the feeds)
    #[arg(long, value_name = "FILE")]
    pub server_key: Vec<String>,
}

/// `sparkngin publish`.
#[derive(Debug, Default, Args)]
#[command(after_help = "How it behaves:\n  \
    nginx fills the ring; `sparkngin_listen off` in its configuration leaves publishing to this command, which\n  \
    goes on while nginx is reloaded, upgraded, stopped or killed. There is one publisher at a time: the one\n  \
    that was started last takes over, any other one stands by.\n  \
    Run it as nginx's user, the owner of DIR. Without a ring in DIR it waits until nginx has made it.\n  \
    TERM or INT: notes what was acknowledged, and leaves; what was not stays in the ring.\n  \
    HUP: reads the key files again, as a reload of nginx does; what cannot be read changes nothing.\n\n\
    Examples:\n  \
    sparkngin publish /var/lib/nginx/sparkngin --subscriber kafka\n  \
    sparkngin publish /var/lib/nginx/sparkngin --live '*:7000' --feed '*:7001' \\\n      \
        --curve-key sparkngin.key --subscriber kafka=kafka.pub\n\n\
    Exit codes: 0 asked to end, 1 the system refuses, 2 wrong configuration.")]
pub struct Publish {
    /// The directory in `sparkngin_buf_path`
    pub dir: PathBuf,
    /// Where live messages are published: port (on 127.0.0.1), address:port or unix:path
    /// [default: 127.0.0.1:7000]
    #[arg(long, value_name = "ADDRESS")]
    pub live: Option<String>,
    /// Where subscribers connect: address:port or unix:path [default: unix:DIR/feed.sock]
    #[arg(long, value_name = "ADDRESS")]
    pub feed: Option<String>,
    /// A durable subscriber, and the file of its public key (repeat it, 4 at most)
    #[arg(long, value_name = "NAME[=FILE]")]
    pub subscriber: Vec<String>,
    /// When the ring is full: reject or overwrite [default: reject with a subscriber, else overwrite]
    #[arg(long, value_name = "POLICY")]
    pub overflow: Option<String>,
    /// The publisher's secret key: live and feed speak CURVE alone
    #[arg(long, value_name = "FILE")]
    pub curve_key: Option<String>,
    /// Who may read live: a file of public keys [default: who knows the publisher's]
    #[arg(long, value_name = "FILE")]
    pub readers: Option<String>,
    /// Live off loopback and a feed over TCP may be without keys
    #[arg(long)]
    pub insecure: bool,
    #[command(flatten)]
    pub rendering: Rendering,
    /// Compress each live message
    #[arg(long)]
    pub gzip: bool,
    #[command(flatten)]
    pub log: Log,
}

/// `sparkngin keygen`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  \
    sparkngin keygen /etc/nginx/sparkngin    makes sparkngin.key and sparkngin.pub\n  \
    sparkngin keygen kafka                   makes kafka.key and kafka.pub\n\n\
    In nginx.conf: sparkngin_curve_key sparkngin.key; sparkngin_subscriber kafka key=kafka.pub;\n\
    and then: sparkngin subscribe --curve-key kafka.key --server-key sparkngin.pub ...")]
pub struct Keygen {
    /// The files are NAME.key, the secret, and NAME.pub
    pub name: PathBuf,
}

/// `sparkngin tail`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    sparkngin tail\n  \
    sparkngin tail --topic clicks --json | jq .payload\n\n\
    The live port promises nothing: who must not miss an event is a named subscriber (`sparkngin subscribe`).")]
pub struct Tail {
    /// nginx's live endpoint (`sparkngin_listen`)
    #[arg(default_value = "tcp://127.0.0.1:7000")]
    pub live: String,
    #[command(flatten)]
    pub keys: Keys,
    /// Only topics that start with this
    #[arg(long, default_value = "", hide_default_value = true)]
    pub topic: String,
    /// One JSON object a line: {"topic": ..., "payload": ...}
    #[arg(long)]
    pub json: bool,
    /// End after so many events
    #[arg(long, value_name = "N")]
    pub count: Option<u64>,
}

/// `sparkngin audit`.
#[derive(Clone, Debug, Default, Args)]
#[command(after_help = "How it works:\n  \
    A stream's events have the numbers 1, 2, 3 ... without a hole, in each record's header `sg`. So each number\n  \
    must be in one of the topics, or be explained: by the dead letter, where the subscriber also writes what it\n  \
    was told to be lost or uncertain, or by the ring, which may still have it. Name all topics that events go to.\n  \
    Without --ring the books go from the first to the last number found; with it, also what is missing at\n  \
    the beginning and at the end is seen.\n\n\
    Examples:\n  \
    sparkngin audit --kafka 127.0.0.1:9092 --topic clicks --topic orders\n  \
    sparkngin audit --kafka 127.0.0.1:9092 --topic '~.*' --ring /var/lib/nginx/sparkngin --json\n\n\
    Exit codes: 0 nothing is unexplained, 1 something is, or could not be read, 2 wrong configuration.")]
pub struct Audit {
    #[command(flatten)]
    pub cluster: Cluster,
    /// A topic that events go to, or ~regex of the whole name (repeat it)
    #[arg(long, value_name = "NAME")]
    pub topic: Vec<String>,
    /// Also ask the rings in this directory of `sparkngin_buf_path` (repeat it)
    #[arg(long, value_name = "DIR")]
    pub ring: Vec<PathBuf>,
    /// Duplicates are unexplained, too: for what was written exactly once
    #[arg(long)]
    pub exactly_once: bool,
    /// One JSON object, with the hours of each stream
    #[arg(long)]
    pub json: bool,
}

/// `sparkngin ring`.
#[derive(Debug, Subcommand)]
pub enum Ring {
    /// Show the books: blocks, streams, and for each subscriber what is acknowledged and what is not
    Status {
        /// The directory in `sparkngin_buf_path`
        dir: PathBuf,
        /// One JSON object
        #[arg(long)]
        json: bool,
    },
    /// Say whether a ring's file is whole, and what is wrong where; exit 1 when something is
    Verify {
        /// The directory in `sparkngin_buf_path`, or one file of it
        path: PathBuf,
        /// One JSON object a file
        #[arg(long)]
        json: bool,
    },
    /// Print each record still there as a JSON line: id, received, event; exit 1 when some are damaged
    Dump {
        /// The directory in `sparkngin_buf_path`
        dir: PathBuf,
        /// The record's bytes in hex, as they lie in the ring, in place of the event
        #[arg(long)]
        raw: bool,
        /// Only records that this subscriber has not acknowledged
        #[arg(long, value_name = "NAME")]
        unacked: Option<String>,
    },
    /// Deliver what is left in a ring that nobody uses any more
    Drain(Box<Drain>),
}

/// `sparkngin ring drain`.
#[derive(Debug, Args)]
#[command(after_help = "How it behaves:\n  \
    For a disk of a machine that is gone, mounted elsewhere, or a copy of its directory: takes what the\n  \
    subscriber has not acknowledged, delivers it as `sparkngin subscribe` does, and stores in the files how far\n  \
    it came. So it can be stopped, and done again: then nothing is left.\n  \
    A copy keeps cursors of its own: what is drained from the original, too, is there twice, with equal `sg`.\n  \
    A ring that is in use is refused.\n\n\
    Example:\n  \
    sparkngin ring drain /mnt/var/lib/nginx/sparkngin --kafka k1:9092 --create-topics\n\n\
    Exit codes: 0 nothing is left, 1 something is, 2 wrong configuration.")]
pub struct Drain {
    /// The directory that was in `sparkngin_buf_path`
    pub dir: PathBuf,
    /// Remove each file that nothing is left in
    #[arg(long)]
    pub delete: bool,
    #[command(flatten)]
    pub to: Delivery,
}

/// `sparkngin mock-kafka`.
#[derive(Debug, Args)]
#[command(
    after_help = "It is no real Kafka: it keeps everything in memory, forgets what is beyond 5 MB \
    a partition, checks little, and is gone when it ends.\n\n\
    Example:\n  \
    sparkngin mock-kafka --port 9092 &\n  \
    kcat -b 127.0.0.1:9092 -t clicks -C"
)]
pub struct MockKafka {
    /// The port on 127.0.0.1 that clients begin with; 0 picks one
    #[arg(long, default_value_t = 9092)]
    pub port: u16,
    /// Brokers in the cluster
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=9))]
    pub brokers: u8,
    /// Topics made at the start (repeat it), with 4 partitions each
    #[arg(long, value_name = "NAME")]
    pub topic: Vec<String>,
}
