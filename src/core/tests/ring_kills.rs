//! Real processes over one mapped ring, killed with SIGKILL by the thousand, and the books taken for equality.
//!
//! Writers and the publisher are this binary again, with other arguments. They are killed from outside, while they
//! commit, and by their own hand between any two accesses to the ring; stopped; replaced by a second generation while
//! the first still writes; and now and then all die at once. Whoever takes a slot next goes on in its seq and its OPEN
//! block. The publisher moves two cursors, a named one and live's, in a process that also writes.
//!
//! While all are stopped, and at the end: each seq of each stream up to a cursor was delivered or counted lost, and not
//! both; the cursor's own books say the same; what a writer was told is committed, with that content and no other;
//! nothing counted lost is still there; no block is FREE before it is acknowledged; under `reject` nothing is lost, and
//! what is not acknowledged lies in the ring; at the end committed = delivered + lost. Some writers store several events at a
//! time: of those that fit a block together all are there or none, whenever the writer was killed.
//!
//! A kill that strikes nobody at work proves nothing. So each success is noted by the millisecond, and each kill: a run
//! has 1,000 successes a second at least, and a kill counts that has one within 100 ms before it and after it, in the
//! time in which not all are stopped for the books. One that has not fails the run, but for two reasons, that each may
//! hold for a few kills: there were refusals in these 100 ms, for the ring was full, its publisher being stopped or dead;
//! or the machine was busy elsewhere, which a thread tells that wants to run once a millisecond and came to run less than
//! every other one. Of the writers that were killed half must have left an OPEN block with commits of their own.
//!
//! `SEED=n` repeats a run's choices (not the scheduler's), `SECONDS=n` sets each run's length. `COUNT=n` goes on, with
//! runs of other seeds, until so many kills were counted. Two controls must fail: a memory that forgets one store in
//! 10^5, and writers that idle.

#[path = "ring_kills/audit.rs"]
mod audit;
#[path = "ring_kills/load.rs"]
mod load;
#[path = "ring_kills/memory.rs"]
mod memory;
#[path = "ring_kills/notes.rs"]
mod notes;
#[path = "ring_kills/roles.rs"]
mod roles;
#[path = "ring_kills/torturer.rs"]
mod torturer;

use std::fmt;
use std::process::ExitCode;

use sparkngin_core::ring::Overflow;
use torturer::{Outcome, Run, torture};

fn main() -> ExitCode {
    if let Ok(role) = std::env::var("RING_KILLS_ROLE") {
        return roles::play(&role);
    }
    // As the usual harness does: a filter that is not ours runs nothing, --list lists.
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|a| a == "--list") {
        println!("ring_kills: test");
        return ExitCode::SUCCESS;
    }
    if arguments.iter().any(|a| !a.starts_with('-') && !"ring_kills".contains(a.as_str())) {
        return ExitCode::SUCCESS;
    }
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seed = number("SEED").unwrap_or_else(|| u64::from(std::process::id()) << 20 | 1);
    let seconds = number("SECONDS").unwrap_or(11);
    let count = number("COUNT").unwrap_or(0);
    println!("ring_kills: SEED={seed} SECONDS={seconds} COUNT={count}");
    let mut sums = Figures::default();
    for n in 0.. {
        // Under `reject` writers are slower than the publisher, which has but its share of the processors: who is killed
        // while the ring is full leaves nothing to go on in.
        let (policy, writers, blocks, slow, pace) = [
            (Overflow::Reject, 4, 40, 100, 40),
            (Overflow::Overwrite, 4, 64, 100, 0),
            (Overflow::Reject, 32, 128, 20, 2000),
            (Overflow::Overwrite, 32, 128, 20, 0),
        ][n % 4];
        let seed = seed + n as u64;
        let run = Run { policy, writers, blocks, slow, seed, seconds, pace, forget: 0 };
        let outcome = torture(&run);
        println!("{outcome}");
        sums.add(&outcome);
        if n % 4 == 3 && (sums.kills >= count || sums.failed > 0) {
            break;
        }
    }
    println!("{sums}, seed={seed}");
    let mut good = sums.failed == 0;
    good &= controls(seed, seconds);
    println!("ring_kills: {}", if good { "ok" } else { "FAILED" });
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs that must be found wrong.
fn controls(seed: u64, seconds: u64) -> bool {
    let (policy, seconds) = (Overflow::Reject, seconds.min(8));
    let run = Run { policy, writers: 4, blocks: 64, slow: 0, seed, seconds, pace: 40, forget: 0 };
    let forgets = torture(&Run { forget: 100_000, ..run });
    println!("control, forgets one store in 100000: noticed {} times", forgets.bad);
    let idles = torture(&Run { pace: 700_000, seconds: seconds.min(2), ..run });
    let missed = idles.load.idle + idles.load.starved;
    println!("control, writers that idle: {missed} kills not under load");
    forgets.bad > 0 && missed > 0 && !idles.passed()
}

/// All runs together.
#[derive(Default)]
struct Figures {
    kills: u64,
    writers: u64,
    left_open: u64,
    publishers: u64,
    full: u64,
    starved: u64,
    committed: u64,
    delivered: u64,
    lost: u64,
    slowest: Option<u64>,
    before: usize,
    after: usize,
    bad: u64,
    failed: u64,
}

impl Figures {
    fn add(&mut self, run: &Outcome) {
        self.kills += run.load.kills;
        self.writers += run.writer_kills;
        self.left_open += run.left_open;
        self.publishers += run.publisher_kills;
        self.full += run.load.full;
        self.starved += run.load.starved;
        self.committed += run.sums.committed;
        self.delivered += run.sums.delivered;
        self.lost += run.sums.lost;
        let rate = run.load.rate();
        self.slowest = Some(self.slowest.map_or(rate, |slowest| slowest.min(rate)));
        self.before = self.before.max(run.load.before);
        self.after = self.after.max(run.load.after);
        self.bad += run.bad;
        self.failed += u64::from(!run.passed());
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Figures { kills, writers, left_open, publishers, full, starved, committed, .. } = self;
        let Figures { delivered, lost, before, after, bad, failed, .. } = self;
        write!(
            f,
            "row 5: kills={kills}, writers={writers}, left_open={left_open}, publishers={publishers}, \
             committed={committed}, delivered={delivered}, overwritten={lost}, successes_a_second_min={}, \
             success_before_ms={before}, success_after_ms={after}, at_full={full}, starved={starved}, \
             unexplained={bad}, failed={failed}",
            self.slowest.unwrap_or(0)
        )
    }
}
