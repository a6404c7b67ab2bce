//! Bringing a ring's file to the disk: one process does it, under a byte of the file. Everybody else may wait for it.
//!
//! ```text
//!   who syncs:   flag = 1 or 2 | fence | look at every stream once more | poll(bell)
//!   one sync:    sample every stream's last | fdatasync | synced = what was sampled | wake who waits for that
//!   a writer:    commit | fence | flag 1 -> 0 by a swap: ring
//!   in a hurry:  urgent = seq | fence | flag 1 or 2 -> 0 by a swap: ring
//! ```
//!
//! Flag 1: everything is synced, so any commit wakes. 2: the next sync has its time, only a hurry wakes. 0: awake. A bell
//! that was lost with its ringer leaves 0 and somebody asleep: whoever sees that rings again ([`Writer::remind`]).
//!
//! [`Writer::remind`]: super::Writer::remind

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use super::bell::{Fifo, take};
use super::disk;
use super::doubt;
use super::file::Ring;
use super::layout::{FAILED, LAST_SYNC, SYNCING, sync_byte};
use super::lock::{Hold, held_by_another, try_lock, unlock};
use super::mapping::Mapping;
use super::memory::Memory;
use super::slot_bell::SlotBells;
use super::view::View;
use crate::id::{Seq, Stream};

/// Nothing is to be synced.
const IDLE: u64 = 1;
/// Something is, in a while.
const PAUSE: u64 = 2;

/// What there is to sync.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Nothing.
    None,
    /// Something was committed.
    Some,
    /// Somebody waits for it.
    Urgent,
}

/// The right to sync a file. Dropping it lets the next one in.
pub struct Syncer<M = Mapping> {
    bell: Fifo,
    bells: SlotBells,
    ring: Ring<M>,
}

/// The bell of who syncs.
pub(super) fn bell<M: Memory>(ring: &Ring<M>) -> io::Result<Fifo> {
    Fifo::open(ring.dir(), &format!("bell.{}.sync", ring.number()))
}

impl<M: Memory> Syncer<M> {
    /// Takes the right, if nobody has it; else gives the ring back. `ring` is the syncer's own: see [`Ring::again`]; opened
    /// early it hears of an error that another's sync has met. One that would not ([`Ring::hears`]) does not sync a file of
    /// which nobody knows how the last sync ended, but poisons it, and is given back; so it is while a slot's new holder
    /// syncs for itself.
    ///
    /// # Errors
    /// When the system refuses the lock or the bell.
    pub fn try_take(ring: Ring<M>) -> io::Result<Result<Syncer<M>, Ring<M>>> {
        if !try_lock(ring.file(), sync_byte(), Hold::Alone)? {
            return Ok(Err(ring));
        }
        let begins = ring.slots_begin()?;
        if !ring.since().hears(ring.view()) || begins.is_none() {
            ring.view().poison();
            let mut bells = SlotBells::default();
            ring.view().streams().for_each(|stream| bells.wake(&ring, stream));
        }
        if ring.view().poisoned() || begins == Some(true) {
            unlock(ring.file(), sync_byte())?;
            return Ok(Err(ring));
        }
        let syncer = Syncer { bell: bell(&ring)?, bells: SlotBells::default(), ring };
        syncer.clear();
        Ok(Ok(syncer))
    }

    /// Whether the disk takes the sync of a small file, when it must be asked first: syncs of the files before this one have
    /// failed. Everybody is told.
    ///
    /// # Errors
    /// Why it does not.
    pub fn try_disk(&self) -> io::Result<()> {
        let tried = self.ring.try_disk();
        self.ring.refuse(tried.is_err());
        tried
    }

    /// What there is to do, or nothing in a file that must not be written to any more.
    pub fn work(&self) -> Work {
        work(self.ring.view())
    }

    /// Says that its holder is about to sleep, until this work grows: it must look once more before it does.
    pub fn arm(&self, known: Work) {
        let flag = if known == Work::None { IDLE } else { PAUSE };
        self.ring.view().store(SYNCING, flag);
        self.ring.view().memory.fence();
    }

    /// Awake: takes the flag back, and what was rung. Call it before the next look.
    pub fn clear(&self) {
        self.ring.view().store(SYNCING, 0);
        self.bell.clear();
    }

    /// Brings everything that is committed by now to the disk, and wakes who waits for that; `now` in ns since 1970.
    ///
    /// # Errors
    /// What the system said. The file is poisoned then: a second try would succeed, and what it is about is gone.
    pub fn sync(&mut self, now: u64) -> io::Result<()> {
        self.sync_by(now, File::sync_data)
    }

    /// [`Syncer::sync`] by another system call, for tests of what a bad one does.
    ///
    /// # Errors
    /// As [`Syncer::sync`].
    pub fn sync_by(
        &mut self,
        now: u64,
        flush: impl FnOnce(&File) -> io::Result<()>,
    ) -> io::Result<()> {
        let begun = self.ring.begun();
        let (woken, done) = cover(self.ring.view(), now, || flush(self.ring.file()));
        for stream in woken {
            self.bells.wake(&self.ring, stream);
        }
        if done.is_ok() {
            // A slot that the system does not give back now, it may after the next sync.
            let _ = self.ring.give_back(&begun);
        }
        done
    }

    /// The ring.
    pub fn ring(&self) -> &Ring<M> {
        &self.ring
    }
}

impl<M> AsFd for Syncer<M> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }
}

impl<M: Memory> Ring<M> {
    /// Whether a sync brings the file anywhere: not where it lies in memory.
    ///
    /// # Errors
    /// What the system said.
    pub fn is_durable(&self) -> io::Result<bool> {
        Ok(!disk::in_memory(self.file())?)
    }

    /// Whether another process, or another role of this one, syncs the file.
    ///
    /// # Errors
    /// When the file system has no such locks.
    pub fn is_synced(&self) -> io::Result<bool> {
        held_by_another(self.file(), sync_byte())
    }
}

/// See [`Syncer::work`].
pub(super) fn work<M: Memory>(view: &View<M>) -> Work {
    if view.poisoned() {
        return Work::None;
    }
    view.streams().fold(Work::None, |work, stream| {
        let synced = view.synced(stream);
        match view.last(stream) > synced {
            true if view.load(view.layout.slot(stream).urgent()) > synced.0 => Work::Urgent,
            true if work == Work::None => Work::Some,
            _ => work,
        }
    })
}

/// One sync, and the streams whose workers may wait for how it ended.
pub(super) fn cover<M: Memory>(
    view: &View<M>,
    now: u64,
    flush: impl FnOnce() -> io::Result<()>,
) -> (Vec<Stream>, io::Result<()>) {
    let sampled: Vec<(Stream, Seq)> = view.streams().map(|s| (s, view.last(s))).collect();
    doubt::begin(view);
    if let Err(error) = flush() {
        view.poison();
        doubt::end(view);
        return (sampled.into_iter().map(|(stream, _)| stream).collect(), Err(error));
    }
    let mut woken = Vec::new();
    for (stream, last) in sampled {
        let (at, before) = (view.layout.slot(stream), view.synced(stream));
        if last > before {
            view.store(at.synced(), last.0);
            if view.load(at.urgent()) > before.0 {
                woken.push(stream);
            }
        }
    }
    view.store(LAST_SYNC, now);
    if view.load(FAILED) != 0 {
        view.store(FAILED, 0);
    }
    doubt::end(view);
    (woken, Ok(()))
}

/// A writer's half, after its commit: whether it has to ring who syncs.
pub(super) fn committed<M: Memory>(view: &View<M>) -> bool {
    take(view, SYNCING, IDLE)
}

/// The half of a writer in a hurry, after its commit up to `last`: whether it has to ring.
pub(super) fn urge<M: Memory>(view: &View<M>, stream: Stream, last: Seq) -> bool {
    view.store(view.layout.slot(stream).urgent(), last.0);
    view.memory.fence();
    take(view, SYNCING, IDLE) || take(view, SYNCING, PAUSE)
}

/// Whether somebody was rung for, who may not have heard it.
pub(super) fn overheard<M: Memory>(view: &View<M>) -> bool {
    view.load(SYNCING) == 0 && work(view) != Work::None
}
