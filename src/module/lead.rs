//! The lease, as one worker sees it: tried for, held by the publisher that it hosts, or given up.
//!
//! Who held it and let it go stands back for a while, so that the newest configuration publishes; but the last worker of
//! a stopping nginx, with nobody else to do it, takes it again.

use std::io;
use std::path::PathBuf;

use sparkngin_core::ring::{Bid, Lease, Ring};
use sparkngin_publisher::{Handle, Settings};

use crate::log::{Level, Throttle, line};

/// How long who gave the lease up does not try for it, ms.
const STAND_BACK: u64 = 500;

/// One worker's part in the election.
pub struct Lead {
    directory: PathBuf,
    settings: Settings,
    /// Whether it is one of those who try often.
    often: bool,
    /// What it has: a publisher with the lease in it, or perhaps a bid for one.
    publisher: Option<Handle>,
    bid: Option<Bid>,
    /// At the last look somebody held it by an older configuration.
    older: bool,
    /// Not tried before.
    not_before: u64,
    /// It has been told to leave, and gave up then.
    left: bool,
    failures: Throttle,
}

impl Lead {
    /// Nothing held yet.
    pub fn new(directory: PathBuf, settings: Settings, often: bool) -> Lead {
        Lead {
            directory,
            settings,
            often,
            publisher: None,
            bid: None,
            older: false,
            not_before: 0,
            left: false,
            failures: Throttle::default(),
        }
    }

    /// Whether to look again soon.
    pub fn eager(&self) -> bool {
        self.often || self.publisher.is_some() || self.bid.is_some()
    }

    /// One look: at the publisher that runs here, or at the lease that somebody else has.
    pub fn turn(&mut self, ring: &Ring, now: u64, exiting: bool) {
        if let Some(publisher) = &self.publisher {
            tell(publisher);
            if exiting && !self.left {
                self.left = true;
                publisher.stop();
            }
            if publisher.is_finished() {
                self.end();
                self.not_before = now + STAND_BACK;
            }
            return;
        }
        if exiting && !self.left {
            self.left = true;
            self.bid = None;
            self.not_before = now + STAND_BACK;
        }
        if now < self.not_before {
            return;
        }
        if let Err(error) = self.try_for_it(ring, exiting) {
            self.failures.count(Level::Error, now, "times no publisher could be started", || {
                error.to_string()
            });
            self.not_before = now + 2 * STAND_BACK;
        }
    }

    fn try_for_it(&mut self, ring: &Ring, exiting: bool) -> io::Result<()> {
        match Lease::try_take(&self.directory)? {
            // It is for the one who placed the bid, who looks again in a moment.
            Some(lease) if self.bid.is_none() && lease.outbid() => {}
            Some(lease) => {
                self.bid = None;
                let own = ring.again().map_err(io::Error::other)?;
                self.publisher =
                    Some(sparkngin_publisher::start(lease, own, self.settings.clone())?);
            }
            None if !exiting && self.bid.is_none() && self.newer_than(ring) => {
                // Who has just taken it writes its configuration down a moment later.
                if std::mem::replace(&mut self.older, true) {
                    self.bid = Bid::try_place(&self.directory)?;
                }
                return Ok(());
            }
            None => {}
        }
        self.older = false;
        Ok(())
    }

    /// Whether who publishes now does so by an older configuration.
    fn newer_than(&self, ring: &Ring) -> bool {
        ring.state().configured_at < self.settings.configuration.configured_at
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
            tell(&publisher);
            publisher.join();
        }
    }
}

/// Writes what the publisher has to say: its thread must not touch nginx's log.
fn tell(publisher: &Handle) {
    for (level, text) in publisher.lines() {
        line(level.into(), format_args!("{text}"));
    }
}
