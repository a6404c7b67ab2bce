//! A sender for tests: puts requests together, and says what an event should be by a way of its own.
#![allow(dead_code)] // Each test file uses its part of it.

use serde_json::{Map, Value as Json};
use sparkngin_core::event::{Event, Intake, Invalid, Request};
use sparkngin_core::field::{DataKind, FieldList, HeaderFields, Name, Value};

/// 2014-03-01T11:00:00.500123456Z.
pub const RECEIVED: u64 = 1_393_671_600_500_123_456;

/// A request of this query alone.
pub fn get(query: &[u8]) -> Request<'_> {
    Request { query, peer: b"192.0.2.7", received: RECEIVED, ..Request::default() }
}

/// The values of a request's header that a list of fields keeps.
pub fn keeps(words: &str) -> HeaderFields {
    FieldList::parse(words.split(' ')).unwrap().header_fields()
}

/// Reads at a place with a topic, where everything of the header is kept but single cookies.
pub fn read<'a>(request: &Request<'a>) -> Result<Event<'a>, Invalid> {
    static KEEP: HeaderFields =
        HeaderFields { user_agent: true, referrer: true, cookie: true, cookies: Vec::new() };
    Event::read(
        request,
        &Intake { topic: Some(b"default"), keep: &KEEP, max_event: 32 << 10, ..Intake::default() },
    )
}

/// Every byte as `%HH`.
pub fn percent(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("%{b:02x}")).collect()
}

/// Bytes as hex digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Hex digits as bytes.
pub fn unhex(text: &str) -> Vec<u8> {
    assert!(text.len() % 2 == 0, "{text}");
    (0..text.len() / 2).map(|at| u8::from_str_radix(&text[2 * at..][..2], 16).unwrap()).collect()
}

/// A text with what is not UTF-8 replaced.
pub fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The JSON object that an event should be, put together by serde_json.
pub fn object(event: &Event<'_>) -> Map<String, Json> {
    event.fields().map(|(name, value)| member(name, value)).collect()
}

/// One member of it.
pub fn member(name: Name<'_>, value: Value<'_>) -> (String, Json) {
    let name = lossy(name.bytes());
    match value {
        Value::Text(text) | Value::Data(DataKind::Text, text) => (name, lossy(text).into()),
        Value::Time(millis) => (name, millis.0.into()),
        Value::Data(DataKind::Json, json) => (name, serde_json::from_slice(json).unwrap()),
        Value::Data(DataKind::Bytes, bytes) => ("data_base64".into(), base64(bytes).into()),
    }
}

/// Base64, bit by bit.
pub fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bits: String = bytes.iter().map(|b| format!("{b:08b}")).collect();
    let mut text: String = bits
        .as_bytes()
        .chunks(6)
        .map(|six| format!("{:0<6}", std::str::from_utf8(six).unwrap()))
        .map(|six| DIGITS[usize::from_str_radix(&six, 2).unwrap()] as char)
        .collect();
    while text.len() % 4 != 0 {
        text.push('=');
    }
    text
}
