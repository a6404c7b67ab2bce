//! What can be typed of the command that looks at everything once.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// `sparkngin doctor`.
#[derive(Debug, Args)]
#[command(after_help = "How it behaves:\n  \
    It runs `nginx -V` and `nginx -T`, asks /sn/status and the subscriber's /readyz, and asks Kafka about its\n  \
    topics; like `nginx -t` it makes the ring's directory if it is missing, and changes nothing else. Run it as\n  \
    root, on the machine with nginx and on that with the subscriber.\n  \
    One line each: first what is fine, then warnings, then errors, each with what to do.\n  \
    What does not concern this machine is left out by --skip, so that nothing is said of it.\n\n\
    Exit codes: 0 nothing is wrong, 1 warnings, 2 errors, 3 a wrong option.\n\n\
    Examples:\n  \
    sparkngin doctor\n  \
    sparkngin doctor --skip subscriber --skip kafka --outage 1h\n  \
    sparkngin doctor --json -- --feed ipc:///var/lib/nginx/sparkngin/feed.sock --kafka k1:9092")]
pub struct Doctor {
    /// nginx's binary [default: nginx in the PATH, else where it usually is]
    #[arg(long, value_name = "FILE")]
    pub nginx: Option<PathBuf>,
    /// nginx's configuration, as in `nginx -c` [default: the one nginx was built with]
    #[arg(long, value_name = "FILE")]
    pub nginx_conf: Option<PathBuf>,
    /// nginx's prefix, as in `nginx -p` [default: the one nginx was built with]
    #[arg(long, value_name = "DIR")]
    pub nginx_prefix: Option<PathBuf>,
    /// The location with sparkngin_root_loc [default: the first one in nginx's configuration]
    #[arg(long, short = 'u', value_name = "URL")]
    pub url: Option<String>,
    /// The subscriber's settings, see sparkngin.toml(5)
    /// [default: $SPARKNGIN_CONFIG, or /etc/sparkngin/subscribe.toml if it is there]
    #[arg(long, short = 'c', value_name = "FILE")]
    pub config: Option<String>,
    /// For how long Kafka may be away: the ring is to last [default: 10m]
    #[arg(long, value_name = "TIME")]
    pub outage: Option<String>,
    /// Do not look at this (repeat it)
    #[arg(long, value_enum, value_name = "AREA")]
    pub skip: Vec<Area>,
    /// One JSON object
    #[arg(long)]
    pub json: bool,
    /// Flags of `sparkngin subscribe`, as it is started here
    #[arg(last = true, value_name = "FLAGS")]
    pub subscribe: Vec<String>,
}

/// What the doctor looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Area {
    /// nginx's configuration, and whether the module fits
    Nginx,
    /// The ring's directory
    Directory,
    /// For how long the ring lasts
    Size,
    /// Who reaches events and keys
    Doors,
    /// Descriptors, and workers that leave
    Limits,
    /// The subscriber's settings, and whether it runs
    Subscriber,
    /// Kafka's topics
    Kafka,
    /// The machine's clock
    Clock,
}
