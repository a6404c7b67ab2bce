//! Client bytes, shown to people in error bodies and in error.log; and the search for bytes that a text cannot hold.

use std::fmt::{self, Write};

use crate::digits::HEX;
use crate::lanes::{self, LANES};

/// The most client bytes that a message shows.
pub const SHOWN: usize = 64;

/// Displays bytes as printable ASCII, all others (and `"` and `\`) as `\xHH`; at most [`SHOWN`] of them, then `...`.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a>(pub &'a [u8]);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for &byte in self.0.iter().take(SHOWN) {
            if matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\' {
                f.write_char(byte.into())?;
            } else {
                let [_, _, high, low] = hex(byte);
                write!(f, "\\x{}{}", char::from(high), char::from(low))?;
            }
        }
        if self.0.len() > SHOWN { f.write_str("...") } else { Ok(()) }
    }
}

/// A byte as the four characters `\xHH`.
pub fn hex(byte: u8) -> [u8; 4] {
    [b'\\', b'x', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]
}

/// The place of the first control character (below 20 hex) or byte of `these`, found thirty-two bytes at a time.
#[inline]
pub(crate) fn find<const N: usize>(text: &[u8], these: [u8; N]) -> Option<usize> {
    let twice = text.chunks_exact(2 * LANES);
    let rest = twice.remainder();
    for (at, both) in twice.enumerate() {
        let (Some(first), Some(last)) = (both.first_chunk(), both.last_chunk()) else { break };
        let marks =
            lanes::among_or_control(first, these) | lanes::among_or_control(last, these) << LANES;
        if marks != 0 {
            return Some(2 * LANES * at + marks.trailing_zeros() as usize);
        }
    }
    let before = text.len() - rest.len();
    let mut last = rest;
    if let Some((sixteen, after)) = rest.split_first_chunk() {
        let marks = lanes::among_or_control(sixteen, these);
        if marks != 0 {
            return Some(before + marks.trailing_zeros() as usize);
        }
        last = after;
    }
    let is = |byte: &u8| *byte < 0x20 || these.contains(byte);
    last.iter().position(is).map(|at| text.len() - last.len() + at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_printable_ascii_without_quotes() {
        let all: Vec<u8> = (0..=255).collect();
        for byte in &all {
            let shown = Shown(&[*byte]).to_string();
            assert!(shown.bytes().all(|b| matches!(b, b' '..=b'~') && b != b'"'), "{shown}");
        }
        assert_eq!(Shown(b"a\"\\\0\xFFz").to_string(), r"a\x22\x5C\x00\xFFz");
    }

    #[test]
    fn the_first_of_what_is_sought_is_found() {
        let all: Vec<u8> = (0..=255).collect();
        for byte in &all {
            for before in 0..40 {
                for (filler, after) in [(b'a', 0), (0x80, 9), (b'!', 3), (0xFF, 20), (b' ', 8)] {
                    let mut text = vec![filler; before + 1 + after];
                    text[before] = *byte;
                    let wanted = (*byte < 32 || b"\"\\".contains(byte)).then_some(before);
                    assert_eq!(find(&text, [b'"', b'\\']), wanted, "{text:?}");
                }
            }
        }
        assert_eq!(find(b"abcdefg\x20\x1F\"\x00hijkl", [b'"']), Some(8));
        assert_eq!(find(b"", [b'"']), None);
    }

    #[test]
    fn at_most_64_bytes_are_shown() {
        assert_eq!(Shown(&[b'a'; 64]).to_string(), "a".repeat(64));
        assert_eq!(Shown(&[b'a'; 65]).to_string(), "a".repeat(64) + "...");
        assert_eq!(Shown(&[0; 900]).to_string(), r"\x00".repeat(64) + "...");
    }
}
