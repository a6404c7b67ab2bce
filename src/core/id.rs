//! Who an event is: the ring file it was committed to, the stream there, its number in the stream.
//!
//! The three together are never used twice, whatever dies: so they are the receipt a client may get, the Kafka header
//! `sg`, and what a consumer drops duplicates by.

use std::fmt::{self, Write};
use std::str::FromStr;

use crate::digits;

/// A ring file's uuid, drawn when it is made. As text 32 lower-case hex digits, so that `-` can join an [`EventId`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Region(pub u128);

/// A slot of a region, from 0. It outlives its writers: who holds the slot's lock goes on where the last one stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Stream(pub u16);

/// A record's number in its stream: 1, 2, 3 ... without a legal hole. 0 stands before the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Seq(pub u64);

/// One event's name in the world, as text `region-stream-seq`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventId {
    /// The ring file.
    pub region: Region,
    /// The stream in it.
    pub stream: Stream,
    /// The number in the stream.
    pub seq: Seq,
}

/// A text that is no event's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not an event's id, it must be 32 hex digits, a stream below 65536 and a number, joined by \"-\""
)]
pub struct NotAnId;

impl Seq {
    /// The number after this one. No stream comes to the last of all; a broken file may name it.
    pub fn next(self) -> Seq {
        Seq(self.0.saturating_add(1))
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Region({self})")
    }
}

impl FromStr for Region {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Region, NotAnId> {
        let digits = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if text.len() != 32 || !text.bytes().all(digits) {
            return Err(NotAnId);
        }
        u128::from_str_radix(text, 16).map(Region).map_err(|_| NotAnId)
    }
}

impl fmt::Display for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.text().bytes() {
            f.write_char((*byte).into())?;
        }
        Ok(())
    }
}

impl FromStr for EventId {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<EventId, NotAnId> {
        let mut parts = text.split('-');
        let (Some(region), Some(stream), Some(seq), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(NotAnId);
        };
        Ok(EventId {
            region: region.parse()?,
            stream: Stream(stream.parse().map_err(|_| NotAnId)?),
            seq: Seq(seq.parse().map_err(|_| NotAnId)?),
        })
    }
}

/// An event's id as text, without an allocation.
#[derive(Clone, Copy, Debug)]
pub struct IdText {
    bytes: [u8; IdText::LONGEST],
    len: usize,
}

impl IdText {
    /// 32 digits of region, 5 of stream, 20 of seq, two `-`.
    const LONGEST: usize = 59;

    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl EventId {
    /// Its text, as [`fmt::Display`] writes it.
    pub fn text(self) -> IdText {
        let mut text = IdText { bytes: [b'-'; IdText::LONGEST], len: 0 };
        for (two, byte) in text.bytes.chunks_exact_mut(2).zip(self.region.0.to_be_bytes()) {
            for (digit, half) in two.iter_mut().zip([byte >> 4, byte & 15]) {
                *digit = digits::HEX[usize::from(half)].to_ascii_lowercase();
            }
        }
        text.len = 32;
        for number in [u64::from(self.stream.0), self.seq.0] {
            // A `-` stands there already.
            let start = text.len + 1;
            let mut space = [0; 20];
            let digits = digits::decimal(number, &mut space);
            text.len = start + digits.len();
            text.bytes[start..text.len].copy_from_slice(digits);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_id_has_room() {
        let id =
            EventId { region: Region(u128::MAX), stream: Stream(u16::MAX), seq: Seq(u64::MAX) };
        assert_eq!(id.to_string(), "f".repeat(32) + "-65535-18446744073709551615");
        assert_eq!(id.text().bytes().len(), IdText::LONGEST);
    }

    #[test]
    fn an_id_reads_back_from_its_text_and_nothing_else_does() {
        let id = EventId { region: Region(0xABC), stream: Stream(7), seq: Seq(12) };
        assert_eq!(id.to_string(), "00000000000000000000000000000abc-7-12");
        assert_eq!(id.to_string().parse(), Ok(id));
        for bad in [
            "",
            "abc-7-12",
            "00000000000000000000000000000abc-7",
            "00000000000000000000000000000ABC-7-12",
            "00000000000000000000000000000abc-70000-1",
            "00000000000000000000000000000abc-7-12-1",
        ] {
            assert_eq!(bad.parse::<EventId>(), Err(NotAnId), "{bad}");
        }
    }
}
