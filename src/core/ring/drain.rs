//! A ring that nobody uses, brought home by hand: read as a looker reads it, with a subscriber's cursors stored in the
//! file, so that it can be stopped and done again.
//!
//! The file may be of another boot, of another machine, or a copy: nothing but cursors is written to it, and those by
//! plain writes to the file, under its attach byte held alone.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};

use super::configuration::{Name, Written};
use super::cursor::{self, Cursor};
use super::disk;
use super::eye::Next;
use super::file::Ring;
use super::layout::{At, attach_byte};
use super::lock::{Hold, try_lock};
use super::looker::Looker;
use super::scan::Scan;
use crate::id::{Region, Seq, Stream};

/// A ring that is drained.
pub struct Drain {
    looker: Looker,
    /// Its own description holds the attach byte, for as long as this lives.
    file: File,
    place: usize,
}

/// Why a ring is not drained.
#[derive(Debug, thiserror::Error)]
pub enum NotDrained {
    /// Somebody has it open.
    #[error("it is in use: stop nginx, or let \"sparkngin subscribe\" take what is in it")]
    InUse,
    /// The name never had a place in it.
    #[error("it never had a subscriber \"{name}\"; it has {}", list(.has))]
    NoSuchName {
        /// Which.
        name: Name,
        /// Those that have one.
        has: Vec<Name>,
    },
    /// The system refused.
    #[error("{0}")]
    System(#[from] io::Error),
}

impl Drain {
    /// Takes a ring that was opened for looking, for one subscriber.
    ///
    /// # Errors
    /// [`NotDrained`].
    pub fn begin(ring: Ring, name: &Name) -> Result<Drain, NotDrained> {
        let file = disk::open(ring.path(), true)?;
        let inode = |file: &File| file.metadata().map(|meta| (meta.dev(), meta.ino()));
        if inode(&file)? != inode(ring.file())? {
            return Err(io::Error::other("another file has its name now").into());
        }
        if !try_lock(&file, attach_byte(), Hold::Alone)? {
            return Err(NotDrained::InUse);
        }
        let written = Written::read(ring.view());
        let names: Vec<Option<Name>> =
            written.places.iter().map(|held| held.as_ref().map(|held| held.name.clone())).collect();
        match names.iter().position(|held| held.as_ref() == Some(name)) {
            Some(place) => Ok(Drain { looker: Looker::new(ring), file, place }),
            None => {
                let has = names.into_iter().flatten().collect();
                Err(NotDrained::NoSuchName { name: name.clone(), has })
            }
        }
    }

    /// The ring file's uuid.
    pub fn region(&self) -> Region {
        self.looker.ring().region()
    }

    /// Every stream that had a writer.
    pub fn streams(&self) -> Vec<Stream> {
        self.looker.ring().view().streams().collect()
    }

    /// Looks at every block; nobody changes them.
    pub fn scan(&mut self) -> Scan {
        self.looker.scan()
    }

    /// What comes after `after` in a stream; see [`Reader::next`](super::Reader::next).
    pub fn next(
        &self,
        scan: &Scan,
        stream: Stream,
        after: Seq,
        room: usize,
        out: &mut Vec<u8>,
    ) -> Next {
        self.looker.next(scan, stream, after, room, out)
    }

    /// The subscriber's cursor.
    pub fn cursor(&self, stream: Stream) -> Cursor {
        cursor::read(self.looker.ring().view(), stream, self.place + 1)
    }

    /// Stores it: the spare copy first, then the selector, as a publisher does.
    ///
    /// # Errors
    /// When the system refuses it; the old one holds then.
    pub fn store(&mut self, stream: Stream, cursor: Cursor) -> io::Result<()> {
        let view = self.looker.ring().view();
        let twice = view.layout.slot(stream).cursor(self.place + 1);
        let turn = view.load(twice.selector()).wrapping_add(1);
        for (n, word) in cursor.words().into_iter().enumerate() {
            self.put(twice.copy(turn).plus(n), word)?;
        }
        self.put(twice.selector(), turn)
    }

    /// Brings the cursors to the disk.
    ///
    /// # Errors
    /// When the system refuses it.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Removes the file.
    ///
    /// # Errors
    /// When the system refuses it.
    pub fn remove(self) -> io::Result<()> {
        let ring = self.looker.ring();
        std::fs::remove_file(ring.path())?;
        File::open(ring.dir())?.sync_all()
    }

    fn put(&self, at: At, word: u64) -> io::Result<()> {
        self.file.write_all_at(&word.to_le_bytes(), at.0 as u64 * 8)
    }
}

fn list(names: &[Name]) -> String {
    match names {
        [] => "none at all".to_owned(),
        names => names.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", "),
    }
}
