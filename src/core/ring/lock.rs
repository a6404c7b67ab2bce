//! Locks on single bytes of a file, each of one open file description.
//!
//! The kernel drops them a moment after the process is gone, whatever killed it: so who holds a byte is alive, and no
//! pid and no time-out decides anything. A description's own locks look free to itself: every role opens the file
//! for itself.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

/// How a byte is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// By one description alone; the file must be open for writing.
    Alone,
    /// Together with others that hold it so.
    Shared,
}

/// Takes the byte, if nobody else's hold forbids it; says whether. It never waits.
///
/// # Errors
/// When the file system has no such locks.
pub fn try_lock(file: &File, byte: u64, hold: Hold) -> io::Result<bool> {
    match set(file, byte, kind(hold)) {
        Ok(()) => Ok(true),
        Err(e) if matches!(e.raw_os_error(), Some(libc::EAGAIN | libc::EACCES)) => Ok(false),
        Err(e) => Err(e),
    }
}

/// Gives the byte back.
///
/// # Errors
/// When the file system has no such locks.
pub fn unlock(file: &File, byte: u64) -> io::Result<()> {
    set(file, byte, libc::F_UNLCK)
}

/// Whether another description's hold keeps this one from taking the byte alone. Its own hold does not count.
///
/// # Errors
/// When the file system has no such locks.
pub fn held_by_another(file: &File, byte: u64) -> io::Result<bool> {
    let mut lock = flock(byte, libc::F_WRLCK);
    // SAFETY: the descriptor is open as long as `file` lives, and `lock` is a whole struct flock of our own.
    let done = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_GETLK, &raw mut lock) };
    if done < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(i32::from(lock.l_type) != libc::F_UNLCK)
}

fn set(file: &File, byte: u64, kind: i32) -> io::Result<()> {
    let lock = flock(byte, kind);
    loop {
        // SAFETY: the descriptor is open as long as `file` lives, and `lock` is a whole struct flock that is only read.
        let done = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &raw const lock) };
        if done == 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

fn kind(hold: Hold) -> i32 {
    match hold {
        Hold::Alone => libc::F_WRLCK,
        Hold::Shared => libc::F_RDLCK,
    }
}

fn flock(byte: u64, kind: i32) -> libc::flock {
    libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: byte as libc::off_t,
        l_len: 1,
        // The kernel wants 0 here for locks of a description.
        l_pid: 0,
    }
}
