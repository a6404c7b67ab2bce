//! A death before every step, of a writer and of the publisher, from every state that matters.

use super::world::{READERS, World};
use crate::ring::configuration::Overflow;
use crate::ring::cursor::Who;
use crate::ring::layout::Geometry;

const GEOMETRY: Geometry = Geometry { blocks: 4, block_bytes: 128, slots: 3 };
/// An event of which two fit a block.
const HALF: usize = 40;
/// One that fills a block.
const WHOLE: usize = 100;

type Prepare = fn(&mut World);

/// States to die in.
fn states(policy: Overflow) -> Vec<(&'static str, Prepare)> {
    let mut states: Vec<(&'static str, Prepare)> = vec![
        ("empty", |_| {}),
        ("begun", |world| append(world, 0, &[HALF])),
        ("full block", |world| append(world, 0, &[WHOLE])),
        ("wrap", |world| {
            for _ in 0..6 {
                append(world, 0, &[WHOLE]);
                world.turn(&READERS, 64, None);
            }
        }),
        ("take over", |world| {
            append(world, 0, &[HALF]);
            world.leave(0);
        }),
        ("two streams", |world| {
            append(world, 1, &[HALF]);
            append(world, 0, &[HALF, HALF]);
            world.leave(1);
        }),
    ];
    let full: Prepare = |world| while world.append(0, &[WHOLE], None).is_ok() {};
    let take: Prepare = |world| (0..5).for_each(|_| append(world, 0, &[WHOLE]));
    states.push(match policy {
        Overflow::Reject => ("full", full),
        Overflow::Overwrite => ("take", take),
    });
    states
}

fn append(world: &mut World, slot: u16, sizes: &[usize]) {
    world.append(slot, sizes, None).unwrap();
}

/// From each state, dies before each step of `act`, until it has no more steps; then everything goes on.
fn dies_everywhere(act: fn(&mut World, Option<u64>)) -> u64 {
    let mut deaths = 0;
    for policy in [Overflow::Reject, Overflow::Overwrite] {
        for (state, prepare) in states(policy) {
            for step in 0.. {
                let mut world = World::new(GEOMETRY, policy);
                prepare(&mut world);
                world.check();
                let before = world.committed.clone();
                act(&mut world, Some(step));
                let died = world.deaths > 0;
                for (now, before) in world.committed.iter().zip(&before) {
                    assert!(now.starts_with(before), "{policy:?} {state} {step}");
                }
                world.check();
                // What was acknowledged to nobody delays nobody; another stream does not notice.
                for slot in [0, 2] {
                    world.turn(&READERS, 64, None);
                    world.turn(&READERS, 64, None);
                    append(&mut world, slot, &[HALF]);
                    world.check();
                }
                world.drain();
                if !died {
                    break;
                }
                deaths += 1;
                assert!(step < 1000, "it never ends");
            }
        }
    }
    deaths
}

#[test]
fn a_writer_that_dies_before_any_step_leaves_all_of_its_event_or_nothing_and_delays_nobody() {
    let deaths = dies_everywhere(|world, dies| {
        let _ = world.append(0, &[HALF], dies);
    });
    assert!(deaths > 100, "{deaths}");
}

#[test]
fn a_batch_is_committed_whole_or_not_at_all() {
    let deaths = dies_everywhere(|world, dies| {
        let _ = world.append(0, &[HALF, HALF - 8], dies);
    });
    assert!(deaths > 100, "{deaths}");
}

#[test]
fn a_writer_that_takes_a_slot_over_may_die_before_any_step_of_that() {
    let deaths = dies_everywhere(|world, dies| {
        world.leave(0);
        let _ = world.append(0, &[WHOLE], dies);
    });
    assert!(deaths > 100, "{deaths}");
}

#[test]
fn a_publisher_that_dies_before_any_step_delivers_and_counts_each_event_once() {
    let deaths = dies_everywhere(|world, dies| world.turn(&READERS, 64, dies));
    assert!(deaths > 100, "{deaths}");
}

#[test]
fn a_publisher_that_acts_for_a_dead_writer_may_die_before_any_step_of_that() {
    let deaths = dies_everywhere(|world, dies| {
        world.leave(0);
        world.leave(1);
        world.turn(&[Who::Named(0)], 64, None);
        world.turn(&READERS, 64, dies);
    });
    assert!(deaths > 40, "{deaths}");
}

#[test]
fn a_new_publisher_may_die_before_any_step_of_its_beginning() {
    let deaths = dies_everywhere(|world, dies| {
        if world.dying(dies, World::publisher).is_none() {
            world.publisher();
        }
    });
    assert!(deaths > 100, "{deaths}");
}
