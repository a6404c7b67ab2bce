//! Making a file, and leaving one in order, while the disk fails.

use std::cell::Cell;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::scratch::Scratch;
use crate::id::Region;
use crate::ring::attached::{leave, told};
use crate::ring::disk::{self, Disk, Linux};
use crate::ring::doubt::{trial, written};
use crate::ring::folder::{Judged, Origin, judge, put, word};
use crate::ring::layout::{CLEAN, FAILED, Geometry, IS_CLEAN, Layout, POISONED, SYNCS};
use crate::ring::lock::{Hold, held_by_another, try_lock};
use crate::ring::making::make;
use crate::ring::open_error::OpenError;
use crate::ring::superblock::{Boot, Strange, Superblock};

/// The disk, but for its calls of these numbers. Nothing here loses its power, so nothing is really synced.
pub struct Faulty {
    calls: Cell<u32>,
    fails: [u32; 2],
    error: i32,
}

impl Faulty {
    pub fn new(fails: [u32; 2], error: i32) -> Faulty {
        Faulty { calls: Cell::new(0), fails, error }
    }

    fn call<T>(&self, act: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        self.calls.set(self.calls.get() + 1);
        if self.fails.contains(&(self.calls.get() - 1)) {
            return Err(io::Error::from_raw_os_error(self.error));
        }
        act()
    }
}

impl Disk for Faulty {
    fn create(&self, path: &Path) -> io::Result<File> {
        self.call(|| Linux.create(path))
    }

    fn allocate(&self, file: &File, bytes: u64) -> io::Result<()> {
        self.call(|| Linux.allocate(file, bytes))
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        self.call(|| file.metadata().map(drop))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.call(|| Linux.rename(from, to))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.call(|| Linux.remove(path))
    }
}

#[test]
fn whichever_call_fails_no_half_made_file_has_a_rings_name() {
    let geometry = Geometry { blocks: 2, block_bytes: 4096, slots: 1 };
    for (error, kind) in [(libc::EIO, None), (libc::ENOSPC, Some("no room in"))] {
        for fails in 0.. {
            let dir = Scratch::new("disk");
            let disk = Faulty::new([fails, u32::MAX], error);
            match make(&disk, &dir, geometry) {
                Ok(()) => {
                    assert_eq!(fails, 6, "each of the calls failed once");
                    break;
                }
                Err(error) => {
                    let whole = dir.join("ring.1");
                    // Only the sync of the directory comes after the name, and then the file is whole.
                    assert!(fails == 5 || !whole.exists(), "call {fails}: {error}");
                    assert!(!dir.join("ring.1.new").exists(), "call {fails}: {error}");
                    if fails == 2 {
                        assert!(kind.is_none_or(|k| error.to_string().contains(k)), "{error}");
                        assert!(matches!(error, OpenError::NoRoom { .. }));
                    }
                }
            }
        }
    }
}

#[test]
fn after_two_faults_too_what_has_a_rings_name_is_whole_and_the_next_one_is_made() {
    let geometry = Geometry { blocks: 2, block_bytes: 4096, slots: 1 };
    let mut pairs = 0;
    for error in [libc::EIO, libc::ENOSPC, libc::EINTR] {
        for fails in (0..8).flat_map(|a| (a + 1..9).map(move |b| [a, b])) {
            let dir = Scratch::new("faults");
            let disk = Faulty::new(fails, error);
            let made = make(&disk, &dir, geometry);
            let there = match judge(&dir.join("ring.1"), true).unwrap() {
                Judged::Ours(_, superblock, origin) => {
                    assert_eq!((superblock.geometry, origin), (geometry, Origin::Here));
                    true
                }
                Judged::Stranger(why) => panic!("calls {fails:?}: half a file, {why}"),
                Judged::Gone => false,
            };
            assert!(there || made.is_err(), "calls {fails:?}: made, and not there");
            make(&Linux, &dir, geometry).unwrap();
            let next = if there { "ring.2" } else { "ring.1" };
            assert!(matches!(judge(&dir.join(next), true).unwrap(), Judged::Ours(..)), "{fails:?}");
            pairs += 1;
        }
    }
    println!("row 18: count={pairs}, half_made=0");
}

#[test]
fn a_file_is_called_clean_only_when_all_of_it_came_to_the_disk() {
    let geometry = Geometry { blocks: 2, block_bytes: 4096, slots: 1 };
    for (fails, clean) in [(0, 0), (u32::MAX, IS_CLEAN)] {
        let dir = Scratch::new("clean");
        make(&Linux, &dir, geometry).unwrap();
        let file = disk::open(&dir.join("ring.1"), true).unwrap();
        let disk = Faulty::new([fails, u32::MAX], libc::EIO);
        assert_eq!(leave(&disk, &file).is_ok(), clean == IS_CLEAN);
        assert_eq!(word(&file, CLEAN).unwrap(), clean);
        let poisoned = u64::from(clean != IS_CLEAN);
        assert_eq!(word(&file, POISONED).unwrap(), poisoned, "nobody is told of the error again");
    }
}

#[test]
fn a_file_that_somebody_died_over_while_it_was_synced_is_not_called_clean() {
    let dir = Scratch::new("unclean");
    make(&Linux, &dir, Geometry { blocks: 2, block_bytes: 4096, slots: 1 }).unwrap();
    let file = disk::open(&dir.join("ring.1"), true).unwrap();
    put(&file, SYNCS, 7).unwrap();
    leave(&Linux, &file).unwrap();
    assert_eq!((word(&file, CLEAN).unwrap(), word(&file, SYNCS).unwrap()), (0, 7));
    put(&file, SYNCS, 8).unwrap();
    leave(&Linux, &file).unwrap();
    assert_eq!((word(&file, CLEAN).unwrap(), word(&file, SYNCS).unwrap()), (IS_CLEAN, 12));
}

#[test]
fn a_sync_on_leaving_is_counted_as_one_from_before_it_begins() {
    let dir = Scratch::new("leaving");
    make(&Linux, &dir, Geometry { blocks: 2, block_bytes: 4096, slots: 1 }).unwrap();
    let file = disk::open(&dir.join("ring.1"), true).unwrap();
    let syncs = || word(&file, SYNCS).unwrap();
    for before in [0, 2] {
        told(&file, || {
            assert_eq!(syncs(), before + 1, "who is killed here leaves it in doubt");
            Ok(())
        })
        .unwrap();
        assert_eq!(syncs(), before + 2);
    }
}

#[test]
fn a_disk_that_takes_no_small_file_refuses_syncs_and_a_full_one_says_nothing_about_them() {
    // It removes what the last one left, writes its own, and removes that.
    for (error, create_is_fine) in [(libc::EIO, false), (libc::ENOSPC, true)] {
        for (fails, fine) in [(0, false), (1, create_is_fine), (2, false), (u32::MAX, true)] {
            let dir = Scratch::new("trial");
            let disk = Faulty::new([fails, u32::MAX], error);
            assert_eq!(trial(&disk, &dir).is_ok(), fine, "{error}: call {fails}");
        }
    }
    let full = File::options().write(true).open("/dev/full").unwrap();
    assert_eq!(written(&full).unwrap_err().kind(), io::ErrorKind::StorageFull);
}

#[test]
fn files_that_are_poisoned_one_after_another_are_counted_and_at_last_no_more_are_made() {
    let dir = Scratch::new("row");
    let geometry = Geometry { blocks: 2, block_bytes: 4096, slots: 1 };
    let file = |n: u64| disk::open(&dir.join(format!("ring.{n}")), true).unwrap();
    for n in 1..=4 {
        make(&Linux, &dir, geometry).unwrap();
        assert_eq!(word(&file(n), FAILED).unwrap(), n - 1);
        put(&file(n), POISONED, 1).unwrap();
    }
    let refused = make(&Linux, &dir, geometry).unwrap_err();
    assert!(matches!(refused, OpenError::Poisoned { poisoned: 4, .. }), "{refused}");
    fs::remove_file(dir.join("ring.1")).unwrap();
    make(&Linux, &dir, geometry).unwrap();
    assert_eq!(word(&file(5), FAILED).unwrap(), 4, "one is drained: the next one, of the same row");
    // It was synced once, and fails much later: a row of its own.
    put(&file(5), FAILED, 0).unwrap();
    put(&file(5), POISONED, 1).unwrap();
    make(&Linux, &dir, geometry).unwrap();
    assert_eq!(word(&file(6), FAILED).unwrap(), 1);
}

#[test]
fn what_cannot_be_removed_is_an_error_and_what_is_not_there_is_none() {
    let dir = Scratch::new("removed");
    assert!(Linux.remove(&dir).is_err(), "a directory");
    assert!(Linux.remove(&dir.join("nothing")).is_ok());
}

#[test]
fn a_file_system_that_cannot_reserve_room_is_told_from_a_full_one() {
    let dir = Scratch::new("reserve");
    let geometry = Geometry { blocks: 2, block_bytes: 4096, slots: 1 };
    let disk = Faulty::new([2, u32::MAX], libc::EOPNOTSUPP);
    let error = make(&disk, &dir, geometry).unwrap_err();
    assert!(error.to_string().contains("ext4, xfs and tmpfs can"), "{error}");
}

#[test]
fn a_lock_that_the_system_refuses_is_an_error_and_not_somebody_elses() {
    let program = std::env::current_exe().unwrap();
    let readable = File::open(&program).unwrap();
    assert!(try_lock(&readable, 0, Hold::Alone).is_err(), "it cannot be written to");
    assert!(try_lock(&readable, 0, Hold::Shared).unwrap());
    let name_only = File::options().read(true).custom_flags(libc::O_PATH).open(&program).unwrap();
    assert!(held_by_another(&name_only, 0).is_err(), "it is not really open");
}

#[test]
fn a_superblock_reads_back_as_it_was_written_and_what_cannot_be_read_is_an_error() {
    let scratch = Scratch::new("superblock");
    let path = scratch.join("one");
    let file = disk::open_or_create(&path).unwrap();
    let geometry = Geometry { blocks: 2, block_bytes: 64, slots: 1 };
    let (region, boot) = (Region(7 << 100 | 9 << 64 | 3), Boot(5 << 100 | 8 << 64 | 2));
    let written = Superblock { geometry, region, boot, inode: 11, made: 12 };
    written.write(&file).unwrap();
    let short = Strange::Short { says: Layout::new(geometry).bytes(), has: 128 };
    assert_eq!(Superblock::read(&file).unwrap(), Err(short));
    file.set_len(127).unwrap();
    assert_eq!(Superblock::read(&file).unwrap(), Err(Strange::NotARing), "too short");
    written.write(&file).unwrap();
    file.set_len(1 << 20).unwrap();
    assert_eq!(Superblock::read(&file).unwrap(), Ok(written));
    Superblock::read(&File::open(&*scratch).unwrap()).unwrap_err();
}
