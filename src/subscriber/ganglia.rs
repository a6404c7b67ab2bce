//! `sparkngin ganglia`: the figures of an nginx, and of its subscriber, to a gmond, as gmetric sends them.

mod packet;

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use self::packet::{Host, Metric};
use crate::args;
use crate::ask::Url;
use crate::config;
use crate::figures::{Nginx, Subscriber};
use crate::log;
use crate::report::Seldom;
use crate::subscribe::stop_on_signals;
use crate::wake;
use crate::word::{Wrong, time, word};

/// Why it does not end well.
pub enum Ended {
    /// A word that cannot be.
    Wrong(String),
    /// With `--once`: it was not sent.
    Failed(String),
}

struct Settings {
    gmond: String,
    url: Url,
    subscriber: Option<Url>,
    host: Host,
    interval: Duration,
    patience: Duration,
}

/// Sends once, or until TERM.
///
/// # Errors
/// [`Ended`]
pub fn run(args: &args::Ganglia) -> Result<(), Ended> {
    let settings = settings(args).map_err(|wrong| Ended::Wrong(wrong.to_string()))?;
    let form = config::form(&args.log).map_err(|wrong| Ended::Wrong(wrong.to_string()))?;
    let sent = |settings: &Settings| {
        let (metrics, troubles) = metrics(settings);
        let sent = settings.send(&metrics);
        (sent.map_err(|error| format!("{}: {error}", settings.gmond)), troubles)
    };
    if args.once {
        let (sent, troubles) = sent(&settings);
        troubles.iter().for_each(|text| eprintln!("sparkngin: {text}"));
        return sent.map_err(Ended::Failed);
    }
    let _log = log::begin(&form).map_err(|error| Ended::Failed(error.to_string()))?;
    let failed = |error: io::Error| Ended::Failed(error.to_string());
    let (waker, mut wakes) = wake::pair().map_err(failed)?;
    let stop = stop_on_signals(&waker).map_err(failed)?;
    let mut seldom = Seldom::default();
    while !stop.load(Ordering::Relaxed) {
        let next = Instant::now() + settings.interval;
        let (sent, troubles) = sent(&settings);
        for text in troubles.into_iter().chain(sent.err()) {
            seldom.warn_once_in(Duration::from_secs(60), Instant::now(), "trouble", || text);
        }
        while !stop.load(Ordering::Relaxed) && Instant::now() < next {
            wakes.wait_until(next).map_err(failed)?;
        }
    }
    Ok(())
}

fn settings(args: &args::Ganglia) -> Result<Settings, Wrong> {
    let url = |flag, text: &String| Url::read(text).map_err(|why| Wrong::flag(flag, text, why));
    let gmond = &args.gmond;
    let port = gmond.rsplit_once(':').filter(|(host, _)| !host.is_empty());
    if port.and_then(|(_, port)| port.parse::<u16>().ok()).is_none() {
        return Err(Wrong::flag("--gmond", gmond, "it must be host:port"));
    }
    let host = match &args.spoof {
        None => Host::own(),
        Some(text) => {
            let must = || Wrong::flag("--spoof", text, "it must be ADDRESS:NAME");
            Host::other(text).ok_or_else(must)?
        }
    };
    let interval = word(&args.interval, "--interval", "30s").read(|text| {
        let range = Duration::from_secs(1)..=Duration::from_secs(3600);
        let time = time(text).ok().filter(|time| range.contains(time));
        time.ok_or("it must be a time between 1s and 1h")
    })?;
    Ok(Settings {
        gmond: gmond.clone(),
        url: url("--url", &args.url)?,
        subscriber: args.subscriber.as_ref().map(|text| url("--subscriber", text)).transpose()?,
        host,
        interval,
        patience: Duration::from_secs(args.timeout.max(1)),
    })
}

impl Settings {
    /// What a metric is, and then its value: gmond may have been started since the last time.
    fn send(&self, metrics: &[Metric]) -> io::Result<()> {
        let address = self.gmond.to_socket_addrs()?.next();
        let address = address.ok_or_else(|| io::Error::other("the host has no address"))?;
        let any: SocketAddr = match address {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let socket = UdpSocket::bind(any)?;
        socket.connect(address)?;
        for metric in metrics {
            socket.send(&packet::meaning(&self.host, metric, self.interval))?;
            socket.send(&packet::value(&self.host, metric))?;
        }
        Ok(())
    }
}

/// What there is to send, and who could not be asked. Names are of a bounded number: nginx knows four subscribers at most.
fn metrics(settings: &Settings) -> (Vec<Metric>, Vec<String>) {
    let mut troubles = Vec::new();
    let mut metrics = match Nginx::ask(&settings.url, settings.patience) {
        Ok(nginx) => of_nginx(&nginx),
        Err(why) => {
            troubles.push(format!("{}: {why}", settings.url));
            vec![Metric::new("up", 0.0, "", "nginx answers")]
        }
    };
    if let Some(url) = &settings.subscriber {
        metrics.extend(match Subscriber::ask(url, settings.patience) {
            Ok(subscriber) => of_subscriber(&subscriber),
            Err(why) => {
                troubles.push(format!("{url}: {why}"));
                vec![Metric::new("ready", 0.0, "", "events get into Kafka")]
            }
        });
    }
    (metrics, troubles)
}

fn of_nginx(nginx: &Nginx) -> Vec<Metric> {
    let flag = |on: bool| f64::from(u8::from(on));
    let mut metrics = vec![
        Metric::new("up", 1.0, "", "nginx answers"),
        Metric::new("wrong", nginx.wrong.len() as f64, "", "things that are wrong now"),
        Metric::new("publisher_up", flag(nginx.published), "", "somebody publishes"),
        Metric::new("refused_events", nginx.refused as f64, "events", "refused in ten minutes"),
        Metric::new("lost_events", nginx.lost as f64, "events", "lost in ten minutes"),
    ];
    let known = [
        ("events_per_second", nginx.rate, "events/s", "events stored, of the last minute"),
        ("ring_used_percent", nginx.percent(), "%", "the ring's blocks that hold events"),
    ];
    for (name, value, units, title) in known {
        metrics.extend(value.map(|value| Metric::new(name, value, units, title)));
    }
    for held in &nginx.subscribers {
        let of = |what: &str, value, units, title: &str| {
            Metric::new(&format!("subscriber_{}_{what}", held.name), value, units, title)
        };
        metrics.extend([
            of("up", flag(held.connected), "", "the subscriber is connected"),
            of("lag_events", held.lag as f64, "events", "events that are not acknowledged"),
            of("lag_seconds", held.behind.as_secs_f64(), "s", "how long the oldest of them waits"),
        ]);
    }
    metrics
}

fn of_subscriber(subscriber: &Subscriber) -> Vec<Metric> {
    let ready = f64::from(u8::from(subscriber.unready.is_none()));
    let mut metrics = vec![
        Metric::new("ready", ready, "", "events get into Kafka"),
        Metric::new("open_events", subscriber.open as f64, "events", "on the way to Kafka"),
        Metric::new("dead_letters", subscriber.dead as f64, "events", "in the dead letter"),
    ];
    let most = subscriber.took.map(|(_, most)| most);
    metrics.extend(most.map(|most| {
        Metric::new("delivery_p99_seconds", most, "s", "99 % came into Kafka within, last minute")
    }));
    metrics
}
