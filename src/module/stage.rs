//! Events on their way from a body into the ring: encoded one behind the other, then committed together.
//!
//! Nothing is committed before all of the body was read, so a body that is refused as a whole leaves nothing. What does
//! not fit a block together is committed in several steps; a ring that is full in the middle keeps those before.

use sparkngin_core::event::{Event, Invalid};
use sparkngin_core::format::binary;
use sparkngin_core::ring::{Refused, Writer};

use crate::kept::{Faults, Kept};

/// The memory that is kept from request to request, bytes.
const KEPT: usize = 256 << 10;

/// Encoded events, in order.
#[derive(Default)]
pub struct Stage {
    bytes: Vec<u8>,
    /// Of each: where it ends in `bytes`, and its place in the body.
    ends: Vec<(usize, usize)>,
    faults: Faults,
    /// The body is one of several events, though it may have one alone.
    several: bool,
    /// The one event is a heartbeat.
    heartbeat: bool,
}

impl Stage {
    /// Nothing is staged.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(KEPT);
        self.ends.clear();
        self.faults = Faults::default();
        (self.several, self.heartbeat) = (false, false);
    }

    /// The body is one of several events: what becomes of each is told.
    pub fn several(&mut self) {
        self.several = true;
    }

    /// The one event is a heartbeat.
    pub fn heartbeat(&mut self) {
        self.heartbeat = true;
    }

    /// Adds the event at a place of the body.
    pub fn add(&mut self, index: usize, event: &Event<'_>) {
        binary::encode(event, &mut self.bytes);
        self.ends.push((self.bytes.len(), index));
    }

    /// The event at a place of the body is none.
    pub fn refuse(&mut self, index: usize, invalid: &Invalid) {
        self.fault(index, invalid.status(), &invalid.to_string(), invalid.field());
    }

    /// The event at a place of the body is not stored, for another reason.
    pub fn fault(&mut self, index: usize, status: u16, error: &str, field: Option<&str>) {
        self.faults.add(index, status, error, field);
    }

    /// Bytes of all events.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// What is wrong with those that are none; empties it.
    pub fn take_faults(&mut self) -> Faults {
        std::mem::take(&mut self.faults)
    }

    /// None of the events found a place: the list of all that are not stored, if the body is one of several. See
    /// [`Faults::refuse`].
    pub fn refuse_all(&mut self, error: &str, why: impl Fn() -> String) -> Option<Faults> {
        self.several.then(|| self.refuse_from(0, error, why))
    }

    fn refuse_from(&mut self, at: usize, error: &str, why: impl Fn() -> String) -> Faults {
        let mut faults = self.take_faults();
        for (_, index) in &self.ends[at..] {
            faults.refuse(*index, error, &why);
        }
        faults
    }

    /// Whether there is no event.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Commits them, received at `received` (ns since 1970), in as few steps as the ring's blocks allow.
    ///
    /// # Errors
    /// [`Refused`], when nothing is stored. Where some are, the others are among the faults.
    pub fn commit(&mut self, received: u64, writer: &mut Writer) -> Result<Kept, Refused> {
        if let [_] = self.ends[..] {
            let stored = match self.heartbeat {
                false => writer.append(received, &self.bytes),
                true => writer.append_heartbeat(received, &self.bytes),
            };
            let first = stored?.id();
            return Ok(Kept { first, count: 1, faults: self.take_faults() });
        }
        let mut start = 0;
        let cut = |&(end, _): &(usize, usize)| {
            let event = &self.bytes[start..end];
            start = end;
            event
        };
        let events: Vec<&[u8]> = self.ends.iter().map(cut).collect();
        let committed = writer.append_some(received, &events)?;
        let (first, mut count) = (committed.id(), committed.count() as usize);
        while count < events.len() {
            match writer.append_some(received, &events[count..]) {
                Ok(committed) => count += committed.count() as usize,
                Err(refused) => {
                    self.faults =
                        self.refuse_from(count, refusal(&refused), || refused.to_string());
                    break;
                }
            }
        }
        Ok(Kept { first, count: count as u64, faults: self.take_faults() })
    }
}

/// Why the ring took nothing more, as a client may know it: who holds it is none of a client's business.
pub fn refusal(refused: &Refused) -> &'static str {
    match refused {
        Refused::Full { .. } => "the ring is full",
        Refused::TooLarge { .. } => "the event does not fit a block of the ring",
        Refused::Poisoned => "the ring can not be written to",
    }
}
