//! Waiting without asking. A FIFO in the ring's directory wakes who sleeps in poll; a flag in the ring says whether
//! anybody sleeps, so that a writer makes a system call only then.
//!
//! ```text
//!   who waits:   flag = 1 | fence | look at everything once more | poll(FIFO)
//!   a writer:    commit   | fence | flag 1 -> 0 by a swap: whoever does that writes one byte into the FIFO
//! ```
//!
//! Of the two fences one comes first: either the look sees the commit, or the writer sees the flag. A writer that dies
//! between commit and bell costs the publisher its next BEAT, 200 ms.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat, open};
use rustix::io::Errno;

use super::layout::At;
use super::memory::Memory;
use super::view::View;

/// A FIFO that never blocks, open at both ends.
pub struct Fifo(File);

/// A FIFO with its flag: what one process waits for.
pub struct Bell<'a, M> {
    fifo: &'a Fifo,
    view: &'a View<M>,
    flag: At,
}

impl Fifo {
    /// Opens the FIFO of this name, made if it is not there.
    ///
    /// # Errors
    /// When the directory refuses it, or something else has its name.
    pub fn open(dir: &Path, name: &str) -> io::Result<Fifo> {
        let path = dir.join(name);
        match mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let file = File::from(open(&path, flags, Mode::empty())?);
        if FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode) != FileType::Fifo {
            let what = format!("\"{}\" is not a FIFO", path.display());
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, what));
        }
        Ok(Fifo(file))
    }

    /// Wakes who waits. A full FIFO has woken it already.
    pub fn ring(&self) {
        // Nothing else can fail for an open FIFO, and a lost bell costs 200 ms at most.
        let _ = (&self.0).write(&[1]);
    }

    /// Takes what was rung.
    pub fn clear(&self) {
        let mut bytes = [0; 512];
        while matches!((&self.0).read(&mut bytes), Ok(n) if n == bytes.len()) {}
    }
}

impl From<Fifo> for OwnedFd {
    fn from(fifo: Fifo) -> OwnedFd {
        fifo.0.into()
    }
}

/// Removes the bells of a ring that is gone; what is left of them does no harm.
pub(super) fn remove_all(dir: &Path, ring: u64) {
    let prefix = format!("bell.{ring}.");
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_name().to_str().is_some_and(|name| name.starts_with(&prefix)) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

impl AsFd for Fifo {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// The writer's half, after its commit: whether it has to ring, since it was the one to take the flag.
pub(super) fn rouse<M: Memory>(view: &View<M>, flag: At) -> bool {
    view.memory.fence();
    take(view, flag, 1)
}

/// [`rouse`] without its fence: whether this one took the flag, which was `set`.
pub(super) fn take<M: Memory>(view: &View<M>, flag: At, set: u64) -> bool {
    view.load(flag) == set && view.memory.swap(flag, set, 0)
}

impl<'a, M: Memory> Bell<'a, M> {
    pub(super) fn new(fifo: &'a Fifo, view: &'a View<M>, flag: At) -> Bell<'a, M> {
        Bell { fifo, view, flag }
    }

    /// Says that its holder is about to wait. It must look at everything once more before it does.
    pub fn arm(&self) {
        self.view.store(self.flag, 1);
        self.view.memory.fence();
    }

    /// Awake: takes the flag back, and what was rung. Call it before the next look.
    pub fn clear(&self) {
        self.view.store(self.flag, 0);
        self.fifo.clear();
    }
}

impl<M> AsFd for Bell<'_, M> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fifo.as_fd()
    }
}
