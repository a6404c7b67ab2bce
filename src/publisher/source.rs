//! A source: one ring file as the publisher sees it, with the look it took last.

use std::io;

use sparkngin_core::feed::{Place, Shelf, State};
use sparkngin_core::id::{Seq, Stream};
use sparkngin_core::ring::{Configuration, Cursor, Lease, Ledger, Next, Reader, Ring, Scan, Who};

use crate::lines::{Level, Lines};

/// One ring file that is handed out.
pub struct Source {
    /// The hands on it.
    pub reader: Reader,
    /// What was there at the last look.
    pub scan: Scan,
    /// Whether events are still written to it.
    pub state: State,
    /// Whether it was said why not.
    pub said: bool,
}

impl Source {
    /// Takes the ring over from whoever published before, and looks at it for the first time.
    ///
    /// # Errors
    /// When the ring or its directory refuses it.
    pub fn new(ring: Ring, lease: &Lease, configuration: &Configuration) -> io::Result<Source> {
        let mut reader = Reader::new(ring, lease, configuration)?;
        let scan = reader.scan();
        Ok(Source { reader, scan, state: State::Open, said: false })
    }

    /// Warns of names that were taken out of the configuration, whose events nobody holds any more.
    pub fn tell_of_left(&self, lines: &Lines) {
        let ring = self.reader.ring();
        for held in Ledger::read(ring).subscribers.iter().filter(|held| !held.active) {
            if let waiting @ 1.. = held.books.in_ring {
                let (number, name) = (ring.number(), &held.name);
                let waiting = match waiting {
                    1 => "1 event that it has not acknowledged is".to_owned(),
                    n => format!("{n} events that it has not acknowledged are"),
                };
                lines.say(
                    Level::Warn,
                    format!(
                        "ring.{number}: \"{name}\" is configured no longer, and {waiting} held for nobody"
                    ),
                );
            }
        }
    }

    /// Of its name, `ring.<n>`.
    pub fn number(&self) -> u64 {
        self.reader.ring().number()
    }

    /// Whether nothing is added to it any more.
    pub fn ends(&self) -> bool {
        !self.reader.ring().alive()
    }

    /// Looks again, and acts for writers that died.
    pub fn look(&mut self) {
        self.scan();
        if self.reader.tend(&self.scan) {
            // What it sealed can be freed now, and not at a look 200 ms later.
            self.scan();
        }
    }

    fn scan(&mut self) {
        // Given back first: the next look changes it in its place, and copies nothing.
        self.scan = Scan::default();
        self.scan = self.reader.scan();
    }

    /// What a session of this subscriber begins with.
    pub fn shelf(&self, who: usize) -> Shelf {
        let mut streams = Vec::new();
        for stream in self.scan.streams() {
            let place = self.place(who, stream);
            let last = self.last(stream).max(place.acked);
            if last > Seq(0) || place != Place::default() {
                streams.push((stream, last, place));
            }
        }
        Shelf { region: self.reader.region(), state: self.state, streams }
    }

    /// Where a subscriber is in a stream.
    pub fn place(&self, who: usize, stream: Stream) -> Place {
        place(self.reader.cursor(Who::Named(who), stream))
    }

    /// The last record of a stream. A writer that was killed right after a commit left one more than its slot says, and
    /// a subscriber may have it.
    fn last(&self, stream: Stream) -> Seq {
        let mut last = self.scan.last(stream);
        let mut body = Vec::new();
        while let Next::Slice { first, count } =
            self.reader.next(&self.scan, stream, last, usize::MAX, &mut body)
        {
            last = Seq(first.0 + u64::from(count) - 1);
            body.clear();
        }
        last
    }

    /// Stores where a subscriber is.
    pub fn store(&mut self, who: usize, stream: Stream, place: Place) {
        let who = Who::Named(who);
        let cursor = Cursor {
            start: place.start,
            acked: place.acked,
            lost: place.lost,
            dead: place.dead,
            uncertain: place.uncertain,
            uncertain_open: place.open,
            unheld: place.unheld,
            ..Cursor::default()
        };
        self.reader.store(who, stream, cursor);
        self.reader.wake(stream);
    }
}

fn place(cursor: Cursor) -> Place {
    Place {
        acked: cursor.acked,
        start: cursor.start,
        unheld: cursor.unheld,
        lost: cursor.lost,
        dead: cursor.dead,
        uncertain: cursor.uncertain,
        open: cursor.uncertain_open,
    }
}
