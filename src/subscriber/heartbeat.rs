//! `sparkngin heartbeat`: a marked event goes in by HTTP now and then, and is read back from Kafka. Nothing inside is asked
//! how it is; so it is green only when events get through.

mod hook;
mod pulse;
mod reader;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use sparkngin_core::event::heartbeat::MARK;

use self::hook::Hook;
use self::pulse::{Pulse, Red};
use self::reader::Reader;
use crate::access::Access;
use crate::args;
use crate::ask::{Answer, Url};
use crate::config;
use crate::cursor_topic::Owner;
use crate::http;
use crate::log::{self, Form};
use crate::plugin::{Found, State, Thresholds, number};
use crate::report::Seldom;
use crate::subscribe::stop_on_signals;
use crate::view::Board;
use crate::wake;
use crate::word::{Given, Origin, Word, Wrong, time, word};

struct Settings {
    url: Url,
    access: Access,
    topic: String,
    interval: Duration,
    timeout: Duration,
    http: Option<Given<SocketAddr>>,
    hooks: Vec<Hook>,
    form: Form,
    limits: Thresholds,
}

/// Beats; gives the exit code, or a sentence that says which word cannot be.
///
/// # Errors
/// The sentence, for stderr: the configuration is wrong.
pub fn run(args: &args::Heartbeat) -> Result<u8, String> {
    let begun = settings(args).map_err(|wrong| wrong.to_string()).and_then(|settings| {
        let heart = Heart::new(&settings)?;
        Ok((settings, heart))
    });
    let never = AtomicBool::new(false);
    match begun {
        Err(why) if args.check => Ok(plugin(&Found::unknown(why))),
        Err(why) => Err(why),
        Ok((settings, mut heart)) if args.check => {
            Ok(plugin(&found(heart.beat(&never), &settings.limits)))
        }
        Ok((_, mut heart)) if args.once => Ok(once(heart.beat(&never))),
        Ok((settings, heart)) => on_and_on(settings, heart).map(|()| 0),
    }
}

fn settings(args: &args::Heartbeat) -> Result<Settings, Wrong> {
    let missing = Word { text: "", origin: Origin::flag("--kafka") };
    let servers = args.servers.as_ref();
    let servers =
        servers.ok_or_else(|| missing.wrong("it is needed, such as --kafka 127.0.0.1:9092"))?;
    let between = |from: Duration, to: Duration, why: &'static str| {
        move |text: &str| time(text).ok().filter(|time| (from..=to).contains(time)).ok_or(why)
    };
    let (second, minute) = (Duration::from_secs(1), Duration::from_secs(60));
    let interval = between(second, 60 * minute, "it must be a time between 1s and 1h");
    let timeout = between(second / 10, 10 * minute, "it must be a time between 100ms and 10m");
    let hook = |text: &String| Hook::new(text).map_err(|why| Wrong::flag("--webhook", text, why));
    let limits = Thresholds::read((&args.warning, &args.critical), ("", ""));
    Ok(Settings {
        url: Url::read(&args.url).map_err(|why| Wrong::flag("--url", &args.url, why))?,
        access: config::access(servers, &None, &args.property, None)?,
        topic: word(&args.topic, "--topic", "sparkngin.heartbeat").read(config::topic)?,
        interval: word(&args.interval, "--interval", "10s").read(interval)?,
        timeout: word(&args.timeout, "--timeout", "10s").read(timeout)?,
        http: config::http(&args.http, "127.0.0.1:7011")?,
        hooks: args.webhook.iter().map(hook).collect::<Result<_, _>>()?,
        form: config::form(&args.log)?,
        limits: limits.map_err(|why| Wrong::flag("--check", "", why))?,
    })
}

/// Who sends beats and reads them back.
struct Heart {
    url: Url,
    topic: String,
    timeout: Duration,
    reader: Reader,
    /// A number that no other process has.
    own: String,
    beats: u64,
}

impl Heart {
    fn new(settings: &Settings) -> Result<Heart, String> {
        Ok(Heart {
            url: settings.url.clone(),
            topic: settings.topic.clone(),
            timeout: settings.timeout,
            reader: Reader::new(&settings.access, &settings.topic)?,
            own: Owner::this_process().instance,
            beats: 0,
        })
    }

    /// One beat: how long it took from end to end.
    fn beat(&mut self, stop: &AtomicBool) -> Result<Duration, Red> {
        // Where its topic ends must be known before it is sent.
        self.reader.look(Instant::now() + self.timeout, stop).map_err(Red::Kafka)?;
        self.beats += 1;
        let mark = format!("{MARK}{}-{}.", self.own, self.beats);
        let sent = Instant::now();
        self.send(&mark)?;
        self.reader.find(&mark, sent + self.timeout, stop).map_err(|why| {
            let seconds = self.timeout.as_secs_f64();
            Red::Missing(format!("nginx took it, and it is not in Kafka after {seconds} s: {why}"))
        })?;
        Ok(sent.elapsed())
    }

    fn send(&self, mark: &str) -> Result<(), Red> {
        let name = format!("log?topic={}&id={mark}", self.topic);
        match self.url.post(&name, ("text/plain", mark), self.timeout) {
            Err(error) => Err(Red::Refused(format!("nginx does not answer: {error}"))),
            // 504: it is stored, and Kafka was late. It may still come.
            Ok(Answer { status: 200..=299 | 504, .. }) => Ok(()),
            Ok(Answer { status, body }) => {
                let said: Option<Value> = serde_json::from_str(&body).ok();
                let why = said.as_ref().and_then(|said| said["error"].as_str()).unwrap_or("");
                Err(Red::Refused(format!("nginx refuses it: {status} {why}").trim_end().to_owned()))
            }
        }
    }
}

fn found(beat: Result<Duration, Red>, limits: &Thresholds) -> Found {
    match beat {
        Err(red) => Found::new(State::Critical, red.to_string()),
        Ok(took) => {
            let seconds = took.as_micros() as f64 / 1e6;
            let mut found =
                Found::new(limits.judge(seconds), format!("in Kafka after {seconds} s"));
            found.numbers.push(number("latency", seconds, "s", limits, ""));
            found
        }
    }
}

fn plugin(found: &Found) -> u8 {
    println!("{}", found.line("heartbeat"));
    found.state as u8
}

fn once(beat: Result<Duration, Red>) -> u8 {
    match beat {
        Ok(took) => println!("green: in Kafka after {} s", took.as_micros() as f64 / 1e6),
        Err(red) => {
            println!("red: {red}");
            return 1;
        }
    }
    0
}

/// Beats until TERM.
fn on_and_on(mut settings: Settings, mut heart: Heart) -> Result<(), String> {
    let _log = log::begin(&settings.form).map_err(|error| error.to_string())?;
    let (waker, _wakes) = wake::pair().map_err(|error| error.to_string())?;
    let stop = stop_on_signals(&waker).map_err(|error| format!("signals: {error}"))?;
    let patience = settings.interval + settings.timeout;
    let board = Board::new(Pulse::new(settings.url.to_string(), settings.topic.clone(), patience));
    if let Some(Given { value, origin }) = settings.http.take() {
        let bound = http::serve(value, board.clone())
            .map_err(|error| Word { text: &value.to_string(), origin }.wrong(error).to_string())?;
        tracing::info!(address = %bound, "/healthz, /readyz and /metrics are answered");
    }
    let mut seldom = Seldom::default();
    while !stop.load(Ordering::Relaxed) {
        let next = Instant::now() + settings.interval;
        let beat = heart.beat(&stop);
        if stop.load(Ordering::Relaxed) {
            break;
        }
        if board.see().note(beat) {
            match board.see().why() {
                None => tracing::info!("green: events get through"),
                Some(why) => tracing::warn!("red: {why}"),
            }
        }
        let pulse = board.see().clone();
        for hook in &mut settings.hooks {
            if let Err(why) = hook.tell(&pulse) {
                seldom.warn(Instant::now(), "hook", || format!("{hook}: {why}; it is told again"));
            }
        }
        while !stop.load(Ordering::Relaxed) && Instant::now() < next {
            heart.reader.idle(next);
        }
    }
    Ok(())
}
