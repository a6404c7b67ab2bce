//! Each rule by itself.

use super::world::{NOW, READERS, World, name};
use crate::id::{Seq, Stream};
use crate::ring::block;
use crate::ring::configuration::{Configuration, Overflow, Written, state};
use crate::ring::cursor::{self, Cursor, Who};
use crate::ring::eye::{Eye, Next};
use crate::ring::hand::Hand;
use crate::ring::known::Known;
use crate::ring::layout::{FREED, Geometry, SLEEPING};
use crate::ring::ledger::Ledger;
use crate::ring::memory::Memory;
use crate::ring::pen::{NotTaken, Pen, Refused};
use crate::ring::reach::Reach;
use crate::ring::scan::{Sampled, Scan};
use crate::ring::word::{BlockState, Phase};

/// A record of it fills a block of 128 bytes; of the others two fit.
const WHOLE: &[usize] = &[100];
const HALF: &[usize] = &[40];
const ONE: Stream = Stream(0);
const NAMED: &[Who] = &[Who::Named(0)];

fn world(blocks: u32, policy: Overflow) -> World {
    World::new(Geometry { blocks, block_bytes: 128, slots: 4 }, policy)
}

fn next(world: &mut World, stream: Stream, after: u64, room: usize) -> Next {
    let scan = world.scan();
    Eye::default().next(&world.view, &scan, stream, Seq(after), room, &mut Vec::new())
}

fn slice(first: u64, count: u32) -> Next {
    Next::Slice { first: Seq(first), count }
}

fn state_of(world: &World, block: u32) -> BlockState {
    block::state(&world.view, block)
}

/// Flips one bit of a record, at the end of the first block.
fn spoil(world: &World, block: u32) {
    let at = world.view.layout.block(block).data(24);
    let word = world.view.load(at);
    world.view.store(at, word ^ 1);
}

#[test]
fn the_next_holder_of_a_slot_goes_on_in_its_seq_and_its_open_block() {
    let mut world = world(4, Overflow::Reject);
    world.append(0, HALF, None).unwrap();
    world.leave(0);
    world.append(0, HALF, None).unwrap();
    assert_eq!(next(&mut world, ONE, 0, 1000), slice(1, 2));
    assert_eq!(world.scan().filled().count(), 1, "one block for both");
}

#[test]
fn a_commit_that_the_slots_last_does_not_show_yet_is_taken_over() {
    let mut world = world(4, Overflow::Reject);
    world.append(0, HALF, None).unwrap();
    world.leave(0);
    world.view.store(world.view.layout.slot(ONE).last(), 0);
    let pen = Pen::take_over(&world.view, ONE, || true).unwrap();
    assert_eq!((pen.last(), world.view.last(ONE)), (Seq(1), Seq(1)));
}

#[test]
fn a_committed_record_that_fails_its_check_at_a_take_over_poisons_the_file() {
    let mut world = world(4, Overflow::Reject);
    world.append(0, HALF, None).unwrap();
    world.append(1, HALF, None).unwrap();
    world.leave(0);
    spoil(&world, 0);
    assert!(matches!(Pen::take_over(&world.view, ONE, || true), Err(NotTaken::Broken)));
    assert_eq!(world.append(1, HALF, None), Err(Refused::Poisoned));
    assert!(state(&world.view).poisoned);
}

#[test]
fn a_writer_that_was_refused_looks_again_only_when_freed_has_moved() {
    let mut world = world(2, Overflow::Reject);
    while world.append(0, WHOLE, None).is_ok() {}
    let sealed = state_of(&world, 0);
    assert_eq!(sealed.phase, Phase::Sealed);
    let at = world.view.layout.block(0).state();
    assert!(world.view.memory.swap(at, sealed.into(), sealed.to(Phase::Free).into()));
    assert!(matches!(world.append(0, WHOLE, None), Err(Refused::Full { .. })), "no look");
    world.view.memory.raise(FREED);
    assert_eq!(world.append(0, WHOLE, None), Ok(()));
}

#[test]
fn a_new_publisher_moves_freed_since_the_one_before_may_have_died_before_it_did() {
    let mut world = world(2, Overflow::Reject);
    let before = world.view.freed();
    world.publisher();
    assert_eq!(world.view.freed(), before + 1);
}

#[test]
fn before_any_publisher_nothing_is_overwritten() {
    let mut world = world(2, Overflow::Overwrite);
    // As in a new file.
    let written = Written { policy: None, ..Written::read(&world.view) };
    written.store(&world.view);
    for _ in 0..2 {
        world.append(0, WHOLE, None).unwrap();
    }
    assert!(matches!(world.append(0, WHOLE, None), Err(Refused::Full { .. })));
}

#[test]
fn overwrite_takes_the_sealed_block_of_the_lowest_ticket_and_never_an_open_one() {
    let mut world = world(4, Overflow::Overwrite);
    world.append(1, HALF, None).unwrap();
    for _ in 0..9 {
        world.append(0, WHOLE, None).unwrap();
    }
    assert_eq!(state_of(&world, 0).slot, Stream(1));
    assert_eq!(next(&mut world, Stream(1), 0, 1000), slice(1, 1));
    let lost = next(&mut world, ONE, 0, 1000);
    assert!(matches!(lost, Next::Lost { to: Seq(6), .. }), "the newest three are there: {lost:?}");
    world.turn(&READERS, 64, None);
    world.check();
}

#[test]
fn nothing_is_taken_any_more_once_reject_is_written_even_if_its_publisher_died_right_then() {
    let mut world = world(4, Overflow::Overwrite);
    for _ in 0..5 {
        world.append(0, WHOLE, None).unwrap();
    }
    let written = Written { policy: Some(Overflow::Reject), ..Written::read(&world.view) };
    written.store(&world.view);
    assert!(matches!(world.append(0, WHOLE, None), Err(Refused::Full { .. })));
}

#[test]
fn the_next_holder_of_a_slot_moves_freed_since_the_one_before_may_have_died_before_it_did() {
    let mut world = world(2, Overflow::Reject);
    world.view.count_stream(Stream(1));
    block::claim(&world.view, 1, state_of(&world, 1), Stream(1)).unwrap();
    world.append(0, WHOLE, None).unwrap();
    assert!(matches!(world.append(0, WHOLE, None), Err(Refused::Full { .. })));
    let claimed = state_of(&world, 1);
    let at = world.view.layout.block(1).state();
    assert!(world.view.memory.swap(at, claimed.into(), claimed.to(Phase::Free).into()));
    assert!(matches!(world.append(0, WHOLE, None), Err(Refused::Full { .. })), "no look");
    Pen::take_over(&world.view, Stream(1), || true).unwrap();
    assert_eq!(world.append(0, WHOLE, None), Ok(()));
}

#[test]
fn the_end_of_an_open_block_is_remembered_also_when_nothing_is_there_yet() {
    let mut world = world(4, Overflow::Reject);
    world.append(0, HALF, None).unwrap();
    let eye = Eye::default();
    let next = |world: &mut World| {
        let scan = world.scan();
        eye.next(&world.view, &scan, ONE, Seq(1), 1000, &mut Vec::new())
    };
    assert_eq!(next(&mut world), Next::Nothing);
    // Who searched from the block's start again would not come past this.
    world.view.store(world.view.layout.block(0).data(0).plus(1), 99);
    world.append(0, HALF, None).unwrap();
    assert_eq!(next(&mut world), slice(2, 1));
}

#[test]
fn overwrite_refuses_only_when_every_block_is_open() {
    let mut world = world(2, Overflow::Overwrite);
    world.append(0, HALF, None).unwrap();
    world.append(1, HALF, None).unwrap();
    assert_eq!(world.append(2, HALF, None), Err(Refused::Full { holder: None }));
}

#[test]
fn claims_take_the_free_block_of_the_lowest_ticket_so_live_replays_as_far_as_the_ring_reaches() {
    let mut world = world(8, Overflow::Reject);
    for _ in 0..30 {
        world.append(0, WHOLE, None).unwrap();
        world.turn(NAMED, 64, None);
    }
    // One block is open, and all others are free; yet they are read.
    assert_eq!(world.scan().blocks().free, 7);
    let lost = next(&mut world, ONE, 0, 1000);
    assert!(matches!(lost, Next::Lost { to: Seq(22), .. }), "{lost:?}");
    for seq in 23..=30 {
        assert_eq!(next(&mut world, ONE, seq - 1, 1000), slice(seq, 1));
    }
}

#[test]
fn a_block_is_freed_only_when_every_named_subscriber_has_acknowledged_all_in_it() {
    let mut world = world(4, Overflow::Reject);
    for _ in 0..3 {
        world.append(0, WHOLE, None).unwrap();
    }
    let subscribers = vec![name("kafka"), name("other")];
    let both = Configuration { subscribers, ..world.configuration() };
    let mut hand = Hand::new(&world.view, &both, NOW).unwrap();
    let acked = |seq| Cursor { acked: Seq(seq), ..Cursor::default() };
    cursor::store(&world.view, ONE, hand.index(Who::Named(0)), acked(2));
    let scan = world.scan();
    assert_eq!(hand.free(&world.view, &scan), 0);
    cursor::store(&world.view, ONE, hand.index(Who::Named(1)), acked(1));
    assert_eq!(hand.free(&world.view, &scan), 1);
}

#[test]
fn a_name_that_left_keeps_its_cursor_and_holds_nothing_back() {
    let mut world = world(4, Overflow::Reject);
    for _ in 0..3 {
        world.append(0, WHOLE, None).unwrap();
    }
    let named = |names: &[&str]| Configuration {
        policy: Overflow::Reject,
        subscribers: names.iter().map(|n| name(n)).collect(),
        configured_at: 2,
    };
    let hand = Hand::new(&world.view, &named(&["kafka", "left"]), NOW).unwrap();
    let at = Cursor { acked: Seq(1), dead: 1, ..Cursor::default() };
    cursor::store(&world.view, ONE, hand.index(Who::Named(1)), at);
    let mut hand = Hand::new(&world.view, &named(&["kafka"]), NOW).unwrap();
    let acked = Cursor { acked: Seq(3), ..Cursor::default() };
    cursor::store(&world.view, ONE, hand.index(Who::Named(0)), acked);
    let scan = world.scan();
    assert_eq!(hand.free(&world.view, &scan), 2);
    let left = &Ledger::of(&world.view).subscribers[1];
    assert_eq!((left.name.as_str(), left.active), ("left", false));
    let hand = Hand::new(&world.view, &named(&["left", "kafka"]), NOW).unwrap();
    assert_eq!(cursor::read(&world.view, ONE, hand.index(Who::Named(0))), at);
}

/// A publisher by a configuration of this time, that names these.
fn reject_at(world: &World, configured_at: u64, names: &[&str]) -> Option<Hand> {
    let subscribers = names.iter().map(|n| name(n)).collect();
    let policy = Overflow::Reject;
    Hand::new(&world.view, &Configuration { policy, subscribers, configured_at }, NOW)
}

#[test]
fn who_publishes_by_an_older_configuration_frees_nothing_that_the_newer_one_holds() {
    let mut world = world(4, Overflow::Overwrite);
    for _ in 0..3 {
        world.append(0, WHOLE, None).unwrap();
    }
    reject_at(&world, 5, &["kafka", "later"]).unwrap();
    let old = world.configuration();
    let mut hand = Hand::new(&world.view, &old, NOW).unwrap();
    let written = Written::read(&world.view);
    assert_eq!((written.policy, written.configured_at), (Some(Overflow::Reject), 5));
    assert_eq!(written.active().count(), 2);
    assert_eq!(state(&world.view).holder_configured_at, 1);
    let acked = Cursor { acked: Seq(3), ..Cursor::default() };
    cursor::store(&world.view, ONE, hand.index(Who::Named(0)), acked);
    let scan = world.scan();
    assert_eq!(hand.free(&world.view, &scan), 0, "\"later\" has none of it");
    // Once it is over, the newer one goes on where it was.
    let mut hand = reject_at(&world, 5, &["kafka", "later"]).unwrap();
    assert_eq!(hand.free(&world.view, &scan), 0);
    cursor::store(&world.view, ONE, hand.index(Who::Named(1)), acked);
    assert_eq!(hand.free(&world.view, &scan), 2);
}

#[test]
fn a_name_of_an_older_configuration_alone_is_served_where_there_is_a_place_and_holds_nothing_back()
{
    let mut world = world(4, Overflow::Reject);
    for _ in 0..3 {
        world.append(0, WHOLE, None).unwrap();
    }
    reject_at(&world, 5, &["a", "b", "c"]).unwrap();
    // In the order of its own places.
    let hand = reject_at(&world, 4, &["old", "kafka"]);
    assert!(hand.is_none(), "kafka kept its place, and there is none for both");
    let mut hand = reject_at(&world, 4, &["b", "old"]).unwrap();
    let acked = Cursor { acked: Seq(3), ..Cursor::default() };
    let ours = hand.index(Who::Named(1));
    let of_a =
        Ledger::of(&world.view).subscribers.iter().find(|s| s.name == name("a")).unwrap().place;
    assert_ne!(ours, of_a + 1);
    for place in 0..4 {
        if place + 1 != ours {
            cursor::store(&world.view, ONE, place + 1, acked);
        }
    }
    let scan = world.scan();
    assert_eq!(hand.free(&world.view, &scan), 2);
}

#[test]
fn a_configuration_of_a_time_to_come_keeps_no_other_one_out() {
    let world = world(4, Overflow::Overwrite);
    reject_at(&world, NOW + 1, &["kafka"]).unwrap();
    reject_at(&world, NOW, &["other"]).unwrap();
    let written = Written::read(&world.view);
    assert_eq!(written.configured_at, NOW);
    let names: Vec<_> = written.active().map(|(_, name)| name.as_str().to_owned()).collect();
    assert_eq!(names, ["other"]);
}

#[test]
fn a_new_name_starts_at_the_oldest_event_still_there_also_in_the_place_of_one_that_left() {
    let mut world = world(4, Overflow::Overwrite);
    for _ in 0..6 {
        world.append(0, WHOLE, None).unwrap();
    }
    for (round, names) in
        [["a", "b", "c", "d"], ["e", "f", "g", "h"], ["a", "b", "c", "d"]].iter().enumerate()
    {
        let subscribers = names.iter().map(|n| name(n)).collect();
        let hand =
            Hand::new(&world.view, &Configuration { subscribers, ..world.configuration() }, NOW)
                .unwrap();
        for who in 0..4 {
            let index = hand.index(Who::Named(who));
            let two = Seq(2);
            let start = Cursor { start: two, acked: two, unheld: two, ..Cursor::default() };
            assert_eq!(cursor::read(&world.view, ONE, index), start, "round {round}");
            let acked = Cursor { acked: Seq(5), lost: 1, ..start };
            cursor::store(&world.view, ONE, index, acked);
        }
        let ledger = Ledger::of(&world.view);
        let has = |n: &&str| ledger.subscribers.iter().any(|s| s.name.as_str() == *n && s.active);
        assert!(names.iter().all(has), "{ledger:?}");
        assert_eq!(ledger.subscribers[0].books.committed, 4, "from its start");
    }
}

#[test]
fn what_a_new_name_found_in_free_blocks_and_did_not_read_in_time_is_not_lost_for_it() {
    let mut world = world(8, Overflow::Reject);
    for _ in 0..7 {
        world.append(0, WHOLE, None).unwrap();
    }
    world.turn(NAMED, 64, None);
    // Six blocks are FREE, one is OPEN: the first six events are there, and nobody holds them.
    let subscribers = vec![name("kafka"), name("fresh")];
    let both = Configuration { subscribers, ..world.configuration() };
    world.hand = Some(Hand::new(&world.view, &both, NOW).unwrap());
    let fresh = world.hand.as_ref().unwrap().index(Who::Named(1));
    let books = |world: &World| {
        let ledger = Ledger::of(&world.view);
        let books = ledger.subscribers.iter().find(|s| s.place + 1 == fresh).unwrap().books;
        assert_eq!(books.committed, books.delivered + books.in_ring + books.lost);
        (books.committed, books.in_ring, books.lost)
    };
    assert_eq!(books(&world), (7, 7, 0));
    // The block that was never used, then those of the first four.
    for _ in 0..5 {
        world.append(0, WHOLE, None).unwrap();
    }
    assert_eq!(books(&world), (8, 8, 0), "of twelve, four are gone");
    let cursor = cursor::read(&world.view, ONE, fresh);
    let Next::Lost { to, .. } = next(&mut world, ONE, cursor.acked.0, 64) else { panic!() };
    let passed = cursor.lose(to);
    assert_eq!((to, passed.start, passed.lost, passed.delivered()), (Seq(4), Seq(4), 0, 0));
    cursor::store(&world.view, ONE, fresh, passed);
    assert_eq!(books(&world), (8, 8, 0));
    // What was OPEN then is held.
    assert_eq!(passed.unheld, Seq(6));
    let all = Cursor { acked: Seq(5), ..passed }.lose(Seq(9));
    assert_eq!((all.start, all.lost, all.delivered()), (Seq(5), 3, 1));
}

#[test]
fn what_lies_beyond_the_sampled_last_is_not_believed_lost() {
    let mut world = world(4, Overflow::Overwrite);
    let sampled = Sampled::take(&world.view);
    for _ in 0..9 {
        world.append(0, WHOLE, None).unwrap();
    }
    let now = Scan::look(&world.view, sampled, &mut Known::default());
    let next = Eye::default().next(&world.view, &now, ONE, Seq(0), 64, &mut Vec::new());
    assert_eq!(next, Next::Nothing);
    let lost = self::next(&mut world, ONE, 0, 64);
    assert!(matches!(lost, Next::Lost { to: Seq(5), .. }), "{lost:?}");
}

#[test]
fn a_look_at_a_block_that_was_taken_since_is_void() {
    let mut world = world(2, Overflow::Overwrite);
    world.append(0, WHOLE, None).unwrap();
    let scan = world.scan();
    world.append(0, WHOLE, None).unwrap();
    world.append(0, WHOLE, None).unwrap();
    let eye = Eye::default();
    assert!(!eye.overtaken());
    let next = eye.next(&world.view, &scan, ONE, Seq(0), 64, &mut Vec::new());
    assert_eq!(next, Next::Void);
    assert!(eye.overtaken() && !eye.overtaken(), "told once");
}

#[test]
fn one_spoilt_last_keeps_no_block_behind_it_and_beyond_64_nobody_looks() {
    for (spoilt, freed) in [(1, 65), (64, 2), (65, 0)] {
        let mut world = world(70, Overflow::Reject);
        (0..67).for_each(|_| world.append(0, WHOLE, None).unwrap());
        for block in 0..spoilt {
            world.view.store(world.view.layout.block(block).last(), u64::MAX);
        }
        let acked = Cursor { acked: Seq(67), ..Cursor::default() };
        world.publisher();
        let scan = world.scan();
        let hand = world.hand.as_mut().unwrap();
        cursor::store(&world.view, ONE, hand.index(Who::Named(0)), acked);
        assert_eq!(hand.free(&world.view, &scan), freed, "{spoilt}");
    }
}

#[test]
fn a_slice_has_one_record_at_least_and_then_as_many_as_there_is_room_for() {
    let mut world =
        World::new(Geometry { blocks: 2, block_bytes: 256, slots: 1 }, Overflow::Reject);
    for _ in 0..4 {
        world.append(0, HALF, None).unwrap();
    }
    assert_eq!(next(&mut world, ONE, 0, 0), slice(1, 1));
    assert_eq!(next(&mut world, ONE, 1, 127), slice(2, 1));
    assert_eq!(next(&mut world, ONE, 1, 128), slice(2, 2));
    assert_eq!(next(&mut world, ONE, 0, 1000), slice(1, 4));
    assert_eq!(next(&mut world, ONE, 4, 1000), Next::Nothing);
}

#[test]
fn a_record_that_fails_ends_its_block_as_uncertain() {
    let mut world =
        World::new(Geometry { blocks: 4, block_bytes: 256, slots: 1 }, Overflow::Reject);
    for _ in 0..6 {
        world.append(0, HALF, None).unwrap();
    }
    let at = world.view.layout.block(0).data(64 + 24);
    world.view.store(at, world.view.load(at) ^ 4);
    assert_eq!(next(&mut world, ONE, 0, 1000), slice(1, 1));
    let uncertain = Next::Uncertain { to: Some(Seq(4)), since: 0 };
    assert_eq!(next(&mut world, ONE, 1, 1000), uncertain);
    assert_eq!(next(&mut world, ONE, 4, 1000), slice(5, 2));
}

#[test]
fn of_a_spoilt_block_only_whole_records_are_handed_out() {
    let mut world =
        World::new(Geometry { blocks: 2, block_bytes: 256, slots: 1 }, Overflow::Reject);
    (0..8).for_each(|_| world.append(0, HALF, None).unwrap());
    let scan = world.scan();
    let eye = Eye::default();
    let read = |world: &World, after: u64| {
        let mut out = vec![7; 8];
        (eye.next(&world.view, &scan, ONE, Seq(after), 1000, &mut out), out.len() - 8)
    };
    let uncertain = Next::Uncertain { to: Some(Seq(8)), since: 0 };
    let spoil = |world: &World, offset: u32, word: u64| {
        let at = world.view.layout.block(1).data(offset);
        let was = world.view.load(at);
        world.view.store(at, word);
        (at, was)
    };
    // A record of its bytes, one of its number, then one of its length: short, and beyond the block's end.
    for (offset, word) in [(64 + 24, 0), (64 + 8, 9), (64, 8), (64, 1 << 20), (64, 0xFFFF_FFFF)] {
        let (at, was) = spoil(&world, offset, word);
        assert_eq!(read(&world, 4), (slice(5, 1), 64), "{offset} {word:x}");
        assert_eq!(read(&world, 5), (uncertain, 0), "{offset} {word:x}");
        world.view.store(at, was);
    }
    assert_eq!(read(&world, 4), (slice(5, 4), 256));
}

#[test]
fn from_within_a_lost_range_the_rest_of_it_is_lost() {
    let mut world = world(3, Overflow::Overwrite);
    (0..4).for_each(|_| world.append(0, HALF, None).unwrap());
    // The second of its blocks is taken, and not begun.
    assert!(block::seal(&world.view, 1, state_of(&world, 1), Seq(4)));
    assert!(block::claim(&world.view, 1, state_of(&world, 1), Stream(1)).is_some());
    for after in [2, 3] {
        assert!(matches!(next(&mut world, ONE, after, 1000), Next::Lost { to: Seq(4), .. }));
    }
}

#[test]
fn the_words_and_bytes_that_processes_meet_at_never_move() {
    use crate::ring::layout::*;
    let control = |number: usize| At(512 + 16 * number);
    for place in 0..NAMES {
        let at = control(16 + place);
        assert_eq!(presence(place), (at, At(at.0 + 1)));
        assert_eq!(progress(place), (At(at.0 + 2), At(at.0 + 3)));
        assert_eq!((took(place), spread(place)), (At(at.0 + 4), control(22 + 2 * place)));
    }
    assert_eq!((attach_byte(), sync_byte()), (0, 8 * (512 + 16 * 10)));
    let layout = Layout::new(Geometry { blocks: 4, block_bytes: 64, slots: 3 });
    assert_eq!(layout.slot_byte(Stream(2)), 16384 + 2 * 4096);
    let (named, books) = (configuration(), carried());
    let page = |start| [start, start + 128, start + 256].map(At);
    assert_eq!([named.selector(), named.copy(0), named.copy(1)], page(2 * 512));
    assert_eq!([books.selector(), books.copy(0), books.copy(1)], page(3 * 512));
    let slot = layout.slot(Stream(1));
    let words = |all: [usize; 3]| all.map(|word| At(5 * 512 + word));
    let (hour, seq) = slot.pair(64 + 3);
    assert_eq!([slot.last(), hour, seq], words([0, 38, 39]));
    let cursor = slot.cursor(4);
    assert_eq!([cursor.selector(), cursor.copy(0), cursor.copy(1)], words([288, 304, 312]));
    let fault = |blocks, block_bytes, slots| Geometry { blocks, block_bytes, slots }.fault();
    for fine in [(2, 64, 1), (2, 72, 1), (2, 4 << 20, 1)] {
        assert_eq!(fault(fine.0, fine.1, fine.2), None);
    }
    for bad in [(1, 64, 1), (2, 65, 1), (2, 56, 1), (2, 8, 1), (2, (4 << 20) + 8, 1), (2, 64, 0)] {
        assert!(fault(bad.0, bad.1, bad.2).is_some(), "{bad:?}");
    }
}

#[test]
fn an_event_that_no_block_can_hold_is_too_large() {
    let mut world = world(2, Overflow::Reject);
    assert_eq!(world.append(0, &[104], None), Ok(()));
    let limit = Refused::TooLarge { bytes: 105, limit: 104 };
    assert_eq!(world.append(0, &[105], None), Err(limit));
    let limit = Refused::TooLarge { bytes: 192, limit: 128 };
    assert_eq!(world.append(0, &[40, 40, 40], None), Err(limit));
    assert_eq!(world.append(0, &[], None), Err(Refused::TooLarge { bytes: 0, limit: 128 }));
}

#[test]
fn a_writer_rings_once_when_the_publisher_is_about_to_wait() {
    let mut world = world(4, Overflow::Reject);
    let mut pen = Pen::take_over(&world.view, ONE, || true).unwrap();
    let mut append = |world: &mut World| pen.append(&world.view, 1, &[b"x"]).unwrap().wake;
    assert!(!append(&mut world));
    world.view.store(SLEEPING, 1);
    assert!(append(&mut world));
    assert!(!append(&mut world));
}

// Dead writers' blocks.

#[test]
fn a_dead_slots_block_is_not_sealed_when_more_was_committed_since_the_look() {
    let mut world = world(4, Overflow::Reject);
    (0..4).for_each(|slot| world.append(slot, HALF, None).unwrap());
    world.turn(NAMED, 1000, None);
    let scan = world.scan();
    assert_eq!(scan.blocks().free, 0);
    world.append(0, HALF, None).unwrap();
    world.leave(0);
    assert!(!world.tend(&scan), "its second event is acknowledged by nobody");
    for open in [4, 3] {
        world.turn(NAMED, 1000, None);
        assert_eq!(world.scan().blocks().open, open, "acknowledged, and then sealed");
    }
}

#[test]
fn few_events_never_fill_the_ring_however_often_writers_come_and_go() {
    let mut world = world(8, Overflow::Reject);
    for round in 0..200 {
        world.append(round % 4, HALF, None).unwrap();
        world.leave(round % 4);
        world.turn(NAMED, 64, None);
    }
    world.check();
    world.drain();
}

#[test]
fn nobody_seals_a_block_with_room_while_a_quarter_of_the_blocks_is_free() {
    let mut world = world(4, Overflow::Reject);
    for slot in 0..3 {
        world.append(slot, HALF, None).unwrap();
        world.leave(slot);
    }
    world.turn(NAMED, 64, None);
    assert_eq!(world.scan().blocks().open, 3);
}

#[test]
fn when_few_are_free_reject_seals_dead_slots_blocks_in_which_all_is_acknowledged() {
    let mut world = world(4, Overflow::Reject);
    for slot in 0..4 {
        world.append(slot, HALF, None).unwrap();
    }
    world.leave(1);
    let scan = world.scan();
    world.tend(&scan);
    assert_eq!(world.scan().blocks().open, 4, "not acknowledged");
    world.turn(NAMED, 64, None);
    let scan = world.scan();
    assert!(world.tend(&scan), "it says so, since another look can free it");
    assert_eq!(state_of(&world, 1).phase, Phase::Sealed);
    let scan = world.scan();
    assert!(!world.tend(&scan), "once");
    assert_eq!(world.scan().blocks().open, 3, "the others are held");
}

#[test]
fn when_few_are_free_overwrite_seals_the_dead_slots_block_of_the_lowest_ticket() {
    let mut world = world(4, Overflow::Overwrite);
    for slot in 0..4 {
        world.append(slot, HALF, None).unwrap();
    }
    world.leave(1);
    let scan = world.scan();
    world.tend(&scan);
    assert_eq!(world.scan().blocks().open, 4, "not the lowest");
    world.leave(0);
    world.tend(&scan);
    assert_eq!(state_of(&world, 0).phase, Phase::Sealed);
    assert_eq!(state_of(&world, 1).phase, Phase::Open);
}

#[test]
fn a_block_that_a_dead_slots_stream_went_on_in_since_the_look_is_not_sealed_for_the_one_before() {
    let mut world = world(8, Overflow::Overwrite);
    world.append(0, HALF, None).unwrap();
    (0..6).for_each(|_| world.append(1, WHOLE, None).unwrap());
    let scan = world.scan();
    // It fits in no block but the last FREE one, claimed for the first time as the one before was.
    world.append(0, WHOLE, None).unwrap();
    world.leave(0);
    assert_eq!(state_of(&world, 0).generation, state_of(&world, 7).generation);
    assert!(!world.tend(&scan));
    assert_eq!([0, 7].map(|n| state_of(&world, n).phase), [Phase::Sealed, Phase::Open]);
}

#[test]
fn a_claim_that_was_never_begun_is_returned_at_the_second_look_and_only_for_the_dead() {
    let mut world = world(4, Overflow::Reject);
    world.view.count_stream(ONE);
    block::claim(&world.view, 2, state_of(&world, 2), ONE).unwrap();
    world.writers[0] = Some(Pen::take_over(&world.view, Stream(3), || true).unwrap());
    for _ in 0..3 {
        let scan = world.scan();
        world.tend(&scan);
    }
    assert_eq!(state_of(&world, 2).phase, Phase::Open, "its writer lives");
    world.leave(0);
    let freed = world.view.freed();
    let scan = world.scan();
    world.tend(&scan);
    assert_eq!((state_of(&world, 2).phase, world.view.freed()), (Phase::Free, freed + 1));
}

// Hours.

const HOUR: u64 = 3_600_000_000_000;
const SECOND: u64 = 1_000_000_000;

/// Appends at these times; the hours of each event, from the lowest.
fn hours(times: &[u64]) -> Vec<u64> {
    let mut world =
        World::new(Geometry { blocks: 16, block_bytes: 4096, slots: 1 }, Overflow::Reject);
    let start = 500_000 * HOUR;
    let mut hours = Vec::new();
    for (n, time) in times.iter().enumerate() {
        let mut pen = match world.writers[0].take() {
            // Now and then by the next holder of the slot.
            Some(pen) if n % 3 != 2 => pen,
            _ => Pen::take_over(&world.view, ONE, || true).unwrap(),
        };
        pen.append(&world.view, start + time, &[b"x"]).unwrap();
        world.writers[0] = Some(pen);
    }
    for seq in 1..=times.len() as u64 {
        let (first, last) = crate::ring::hours::span(&world.view, ONE, Seq(seq), Seq(seq));
        assert_eq!(first, last);
        hours.push(last - 500_000);
    }
    hours
}

#[test]
fn the_hour_of_an_event_is_that_of_its_receipt() {
    assert_eq!(hours(&[0, 1, HOUR, HOUR + 1, 2 * HOUR]), [0, 0, 1, 1, 2]);
}

#[test]
fn an_hour_never_goes_back() {
    assert_eq!(hours(&[HOUR, 0, HOUR - 1, 2 * HOUR, 0]), [1, 1, 1, 2, 2]);
}

#[test]
fn a_step_of_over_an_hour_is_taken_only_after_60_seconds_of_agreeing_time() {
    let ahead = 9 * HOUR;
    assert_eq!(hours(&[0, ahead, 1, ahead, 2]), [0; 5], "one wrong reading");
    let agreed = [0, ahead, ahead + 59 * SECOND, 0, ahead];
    assert_eq!(hours(&agreed), [0; 5], "59 seconds");
    let same_hour_between = [0, ahead, 1, ahead + 61 * SECOND, ahead + 62 * SECOND];
    assert_eq!(hours(&same_hour_between), [0; 5], "it was another time meanwhile");
    // All by one writer, which alone knows how long it was so.
    let alone = World::new(Geometry { blocks: 4, block_bytes: 256, slots: 1 }, Overflow::Reject);
    alone.view.count_stream(ONE);
    let mut pen = Pen::take_over(&alone.view, ONE, || true).unwrap();
    let floor = |world: &World| world.view.load(world.view.layout.slot(ONE).floor());
    for (time, hour) in [
        (HOUR, 1),
        (ahead, 1),
        (ahead + SECOND, 1),
        (ahead + 59 * SECOND, 1),
        (HOUR + 5, 1),
        (ahead + 61 * SECOND, 1),
        (ahead + 120 * SECOND, 1),
        (ahead + 121 * SECOND, 9),
    ] {
        pen.append(&alone.view, time, &[b"x"]).unwrap();
        assert_eq!(floor(&alone), hour, "at {time}");
    }
    let mut world = world(4, Overflow::Reject);
    let mut pen = Pen::take_over(&world.view, ONE, || true).unwrap();
    for time in [HOUR, ahead, ahead + 30 * SECOND, ahead + 60 * SECOND] {
        pen.append(&world.view, time, &[b"x"]).unwrap();
        world.turn(&[], 0, None);
    }
    assert_eq!(world.view.load(world.view.layout.slot(ONE).floor()), 9);
}

#[test]
fn a_lost_range_older_than_64_hours_has_an_open_first_hour() {
    let mut world = World::new(Geometry { blocks: 4, block_bytes: 64, slots: 1 }, Overflow::Reject);
    world.policy = Overflow::Overwrite;
    world.publisher();
    world.view.count_stream(ONE);
    let mut pen = Pen::take_over(&world.view, ONE, || true).unwrap();
    for n in 0..100 {
        pen.append(&world.view, (1000 + n) * HOUR, &[b"x"]).unwrap();
    }
    let lost = next(&mut world, ONE, 0, 64);
    let Next::Lost { to, hours } = lost else { panic!("{lost:?}") };
    assert_eq!((hours.0, hours.1), (0, 1000 + to.0 - 1));
    let lost = next(&mut world, ONE, 50, 64);
    assert_eq!(lost, Next::Lost { to, hours: (1050, 1000 + to.0 - 1) });
}

#[test]
fn what_a_killed_writer_left_is_no_record_when_the_disk_is_asked_and_again_until_it_took_that() {
    // Behind one of 32 bytes: records of 24, 48 and 24, up to the block's end. By words, when the seq of each is there.
    const LEFT: [&[u8]; 3] = [&[], &[7; 24], &[]];
    const BEGUN: [(u32, u64); 3] = [(32, 2), (56, 5), (104, 11)];
    for words in 1..=12 {
        let mut world = world(4, Overflow::Reject);
        world.append(0, &[8], None).unwrap();
        world.leave(0);
        let died = world.dying(Some(words), |world| {
            let mut pen = Pen::take_over(&world.view, ONE, || panic!("nothing was left")).unwrap();
            pen.append(&world.view, NOW, &LEFT)
        });
        assert!(died.is_none());
        let left = BEGUN.iter().filter(|(_, seen)| words >= *seen).count();
        let first = |n: usize| world.view.layout.block(0).data(BEGUN[n].0);
        let seen = |n: usize| [0, 1].map(|word| world.view.load(first(n).plus(word)));
        assert!((0..left).all(|n| seen(n)[0] != 0 && seen(n)[1] == 2 + n as u64), "{words}");
        let asked = std::cell::Cell::new(0);
        let take = |done| {
            Pen::take_over(&world.view, ONE, || {
                assert!((0..left).all(|n| seen(n) == [0, 2 + n as u64]), "{words}");
                asked.set(asked.get() + 1);
                done
            })
        };
        for _ in 0..2 {
            assert_eq!(matches!(take(false), Err(NotTaken::Unsettled)), left > 0, "{words}");
        }
        assert!(!world.view.poisoned());
        take(true).unwrap();
        take(true).unwrap();
        assert_eq!(asked.get(), if left > 0 { 3 } else { 0 }, "{words}: settled once");
        world.append(0, &[0, 24, 0], None).unwrap();
        assert_eq!(next(&mut world, ONE, 0, 1000), slice(1, 4));
        assert_eq!(world.scan().filled().count(), 1, "in the same block");
    }
}

#[test]
fn a_dead_slots_block_in_which_its_writer_left_something_is_not_sealed_before_a_holder_settled_it()
{
    let mut world = world(2, Overflow::Reject);
    world.append(0, &[8], None).unwrap();
    world.leave(0);
    let died = world.dying(Some(4), |world| {
        let mut pen = Pen::take_over(&world.view, ONE, || true).unwrap();
        pen.append(&world.view, NOW, &[&[7; 8]])
    });
    assert!(died.is_none());
    world.append(1, WHOLE, None).unwrap();
    world.turn(&READERS, 1000, None);
    world.turn(&READERS, 1000, None);
    assert_eq!(state_of(&world, 0).phase, Phase::Open);
    drop(Pen::take_over(&world.view, ONE, || true).unwrap());
    world.turn(&READERS, 1000, None);
    assert_eq!(state_of(&world, 0).phase, Phase::Sealed);
}

#[test]
fn a_dead_slots_block_is_not_sealed_for_what_was_acknowledged_before_its_writer_stored_more() {
    let mut world = world(2, Overflow::Reject);
    world.append(0, &[8], None).unwrap();
    world.turn(&READERS, 1000, None);
    world.append(1, WHOLE, None).unwrap();
    let scan = world.scan();
    world.append(0, &[8], None).unwrap();
    world.leave(0);
    assert!(!world.tend(&scan));
    assert_eq!(state_of(&world, 0).phase, Phase::Open);
    // It is acknowledged, sealed, and freed.
    (0..3).for_each(|_| world.turn(&READERS, 1000, None));
    assert_eq!(state_of(&world, 0).phase, Phase::Free);
}

#[test]
fn in_a_ring_of_as_many_blocks_as_a_look_keeps_each_is_found() {
    for blocks in [31, 32, 33, 65] {
        let mut world = world(blocks, Overflow::Reject);
        for _ in 0..blocks {
            world.append(0, WHOLE, None).unwrap();
        }
        assert!(matches!(world.append(0, WHOLE, None), Err(Refused::Full { .. })));
    }
}

#[test]
fn a_full_ring_names_who_has_acknowledged_least() {
    let world = world(2, Overflow::Reject);
    let names = ["first", "second"].map(name).to_vec();
    let configuration =
        Configuration { policy: Overflow::Reject, subscribers: names.clone(), configured_at: 2 };
    let hand = Hand::new(&world.view, &configuration, NOW).unwrap();
    world.view.count_stream(ONE);
    let mut pen = Pen::take_over(&world.view, ONE, || true).unwrap();
    let store = |pen: &mut Pen| pen.append(&world.view, NOW, &[&[1; 100]]);
    for _ in 0..2 {
        store(&mut pen).unwrap();
    }
    for (least, other) in [(0, 1), (1, 0)] {
        for (who, acked) in [(least, 0), (other, 1)] {
            let cursor = Cursor { acked: Seq(acked), ..Cursor::default() };
            cursor::store(&world.view, ONE, hand.index(Who::Named(who)), cursor);
        }
        let mut pen = Pen::take_over(&world.view, ONE, || true).unwrap();
        let Err(refused) = store(&mut pen) else { panic!("there is no room") };
        assert_eq!(refused, Refused::Full { holder: Some(names[least].clone()) });
    }
}

#[test]
fn a_name_that_a_newer_configuration_left_out_keeps_its_place_for_who_publishes_by_an_older_one() {
    let world = world(2, Overflow::Reject);
    let hand = |names: &[&str], configured_at| {
        let subscribers = names.iter().map(|text| name(text)).collect();
        let policy = Overflow::Reject;
        Hand::new(&world.view, &Configuration { policy, subscribers, configured_at }, NOW)
    };
    assert!(hand(&["kafka", "a", "b", "old"], 4).is_some());
    assert!(hand(&["kafka", "a", "b"], 5).is_some());
    assert!(hand(&["old", "new"], 3).is_none(), "no place for \"new\"");
    assert!(hand(&["old"], 3).is_some());
    let held: Vec<_> = Written::read(&world.view).places.into_iter().flatten().collect();
    assert_eq!(held.len(), 4);
    assert!(held.iter().all(|held| held.active == (held.name != name("old"))));
}

#[test]
fn how_far_a_stream_is_with_everybody_counts_each_hole_and_each_name_in_force() {
    let world = world(2, Overflow::Reject);
    world.view.count_stream(ONE);
    let own = |names: &[&str], configured_at| {
        let subscribers = names.iter().map(|text| name(text)).collect();
        Configuration { policy: Overflow::Reject, subscribers, configured_at }
    };
    let reach = |own: &Configuration| Reach::of(&world.view, ONE, own);
    // The one in force was configured at 1.
    assert!(reach(&own(&["kafka"], 1)).is_some() && reach(&own(&["kafka", "b"], 0)).is_some());
    assert!(reach(&own(&["kafka", "b"], 1)).is_none() && reach(&own(&["b"], 2)).is_none());
    let before = reach(&own(&[], 1)).unwrap();
    for (lost, uncertain) in [(1, 0), (0, 1), (1, 1), (0, 0)] {
        let cursor = Cursor { acked: Seq(5), lost, uncertain, ..Cursor::default() };
        cursor::store(&world.view, ONE, 1, cursor);
        let now = reach(&own(&[], 1)).unwrap();
        assert_eq!(now.acked, Seq(5));
        assert_eq!(now.whole_since(&before), lost + uncertain == 0);
    }
}

#[test]
fn events_of_one_hour_share_a_pair() {
    let world = world(4, Overflow::Reject);
    world.view.count_stream(ONE);
    let mut pen = Pen::take_over(&world.view, ONE, || true).unwrap();
    for minute in 0..4 {
        pen.append(&world.view, 9 * HOUR + minute, &[b"x"]).unwrap();
    }
    let slot = world.view.layout.slot(ONE);
    let pair = |index| [slot.pair(index).0, slot.pair(index).1].map(|at| world.view.load(at));
    assert_eq!((pair(0), pair(1)), ([9, 1], [0, 0]));
}

#[test]
fn of_a_record_that_would_lead_beyond_its_block_nothing_is_read() {
    let mut world =
        World::new(Geometry { blocks: 2, block_bytes: 128, slots: 1 }, Overflow::Reject);
    // The last block of all: what lies behind it is behind the file.
    world.append(0, WHOLE, None).unwrap();
    world.append(0, &[40, 40], None).unwrap();
    let at = world.view.layout.block(1).data(64);
    for length in [72, 100, 128] {
        world.view.store(at, length);
        let mut out = Vec::new();
        let scan = world.scan();
        let next = Eye::default().next(&world.view, &scan, ONE, Seq(1), 1000, &mut out);
        assert_eq!((next, out.len()), (slice(2, 1), 64), "{length}");
    }
}
