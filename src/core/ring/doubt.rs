//! What is known of syncs that failed, or may have. The kernel tells each open description of an error once, and one that
//! was opened after somebody was told is told nothing. So whoever was told, and was killed before the file was poisoned,
//! would leave a file whose next sync "succeeds" without what it is about. Hence:
//!
//! ```text
//!   a sync:                 syncs even -> odd | fdatasync | synced = ..., or poisoned | syncs odd -> even
//!   a stream's first one:   beginning = 1     | fsync     | 0, or poisoned
//!   who is to sync next:    syncs odd, and opened the file when it was so already: poisoned
//!                           beginning = 1, and nobody holds that slot: poisoned
//! ```
//!
//! Who opened the file before `syncs` became odd is told of what happened since. It leaves the number as it is, so that
//! whoever comes after its own death is judged by the same one.
//!
//! A disk that refuses every sync must not cost a file for each try: a file that was made after a poisoned one is synced
//! only when the disk has taken a small file, and after some in a row only while few of them wait to be drained.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use super::disk::{Disk, Linux};
use super::file::Ring;
use super::folder::{Judged, Origin, files, judge, word};
use super::layout::{FAILED, POISONED, REFUSES, SYNCS};
use super::lock::held_by_another;
use super::memory::Memory;
use super::open_error::OpenError;
use super::view::View;

/// So many poisoned files may wait to be drained before the next sync in a row may fail.
pub(super) const FEW: u64 = 3;

/// The small file.
const TRIAL: &str = "sync.trial";
const TRIAL_BYTES: usize = 4096;

/// Whether a number of [`SYNCS`] says that a sync is under way, or that nobody knows how it ended.
pub(super) fn is_odd(syncs: u64) -> bool {
    syncs % 2 == 1
}

/// Before a sync.
pub(super) fn begin<M: Memory>(view: &View<M>) {
    let syncs = view.load(SYNCS);
    if !is_odd(syncs) {
        view.store(SYNCS, syncs + 1);
    }
}

/// After a sync whose end is stored.
pub(super) fn end<M: Memory>(view: &View<M>) {
    view.store(SYNCS, (view.load(SYNCS) | 1) + 1);
}

/// Whether a sync through a description hears of every error since the last sync whose end is known. `opened`: what
/// [`SYNCS`] said after it was opened.
pub(super) fn hears<M: Memory>(view: &View<M>, opened: u64) -> bool {
    let syncs = view.load(SYNCS);
    !is_odd(syncs) || opened < syncs
}

/// What [`FAILED`] is for a file that is made now, and how many poisoned ones of this boot are there.
pub(super) fn before(dir: &Path) -> Result<(u64, u64), OpenError> {
    let (mut failed, mut poisoned) = (None, 0);
    for (_, path) in files(dir)?.into_iter().rev() {
        let Judged::Ours(file, _, Origin::Here) = judge(&path, false)? else { continue };
        let number = |at| word(&file, at).unwrap_or(0);
        let bad = number(POISONED) != 0;
        poisoned += u64::from(bad);
        failed.get_or_insert_with(|| number(FAILED).saturating_add(bad.into()));
    }
    Ok((failed.unwrap_or(0), poisoned))
}

impl<M: Memory> Ring<M> {
    /// Whether a sync by this ring, as it was opened, hears of whatever became of the last one.
    pub fn hears(&self) -> bool {
        hears(self.view(), self.syncs())
    }

    /// Whether whoever synced the file last was killed while it did: nobody knows how that ended.
    pub fn in_doubt(&self) -> bool {
        is_odd(self.view().load(SYNCS))
    }

    /// How many syncs in a row have failed, each of a file of its own, before this one was made.
    pub fn failed_before(&self) -> u64 {
        self.view().load(FAILED)
    }

    /// Whether no sync of the file is tried, since the disk refuses others. Then nothing can be promised beyond the
    /// machine's power.
    pub fn refused(&self) -> bool {
        self.view().load(REFUSES) != 0
    }

    /// Has everybody know whether the disk refuses syncs. Only for who syncs.
    pub(super) fn refuse(&self, refuses: bool) {
        self.view().store(REFUSES, refuses.into());
    }

    /// Whether a slot's new holder is about to find out whether the disk takes its first sync (None: one was killed
    /// while it did).
    pub(super) fn slots_begin(&self) -> io::Result<Option<bool>> {
        let view = self.view();
        let mut some = false;
        for stream in view.streams() {
            if view.load(view.layout.slot(stream).beginning()) == 0 {
                continue;
            }
            if !held_by_another(self.file(), view.layout.slot_byte(stream))? {
                // It may just have ended, and let go.
                if view.load(view.layout.slot(stream).beginning()) == 0 {
                    continue;
                }
                return Ok(None);
            }
            some = true;
        }
        Ok(Some(some))
    }

    /// Whether the disk takes a sync of something else: a small file beside the ring's. A disk without room for it says
    /// nothing about syncs.
    ///
    /// # Errors
    /// What the system said, or that too many poisoned files wait to be drained.
    pub(super) fn try_disk(&self) -> io::Result<()> {
        let (_, poisoned) = before(self.dir()).map_err(io::Error::other)?;
        if self.failed_before() >= FEW && poisoned >= FEW {
            let text = format!(
                "{} syncs in a row have failed, and {poisoned} poisoned files wait to be drained",
                self.failed_before()
            );
            return Err(io::Error::other(text));
        }
        let path = self.dir().join(TRIAL);
        Linux.remove(&path)?;
        let tried = Linux.create(&path).and_then(|file| written(&file));
        let removed = Linux.remove(&path);
        match tried {
            Err(error) if error.kind() == io::ErrorKind::StorageFull => removed,
            tried => tried.and(removed),
        }
    }
}

fn written(mut file: &File) -> io::Result<()> {
    file.write_all(&[0; TRIAL_BYTES])?;
    file.sync_data()
}
