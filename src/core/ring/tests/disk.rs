//! Making a file while the disk fails.

use std::cell::Cell;
use std::fs::{self, File};
use std::io;
use std::path::Path;

use crate::ring::disk::{Disk, Linux};
use crate::ring::layout::Geometry;
use crate::ring::making::make;
use crate::ring::open_error::OpenError;

/// The disk, but for its call number `fails`.
struct Faulty {
    calls: Cell<u32>,
    fails: u32,
    error: i32,
}

impl Faulty {
    fn call<T>(&self, act: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        self.calls.set(self.calls.get() + 1);
        if self.calls.get() == self.fails + 1 {
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
        self.call(|| Linux.sync(file))
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
    let dir = std::env::temp_dir().join(format!("sparkngin-disk-{}", std::process::id()));
    let geometry = Geometry { blocks: 2, block_bytes: 4096, slots: 1 };
    for (error, kind) in [(libc::EIO, None), (libc::ENOSPC, Some("no room in"))] {
        for fails in 0.. {
            let _ = fs::remove_dir_all(&dir);
            fs::create_dir_all(&dir).unwrap();
            let disk = Faulty { calls: Cell::new(0), fails, error };
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
    fs::remove_dir_all(&dir).unwrap();
}
