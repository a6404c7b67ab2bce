//! How much a request may say before it is refused, besides the size of an event.

use crate::field::LONGEST_NAME;

/// The deepest that arrays and objects of JSON can be allowed to lie in each other.
pub const MOST_DEPTH: usize = 128;

/// What a place takes at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Events of one body.
    pub batch: usize,
    /// Custom fields of an event.
    pub fields: usize,
    /// Bytes of a custom field's name, [`LONGEST_NAME`] at most.
    pub name: usize,
    /// Bytes of a parameter's value, decoded, but for the payload.
    pub value: usize,
    /// How deep arrays and objects of JSON lie in each other, [`MOST_DEPTH`] at most.
    pub depth: usize,
}

impl Limits {
    /// Where nobody said anything else.
    pub const DEFAULT: Limits =
        Limits { batch: 1000, fields: 1024, name: LONGEST_NAME, value: 16 << 10, depth: 100 };
}

impl Default for Limits {
    fn default() -> Limits {
        Limits::DEFAULT
    }
}
