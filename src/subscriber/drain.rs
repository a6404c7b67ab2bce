//! `sparkngin ring drain DIR`: what a subscriber had not acknowledged in a ring that nobody uses any more is delivered as
//! the subscriber would have, and the cursors are stored in the file.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use sparkngin_core::feed::Records;
use sparkngin_core::id::{Region, Seq, Stream};
use sparkngin_core::ring::{Cursor, Drain, Next, Ring, Scan};

use crate::args;
use crate::config::{self, Settings};
use crate::flight::{Fate, FeedNo, Flight, Hole};
use crate::letter::Told;
use crate::log;
use crate::report::Seldom;
use crate::sink::{Batch, End, Report, Sink};
use crate::socket::poll_fd;
use crate::subscribe::{sink, stop_on_signals};
use crate::wake::{self, Wakes};
use crate::word::Wrong;

/// Bytes read of a stream in one go.
const ROOM: usize = 256 * 1024;
/// The one feed there is.
const FEED: FeedNo = FeedNo(0);
/// After TERM, reports are waited for so long.
const LAST: Duration = Duration::from_secs(4);
/// The longest sleep.
const PAUSE: Duration = Duration::from_millis(100);

/// Why it ended, if not with empty rings.
#[derive(Debug)]
pub enum Ended {
    /// A word that cannot be.
    Wrong(String),
    /// Something is left.
    Failed(String),
}

/// One stream of the ring that is drained.
struct Lane {
    cursor: Cursor,
    /// Everything up to here was given to the sink.
    taken: Seq,
    /// What is neither delivered nor passed: first and last seq by the last one.
    holes: BTreeMap<u64, (u64, Gone)>,
    /// Bytes of what was taken, by the last seq.
    bytes: VecDeque<(Seq, u64)>,
    over: bool,
    /// It ends with nobody knowing what more there was.
    open: bool,
}

#[derive(Clone, Copy)]
enum Gone {
    Hole(Hole),
    Dead,
}

struct Drainer<'a> {
    drain: Drain,
    scan: Scan,
    lanes: BTreeMap<Stream, Lane>,
    flight: Flight,
    sink: &'a mut dyn Sink,
    reports: Vec<Report>,
    window: u64,
    wakes: &'a mut Wakes,
    stop: &'a AtomicBool,
    seldom: Seldom,
}

/// Drains each ring of a directory, the oldest first.
///
/// # Errors
/// [`Ended`], a sentence for stderr.
pub fn run(args: &args::Drain) -> Result<(), Ended> {
    let settings = settings(args)?;
    let _log = log::begin(&settings.form).map_err(|error| Ended::Failed(error.to_string()))?;
    let failed = |error: io::Error| Ended::Failed(error.to_string());
    let rings = Ring::open_all(&args.dir).map_err(|error| Ended::Failed(error.to_string()))?;
    if rings.is_empty() {
        return Err(Ended::Failed(format!("no ring in {}", args.dir.display())));
    }
    // All of them are taken before anything is sent: a directory in use is left as it is.
    let mut drains = Vec::new();
    for ring in rings {
        let path = ring.path().display().to_string();
        let drain = Drain::begin(ring, &settings.name);
        drains.push((path.clone(), drain.map_err(|why| Ended::Failed(format!("{path}: {why}")))?));
    }
    let (waker, mut wakes) = wake::pair().map_err(failed)?;
    let stop = stop_on_signals(&waker).map_err(failed)?;
    let window = settings.window;
    let mut dead = 0;
    let mut sink = sink(settings, waker, Instant::now()).map_err(Ended::Wrong)?;
    for (path, drain) in drains {
        let drainer = Drainer::new(drain, &mut *sink, window, &mut wakes, &stop);
        let (drain, books, letters) = drainer.run()?;
        dead += letters;
        println!("{path}: region {}: {books}, nothing is left", drain.region());
        if args.delete {
            drain.remove().map_err(|error| Ended::Failed(format!("{path}: {error}")))?;
        }
    }
    let why = sink.condition().dead;
    sink.close();
    match dead {
        0 => Ok(()),
        count => Err(Ended::Failed(sentence(count, why.as_deref()))),
    }
}

/// What is not where it was to go.
fn sentence(count: u64, why: Option<&str>) -> String {
    let (events, are) = if count == 1 { ("event", "is") } else { ("events", "are") };
    let why = why.map_or(String::new(), |why| format!("; the last one since {why}"));
    format!(
        "{count} {events} {are} in the dead letter and not in their topics{why}. To do: make the topics, or name them with --topics, \
         and send the dead letters again"
    )
}

fn settings(args: &args::Drain) -> Result<Settings, Ended> {
    let settings = config::without_feeds(&args.to).map_err(|why| Ended::Wrong(why.to_string()))?;
    if settings.exactly_once() {
        let why = "a ring is drained at least once: its cursors are in its file, not in Kafka";
        let wrong = Wrong::flag("--delivery", "exactly-once", why);
        return Err(Ended::Wrong(wrong.to_string()));
    }
    Ok(settings)
}

impl<'a> Drainer<'a> {
    fn new(
        mut drain: Drain,
        sink: &'a mut dyn Sink,
        window: u64,
        wakes: &'a mut Wakes,
        stop: &'a Arc<AtomicBool>,
    ) -> Drainer<'a> {
        let (scan, region) = (drain.scan(), drain.region());
        let mut flight = Flight::default();
        let mut lanes = BTreeMap::new();
        for stream in drain.streams() {
            let cursor = drain.cursor(stream);
            flight.welcome(FEED, region, stream, cursor.acked);
            lanes.insert(stream, Lane::new(cursor));
        }
        let (reports, seldom) = (Vec::new(), Seldom::default());
        Drainer { drain, scan, lanes, flight, sink, reports, window, wakes, stop, seldom }
    }

    /// Until nothing is left, or until it is told to stop; gives the books in words, and how many events are dead letters.
    fn run(mut self) -> Result<(Drain, String, u64), Ended> {
        let mut deadline = None;
        loop {
            let now = Instant::now();
            if self.stop.load(Ordering::Relaxed) && deadline.is_none() {
                self.sink.close();
                deadline = Some(now + LAST);
            }
            if deadline.is_none() {
                self.take(now);
            }
            let wake_at = self.turn(now)?;
            let out = self.in_flight();
            if out == 0 && deadline.is_none() && self.lanes.values().all(|lane| lane.over) {
                break;
            }
            let over = self.sink.condition().out == 0;
            if deadline.is_some_and(|deadline| over || now >= deadline) {
                self.sync()?;
                return Err(Ended::Failed("stopped; what is left stays in the ring".to_owned()));
            }
            if out > self.sink.moving(FEED) + self.window / 2 {
                self.sink.hurry(FEED);
            }
            self.wait(wake_at.map_or(now + PAUSE, |at| at.min(now + PAUSE)))?;
        }
        self.finish()
    }

    /// Gives the sink what the window has room for.
    fn take(&mut self, now: Instant) {
        let streams: Vec<Stream> = self.lanes.keys().copied().collect();
        for stream in streams {
            while self.in_flight() < self.window && self.take_next(stream, now) {}
        }
    }

    /// What comes next in a stream; false when it is over.
    fn take_next(&mut self, stream: Stream, now: Instant) -> bool {
        let Some(lane) = self.lanes.get_mut(&stream).filter(|lane| !lane.over) else {
            return false;
        };
        let region = self.drain.region();
        let mut body = Vec::new();
        match self.drain.next(&self.scan, stream, lane.taken, ROOM, &mut body) {
            Next::Slice { first, count } => {
                lane.took(Seq(first.0 + u64::from(count) - 1), body.len() as u64);
                let place = self.flight.take(FEED, region, stream, first, count);
                let records = Records { region, stream, first, count, body, skip: 0 };
                self.sink.take(Batch::new(FEED, place, now, records));
            }
            Next::Lost { to, .. } => {
                // What nobody held for the name was never its own.
                let unheld = lane.taken < lane.cursor.unheld;
                let to = if unheld { to.min(lane.cursor.unheld) } else { to };
                let hole = if unheld { Hole::Freed } else { Hole::Lost };
                self.hole((region, stream), hole, to, now);
            }
            Next::Uncertain { to: Some(to), .. } => {
                self.hole((region, stream), Hole::Uncertain, to, now);
            }
            Next::Uncertain { to: None, .. } => (lane.over, lane.open) = (true, true),
            Next::Nothing => lane.over = true,
            Next::Void => self.scan = self.drain.scan(),
        }
        true
    }

    fn hole(&mut self, (region, stream): (Region, Stream), hole: Hole, to: Seq, now: Instant) {
        let Some(lane) = self.lanes.get_mut(&stream) else { return };
        let from = lane.taken.next();
        lane.holes.insert(to.0, (from.0, Gone::Hole(hole)));
        lane.took(to, 256);
        let told = Told { region, stream, hole, from, to };
        let place = self.flight.take_hole(FEED, region, stream, (from, to), hole);
        let text = format!("found when the ring was drained: {told}");
        self.sink.take(Batch::hole(FEED, place, now, told, &text));
        self.seldom.warn(now, "hole", || text);
    }

    /// Lets the sink work, and stores the cursors that moved.
    fn turn(&mut self, now: Instant) -> Result<Option<Instant>, Ended> {
        let wake_at = self.sink.turn(now, &mut self.reports);
        match self.sink.over() {
            Some(End::Wrong(why)) => return Err(Ended::Wrong(why)),
            Some(End::Fenced(why) | End::Failed(why)) => return Err(Ended::Failed(why)),
            Some(End::Asked) | None => {}
        }
        for report in self.reports.drain(..) {
            // Reports of a ring before this one are settled: its lanes are gone.
            if report.id.region != self.drain.region() {
                continue;
            }
            let settled = self.flight.settle(report.place, report.fate);
            if settled.is_some() && report.fate == Fate::Dead {
                if let Some(lane) = self.lanes.get_mut(&report.id.stream) {
                    lane.holes.insert(report.id.seq.0, (report.id.seq.0, Gone::Dead));
                }
            }
        }
        let mut moved = Vec::new();
        self.flight.moved(|_, _, stream, seq| moved.push((stream, seq)));
        for (stream, seq) in moved {
            let Some(lane) = self.lanes.get_mut(&stream) else { continue };
            lane.pass(seq);
            self.drain.store(stream, lane.cursor).map_err(|e| Ended::Failed(e.to_string()))?;
        }
        Ok(wake_at)
    }

    fn in_flight(&self) -> u64 {
        self.lanes.values().flat_map(|lane| &lane.bytes).map(|(_, bytes)| bytes).sum()
    }

    fn wait(&mut self, until: Instant) -> Result<(), Ended> {
        let pause = until.saturating_duration_since(Instant::now());
        let ms = pause.as_micros().div_ceil(1000) as i64;
        match zmq::poll(&mut [poll_fd(self.wakes.as_raw_fd())], ms) {
            Ok(_) | Err(zmq::Error::EINTR) => {}
            Err(error) => return Err(Ended::Failed(format!("poll: {error}"))),
        }
        self.wakes.clear();
        Ok(())
    }

    fn sync(&self) -> Result<(), Ended> {
        self.drain.sync().map_err(|error| Ended::Failed(error.to_string()))
    }

    fn finish(mut self) -> Result<(Drain, String, u64), Ended> {
        for (stream, lane) in self.lanes.iter_mut().filter(|(_, lane)| lane.open) {
            lane.cursor.uncertain_open = true;
            self.drain.store(*stream, lane.cursor).map_err(|e| Ended::Failed(e.to_string()))?;
        }
        self.sync()?;
        let totals = self.flight.totals(FEED);
        let open = self.lanes.values().filter(|lane| lane.open).count();
        let mut books = format!(
            "{} events in Kafka, {} dead, {} lost, {} uncertain",
            totals.delivered, totals.dead, totals.lost, totals.uncertain
        );
        if open > 0 {
            books += &format!(", {open} streams whose end is not known");
        }
        Ok((self.drain, books, totals.dead))
    }
}

impl Lane {
    fn new(cursor: Cursor) -> Lane {
        let (holes, bytes, taken) = (BTreeMap::new(), VecDeque::new(), cursor.acked);
        Lane { cursor, taken, holes, bytes, over: false, open: false }
    }

    fn took(&mut self, last: Seq, bytes: u64) {
        self.taken = last;
        self.bytes.push_back((last, bytes));
    }

    /// The cursor goes to `seq`, and counts what it passes.
    fn pass(&mut self, seq: Seq) {
        let ahead = self.holes.split_off(&(seq.0 + 1));
        for (to, (from, gone)) in std::mem::replace(&mut self.holes, ahead) {
            self.cursor.acked = Seq(from - 1);
            match gone {
                Gone::Hole(Hole::Lost | Hole::Freed) => self.cursor = self.cursor.lose(Seq(to)),
                Gone::Hole(Hole::Uncertain) => self.cursor.uncertain += to + 1 - from,
                Gone::Dead => self.cursor.dead += 1,
            }
        }
        self.cursor.acked = seq;
        while self.bytes.front().is_some_and(|(last, _)| *last <= seq) {
            self.bytes.pop_front();
        }
    }
}
