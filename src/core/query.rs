//! A query string: its parameters, found in one pass, decoded only where they must be.
//!
//! `name=value` joined by `&`. A piece without `=` is a name with an empty value; an empty piece is none. `+` is a space,
//! `%HH` a byte; both in names too.

use crate::lanes::{self, LANES, Marks};

/// One parameter as it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair<'a> {
    /// Before the first `=`.
    pub name: Raw<'a>,
    /// After it.
    pub value: Raw<'a>,
}

/// Bytes of the query, not decoded yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Raw<'a> {
    bytes: &'a [u8],
    /// Where they begin in the query.
    at: usize,
    /// Whether there is a `+` or `%` among them.
    escaped: bool,
}

/// Bytes of a parameter: where they were sent, or where they were decoded to.
#[derive(Clone, Copy, Debug)]
pub enum Span<'a> {
    /// As they were sent.
    Sent(&'a [u8]),
    /// In the text that was given to [`Raw::decode`].
    Decoded {
        /// The first byte's place in it.
        start: u32,
        /// How many there are.
        len: u32,
    },
}

/// A `%` without two hex digits after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadPercent {
    /// Its place in the query, from 0.
    pub at: usize,
}

/// The parameters of a query, in order.
#[derive(Clone, Debug)]
pub struct Pairs<'a> {
    query: &'a [u8],
    /// Where the next parameter begins.
    at: usize,
    /// Marks before this place are taken, or among `marks`.
    seen: usize,
    /// Marks in the bytes before `seen` that are not taken yet.
    marks: Marks,
}

/// The parameters of a query, in order.
pub fn pairs(query: &[u8]) -> Pairs<'_> {
    Pairs { query, at: 0, seen: 0, marks: 0 }
}

impl Pairs<'_> {
    /// The place of the next byte that means something; behind the last one, the end.
    #[inline]
    fn mark(&mut self) -> usize {
        while self.marks == 0 {
            let Some(rest) = self.query.get(self.seen..).filter(|rest| !rest.is_empty()) else {
                return self.query.len();
            };
            const SOUGHT: [u8; 4] = [b'&', b'=', b'%', b'+'];
            self.marks = match rest.first_chunk() {
                Some(sixteen) => lanes::among(sixteen, SOUGHT),
                None => {
                    let mut last = [0; LANES];
                    last[..rest.len()].copy_from_slice(rest);
                    lanes::among(&last, SOUGHT)
                }
            };
            self.seen += LANES;
        }
        let at = self.seen - LANES + self.marks.trailing_zeros() as usize;
        self.marks &= self.marks - 1;
        at
    }
}

impl<'a> Iterator for Pairs<'a> {
    type Item = Pair<'a>;

    #[inline]
    fn next(&mut self) -> Option<Pair<'a>> {
        loop {
            let start = self.at;
            if start >= self.query.len() {
                return None;
            }
            let (mut equals, mut name_escaped, mut value_escaped) = (None, false, false);
            let end = loop {
                let at = self.mark();
                match self.query.get(at) {
                    Some(b'&') | None => break at,
                    Some(b'=') if equals.is_none() => equals = Some(at),
                    Some(b'=') => {}
                    _ if equals.is_none() => name_escaped = true,
                    _ => value_escaped = true,
                }
            };
            self.at = end + 1;
            if end == start {
                continue;
            }
            let name = equals.unwrap_or(end);
            let value = equals.map_or(end, |at| at + 1);
            let raw =
                |from: usize, to, escaped| Raw { bytes: &self.query[from..to], at: from, escaped };
            return Some(Pair {
                name: raw(start, name, name_escaped),
                value: raw(value, end, value_escaped),
            });
        }
    }
}

impl<'a> Raw<'a> {
    /// Bytes that mean themselves.
    pub fn literal(bytes: &'a [u8]) -> Raw<'a> {
        Raw { bytes, at: 0, escaped: false }
    }

    /// The bytes as they were sent.
    pub fn sent(&self) -> &'a [u8] {
        self.bytes
    }

    /// Decodes; what must change is appended to `text`, at most as many bytes as were sent.
    ///
    /// # Errors
    /// [`BadPercent`] for the first `%` that two hex digits do not follow.
    #[inline]
    pub fn decode(&self, text: &mut Vec<u8>) -> Result<Span<'a>, BadPercent> {
        if self.escaped { self.unescape(text) } else { Ok(Span::Sent(self.bytes)) }
    }

    fn unescape(&self, text: &mut Vec<u8>) -> Result<Span<'a>, BadPercent> {
        let start = text.len();
        let mut rest = self.bytes;
        while let Some(next) = rest.iter().position(|b| matches!(b, b'%' | b'+')) {
            text.extend_from_slice(&rest[..next]);
            if rest[next] == b'+' {
                text.push(b' ');
                rest = &rest[next + 1..];
                continue;
            }
            let bad = BadPercent { at: self.at + self.bytes.len() - rest.len() + next };
            let (&[_, high, low], after) = rest[next..].split_first_chunk().ok_or(bad)?;
            text.push(digit(high).ok_or(bad)? << 4 | digit(low).ok_or(bad)?);
            rest = after;
        }
        text.extend_from_slice(rest);
        Ok(Span::Decoded { start: start as u32, len: (text.len() - start) as u32 })
    }
}

/// The value of a hex digit.
pub fn digit(hex: u8) -> Option<u8> {
    match hex {
        b'0'..=b'9' => Some(hex - b'0'),
        b'a'..=b'f' => Some(hex - b'a' + 10),
        b'A'..=b'F' => Some(hex - b'A' + 10),
        _ => None,
    }
}

impl<'a> Span<'a> {
    /// How many bytes there are.
    #[inline]
    #[allow(clippy::len_without_is_empty)] // Nobody asks.
    pub fn len(&self) -> usize {
        match *self {
            Span::Sent(bytes) => bytes.len(),
            Span::Decoded { len, .. } => len as usize,
        }
    }

    /// The bytes, given the text that they were decoded to.
    #[inline]
    pub fn of<'e>(&self, text: &'e [u8]) -> &'e [u8]
    where
        'a: 'e,
    {
        match *self {
            Span::Sent(bytes) => bytes,
            Span::Decoded { start, len } => &text[start as usize..][..len as usize],
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4000, ..ProptestConfig::default() })]

        #[test]
        fn parameters_are_what_a_split_at_each_separator_finds(query in "[a&=%+\u{e9}]{0,12}|[a-h&=%+\u{e9}]{0,90}") {
            let pieces = query.split('&').filter(|piece| !piece.is_empty()).map(|piece| {
                let at = piece.as_ptr() as usize - query.as_ptr() as usize;
                let (name, value) = piece.split_once('=').unwrap_or((piece, ""));
                let value_at = if piece.contains('=') { at + name.len() + 1 } else { at + name.len() };
                let raw = |text: &'_ str, at| (text.to_owned(), at, text.contains(['%', '+']));
                (raw(name, at), raw(value, value_at))
            });
            let found = pairs(query.as_bytes()).map(|Pair { name, value }| {
                let raw = |raw: Raw<'_>| {
                    (String::from_utf8(raw.bytes.to_vec()).unwrap(), raw.at, raw.escaped)
                };
                (raw(name), raw(value))
            });
            prop_assert_eq!(found.collect::<Vec<_>>(), pieces.collect::<Vec<_>>());
        }
    }
}
