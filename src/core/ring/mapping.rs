//! A file as shared memory. With `lock.rs` all `unsafe` of this crate.

use std::fs::File;
use std::io;
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

use super::layout::At;
use super::memory::{self, Memory};

/// A file mapped as words, shared with every other process that maps it.
///
/// The mapping keeps the file's description open in the kernel, and with it the description's locks: these outlast the
/// last byte this process can write, whatever is closed first.
pub struct Mapping {
    start: NonNull<AtomicU64>,
    words: usize,
    writable: bool,
}

// SAFETY: the words are touched as atomics alone, through a shared reference, from any thread.
unsafe impl Send for Mapping {}
// SAFETY: as above; nothing in it belongs to a thread.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps the first `words` words of a file that is at least so long and is never shortened.
    ///
    /// `writable` false maps it for looking only: then whoever stores or swaps panics.
    ///
    /// # Errors
    /// When the file is shorter, or the system refuses the mapping.
    pub fn new(file: &File, words: usize, writable: bool) -> io::Result<Mapping> {
        let bytes = words * 8;
        if words == 0 || file.metadata()?.len() < bytes as u64 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file is too short"));
        }
        let write = if writable { ProtFlags::WRITE } else { ProtFlags::empty() };
        let protection = ProtFlags::READ | write;
        let shared = MapFlags::SHARED;
        // SAFETY: the kernel chooses a free address, so no memory of ours is replaced.
        let start = unsafe { mmap(std::ptr::null_mut(), bytes, protection, shared, file, 0) }?;
        let Some(start) = NonNull::new(start.cast()) else {
            return Err(io::Error::other("the system mapped the file at address 0"));
        };
        Ok(Mapping { start, words, writable })
    }

    fn words(&self) -> &[AtomicU64] {
        // SAFETY: mmap gave us `words * 8` bytes at this page-aligned address, unmapped only in Drop; every process
        // touches them as AtomicU64 alone, for which any bits are a value; the file is that long and never shortened.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.words) }
    }

    fn for_writing(&self) -> &[AtomicU64] {
        assert!(self.writable, "a ring opened for looking is not written to");
        self.words()
    }
}

impl Memory for Mapping {
    fn load(&self, at: At) -> u64 {
        memory::load(self.words(), at)
    }

    fn store(&self, at: At, value: u64) {
        memory::store(self.for_writing(), at, value);
    }

    fn swap(&self, at: At, seen: u64, new: u64) -> bool {
        memory::swap(self.for_writing(), at, seen, new)
    }

    fn fence(&self) {
        memory::fence();
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: exactly what mmap gave us, and no reference into it outlives `self`.
        let gone = unsafe { munmap(self.start.as_ptr().cast(), self.words * 8) };
        debug_assert!(gone.is_ok());
    }
}
