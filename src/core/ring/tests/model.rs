//! Any order of operations and deaths: the ring equals a list of what was committed.

use proptest::prelude::*;

use super::world::{READERS, World};
use crate::ring::configuration::Overflow;
use crate::ring::cursor::Who;
use crate::ring::layout::Geometry;
use crate::ring::pen::Refused;
use crate::ring::word::Phase;

/// What may happen to a ring; `dies` is the step before which the actor dies.
#[derive(Clone, Debug)]
enum Operation {
    Append { slot: u16, sizes: Vec<usize>, dies: Option<u64> },
    Leave { slot: u16 },
    Turn { live: bool, room: usize, dies: Option<u64> },
    Publisher { dies: Option<u64> },
}

const SLOTS: u16 = 3;

fn operation() -> impl Strategy<Value = Operation> {
    let dies = || prop::option::weighted(0.3, 0..40u64);
    let sizes = prop::collection::vec(0..120usize, 1..4);
    prop_oneof![
        8 => (0..SLOTS, sizes, dies())
            .prop_map(|(slot, sizes, dies)| Operation::Append { slot, sizes, dies }),
        2 => (0..SLOTS).prop_map(|slot| Operation::Leave { slot }),
        4 => (any::<bool>(), 0..300usize, dies())
            .prop_map(|(live, room, dies)| Operation::Turn { live, room, dies }),
        1 => dies().prop_map(|dies| Operation::Publisher { dies }),
    ]
}

fn run(world: &mut World, operation: Operation) {
    match operation {
        Operation::Append { slot, sizes, dies } => match world.append(slot, &sizes, dies) {
            Ok(()) => {}
            Err(Refused::TooLarge { bytes, limit }) => assert!(bytes > limit),
            Err(Refused::Poisoned) => panic!("nothing here is broken"),
            Err(Refused::Full { holder }) => {
                let scan = world.scan();
                assert_eq!(scan.blocks().free, 0, "refused, though a block is FREE");
                let sealed = scan.filled().iter().any(|f| f.state.phase == Phase::Sealed);
                assert!(world.policy == Overflow::Reject || !sealed);
                assert_eq!(holder.is_some(), world.policy == Overflow::Reject);
            }
        },
        Operation::Leave { slot } => world.leave(slot),
        Operation::Turn { live, room, dies } => {
            let who = if live { &READERS[..] } else { &[Who::Named(0)] };
            world.turn(who, room, dies);
        }
        Operation::Publisher { dies } => {
            if world.dying(dies, World::publisher).is_none() {
                world.publisher();
            }
        }
    }
}

proptest! {
    #[test]
    fn in_any_order_of_operations_and_deaths_the_books_close(
        overwrite: bool,
        blocks in 2..8u32,
        operations in prop::collection::vec(operation(), 1..80),
    ) {
        let policy = if overwrite { Overflow::Overwrite } else { Overflow::Reject };
        let mut world = World::new(Geometry { blocks, block_bytes: 256, slots: SLOTS }, policy);
        for operation in operations {
            run(&mut world, operation);
            world.check();
        }
        world.drain();
    }
}
