//! The JSON format: one object, the fields in order, absent ones left out.
//!
//! Times are whole numbers of milliseconds; every other field is a string, also when it looks like a number. `data` by
//! its kind: JSON as it came, text as a string, bytes as `data_base64`. Bytes that are not UTF-8 become U+FFFD.

use super::Chosen;
use crate::escape;
use crate::field::{DataKind, Name, Value};

/// Appends the chosen fields.
pub(super) fn write(chosen: &Chosen<'_, '_>, out: &mut Vec<u8>) {
    let mut object = Object::open(out);
    chosen.each(|name, value| {
        let Some(value) = value else { return };
        if let Value::Data(DataKind::Bytes, bytes) = value {
            object.plain_key("data_base64");
            base64(bytes, object.out);
        } else {
            match name {
                Name::Known(field) => object.plain_key(field.name()),
                Name::Named(name) => object.key(name),
            }
            self::value(value, object.out);
        }
    });
    object.close();
}

/// An object that is being written.
pub(super) struct Object<'o> {
    pub out: &'o mut Vec<u8>,
    empty: bool,
}

impl<'o> Object<'o> {
    pub fn open(out: &'o mut Vec<u8>) -> Object<'o> {
        out.push(b'{');
        Object { out, empty: true }
    }

    pub fn key(&mut self, name: &[u8]) {
        self.comma();
        string(name, self.out);
        self.out.push(b':');
    }

    /// A key in which nothing is to be escaped.
    pub fn plain_key(&mut self, name: &str) {
        self.comma();
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    fn comma(&mut self) {
        if !std::mem::take(&mut self.empty) {
            self.out.push(b',');
        }
    }

    pub fn empty(&self) -> bool {
        self.empty
    }

    pub fn close(self) {
        self.out.push(b'}');
    }
}

/// Appends a value; bytes as base64.
pub(super) fn value(value: Value<'_>, out: &mut Vec<u8>) {
    match value {
        Value::Text(text) | Value::Data(DataKind::Text, text) => string(text, out),
        Value::Time(millis) => millis.write_decimal(out),
        Value::Data(DataKind::Json, json) => out.extend_from_slice(json),
        Value::Data(DataKind::Bytes, bytes) => base64(bytes, out),
    }
}

/// Appends a string.
pub(super) fn string(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    if std::str::from_utf8(bytes).is_ok() {
        escape(bytes, out);
    } else {
        for chunk in bytes.utf8_chunks() {
            escape(chunk.valid().as_bytes(), out);
            if !chunk.invalid().is_empty() {
                out.extend_from_slice("\u{FFFD}".as_bytes());
            }
        }
    }
    out.push(b'"');
}

fn escape(text: &[u8], out: &mut Vec<u8>) {
    let mut rest = text;
    while let Some(at) = escape::find(rest, [b'"', b'\\']) {
        out.extend_from_slice(&rest[..at]);
        match rest[at] {
            byte @ (b'"' | b'\\') => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            byte => {
                let [_, _, high, low] = escape::hex(byte);
                out.extend_from_slice(&[b'\\', b'u', b'0', b'0', high, low]);
            }
        }
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
}

/// Appends a string of base64 (RFC 4648, section 4, with padding).
pub(super) fn base64(bytes: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    out.reserve(bytes.len().div_ceil(3) * 4 + 2);
    out.push(b'"');
    for three in bytes.chunks(3) {
        let byte = |at: usize| u32::from(three.get(at).copied().unwrap_or_default());
        let word = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..4 {
            let digit = DIGITS[(word >> (18 - 6 * place) & 63) as usize];
            out.push(if place <= three.len() { digit } else { b'=' });
        }
    }
    out.push(b'"');
}
