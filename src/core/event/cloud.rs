//! CloudEvents 1.0 over HTTP: attributes in the head of the request (binary), or all in one JSON object (structured; a
//! batch is several of these).
//!
//! They go to Kafka as its binding says. In binary mode attributes are headers `ce_<name>`, the value is the data alone, and
//! the header `content-type` its type. In structured mode the value is the object as it came, and `content-type` says that
//! it is one; there is no header `ce_` then, for some readers take any of these for the binary mode.

use super::{Event, Invalid, MOST_HEADERS, Named, json};
use crate::escape::Shown;
use crate::field::Field;
use crate::query::{Span, digit};
use crate::time::Millis;

/// What all of them have.
const REQUIRED: [&str; 4] = ["specversion", "id", "source", "type"];
/// What is a string, wherever it is.
const OWN: [&str; 8] =
    ["specversion", "id", "source", "type", "time", "subject", "dataschema", "datacontenttype"];
/// The Kafka header of the value's type.
const CONTENT_TYPE: &[u8] = b"content-type";
/// That of a value that is a whole CloudEvent; no client may say so.
const STRUCTURED: &[u8] = b"application/cloudevents+json; charset=UTF-8";
/// What begins the Kafka headers of attributes; a client's own headers must not.
pub const PREFIX: &[u8] = b"ce_";

/// Whether the headers of a request that these are the names of, in lower case and without `ce-`, make it one in binary
/// mode: one that all of them have is there.
pub fn is_binary<'a>(mut names: impl Iterator<Item = &'a [u8]>) -> bool {
    names.any(|name| REQUIRED.iter().any(|required| required.as_bytes() == name))
}

/// Whether a type says that the body is one in structured mode, or several.
pub fn is_structured(content_type: Option<&[u8]>) -> bool {
    const NAMES: [&[u8]; 2] =
        [b"application/cloudevents+json", b"application/cloudevents-batch+json"];
    // Most types are too short.
    content_type.filter(|kind| kind.len() >= NAMES[0].len()).is_some_and(|kind| {
        let kind = json::media_type(kind);
        NAMES.iter().any(|name| kind.eq_ignore_ascii_case(name))
    })
}

/// Whether an event is one, as it was stored.
pub fn is_one(event: &Event<'_>) -> bool {
    event.headers().any(|(name, value)| name == b"ce_specversion" || is_claim(name, value))
}

/// Whether a Kafka header says that its record is a CloudEvent in structured mode.
pub fn is_claim(name: &[u8], value: &[u8]) -> bool {
    name == CONTENT_TYPE && is_structured(Some(value))
}

/// Takes the attributes that headers say: names without `ce-`, and values.
///
/// # Errors
/// [`Invalid::Cloud`], [`Invalid::TooManyHeaders`]
pub fn binary<'a>(
    event: &mut Event<'a>,
    attributes: &'a [(&'a [u8], &'a [u8])],
    content_type: Option<&'a [u8]>,
) -> Result<(), Invalid> {
    for (at, (name, value)) in attributes.iter().enumerate() {
        let value = decoded(value, &mut event.text);
        attribute(event, &attributes[..at], name, value)?;
        let start = event.text.len();
        event.text.extend_from_slice(PREFIX);
        event.text.extend_from_slice(name);
        let len = event.text.len() - start;
        push(event, Named::text(Span::Decoded { start: start as u32, len: len as u32 }, value))?;
    }
    complete(attributes)?;
    match content_type {
        Some(kind) => typed(event, kind),
        None => Ok(()),
    }
}

/// Takes the members of an object in structured mode, but for those that are null; it stays whole as the payload.
///
/// # Errors
/// [`Invalid::Cloud`], [`Invalid::TooManyHeaders`]
pub fn structured<'a>(
    event: &mut Event<'a>,
    members: &[(&'a [u8], &'a [u8])],
) -> Result<(), Invalid> {
    for (at, (name, value)) in members.iter().enumerate() {
        let before = &members[..at];
        match *name {
            b"data" | b"data_base64" if has(before, b"data") || has(before, b"data_base64") => {
                return Err(wrong("data", "be there once, as \"data\" or as \"data_base64\""));
            }
            b"data" => {}
            b"data_base64" => {
                let inside = value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\""));
                if !inside.is_some_and(is_base64) {
                    return Err(wrong("data_base64", "be a string of base64"));
                }
            }
            _ => {
                let value = scalar(name, value, &mut event.text)?;
                attribute(event, before, name, value)?;
            }
        }
        if at == MOST_HEADERS {
            return Err(is(name, "not be there, a CloudEvent has 64 members at most"));
        }
    }
    complete(members)?;
    typed(event, STRUCTURED)
}

/// What a member says as text. An extension may be a number or a boolean, too.
fn scalar<'a>(name: &[u8], value: &'a [u8], text: &mut Vec<u8>) -> Result<Span<'a>, Invalid> {
    let (taken, must) = match value.first() {
        Some(b'"') => (true, "be a whole text"),
        Some(b'{' | b'[') => (false, "be a string, a number or a boolean"),
        _ => (!OWN.iter().any(|own| own.as_bytes() == name), "be a string"),
    };
    let span = if taken { json::text(value, text) } else { None };
    span.ok_or_else(|| is(name, must))
}

/// Looks at one attribute, which is a field, too, where one means the same and nothing has set it.
fn attribute<'a>(
    event: &mut Event<'a>,
    before: &[(&[u8], &[u8])],
    name: &[u8],
    value: Span<'a>,
) -> Result<(), Invalid> {
    let legal = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    if !(1..=64).contains(&name.len()) || !name.iter().all(legal) {
        return Err(is(name, "have a name of 1 to 64 of a-z and 0-9"));
    }
    if has(before, name) {
        return Err(is(name, "be there once"));
    }
    let bytes = value.of(&event.text);
    if bytes.is_empty() {
        return Err(is(name, "not be empty"));
    }
    let mut field = None;
    match name {
        b"specversion" if bytes != b"1.0" => return Err(is(name, "be \"1.0\"")),
        b"time" if !bytes.contains(&b':') || Millis::parse(bytes).is_err() => {
            return Err(is(name, "be RFC 3339, from 1970 to 9999"));
        }
        b"time" => field = Some(Field::Submitted).filter(|_| event.submitted.is_none()),
        b"id" => field = Some(Field::Id),
        b"type" => field = Some(Field::Type),
        b"partitionkey" => field = Some(Field::Key),
        _ => {}
    }
    if let Some(place @ None) = field.map(|field| &mut event.texts[usize::from(field.id())]) {
        *place = Some(value);
    }
    Ok(())
}

/// Says what type the value is of, and nobody else does.
fn typed<'a>(event: &mut Event<'a>, kind: &'a [u8]) -> Result<(), Invalid> {
    let Event { headers, text, .. } = event;
    headers.retain(|header| header.name.of(text) != CONTENT_TYPE);
    push(event, Named::text(Span::Sent(CONTENT_TYPE), Span::Sent(kind)))
}

fn push<'a>(event: &mut Event<'a>, header: Named<'a>) -> Result<(), Invalid> {
    if event.headers.len() >= MOST_HEADERS {
        return Err(Invalid::TooManyHeaders);
    }
    event.headers.push(header);
    Ok(())
}

/// Whether all that must be there is.
fn complete(all: &[(&[u8], &[u8])]) -> Result<(), Invalid> {
    match REQUIRED.iter().find(|name| !has(all, name.as_bytes())) {
        Some(name) => Err(wrong(name, "be there")),
        None => Ok(()),
    }
}

fn has(all: &[(&[u8], &[u8])], name: &[u8]) -> bool {
    all.iter().any(|(other, _)| *other == name)
}

fn wrong(field: &str, must: &'static str) -> Invalid {
    Invalid::Cloud { field: field.into(), must }
}

/// The same, of a name that a client sent.
fn is(name: &[u8], must: &'static str) -> Invalid {
    Invalid::Cloud { field: Shown(name).to_string(), must }
}

/// A header's value, as the binding has it read: without the quotation marks of a quoted string, then `%HH` is a byte;
/// any other `%` is itself.
fn decoded<'a>(value: &'a [u8], text: &mut Vec<u8>) -> Span<'a> {
    let quoted = value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\""));
    let mut rest = quoted.unwrap_or(value);
    if !rest.contains(&b'%') && (quoted.is_none() || !rest.contains(&b'\\')) {
        return Span::Sent(rest);
    }
    let start = text.len();
    while let Some((first, after)) = rest.split_first() {
        let (byte, after) = match (first, after) {
            (b'\\', [escaped, after @ ..]) if quoted.is_some() => (*escaped, after),
            (b'%', [high, low, after @ ..]) => match (digit(*high), digit(*low)) {
                (Some(high), Some(low)) => (high << 4 | low, after),
                _ => (b'%', &rest[1..]),
            },
            _ => (*first, after),
        };
        text.push(byte);
        rest = after;
    }
    Span::Decoded { start: start as u32, len: (text.len() - start) as u32 }
}

/// Whether it is base64 (RFC 4648, section 4), padded or not.
fn is_base64(text: &[u8]) -> bool {
    let letters = text.strip_suffix(b"==").or_else(|| text.strip_suffix(b"=")).unwrap_or(text);
    let legal = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/');
    let padded = letters.len() == text.len() || text.len() % 4 == 0;
    letters.len() % 4 != 1 && padded && letters.iter().all(legal)
}
