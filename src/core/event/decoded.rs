//! How an event is put together from its binary form.

use super::{Event, Named, Spare};
use crate::field::{DataKind, Field};
use crate::query::Span;
use crate::time::Millis;

impl<'a> Event<'a> {
    /// An event with no field yet.
    pub(crate) fn blank() -> Event<'a> {
        Event::new(Spare::default(), Millis(0))
    }

    /// Sets the time of receipt.
    #[inline]
    pub(crate) fn set_time_stamp(&mut self, time: Millis) {
        self.time_stamp = time;
    }

    /// Sets the client's time.
    #[inline]
    pub(crate) fn set_submitted(&mut self, time: Millis) {
        self.submitted = Some(time);
    }

    /// Sets a field that holds text; a time, the payload and `sg` are none.
    #[inline]
    pub(crate) fn set_text(&mut self, field: Field, text: &'a [u8]) {
        if let Some(place) = self.texts.get_mut(usize::from(field.id())) {
            *place = Some(Span::Sent(text));
        }
    }

    /// Sets the payload.
    #[inline]
    pub(crate) fn set_data(&mut self, kind: DataKind, bytes: &'a [u8]) {
        self.kind = kind;
        self.set_text(Field::Data, bytes);
    }

    /// Adds a single cookie's or a custom field.
    #[inline]
    pub(crate) fn push_named(&mut self, name: &'a [u8], value: &'a [u8]) {
        self.named.push(Named::text(Span::Sent(name), Span::Sent(value)));
    }

    /// Adds a custom field that holds JSON.
    pub(crate) fn push_json(&mut self, name: &'a [u8], json: &'a [u8]) {
        self.named.push(Named { json: true, ..Named::text(Span::Sent(name), Span::Sent(json)) });
    }

    /// Adds a Kafka header.
    pub(crate) fn push_header(&mut self, name: &'a [u8], value: &'a [u8]) {
        self.headers.push(Named::text(Span::Sent(name), Span::Sent(value)));
    }

    /// Adds a field that this version does not know.
    pub(crate) fn push_other(&mut self, id: u8, bytes: &'a [u8]) {
        self.others.push((id, bytes));
    }
}
