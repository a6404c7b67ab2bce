//! Who syncs a file: one at a time, woken by writers, waking who waits; and what an error does.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use sparkngin_core::id::Seq;
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
