//! What the publisher writes down for everybody to show: its own turn, who is connected, and who holds the ring full.

use std::time::{Duration, Instant};

use sparkngin_core::feed::{Session, SessionId, State};
use sparkngin_core::ring::{Configuration, Overflow, PublisherState, Reader, SubscriberState, Who};
use sparkngin_core::took::Took;

use crate::feed::Feed;
use crate::lines::{Level, Lines};
use crate::live::Live;
use crate::source::Source;

/// Between two lines about a ring that is full.
const REMIND: Duration = Duration::from_secs(60);
/// The same, when somebody else holds it.
const CHANGE: Duration = Duration::from_secs(1);

/// What was written down last.
pub struct Watch {
    policy: Overflow,
    /// By subscriber.
    seen: Vec<Seen>,
    /// Who holds the ring full, since when, ns since 1970.
    holder: Option<(usize, u64)>,
    /// The line about it: of whom, and when.
    said: Option<(usize, Instant)>,
    /// Whether it was said of the holder there is.
    told: bool,
}

/// What the ring says of a subscriber; times in ns since 1970.
struct Seen {
    /// Its session, and since when it goes on.
    session: Option<(SessionId, u64)>,
    /// Whether the ring says that it is connected.
    shown: bool,
    beat: u64,
    acked: u64,
    /// How long its events took, as the ring has it; None while what is there is another publisher's.
    took: Option<Option<Took>>,
}

/// One moment by both clocks.
#[derive(Clone, Copy)]
pub struct Now {
    /// The one that never goes back.
    pub instant: Instant,
    /// ns since 1970.
    pub clock: u64,
}

impl Watch {
    /// Goes on from what the publisher before wrote down; nobody is connected yet.
    pub fn new(configuration: &Configuration, before: &PublisherState) -> Watch {
        let states = configuration
            .subscribers
            .iter()
            .map(|name| before.subscribers.iter().find(|state| state.name == *name));
        let holds = |state: Option<&SubscriberState>| state.and_then(|s| s.holds_since);
        let holder = states.clone().map(holds).enumerate();
        let seen = states.map(|state| Seen {
            session: None,
            // It may have been killed while somebody was.
            shown: true,
            beat: state.map_or(0, |s| s.last_beat),
            acked: state.map_or(0, |s| s.last_ack),
            took: None,
        });
        Watch {
            policy: configuration.policy,
            seen: seen.collect(),
            holder: holder.filter_map(|(who, since)| Some((who, since?))).next(),
            said: None,
            told: false,
        }
    }

    /// Writes it all down, once a look. Beside both sockets: since when they cannot listen, ns since 1970.
    pub fn note(
        &mut self,
        sources: &mut [Source],
        feed: (&Feed, Option<u64>),
        live: (&Live, Option<u64>),
        now: Now,
        lines: &Lines,
    ) {
        let ((feed, feed_deaf), (live, live_deaf)) = (feed, live);
        self.presence(sources, feed, now);
        self.fullness(sources, feed, now, lines);
        for source in sources {
            source.reader.note_turn(now.clock);
            source.reader.note_live_dropped(live.dropped());
            source.reader.note_deaf(live_deaf, feed_deaf);
        }
    }

    /// Notes that a subscriber acknowledged something.
    pub fn acked(&mut self, sources: &mut [Source], who: usize, clock: u64) {
        if let Some(seen) = self.seen.get_mut(who) {
            seen.acked = clock;
        }
        for source in sources {
            source.reader.note_ack(who, clock);
        }
    }

    fn presence(&mut self, sources: &mut [Source], feed: &Feed, now: Now) {
        for (who, seen) in self.seen.iter_mut().enumerate() {
            let session = feed.sessions().get(who);
            seen.session = session.map(|session| match seen.session {
                Some((id, since)) if id == session.id() => (id, since),
                _ => (session.id(), now.clock),
            });
            let took = session.and_then(Session::took);
            if seen.took != Some(took) {
                seen.took = Some(took);
                sources.iter_mut().for_each(|source| source.reader.note_took(who, took));
            }
            if let Some(session) = session {
                let ago = now.instant.saturating_duration_since(session.heard()).as_nanos() as u64;
                seen.beat = now.clock.saturating_sub(ago);
            } else if !std::mem::take(&mut seen.shown) {
                continue;
            }
            let since = seen.session.map(|(_, since)| since);
            seen.shown = since.is_some();
            for source in sources.iter_mut() {
                source.reader.note_subscriber(who, since, seen.beat);
            }
        }
    }

    /// Under `reject` a ring without a free block is held by whoever acknowledged least.
    fn fullness(&mut self, sources: &mut [Source], feed: &Feed, now: Now, lines: &Lines) {
        let full = self.policy == Overflow::Reject
            && sources.iter().any(|s| s.state == State::Open && s.scan.blocks().free == 0);
        let holder = full.then(|| self.slowest(sources)).flatten();
        let before = self.holder;
        self.holder = match (holder, before) {
            (Some(who), Some((same, since))) if who == same => Some((who, since)),
            (Some(who), _) => Some((who, now.clock)),
            (None, _) => None,
        };
        if self.holder != before {
            for who in 0..self.seen.len() {
                let since =
                    self.holder.filter(|(holder, _)| *holder == who).map(|(_, since)| since);
                sources.iter_mut().for_each(|s| s.reader.note_holds(who, since));
            }
        }
        let name = |who: usize| feed.sessions().names().get(who).map_or("", String::as_str);
        if let Some((who, since)) = self.holder {
            if self.may_say(who, now.instant) {
                self.told = true;
                let text = self.sentence(sources, name(who), who, since, now.clock);
                lines.say(Level::Error, text);
            }
        } else if let (Some((who, since)), true) = (before, std::mem::take(&mut self.told)) {
            let (name, seconds) = (name(who), seconds(since, now.clock));
            let text = format!("ring has room again, \"{name}\" held it full for {seconds} s");
            lines.say(Level::Warn, text);
        }
    }

    /// Once in [`REMIND`], and a second after the last line when it is somebody else now.
    fn may_say(&mut self, who: usize, now: Instant) -> bool {
        let may = self.said.is_none_or(|(of, at)| {
            let passed = now.saturating_duration_since(at);
            passed >= if of == who { REMIND } else { CHANGE }
        });
        if may {
            self.said = Some((who, now));
        }
        may
    }

    fn sentence(&self, sources: &[Source], name: &str, who: usize, since: u64, now: u64) -> String {
        let open = sources.iter().filter(|s| s.state == State::Open);
        let blocks = open.map(|s| s.scan.blocks());
        let (open, sealed) =
            blocks.fold((0, 0), |(open, sealed), b| (open + b.open, sealed + b.sealed));
        let acked = match self.seen[who].acked {
            0 => "it has acknowledged nothing yet".to_owned(),
            at => format!("last acknowledged {} s ago", seconds(at, now)),
        };
        let (seconds, blocks) = (seconds(since, now), open + sealed);
        format!(
            "ring full for {seconds} s: {sealed} of {blocks} blocks held by \"{name}\", {acked}"
        )
    }

    fn slowest(&self, sources: &[Source]) -> Option<usize> {
        let behind = |who: usize| sources.iter().map(|s| behind(&s.reader, s, who)).sum::<u64>();
        (0..self.seen.len()).max_by_key(|who| behind(*who))
    }
}

fn behind(reader: &Reader, source: &Source, who: usize) -> u64 {
    let of = |stream| {
        let acked = reader.cursor(Who::Named(who), stream).acked;
        source.scan.last(stream).0.saturating_sub(acked.0)
    };
    source.scan.streams().map(of).sum()
}

fn seconds(since: u64, now: u64) -> u64 {
    now.saturating_sub(since) / 1_000_000_000
}
