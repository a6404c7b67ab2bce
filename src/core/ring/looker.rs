//! A looker: reads as the publisher does, without a lease, and changes nothing. For rings in use and left behind.

use super::configuration::{Held, Name, Written};
use super::cursor::{self, Cursor};
use super::eye::{Eye, Next};
use super::file::Ring;
use super::known::Known;
use super::mapping::Mapping;
use super::memory::Memory;
use super::repair::Remains;
use super::scan::{Sampled, Scan};
use crate::id::{Seq, Stream};

/// Who only looks.
pub struct Looker<M = Mapping> {
    eye: Eye,
    known: Known,
    remains: Option<Remains>,
    ring: Ring<M>,
}

impl<M: Memory> Looker<M> {
    /// Looks into this ring; [`Ring::open_all`] is enough for it.
    pub fn new(ring: Ring<M>) -> Looker<M> {
        let remains = ring.remains();
        Looker { eye: Eye::default(), known: Known::default(), remains, ring }
    }

    /// Samples every stream's last, then looks at every block.
    pub fn scan(&mut self) -> Scan {
        match &self.remains {
            Some(remains) => remains.scan().clone(),
            None => {
                if self.eye.overtaken() {
                    self.known.doubt();
                }
                Scan::look(self.ring.view(), Sampled::take(self.ring.view()), &mut self.known)
            }
        }
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
        let view = self.ring.view();
        match &self.remains {
            Some(remains) => remains.next(&self.eye, view, (stream, after), room, out),
            None => self.eye.next(view, scan, stream, after, room, out),
        }
    }

    /// A subscriber's cursor, also of one that left the configuration; nothing for a name that never had a place.
    pub fn cursor(&self, name: &Name, stream: Stream) -> Option<Cursor> {
        let written = Written::read(self.ring.view());
        let is_it = |held: &Option<Held>| held.as_ref().is_some_and(|held| held.name == *name);
        let place = written.places.iter().position(is_it)?;
        Some(cursor::read(self.ring.view(), stream, place + 1))
    }

    /// The ring.
    pub fn ring(&self) -> &Ring<M> {
        &self.ring
    }
}
