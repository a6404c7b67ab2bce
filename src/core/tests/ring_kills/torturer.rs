//! Who starts, kills and stops them.

use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use sparkngin_core::ring::{Lease, Overflow, Phase, Reader, Ring, Syncer};

use crate::audit::{Auditor, Sums};
use crate::load::{Load, Strikes, pulse};
use crate::memory::Random;
use crate::notes::{KIDS, Notes, STREAMS, clock};
use crate::roles::{Part, pause, turn};

#[derive(Clone, Copy)]
pub struct Run {
    pub policy: Overflow,
    pub writers: usize,
    pub blocks: u64,
    /// Up to ten times so many microseconds the publisher dawdles, once in 4 turns.
    pub slow: u64,
    pub seed: u64,
    pub seconds: u64,
    /// Microseconds between two commits of a writer.
    pub pace: u64,
    /// One store in so many is forgotten; 0: none.
    pub forget: u64,
}

#[derive(Default)]
pub struct Outcome {
    title: String,
    pub writer_kills: u64,
    pub left_open: u64,
    pub publisher_kills: u64,
    stops: u64,
    generations: u64,
    audits: u64,
    full: u64,
    pub sums: Sums,
    pub load: Load,
    pub bad: u64,
}

#[derive(Clone, Copy, Default)]
struct Kid {
    pid: Option<Pid>,
    wanted: bool,
    stopped: bool,
    /// When it was killed from outside, in ms.
    struck: Option<usize>,
}

struct Torturer<'a> {
    run: &'a Run,
    dir: PathBuf,
    notes: Notes,
    ring: Ring,
    syncer: Syncer,
    random: Random,
    /// 0 publishes and writes; then two generations of writers.
    kids: Vec<Kid>,
    auditor: Auditor,
    strikes: Strikes,
    pulse: Option<JoinHandle<()>>,
    outcome: Outcome,
}

impl Outcome {
    pub fn passed(&self) -> bool {
        self.bad == 0 && self.left_open * 2 >= self.writer_kills && self.load.is_enough()
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Outcome { writer_kills, left_open, publisher_kills, stops, audits, sums, .. } = self;
        writeln!(
            f,
            "{}: killed {writer_kills} writers, {left_open} of them left an OPEN block with commits since the last \
             kill, and {publisher_kills} publishers; stopped {stops}; {} generations; {audits} audits; BAD {}",
            self.title, self.generations, self.bad
        )?;
        writeln!(f, "  {}", self.load)?;
        write!(
            f,
            "  refused {} times; committed {} = delivered {} + lost {}; live: delivered {} + lost {}",
            self.full,
            sums.committed,
            sums.delivered,
            sums.lost,
            sums.live_delivered,
            sums.live_lost
        )
    }
}

pub fn torture(run: &Run) -> Outcome {
    let name = format!("ring_kills.{}.{}", std::process::id(), run.seed);
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir).unwrap();
    let mut torturer = Torturer::new(run, dir.clone());
    torturer.go();
    let outcome = torturer.finish();
    fs::remove_dir_all(&dir).unwrap();
    outcome
}

impl<'a> Torturer<'a> {
    fn new(run: &'a Run, dir: PathBuf) -> Torturer<'a> {
        let kids = 1 + 2 * run.writers;
        assert!(kids <= KIDS && kids < usize::from(STREAMS));
        let notes = Notes::make(&dir.join("notes"));
        let mine = Notes::open(&dir.join("notes"));
        let ring = part(run, dir.clone(), 0, 0).ring();
        let syncer = Syncer::try_take(ring.again().unwrap()).unwrap().ok().unwrap();
        let mut torturer = Torturer {
            notes,
            pulse: Some(thread::spawn(move || pulse(&mine))),
            strikes: Strikes::default(),
            ring,
            syncer,
            dir,
            run,
            random: Random::new(run.seed),
            kids: vec![Kid::default(); kids],
            auditor: Auditor::new(run.policy),
            outcome: Outcome::default(),
        };
        torturer.kids[..=run.writers].iter_mut().for_each(|kid| kid.wanted = true);
        torturer
    }

    fn go(&mut self) {
        let end = Instant::now() + Duration::from_secs(self.run.seconds);
        let mut look = Instant::now() + Duration::from_millis(200);
        let mut birth = Instant::now() + Duration::from_millis(500);
        let mut strike = look;
        let mut death = None;
        let mut older = 1..1 + self.run.writers;
        while Instant::now() < end && self.notes.bads() < 20 {
            self.tend();
            self.kill_one();
            let now = Instant::now();
            // One that never gets to work drains nothing: then nobody else works either.
            if now > strike && self.notes.turns() >= self.random.below(16) {
                self.kill(0);
                strike = now + Duration::from_millis(5 + self.random.below(50));
            }
            if now > look {
                self.freeze();
                look = now + Duration::from_millis(50 + self.random.below(250));
            }
            if now > birth {
                // A reload: new writers start beside the old, which leave a little later.
                let first = if older.start == 1 { 1 + self.run.writers } else { 1 };
                let newer = first..first + self.run.writers;
                newer.clone().for_each(|kid| self.kids[kid].wanted = true);
                death = Some((now + Duration::from_millis(self.random.below(200)), older));
                older = newer;
                birth = now + Duration::from_millis(1500);
                self.outcome.generations += 1;
            }
            if let Some((_, leaving)) = death.take_if(|(at, _)| now > *at) {
                for kid in leaving {
                    self.kids[kid].wanted = false;
                    self.notes.ask_to_leave(kid);
                }
            }
            pause(Duration::from_micros(self.random.below(400)));
        }
    }

    /// Kills a writer, mostly one that is at work.
    fn kill_one(&mut self) {
        let kid = 1 + self.random.below(self.kids.len() as u64 - 1) as usize;
        if self.notes.busy(kid) > self.random.below(100) || self.random.once_in(1024) {
            self.kill(kid);
        }
    }

    /// Kills it; one that is stopped seldom.
    fn kill(&mut self, kid: usize) {
        let Kid { pid: Some(pid), stopped, .. } = self.kids[kid] else { return };
        if !stopped || self.random.once_in(128) {
            self.kids[kid].struck = Some(self.notes.now());
            let _ = kill_process(pid, Signal::KILL);
        }
    }

    /// Buries and bears.
    fn tend(&mut self) {
        for kid in 0..self.kids.len() {
            self.bury(kid, WaitOptions::NOHANG);
            if self.kids[kid].pid.is_none() && self.kids[kid].wanted {
                self.bear(kid);
            }
        }
    }

    #[expect(clippy::zombie_processes, reason = "`bury` waits for it, by its pid")]
    fn bear(&mut self, kid: usize) {
        self.notes.begin(kid, None);
        let part = part(self.run, self.dir.clone(), kid, self.random.next());
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.env_clear().envs(part.variables()).stdin(Stdio::null());
        command.env("RING_KILLS_ROLE", if kid == 0 { "publisher" } else { "writer" });
        if self.run.forget > 0 {
            command.env("RING_KILLS_QUIET", "1").stderr(Stdio::null());
        }
        let child = command.spawn().unwrap();
        self.kids[kid].pid = Pid::from_raw(child.id() as i32);
    }

    /// Waits for a process, as the options say; how it ended.
    fn bury(&mut self, kid: usize, options: WaitOptions) {
        let Some(pid) = self.kids[kid].pid else { return };
        let Ok(Some((_, status))) = waitpid(Some(pid), options) else { return };
        if status.stopped() {
            return;
        }
        self.kids[kid].pid = None;
        self.kids[kid].stopped = false;
        let struck = self.kids[kid].struck.take();
        if status.terminating_signal() == Some(9) {
            // Who died by its own hand did so a moment ago.
            self.strikes.kills.push(struck.unwrap_or_else(|| self.notes.now()));
        }
        match (status.terminating_signal(), status.exit_status()) {
            (Some(9), _) if kid == 0 => self.outcome.publisher_kills += 1,
            (Some(9), _) => self.killed(kid),
            (None, Some(0)) => {}
            _ => self.notes.bad(&format!("a process failed: {status:?}")),
        }
    }

    /// A writer was killed: is there a block to go on in, with commits since its slot's last writer was killed? These
    /// are its own: it came after that.
    fn killed(&mut self, kid: usize) {
        self.outcome.writer_kills += 1;
        let Some(stream) = self.notes.at_work(kid) else { return };
        let scan = self.ring.scan();
        let Some(block) = scan.of(stream).last() else { return };
        let open = block.state.phase == Phase::Open && block.used > 0;
        self.outcome.left_open += u64::from(open && self.notes.commits(kid) > 0);
    }

    /// All stop, the books are read; some stay stopped until the next time, or all die.
    fn freeze(&mut self) {
        let from = self.notes.now();
        for kid in 0..self.kids.len() {
            let Some(pid) = self.kids[kid].pid else { continue };
            let _ = kill_process(pid, Signal::STOP);
        }
        for kid in 0..self.kids.len() {
            if !self.kids[kid].stopped {
                self.bury(kid, WaitOptions::UNTRACED);
            }
        }
        self.outcome.sums = self.auditor.audit(&self.ring, &self.notes, false);
        self.outcome.audits += 1;
        self.sync();
        self.strikes.frozen.push((from, self.notes.now() + 1));
        let all = self.random.once_in(8);
        for (n, kid) in self.kids.iter_mut().enumerate() {
            let Some(pid) = kid.pid else { continue };
            let began = n == 0 || self.notes.busy(n) > 0;
            kid.stopped = !all && self.random.once_in(8);
            self.outcome.stops += u64::from(kid.stopped);
            if !kid.stopped {
                let _ = kill_process(pid, if all && began { Signal::KILL } else { Signal::CONT });
            }
        }
    }

    /// Slots whose writers were killed in a sync of their own are for those alone who opened the file before: this process
    /// did, and has them given back.
    fn sync(&mut self) {
        if self.syncer.sync(clock()).is_err() {
            self.notes.bad("the disk refuses a sync");
        }
    }

    /// The writers go, half of them dead; then the publisher; then this process delivers the rest itself.
    fn finish(&mut self) -> Outcome {
        let load_ends = self.notes.now();
        self.notes.set_stop();
        self.pulse.take().map(JoinHandle::join);
        for kid in 0..self.kids.len() {
            self.kids[kid].wanted = kid == 0;
            let Some(pid) = self.kids[kid].pid else { continue };
            let signal = if self.random.once_in(2) { Signal::KILL } else { Signal::CONT };
            let _ = kill_process(pid, signal);
        }
        let end = Instant::now() + Duration::from_millis(300);
        while Instant::now() < end {
            self.tend();
            pause(Duration::from_millis(1));
        }
        for kid in 0..self.kids.len() {
            if let Some(pid) = self.kids[kid].pid {
                let _ = kill_process(pid, Signal::KILL);
                self.bury(kid, WaitOptions::empty());
            }
        }
        if self.run.forget == 0 {
            self.drain();
            self.outcome.sums = self.auditor.audit(&self.ring, &self.notes, true);
        }
        let Run { policy, writers, blocks, seed, .. } = self.run;
        self.outcome.title = format!("{policy:?}, {writers} writers, {blocks} blocks, seed {seed}");
        self.outcome.load = Load::of(&self.notes, &self.strikes, load_ends);
        self.outcome.bad = self.notes.bads();
        self.outcome.full = self.notes.fulls();
        std::mem::take(&mut self.outcome)
    }

    fn drain(&self) {
        let part = part(self.run, self.dir.clone(), 0, 0);
        let lease = Lease::try_take(&self.dir).unwrap().unwrap();
        let ring = self.ring.again().unwrap();
        let mut reader = Reader::new(ring, &lease, &part.configuration()).unwrap();
        loop {
            let scan = reader.scan();
            if !turn(&mut reader, &self.notes, true, &scan) {
                return;
            }
        }
    }
}

impl Drop for Torturer<'_> {
    fn drop(&mut self) {
        for kid in &self.kids {
            if let Some(pid) = kid.pid {
                let _ = kill_process(pid, Signal::KILL);
                let _ = waitpid(Some(pid), WaitOptions::empty());
            }
        }
    }
}

fn part(run: &Run, dir: PathBuf, kid: usize, seed: u64) -> Part {
    let Run { blocks, policy, slow, pace, forget, .. } = *run;
    let parent = std::process::id() as i32;
    let die = match policy {
        _ if kid == 0 => 2_000_000,
        Overflow::Reject => 10_000,
        Overflow::Overwrite => 40_000,
    };
    Part { dir, blocks, policy, kid, seed: seed >> 1, slow, pace, forget, die, parent }
}
