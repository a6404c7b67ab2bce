//! An event: what one request says, valid by construction.
//!
//! It borrows from the request, or from the record that it was read back from. What had to be decoded lies in one buffer
//! of its own, so an event costs at most two allocations, and none when it is read with a [`Spare`] of the one before.
//!
//! Its fields have one order, in every format that shows all of them: the known ones by their ids, single cookies and
//! custom ones as they came, `data` last.

mod base;
pub mod batch;
pub mod cloud;
mod decoded;
mod found;
mod given;
mod head;
pub mod heartbeat;
mod invalid;
mod json;
mod limits;
mod multipart;
mod names;
mod privacy;
mod read;
mod request;
mod sent;

use std::fmt;
use std::num::NonZeroUsize;
use std::ops::Range;

pub use crate::field::HeaderFields;
use crate::field::{DataKind, Field, FieldName, Name, Value};
use crate::query::Span;
use crate::time::Millis;
pub use given::{Form, Given, Tells, may_be_given};
pub use invalid::Invalid;
pub use json::is_json;
pub use limits::{Limits, MOST_DEPTH};
pub use privacy::{Addresses, EVERYTHING, Privacy, tells_address};
pub use request::{Intake, Request};

/// The most Kafka headers that an event has.
pub const MOST_HEADERS: usize = 64;

/// Fields with an id that hold text: an index is the id.
const TEXTS: usize = Field::Sg.id() as usize;

/// The ids of those before and behind the times, which stand between them.
pub(crate) const TEXTS_BEFORE_TIMES: Range<u8> = 1..Field::TimeStamp.id();
pub(crate) const TEXTS_BEHIND_TIMES: Range<u8> = Field::Submitted.id() + 1..Field::Data.id();

/// One event. See the head of this file.
#[derive(Clone)]
pub struct Event<'a> {
    time_stamp: Millis,
    submitted: Option<Millis>,
    /// By id; times and the payload's kind stand beside.
    texts: [Option<Span<'a>>; TEXTS],
    kind: DataKind,
    named: Vec<Named<'a>>,
    /// Kafka headers.
    headers: Vec<Named<'a>>,
    /// Fields of a newer version: kept, not understood.
    others: Vec<(u8, &'a [u8])>,
    /// What was decoded.
    text: Vec<u8>,
    /// The bytes of its binary form, once they were counted.
    counted: Option<NonZeroUsize>,
}

/// A single cookie's or a custom field, or a Kafka header.
#[derive(Clone, Copy, Debug)]
struct Named<'a> {
    name: Span<'a>,
    value: Span<'a>,
    /// The value is JSON, and was checked to be.
    json: bool,
}

impl<'a> Named<'a> {
    fn text(name: Span<'a>, value: Span<'a>) -> Named<'a> {
        Named { name, value, json: false }
    }

    /// The bytes of a Kafka header, or of a custom field that holds JSON, in the binary format, without id and length.
    fn joined_len(&self) -> usize {
        joined(self.name.len(), self.value.len())
    }

    #[inline]
    fn value<'e>(&self, text: &'e [u8]) -> Value<'e>
    where
        'a: 'e,
    {
        match self.value.of(text) {
            json if self.json => Value::Data(DataKind::Json, json),
            bytes => Value::Text(bytes),
        }
    }
}

/// The memory of an event that is no longer needed, for the next one.
#[derive(Debug, Default)]
pub struct Spare {
    named: Vec<Named<'static>>,
    headers: Vec<Named<'static>>,
    text: Vec<u8>,
}

impl<'a> Event<'a> {
    /// Reads a request.
    ///
    /// # Errors
    /// [`Invalid`]: the first thing that is wrong. Nothing of the request is stored then.
    pub fn read(request: &Request<'a>, intake: &Intake<'a>) -> Result<Event<'a>, Invalid> {
        Event::read_with(Spare::default(), request, intake)
    }

    /// Reads a request into the memory of an earlier event.
    ///
    /// # Errors
    /// As [`Event::read`].
    #[inline]
    pub fn read_with(
        spare: Spare,
        request: &Request<'a>,
        intake: &Intake<'a>,
    ) -> Result<Event<'a>, Invalid> {
        let mut event = Event::new(spare, Millis::of_nanos(request.received));
        read::event(&mut event, request, intake)?;
        Ok(event)
    }

    /// Gives its memory to the next event.
    pub fn into_spare(mut self) -> Spare {
        self.text.clear();
        Spare { named: emptied(self.named), headers: emptied(self.headers), text: self.text }
    }

    fn new(spare: Spare, time_stamp: Millis) -> Event<'a> {
        Event {
            time_stamp,
            submitted: None,
            texts: [None; TEXTS],
            kind: DataKind::Text,
            named: emptied(spare.named),
            headers: emptied(spare.headers),
            others: Vec::new(),
            text: spare.text,
            counted: None,
        }
    }

    /// The topic it is for: a legal name of a Kafka topic.
    pub fn topic(&self) -> &[u8] {
        self.text_of(Field::Topic).unwrap_or_default()
    }

    /// When it was received.
    pub fn time_stamp(&self) -> Millis {
        self.time_stamp
    }

    /// When the client says that it happened.
    pub fn submitted(&self) -> Option<Millis> {
        self.submitted
    }

    /// Its payload.
    #[inline]
    pub fn data(&self) -> Option<(DataKind, &[u8])> {
        Some((self.kind, self.text_of(Field::Data)?))
    }

    /// What a field holds. `sg` is none of the event's: it is known only once the event is stored.
    pub fn get(&self, field: &FieldName) -> Option<Value<'_>> {
        match field.name() {
            Name::Known(field) => self.known(field),
            Name::Named(name) => {
                let field = self.named.iter().find(|other| other.name.of(&self.text) == name)?;
                Some(field.value(&self.text))
            }
        }
    }

    /// What a field that every event may have holds.
    #[inline]
    pub fn known(&self, field: Field) -> Option<Value<'_>> {
        match field {
            Field::TimeStamp => Some(Value::Time(self.time_stamp)),
            Field::Submitted => self.submitted.map(Value::Time),
            Field::Data => self.data().map(|(kind, bytes)| Value::Data(kind, bytes)),
            text => self.text_of(text).map(Value::Text),
        }
    }

    /// Its fields, in their order.
    pub fn fields(&self) -> impl Iterator<Item = (Name<'_>, Value<'_>)> {
        let known = |field| Some((Name::Known(field), self.known(field)?));
        let head = Field::ALL[..Field::Data.id() as usize - 1].iter();
        let named = self.named.iter();
        let named =
            named.map(|field| (Name::Named(field.name.of(&self.text)), field.value(&self.text)));
        head.filter_map(move |field| known(*field)).chain(named).chain(known(Field::Data))
    }

    /// Shows each of its fields, in their order: what [`Event::fields`] yields, faster.
    #[inline]
    pub fn each(&self, mut see: impl FnMut(Name<'_>, Value<'_>)) {
        let known = |id| Name::Known(Field::ALL[usize::from(id) - 1]);
        for (id, text) in self.texts(TEXTS_BEFORE_TIMES) {
            see(known(id), Value::Text(text));
        }
        see(Name::Known(Field::TimeStamp), Value::Time(self.time_stamp));
        if let Some(time) = self.submitted {
            see(Name::Known(Field::Submitted), Value::Time(time));
        }
        for (id, text) in self.texts(TEXTS_BEHIND_TIMES) {
            see(known(id), Value::Text(text));
        }
        for (name, value) in self.named_values() {
            see(Name::Named(name), value);
        }
        if let Some((kind, bytes)) = self.data() {
            see(Name::Known(Field::Data), Value::Data(kind, bytes));
        }
    }

    /// Single cookies and custom fields, as they came.
    pub fn named(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.named.iter().map(|field| (field.name.of(&self.text), field.value.of(&self.text)))
    }

    /// The same, with what they are.
    pub(crate) fn named_values(&self) -> impl Iterator<Item = (&[u8], Value<'_>)> {
        self.named.iter().map(|field| (field.name.of(&self.text), field.value(&self.text)))
    }

    /// Its Kafka headers, as they came: a name may stand there more than once.
    pub fn headers(&self) -> impl ExactSizeIterator<Item = (&[u8], &[u8])> {
        self.headers.iter().map(|header| (header.name.of(&self.text), header.value.of(&self.text)))
    }

    /// Whether it is a CloudEvent: its payload is what Kafka gets as value.
    pub fn is_cloud(&self) -> bool {
        cloud::is_one(self)
    }

    /// Whether it is a beat of `sparkngin heartbeat`: no traffic.
    #[inline]
    pub fn is_heartbeat(&self) -> bool {
        self.text_of(Field::Id).is_some_and(|id| heartbeat::is_one(id, self.data()))
    }

    /// Fields of a newer version, by id: kept, not understood.
    pub fn others(&self) -> &[(u8, &'a [u8])] {
        &self.others
    }

    /// The bytes of its binary form.
    pub fn encoded_len(&self) -> usize {
        if let Some(counted) = self.counted {
            return counted.get();
        }
        let mut bytes = 1 + framed(8);
        if self.submitted.is_some() {
            bytes += framed(8);
        }
        for span in self.texts[..TEXTS - 1].iter().flatten() {
            bytes += framed(span.len());
        }
        // The payload's kind is one byte more.
        bytes += self.texts[TEXTS - 1].map_or(0, |data| framed(data.len() + 1));
        for field in &self.named {
            bytes += match field.json {
                true => framed(field.joined_len()),
                false => framed(field.name.len()) + framed(field.value.len()) - 1,
            };
        }
        for header in &self.headers {
            bytes += framed(header.joined_len());
        }
        for (_, other) in &self.others {
            bytes += framed(other.len());
        }
        bytes
    }

    /// Counts the bytes of its binary form, for when they are asked for next. Nothing is changed any more after this.
    fn count(&mut self) -> usize {
        let bytes = self.encoded_len();
        self.counted = NonZeroUsize::new(bytes);
        bytes
    }

    /// The known fields that hold text, by their ids.
    #[inline]
    pub(crate) fn texts(&self, ids: Range<u8>) -> impl Iterator<Item = (u8, &[u8])> {
        let spans = &self.texts[usize::from(ids.start)..usize::from(ids.end)];
        let spans = ids.zip(spans);
        spans.filter_map(|(id, span)| Some((id, span.as_ref()?.of(&self.text))))
    }

    #[inline]
    fn text_of(&self, field: Field) -> Option<&[u8]> {
        self.texts.get(usize::from(field.id()))?.map(|span| span.of(&self.text))
    }
}

/// The bytes of a field in the binary format: id, length (seven bits a byte), and the value's own.
#[inline]
pub(crate) fn framed(len: usize) -> usize {
    if len < 0x80 {
        return 2 + len;
    }
    let length = match len {
        0x80..0x4000 => 2,
        0x4000..0x20_0000 => 3,
        0x20_0000..0x1000_0000 => 4,
        _ => 5,
    };
    1 + length + len
}

/// The bytes of a name with its length, and of a value without, in the binary format.
pub(crate) fn joined(name: usize, value: usize) -> usize {
    framed(name) - 1 + value
}

/// The memory of an empty list, which can hold what lives shorter or longer.
fn emptied<'b>(mut named: Vec<Named<'_>>) -> Vec<Named<'b>> {
    named.clear();
    // Collecting in place keeps the allocation.
    named.into_iter().map(|_| Named::text(Span::Sent(&[]), Span::Sent(&[]))).collect()
}

/// Equal when every field is, in the same order; where the bytes lie does not matter.
impl PartialEq for Event<'_> {
    fn eq(&self, other: &Event<'_>) -> bool {
        self.fields().eq(other.fields())
            && self.headers().eq(other.headers())
            && self.others == other.others
    }
}

impl fmt::Debug for Event<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut map = f.debug_map();
        for (name, value) in self.fields() {
            map.entry(&format_args!("{name}"), &value);
        }
        map.entries(self.headers());
        map.entries(self.others.iter().map(|(id, bytes)| (id, bytes))).finish()
    }
}

/// Whether Kafka takes this name for a topic: 1 to 249 of `[a-zA-Z0-9._-]`, not `.` or `..`, not starting with `__`.
pub fn is_topic(name: &[u8]) -> bool {
    let legal = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    (1..=249).contains(&name.len())
        && name.iter().all(legal)
        && name != b"."
        && name != b".."
        && !name.starts_with(b"__")
}
