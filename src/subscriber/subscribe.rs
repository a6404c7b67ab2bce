//! `sparkngin subscribe`: the loop. It waits, receives, sends, hears what became of it, acknowledges; what to do is
//! decided by core's Client, by `flight` and by the sink.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use sparkngin_core::feed::{Client, FREED, Incoming, Welcome};

use crate::config::{Settings, Target};
use crate::delivery::Delivery;
use crate::feed::{Feed, Over};
use crate::flight::{Fate, FeedNo, Flight, Hole, Settled};
use crate::http;
use crate::latency::Latency;
use crate::letter::Told;
use crate::mapping::Mapping;
use crate::plan::Plan;
use crate::report::{self, Progress, Seldom};
use crate::service::Service;
use crate::sink::{Batch, Condition, End, Lines, Report, Sink};
use crate::socket::poll_fd;
use crate::view::{Board, View};
use crate::wake::{self, Wakes};
use crate::word::{Given, Origin};

/// How long the end waits for reports: with all the rest of the end it takes less than 5 s.
const DRAIN: Duration = Duration::from_secs(4);
/// Messages taken from one feed before the others, and the sink, have their turn.
const TURN: usize = 64;
/// What others see of the loop is this old, at most.
const SHOW: Duration = Duration::from_millis(100);

struct Subscriber {
    feeds: Vec<Feed>,
    flight: Flight,
    wakes: Wakes,
    stop: Arc<AtomicBool>,
    again: Arc<AtomicBool>,
    service: Service,
    board: Board,
    progress: Progress,
    shown: Instant,
    reports: Vec<Report>,
    window: u64,
    seldom: Seldom,
    heard: bool,
    end: Option<End>,
}

/// Reads the settings again, and gives what of them can be changed.
pub type Again<'a> = &'a dyn Fn() -> Result<Mapping, String>;

/// Subscribes until TERM or INT, or until there is no point in it. At HUP it goes on by what `again` gives.
///
/// # Errors
/// A sentence for stderr: what cannot be from the start.
pub fn run(settings: Settings, again: Again<'_>) -> Result<End, String> {
    let now = Instant::now();
    let (waker, wakes) = wake::pair().map_err(|error| error.to_string())?;
    let stop = stop_on_signals(&waker).map_err(|error| format!("signals: {error}"))?;
    let context = zmq::Context::new();
    let feeds = feeds(&settings, &context, now)?;
    let flight = Flight::default();
    let unready = Some("it has just begun".to_owned());
    let board = Board::new(View {
        turned: now,
        name: settings.name.as_str().to_owned(),
        feeds: feeds.iter().map(|feed| feed.view(&flight)).collect(),
        open: 0,
        condition: Condition { unready, ..Condition::default() },
        latency: Latency::new(now),
    });
    let mut subscriber = Subscriber {
        feeds,
        flight,
        window: settings.window,
        progress: Progress::new(&settings.form, now),
        wakes,
        stop,
        again: flag_on(&[SIGHUP], &waker).map_err(|error| format!("signals: {error}"))?,
        service: Service::new(now),
        board,
        shown: now,
        reports: Vec::new(),
        seldom: Seldom::default(),
        heard: false,
        end: None,
    };
    let http = settings.http.clone();
    let mut sink = sink(settings, waker, now)?;
    if let Some(http) = http {
        listen(&http, &subscriber.board)?;
    }
    subscriber.service.ready();
    if let Err(why) = subscriber.run(&mut *sink, again) {
        return Ok(End::Failed(why));
    }
    subscriber.feeds.into_iter().for_each(Feed::farewell);
    Ok(subscriber.end.unwrap_or(End::Asked))
}

/// A flag that TERM and INT set; they wake the loop, too.
///
/// # Errors
/// What the system says.
pub fn stop_on_signals(waker: &wake::Waker) -> io::Result<Arc<AtomicBool>> {
    flag_on(&[SIGTERM, SIGINT], waker)
}

/// The same for other signals.
///
/// # Errors
/// What the system says.
pub fn flag_on(signals: &[i32], waker: &wake::Waker) -> io::Result<Arc<AtomicBool>> {
    let flag = Arc::new(AtomicBool::new(false));
    for signal in signals {
        signal_hook::flag::register(*signal, Arc::clone(&flag))?;
        signal_hook::low_level::pipe::register(*signal, waker.socket()?)?;
    }
    Ok(flag)
}

fn feeds(settings: &Settings, context: &zmq::Context, now: Instant) -> Result<Vec<Feed>, String> {
    let feed = |(no, given)| {
        let client = sparkngin_core::feed::Settings {
            name: settings.name.as_str().to_owned(),
            window: settings.window,
            from: Some(format!("process {}", std::process::id())),
        };
        let client = match settings.exactly_once() {
            true => Client::with_books_kept(client),
            false => Client::new(client),
        };
        Feed::connect(context, FeedNo(no as u16), given, settings.keys.get(no), client, now)
    };
    settings.feeds.iter().enumerate().map(feed).collect()
}

fn listen(http: &Given<SocketAddr>, board: &Board) -> Result<(), String> {
    match http::serve(http.value, board.clone()) {
        Ok(address) => tracing::info!(%address, "/healthz, /readyz and /metrics"),
        // Two subscribers on one machine are common, and nobody asked for the default port.
        Err(error) if http.origin == Origin::Default => {
            tracing::warn!("no /metrics on {}: {error}", http.value);
        }
        Err(error) => return Err(format!("{} {}: {error}", http.origin, http.value)),
    }
    Ok(())
}

/// Where records go, by the settings.
///
/// # Errors
/// A sentence: what cannot be from the start.
pub fn sink(settings: Settings, waker: wake::Waker, now: Instant) -> Result<Box<dyn Sink>, String> {
    match settings.target {
        Target::Kafka(kafka) => {
            let endpoints = settings.feeds.into_iter().map(|feed| feed.value).collect();
            let plan = Plan::new(*kafka, settings.route, endpoints, settings.window);
            Ok(Box::new(Delivery::new(plan, waker, now)?))
        }
        Target::Lines(path) => {
            let lines = Lines::open(&path, settings.route);
            Ok(Box::new(lines.map_err(|e| format!("--lines {}: {e}", path.display()))?))
        }
    }
}

impl Subscriber {
    fn run(&mut self, sink: &mut dyn Sink, again: Again<'_>) -> Result<(), String> {
        while self.end.is_none() && !self.stop.load(Ordering::Relaxed) {
            let now = Instant::now();
            if self.again.swap(false, Ordering::Relaxed) {
                self.adapt(sink, again);
            }
            for at in self.heard_feeds() {
                self.receive(sink, at, now);
            }
            let wake_at = self.turn(sink, now);
            // Before it waits: what a feed said meanwhile must wake it.
            self.heard = sink.wants_feeds();
            self.hurry(sink);
            self.speak(now)?;
            self.show(sink, now);
            self.wait(wake_at)?;
        }
        self.service.leaving();
        self.drain(sink)?;
        self.progress.end();
        Ok(())
    }

    /// Goes on by new settings. What cannot be read changes nothing; the sessions stay.
    fn adapt(&mut self, sink: &mut dyn Sink, again: Again<'_>) {
        self.service.reloading();
        match again() {
            Ok(mapping) => {
                sink.adapt(mapping);
                tracing::info!("HUP: the settings are read again");
            }
            Err(why) => tracing::error!("HUP: {why}; what was read before is used on"),
        }
        self.service.ready();
    }

    /// Takes what one feed has.
    fn receive(&mut self, sink: &mut dyn Sink, at: usize, now: Instant) {
        self.feeds[at].hear_links(now, &mut self.seldom);
        for _ in 0..TURN {
            match self.feeds[at].receive(now, &mut self.seldom) {
                Some(incoming) => self.take(sink, at, incoming, now),
                None => break,
            }
        }
    }

    fn take(&mut self, sink: &mut dyn Sink, at: usize, incoming: Incoming<Vec<u8>>, now: Instant) {
        let feed = self.feeds[at].no;
        match incoming {
            Incoming::Nothing => {}
            Incoming::Welcome(welcome) => self.welcome(sink, at, &welcome, now),
            Incoming::Refused(refused) => {
                match self.feeds[at].refused(&refused, now, &mut self.seldom) {
                    Ok(()) => {}
                    Err(Over::Version(text)) => drop(self.end.get_or_insert(End::Wrong(text))),
                    Err(Over::Fenced(text)) if sink.contest(now) => {
                        self.feeds[at].client.contest(now);
                        tracing::warn!("{text}; asking Kafka which of the two goes on");
                    }
                    Err(Over::Fenced(text)) => drop(self.end.get_or_insert(End::Fenced(text))),
                }
            }
            Incoming::Batch(records) => {
                let place = self.flight.take_records(feed, &records);
                sink.take(Batch::new(feed, place, now, records));
            }
            Incoming::Lost { region, stream, from, to, hours, reason } => {
                let hole = if reason == FREED { Hole::Freed } else { Hole::Lost };
                let told = Told { region, stream, hole, from, to };
                let events = to.0 - from.0 + 1;
                let lost = if hole == Hole::Freed { "not held for this name" } else { "lost" };
                let text = format!(
                    "{events} events {lost}: {reason}, {region}-{stream} from {from} to {to}, received in hours {} to {} since 1970",
                    hours.0, hours.1
                );
                self.note(sink, feed, told, &text, now);
                self.seldom.warn(now, "lost", || text);
            }
            Incoming::Uncertain { region, stream, from, to, since } => {
                let last = to.map_or("an unknown end".to_owned(), |to| to.to_string());
                let text = format!(
                    "uncertain: {region}-{stream} from {from} to {last}; the last good sync began at {since} ns"
                );
                // Without an end it counts nothing, and nothing follows: the client acknowledges it by itself.
                if let Some(to) = to {
                    let told = Told { region, stream, hole: Hole::Uncertain, from, to };
                    self.note(sink, feed, told, &text, now);
                }
                self.seldom.warn(now, "uncertain", || text);
            }
        }
    }

    /// A hole is written down where dead letters go, and only then acknowledged: nobody else could explain it later.
    fn note(&mut self, sink: &mut dyn Sink, feed: FeedNo, told: Told, text: &str, now: Instant) {
        let Told { region, stream, hole, from, to } = told;
        let place = self.flight.take_hole(feed, region, stream, (from, to), hole);
        sink.take(Batch::hole(feed, place, now, told, text));
    }

    fn welcome(&mut self, sink: &mut dyn Sink, at: usize, welcome: &Welcome, now: Instant) {
        self.feeds[at].welcome(welcome, &mut self.flight);
        sink.welcome(self.feeds[at].no, welcome, now);
    }

    /// Lets the sink work, and tells flight and clients what became of records.
    fn turn(&mut self, sink: &mut dyn Sink, now: Instant) -> Option<Instant> {
        let wake_at = sink.turn(now, &mut self.reports);
        let kept = sink.keeps_books();
        self.feeds.iter_mut().for_each(|feed| feed.latency.turn(now));
        // One look at the clock for all that was reported by now.
        let clock = report::clock();
        for report in self.reports.drain(..) {
            let settled = self.flight.settle(report.place, report.fate);
            if settled == Some(Settled::Event) && report.fate == Fate::Delivered {
                let feed = &mut self.feeds[usize::from(report.feed.0)];
                feed.latency.count(clock.saturating_sub(report.received));
            }
            if settled.is_some() && report.fate == Fate::Dead && !kept {
                let client = &mut self.feeds[usize::from(report.feed.0)].client;
                client.dead(report.id.region, report.id.stream, report.id.seq);
            }
        }
        let feeds = &mut self.feeds;
        if let Some(end) = sink.over() {
            self.end.get_or_insert(end);
        }
        self.flight.moved(|feed, region, stream, seq| {
            if !kept {
                feeds[usize::from(feed.0)].client.done(region, stream, seq);
            }
        });
        sink.moved(&mut |feed, (region, stream), place| {
            feeds[usize::from(feed.0)].client.done_with(region, stream, place);
        });
        wake_at
    }

    /// Where half a window is held by records that wait for their topics, these must not wait longer.
    fn hurry(&self, sink: &mut dyn Sink) {
        for feed in &self.feeds {
            let held = feed.client.in_flight().saturating_sub(sink.moving(feed.no));
            if held > self.window / 2 {
                sink.hurry(feed.no);
            }
        }
    }

    /// Sends what is due.
    fn speak(&mut self, now: Instant) -> Result<(), String> {
        let heard = self.heard_feeds();
        self.feeds[heard].iter_mut().try_for_each(|feed| feed.speak(now))
    }

    /// The feeds that are heard: all, or none before the sink knows what it has.
    fn heard_feeds(&self) -> std::ops::Range<usize> {
        0..if self.heard { self.feeds.len() } else { 0 }
    }

    fn show(&mut self, sink: &dyn Sink, now: Instant) {
        if now < self.shown + SHOW {
            return;
        }
        self.shown = now;
        let mut view = self.board.see();
        view.turned = now;
        view.condition = sink.condition();
        view.feeds = self.feeds.iter().map(|feed| feed.view(&self.flight)).collect();
        if let (false, Some(why)) = (self.heard, view.condition.unready.clone()) {
            for feed in &mut view.feeds {
                feed.why_not = Some(format!("not asked before Kafka is: {why}"));
            }
        }
        view.open = self.flight.open();
        view.latency =
            self.feeds.iter().fold(Latency::new(now), |all, feed| all.and(&feed.latency));
        self.feeds.iter_mut().for_each(Feed::tell);
        let status = view.unready().map_or("ready".to_owned(), |why| format!("waiting: {why}"));
        self.service.status(&status, now);
        self.progress.show(&view, now);
    }

    /// Waits for a message, a wake or the time.
    fn wait(&mut self, wake_at: Option<Instant>) -> Result<(), String> {
        let now = Instant::now();
        let mut until = self.progress.next().min(now + Duration::from_secs(5));
        until = wake_at.map_or(until, |at| until.min(at));
        until = self.service.alive(now).map_or(until, |at| until.min(at));
        // What nobody reads would wake the loop at once, and again.
        let heard = &self.feeds[self.heard_feeds()];
        for feed in heard {
            until = feed.client.wait(now).map_or(until, |wait| until.min(now + wait));
        }
        let mut items = vec![poll_fd(self.wakes.as_raw_fd())];
        for feed in heard {
            items.extend(feed.socket.poll_items());
        }
        // Rounded up, or the last millisecond would be spent turning.
        let ms = until.saturating_duration_since(now).as_micros().div_ceil(1000) as i64;
        match zmq::poll(&mut items, ms) {
            Ok(_) | Err(zmq::Error::EINTR) => {}
            Err(error) => return Err(format!("poll: {error}")),
        }
        drop(items);
        self.wakes.clear();
        Ok(())
    }

    /// Keeps a session open while it ends: beats are heard, and records stay in the ring for who comes next.
    fn hear(&mut self, sink: &mut dyn Sink, at: usize, now: Instant) {
        self.feeds[at].hear_links(now, &mut self.seldom);
        for _ in 0..TURN {
            match self.feeds[at].receive(now, &mut self.seldom) {
                Some(Incoming::Welcome(welcome)) => self.welcome(sink, at, &welcome, now),
                Some(_) => {}
                None => break,
            }
        }
    }

    /// Takes nothing more, waits for what Kafka was given, acknowledges it.
    fn drain(&mut self, sink: &mut dyn Sink) -> Result<(), String> {
        sink.close();
        let deadline = Instant::now() + DRAIN;
        if self.end.is_none() {
            tracing::info!(unreported = sink.condition().out, "ending");
            self.end = Some(End::Asked);
        }
        loop {
            let now = Instant::now();
            for at in self.heard_feeds() {
                self.hear(sink, at, now);
            }
            self.turn(sink, now);
            // A feed that fenced us is told nothing; the others get their acknowledgements.
            self.speak(now)?;
            let left = sink.condition().out;
            if left == 0 || now >= deadline {
                tracing::info!(left_in_the_ring = self.flight.open(), "ended");
                return Ok(());
            }
            self.wait(Some(deadline.min(now + SHOW)))?;
        }
    }
}
