//! Any order of operations, deaths and faults of the disk: the files of a ring's directory together equal a list of what
//! was committed. `COUNT=n SEED=m` for more cases, and for the same once more.

use std::fs;
use std::path::PathBuf;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use super::disk::Faulty;
use super::power::{Draw, number};
use super::scratch::Scratch;
use super::world::{READERS, World};
use crate::ring::configuration::Overflow;
use crate::ring::cursor::Who;
use crate::ring::folder::{Judged, files, judge};
use crate::ring::layout::Geometry;
use crate::ring::making::make;
use crate::ring::open_error::OpenError;
use crate::ring::pen::Refused;
use crate::ring::word::Phase;

/// What may happen; `dies` is the step before which the actor dies.
#[derive(Clone, Debug)]
enum Operation {
    Append {
        slot: u16,
        sizes: Vec<usize>,
        dies: Option<u64>,
    },
    Leave {
        slot: u16,
    },
    /// The publisher's turn, on the oldest file or on the newest.
    Turn {
        oldest: bool,
        live: bool,
        room: usize,
        dies: Option<u64>,
    },
    Publisher {
        dies: Option<u64>,
    },
    /// A sync; `fails` is what the disk says instead: EIO or ENOSPC.
    Sync {
        fails: Option<i32>,
        dies: Option<u64>,
    },
    /// A file of another size is wanted; `fails` is the call that the disk refuses while it is made.
    File {
        fails: Option<(u32, i32)>,
    },
    /// From now on the disk is full, or has room again.
    Full(bool),
    /// The power is gone: of each sector that was written since the last sync any part of the stores is there.
    Stop {
        seed: u64,
    },
}

const SLOTS: u16 = 3;

fn operation() -> impl Strategy<Value = Operation> {
    let dies = || prop::option::weighted(0.3, 0..40u64);
    let error = || prop_oneof![Just(libc::EIO), Just(libc::ENOSPC)];
    let sizes = prop::collection::vec(0..120usize, 1..4);
    prop_oneof![
        32 => (0..SLOTS, sizes, dies())
            .prop_map(|(slot, sizes, dies)| Operation::Append { slot, sizes, dies }),
        8 => (0..SLOTS).prop_map(|slot| Operation::Leave { slot }),
        16 => (any::<bool>(), any::<bool>(), 0..300usize, dies()).prop_map(
            |(oldest, live, room, dies)| Operation::Turn { oldest, live, room, dies }
        ),
        4 => dies().prop_map(|dies| Operation::Publisher { dies }),
        8 => (prop::option::weighted(0.1, error()), dies())
            .prop_map(|(fails, dies)| Operation::Sync { fails, dies }),
        1 => prop::option::of((0..7u32, error())).prop_map(|fails| Operation::File { fails }),
        1 => prop::bool::weighted(0.3).prop_map(Operation::Full),
        1 => any::<u64>().prop_map(|seed| Operation::Stop { seed }),
    ]
}

/// What the cases came to, all together.
#[derive(Debug, Default)]
struct Sum {
    actions: u64,
    events: u64,
    deaths: u64,
    syncs_failed: u64,
    files: u64,
    not_made: u64,
    stops: u64,
    shown: u64,
    missing: u64,
}

/// A directory, and a heap for each of its files.
struct Machine<'a> {
    sum: &'a mut Sum,
    dir: PathBuf,
    policy: Overflow,
    blocks: u32,
    full: bool,
    /// Those that are handed out and take no events any more, oldest first.
    old: Vec<(PathBuf, World)>,
    now: Option<(PathBuf, World)>,
}

impl Machine<'_> {
    fn run(&mut self, operation: Operation) {
        self.sum.actions += 1;
        match operation {
            Operation::Append { slot, sizes, dies } => self.append(slot, &sizes, dies),
            Operation::Leave { slot } => self.now().into_iter().for_each(|world| world.leave(slot)),
            Operation::Turn { oldest, live, room, dies } => {
                let who = if live { &READERS[..] } else { &[Who::Named(0)] };
                let first = self.old.first_mut().filter(|_| oldest).map(|(_, world)| world);
                if let Some(world) = first.or(self.now.as_mut().map(|(_, world)| world)) {
                    world.turn(who, room, dies);
                }
                self.remove();
            }
            Operation::Publisher { dies } => {
                if let Some(world) = self.now() {
                    if world.dying(dies, World::publisher).is_none() {
                        world.publisher();
                    }
                }
            }
            Operation::Sync { fails, dies } => {
                if let Some(world) = self.now() {
                    let was = world.view.poisoned();
                    world.sync(fails, dies);
                    self.sum.syncs_failed += u64::from(self.poisoned() && !was);
                }
            }
            Operation::File { fails } => {
                self.blocks = 2 + (self.blocks + 1) % 6;
                self.file(fails);
            }
            Operation::Full(full) => self.full = full,
            Operation::Stop { seed } => self.stop(seed),
        }
        for world in self.worlds() {
            world.check();
        }
    }

    fn worlds(&mut self) -> impl Iterator<Item = &mut World> {
        self.old.iter_mut().chain(&mut self.now).map(|(_, world)| world)
    }

    fn now(&mut self) -> Option<&mut World> {
        self.now.as_mut().map(|(_, world)| world)
    }

    fn poisoned(&self) -> bool {
        self.now.as_ref().is_some_and(|(_, world)| world.view.poisoned())
    }

    /// A worker's event; where no file takes it, it has one made, as the module does.
    fn append(&mut self, slot: u16, sizes: &[usize], dies: Option<u64>) {
        if self.poisoned() {
            let refused = self.now().map(|world| world.append(slot, sizes, None));
            assert_eq!(refused, Some(Err(Refused::Poisoned)));
        }
        if self.poisoned() || self.now.is_none() {
            self.file(None);
        }
        let Some((_, world)) = self.now.as_mut().filter(|(_, world)| !world.view.poisoned()) else {
            assert!(self.full, "there is room, and no file");
            return;
        };
        match world.append(slot, sizes, dies) {
            Ok(()) => {}
            Err(Refused::TooLarge { bytes, limit }) => assert!(bytes > limit),
            // A sync of its own failed.
            Err(Refused::Poisoned) => assert!(world.view.poisoned()),
            Err(Refused::Full { holder }) => {
                let scan = world.scan();
                assert_eq!(scan.blocks().free, 0, "refused, though a block is FREE");
                let sealed = scan.filled().any(|f| f.state.phase == Phase::Sealed);
                assert!(world.policy == Overflow::Reject || !sealed);
                assert_eq!(holder.is_some(), world.policy == Overflow::Reject);
            }
        }
    }

    /// Tries to have a new file, which then takes the events; if there is none, all is as it was.
    fn file(&mut self, fails: Option<(u32, i32)>) {
        // The third call reserves the room.
        let (call, error) = if self.full { (2, libc::ENOSPC) } else { fails.unwrap_or((99, 0)) };
        let geometry = Geometry { blocks: self.blocks, block_bytes: 256, slots: SLOTS };
        let before = files(&self.dir).unwrap();
        let made = make(&Faulty::new([call, u32::MAX], error), &self.dir, geometry);
        let after = files(&self.dir).unwrap();
        assert!(after.starts_with(&before), "a file is gone that was not drained");
        assert!(made.is_ok() == (call > 5), "{call}: {made:?}");
        let no_room = matches!(made, Err(OpenError::NoRoom { .. }));
        assert_eq!(no_room, call == 2, "{call}: {made:?}");
        // Only the sync of the directory comes after the name.
        let named = call >= 5;
        assert_eq!(after.len(), before.len() + usize::from(named), "call {call}");
        let Some((_, path)) = after.last().filter(|_| named) else {
            self.sum.not_made += 1;
            return;
        };
        let whole = judge(path, true).unwrap();
        assert!(matches!(whole, Judged::Ours(_, superblock, _) if superblock.geometry == geometry));
        self.sum.files += 1;
        let new = (path.clone(), World::new(geometry, self.policy));
        if let Some((path, mut world)) = self.now.replace(new) {
            (0..SLOTS).for_each(|slot| world.leave(slot));
            self.old.push((path, world));
        }
        self.remove();
    }

    /// Files that nobody adds to any more, and of which everything is delivered, go.
    fn remove(&mut self) {
        let sum = &mut *self.sum;
        self.old.retain(|(path, world)| {
            let done = world.passed_by_all();
            if done {
                count(sum, world);
                fs::remove_file(path).unwrap();
            }
            !done
        });
    }

    /// Everything is of an earlier boot now: what is left of it is handed out, and the rest is uncertain.
    fn stop(&mut self, seed: u64) {
        self.sum.stops += 1;
        let mut draw = Draw::new(seed);
        for (path, world) in self.old.drain(..).chain(self.now.take()) {
            count(self.sum, &world);
            let (shown, missing) = world.stop(|end| draw.below(end));
            self.sum.shown += shown;
            self.sum.missing += missing;
            fs::remove_file(path).unwrap();
        }
    }

    /// The disk has room again, and everything is read.
    fn end(mut self) {
        for world in self.worlds() {
            if !world.view.poisoned() {
                world.successors();
            }
            if world.view.poisoned() {
                world.turn(&READERS, 64, None);
                world.check();
                assert!(world.passed_by_all(), "left in a poisoned file");
            } else {
                world.drain();
            }
        }
        for (path, world) in self.old.drain(..).chain(self.now.take()) {
            count(self.sum, &world);
            fs::remove_file(path).unwrap();
        }
        assert_eq!(files(&self.dir).unwrap(), []);
    }
}

fn count(sum: &mut Sum, world: &World) {
    sum.deaths += world.deaths;
    sum.events += world.committed.iter().map(|c| c.len() as u64).sum::<u64>();
}

#[test]
fn in_any_order_of_operations_deaths_and_disk_faults_the_books_close() {
    let (count, seed) = (number("COUNT", 100), number("SEED", std::process::id().into()));
    println!("seed {seed}");
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let config = Config { cases: count as u32, failure_persistence: None, ..Config::default() };
    let sum = std::cell::RefCell::new(Sum::default());
    let operations = prop::collection::vec(operation(), 1..200);
    let case = (any::<bool>(), 2..8u32, operations);
    TestRunner::new_with_rng(config, rng)
        .run(&case, |(overwrite, blocks, operations)| {
            let scratch = Scratch::new("model");
            let policy = if overwrite { Overflow::Overwrite } else { Overflow::Reject };
            let (sum, dir) = (&mut *sum.borrow_mut(), scratch.to_path_buf());
            let (full, old, now) = (false, Vec::new(), None);
            let mut machine = Machine { sum, dir, policy, blocks, full, old, now };
            for operation in operations {
                machine.run(operation);
            }
            machine.end();
            Ok(())
        })
        .unwrap_or_else(|failure| panic!("SEED={seed}: {failure}"));
    let sum = sum.into_inner();
    assert!(count < 100 || sum.syncs_failed > 0 && sum.not_made > 0 && sum.stops > 0, "{sum:?}");
    println!(
        "row 8: cases={count}, actions={}, committed={}, deaths={}, syncs_failed={}, files={}, files_refused={}, \
         power_losses={}, shown={}, uncertain={}, unexplained=0",
        sum.actions,
        sum.events,
        sum.deaths,
        sum.syncs_failed,
        sum.files,
        sum.not_made,
        sum.stops,
        sum.shown,
        sum.missing
    );
}
