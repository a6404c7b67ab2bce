//! A death before every step, of a writer and of the publisher, from every state that matters.

use super::world::{NOW, READERS, World, name};
use crate::id::{Seq, Stream};
use crate::ring::configuration::{Configuration, Overflow};
use crate::ring::cursor::{self, Cursor, Who};
use crate::ring::hand::Hand;
use crate::ring::hours::span;
use crate::ring::layout::Geometry;
use crate::ring::pen::Pen;

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

#[test]
fn a_publisher_that_dies_while_it_gives_names_places_leaves_no_name_with_anothers_cursors() {
    let named = |names: [&str; 4]| Configuration {
        policy: Overflow::Overwrite,
        subscribers: names.map(name).to_vec(),
        configured_at: 1,
    };
    let (old, new) = (["a", "b", "c", "d"], ["e", "f", "g", "h"]);
    let both = [Stream(0), Stream(1)];
    // Of the first stream only its OPEN block is left, of the second one three blocks.
    let fresh = |stream: Stream| {
        let start = Seq([5, 2][usize::from(stream.0)]);
        Cursor { start, acked: start, unheld: start, ..Cursor::default() }
    };
    let mut deaths = 0;
    for (then, step) in [old, new].into_iter().flat_map(|then| (0..400).map(move |s| (then, s))) {
        let mut world = World::new(GEOMETRY, Overflow::Overwrite);
        (0..6).for_each(|_| append(&mut world, 0, &[WHOLE]));
        (0..5).for_each(|_| append(&mut world, 1, &[WHOLE]));
        let used = |stream: Stream| {
            let Cursor { start, .. } = fresh(stream);
            Cursor { acked: start.next(), dead: 1, ..fresh(stream) }
        };
        let hand = Hand::new(&world.view, &named(old), NOW).unwrap();
        for (who, stream) in (0..4).flat_map(|who| both.map(|s| (who, s))) {
            let index = hand.index(Who::Named(who));
            assert_eq!(cursor::read(&world.view, stream, index), fresh(stream));
            cursor::store(&world.view, stream, index, used(stream));
        }
        if world
            .dying(Some(step), |world| Hand::new(&world.view, &named(new), NOW).unwrap())
            .is_some()
        {
            continue;
        }
        deaths += 1;
        let hand = Hand::new(&world.view, &named(then), NOW).unwrap();
        for who in 0..4 {
            let now = |s| cursor::read(&world.view, s, hand.index(Who::Named(who)));
            let all =
                |cursor: &dyn Fn(Stream) -> Cursor| both.iter().all(|s| now(*s) == cursor(*s));
            assert!(all(&fresh) || all(&used) && then == old, "{step} {who} {:?}", both.map(now));
        }
    }
    assert!(deaths > 100, "{deaths}");
}

#[test]
fn a_pair_of_hour_and_seq_that_was_being_replaced_when_its_writer_died_does_not_hold() {
    const HOUR: u64 = 3_600_000_000_000;
    let mut deaths = 0;
    for step in 0..40 {
        let geometry = Geometry { blocks: 64, block_bytes: 128, slots: 1 };
        let mut world = World::new(geometry, Overflow::Reject);
        world.view.count_stream(Stream(0));
        let mut pen = Pen::take_over(&world.view, Stream(0), || true).unwrap();
        for hour in 1..=70 {
            pen.append(&world.view, hour * HOUR, &[b"x"]).unwrap();
        }
        let died = world.dying(Some(step), |w| pen.append(&w.view, 71 * HOUR, &[b"x"]).is_ok());
        deaths += u64::from(died.is_none());
        let pen = Pen::take_over(&world.view, Stream(0), || true).unwrap();
        // One pair may be void now: of 64, the newest 63 are certain.
        for seq in 1..=pen.last().0 {
            let told = span(&world.view, Stream(0), Seq(seq), Seq(seq)).1;
            assert!(told == seq || told == 0 && seq <= pen.last().0 - 63, "{step} {seq} {told}");
        }
    }
    assert!(deaths > 5, "{deaths}");
}
