//! The JSON format: one object, the fields in order, absent ones left out.
//!
//! Times are whole numbers of milliseconds; every other field is a string, also when it looks like a number. `data` by
//! its kind: JSON as it came, text as a string, bytes as `data_base64`. Bytes that are not UTF-8 become U+FFFD.

use super::Chosen;
use crate::escape;
use crate::field::{DataKind, Field, Name, Value};

/// `,"name":` of each field that every event may have, by its id.
const KEYS: [Key; Field::ALL.len() + 1] = {
    let mut keys = [Key { bytes: [0; 32], len: 0 }; Field::ALL.len() + 1];
    let mut at = 0;
    while at < Field::ALL.len() {
        keys[Field::ALL[at].id() as usize] = Key::of(Field::ALL[at].name().as_bytes());
        at += 1;
    }
    keys
};

/// A key in which nothing is to be escaped, with the comma before it.
#[derive(Clone, Copy)]
struct Key {
    bytes: [u8; 32],
    len: usize,
}

impl Key {
    const fn of(name: &[u8]) -> Key {
        let mut key = Key { bytes: [0; 32], len: name.len() + 4 };
        (key.bytes[0], key.bytes[1]) = (b',', b'"');
        let mut at = 0;
        while at < name.len() {
            key.bytes[2 + at] = name[at];
            at += 1;
        }
        (key.bytes[2 + at], key.bytes[3 + at]) = (b'"', b':');
        key
    }
}

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
                Name::Known(field) => object.known_key(field),
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

    /// A known field's.
    #[inline]
    fn known_key(&mut self, field: Field) {
        let key = &KEYS[usize::from(field.id())];
        let from = usize::from(std::mem::take(&mut self.empty));
        self.out.extend_from_slice(&key.bytes[from..key.len]);
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
    out.reserve(bytes.len() + 2);
    out.push(b'"');
    // Nearly all are, and that is known sooner.
    if is_plain(bytes) {
        out.extend_from_slice(bytes);
    } else if std::str::from_utf8(bytes).is_ok() {
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

/// Whether it is ASCII in which nothing is to be escaped, looked at eight bytes at a time.
#[inline]
fn is_plain(text: &[u8]) -> bool {
    const ONES: u64 = 0x0101_0101_0101_0101;
    // The highest bit of some byte is set if one is not plain. A borrow may set more, but only above one that is right.
    let marks = |eight: &[u8; 8]| {
        let word = u64::from_le_bytes(*eight);
        let is = |byte: u8| {
            let differs = word ^ (ONES * u64::from(byte));
            differs.wrapping_sub(ONES) & !differs
        };
        word | word.wrapping_sub(ONES * 0x20) & !word | is(b'"') | is(b'\\')
    };
    let words = text.chunks_exact(8).filter_map(|eight| eight.first_chunk());
    let marks = match text.last_chunk() {
        Some(last) => words.fold(marks(last), |all, word| all | marks(word)),
        None => {
            let mut eight = [b' '; 8];
            eight.iter_mut().zip(text).for_each(|(to, from)| *to = *from);
            marks(&eight)
        }
    };
    marks & (ONES << 7) == 0
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_plain_is_ascii_without_controls_quotes_and_backslashes() {
        for byte in 0..=255_u8 {
            let plain = matches!(byte, b' '..=0x7F) && byte != b'"' && byte != b'\\';
            for (before, after) in (0..20).flat_map(|n| (0..20).map(move |m| (n, m))) {
                for filler in [b' ', b'a', 0x7F, b'!', b'#', b'[', b']'] {
                    let mut text = vec![filler; before + 1 + after];
                    text[before] = byte;
                    assert_eq!(is_plain(&text), plain, "{text:?}");
                }
            }
        }
        assert!(is_plain(b""));
    }
}
