//! What the holder of the lease wrote down for everybody: the policy and who is named. Old workers follow it.

use std::fmt;
use std::str::FromStr;

use super::cursor::{read_twice, store_twice};
use super::layout::{
    CONFIGURATION_WORDS, EPOCH, FEED_DEAF, HOLDER, HOLDERS_PROCESS, LAST_TURN, LIVE_DEAF,
    LIVE_DROPPED, NAMES, REMOVED, configuration, presence, progress, spread, took,
};
use super::memory::Memory;
use super::view::View;
use crate::took::{COUNTS, Spread, Took};

/// What a writer does when no block is FREE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overflow {
    /// It takes the oldest sealed block; who had not read it is told what was lost.
    Overwrite,
    /// It refuses the event.
    Reject,
}

/// A subscriber's name: 1 to 63 of letters, digits, `.`, `_` and `-`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(String);

/// A text that cannot be a subscriber's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a subscriber's name, it must be 1 to 63 letters, digits, \".\", \"_\" or \"-\"")]
pub struct NotAName;

/// The configuration of the process that holds (or wants) the lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Configuration {
    /// What to do when the ring is full.
    pub policy: Overflow,
    /// Who holds events back until it acknowledged them; 4 at most, no name twice.
    pub subscribers: Vec<Name>,
    /// When it was read, ns since 1970: the newer one publishes.
    pub configured_at: u64,
}

/// The configuration as it stands in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Written {
    pub policy: Option<Overflow>,
    pub configured_at: u64,
    /// By place. A name that is not held keeps its cursor and holds nothing back.
    pub places: [Option<Held>; NAMES],
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Held {
    pub name: Name,
    pub active: bool,
}

impl Name {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Name {
    type Err = NotAName;

    fn from_str(text: &str) -> Result<Name, NotAName> {
        let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        if text.is_empty() || text.len() > 63 || !text.bytes().all(good) {
            return Err(NotAName);
        }
        Ok(Name(text.to_owned()))
    }
}

impl Written {
    /// Reads what holds now.
    pub fn read<M: Memory>(view: &View<M>) -> Written {
        let words = read_twice(&view.memory, configuration());
        let policy = match words[0] {
            1 => Some(Overflow::Overwrite),
            2 => Some(Overflow::Reject),
            _ => None,
        };
        let places = std::array::from_fn(|place| {
            let name = unpack(&words[8 + 8 * place..][..8])?;
            Some(Held { name, active: words[2] >> place & 1 == 1 })
        });
        Written { policy, configured_at: words[1], places }
    }

    /// Writes it, by one switch. Only for who holds the lease.
    pub fn store<M: Memory>(&self, view: &View<M>) {
        let mut words = [0; CONFIGURATION_WORDS];
        words[0] = match self.policy {
            None => 0,
            Some(Overflow::Overwrite) => 1,
            Some(Overflow::Reject) => 2,
        };
        words[1] = self.configured_at;
        for (place, held) in self.places.iter().enumerate() {
            let Some(held) = held else { continue };
            words[2] |= u64::from(held.active) << place;
            pack(&held.name, &mut words[8 + 8 * place..][..8]);
        }
        store_twice(&view.memory, configuration(), words);
    }

    /// The places whose subscribers hold events back.
    pub fn active(&self) -> impl Iterator<Item = (usize, &Name)> {
        self.places.iter().enumerate().filter_map(|(place, held)| {
            held.as_ref().filter(|h| h.active).map(|h| (place, &h.name))
        })
    }
}

/// What writers do when no block is FREE; before any lease holder said it, nothing is overwritten.
pub(super) fn policy<M: Memory>(view: &View<M>) -> Overflow {
    Written::read(view).policy.unwrap_or(Overflow::Reject)
}

/// Writes down how long a subscriber's events took. Only for who holds the lease.
pub(super) fn store_took<M: Memory>(view: &View<M>, place: usize, said: Option<Took>) {
    let at = took(place);
    let Took { events, p50, p90, p99, p999, spread } = said.unwrap_or_default();
    for (n, word) in [events, p50, p90, p99, p999].into_iter().enumerate() {
        view.store(at.plus(1 + n), word);
    }
    view.store(at, said.is_some().into());
    store_spread(view, place, spread);
}

/// Where nothing is told any more the numbers stay: who reads them just now sees none that falls.
fn store_spread<M: Memory>(view: &View<M>, place: usize, said: Option<Spread>) {
    let at = spread(place);
    for (n, count) in said.iter().flat_map(|said| said.counts).enumerate() {
        view.store(at.plus(1 + n), count);
    }
    if let Some(said) = said {
        view.store(at.plus(1 + COUNTS), said.sum);
    }
    view.store(at, said.is_some().into());
}

fn read_took<M: Memory>(view: &View<M>, place: usize) -> Option<Took> {
    let (at, behind) = (took(place), spread(place));
    let [events, p50, p90, p99, p999] = std::array::from_fn(|n| view.load(at.plus(1 + n)));
    let all = (view.load(behind) != 0).then(|| Spread {
        counts: std::array::from_fn(|n| view.load(behind.plus(1 + n))),
        sum: view.load(behind.plus(1 + COUNTS)),
    });
    (view.load(at) != 0).then_some(Took { events, p50, p90, p99, p999, spread: all })
}

fn pack(name: &Name, words: &mut [u64]) {
    for (word, bytes) in words.iter_mut().zip(name.0.as_bytes().chunks(8)) {
        let mut le = [0; 8];
        le[..bytes.len()].copy_from_slice(bytes);
        *word = u64::from_le_bytes(le);
    }
}

fn unpack(words: &[u64]) -> Option<Name> {
    let bytes: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
    let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
    std::str::from_utf8(&bytes[..end]).ok()?.parse().ok()
}

/// What any worker can show of the publisher.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublisherState {
    /// How many have held the lease.
    pub epoch: u64,
    /// The time of the configuration that holds, ns since 1970.
    pub configured_at: u64,
    /// The time of the last holder's own configuration, ns since 1970: older than the one that holds, when nobody else
    /// publishes.
    pub holder_configured_at: u64,
    /// The last holder's process, as its number is where it runs; None when it did not say.
    pub process: Option<u32>,
    /// When the publisher last looked, ns since 1970, 0 for never.
    pub last_turn: u64,
    /// What writers do when no block is FREE; None before any holder said it.
    pub policy: Option<Overflow>,
    /// The named subscribers of its configuration.
    pub subscribers: Vec<SubscriberState>,
    /// Live messages dropped at full pipes.
    pub live_dropped: u64,
    /// Since when the live port cannot be listened at, ns since 1970; None while it is.
    pub live_deaf: Option<u64>,
    /// Since when the feed's address cannot be listened at, ns since 1970; None while it is.
    pub feed_deaf: Option<u64>,
    /// Files whose names were removed while they were used, and that wait to be drained.
    pub removed: u64,
    /// Nothing more is written to the file.
    pub poisoned: bool,
}

/// What any worker can show of a named subscriber.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscriberState {
    /// Its name.
    pub name: Name,
    /// Since when it is connected, ns since 1970; None when it is not.
    pub connected: Option<u64>,
    /// When it last said BEAT, ns since 1970, 0 for never.
    pub last_beat: u64,
    /// When it last acknowledged something, ns since 1970, 0 for never.
    pub last_ack: u64,
    /// Since when no block is FREE because this one has not acknowledged, ns since 1970; None while it is not so.
    pub holds_since: Option<u64>,
    /// How long its events took, as it says itself; None while it is not connected, or does not say so.
    pub took: Option<Took>,
}

/// Reads it.
pub(super) fn state<M: Memory>(view: &View<M>) -> PublisherState {
    let written = Written::read(view);
    let subscriber = |(place, name): (usize, &Name)| {
        let (since, beat) = presence(place);
        let connected = Some(view.load(since)).filter(|since| *since != 0);
        let (ack, holds) = progress(place);
        SubscriberState {
            name: name.clone(),
            connected,
            last_beat: view.load(beat),
            last_ack: view.load(ack),
            holds_since: Some(view.load(holds)).filter(|since| *since != 0),
            took: read_took(view, place).filter(|_| connected.is_some()),
        }
    };
    PublisherState {
        epoch: view.load(EPOCH),
        configured_at: written.configured_at,
        holder_configured_at: view.load(HOLDER),
        process: u32::try_from(view.load(HOLDERS_PROCESS)).ok().filter(|own| *own != 0),
        last_turn: view.load(LAST_TURN),
        policy: written.policy,
        subscribers: written.active().map(subscriber).collect(),
        live_dropped: view.load(LIVE_DROPPED),
        live_deaf: Some(view.load(LIVE_DEAF)).filter(|since| *since != 0),
        feed_deaf: Some(view.load(FEED_DEAF)).filter(|since| *since != 0),
        removed: view.load(REMOVED),
        poisoned: view.poisoned(),
    }
}
