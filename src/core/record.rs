//! A record: what a worker writes for one event, and what a subscriber gets, byte for byte.
//!
//! ```text
//!   0         4         8            16               24         24 + n      (little endian, 8-aligned)
//!   | len u32 | crc u32 | seq u64    | receipt ns u64 | n bytes  | zeros     |
//! ```
//!
//! `len` is 24 + n. The CRC32C goes over region (16 bytes, little endian), stream (u32), `len` (u32), then all after the
//! crc up to `len`; together with the expected seq no bytes of an earlier tenancy pass. A subscriber checks the same
//! CRC: one sum from the worker's memory to Kafka.

use crate::id::{Region, Seq, Stream};

/// Bytes before the payload.
pub const HEADER: usize = 24;
/// Where in a record the time of receipt stands.
pub const RECEIVED: usize = 16;

/// One record, borrowed from where it lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Its number in its stream.
    pub seq: Seq,
    /// When the request was received, ns since 1970.
    pub received: u64,
    /// The event, as `format::binary` wrote it.
    pub bytes: &'a [u8],
}

/// The CRC of region and stream, where every record of that stream goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seed(u32);

/// Bytes that are not the record expected here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Torn {
    /// The length leads beyond the bytes there are, or is below the header's.
    #[error("a record's length does not fit where it lies")]
    Length,
    /// Another number stands where the next one of the stream should.
    #[error("a record has another number than the one expected")]
    Seq,
    /// The sum is wrong.
    #[error("a record fails its checksum")]
    Crc,
}

impl Seed {
    /// The seed of one stream's records.
    pub fn new(region: Region, stream: Stream) -> Seed {
        let crc = crc32c::crc32c(&region.0.to_le_bytes());
        Seed(crc32c::crc32c_append(crc, &u32::from(stream.0).to_le_bytes()))
    }

    /// The seed as a number: `crc32c(region, stream)`, which also picks the partition of records without a key.
    pub fn value(self) -> u32 {
        self.0
    }

    fn crc(self, len: u32, after: &[u8]) -> u32 {
        crc32c::crc32c_append(crc32c::crc32c_append(self.0, &len.to_le_bytes()), after)
    }
}

/// Bytes that a record with a payload of `payload` bytes takes, a multiple of 8.
pub const fn size(payload: usize) -> usize {
    (HEADER + payload).next_multiple_of(8)
}

/// Appends one record to `out`.
pub fn write(seed: Seed, record: Record<'_>, out: &mut Vec<u8>) {
    let start = out.len();
    let len = (HEADER + record.bytes.len()) as u32;
    out.reserve(size(record.bytes.len()));
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&record.seq.0.to_le_bytes());
    out.extend_from_slice(&record.received.to_le_bytes());
    out.extend_from_slice(record.bytes);
    let crc = seed.crc(len, &out[start + 8..]);
    out[start + 4..start + 8].copy_from_slice(&crc.to_le_bytes());
    out.resize(start + size(record.bytes.len()), 0);
}

/// Reads the record at the start of `from`, which must be `expected`; also gives the bytes up to the next one.
///
/// # Errors
/// [`Torn`], when these bytes are not that record of that stream, whole.
pub fn read(seed: Seed, expected: Seq, from: &[u8]) -> Result<(Record<'_>, usize), Torn> {
    let (record, step, crc) = open(expected, from)?;
    let len = HEADER + record.bytes.len();
    if seed.crc(len as u32, &from[8..len]) != crc {
        return Err(Torn::Crc);
    }
    Ok((record, step))
}

/// Reads a record that [`read`] has read before: its sum is not looked at again.
///
/// # Errors
/// [`Torn`], when these bytes are not that record's.
pub fn read_again(expected: Seq, from: &[u8]) -> Result<Record<'_>, Torn> {
    open(expected, from).map(|(record, _, _)| record)
}

/// A record, the bytes up to the next one, and the sum that it should have.
fn open(expected: Seq, from: &[u8]) -> Result<(Record<'_>, usize, u32), Torn> {
    let word = |at: usize| {
        from.get(at..at + 8)
            .and_then(|b| b.try_into().ok())
            .map(u64::from_le_bytes)
            .ok_or(Torn::Length)
    };
    let (head, seq, received) = (word(0)?, word(8)?, word(16)?);
    let (len, crc) = (head as u32, (head >> 32) as u32);
    let Some(step) = (len as usize).checked_next_multiple_of(8) else { return Err(Torn::Length) };
    if (len as usize) < HEADER || step > from.len() {
        return Err(Torn::Length);
    }
    if seq != expected.0 {
        return Err(Torn::Seq);
    }
    Ok((Record { seq: expected, received, bytes: &from[HEADER..len as usize] }, step, crc))
}

/// A run of records of one stream, in order, without a hole; each is checked as it is taken.
#[derive(Clone, Debug)]
pub struct Slice<'a> {
    seed: Seed,
    next: Seq,
    rest: &'a [u8],
}

impl<'a> Slice<'a> {
    /// The records in `bytes`, of which the first has the number `first`.
    pub fn new(seed: Seed, first: Seq, bytes: &'a [u8]) -> Slice<'a> {
        Slice { seed, next: first, rest: bytes }
    }

    /// The bytes not yet taken: after an error, those that were not believed.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

impl<'a> Iterator for Slice<'a> {
    type Item = Result<Record<'a>, Torn>;

    /// The next record. After a [`Torn`] the same bytes are still there: stop.
    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        Some(read(self.seed, self.next, self.rest).map(|(record, step)| {
            self.next = self.next.next();
            self.rest = &self.rest[step..];
            record
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn three() -> (Seed, Vec<u8>) {
        let seed = Seed::new(Region(1), Stream(2));
        let mut out = Vec::new();
        for (seq, bytes) in [(5, &b""[..]), (6, b"1234567"), (7, b"12345678")] {
            write(seed, Record { seq: Seq(seq), received: 9, bytes }, &mut out);
        }
        (seed, out)
    }

    #[test]
    fn records_read_back_in_order() {
        let (seed, out) = three();
        assert_eq!(out.len(), 24 + 32 + 32);
        let all: Result<Vec<_>, _> = Slice::new(seed, Seq(5), &out).collect();
        let lengths: Vec<_> = all.unwrap().iter().map(|r| (r.seq.0, r.bytes.len())).collect();
        assert_eq!(lengths, [(5, 0), (6, 7), (7, 8)]);
    }

    #[test]
    fn any_changed_bit_of_what_counts_is_seen() {
        let (seed, out) = three();
        for bit in 0..24 * 8 {
            let mut torn = out.clone();
            torn[bit / 8] ^= 1 << (bit % 8);
            assert!(Slice::new(seed, Seq(5), &torn).next().unwrap().is_err(), "bit {bit}");
        }
    }

    #[test]
    fn what_was_read_is_read_again_without_its_sum() {
        let (seed, mut out) = three();
        let (record, _) = read(seed, Seq(5), &out).unwrap();
        assert_eq!(read_again(Seq(5), &out), Ok(record));
        out[4] ^= 1;
        assert_eq!(
            (read(seed, Seq(5), &out), read_again(Seq(5), &out).is_ok()),
            (Err(Torn::Crc), true)
        );
        assert_eq!(read_again(Seq(6), &out), Err(Torn::Seq));
        assert_eq!(read_again(Seq(5), &out[..16]), Err(Torn::Length));
    }

    #[test]
    fn another_streams_or_another_regions_record_is_torn() {
        let (_, out) = three();
        for (region, stream) in [(1, 3), (2, 2)] {
            let seed = Seed::new(Region(region), Stream(stream));
            assert_eq!(read(seed, Seq(5), &out), Err(Torn::Crc));
        }
        assert_eq!(read(Seed::new(Region(1), Stream(2)), Seq(6), &out), Err(Torn::Seq));
        assert_eq!(read(Seed::new(Region(1), Stream(2)), Seq(5), &out[..16]), Err(Torn::Length));
    }
}
