//! A ring's own word on each of its streams: how far the subscriber is, what the way there was, what is still there.

use std::path::Path;

use sparkngin_core::id::{Seq, Stream};
use sparkngin_core::ring::{Looker, Name, Next, Ring};

use super::books::{Books, RingStream};

/// Bytes looked at in one go.
const ROOM: usize = 1 << 20;

/// Adds every ring of a directory to the books.
///
/// # Errors
/// A sentence: no ring is there, one cannot be read, or none of them knows the subscriber.
pub fn add(dir: &Path, name: &Name, books: &mut Books) -> Result<(), String> {
    let rings = Ring::open_all(dir).map_err(|error| error.to_string())?;
    let mut known = false;
    for ring in rings {
        let region = ring.region();
        let mut looker = Looker::new(ring);
        let streams: Vec<Stream> = looker.ring().view().streams().collect();
        for stream in streams {
            if let Some(said) = said(&mut looker, name, stream) {
                known = true;
                books.ring((region, stream), said);
            }
        }
    }
    if known {
        return Ok(());
    }
    Err(format!("no ring in {} ever had a subscriber \"{}\"", dir.display(), name.as_str()))
}

/// One stream; nothing for a name that never had a place.
fn said(looker: &mut Looker, name: &Name, stream: Stream) -> Option<RingStream> {
    // The cursor first: what it passes later is only taken for something in the ring.
    let cursor = looker.cursor(name, stream)?;
    let mut said = RingStream {
        start: cursor.start.0,
        acked: cursor.acked.0,
        last: cursor.acked.0,
        delivered: cursor.delivered(),
        lost: cursor.lost,
        dead: cursor.dead,
        uncertain: cursor.uncertain,
        ..RingStream::default()
    };
    let mut scan = looker.scan();
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        let after = said.last;
        match looker.next(&scan, stream, Seq(after), ROOM, &mut bytes) {
            Next::Slice { count, .. } => {
                said.last += u64::from(count);
                match said.in_ring.last_mut() {
                    Some((_, to)) if *to == after => *to = said.last,
                    _ => said.in_ring.push((after + 1, said.last)),
                }
            }
            Next::Lost { to, .. } => {
                said.last = to.0;
                said.overwritten.push((after + 1, to.0));
            }
            // The subscriber will be told that it is uncertain.
            Next::Uncertain { to: Some(to), .. } => {
                said.last = to.0;
                said.in_ring.push((after + 1, to.0));
            }
            Next::Void => scan = looker.scan(),
            Next::Uncertain { to: None, .. } | Next::Nothing => return Some(said),
        }
    }
}
