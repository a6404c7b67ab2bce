//! `sparkngin_limits`: how much a request may say.

use sparkngin_core::event::{self, MOST_DEPTH};
use sparkngin_core::field::LONGEST_NAME;

use crate::args::{Args, ConfError};

/// The largest body, as it is when it is inflated, bytes: what nginx takes where nobody says anything else.
const BODY: usize = 1 << 20;
/// Real bodies are compressed to a twentieth or so, repetitive ones to a hundredth; gzip can reach a thousandth.
const RATIO: usize = 200;
/// A body may become so many times as large in the ring, by what the query and the head of the request say of each event.
const GROWTH: usize = 4;

/// What the directive says, with those around it; None is the default.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limits {
    batch: Option<usize>,
    body: Option<usize>,
    fields: Option<usize>,
    name: Option<usize>,
    value: Option<usize>,
    depth: Option<usize>,
    ratio: Option<usize>,
}

const WORDS: &str =
    "\"batch=\", \"body=\", \"fields=\", \"name=\", \"value=\", \"depth=\" or \"ratio=\"";

impl Limits {
    /// Reads the words of the directive.
    ///
    /// # Errors
    /// The word that is wrong.
    pub fn read(args: &Args<'_>) -> Result<Limits, ConfError> {
        args.distinct()?;
        let mut limits = Limits::default();
        for word in args.words() {
            let at = word.iter().position(|byte| *byte == b'=').map_or(word.len(), |at| at + 1);
            let (name, text) = word.split_at(at);
            let small = |most| args.number_in(text, most);
            let (place, value) = match name {
                b"batch=" => (&mut limits.batch, small(1_000_000)?),
                b"body=" => (&mut limits.body, args.size_in(text)?),
                b"fields=" => (&mut limits.fields, small(65_536)?),
                b"name=" => (&mut limits.name, small(LONGEST_NAME as u64)?),
                b"value=" => (&mut limits.value, args.size_in(text)?),
                b"ratio=" => (&mut limits.ratio, small(100_000)?),
                b"depth=" => (&mut limits.depth, small(MOST_DEPTH as u64)?),
                _ => return Err(args.parameter(word, WORDS)),
            };
            *place = Some(usize::try_from(value).unwrap_or(usize::MAX));
        }
        Ok(limits)
    }

    /// What is not said here is as it is around.
    pub fn or(self, outer: Limits) -> Limits {
        Limits {
            batch: self.batch.or(outer.batch),
            body: self.body.or(outer.body),
            fields: self.fields.or(outer.fields),
            name: self.name.or(outer.name),
            value: self.value.or(outer.value),
            depth: self.depth.or(outer.depth),
            ratio: self.ratio.or(outer.ratio),
        }
    }

    /// What an event may say.
    pub fn event(&self) -> event::Limits {
        let default = event::Limits::DEFAULT;
        event::Limits {
            batch: self.batch.unwrap_or(default.batch),
            fields: self.fields.unwrap_or(default.fields),
            name: self.name.unwrap_or(default.name),
            value: self.value.unwrap_or(default.value),
            depth: self.depth.unwrap_or(default.depth),
        }
    }

    /// The most bytes of a body, where an event has `max_event` at most.
    pub fn body(&self, max_event: usize) -> usize {
        self.body.unwrap_or(BODY.max(max_event))
    }

    /// How many times as large as it came a body may be once it is inflated.
    pub fn ratio(&self) -> usize {
        self.ratio.unwrap_or(RATIO)
    }

    /// The most bytes of the events of a body as they are stored.
    pub fn stored(&self, max_event: usize) -> usize {
        self.body(max_event).saturating_mul(GROWTH)
    }
}
