//! Client bytes, shown to people: in error bodies and in error.log.

use std::fmt::{self, Write};

/// The most client bytes that a message shows.
pub const SHOWN: usize = 64;

const HEX: &[u8; 16] = b"0123456789ABCDEF";

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
    fn at_most_64_bytes_are_shown() {
        assert_eq!(Shown(&[b'a'; 64]).to_string(), "a".repeat(64));
        assert_eq!(Shown(&[b'a'; 65]).to_string(), "a".repeat(64) + "...");
        assert_eq!(Shown(&[0; 900]).to_string(), r"\x00".repeat(64) + "...");
    }
}
