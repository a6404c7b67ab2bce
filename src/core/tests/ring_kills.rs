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
//! what is not acknowledged lies in the ring; at the end committed = delivered + lost.
//!
//! `SEED=n` repeats a run's choices (not the scheduler's), `SECONDS=n` sets each run's length. A control run, over a
//! memory that forgets one store in 10^5, must be noticed.

#[path = "ring_kills/audit.rs"]
mod audit;
#[path = "ring_kills/memory.rs"]
mod memory;
#[path = "ring_kills/notes.rs"]
mod notes;
#[path = "ring_kills/roles.rs"]
mod roles;
#[path = "ring_kills/torturer.rs"]
mod torturer;

use std::process::ExitCode;

use sparkngin_core::ring::Overflow;
use torturer::{Run, torture};

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
    let seconds = number("SECONDS").unwrap_or(12);
    println!("ring_kills: SEED={seed} SECONDS={seconds}");
    let mut good = true;
    for (n, (policy, writers, blocks, slow)) in [
        (Overflow::Reject, 4, 20, 100),
        (Overflow::Overwrite, 4, 64, 100),
        (Overflow::Reject, 32, 128, 20),
        (Overflow::Overwrite, 32, 128, 20),
    ]
    .into_iter()
    .enumerate()
    {
        let seed = seed + n as u64;
        let run = Run { policy, writers, blocks, slow, seed, seconds, forget: 0 };
        let outcome = torture(&run);
        println!("{outcome}");
        good &= outcome.passed();
    }
    let control = Run {
        policy: Overflow::Reject,
        writers: 4,
        blocks: 64,
        slow: 0,
        seed,
        seconds: seconds.min(8),
        forget: 100_000,
    };
    let outcome = torture(&control);
    println!("control, forgets one store in 100000: noticed {} times", outcome.bad);
    if outcome.bad == 0 {
        println!("ring_kills: FAILED: a memory that forgets was not noticed");
        good = false;
    }
    println!("ring_kills: {}", if good { "ok" } else { "FAILED" });
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
