//! Who publishes: the holder of one byte of the file `lock` in the ring's directory. The file is never removed, and
//! the kernel gives the byte back when its holder is gone: never two, never a dead one.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use super::bell::Fifo;
use super::disk;
use super::lock::{Hold, held_by_another, try_lock};
use super::writer::PUBLISHER;

pub(super) const FILE: &str = "lock";
const LEASE: u64 = 0;
const BID: u64 = 1;
pub(super) const MAKING: u64 = 3;
/// Where the number of the file that was made last stands.
const MADE: u64 = 8;

/// How long the lease must have been free for who would rather not take it, ms. All others look at least each second.
const FREE_FOR: u64 = 2000;

/// The right to publish. Dropping it lets the next one in.
#[derive(Debug)]
pub struct Lease {
    file: File,
    /// One whose name was removed: who still looks there must see it held.
    before: Option<File>,
}

/// The wish of a newer configuration to publish: the holder of the lease sees it and lets go.
#[derive(Debug)]
pub struct Bid {
    _file: File,
}

/// How long nobody had the lease. Who would rather not publish, as it is about to end or has an older configuration, waits
/// for that: so the others come first, and the last one of all still does it.
#[derive(Debug, Default)]
pub struct Vacancy {
    since: Option<u64>,
}

impl Vacancy {
    /// Takes one look into account, at `now` in ms by a clock that does not go back: whether nobody had it at any look for
    /// 2 s.
    pub fn lasts(&mut self, held: bool, now: u64) -> bool {
        if held {
            self.since = None;
            return false;
        }
        now.saturating_sub(*self.since.get_or_insert(now)) >= FREE_FOR
    }
}

impl Lease {
    /// Takes the lease, if nobody has it. Never waits.
    ///
    /// # Errors
    /// When the directory or its file `lock` cannot be opened.
    pub fn try_take(dir: &Path) -> io::Result<Option<Lease>> {
        Ok(hold(dir, LEASE)?.map(|file| Lease { file, before: None }))
    }

    /// Whether anybody has it now.
    ///
    /// # Errors
    /// When the directory or its file `lock` cannot be opened.
    pub fn is_held(dir: &Path) -> io::Result<bool> {
        held_by_another(&disk::open_or_create(&dir.join(FILE))?, LEASE)
    }

    /// Goes on in another file `lock` when the name of this one was removed: others look there. False when somebody else has
    /// it there.
    ///
    /// # Errors
    /// When the directory or its file `lock` cannot be opened.
    pub fn follow(&mut self, dir: &Path) -> io::Result<bool> {
        if !is_removed(&self.file) {
            return Ok(true);
        }
        let Some(file) = hold(dir, LEASE)? else { return Ok(false) };
        let mut made = [0; 8];
        // Without it a number is used again.
        let _ = self.file.read_exact_at(&mut made, MADE);
        note_made(dir, last_made(dir).max(u64::from_le_bytes(made)));
        self.before = Some(std::mem::replace(&mut self.file, file));
        Ok(true)
    }

    /// Whether somebody has placed a bid.
    pub fn outbid(&self) -> bool {
        held_by_another(&self.file, BID).unwrap_or(false)
    }
}

/// Who would publish, and looks often: it keeps the file open, so a look costs one system call.
#[derive(Debug)]
pub struct Candidate {
    file: File,
}

impl Candidate {
    /// Opens the file `lock`.
    ///
    /// # Errors
    /// When the directory or its file `lock` cannot be opened.
    pub fn new(dir: &Path) -> io::Result<Candidate> {
        Ok(Candidate { file: disk::open_or_create(&dir.join(FILE))? })
    }

    /// Whether the file's name was removed: then another one is looked at by others.
    pub fn is_removed(&self) -> bool {
        is_removed(&self.file)
    }

    /// Whether anybody has the lease now.
    ///
    /// # Errors
    /// When the file system has no such locks.
    pub fn is_held(&self) -> io::Result<bool> {
        held_by_another(&self.file, LEASE)
    }

    /// Whether somebody has placed a bid.
    ///
    /// # Errors
    /// When the file system has no such locks.
    pub fn outbid(&self) -> io::Result<bool> {
        held_by_another(&self.file, BID)
    }

    /// Becomes the holder, if nobody is; else stays what it is. Never waits.
    ///
    /// # Errors
    /// When the file system has no such locks.
    pub fn try_take(self) -> io::Result<Result<Lease, Candidate>> {
        let taken = try_lock(&self.file, LEASE, Hold::Alone)?;
        Ok(if taken { Ok(Lease { file: self.file, before: None }) } else { Err(self) })
    }
}

impl Bid {
    /// Places the bid, if nobody else has, and wakes the holder of the lease. Keep it until the lease is taken.
    ///
    /// # Errors
    /// When the directory, its file `lock` or the bell in it cannot be opened.
    pub fn try_place(dir: &Path) -> io::Result<Option<Bid>> {
        let bid = hold(dir, BID)?.map(|file| Bid { _file: file });
        if bid.is_some() {
            Fifo::open(dir, PUBLISHER)?.ring();
        }
        Ok(bid)
    }
}

/// Whether a file that is open has no name any more.
pub(super) fn is_removed(file: &File) -> bool {
    file.metadata().is_ok_and(|meta| meta.nlink() == 0)
}

/// The number of the file that was made last, as far as anybody noted it; 0 for none.
pub(super) fn last_made(dir: &Path) -> u64 {
    let mut le = [0; 8];
    let read =
        disk::open(&dir.join(FILE), false).and_then(|file| file.read_exact_at(&mut le, MADE));
    read.map_or(0, |()| u64::from_le_bytes(le))
}

/// Notes it. Only for who holds the byte for making; without it a number is used again when its file was removed by hand.
pub(super) fn note_made(dir: &Path, number: u64) {
    let file = disk::open(&dir.join(FILE), true);
    let _ = file.and_then(|file| file.write_all_at(&number.to_le_bytes(), MADE));
}

/// One byte of the file `lock`, through a description of its own.
pub(super) fn hold(dir: &Path, byte: u64) -> io::Result<Option<File>> {
    let file = disk::open_or_create(&dir.join(FILE))?;
    Ok(try_lock(&file, byte, Hold::Alone)?.then_some(file))
}
