//! The one loop: wait, look, hand out, free. It decides nothing about events; what it decides is when to look again.
//!
//! ```text
//!   idle:   flag set, looked once more -> sleep until the bell, a message, a BEAT or 200 ms
//!   busy:   what came since the last look goes out together: a look each 3 ms, or at once when there is more than one gives
//! ```
//!
//! While nobody could take anything the flag is not set at all: then a commit makes no system call and wakes nobody.

use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use sparkngin_core::ring::{Lease, Ledger, Ring};
use zmq::{Context, POLLIN, PollItem, Socket};

use crate::door::{self, Door};
use crate::feed::{Feed, Given};
use crate::files::Files;
use crate::lines::{Level, Lines, Throttle};
use crate::live::Live;
use crate::looks::{Looks, TICK};
use crate::monitor::Monitor;
use crate::socket::{self, BindError, Place};
use crate::source::Source;
use crate::watch::{Now, Watch};
use crate::{Settings, Shared};

/// Between two tries to listen, at first, and for an address that stays taken.
const BIND: (Duration, Duration) = (Duration::from_millis(10), TICK);
/// How long "at first" is.
const BIND_SOON: Duration = Duration::from_secs(5);
/// What cannot listen for so long is told of.
const DEAF: Duration = Duration::from_secs(1);

/// Runs until it is asked to stop or outbid. `unwanted` says that the host has no use for the ring but to drain it.
///
/// # Errors
/// When the ring or ZeroMQ refuses what nobody can do without.
pub fn run(
    lease: &mut Lease,
    (ring, unwanted): (Ring, bool),
    settings: &Settings,
    shared: &Shared,
    wakened: &UnixStream,
) -> io::Result<()> {
    let source = Source::new(ring, lease, &settings.configuration)?;
    source.tell_of_left(&shared.lines);
    let mut files = Files::new(&source, &settings.configuration, unwanted);
    // Made in this thread, so after every fork of the host.
    let context = Context::new();
    let mut publisher = Publisher::new(&context, settings, vec![source])?;
    let dir = publisher.dir();
    while !shared.stop.load(Ordering::Acquire) && holds(lease, &dir) && !lease.outbid() {
        if files.turn(&mut publisher.sources, lease, Instant::now(), &shared.lines) {
            publisher.changed();
        }
        publisher.knows_all(files.complete());
        let wait = publisher.turn(&shared.lines);
        publisher.remember(clock());
        let wait = files.wait(Instant::now()).map_or(wait, |look| look.min(wait));
        publisher.rest(wait, wakened)?;
    }
    if holds(lease, &dir) {
        // What was acknowledged until now is stored; the rest is in the next session's `have`.
        publisher.receive(Instant::now(), &shared.lines);
        files.bury(&mut publisher.sources, lease, Instant::now(), &shared.lines);
    }
    // A publisher of another ring may listen in its place by now: the lease is this ring's alone.
    [&publisher.live.place, &publisher.feed.place].into_iter().flatten().for_each(Place::tidy);
    Ok(())
}

/// Whether it still is the one who publishes.
fn holds(lease: &mut Lease, dir: &Path) -> bool {
    // Without the directory there is no other lease either.
    lease.follow(dir).unwrap_or(true)
}

struct Publisher {
    sources: Vec<Source>,
    live: Listening<Live>,
    feed: Listening<Feed>,
    /// After the sockets, which ask there as long as they live.
    door: Option<Door>,
    watch: Watch,
    /// Each file is among the sources: named subscribers may come.
    complete: bool,
    /// The flag of the bell is set, and everything was looked at since.
    armed: bool,
    looks: Looks,
}

impl Publisher {
    fn new(context: &Context, settings: &Settings, sources: Vec<Source>) -> io::Result<Publisher> {
        let failed = |error: zmq::Error| io::Error::other(error.message());
        let before = sources.first().map(|source| source.reader.ring().state());
        let before = before.ok_or_else(|| io::Error::other("no ring to publish"))?;
        let names = &settings.configuration.subscribers;
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let (curve, key) = (settings.curve.as_ref(), settings.curve.as_ref().map(|c| &c.secret));
        // Before both sockets: libzmq lets every key in while nobody is there to ask.
        let door =
            curve.map(|curve| Door::new(context, curve, &names)).transpose().map_err(failed)?;
        let live = socket::live(context, &settings.live, key).map_err(failed)?;
        let hear = |of: &Socket, door| Monitor::new(context, of, door, key.is_some());
        let live_monitor = hear(&live, door::LIVE).map_err(failed)?;
        let live = Live::new(live, settings.rendering.clone(), settings.gzip, before.live_dropped);
        let feed = socket::feed(context, &settings.feed, key).map_err(failed)?;
        let feed_monitor = hear(&feed, door::FEED).map_err(failed)?;
        let keyed = curve.map(|curve| curve.subscribers.iter().map(Option::is_some).collect());
        let keyed = keyed.unwrap_or_else(|| vec![false; names.len()]);
        let now = Instant::now();
        Ok(Publisher {
            sources,
            live: Listening::new(live, live_monitor, "live", &settings.live, now),
            feed: Listening::new(
                Feed::new(feed, names, keyed),
                feed_monitor,
                "the feed",
                &settings.feed,
                now,
            ),
            door,
            watch: Watch::new(&settings.configuration, &before),
            complete: false,
            armed: false,
            looks: Looks::new(now),
        })
    }

    /// The directory of the rings.
    fn dir(&self) -> PathBuf {
        self.sources.first().map(|source| source.reader.ring().dir().to_owned()).unwrap_or_default()
    }

    /// Whether each file is known now: until then the feed does not listen, on purpose.
    fn knows_all(&mut self, complete: bool) {
        if complete && !std::mem::replace(&mut self.complete, complete) {
            self.feed.since = Instant::now();
        }
    }

    /// One turn; how long to sleep after it.
    fn turn(&mut self, lines: &Lines) -> Duration {
        let now = Instant::now();
        self.live.bind(Live::socket, now, lines);
        if self.complete {
            self.feed.bind(Feed::socket, now, lines);
        }
        self.live.monitor.hear(now, lines);
        self.feed.monitor.hear(now, lines);
        if let Some(door) = &mut self.door {
            door.answer(now, lines);
        }
        let more = self.receive(now, lines);
        let live_at = self.live.it.next();
        if self.looks.due(now) || live_at.is_some_and(|at| now >= at) {
            let given = self.look(now, lines);
            self.plan(given, now);
        }
        self.feed.it.due(now, lines);
        if more { Duration::ZERO } else { self.wait(now) }
    }

    /// Hears both sockets; whether there may be more.
    fn receive(&mut self, now: Instant, lines: &Lines) -> bool {
        self.live.it.receive(now);
        let received = self.feed.it.receive(&mut self.sources, now, lines);
        for who in received.acked {
            self.watch.acked(&mut self.sources, who, clock());
        }
        if received.room {
            self.looks.room();
        }
        received.more
    }

    fn look(&mut self, now: Instant, lines: &Lines) -> Given {
        self.sources.iter_mut().for_each(Source::look);
        let feed = self.feed.it.hand_out(&mut self.sources, lines);
        let live = self.live.it.hand_out(&mut self.sources, now, lines);
        for source in &mut self.sources {
            source.reader.free(&source.scan);
        }
        let now = Now { instant: now, clock: clock() };
        let live_port = (&self.live.it, self.live.deaf(now));
        // Before all files are known nobody listens there on purpose.
        let feed_port = (&self.feed.it, self.feed.deaf(now).filter(|_| self.complete));
        self.watch.note(&mut self.sources, feed_port, live_port, now, lines);
        Given { bytes: feed.bytes + live.bytes, more: feed.more || live.more }
    }

    /// When to look again, after a look that gave this.
    fn plan(&mut self, given: Given, now: Instant) {
        if given.bytes > 0 || given.more {
            self.disarm();
            if given.more { self.looks.again(now) } else { self.looks.paced(now) }
        } else if !self.armed && (self.live.it.wants() || self.feed.it.wants()) {
            // Nothing to do as it seems: say so, look once more, then sleep.
            self.sources.iter().for_each(|source| source.reader.bell().arm());
            self.armed = true;
            self.looks.again(now);
        } else {
            self.looks.rest(now);
        }
    }

    /// Notes in the files what came and went, at each tick.
    fn remember(&self, now: u64) {
        let rings = self.sources.iter().map(|source| source.reader.ring());
        for ring in rings.filter(|ring| ring.alive()) {
            ring.view().note_history(now, || Ledger::read(ring));
        }
    }

    /// There are other sources now: nothing is known of them.
    fn changed(&mut self) {
        self.disarm();
        self.looks.rung(Instant::now());
    }

    fn disarm(&mut self) {
        if std::mem::take(&mut self.armed) {
            self.sources.iter().for_each(|source| source.reader.bell().clear());
        }
    }

    /// How long nothing is to be done, if nobody says anything.
    fn wait(&self, now: Instant) -> Duration {
        let feed = self.feed.again.filter(|_| self.complete);
        let at = [self.live.it.next(), self.live.again, feed];
        let at = at.into_iter().flatten().fold(self.looks.next(), Instant::min);
        let wait = at.saturating_duration_since(now);
        self.feed.it.sessions().wait(now).map_or(wait, |beat| beat.min(wait))
    }

    /// Sleeps until somebody says something, the bell (if it is waited for), or the time.
    fn rest(&mut self, wait: Duration, wakened: &UnixStream) -> io::Result<()> {
        let mut items = vec![
            self.live.it.socket().as_poll_item(POLLIN),
            self.feed.it.socket().as_poll_item(POLLIN),
            PollItem::from_fd(wakened.as_raw_fd(), POLLIN),
            self.live.monitor.poll_item(),
            self.feed.monitor.poll_item(),
        ];
        items.extend(self.door.as_ref().map(|door| door.socket().as_poll_item(POLLIN)));
        let before_bells = items.len();
        if self.looks.idle() {
            let bells = self.sources.iter().map(|s| s.reader.bell().as_fd().as_raw_fd());
            items.extend(bells.map(|fd| PollItem::from_fd(fd, POLLIN)));
        }
        // Rounded up: a millisecond too early is a turn for nothing.
        let ms = wait.as_micros().div_ceil(1000) as i64;
        match zmq::poll(&mut items, ms) {
            Ok(_) | Err(zmq::Error::EINTR) => {}
            Err(error) => return Err(io::Error::other(error.message())),
        }
        let (woken, rung) =
            (items[2].is_readable(), items[before_bells..].iter().any(PollItem::is_readable));
        drop(items);
        if woken {
            // All that was written there says the same.
            let _ = (&mut &*wakened).read(&mut [0; 64]);
        }
        if rung {
            self.sources.iter().for_each(|source| source.reader.bell().clear());
            self.armed = false;
            self.looks.rung(Instant::now());
        }
        Ok(())
    }
}

/// Something that listens, or will as soon as its address is free.
struct Listening<T> {
    it: T,
    /// After the socket that it watches.
    monitor: Monitor,
    what: &'static str,
    endpoint: String,
    /// When to try again; nothing when it listens.
    again: Option<Instant>,
    place: Option<Place>,
    since: Instant,
    said: Throttle,
}

impl<T> Listening<T> {
    fn new(
        it: T,
        monitor: Monitor,
        what: &'static str,
        endpoint: &str,
        now: Instant,
    ) -> Listening<T> {
        let said = Throttle::new(Duration::from_secs(60));
        let (endpoint, again) = (endpoint.to_owned(), Some(now));
        Listening { it, monitor, what, endpoint, again, place: None, since: now, said }
    }

    /// Since when it cannot listen, ns since 1970. A moment is nothing to speak of: over a reload the publisher before
    /// gives the address up.
    fn deaf(&self, now: Now) -> Option<u64> {
        let since = now.instant.saturating_duration_since(self.since);
        let deaf = self.again.is_some() && since >= DEAF;
        deaf.then(|| now.clock.saturating_sub(since.as_nanos() as u64))
    }

    fn bind(&mut self, socket: impl Fn(&T) -> &Socket, now: Instant, lines: &Lines) {
        if self.again.is_none() && self.place.as_ref().is_some_and(Place::is_gone) {
            // Nobody finds it any more. Who is connected stays so.
            let _ = socket(&self.it).unbind(&self.endpoint);
            (self.again, self.place, self.since) = (Some(now), None, now);
        }
        if self.again.is_none_or(|at| now < at) {
            return;
        }
        let (soon, late) = BIND;
        let early = now.saturating_duration_since(self.since) < BIND_SOON;
        match socket::bind(socket(&self.it), &self.endpoint) {
            Ok(place) => {
                (self.again, self.place) = (None, place);
                lines.say(Level::Info, format!("{} listens on {}", self.what, self.endpoint));
            }
            Err(error) => {
                let in_use = matches!(error, BindError::InUse);
                self.again = Some(now + if in_use && early { soon } else { late });
                if self.said.pass(now).is_some() {
                    let text = format!(
                        "{} cannot listen on {}: {error}; trying again",
                        self.what, self.endpoint
                    );
                    lines.say(Level::Error, text);
                }
            }
        }
    }
}

/// ns since 1970.
fn clock() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos() as u64)
}
