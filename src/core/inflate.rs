//! Bodies that came compressed: as they were before, up to a cap, since few bytes can hold many.

use std::io::{self, Read};

use flate2::bufread::GzDecoder;
use flate2::{Decompress, FlushDecompress, Status};
use zstd_safe::zstd_sys::ZSTD_ErrorCode;
use zstd_safe::{DCtx, find_frame_compressed_size, get_error_name};

/// Whatever was sent, this much may come of it.
pub const ALWAYS: usize = 64 << 10;

/// Members of gzip in a row: each costs some microseconds, and may be of 20 bytes.
const MOST_MEMBERS: usize = 1000;

/// How bytes are compressed, as `Content-Encoding` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// RFC 1952, one member or several.
    Gzip,
    /// RFC 1950, or RFC 1951 as some senders understand the name.
    Deflate,
    /// RFC 8878, one frame or several.
    Zstd,
}

/// Those there are, as `Accept-Encoding` lists them.
pub const CODINGS: &str = "gzip, deflate, zstd";

/// Why bytes were not inflated.
#[derive(Debug, thiserror::Error)]
pub enum NotInflated {
    /// There is more in them than was allowed.
    #[error("there are more than {cap} bytes in it")]
    TooLarge {
        /// What was allowed.
        cap: usize,
    },
    /// They are something else, or cut off, or a checksum is wrong, or something follows.
    #[error("{0}")]
    Bad(String),
}

impl Coding {
    /// The coding of this name.
    pub fn of(name: &[u8]) -> Option<Coding> {
        let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
        match () {
            () if is("gzip") || is("x-gzip") => Some(Coding::Gzip),
            () if is("deflate") => Some(Coding::Deflate),
            () if is("zstd") => Some(Coding::Zstd),
            () => None,
        }
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Coding::Gzip => "gzip",
            Coding::Deflate => "deflate",
            Coding::Zstd => "zstd",
        }
    }
}

/// Whether bytes begin as gzip does, which no text and no JSON do.
pub fn looks_like_gzip(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0x1F, 0x8B, 8])
}

/// How much may come of so many bytes: `cap`, and no more than `ratio` times as many, though a little always.
pub fn cap(bytes: usize, cap: usize, ratio: usize) -> usize {
    cap.min(bytes.saturating_mul(ratio).max(ALWAYS))
}

/// Inflates all of `bytes` into `out`, which is emptied before; at most `cap` bytes. No more memory than that is touched, and
/// about 150 KB besides.
///
/// # Errors
/// [`NotInflated`]; what `out` holds then is worth nothing.
pub fn inflate(
    coding: Coding,
    bytes: &[u8],
    cap: usize,
    out: &mut Vec<u8>,
) -> Result<(), NotInflated> {
    match coding {
        Coding::Gzip => members(bytes, cap, out),
        Coding::Zstd => frames(bytes, cap, out),
        Coding::Deflate if is_zlib(bytes) => match stream(true, bytes, cap, out) {
            // A deflate stream may happen to begin as zlib does.
            Err(NotInflated::Bad(why)) => {
                stream(false, bytes, cap, out).map_err(|_| NotInflated::Bad(why))
            }
            done => done,
        },
        Coding::Deflate => stream(false, bytes, cap, out),
    }
}

/// Two bytes that a multiple of 31 ends, of which the first says deflate.
fn is_zlib(bytes: &[u8]) -> bool {
    match bytes {
        [first, second, ..] => {
            first & 0x0F == 8 && (u16::from(*first) << 8 | u16::from(*second)) % 31 == 0
        }
        _ => false,
    }
}

fn members(bytes: &[u8], cap: usize, out: &mut Vec<u8>) -> Result<(), NotInflated> {
    out.clear();
    let bad = |error: io::Error| match error.kind() {
        io::ErrorKind::UnexpectedEof => NotInflated::Bad("it is cut off".to_owned()),
        _ => NotInflated::Bad(error.to_string()),
    };
    let mut rest = bytes;
    for _ in 0..MOST_MEMBERS {
        let room = (cap as u64).saturating_add(1) - out.len() as u64;
        let mut member = GzDecoder::new(rest).take(room);
        member.read_to_end(out).map_err(bad)?;
        if out.len() > cap {
            return Err(NotInflated::TooLarge { cap });
        }
        rest = member.into_inner().into_inner();
        match rest {
            [] => return Ok(()),
            [0x1F, 0x8B, ..] => {}
            more => return Err(behind(more.len())),
        }
    }
    Err(NotInflated::Bad(format!("it has more than {MOST_MEMBERS} members")))
}

fn behind(bytes: usize) -> NotInflated {
    NotInflated::Bad(match bytes {
        1 => "1 byte follows its end".to_owned(),
        bytes => format!("{bytes} bytes follow its end"),
    })
}

/// One stream of deflate, with the head and the checksum of zlib or bare. (flate2's readers take one that is cut off for
/// one that has ended.)
fn stream(zlib: bool, bytes: &[u8], cap: usize, out: &mut Vec<u8>) -> Result<(), NotInflated> {
    out.clear();
    let mut inflater = Decompress::new(zlib);
    loop {
        if out.len() == out.capacity() {
            let more = out.len().max(4096).min(cap + 1 - out.len());
            out.reserve_exact(more);
        }
        let rest = bytes.get(inflater.total_in() as usize..).unwrap_or_default();
        let status = inflater.decompress_vec(rest, out, FlushDecompress::None);
        let damaged = |_| NotInflated::Bad("it is damaged, or needs a dictionary".to_owned());
        let status = status.map_err(damaged)?;
        let rest = bytes.len().saturating_sub(inflater.total_in() as usize);
        match status {
            _ if out.len() > cap => return Err(NotInflated::TooLarge { cap }),
            Status::StreamEnd if rest == 0 => return Ok(()),
            Status::StreamEnd => return Err(behind(rest)),
            _ if rest == 0 && out.len() < out.capacity() => {
                // Without zlib's head nothing at the beginning tells what it is.
                let why = if zlib { "it is cut off" } else { "it is cut off, or something else" };
                return Err(NotInflated::Bad(why.to_owned()));
            }
            Status::Ok | Status::BufError => {}
        }
    }
}

/// Inflates frames in one pass, so that none needs a window of its own: a frame may ask for gigabytes.
fn frames(bytes: &[u8], cap: usize, out: &mut Vec<u8>) -> Result<(), NotInflated> {
    let no_memory = || NotInflated::Bad("there is no memory".to_owned());
    out.clear();
    if !matches!(bytes, [] | [0x28, 0xB5, 0x2F, 0xFD, ..] | [0x50..=0x5F, 0x2A, 0x4D, 0x18, ..]) {
        return Err(NotInflated::Bad("it does not begin as zstd does".to_owned()));
    }
    if !only_frames(bytes) {
        return Err(NotInflated::Bad("it is cut off, or more than frames".to_owned()));
    }
    out.try_reserve_exact(cap).map_err(|_| no_memory())?;
    out.resize(cap, 0);
    let mut context = DCtx::try_create().ok_or_else(no_memory)?;
    match context.decompress(&mut out[..], bytes) {
        Ok(length) => {
            out.truncate(length);
            Ok(())
        }
        // Its errors are negative numbers.
        Err(code)
            if code.wrapping_neg() == ZSTD_ErrorCode::ZSTD_error_dstSize_tooSmall as usize =>
        {
            Err(NotInflated::TooLarge { cap })
        }
        Err(code) => Err(NotInflated::Bad(get_error_name(code).to_ascii_lowercase())),
    }
}

/// Whether there is nothing but frames of the format's first version, and such as are skipped: the library reads those of
/// the years before, too, by code that nobody needs.
fn only_frames(mut rest: &[u8]) -> bool {
    while !rest.is_empty() {
        let known =
            matches!(rest, [0x28, 0xB5, 0x2F, 0xFD, ..] | [0x50..=0x5F, 0x2A, 0x4D, 0x18, ..]);
        match find_frame_compressed_size(rest) {
            Ok(size) if known && size > 0 && size <= rest.len() => rest = &rest[size..],
            _ => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn zlib(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn deflate(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(bytes: &[u8]) -> Vec<u8> {
        let mut out = vec![0; zstd_safe::compress_bound(bytes.len())];
        let mut context = zstd_safe::CCtx::create();
        context.set_parameter(zstd_safe::CParameter::ChecksumFlag(true)).unwrap();
        let length = context.compress2(&mut out[..], bytes).unwrap();
        out.truncate(length);
        out
    }

    type Pack = fn(&[u8]) -> Vec<u8>;
    const ALL: [(Coding, Pack); 4] = [
        (Coding::Gzip, gzip),
        (Coding::Deflate, zlib),
        (Coding::Deflate, deflate),
        (Coding::Zstd, zstd),
    ];

    fn inflated(coding: Coding, bytes: &[u8], cap: usize) -> Result<Vec<u8>, NotInflated> {
        let mut out = b"left by another".to_vec();
        inflate(coding, bytes, cap, &mut out).map(|()| out)
    }

    #[test]
    fn what_was_compressed_inflates_again_up_to_the_cap_and_no_further() {
        for (coding, pack) in ALL {
            for text in [&b""[..], b"x", b"some text, some text", &[7; 100_000]] {
                let packed = pack(text);
                assert_eq!(inflated(coding, &packed, text.len()).unwrap(), text, "{coding:?}");
                if let Some(less) = text.len().checked_sub(1) {
                    let error = inflated(coding, &packed, less).unwrap_err();
                    assert!(
                        matches!(error, NotInflated::TooLarge { cap } if cap == less),
                        "{error}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_bomb_is_told_and_takes_no_more_memory_than_the_cap() {
        for (coding, pack) in ALL {
            let bomb = pack(&vec![0; 50_000_000]);
            assert!(bomb.len() < 100_000);
            let mut out = Vec::new();
            let error = inflate(coding, &bomb, 100_000, &mut out).unwrap_err();
            assert!(matches!(error, NotInflated::TooLarge { cap: 100_000 }), "{coding:?}: {error}");
            assert!(out.capacity() <= 300_000, "{coding:?}: {}", out.capacity());
        }
    }

    #[test]
    fn what_is_cut_off_or_changed_or_followed_by_something_is_bad() {
        let text =
            b"some text that is long enough, long enough, long enough, and not one byte more";
        for (coding, pack) in ALL {
            let whole = pack(text);
            for end in 0..whole.len() {
                // No byte at all is no frame of zstd, which is nothing.
                if end == 0 && coding == Coding::Zstd {
                    continue;
                }
                let error = inflated(coding, &whole[..end], 1000).unwrap_err();
                assert!(matches!(error, NotInflated::Bad(_)), "{coding:?} {end}: {error}");
            }
            for garbage in [&b"x"[..], b"\0\0\0\0", b"garbage that is longer than a header"] {
                let more = [&whole[..], garbage].concat();
                let error = inflated(coding, &more, 1000).unwrap_err();
                assert!(matches!(error, NotInflated::Bad(_)), "{coding:?} {garbage:?}: {error}");
                if coding == Coding::Gzip {
                    let (n, s) = (garbage.len(), if garbage.len() == 1 { "" } else { "s" });
                    let verb = if n == 1 { "follows" } else { "follow" };
                    assert_eq!(error.to_string(), format!("{n} byte{s} {verb} its end"));
                }
            }
        }
        for (coding, pack) in [ALL[0], ALL[1], ALL[3]] {
            let mut changed = pack(text);
            let at = changed.len() - if coding == Coding::Gzip { 8 } else { 1 };
            changed[at] ^= 1;
            assert!(inflated(coding, &changed, 1000).is_err(), "{coding:?} has a checksum");
        }
    }

    #[test]
    fn what_was_never_compressed_so_is_not_said_to_be_cut_off() {
        let said = |coding| inflated(coding, b"{\"a\":1}", 1000).unwrap_err().to_string();
        assert_eq!(said(Coding::Zstd), "it does not begin as zstd does");
        assert_eq!(said(Coding::Deflate), "it is cut off, or something else");
    }

    #[test]
    fn members_and_frames_in_a_row_are_one_text() {
        for (coding, pack) in [ALL[0], ALL[3]] {
            let two = [pack(b"one, "), pack(b""), pack(b"two")].concat();
            assert_eq!(inflated(coding, &two, 8).unwrap(), b"one, two");
            assert!(matches!(inflated(coding, &two, 7), Err(NotInflated::TooLarge { .. })));
        }
    }

    #[test]
    fn a_body_is_not_a_thousand_times_begun_again() {
        let text = gzip(b"x").repeat(MOST_MEMBERS);
        assert_eq!(inflated(Coding::Gzip, &text, 2000).unwrap().len(), MOST_MEMBERS);
        let error = inflated(Coding::Gzip, &[text, gzip(b"")].concat(), 2000).unwrap_err();
        assert_eq!(error.to_string(), "it has more than 1000 members");
    }

    #[test]
    fn little_may_always_grow_and_much_by_the_ratio() {
        assert_eq!(cap(10, 1 << 20, 100), ALWAYS);
        assert_eq!(cap(1000, 1 << 20, 100), 100_000);
        assert_eq!(cap(100_000, 1 << 20, 100), 1 << 20);
        assert_eq!(cap(10, 1000, 100), 1000);
    }

    #[test]
    fn a_coding_is_known_by_its_name_and_gzip_by_its_first_bytes() {
        for (name, coding) in [
            ("gzip", Some(Coding::Gzip)),
            ("X-GZip", Some(Coding::Gzip)),
            ("deflate", Some(Coding::Deflate)),
            ("ZSTD", Some(Coding::Zstd)),
            ("br", None),
            ("identity", None),
            ("", None),
        ] {
            assert_eq!(Coding::of(name.as_bytes()), coding, "{name}");
        }
        assert!(looks_like_gzip(&gzip(b"")));
        assert!(!looks_like_gzip(b"\x1F\x8B"));
        assert!(!looks_like_gzip(b"{}"));
    }
}
