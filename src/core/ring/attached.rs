//! An open ring file, and the byte by which its users know of each other.
//!
//! Whoever uses the file holds the byte together with the others; who removes it holds it alone. The last one to leave
//! holds it alone, too, for as long as it takes to bring everything to the disk and to say so by the word `clean`: an
//! orderly reboot then finds nothing uncertain.

use std::fs::File;
use std::io;

use super::disk::{Disk, Linux};
use super::doubt::is_odd;
use super::folder::{put, word};
use super::layout::{CLEAN, IS_CLEAN, POISONED, SYNCS, attach_byte, sync_byte};
use super::lock::{Hold, held_by_another, try_lock, unlock};

/// An open file, and whether the byte is held.
pub(super) struct Attached {
    file: File,
    held: bool,
    /// Of this boot, and still there: the last one to leave says that it is clean.
    alive: bool,
}

impl Attached {
    /// A file that is only looked at.
    pub fn for_looking(file: File) -> Attached {
        Attached { file, held: false, alive: false }
    }

    /// Takes the byte together with others; None while somebody holds it alone. `alive`: it may be written to.
    pub fn take(file: File, alive: bool) -> io::Result<Option<Attached>> {
        let held = try_lock(&file, attach_byte(), Hold::Shared)?;
        Ok(held.then_some(Attached { file, held, alive }))
    }

    pub fn file(&self) -> &File {
        &self.file
    }

    /// Does something as the only user there is, if that is so. True says that the file was removed by it: then there is
    /// nothing to leave in order.
    pub fn alone(&mut self, act: impl FnOnce() -> io::Result<bool>) -> io::Result<bool> {
        if !self.held || !try_lock(&self.file, attach_byte(), Hold::Alone)? {
            return Ok(false);
        }
        let removed = act();
        if matches!(removed, Ok(true)) {
            self.alive = false;
        } else {
            try_lock(&self.file, attach_byte(), Hold::Shared)?;
        }
        removed
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        if self.held && self.alive {
            // What fails here leaves a file that is not called clean, which is true.
            let _ = leave(&Linux, &self.file);
        }
    }
}

/// Gives the byte back and, if nobody else has it, brings the file to the disk and says so.
pub(super) fn leave(disk: &impl Disk, file: &File) -> io::Result<()> {
    let to_do = || {
        let bad = word(file, POISONED)? != 0 || is_odd(word(file, SYNCS)?);
        Ok::<_, io::Error>(!bad && word(file, CLEAN)? != IS_CLEAN)
    };
    // The most of it while others can still come: whoever comes while the file is held alone has to wait. Nobody else syncs
    // it meanwhile.
    if try_lock(file, sync_byte(), Hold::Alone)?
        && to_do()?
        && !held_by_another(file, attach_byte())?
    {
        told(file, || disk.sync(file))?;
    }
    // First given back: of two that leave at a time each would see the other one.
    unlock(file, attach_byte())?;
    if !try_lock(file, attach_byte(), Hold::Alone)? || !to_do()? {
        return Ok(());
    }
    told(file, || {
        disk.sync(file)?;
        put(file, CLEAN, IS_CLEAN)?;
        disk.sync(file)
    })
}

/// A sync whose end everybody who comes later knows of: nobody hears of its error again.
pub(super) fn told(file: &File, sync: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    let syncs = word(file, SYNCS)?;
    put(file, SYNCS, syncs + 1)?;
    let done = sync();
    if done.is_err() {
        put(file, POISONED, 1)?;
    }
    put(file, SYNCS, syncs + 2)?;
    done
}
