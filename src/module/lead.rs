//! The lease, as one worker sees it: tried for, held by the publisher that it hosts, or given up.
//!
//! Who held it and let it go stands back for a while, and who is about to end or has an older configuration takes it only
//! when it was free for 2 s: the newest configuration publishes, whoever is killed. But the last worker of a stopping
//! nginx, with nobody else to do it, takes it again.

use std::io;
use std::path::PathBuf;

use sparkngin_core::ring::{Bid, Candidate, OpenError, Ring, Vacancy};
use sparkngin_publisher::{Handle, Settings};

use crate::log::{Level, Throttle, line};

/// How long who gave the lease up does not try for it, ms.
const STAND_BACK: u64 = 500;

/// How long a worker sees an older configuration publish before it places a bid, ms. Over a reload the old workers leave
/// sooner than that; and who has just taken the lease writes its configuration down a moment later.
const PATIENCE: u64 = 200;

/// One worker's part in the election.
pub struct Lead {
    directory: PathBuf,
    settings: Settings,
    /// Whether it is one of those who look often.
    often: bool,
    /// It hosts the publisher, which has the lease ...
    publisher: Option<Handle>,
    /// ... or would, and may have said so to who has it.
    candidate: Option<Candidate>,
    bid: Option<Bid>,
    /// What the last look saw.
    seen: Seen,
    vacancy: Vacancy,
    /// Not tried before.
    not_before: u64,
    /// nginx has asked the worker to leave.
    leaving: bool,
    failures: Throttle,
}

/// What a look at the lease saw.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Seen {
    /// Somebody has it, by no older configuration.
    Held,
    /// Somebody has it by an older configuration, since then.
    Older(u64),
    /// Nobody has it.
    Free,
}

impl Lead {
    /// Nothing held yet.
    pub fn new(directory: PathBuf, settings: Settings, often: bool) -> Lead {
        Lead {
            directory,
            settings,
            often,
            publisher: None,
            candidate: None,
            bid: None,
            seen: Seen::Held,
            vacancy: Vacancy::default(),
            not_before: 0,
            leaving: false,
            failures: Throttle::default(),
        }
    }

    /// Whether the publisher runs here.
    pub fn publishes(&self) -> bool {
        self.publisher.is_some()
    }

    /// Whether to look again soon.
    pub fn eager(&self) -> bool {
        self.publisher.is_none() && (self.often || self.bid.is_some() || self.seen != Seen::Held)
    }

    /// Gives up, once, and stands back. Later it may be the only one left, and tries again.
    pub fn leave(&mut self, now: u64) {
        if std::mem::replace(&mut self.leaving, true) {
            return;
        }
        if let Some(publisher) = &self.publisher {
            publisher.stop();
        }
        self.bid = None;
        self.not_before = now + STAND_BACK;
    }

    /// One look: at the publisher that runs here, or at the lease that somebody else has. Without a ring there is none to
    /// publish from: the worker bids for nothing, but the publisher that it hosts has a ring of its own.
    pub fn turn(&mut self, ring: Option<&Ring>, now: u64) {
        if let Some(publisher) = &self.publisher {
            tell(publisher.lines());
            if publisher.is_finished() {
                self.end();
                self.not_before = now + STAND_BACK;
            }
            return;
        }
        let Some(ring) = ring else {
            self.bid = None;
            return;
        };
        if now < self.not_before {
            return;
        }
        if let Err(error) = self.look(ring, now) {
            self.failures.count(Level::Error, now, "later", 1, || {
                format!("no publisher can be started: {error}")
            });
            self.not_before = now + 2 * STAND_BACK;
        }
    }

    fn look(&mut self, ring: &Ring, now: u64) -> io::Result<()> {
        let candidate = self.candidate.take().filter(|candidate| !candidate.is_removed());
        let candidate = match candidate {
            Some(candidate) => candidate,
            None => Candidate::new(&self.directory)?,
        };
        let before = self.seen;
        let (own, state) = (self.settings.configuration.configured_at, ring.state());
        let newer = state.holder_configured_at < own;
        let last = self.leaving || own < state.configured_at;
        // Of those who bid there is one, and the lease is for that one.
        let held = candidate.is_held()?;
        let mine = (held && !newer) || self.bid.is_some() || !candidate.outbid()?;
        let vacant = self.vacancy.lasts(held, now);
        self.seen = match (held, before) {
            (false, _) => Seen::Free,
            (true, Seen::Older(since)) if newer && mine && !last => Seen::Older(since),
            (true, _) if newer && mine && !last => Seen::Older(now),
            (true, _) => Seen::Held,
        };
        match self.seen {
            Seen::Older(since) if now >= since + PATIENCE && self.bid.is_none() => {
                self.bid = Bid::try_place(&self.directory)?;
            }
            // Over a reload it is for the newer configuration: others give that the time of one look.
            Seen::Free if mine && if last { vacant } else { newer || before == Seen::Free } => {
                return self.take(candidate, ring);
            }
            _ => {}
        }
        self.candidate = Some(candidate);
        Ok(())
    }

    fn take(&mut self, candidate: Candidate, ring: &Ring) -> io::Result<()> {
        match candidate.try_take()? {
            Ok(lease) => {
                self.bid = None;
                self.seen = Seen::Held;
                let settings = self.settings.clone();
                self.publisher = match ring.writable() {
                    true => {
                        let own = ring.again().map_err(io::Error::other)?;
                        Some(sparkngin_publisher::start(lease, own, settings)?)
                    }
                    // One that this worker has no use for.
                    false => match to_drain(ring).map_err(io::Error::other)? {
                        Some(own) => {
                            Some(sparkngin_publisher::start_draining(lease, own, settings)?)
                        }
                        None => None,
                    },
                };
            }
            Err(candidate) => self.candidate = Some(candidate),
        }
        Ok(())
    }

    /// Ends the publisher that runs here, and waits for its thread.
    pub fn stop(&mut self) {
        if let Some(publisher) = &self.publisher {
            publisher.stop();
        }
        self.end();
        self.bid = None;
    }

    fn end(&mut self) {
        if let Some(publisher) = self.publisher.take() {
            tell(publisher.join());
        }
    }
}

/// A ring that was opened for looking, as its publisher needs it. None if it is gone.
fn to_drain(ring: &Ring) -> Result<Option<Ring>, OpenError> {
    let found = Ring::find_all(ring.dir(), |number| number != ring.number())?;
    Ok(found.rings.into_iter().find(|own| own.region() == ring.region()))
}

/// Writes what a thread has to say: it must not touch nginx's log itself.
pub fn tell(lines: Vec<(sparkngin_publisher::Level, String)>) {
    for (level, text) in lines {
        line(level.into(), format_args!("{text}"));
    }
}
