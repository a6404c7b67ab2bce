//! Syncing: what a sync covers, whom it wakes, and a death before every step of it.

use std::io;

use super::world::World;
use crate::id::{Seq, Stream};
use crate::ring::beginning::{number, settle};
use crate::ring::configuration::Overflow;
use crate::ring::doubt::Since;
use crate::ring::layout::{FAILED, Geometry, LAST_SYNC, SYNCING, SYNCS};
use crate::ring::memory::Memory;
use crate::ring::pen::Refused;
use crate::ring::sync::{Work, committed, cover, overheard, urge, work};

const ONE: Stream = Stream(0);
const HALF: &[usize] = &[40];

fn world() -> World {
    World::new(Geometry { blocks: 8, block_bytes: 128, slots: 3 }, Overflow::Reject)
}

fn synced(world: &World) -> u64 {
    world.view.synced(ONE).0
}

#[test]
fn a_sync_covers_what_was_committed_before_it_began_and_not_what_came_meanwhile() {
    let mut world = world();
    world.append(0, HALF, None).unwrap();
    assert_eq!((work(&world.view), synced(&world)), (Work::Some, 0));
    let slot = world.view.layout.slot(ONE);
    // Two commits while the system syncs.
    let (woken, done) = cover(&world.view, 5, || {
        world.view.store(slot.last(), 3);
        Ok(())
    });
    assert!(done.is_ok() && woken.is_empty(), "nobody waits");
    assert_eq!((synced(&world), world.view.load(LAST_SYNC)), (1, 5));
    assert_eq!(work(&world.view), Work::Some);
    cover(&world.view, 6, || Ok(())).1.unwrap();
    assert_eq!((synced(&world), work(&world.view)), (3, Work::None));
}

#[test]
fn who_waits_for_a_sync_makes_it_urgent_until_one_covers_it_and_is_woken() {
    let mut world = world();
    world.append(0, HALF, None).unwrap();
    world.append(1, HALF, None).unwrap();
    urge(&world.view, ONE, Seq(1));
    assert_eq!(work(&world.view), Work::Urgent);
    assert_eq!(cover(&world.view, 1, || Ok(())).0, [ONE], "the other one's worker sleeps on");
    assert_eq!(work(&world.view), Work::None);
    world.append(0, HALF, None).unwrap();
    assert_eq!(work(&world.view), Work::Some, "nobody waits for this one");
    assert!(cover(&world.view, 2, || Ok(())).0.is_empty());
}

#[test]
fn a_sync_that_fails_covers_nothing_and_poisons_the_file_for_good() {
    let mut world = world();
    world.append(0, HALF, None).unwrap();
    cover(&world.view, 1, || Ok(())).1.unwrap();
    world.append(0, HALF, None).unwrap();
    urge(&world.view, ONE, Seq(2));
    let (woken, done) = cover(&world.view, 2, || Err(io::Error::from_raw_os_error(5)));
    assert_eq!(done.unwrap_err().raw_os_error(), Some(5));
    assert!(woken.contains(&ONE), "who waits is told");
    assert_eq!((synced(&world), world.view.load(LAST_SYNC)), (1, 1));
    assert_eq!(world.append(0, HALF, None), Err(Refused::Poisoned));
    assert_eq!(work(&world.view), Work::None, "a second sync would succeed, and mean nothing");
}

#[test]
fn the_beginnings_and_ends_of_syncs_are_counted_whoever_was_killed_between() {
    let mut world = world();
    let sync = |world: &World, under_way: u64| {
        cover(&world.view, 1, || {
            assert_eq!(world.view.load(SYNCS), under_way);
            Ok(())
        })
        .1
        .unwrap();
        assert_eq!(world.view.load(SYNCS), under_way + 1);
    };
    sync(&world, 1);
    sync(&world, 3);
    let killed = world.dying(Some(1), |world| cover(&world.view, 1, || Ok(())).1.unwrap());
    assert_eq!((killed, world.view.load(SYNCS)), (None, 5));
    sync(&world, 5);
}

#[test]
fn the_first_sync_that_succeeds_ends_the_row_of_those_that_failed() {
    let mut world = world();
    world.view.store(FAILED, 3);
    world.append(0, HALF, None).unwrap();
    cover(&world.view, 1, || Ok(())).1.unwrap();
    assert_eq!(world.view.load(FAILED), 0);
}

/// Who is told of an error is killed before every step that follows. Nobody else is told, so the next one's sync succeeds.
#[test]
fn after_a_sync_that_failed_nobody_covers_anything_whoever_died_at_which_step() {
    let mut deaths = 0;
    for step in 0.. {
        let mut world = world();
        for slot in [0, 1] {
            world.append(slot, HALF, None).unwrap();
        }
        let early = Since::now(&world.view);
        let mut told = false;
        let done = world.dying(Some(step), |world| {
            let failing = || {
                told = true;
                Err(io::Error::from_raw_os_error(5))
            };
            cover(&world.view, 1, failing).1.unwrap_err();
        });
        let late = Since::now(&world.view);
        let bad = world.view.poisoned() || !late.hears(&world.view);
        assert!(bad || !told, "{step}: who comes later would trust the disk");
        assert!(early.hears(&world.view), "{step}: who was there before is told");
        assert_eq!(synced(&world), 0, "{step}");
        if !world.view.poisoned() {
            // Told too, and killed as well: who came between the two is no wiser.
            world.dying(Some(0), |world| {
                cover(&world.view, 2, || Err(io::Error::from_raw_os_error(5))).1.unwrap_err();
            });
            assert!(!told || !late.hears(&world.view), "{step}: between two deaths");
            // One who was there before, and is told nothing: it was none.
            cover(&world.view, 3, || Ok(())).1.unwrap();
            assert!(Since::now(&world.view).hears(&world.view), "{step}: known again");
        }
        if done.is_some() {
            break;
        }
        deaths += 1;
    }
    assert!(deaths >= 3, "{deaths}");
}

#[test]
fn whoever_dies_before_any_step_of_a_sync_has_covered_no_more_than_was_synced() {
    let mut deaths = 0;
    for step in 0.. {
        let mut world = world();
        for slot in [0, 0, 1] {
            world.append(slot, HALF, None).unwrap();
        }
        let mut on_disk = 0;
        let done = world.dying(Some(step), |world| {
            let at_begin = world.view.last(ONE).0;
            cover(&world.view, 1, || {
                on_disk = at_begin;
                Ok(())
            })
        });
        assert!(synced(&world) <= on_disk, "{step}");
        cover(&world.view, 2, || Ok(())).1.unwrap();
        assert_eq!((synced(&world), work(&world.view)), (2, Work::None), "the next one goes on");
        if done.is_some() {
            break;
        }
        deaths += 1;
    }
    assert!(deaths >= 3, "{deaths}");
}

/// Who syncs sets its flag and looks, a writer commits and takes the flag, in every order: work and a sleeper never meet
/// without a bell.
#[test]
fn in_no_order_of_steps_does_who_syncs_sleep_while_there_is_work() {
    for (urgent, flag) in [(false, 1), (true, 1), (true, 2)] {
        for order in 0_u32..1 << 6 {
            let world = world();
            world.view.count_stream(ONE);
            let slot = world.view.layout.slot(ONE);
            if flag == 2 {
                // What makes it pause, and not sleep without end.
                world.view.store(slot.last(), 1);
            }
            let known = work(&world.view);
            let (mut seen, mut asleep, mut rung) = (false, false, false);
            let (mut syncer, mut writer) = (0, 0);
            let mut step = |syncs: bool| {
                if syncs {
                    match syncer {
                        0 => world.view.store(SYNCING, flag),
                        1 => seen = work(&world.view) != known,
                        2 => asleep = !seen,
                        _ => {}
                    }
                    syncer += 1;
                } else {
                    match writer {
                        0 => world.view.store(slot.last(), 2),
                        1 => rung |= committed(&world.view),
                        2 if urgent => rung |= urge(&world.view, ONE, Seq(2)),
                        _ => {}
                    }
                    writer += 1;
                }
            };
            (0..6).for_each(|bit| step(order >> bit & 1 == 1));
            (0..3).for_each(|_| step(true));
            (0..3).for_each(|_| step(false));
            assert!(seen || rung || !asleep, "{urgent} {flag} {order:06b}");
        }
    }
}

#[test]
fn a_bell_that_was_lost_with_its_ringer_is_noticed_by_others_and_by_nobody_while_all_is_well() {
    let mut world = world();
    world.append(0, HALF, None).unwrap();
    cover(&world.view, 1, || Ok(())).1.unwrap();
    world.view.store(SYNCING, 1);
    assert!(!overheard(&world.view), "idle");
    world.view.store(world.view.layout.slot(ONE).last(), 2);
    assert!(committed(&world.view), "and now it is killed before it rings");
    assert!(overheard(&world.view));
    world.view.memory.store(SYNCING, 2);
    assert!(!overheard(&world.view), "it is awake, and pauses");
}

/// A slot's holder that syncs for itself is told of an error, and killed before every step of it. Nobody else is told.
#[test]
fn after_a_holders_own_sync_that_failed_nobody_who_came_later_goes_on_whoever_died_at_which_step() {
    let failing = || Err(io::Error::from_raw_os_error(5));
    let (mut deaths, mut told) = (0, false);
    for step in 0.. {
        let mut world = world();
        world.view.count_stream(ONE);
        let early = Since::now(&world.view);
        let done = world.dying(Some(step), |world| {
            let flush = || {
                told = true;
                failing()
            };
            settle(&world.view, ONE, flush).unwrap_err();
        });
        let late = Since::now(&world.view);
        let bad = |since: Since| !since.hears_beginning(number(&world.view, ONE));
        assert!(world.view.poisoned() || bad(late) || !told, "{step}: it would trust the disk");
        assert!(!bad(early), "{step}: who was there before is told");
        if done.is_some() {
            break;
        }
        deaths += 1;
        // One who was there before is killed as well: who came between the two is no wiser.
        world.dying(Some(0), |world| settle(&world.view, ONE, failing).unwrap_err());
        let bad = |since: Since| !since.hears_beginning(number(&world.view, ONE));
        assert!(world.view.poisoned() || bad(late) || !told, "{step}: between two deaths");
        settle(&world.view, ONE, || Ok(())).unwrap();
        assert_eq!(number(&world.view, ONE), 0, "{step}: known again");
    }
    assert!(deaths >= 3, "{deaths}");
}

#[test]
fn a_holders_own_sync_has_a_number_of_its_own() {
    let world = world();
    let two = Stream(1);
    for stream in [ONE, two] {
        world.view.count_stream(stream);
    }
    let seen = |stream| number(&world.view, stream);
    settle(&world.view, ONE, || {
        assert_eq!(seen(ONE), 1);
        settle(&world.view, two, || {
            assert_eq!((seen(ONE), seen(two)), (1, 2));
            let between = Since::now(&world.view);
            assert!(!between.hears_beginning(1) && !between.hears_beginning(2));
            assert!(between.hears_beginning(3) && between.hears_beginning(0));
            Ok(())
        })
    })
    .unwrap();
    assert_eq!((seen(ONE), seen(two)), (0, 0));
}
