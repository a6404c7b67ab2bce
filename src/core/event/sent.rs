//! The name by which a client sent a field: some have several, and whoever is told of a fault looks for its own.

use super::json;
use super::multipart::{Parts, is_multipart};
use super::read::is_form;
use super::{Invalid, MOST_DEPTH, Request};
use crate::field::Field;
use crate::query::{self, Raw};

impl Invalid {
    /// The same, with the name by which the field was sent in the query, or in `said`, the event's body. It looks there
    /// again: what is wrong is seldom, and may cost more than what is right.
    pub(super) fn named_as_sent(mut self, request: &Request<'_>, said: &[u8]) -> Invalid {
        if let Invalid::Timestamp { field, .. } | Invalid::TooLong { field, .. } = &mut self
            && let Some(known) = Field::of_parameter(field.as_bytes())
            && let Some(name) = first(known, request, said)
        {
            *field = name;
        }
        self
    }
}

/// The name of the first that sets this field.
fn first(field: Field, request: &Request<'_>, said: &[u8]) -> Option<String> {
    let is = |name: &[u8]| Field::of_parameter(name) == Some(field);
    let text = |name: &[u8]| String::from_utf8_lossy(name).into_owned();
    let among = |parameters: &[u8]| {
        query::pairs(parameters).map(|pair| decoded(pair.name)).find(|name| is(name))
    };
    if let Some(name) = among(request.query) {
        return Some(text(&name));
    }
    if let (true, Some(kind)) = (is_multipart(request.content_type), request.content_type) {
        let mut names = Parts::of(kind, said).ok()?.filter_map(Result::ok).map(|part| part.name);
        return names.find(|name| is(name)).map(text);
    }
    let mut key = None;
    let checked = json::check(said, MOST_DEPTH, |name, _| {
        if key.is_none() && is(name) {
            key = Some(text(name));
        }
    });
    match checked {
        Ok(()) => key,
        Err(_) if is_form(request.content_type) => among(said).map(|name| text(&name)),
        Err(_) => None,
    }
}

/// A name as it was meant; one that cannot be decoded was refused before.
fn decoded(name: Raw<'_>) -> Vec<u8> {
    let mut text = Vec::new();
    match name.decode(&mut text) {
        Ok(span) => span.of(&text).to_vec(),
        Err(_) => Vec::new(),
    }
}
