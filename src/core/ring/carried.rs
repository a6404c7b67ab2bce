//! The books of files that are gone, carried forward into the one that takes events: what was counted is still shown
//! when the file in which it was counted has been drained and is removed.
//!
//! They are added by one switch, right before the file goes. Who is killed between these two leaves a file whose number
//! says that its books are carried already.

use super::configuration::Written;
use super::cursor::{read_twice, store_twice};
use super::layout::{CARRIED_BOOKS, CARRIED_WORDS, NAMES, carried};
use super::ledger::{Books, Ledger};
use super::memory::Memory;
use super::refusals::Refusals;
use super::view::View;

/// What was carried so far. In each of the books all is past: nothing of it is in a ring any more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Carried {
    /// The number of the file whose books came last; 0 when none did.
    pub number: u64,
    /// Events of the site's own traffic that were not stored.
    pub traffic_lost: u64,
    /// Events that were not stored, by reason.
    pub refusals: Refusals,
    /// The readers of live, all together.
    pub live: Books,
    /// The subscribers, by place.
    pub named: [Books; NAMES],
}

impl Carried {
    pub(super) fn read<M: Memory>(view: &View<M>) -> Carried {
        let words = read_twice(&view.memory, carried());
        let books = |index: usize| unpack(&words[8 + CARRIED_BOOKS * index..][..CARRIED_BOOKS]);
        Carried {
            number: words[0],
            traffic_lost: words[1],
            refusals: Refusals::of_words(std::array::from_fn(|why| words[2 + why])),
            live: books(0),
            named: std::array::from_fn(|place| books(place + 1)),
        }
    }

    /// By one switch. Only for who holds the lease.
    fn store<M: Memory>(&self, view: &View<M>) {
        let mut words = [0; CARRIED_WORDS];
        words[..2].copy_from_slice(&[self.number, self.traffic_lost]);
        words[2..8].copy_from_slice(&self.refusals.words());
        for (index, books) in [&self.live].into_iter().chain(&self.named).enumerate() {
            words[8 + CARRIED_BOOKS * index..][..CARRIED_BOOKS].copy_from_slice(&pack(books));
        }
        store_twice(&view.memory, carried(), words);
    }

    /// Adds the books of the file `number` to those that `view` carries, each subscriber's where its name has its place
    /// now. Only for who holds the lease.
    pub(super) fn add<M: Memory>(view: &View<M>, number: u64, gone: &Ledger) {
        let mut carried = Carried::read(view);
        carried.number = number;
        carried.traffic_lost = carried.traffic_lost.saturating_add(gone.traffic_lost);
        carried.refusals = carried.refusals.and(gone.refusals);
        carried.live = carried.live.and(gone.live);
        for (books, held) in carried.named.iter_mut().zip(Written::read(view).places) {
            let same = gone
                .subscribers
                .iter()
                .find(|other| held.as_ref().is_some_and(|h| h.name == other.name));
            if let Some(same) = same {
                *books = books.and(same.books);
            }
        }
        carried.store(view);
    }

    /// Forgets what was carried for these places: other names get them.
    pub(super) fn forget<M: Memory>(view: &View<M>, places: &[usize]) {
        let mut carried = Carried::read(view);
        for place in places {
            carried.named[*place] = Books::default();
        }
        carried.store(view);
    }
}

/// What stays of a file that goes: what its reader has not passed was not held for it.
fn pack(books: &Books) -> [u64; CARRIED_BOOKS] {
    let open = u64::from(books.uncertain_open);
    [books.delivered, books.lost, books.dead, books.uncertain, open, books.heartbeats, 0, 0]
}

fn unpack(words: &[u64]) -> Books {
    let [delivered, lost, dead, uncertain, open, heartbeats, ..] = *words else {
        return Books::default();
    };
    let passed = [delivered, lost, dead, uncertain];
    let committed = passed.into_iter().fold(0, u64::saturating_add);
    let uncertain_open = open != 0;
    Books {
        committed,
        delivered,
        lost,
        dead,
        uncertain,
        uncertain_open,
        heartbeats,
        ..Books::default()
    }
}
