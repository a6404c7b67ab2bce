//! What can be typed of the commands that look at others.

use clap::{Args, ValueEnum};

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
    #[arg(long, short = 't', value_name = "SECONDS", default_value_t = 10)]
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
    #[arg(long, short = 't', value_name = "SECONDS", default_value_t = 10)]
    pub timeout: u64,
}
