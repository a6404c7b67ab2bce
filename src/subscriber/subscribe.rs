//! `sparkngin subscribe`: the loop. It waits, receives, sends, hears what became of it, acknowledges; what to do is
//! decided by core's Client, by `flight` and by the sink.

use std::io;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGINT, SIGTERM};
use sparkngin_core::feed::{Client, Due, Incoming, Reason, Refused, Welcome, Why};
use sparkngin_core::id::{Region, Seq, Stream};

use crate::config::{Origin, Settings, Target};
use crate::delivery::{Delivery, Plan};
use crate::flight::{Fate, FeedNo, Flight, Hole};
use crate::http;
use crate::report::{self, Progress, Seldom};
use crate::sink::{Batch, Lines, Report, Sink};
use crate::socket::{FeedSocket, Link, poll_fd};
use crate::topics::Topics;
use crate::view::{Board, FeedView, View};
use crate::wake::{self, Wakes};

/// How long the end waits for reports.
const DRAIN: Duration = Duration::from_secs(5);
/// Messages taken from one feed before the others, and the sink, have their turn.
const TURN: usize = 64;
/// What others see of the loop is this old, at most.
const SHOW: Duration = Duration::from_millis(100);
/// Why a feed is silent is said this often.
const REMIND: Duration = Duration::from_secs(10);

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// Asked to.
    Asked,
    /// A configuration turned out to be wrong.
    Wrong(String),
    /// Another subscriber of its name took over.
    Fenced(String),
}

struct Feed {
    no: FeedNo,
    endpoint: String,
    client: Client,
    socket: FeedSocket,
    why_not: Option<String>,
    sessions: u64,
    reminded: Instant,
}

struct Subscriber {
    feeds: Vec<Feed>,
    flight: Flight,
    sink: Box<dyn Sink>,
    wakes: Wakes,
    stop: Arc<AtomicBool>,
    board: Board,
    progress: Progress,
    shown: Instant,
    reports: Vec<Report>,
    window: u64,
    seldom: Seldom,
    end: Option<End>,
}

/// Subscribes until TERM or INT, or until there is no point in it.
///
/// # Errors
/// A sentence for stderr: what cannot be from the start.
pub fn run(settings: Settings) -> Result<End, String> {
    report::begin(settings.form);
    let now = Instant::now();
    let (waker, wakes) = wake::pair().map_err(|error| error.to_string())?;
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGTERM, SIGINT] {
        let signals = || -> io::Result<()> {
            signal_hook::flag::register(signal, Arc::clone(&stop))?;
            signal_hook::low_level::pipe::register(signal, waker.for_signals()?)?;
            Ok(())
        };
        signals().map_err(|error| format!("signals: {error}"))?;
    }
    let board = Board::new(View {
        turned: now,
        name: settings.name.as_str().to_owned(),
        feeds: Vec::new(),
        open: 0,
        condition: Default::default(),
    });
    if let Some(http) = &settings.http {
        match http::serve(http.value, board.clone()) {
            Ok(address) => tracing::info!(%address, "/healthz, /readyz and /metrics"),
            // Two subscribers on one machine are common, and nobody asked for the default port.
            Err(error) if http.origin == Origin::Default => {
                tracing::warn!("no /metrics on {}: {error}", http.value);
            }
            Err(error) => return Err(format!("{} {}: {error}", http.origin, http.value)),
        }
    }
    let name = settings.name.as_str().to_owned();
    let window = settings.window;
    let mut feeds = Vec::new();
    let context = zmq::Context::new();
    for (no, endpoint) in settings.feeds.iter().enumerate() {
        let socket = FeedSocket::connect(&context, &endpoint.value, no as u16)
            .map_err(|error| format!("{} {}: {error}", endpoint.origin, endpoint.value))?;
        let settings = sparkngin_core::feed::Settings {
            name: name.clone(),
            window,
            from: Some(format!("process {}", std::process::id())),
        };
        feeds.push(Feed {
            no: FeedNo(no as u16),
            endpoint: endpoint.value.clone(),
            client: Client::new(settings),
            socket,
            why_not: None,
            sessions: 0,
            reminded: now,
        });
    }
    let progress = Progress::new(settings.form, now);
    let sink = sink(settings, waker, now)?;
    let flight = Flight::default();
    let (reports, seldom, shown, end) = (Vec::new(), Seldom::default(), now, None);
    Subscriber {
        feeds,
        flight,
        sink,
        wakes,
        stop,
        board,
        progress,
        shown,
        reports,
        window,
        seldom,
        end,
    }
    .run()
}

fn sink(settings: Settings, waker: wake::Waker, now: Instant) -> Result<Box<dyn Sink>, String> {
    match settings.target {
        Target::Kafka(kafka) => {
            let letters = match &kafka.letters {
                crate::letter::Letters::Topic(topic) => Some(topic.clone()),
                crate::letter::Letters::File(_) => None,
            };
            let plan = Plan {
                access: kafka.access,
                route: settings.route,
                topics: Topics::new(kafka.allowed, kafka.create, kafka.grace, letters),
                letters: kafka.letters,
                patience: kafka.grace,
            };
            Ok(Box::new(Delivery::new(plan, waker, now)?))
        }
        Target::Lines(path) => {
            let lines = Lines::open(&path, settings.route);
            Ok(Box::new(lines.map_err(|e| format!("--lines {}: {e}", path.display()))?))
        }
    }
}

impl Subscriber {
    fn run(mut self) -> Result<End, String> {
        while self.end.is_none() && !self.stop.load(Ordering::Relaxed) {
            let now = Instant::now();
            for at in 0..self.feeds.len() {
                self.receive(at, now);
            }
            let wake_at = self.turn(now);
            self.hurry();
            self.speak(now)?;
            self.show(now);
            self.wait(wake_at)?;
        }
        self.drain()?;
        self.progress.end();
        for feed in self.feeds {
            feed.socket.farewell();
        }
        Ok(self.end.unwrap_or(End::Asked))
    }

    /// Takes what one feed has.
    fn receive(&mut self, at: usize, now: Instant) {
        let feed = &mut self.feeds[at];
        while let Some(link) = feed.socket.link() {
            match link {
                Link::Up => feed.client.connected(now),
                Link::Down => {
                    if feed.client.in_session() {
                        tracing::info!(feed = feed.endpoint, "the publisher went away");
                    }
                    feed.client.disconnected();
                }
            }
        }
        for _ in 0..TURN {
            let Some(frames) = self.feeds[at].socket.receive() else { break };
            match self.feeds[at].client.receive(frames, now) {
                Ok(incoming) => self.take(at, incoming, now),
                Err(fault) => {
                    let endpoint = &self.feeds[at].endpoint;
                    self.seldom
                        .warn(now, "fault", || format!("{endpoint}: {fault}; connecting anew"));
                }
            }
        }
    }

    fn take(&mut self, at: usize, incoming: Incoming<Vec<u8>>, now: Instant) {
        let feed = self.feeds[at].no;
        match incoming {
            Incoming::Nothing => {}
            Incoming::Welcome(welcome) => self.welcome(at, &welcome),
            Incoming::Refused(refused) => self.refused(at, &refused, now),
            Incoming::Batch(records) => {
                let (region, stream) = (records.region, records.stream);
                let place = self.flight.take(feed, region, stream, records.first, records.count);
                self.sink.take(Batch { feed, place, came: now, records });
            }
            Incoming::Lost { region, stream, from, to, hours, reason } => {
                self.flight.take_hole(feed, region, stream, (from, to), Hole::Lost);
                let events = to.0 - from.0 + 1;
                self.seldom.warn(now, "lost", || {
                    format!(
                        "{events} events lost: {reason}, {region}-{stream} from {from} to {to}, received in hours {} to {} since 1970",
                        hours.0, hours.1
                    )
                });
            }
            Incoming::Uncertain { region, stream, from, to, since } => {
                self.uncertain(feed, (region, stream), from, to);
                let last = to.map_or("an unknown end".to_owned(), |to| to.to_string());
                self.seldom.warn(now, "uncertain", || {
                    format!("uncertain: {region}-{stream} from {from} to {last}; the last good sync began at {since} ns")
                });
            }
        }
    }

    fn uncertain(&mut self, feed: FeedNo, at: (Region, Stream), from: Seq, to: Option<Seq>) {
        // Without an end it counts nothing, and nothing follows: the client acknowledges it by itself.
        if let Some(to) = to {
            self.flight.take_hole(feed, at.0, at.1, (from, to), Hole::Uncertain);
        }
    }

    fn welcome(&mut self, at: usize, welcome: &Welcome) {
        let feed = &mut self.feeds[at];
        feed.sessions += 1;
        feed.why_not = None;
        let mut behind = 0;
        for region in &welcome.regions {
            for s in &region.streams {
                self.flight.welcome(feed.no, region.region, s.stream, s.acked);
                behind += s.last.0.saturating_sub(s.acked.0);
            }
        }
        let (endpoint, session) = (&feed.endpoint, feed.sessions);
        tracing::info!(feed = endpoint, session, unacknowledged = behind, "session open");
    }

    fn refused(&mut self, at: usize, refused: &Refused, now: Instant) {
        let feed = &mut self.feeds[at];
        let endpoint = &feed.endpoint;
        let why = match refused.reason {
            Reason::Name => "no sparkngin_subscriber in nginx has this name",
            Reason::Key => "the key is not the one that nginx has for this name",
            Reason::Session => return,
            Reason::Fenced => {
                let other = refused.other.as_deref().unwrap_or("unknown");
                let text =
                    format!("{endpoint}: another subscriber of this name took over ({other})");
                self.end = Some(End::Fenced(text));
                return;
            }
            Reason::Version => {
                let text = format!("{endpoint}: the publisher does not speak this version's feed");
                self.end = Some(End::Wrong(text));
                return;
            }
        };
        feed.why_not = Some(why.to_owned());
        self.seldom.warn(now, "refused", || format!("{endpoint}: refused: {why}; asking again"));
    }

    /// Lets the sink work, and tells flight and clients what became of records.
    fn turn(&mut self, now: Instant) -> Option<Instant> {
        let wake_at = self.sink.turn(now, &mut self.reports);
        for report in self.reports.drain(..) {
            if self.flight.settle(report.place, report.fate) && report.fate == Fate::Dead {
                let client = &mut self.feeds[usize::from(report.feed.0)].client;
                client.dead(report.id.region, report.id.stream, report.id.seq);
            }
        }
        let feeds = &mut self.feeds;
        self.flight.moved(|feed, region, stream, seq| {
            feeds[usize::from(feed.0)].client.done(region, stream, seq);
        });
        wake_at
    }

    /// Where half a window is held by records that wait for their topics, these must not wait longer.
    fn hurry(&mut self) {
        for feed in &self.feeds {
            let held = feed.client.in_flight().saturating_sub(self.sink.moving(feed.no));
            if held > self.window / 2 {
                self.sink.hurry(feed.no);
            }
        }
    }

    /// Sends what is due.
    fn speak(&mut self, now: Instant) -> Result<(), String> {
        for feed in &mut self.feeds {
            while let Some(due) = feed.client.due(now) {
                match due {
                    Due::Send(message) => {
                        feed.socket.send(message.header());
                    }
                    Due::Reconnect(why) => {
                        if why == Why::Silence {
                            tracing::warn!(feed = feed.endpoint, "silent for 3 s, connecting anew");
                        }
                        feed.socket.reconnect().map_err(|e| format!("{}: {e}", feed.endpoint))?;
                    }
                }
            }
            if !feed.client.in_session() && feed.reminded + REMIND <= now {
                feed.reminded = now;
                let why = feed.why_not.as_deref().unwrap_or("nobody publishes there yet");
                tracing::warn!(feed = feed.endpoint, "waiting: {why}");
            }
        }
        if let Some(why) = self.sink.condition().hopeless {
            self.end = Some(End::Wrong(why));
        }
        Ok(())
    }

    fn show(&mut self, now: Instant) {
        if now < self.shown + SHOW {
            return;
        }
        self.shown = now;
        let feeds = self.feeds.iter().map(|feed| FeedView {
            endpoint: feed.endpoint.clone(),
            in_session: feed.client.in_session(),
            why_not: feed.why_not.clone(),
            in_flight: feed.client.in_flight(),
            totals: self.flight.totals(feed.no),
            sessions: feed.sessions,
            streams: self
                .flight
                .cursors()
                .filter(|row| row.0 == feed.no)
                .map(|(_, region, stream, done, taken)| (region, stream, done, taken))
                .collect(),
        });
        let mut view = self.board.see();
        view.turned = now;
        view.feeds = feeds.collect();
        view.open = self.flight.open();
        view.condition = self.sink.condition();
        self.progress.show(&view, now);
    }

    /// Waits for a message, a wake or the time.
    fn wait(&mut self, wake_at: Option<Instant>) -> Result<(), String> {
        let now = Instant::now();
        let mut until = self.progress.next().min(now + Duration::from_secs(5));
        until = wake_at.map_or(until, |at| until.min(at));
        for feed in &self.feeds {
            until = feed.client.wait(now).map_or(until, |wait| until.min(now + wait));
        }
        let mut items = vec![poll_fd(self.wakes.as_raw_fd())];
        for feed in &self.feeds {
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

    /// Takes nothing more, waits for what Kafka was given, acknowledges it.
    fn drain(&mut self) -> Result<(), String> {
        self.sink.close();
        let deadline = Instant::now() + DRAIN;
        if self.end.is_none() {
            tracing::info!(unreported = self.sink.condition().out, "ending");
        }
        loop {
            let now = Instant::now();
            self.turn(now);
            if !matches!(self.end, Some(End::Fenced(_))) {
                self.speak(now)?;
            }
            let left = self.sink.condition().out;
            if left == 0 || now >= deadline {
                tracing::info!(left_in_the_ring = self.flight.open(), "ended");
                return Ok(());
            }
            self.wait(Some(deadline.min(now + SHOW)))?;
        }
    }
}
