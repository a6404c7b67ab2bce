//! The plain format: the values, joined by a delimiter, as a log line has them.
//!
//! A field that the event does not have is `-`; a value that is exactly `-` is `\x2D`. Backslash, control characters and
//! the delimiter's first byte are `\xHH` in a value, so the delimiter stands in no value, and what stands between two
//! reads back in one way only. An empty value is nothing between two delimiters.

use super::Chosen;
use crate::escape::{Shown, find, hex};

/// What joins values. Its first byte is none that a value's escapes are made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delimiter(Vec<u8>);

/// Bytes that cannot join values.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{0}\" is not a delimiter, it must be 1 to 16 bytes and not begin with one of \\ - x 0-9 A-F, which escapes are made of"
)]
pub struct NotADelimiter(String);

impl Default for Delimiter {
    /// One space.
    fn default() -> Delimiter {
        Delimiter(b" ".to_vec())
    }
}

impl Delimiter {
    /// Reads a delimiter.
    ///
    /// # Errors
    /// [`NotADelimiter`], if values that it joins could not be told apart.
    pub fn parse(bytes: &[u8]) -> Result<Delimiter, NotADelimiter> {
        let made_of = |b: &u8| matches!(b, b'\\' | b'-' | b'x' | b'0'..=b'9' | b'A'..=b'F');
        if bytes.len() > 16 || bytes.first().is_none_or(made_of) {
            return Err(NotADelimiter(Shown(bytes).to_string()));
        }
        Ok(Delimiter(bytes.to_vec()))
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Appends the chosen fields.
pub(super) fn write(chosen: &Chosen<'_, '_>, delimiter: &Delimiter, out: &mut Vec<u8>) {
    let mut first = true;
    chosen.each(|_, value| {
        if !std::mem::take(&mut first) {
            out.extend_from_slice(&delimiter.0);
        }
        match value {
            None => out.push(b'-'),
            Some(crate::field::Value::Time(millis)) => millis.write_decimal(out),
            Some(value) => escape(&value.bytes(), delimiter.0[0], out),
        }
    });
}

fn escape(value: &[u8], delimiter: u8, out: &mut Vec<u8>) {
    if value == b"-" {
        out.extend_from_slice(&hex(b'-'));
        return;
    }
    let mut rest = value;
    while let Some(at) = find(rest, [b'\\', 0x7F, delimiter]) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(&hex(rest[at]));
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
}
