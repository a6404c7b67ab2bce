//! What can be typed of the commands that look at others.

use clap::{Args, ValueEnum};

use super::Log;

/// `sparkngin check`.
#[derive(Debug, Args)]
#[command(after_help = "How it behaves:\n  \
    It prints one line with performance data, as monitoring plugins do. A RANGE is [@][start:][end]: a value\n  \
    outside of it rings, with @ one inside; ~ is no lower end.\n\n\
    Usual ranges:\n  \
    ring       -w 80 -c 95      % of the blocks that hold events\n  \
    lag        -w 60 -c 600     seconds since the receipt of the oldest event not acknowledged\n  \
    loss       -w ~:0 -c ~:0    events lost in the last ten minutes\n  \
    refused    -w ~:0           events refused in the last ten minutes\n  \
    kafka      -w 10            seconds that 99 % of the last minute's events took at most\n\n\
    Exit codes: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN.\n\n\
    Examples:\n  \
    sparkngin check ring --url http://web1/sn/ -w 50 -c 80\n  \
    sparkngin check lag --name kafka\n  \
    sparkngin check kafka --url http://127.0.0.1:7010/")]
pub struct Check {
    /// What to look at
    #[arg(value_enum)]
    pub what: What,
    /// The location with sparkngin_root_loc, or of the subscriber's --http
    /// [default: http://127.0.0.1/sn/, for kafka http://127.0.0.1:7010/]
    #[arg(long, short = 'u', value_name = "URL")]
    pub url: Option<String>,
    /// The one subscriber that is looked at [default: all]
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// WARNING outside of it
    #[arg(long, short = 'w', value_name = "RANGE", allow_hyphen_values = true)]
    pub warning: Option<String>,
    /// CRITICAL outside of it
    #[arg(long, short = 'c', value_name = "RANGE", allow_hyphen_values = true)]
    pub critical: Option<String>,
    /// Seconds until it is CRITICAL that there is no answer
    #[arg(long, short = 't', value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub timeout: u64,
}

/// What `sparkngin check` looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum What {
    /// Whether an event sent now would be stored
    Imok,
    /// How full the ring is
    Ring,
    /// How far subscribers are behind
    Lag,
    /// Whether events were lost
    Loss,
    /// Whether events were refused
    Refused,
    /// Whether somebody publishes
    Publisher,
    /// Whether the subscribers are connected
    Subscriber,
    /// Whether events get into Kafka, as the subscriber says
    Kafka,
}

/// `sparkngin status`.
#[derive(Debug, Args)]
#[command(after_help = "Exit codes: 0 all is well everywhere, 1 something is wrong somewhere.\n\n\
    Example:\n  \
    sparkngin status http://web1/sn/ http://web2:8080/sn/")]
pub struct Status {
    /// Locations with sparkngin_root_loc
    #[arg(value_name = "URL", default_value = "http://127.0.0.1/sn/")]
    pub url: Vec<String>,
    /// Seconds that each may take to answer
    #[arg(long, short = 't', value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub timeout: u64,
}

/// `sparkngin heartbeat`.
#[derive(Debug, Default, Args)]
#[command(after_help = "How it behaves:\n  \
    A beat is an event with a number that was never there before. It is green when nginx took it and it was read\n  \
    back from Kafka within --timeout, else red, with the reason: so it sees what those see who send and read.\n  \
    Beats have a topic of their own: who reads other topics sees none of them. nginx's and the subscriber's\n  \
    own books count them, as they count every event.\n  \
    The subscriber must be allowed to write to it (--topics, --create-topics), with `data` among its fields.\n\n\
    Exit codes:\n  \
    0 asked to end, 2 wrong configuration; with --once 0 green, 1 red, 2 wrong configuration;\n  \
    with --check 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN.\n\n\
    Examples:\n  \
    sparkngin heartbeat --kafka k1:9092 --webhook http://127.0.0.1:8080/hook\n  \
    sparkngin heartbeat --kafka k1:9092 --url http://web1/sn/ --once\n  \
    sparkngin heartbeat --kafka k1:9092 --url http://web1/sn/ --check -w 1 -c 5")]
pub struct Heartbeat {
    /// The location with sparkngin_root_loc that beats are sent to
    #[arg(long, short = 'u', value_name = "URL", default_value = "http://127.0.0.1/sn/")]
    pub url: String,
    /// Kafka's bootstrap servers, where they are read back: host:port,host:port
    #[arg(long = "kafka", value_name = "SERVERS")]
    pub servers: Option<String>,
    /// A property of librdkafka, passed on as it is, or read from a file, as secrets are (repeat it)
    #[arg(short = 'X', value_name = "PROPERTY=VALUE|PROPERTY@FILE")]
    pub property: Vec<String>,
    /// The topic of the beats [default: sparkngin.heartbeat]
    #[arg(long, value_name = "NAME")]
    pub topic: Option<String>,
    /// From one beat to the next: 1s to 1h [default: 10s]
    #[arg(long, value_name = "TIME")]
    pub interval: Option<String>,
    /// How long a beat may take, to be green: 100ms to 10m [default: 10s]
    #[arg(long, value_name = "TIME")]
    pub timeout: Option<String>,
    /// Where /healthz, /readyz (green or not) and /metrics are answered, or `off`; port 0 picks one
    /// [default: 127.0.0.1:7011]
    #[arg(long, value_name = "ADDRESS")]
    pub http: Option<String>,
    /// Where each change of colour is posted to, as JSON; the first colour is one (repeat it)
    #[arg(long, value_name = "URL")]
    pub webhook: Vec<String>,
    /// One beat: a line, and an exit code
    #[arg(long, conflicts_with = "check")]
    pub once: bool,
    /// One beat, as a plugin for Nagios
    #[arg(long)]
    pub check: bool,
    /// WARNING when the beat takes seconds outside of it
    #[arg(long, short = 'w', value_name = "RANGE", requires = "check", allow_hyphen_values = true)]
    pub warning: Option<String>,
    /// CRITICAL outside of it
    #[arg(long, short = 'c', value_name = "RANGE", requires = "check", allow_hyphen_values = true)]
    pub critical: Option<String>,
    #[command(flatten)]
    pub log: Log,
}

/// `sparkngin ganglia`.
#[derive(Debug, Args)]
#[command(after_help = "How it behaves:\n  \
    It sends what `sparkngin status` shows, under names that begin with sparkngin_: what a metric is, and its value,\n  \
    at each turn, so gmond may be started anew. Where nginx does not answer, sparkngin_up is 0 and the others\n  \
    are forgotten by gmond after twenty turns. gmond takes them for this machine's, or, with --spoof, for another one's.\n\n\
    Exit codes: 0 asked to end, or sent, 1 with --once it could not be sent, 2 wrong configuration.\n\n\
    Examples:\n  \
    sparkngin ganglia --gmond 127.0.0.1:8649 --subscriber http://127.0.0.1:7010/\n  \
    sparkngin ganglia --gmond 239.2.11.71:8649 --url http://web1/sn/ --spoof 192.0.2.1:web1")]
pub struct Ganglia {
    /// Where gmond takes packets (its udp_recv_channel)
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:8649")]
    pub gmond: String,
    /// The location with sparkngin_root_loc
    #[arg(long, short = 'u', value_name = "URL", default_value = "http://127.0.0.1/sn/")]
    pub url: String,
    /// A subscriber's --http, for its figures too [default: none]
    #[arg(long, value_name = "URL")]
    pub subscriber: Option<String>,
    /// The host whose figures these are, when it is not this one
    #[arg(long, value_name = "ADDRESS:NAME")]
    pub spoof: Option<String>,
    /// From one turn to the next: 1s to 1h [default: 30s]
    #[arg(long, value_name = "TIME")]
    pub interval: Option<String>,
    /// Send once
    #[arg(long)]
    pub once: bool,
    /// Seconds that each may take to answer
    #[arg(long, short = 't', value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub timeout: u64,
    #[command(flatten)]
    pub log: Log,
}

/// `sparkngin top`.
#[derive(Debug, Args)]
#[command(after_help = "How it behaves:\n  \
    On a terminal it shows a frame that comes anew, until `q`; elsewhere it prints one frame behind the other.\n  \
    What is wrong stands first, and red unless NO_COLOR is set. Events a second are those since the look before.\n\n\
    Examples:\n  \
    sparkngin top\n  \
    sparkngin top http://web1/sn/ http://web2/sn/ --subscriber http://kafka1:7010/\n  \
    sparkngin top --once")]
pub struct Top {
    /// Locations with sparkngin_root_loc
    #[arg(value_name = "URL", default_value = "http://127.0.0.1/sn/")]
    pub url: Vec<String>,
    /// A subscriber's --http (repeat it)
    #[arg(long, short = 's', value_name = "URL")]
    pub subscriber: Vec<String>,
    /// Seconds from one look to the next
    #[arg(long, short = 'n', value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub interval: u64,
    /// Print one frame
    #[arg(long)]
    pub once: bool,
    /// Seconds that each may take to answer
    #[arg(long, short = 't', value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub timeout: u64,
}
