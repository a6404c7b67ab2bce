//! Whether a disk that has failed syncs takes them again: asked by a small file, ever more seldom, before another ring's file
//! is risked for it.

use std::time::{Duration, Instant};

use sparkngin_core::ring::Syncer;

use crate::lines::{Level, Lines, Throttle};

/// Between the first two tries; twice that to the next, and so on.
const FIRST: Duration = Duration::from_secs(1);
/// The most.
const LONGEST: Duration = Duration::from_secs(64);
/// Between two lines about it.
const REMIND: Duration = Duration::from_secs(60);

/// The trial of one file's disk.
pub struct Trial {
    /// When to try next; nothing when nothing speaks against a sync.
    next: Option<Instant>,
    pause: Duration,
    said: Throttle,
}

impl Trial {
    /// Needed where syncs failed in a row before this file was made.
    pub fn new(syncer: &Syncer, now: Instant) -> Trial {
        let needed = syncer.ring().failed_before() > 0;
        let (next, said) = (needed.then_some(now), Throttle::new(REMIND));
        Trial { next, pause: FIRST, said }
    }

    /// Tries, if it is time; how long no sync is to be tried.
    pub fn turn(&mut self, syncer: &Syncer, now: Instant, lines: &Lines) -> Option<Duration> {
        let next = self.next?;
        if now < next {
            return Some(next - now);
        }
        // By this one or by another before it.
        let (number, refused) = (syncer.ring().number(), syncer.ring().refused());
        match syncer.try_disk() {
            Ok(()) => {
                self.next = None;
                if refused {
                    let text = format!("the disk takes syncs again: ring.{number} is synced");
                    lines.say(Level::Warn, text);
                }
                None
            }
            Err(error) => {
                if self.said.pass(now).is_some() {
                    let (failed, pause) = (syncer.ring().failed_before(), self.pause.as_secs());
                    lines.say(
                        Level::Error,
                        format!(
                            "ring.{number} is not synced, after {failed} that could not be: {error}; it is tried again in {pause} s, \
                             and until then the level \"disk\" is answered with 503"
                        ),
                    );
                }
                let pause = self.pause;
                self.next = Some(now + pause);
                self.pause = (pause * 2).min(LONGEST);
                Some(pause)
            }
        }
    }
}
