//! The binary format: what lies in the ring, one event.
//!
//! ```text
//!   version u8 = 1, then fields until the end:
//!   id u8 (not 0) | length varint | bytes
//!   0             | length varint | name | length varint | bytes       a single cookie or a custom field
//!   3, 4          | 8             | ms since 1970, u64, little endian  time_stamp, submitted_timestamp
//!   14            | 1 + n         | kind u8 | n bytes                   data: 1 JSON, 2 text, 3 bytes
//!   16            | length varint | length varint | name | value        a Kafka header
//!   17            | length varint | length varint | name | JSON         a custom field that holds JSON
//! ```
//!
//! A varint holds seven bits a byte, the lowest first; the highest bit says that another follows; five bytes at most. A
//! reader passes over an id that it does not know by its length. `encode` writes the fields in their order, each once, then the
//! Kafka headers, as they came, and then what is of a newer version, as it found it.

use std::mem::take;

use super::Chosen;
use crate::event::{Event, TEXTS_BEFORE_TIMES, TEXTS_BEHIND_TIMES, framed, is_topic, joined};
use crate::field::{DataKind, Field, Name, Value, is_name};
use crate::time::Millis;

/// The version of the format.
pub const VERSION: u8 = 1;

/// The id of fields that have a name instead.
const NAMED: u8 = 0;

/// The id of Kafka headers. There may be many.
const HEADER: u8 = 16;

/// The id of custom fields that hold JSON.
const JSON: u8 = 17;

/// Bytes that are no event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// The first byte is another version's, or missing.
    #[error("an event begins with another version than 1")]
    Version,
    /// A length leads beyond the end, or is no varint.
    #[error("a field of an event is cut off at byte {at}")]
    Cut {
        /// Where the field begins.
        at: usize,
    },
    /// A time is not 8 bytes, or a payload has no known kind.
    #[error("field \"{field}\" of an event holds what it cannot")]
    Value {
        /// Which.
        field: Field,
    },
    /// A field stands there twice, or one that is never stored stands there.
    #[error("field \"{field}\" of an event stands where it must not")]
    Misplaced {
        /// Which.
        field: Field,
    },
    /// A Kafka header has a name that none may have.
    #[error("a header of an event has a bad name at byte {at}")]
    Header {
        /// Where the header begins.
        at: usize,
    },
    /// A field that every stored event has is missing.
    #[error("an event has no field \"{field}\"")]
    Missing {
        /// Which.
        field: Field,
    },
}

/// Appends the whole event, as it lies in the ring.
pub fn encode(event: &Event<'_>, out: &mut Vec<u8>) {
    let mut place = Place::behind(out, event.encoded_len());
    place.put(&[VERSION]);
    for (id, text) in event.texts(TEXTS_BEFORE_TIMES) {
        place.framed(id, text);
    }
    place.time(Field::TimeStamp, event.time_stamp());
    if let Some(time) = event.submitted() {
        place.time(Field::Submitted, time);
    }
    for (id, text) in event.texts(TEXTS_BEHIND_TIMES) {
        place.framed(id, text);
    }
    for (name, value) in event.named_values() {
        place.field(Name::Named(name), value);
    }
    if let Some((kind, bytes)) = event.data() {
        place.data(kind, bytes);
    }
    for (name, value) in event.headers() {
        place.pair(HEADER, name, value);
    }
    for (id, bytes) in event.others() {
        place.framed(*id, bytes);
    }
    debug_assert!(place.rest.is_empty(), "bytes that were counted and are not there");
}

/// Reads one event, borrowed from where it lies.
///
/// # Errors
/// [`Malformed`]. Fields with ids of a newer version are kept, as [`Event::others`].
pub fn decode(bytes: &[u8]) -> Result<Event<'_>, Malformed> {
    let mut event = Event::blank();
    let mut seen = 0_u32;
    for part in parts(bytes)? {
        let (id, part) = part?;
        let (name, value) = match part {
            Part::Field(name, value) => (name, value),
            Part::Header(name, value) => {
                event.push_header(name, value);
                continue;
            }
            Part::Other(bytes) => {
                event.push_other(id, bytes);
                continue;
            }
        };
        let Name::Known(field) = name else {
            match (name, value) {
                (Name::Named(name), Value::Text(value)) => event.push_named(name, value),
                (Name::Named(name), Value::Data(_, json)) => event.push_json(name, json),
                _ => {}
            }
            continue;
        };
        if field == Field::Sg || seen & (1 << field.id()) != 0 {
            return Err(Malformed::Misplaced { field });
        }
        seen |= 1 << field.id();
        match value {
            Value::Text(text) => event.set_text(field, text),
            Value::Data(kind, data) => event.set_data(kind, data),
            Value::Time(time) if field == Field::TimeStamp => event.set_time_stamp(time),
            Value::Time(time) => event.set_submitted(time),
        }
    }
    for field in [Field::TimeStamp, Field::Topic] {
        if seen & (1 << field.id()) == 0 {
            return Err(Malformed::Missing { field });
        }
    }
    if !is_topic(event.topic()) {
        return Err(Malformed::Value { field: Field::Topic });
    }
    Ok(event)
}

/// What stands in the binary form under one id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part<'a> {
    /// A field of this version.
    Field(Name<'a>, Value<'a>),
    /// A Kafka header: name and value.
    Header(&'a [u8], &'a [u8]),
    /// A field of a newer one: its bytes.
    Other(&'a [u8]),
}

/// Reads the fields one by one, with their ids; also of an event that was rendered with a choice of fields.
///
/// # Errors
/// [`Malformed::Version`] here; [`Malformed::Cut`] and [`Malformed::Value`] end the iteration.
pub fn parts(bytes: &[u8]) -> Result<Parts<'_>, Malformed> {
    match bytes.first() {
        Some(&VERSION) => Ok(Parts { bytes, at: 1 }),
        _ => Err(Malformed::Version),
    }
}

/// The fields of an event's binary form.
#[derive(Clone, Debug)]
pub struct Parts<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Parts<'a> {
    type Item = Result<(u8, Part<'a>), Malformed>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.bytes.get(self.at..)?;
        let (id, after) = rest.split_first()?;
        let part = part(*id, after, self.at);
        // After an error there is nothing more.
        self.at = part.as_ref().map_or(usize::MAX, |(_, rest)| self.bytes.len() - rest.len());
        Some(part.map(|(part, _)| (*id, part)))
    }
}

#[inline]
fn part(id: u8, after: &[u8], at: usize) -> Result<(Part<'_>, &[u8]), Malformed> {
    let (first, rest) = cut(after).ok_or(Malformed::Cut { at })?;
    if id == NAMED {
        let (value, rest) = cut(rest).ok_or(Malformed::Cut { at })?;
        return Ok((Part::Field(Name::Named(first), Value::Text(value)), rest));
    }
    if id == HEADER {
        // Whoever hands it to Kafka needs a text without a zero.
        let (name, value) =
            cut(first).filter(|(name, _)| is_name(name)).ok_or(Malformed::Header { at })?;
        return Ok((Part::Header(name, value), rest));
    }
    if id == JSON {
        let (name, json) = cut(first).ok_or(Malformed::Cut { at })?;
        return Ok((Part::Field(Name::Named(name), Value::Data(DataKind::Json, json)), rest));
    }
    let Some(field) = Field::of_id(id) else { return Ok((Part::Other(first), rest)) };
    let bad = Malformed::Value { field };
    let value = match field {
        Field::TimeStamp | Field::Submitted => {
            Value::Time(Millis(u64::from_le_bytes(first.try_into().map_err(|_| bad)?)))
        }
        Field::Data => {
            let (kind, data) = first.split_first().ok_or(bad)?;
            Value::Data(DataKind::of_id(*kind).ok_or(bad)?, data)
        }
        _ => Value::Text(first),
    };
    Ok((Part::Field(Name::Known(field), value), rest))
}

/// A length and so many bytes; and the rest.
#[inline]
fn cut(from: &[u8]) -> Option<(&[u8], &[u8])> {
    // Nearly every length is below 128.
    if let [length @ 0..0x80, rest @ ..] = from {
        return rest.split_at_checked(usize::from(*length));
    }
    let mut length = 0_usize;
    for (at, byte) in from.iter().take(5).enumerate() {
        length |= usize::from(byte & 0x7F) << (7 * at);
        if byte & 0x80 == 0 {
            return from[at + 1..].split_at_checked(length);
        }
    }
    None
}

/// Appends the chosen fields that the event has.
pub(super) fn write(chosen: &Chosen<'_, '_>, out: &mut Vec<u8>) {
    let mut bytes = 1;
    chosen.each(|name, value| bytes += value.map_or(0, |value| encoded_len(name, value)));
    let mut place = Place::behind(out, bytes);
    place.put(&[VERSION]);
    chosen.each(|name, value| {
        if let Some(value) = value {
            place.field(name, value);
        }
    });
}

/// The bytes that a field takes.
fn encoded_len(name: Name<'_>, value: Value<'_>) -> usize {
    match (name, value) {
        (Name::Known(_), Value::Text(bytes)) => framed(bytes.len()),
        (Name::Known(_), Value::Time(_)) => framed(8),
        // Only known fields hold a time.
        (Name::Named(_), Value::Time(_)) => 0,
        (Name::Known(_), Value::Data(_, bytes)) => framed(1 + bytes.len()),
        (Name::Named(name), Value::Text(bytes)) => framed(name.len()) + framed(bytes.len()) - 1,
        (Name::Named(name), Value::Data(_, json)) => framed(joined(name.len(), json.len())),
    }
}

/// Where the next bytes go.
struct Place<'o> {
    rest: &'o mut [u8],
}

impl<'o> Place<'o> {
    /// So many bytes behind what there is: all that will be put there.
    fn behind(out: &'o mut Vec<u8>, bytes: usize) -> Place<'o> {
        let start = out.len();
        out.resize(start + bytes, 0);
        Place { rest: &mut out[start..] }
    }

    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        let (here, rest) = take(&mut self.rest).split_at_mut(bytes.len());
        here.copy_from_slice(bytes);
        self.rest = rest;
    }

    #[inline]
    fn field(&mut self, name: Name<'_>, value: Value<'_>) {
        match (name, value) {
            (Name::Known(field), Value::Text(bytes)) => self.framed(field.id(), bytes),
            (Name::Known(field), Value::Time(time)) => self.time(field, time),
            (Name::Known(_), Value::Data(kind, bytes)) => self.data(kind, bytes),
            (Name::Named(name), Value::Text(bytes)) => {
                self.framed(NAMED, name);
                self.length(bytes.len());
                self.put(bytes);
            }
            (Name::Named(name), Value::Data(_, json)) => self.pair(JSON, name, json),
            // Only known fields hold a time.
            (Name::Named(_), Value::Time(_)) => {}
        }
    }

    #[inline]
    fn time(&mut self, field: Field, time: Millis) {
        self.framed(field.id(), &time.0.to_le_bytes());
    }

    #[inline]
    fn data(&mut self, kind: DataKind, bytes: &[u8]) {
        self.put(&[Field::Data.id()]);
        self.length(1 + bytes.len());
        self.put(&[kind as u8]);
        self.put(bytes);
    }

    /// A header, or a custom field that holds JSON.
    fn pair(&mut self, id: u8, name: &[u8], value: &[u8]) {
        self.put(&[id]);
        self.length(joined(name.len(), value.len()));
        self.length(name.len());
        self.put(name);
        self.put(value);
    }

    #[inline]
    fn framed(&mut self, id: u8, bytes: &[u8]) {
        let head = 2 + bytes.len();
        // Nearly every length is below 128.
        if bytes.len() >= 0x80 {
            self.put(&[id]);
            self.length(bytes.len());
            return self.put(bytes);
        }
        let (here, rest) = take(&mut self.rest).split_at_mut(head);
        (here[0], here[1]) = (id, bytes.len() as u8);
        here[2..].copy_from_slice(bytes);
        self.rest = rest;
    }

    #[inline]
    fn length(&mut self, mut value: usize) {
        while value >= 0x80 {
            self.put(&[value as u8 | 0x80]);
            value >>= 7;
        }
        self.put(&[value as u8]);
    }
}
