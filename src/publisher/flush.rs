//! Syncing: a thread that brings what is committed to the disk, once in a while, or at once when somebody waits for it.
//! While nothing is committed it sleeps without end.

use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use sparkngin_core::ring::{Syncer, Work};
use zmq::{POLLIN, PollItem};

use crate::Shared;
use crate::trial::Trial;

/// Runs until it is asked to stop, or a sync fails.
///
/// # Errors
/// What the system said to the sync that failed; the file is poisoned then.
pub fn run(
    mut syncer: Syncer,
    interval: Duration,
    shared: &Shared,
    wakened: &UnixStream,
) -> io::Result<()> {
    // The next one has its time from here on.
    let mut next = Instant::now();
    let mut trial = Trial::new(&syncer, next);
    while !shared.stop.load(Ordering::Acquire) {
        let now = Instant::now();
        if let Some(wait) = trial.turn(&syncer, now, &shared.lines) {
            syncer.clear();
            rest(&syncer, Some(wait), wakened)?;
            continue;
        }
        let work = syncer.work();
        if work == Work::Urgent || work == Work::Some && now >= next {
            next = now + interval;
            sync(&mut syncer)?;
            continue;
        }
        syncer.arm(work);
        if syncer.work() == work {
            let wait = (work == Work::Some).then(|| next.saturating_duration_since(now));
            rest(&syncer, wait, wakened)?;
        }
        syncer.clear();
    }
    Ok(())
}

fn sync(syncer: &mut Syncer) -> io::Result<()> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as u64;
    let path = syncer.ring().path().to_owned();
    syncer.sync(now).map_err(|error| {
        let text = format!(
            "\"{}\" cannot be brought to the disk: {error}; nothing more is written to it, look at the disk",
            path.display()
        );
        io::Error::new(error.kind(), text)
    })
}

/// Until the bell, a word from the host, or the time.
fn rest(syncer: &Syncer, wait: Option<Duration>, wakened: &UnixStream) -> io::Result<()> {
    let mut items = [
        PollItem::from_fd(syncer.as_fd().as_raw_fd(), POLLIN),
        PollItem::from_fd(wakened.as_raw_fd(), POLLIN),
    ];
    let ms = wait.map_or(-1, |wait| wait.as_micros().div_ceil(1000) as i64);
    match zmq::poll(&mut items, ms) {
        Ok(_) | Err(zmq::Error::EINTR) => {}
        Err(error) => return Err(io::Error::other(error.message())),
    }
    if items[1].is_readable() {
        // All that was written there says the same.
        let _ = (&mut &*wakened).read(&mut [0; 64]);
    }
    Ok(())
}
