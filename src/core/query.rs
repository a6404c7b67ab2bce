//! A query string: its parameters, found in one pass, decoded only where they must be.
//!
//! `name=value` joined by `&`. A piece without `=` is a name with an empty value; an empty piece is none. `+` is a space,
//! `%HH` a byte; both in names too.

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
    at: usize,
}

/// The parameters of a query, in order.
pub fn pairs(query: &[u8]) -> Pairs<'_> {
    Pairs { query, at: 0 }
}

impl<'a> Iterator for Pairs<'a> {
    type Item = Pair<'a>;

    fn next(&mut self) -> Option<Pair<'a>> {
        while self.query.get(self.at) == Some(&b'&') {
            self.at += 1;
        }
        let start = self.at;
        let rest = self.query.get(start..).filter(|rest| !rest.is_empty())?;
        let (mut equals, mut name_escaped, mut value_escaped, mut end) =
            (None, false, false, rest.len());
        for (at, byte) in rest.iter().enumerate() {
            match byte {
                b'&' => {
                    end = at;
                    break;
                }
                b'=' if equals.is_none() => equals = Some(at),
                b'%' | b'+' if equals.is_none() => name_escaped = true,
                b'%' | b'+' => value_escaped = true,
                _ => {}
            }
        }
        self.at = start + end;
        let name = equals.unwrap_or(end);
        let value = equals.map_or(end, |at| at + 1);
        Some(Pair {
            name: Raw { bytes: &rest[..name], at: start, escaped: name_escaped },
            value: Raw { bytes: &rest[value..end], at: start + value, escaped: value_escaped },
        })
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
    pub fn decode(&self, text: &mut Vec<u8>) -> Result<Span<'a>, BadPercent> {
        if !self.escaped {
            return Ok(Span::Sent(self.bytes));
        }
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
