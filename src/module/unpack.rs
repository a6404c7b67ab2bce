//! A body as it was before its client compressed it.
//!
//! This blocks the worker for as long as inflating takes, and both ends of that are bounded: what goes in by nginx's
//! `client_max_body_size`, what comes out by `sparkngin_limits`.

use sparkngin_core::event::batch::Framing;
use sparkngin_core::inflate::{self, Coding, NotInflated, looks_like_gzip};

use crate::request::Incoming;

/// The memory that is kept from body to body, bytes.
const KEPT: usize = 256 << 10;

/// Why a body cannot be read.
#[derive(Debug)]
pub enum Packed {
    /// Its coding is none of ours, or there are several.
    Unknown,
    /// It is not what its coding, or its beginning, says.
    Bad(Coding, String),
    /// It holds more than this.
    TooLarge(usize),
    /// It holds more than this, which is what so many bytes may become by `ratio=`.
    Steep {
        /// What it may hold.
        cap: usize,
        /// So many came ...
        bytes: usize,
        /// ... and may become as many times that; a little always.
        ratio: usize,
    },
}

/// How a body is compressed. Without the header gzip is known by its first bytes, where the type is one whose content
/// we look at: no JSON and no text begins like that, while a file that somebody wants to be stored may.
pub fn coding(
    incoming: &Incoming<'_>,
    content_type: Option<&[u8]>,
    body: &[u8],
) -> Result<Option<Coding>, Packed> {
    let (mut found, mut told) = (None, false);
    for word in incoming.content_encoding().flat_map(|value| value.split(|byte| *byte == b',')) {
        let word = word.trim_ascii();
        told = told || !word.is_empty();
        if word.is_empty() || word.eq_ignore_ascii_case(b"identity") {
            continue;
        }
        if found.replace(Coding::of(word).ok_or(Packed::Unknown)?).is_some() {
            return Err(Packed::Unknown);
        }
    }
    let looks = !told && looks_like_gzip(body) && Framing::may_be(content_type);
    Ok(found.or(looks.then_some(Coding::Gzip)))
}

/// Inflates a body into `out`: at most `limit` bytes, and not more than `ratio` times as many as came.
pub fn unpack<'a>(
    coding: Coding,
    body: &[u8],
    limit: usize,
    ratio: usize,
    out: &'a mut Vec<u8>,
) -> Result<&'a [u8], Packed> {
    out.clear();
    out.shrink_to(KEPT);
    let cap = inflate::cap(body.len(), limit, ratio);
    match inflate::inflate(coding, body, cap, out) {
        Ok(()) => Ok(out),
        Err(NotInflated::TooLarge { cap }) if cap < limit => {
            Err(Packed::Steep { cap, bytes: body.len(), ratio })
        }
        Err(NotInflated::TooLarge { cap }) => Err(Packed::TooLarge(cap)),
        Err(NotInflated::Bad(why)) => Err(Packed::Bad(coding, why)),
    }
}
