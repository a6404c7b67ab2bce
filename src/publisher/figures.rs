//! What there is to show of the rings of a directory, looked at once: `/status`, `/metrics` and the page say the same.

use sparkngin_core::ring::{
    Found, Holder, Lease, Ledger, Name, PublisherState, Ring, SubscriberBooks, SubscriberState,
    Tenant,
};
use sparkngin_core::took::Took;

use crate::past::Past;

/// A publisher that did not look for so long is away, ns. It looks at least each 200 ms.
const AWAY: u64 = 2_000_000_000;

/// What the host knows of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// The server, such as `nginx/1.22.1`.
    pub server: String,
    /// Why an event sent now would not be taken, if so.
    pub refuses: Option<String>,
    /// It publishes itself; else `sparkngin publish` does.
    pub publishes: bool,
    /// The subscribers that its own configuration names.
    pub names: Vec<Name>,
}

/// The figures.
pub struct Figures<'a> {
    /// The host's part.
    pub host: Host,
    /// The ring that takes events, if there is one.
    pub ring: Option<(&'a Ring, Ledger)>,
    /// Those that are drained, the oldest first.
    pub older: Vec<(&'a Ring, Ledger)>,
    /// What lies beside them.
    pub found: &'a Found,
    /// Of the ring, or while there is none of the newest that is drained: its publisher, and the books over all files.
    pub known: Option<Known>,
    /// Whether more than one nginx uses the directory.
    pub shared: bool,
    /// What came and went in the last ten minutes, the subscribers in the order of [`Figures::subscribers`].
    pub past: Past,
    /// When this was looked at, ns since 1970.
    pub now: u64,
}

/// What a file knows of who reads it.
pub struct Known {
    /// Whether a process holds the lease.
    pub present: bool,
    /// The publisher and the named subscribers.
    pub state: PublisherState,
    /// The books over all files, and those that are gone.
    pub ledger: Ledger,
}

/// A subscriber that holds events back.
#[derive(Clone, Copy)]
pub struct Held<'a> {
    /// Its books over all files.
    pub books: &'a SubscriberBooks,
    /// Whether, and since when, it is there.
    pub state: Option<&'a SubscriberState>,
}

impl<'a> Figures<'a> {
    /// Looks; `now` in ns since 1970. `ring` is the one that takes events, `found` what lies beside it.
    pub fn look(host: Host, ring: Option<&'a Ring>, found: &'a Found, now: u64) -> Figures<'a> {
        // One whose books are carried on is just about to go.
        let all = ring.into_iter().chain(&found.rings);
        let gone: Vec<u64> = all.map(Ring::carried_last).collect();
        let older = found.rings.iter().filter(|ring| !gone.contains(&ring.number()));
        let older: Vec<_> = older.map(|ring| (ring, Ledger::read(ring))).collect();
        let ring = ring.map(|ring| (ring, Ledger::read(ring)));
        let known = ring.as_ref().or(older.last()).map(|(known, ledger)| {
            let mut sum = ledger.clone().with_carried();
            for (_, other) in older.iter().filter(|(_, other)| other.region != ledger.region) {
                add(&mut sum, &other.clone().with_carried());
            }
            let present = Lease::is_held(known.dir()).unwrap_or(false);
            Known { present, state: known.state(), ledger: sum }
        });
        let dir = ring.iter().chain(&older).next().map(|(ring, _)| ring.dir());
        // Who cannot look has a line in the log that says why.
        let shared = dir.is_some_and(|dir| Tenant::all(dir).is_ok_and(|all| all.len() > 1));
        let past = Past::default();
        let mut figures = Figures { host, ring, older, found, known, shared, past, now };
        let names: Vec<Name> = figures.subscribers().map(|held| held.books.name.clone()).collect();
        figures.past = Past::read(figures.files(), &names, now);
        figures
    }

    /// Every file with its ledger, the oldest first.
    pub fn files(&self) -> impl Iterator<Item = &(&'a Ring, Ledger)> {
        self.older.iter().chain(&self.ring)
    }

    /// The named subscribers that hold events back.
    pub fn subscribers(&self) -> impl Iterator<Item = Held<'_>> {
        self.known.iter().flat_map(|known| {
            let active = known.ledger.subscribers.iter().filter(|books| books.active);
            active.map(|books| Held {
                books,
                state: known.state.subscribers.iter().find(|state| state.name == books.name),
            })
        })
    }

    /// How long ago something was, ns; nothing when it never was.
    pub fn ago(&self, then: u64) -> Option<u64> {
        (then != 0).then(|| self.now.saturating_sub(then))
    }

    /// Who can write now, with the number of the file, those of the oldest file first; of a file whose locks cannot be looked
    /// at nobody.
    pub fn workers(&self) -> Vec<(u64, Holder)> {
        let of = |ring: &Ring| ring.holders().unwrap_or_default();
        let files = self.files().map(|(ring, _)| (ring.number(), of(ring)));
        files.flat_map(|(number, all)| all.into_iter().map(move |one| (number, one))).collect()
    }

    /// Whether it is this worker's process that publishes.
    pub fn publishes(&self, worker: &Holder) -> bool {
        let publisher = self.published().and_then(|known| known.state.process);
        publisher.is_some() && publisher == worker.process
    }

    /// For how long the ring has room, ns, if nothing is acknowledged from now on and events come as in the last minute.
    /// Nothing where that is not known, or no end is to be seen.
    pub fn lasts(&self) -> Option<u64> {
        let (_, ledger) = self.ring.as_ref()?;
        let blocks = self.past.seldom_rate(|tick| tick.claims).filter(|blocks| *blocks > 0.0)?;
        Some((f64::from(ledger.blocks.free) / blocks * 1e9) as u64)
    }

    /// For how long who publishes cannot listen at the live port, ns; nothing while it does, or nobody publishes.
    pub fn live_deaf(&self) -> Option<u64> {
        self.published()?.state.live_deaf.and_then(|since| self.ago(since))
    }

    /// The same of the feed's address.
    pub fn feed_deaf(&self) -> Option<u64> {
        self.published()?.state.feed_deaf.and_then(|since| self.ago(since))
    }

    /// Whether a file's name was removed while it is used, and something may still be in it.
    pub fn removed(&self) -> bool {
        self.ring.as_ref().is_some_and(|(ring, _)| ring.is_removed())
            || self.known.as_ref().is_some_and(|known| known.state.removed > 0)
    }

    fn published(&self) -> Option<&Known> {
        self.known.as_ref().filter(|_| self.is_published())
    }

    /// Whether somebody publishes, and looks.
    pub fn is_published(&self) -> bool {
        let looks = |known: &Known| is_published(known.present, &known.state, self.now);
        self.known.as_ref().is_some_and(looks)
    }
}

impl Held<'_> {
    /// Events not yet acknowledged, the lost ones that it was not told of yet included.
    pub fn lag(&self) -> u64 {
        self.books.books.in_ring + self.books.books.ahead
    }

    /// How long its events took, as it says.
    pub fn took(&self) -> Option<Took> {
        self.state.and_then(|state| state.took)
    }

    /// Since when it is connected, ns since 1970.
    pub fn connected(&self) -> Option<u64> {
        self.state.and_then(|state| state.connected)
    }
}

/// Whether somebody holds the lease, if one is `present`, and has looked lately; `now` in ns since 1970.
pub fn is_published(present: bool, state: &PublisherState, now: u64) -> bool {
    present && now.saturating_sub(state.last_turn) <= AWAY
}

/// The books of an older ring to those of the newest.
fn add(ledger: &mut Ledger, older: &Ledger) {
    ledger.live = ledger.live.and(older.live);
    ledger.traffic_lost += older.traffic_lost;
    ledger.refusals = ledger.refusals.and(older.refusals);
    for held in &mut ledger.subscribers {
        if let Some(same) = older.subscribers.iter().find(|other| other.name == held.name) {
            held.books = held.books.and(same.books);
            held.oldest = held.oldest.into_iter().chain(same.oldest).min();
        }
    }
}
