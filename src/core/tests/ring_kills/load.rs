//! Whether the kills struck under load: by the millisecond, what was answered with success and how the machine let us run.

use std::fmt;
use std::time::Duration;

use crate::notes::{MILLISECONDS, Notes};
use crate::roles::pause;

/// Successes must lie so near before and after each kill, in ms.
const NEAR: usize = 100;
/// Of so many kills one may lie where nobody succeeded and no reason shows: a beat needs no time to speak of, so it can
/// come while writers wait for theirs. Such a kill counts for nothing.
const UNLUCKY: u64 = 500;
/// So many of the beats, one a millisecond, must have come in that time. With fewer the machine had no time for anybody.
const BEATS: u64 = NEAR as u64 / 2;

/// Would like to run once a millisecond, until writers leave, and notes when it could.
pub fn pulse(notes: &Notes) {
    while !notes.stop() {
        notes.beat();
        pause(Duration::from_millis(1));
    }
}

/// When who was killed, and when all were stopped: in ms since the run began.
#[derive(Default)]
pub struct Strikes {
    pub kills: Vec<usize>,
    pub frozen: Vec<(usize, usize)>,
}

/// What came of it. Times are those in which not all were stopped.
#[derive(Clone, Copy, Default)]
pub struct Load {
    /// Kills under load, with a success near before and near after.
    pub kills: u64,
    /// Without one, since the ring was full: there were refusals.
    pub full: u64,
    /// Without one, since the machine did not let us run.
    pub starved: u64,
    /// Without one, and no reason for it.
    pub idle: u64,
    /// The longest time from a success to a kill under load, and from it to a success, in ms.
    pub before: usize,
    pub after: usize,
    pub successes: u64,
    pub running: u64,
}

impl Load {
    /// Of the run's first `end` ms.
    pub fn of(notes: &Notes, strikes: &Strikes, end: usize) -> Load {
        let end = end.min(MILLISECONDS);
        let mut running = vec![true; end];
        for &(from, to) in &strikes.frozen {
            running[from.min(end)..to.min(end)].fill(false);
        }
        let runs: Vec<usize> = (0..end).filter(|ms| running[*ms]).collect();
        let mut load = Load { running: runs.len() as u64, ..Load::default() };
        load.successes = runs.iter().map(|ms| notes.successes(*ms)).sum();
        for kill in &strikes.kills {
            let at = runs.partition_point(|ms| ms < kill);
            // The kill's own millisecond is neither before nor after.
            let later = runs.partition_point(|ms| ms <= kill);
            if later + NEAR > runs.len() {
                continue;
            }
            let (before, after) = (&runs[at.saturating_sub(NEAR)..at], &runs[later..later + NEAR]);
            let succeeded = |ms: &usize| notes.successes(*ms) > 0;
            let last = before.iter().rev().position(succeeded);
            let first = after.iter().position(succeeded);
            let empty = if last.is_none() { before } else { after };
            let sum =
                |of: fn(&Notes, usize) -> u64| empty.iter().map(|ms| of(notes, *ms)).sum::<u64>();
            if let (Some(last), Some(first)) = (last, first) {
                load.kills += 1;
                load.before = load.before.max(last + 1);
                load.after = load.after.max(first + 1);
            } else if sum(Notes::refusals) > 0 {
                load.full += 1;
            } else if sum(Notes::beats) < BEATS {
                load.starved += 1;
            } else {
                load.idle += 1;
            }
        }
        load
    }

    /// Successes a second.
    pub fn rate(&self) -> u64 {
        self.successes * 1000 / self.running.max(1)
    }

    pub fn is_enough(&self) -> bool {
        let others = self.full + self.starved;
        self.idle <= self.kills / UNLUCKY && self.rate() >= 1000 && others * 10 <= self.kills
    }
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Load { kills, full, starved, idle, before, after, .. } = self;
        let rate = self.rate();
        write!(
            f,
            "{rate} successes a second; {kills} kills under load, the last success {before} ms before at most, the first \
             {after} ms after; {full} at a full ring, {starved} on a starved machine, {idle} without a reason"
        )
    }
}
