//! What making and removing a file asks of the system: five verbs, so that a test can let each one fail.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{FallocateFlags, Timespec};

/// The system's part in making and removing files.
pub(super) trait Disk {
    /// A new file for its owner alone; its name must not be taken.
    fn create(&self, path: &Path) -> io::Result<File>;
    /// Reserves room for the whole file: a write to it can then never find the disk full.
    fn allocate(&self, file: &File, bytes: u64) -> io::Result<()>;
    /// Brings a file, or a directory's names, to the disk.
    fn sync(&self, file: &File) -> io::Result<()>;
    /// Gives a file its name, in one step.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a name; that there is none is fine.
    fn remove(&self, path: &Path) -> io::Result<()>;
}

/// The real one.
pub(super) struct Linux;

impl Disk for Linux {
    fn create(&self, path: &Path) -> io::Result<File> {
        options(true).create_new(true).open(path)
    }

    fn allocate(&self, file: &File, bytes: u64) -> io::Result<()> {
        Ok(rustix::fs::fallocate(file, FallocateFlags::empty(), 0, bytes)?)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_all()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

/// Whether a file lies in memory alone, where nothing outlives the machine's power.
pub(super) fn in_memory(file: &File) -> io::Result<bool> {
    // tmpfs, ramfs
    Ok(matches!(rustix::fs::fstatfs(file)?.f_type as u32, 0x0102_1994 | 0x8584_58F6))
}

/// Opens a file that is there, and only a file: no link is followed.
pub(super) fn open(path: &Path, writable: bool) -> io::Result<File> {
    options(writable).open(path)
}

/// Opens a file once more that is open, also when it has no name any more.
pub(super) fn open_again(file: &File, writable: bool) -> io::Result<File> {
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    OpenOptions::new().read(true).write(writable).open(path)
}

/// Opens the file, made empty and for its owner alone if it is not there.
pub(super) fn open_or_create(path: &Path) -> io::Result<File> {
    options(true).create(true).truncate(false).open(path)
}

fn options(writable: bool) -> OpenOptions {
    let mut options = OpenOptions::new();
    // O_CLOEXEC is std's own; O_NONBLOCK lest a FIFO of that name keep us waiting.
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    options.read(true).write(writable).mode(0o600).custom_flags(flags);
    options
}

/// Asks again each 5 ms, for so long. None when it never came.
pub(super) fn poll<T, E>(
    long: Duration,
    mut ask: impl FnMut() -> Result<Option<T>, E>,
) -> Result<Option<T>, E> {
    let end = Instant::now() + long;
    loop {
        let answer = ask()?;
        if answer.is_some() || Instant::now() >= end {
            return Ok(answer);
        }
        let pause = Timespec { tv_sec: 0, tv_nsec: 5_000_000 };
        // Nothing to poll but the time; interrupted only means asking sooner.
        let _ = rustix::event::poll(&mut [], Some(&pause));
    }
}
