//! Gzip: live messages are compressed with it; what is inflated is inflated up to a cap, since few bytes can hold many.

use std::io::{self, Read, Write};

use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;

/// Why bytes were not inflated.
#[derive(Debug, thiserror::Error)]
pub enum NotInflated {
    /// There is more in them than was allowed.
    #[error("the gzip data holds more than {cap} bytes")]
    TooLarge {
        /// What was allowed.
        cap: usize,
    },
    /// They are not gzip, or cut off, or their checksum is wrong.
    #[error("not whole gzip data: {0}")]
    Bad(io::Error),
}

/// Appends the bytes, compressed, as one gzip member without a name and without a time.
pub fn compress(bytes: &[u8], out: &mut Vec<u8>) {
    let mut encoder = GzEncoder::new(out, Compression::fast());
    // Writing to memory cannot fail.
    let _ = encoder.write_all(bytes).and_then(|()| encoder.finish().map(|_| ()));
}

/// Inflates all members, up to `cap` bytes together. It allocates no more than about twice of what is really there.
///
/// # Errors
/// [`NotInflated`].
pub fn inflate(bytes: &[u8], cap: usize) -> Result<Vec<u8>, NotInflated> {
    let mut out = Vec::with_capacity(cap.min(bytes.len().saturating_mul(2)));
    let limit = (cap as u64).saturating_add(1);
    MultiGzDecoder::new(bytes).take(limit).read_to_end(&mut out).map_err(NotInflated::Bad)?;
    if out.len() > cap { Err(NotInflated::TooLarge { cap }) } else { Ok(out) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        compress(bytes, &mut out);
        out
    }

    #[test]
    fn what_was_compressed_inflates_again() {
        for bytes in [&b""[..], b"x", &[7; 100_000]] {
            assert_eq!(inflate(&packed(bytes), bytes.len()).unwrap(), bytes);
        }
    }

    #[test]
    fn a_bomb_stops_at_the_cap() {
        let bomb = packed(&vec![0; 50_000_000]);
        assert!(bomb.len() < 1_000_000);
        assert!(matches!(inflate(&bomb, 1000), Err(NotInflated::TooLarge { cap: 1000 })));
        assert!(matches!(inflate(&packed(b"12345"), 4), Err(NotInflated::TooLarge { cap: 4 })));
    }

    #[test]
    fn members_in_a_row_are_one_text() {
        let two = [packed(b"one, "), packed(b"two")].concat();
        assert_eq!(inflate(&two, 8).unwrap(), b"one, two");
        assert!(matches!(inflate(&two, 7), Err(NotInflated::TooLarge { .. })));
    }

    #[test]
    fn what_is_cut_off_or_changed_is_bad() {
        let whole = packed(b"some text that is long enough, long enough, long enough");
        for end in 0..whole.len() {
            assert!(matches!(inflate(&whole[..end], 1000), Err(NotInflated::Bad(_))), "{end}");
        }
        let mut changed = whole.clone();
        let crc = changed.len() - 8;
        changed[crc] ^= 1;
        assert!(matches!(inflate(&changed, 1000), Err(NotInflated::Bad(_))));
    }
}
