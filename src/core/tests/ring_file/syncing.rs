//! Who syncs a file: one at a time, woken by writers, waking who waits; and what an error does.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::panic::{AssertUnwindSafe, catch_unwind};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use sparkngin_core::id::{Seq, Stream};
use sparkngin_core::ring::*;

use super::Dir;

fn rung(bell: &impl AsFd) -> bool {
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut [PollFd::new(bell, PollFlags::IN)], Some(&now)).unwrap() == 1
}

fn syncer(ring: &Ring) -> Syncer {
    Syncer::try_take(ring.again().unwrap()).unwrap().ok().unwrap()
}

#[test]
fn one_at_a_time_syncs_a_file_and_the_next_one_goes_on_when_it_is_gone() {
    let dir = Dir::new("one-syncs");
    let ring = Ring::open_or_make(&dir.wanted(8)).unwrap();
    assert!(!ring.is_synced().unwrap());
    let first = syncer(&ring);
    assert!(ring.is_synced().unwrap());
    let refused = Syncer::try_take(ring.again().unwrap()).unwrap();
    let ours = refused.err().unwrap();
    drop(first);
    assert!(!ring.is_synced().unwrap());
    assert!(Syncer::try_take(ours).unwrap().is_ok());
}

#[test]
fn a_commit_wakes_who_syncs_from_idleness_and_a_hurry_from_a_pause_too() {
    let dir = Dir::new("wakes-sync");
    let ring = Ring::open_or_make(&dir.wanted(8)).unwrap();
    let mut writer = Writer::take(ring.again().unwrap()).unwrap();
    let waiter = Waiter::new(ring.again().unwrap(), writer.stream()).unwrap();
    let mut syncer = syncer(&ring);
    syncer.arm(Work::None);
    writer.append(1, b"one").unwrap();
    assert!(rung(&syncer), "idle: any commit");
    syncer.clear();
    syncer.arm(syncer.work());
    writer.append(2, b"two").unwrap();
    assert!(!rung(&syncer), "pausing: no commit");
    waiter.bell().arm();
    writer.urge();
    assert!(rung(&syncer), "but who waits for it");
    syncer.clear();
    assert_eq!((syncer.work(), waiter.synced()), (Work::Urgent, Seq(0)));
    syncer.sync(3).unwrap();
    assert_eq!((syncer.work(), waiter.synced()), (Work::None, Seq(2)));
    assert!(rung(&waiter.bell()), "who is woken when it is done");
}

#[test]
fn a_bell_that_was_lost_with_its_ringer_is_rung_again_while_there_is_something_to_sync() {
    let dir = Dir::new("reminds");
    let ring = Ring::open_or_make(&dir.wanted(8)).unwrap();
    let mut writer = Writer::take(ring.again().unwrap()).unwrap();
    let mut syncer = syncer(&ring);
    writer.remind();
    assert!(!rung(&syncer), "nothing is to be synced");
    // Who was to ring for it took the flag, and was killed.
    writer.append(1, b"one").unwrap();
    assert!(!rung(&syncer));
    writer.remind();
    assert!(rung(&syncer));
    syncer.clear();
    syncer.sync(2).unwrap();
    writer.remind();
    assert!(!rung(&syncer), "everything is synced");
}

#[test]
fn the_first_error_poisons_the_file_and_who_waits_is_told() {
    let dir = Dir::new("sync-fails");
    let ring = Ring::open_or_make(&dir.wanted(8)).unwrap();
    let mut writer = Writer::take(ring.again().unwrap()).unwrap();
    let waiter = Waiter::new(ring.again().unwrap(), writer.stream()).unwrap();
    let mut syncer = syncer(&ring);
    writer.append(1, b"kept, and perhaps lost").unwrap();
    waiter.bell().arm();
    writer.urge();
    let failing = |_: &File| Err(io::Error::from_raw_os_error(libc::EIO));
    assert_eq!(syncer.sync_by(2, failing).unwrap_err().raw_os_error(), Some(libc::EIO));
    assert!(rung(&waiter.bell()) && waiter.poisoned());
    assert_eq!((waiter.synced(), syncer.work()), (Seq(0), Work::None));
    assert_eq!(writer.append(3, b"refused"), Err(Refused::Poisoned));
}

/// Is told of an error, and killed before it can store anything.
fn killed_in_a_sync(mut syncer: Syncer) {
    let told = |_: &File| -> io::Result<()> { std::panic::resume_unwind(Box::new("killed")) };
    let died = catch_unwind(AssertUnwindSafe(|| syncer.sync_by(2, told)));
    assert!(died.is_err());
}

#[test]
fn who_opened_the_file_before_another_was_killed_in_its_sync_goes_on() {
    let dir = Dir::new("killed-in-sync");
    let ring = Ring::open_or_make(&dir.wanted(8)).unwrap();
    let mut writer = Writer::take(ring.again().unwrap()).unwrap();
    writer.append(1, b"one").unwrap();
    let before = ring.again().unwrap();
    killed_in_a_sync(syncer(&ring));
    assert!(ring.in_doubt() && before.hears());
    let mut next = Syncer::try_take(before).unwrap().ok().unwrap();
    next.sync(3).unwrap();
    assert!(!ring.in_doubt() && !ring.view().poisoned());
    let waiter = Waiter::new(ring.again().unwrap(), writer.stream()).unwrap();
    assert_eq!(waiter.synced(), Seq(1));
}

#[test]
fn who_opened_the_file_after_another_was_killed_in_its_sync_poisons_it_and_wakes_who_waits() {
    let dir = Dir::new("nobody-knows");
    let ring = Ring::open_or_make(&dir.wanted(8)).unwrap();
    let mut writer = Writer::take(ring.again().unwrap()).unwrap();
    let waiter = Waiter::new(ring.again().unwrap(), writer.stream()).unwrap();
    writer.append(1, b"perhaps not on the disk").unwrap();
    killed_in_a_sync(syncer(&ring));
    waiter.bell().arm();
    let after = ring.again().unwrap();
    assert!(!after.hears());
    let after = Syncer::try_take(after).unwrap().err().unwrap();
    assert!(rung(&waiter.bell()) && waiter.poisoned() && after.in_doubt());
    assert_eq!(waiter.synced(), Seq(0));
    assert!(!ring.is_synced().unwrap(), "the right to it is free");
}

#[test]
fn a_file_made_after_a_poisoned_one_is_synced_only_when_the_disk_takes_something_else() {
    let dir = Dir::new("trial");
    let ring = Ring::open_or_make(&dir.wanted(8)).unwrap();
    ring.view().poison();
    let ring = Ring::open_or_make(&dir.wanted(8)).unwrap();
    assert_eq!((ring.number(), ring.failed_before()), (2, 1));
    let mut syncer = syncer(&ring);
    // A directory in its place: no file can be written there.
    std::fs::create_dir(dir.0.join("sync.trial")).unwrap();
    syncer.try_disk().unwrap_err();
    assert!(ring.refused());
    std::fs::remove_dir(dir.0.join("sync.trial")).unwrap();
    syncer.try_disk().unwrap();
    assert!(!ring.refused());
    assert!(!dir.0.join("sync.trial").exists());
    syncer.sync(1).unwrap();
    assert_eq!(ring.failed_before(), 0);
}

#[test]
fn with_three_poisoned_files_in_a_row_none_is_risked_until_one_is_drained() {
    let dir = Dir::new("row");
    for _ in 0..3 {
        Ring::open_or_make(&dir.wanted(8)).unwrap().view().poison();
    }
    let ring = Ring::open_or_make(&dir.wanted(8)).unwrap();
    let syncer = syncer(&ring);
    let why = syncer.try_disk().unwrap_err().to_string();
    assert_eq!(why, "3 syncs in a row have failed, and 3 poisoned files wait to be drained");
    std::fs::remove_file(dir.0.join("ring.1")).unwrap();
    syncer.try_disk().unwrap();
}

#[test]
fn a_fifth_file_is_made_beside_four_poisoned_ones_unless_four_syncs_in_a_row_have_failed() {
    let dir = Dir::new("fifth");
    let made = || Ring::open_or_make(&dir.wanted(8));
    made().unwrap().view().poison();
    let second = made().unwrap();
    syncer(&second).sync(1).unwrap();
    second.view().poison();
    for _ in 3..=4 {
        made().unwrap().view().poison();
    }
    let fifth = made().unwrap();
    assert_eq!((fifth.number(), fifth.failed_before()), (5, 3));
    fifth.view().poison();
    assert!(matches!(made().err(), Some(OpenError::Poisoned { poisoned: 5, .. })));
}

/// A slot whose writer was killed in its first sync; rings that were opened before that, and one that was opened after.
fn killed_in_a_first_sync(dir: &Dir) -> (Ring, Ring) {
    let ring = Ring::open_or_make(&dir.wanted(8)).unwrap();
    let slot = ring.view().layout.slot(Stream(0));
    let before = ring.again().unwrap();
    let writer = Writer::take(ring.again().unwrap()).unwrap();
    assert_eq!((writer.stream(), ring.view().memory.load(slot.beginning())), (Stream(0), 0));
    // It was the first one of the file.
    ring.view().memory.store(slot.beginning(), 1);
    let after = ring.again().unwrap();
    let after = Syncer::try_take(after).unwrap().err().unwrap();
    assert!(!ring.view().poisoned() && !ring.is_synced().unwrap(), "it may still end well");
    drop(writer);
    (before, after)
}

#[test]
fn a_slot_whose_writer_was_killed_in_its_first_sync_is_for_who_opened_the_file_before() {
    let dir = Dir::new("slot-in-doubt");
    let (before, after) = killed_in_a_first_sync(&dir);
    let later = Writer::take(after.again().unwrap()).unwrap();
    assert_eq!(later.stream(), Stream(1), "who came later leaves it alone");
    let earlier = Writer::take(before).unwrap();
    assert_eq!(earlier.stream(), Stream(0), "who is told of an error tries the disk");
    drop(earlier);
    drop(later);
    assert_eq!(Writer::take(after.again().unwrap()).unwrap().stream(), Stream(0));
    assert!(Syncer::try_take(after).unwrap().is_ok());
}

#[test]
fn who_goes_on_in_a_slot_with_events_after_a_death_in_its_first_sync_tries_the_disk_too() {
    let dir = Dir::new("slot-with-events");
    let ring = Ring::open_or_make(&dir.wanted(8)).unwrap();
    let before = ring.again().unwrap();
    let mut writer = Writer::take(ring.again().unwrap()).unwrap();
    writer.append(1, b"one").unwrap();
    drop(writer);
    let beginning = ring.view().layout.slot(Stream(0)).beginning();
    ring.view().memory.store(beginning, 1);
    let writer = Writer::take(before).unwrap();
    assert_eq!((writer.stream(), ring.view().memory.load(beginning)), (Stream(0), 0));
}

#[test]
fn a_sync_gives_no_slot_back_of_whose_holder_it_does_not_hear() {
    let dir = Dir::new("slot-unheard");
    let ring = Ring::open_or_make(&dir.wanted(8)).unwrap();
    drop(Writer::take(ring.again().unwrap()).unwrap());
    let mut syncer = syncer(&ring);
    // Its number was drawn before this one opened the file, and is written down after that.
    let beginning = ring.view().layout.slot(Stream(0)).beginning();
    ring.view().memory.store(beginning, 1);
    syncer.sync(1).unwrap();
    assert_eq!(ring.view().memory.load(beginning), 1);
}

#[test]
fn a_sync_by_who_opened_the_file_before_gives_the_slot_back() {
    let dir = Dir::new("slot-back");
    let (before, after) = killed_in_a_first_sync(&dir);
    let held = Writer::take(before.again().unwrap()).unwrap();
    assert_eq!(held.stream(), Stream(1));
    let failing = |_: &File| Err(io::Error::from_raw_os_error(libc::EIO));
    let mut syncer = Syncer::try_take(before).unwrap().ok().unwrap();
    syncer.sync(1).unwrap();
    assert_eq!(Writer::take(after.again().unwrap()).unwrap().stream(), Stream(0));
    // A sync that fails gives nothing back.
    let slot = after.view().layout.slot(Stream(0));
    after.view().memory.store(slot.beginning(), 9);
    syncer.sync_by(2, failing).unwrap_err();
    assert_eq!(after.view().memory.load(slot.beginning()), 9);
}

#[test]
fn when_nobody_is_there_who_opened_the_file_before_it_is_given_up() {
    let dir = Dir::new("slot-given-up");
    let (before, after) = killed_in_a_first_sync(&dir);
    assert!(before.hears() && !after.hears(), "who does not hear lets others go first");
    drop(before);
    let after = Syncer::try_take(after).unwrap().err().unwrap();
    assert!(after.view().poisoned());
}
