//! Who waits until its events are acknowledged: how far they are, and that no bell is missed.

use super::world::{World, name};
use crate::id::{Region, Seq, Stream};
use crate::ring::bell::rouse;
use crate::ring::configuration::{Configuration, Overflow, Written};
use crate::ring::cursor::{self, Cursor};
use crate::ring::hand::Hand;
use crate::ring::layout::{Geometry, Layout};
use crate::ring::memory::{Heap, Memory};
use crate::ring::reach::Reach;
use crate::ring::view::View;

const ONE: Stream = Stream(0);
const GEOMETRY: Geometry = Geometry { blocks: 4, block_bytes: 128, slots: 2 };

fn of(names: &[&str], configured_at: u64) -> Configuration {
    let subscribers = names.iter().map(|text| name(text)).collect();
    Configuration { policy: Overflow::Overwrite, subscribers, configured_at }
}

fn acked(world: &World, own: &Configuration) -> Option<u64> {
    Reach::of(&world.view, ONE, own).map(|reach| reach.acked.0)
}

fn store(world: &World, place: usize, acked: u64, lost: u64, dead: u64) {
    let cursor = Cursor { acked: Seq(acked), lost, dead, ..Cursor::default() };
    cursor::store(&world.view, ONE, place + 1, cursor);
}

#[test]
fn a_stream_is_as_far_as_the_slowest_of_all_names_in_force() {
    let mut world = World::new(GEOMETRY, Overflow::Overwrite);
    world.append(0, &[40, 40], None).unwrap();
    let both = of(&["kafka", "archive"], 2);
    world.hand = Hand::new(&world.view, &both, super::world::NOW);
    store(&world, 0, 2, 0, 0);
    assert_eq!(acked(&world, &both), Some(0));
    store(&world, 1, 1, 0, 0);
    assert_eq!(acked(&world, &both), Some(1));
    assert_eq!(
        acked(&world, &of(&["kafka"], 1)),
        Some(1),
        "an old worker waits for the new name, too"
    );
}

#[test]
fn nothing_is_reached_before_ones_own_names_are_in_force_unless_a_newer_configuration_left_them_out()
 {
    let world = World::new(GEOMETRY, Overflow::Overwrite);
    store(&world, 0, 7, 0, 0);
    assert_eq!(acked(&world, &of(&["kafka"], 1)), Some(7));
    assert_eq!(
        acked(&world, &of(&["kafka", "archive"], 2)),
        None,
        "its publisher is still to come"
    );
    assert_eq!(acked(&world, &of(&["archive"], 0)), Some(7), "a newer one left it out");
    let mut written = Written::read(&world.view);
    written.places[0].as_mut().unwrap().active = false;
    written.store(&world.view);
    assert_eq!(acked(&world, &of(&[], 1)), None, "nobody is named");
}

#[test]
fn a_loss_shows_between_two_looks_and_a_dead_letter_is_none() {
    let world = World::new(GEOMETRY, Overflow::Overwrite);
    let own = of(&["kafka"], 1);
    let look = || Reach::of(&world.view, ONE, &own).unwrap();
    store(&world, 0, 3, 1, 0);
    let before = look();
    store(&world, 0, 5, 1, 2);
    assert!(look().whole_since(&before), "two dead letters");
    store(&world, 0, 6, 2, 2);
    assert!(!look().whole_since(&before));
    assert!(look().whole_since(&look()));
}

/// The steps of a worker that waits for seq 1, and of a publisher that stores it, in every order: the worker never
/// sleeps without a bell when what it waits for is there.
#[test]
fn in_no_order_of_steps_does_a_worker_sleep_through_what_it_waits_for() {
    for order in 0_u32..1 << 6 {
        let layout = Layout::new(GEOMETRY);
        let view = View { memory: Heap::new(layout.words()), layout, region: Region(1) };
        let (flag, cursor) =
            (layout.slot(ONE).waiting(), layout.slot(ONE).cursor(1).copy(0).plus(1));
        let (mut seen, mut asleep, mut rung) = (false, false, false);
        let (mut worker, mut publisher) = (0, 0);
        let mut step = |works: bool| {
            if works {
                match worker {
                    0 => view.store(flag, 1),
                    1 => seen = view.load(cursor) == 1,
                    2 => asleep = !seen,
                    _ => {}
                }
                worker += 1;
            } else {
                match publisher {
                    0 => view.store(cursor, 1),
                    1 => rung = rouse(&view, flag),
                    _ => {}
                }
                publisher += 1;
            }
        };
        (0..6).for_each(|bit| step(order >> bit & 1 == 1));
        (0..3).for_each(|_| step(true));
        (0..2).for_each(|_| step(false));
        assert!(seen || rung || !asleep, "{order:06b}");
    }
}

/// Who is killed between taking the flag and ringing costs one tick: the next look arms again, and finds all.
#[test]
fn after_a_bell_that_was_lost_the_next_look_finds_what_was_stored() {
    let world = World::new(GEOMETRY, Overflow::Reject);
    let flag = world.view.layout.slot(ONE).waiting();
    world.view.store(flag, 1);
    store(&world, 0, 1, 0, 0);
    assert!(rouse(&world.view, flag), "taken, and then it was killed");
    assert!(!rouse(&world.view, flag), "nobody else rings in its place");
    world.view.memory.store(flag, 1);
    assert_eq!(acked(&world, &of(&["kafka"], 1)), Some(1));
}
