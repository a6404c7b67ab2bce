//! What is known of syncs that failed, or may have. The kernel tells each open description of an error once, and one that
//! was opened after somebody was told is told nothing. So whoever was told, and was killed before the file was poisoned,
//! would leave a file whose next sync "succeeds" without what it is about. Hence:
//!
//! ```text
//!   a sync:                 syncs even -> odd | fdatasync | synced = ..., or poisoned | syncs odd -> even
//!   a slot's holder's own:  beginning = its number | fsync | 0, or poisoned
//!   who is to sync next:    syncs odd, and opened the file when it was so already: poisoned
//!                           beginning not 0, nobody holds that slot, and opened the file when it was so: poisoned
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

use super::beginning::number;
use super::disk::{Disk, Linux};
use super::file::Ring;
use super::folder::{Judged, Origin, files, judge, word};
use super::layout::{BEGINNINGS, FAILED, POISONED, REFUSES, SYNCS};
use super::lock::held_by_another;
use super::memory::Memory;
use super::open_error::OpenError;
use super::view::View;
use crate::id::Stream;

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

/// How many syncs had been begun after a description was opened: of what became of those that came later it hears.
#[derive(Clone, Copy)]
pub(super) struct Since {
    syncs: u64,
    beginnings: u64,
}

impl Since {
    /// For one that was just opened.
    pub fn now<M: Memory>(view: &View<M>) -> Since {
        Since { syncs: view.load(SYNCS), beginnings: view.load(BEGINNINGS) }
    }

    /// Whether a sync through it hears of every error since the last sync whose end is known.
    pub fn hears<M: Memory>(self, view: &View<M>) -> bool {
        let syncs = view.load(SYNCS);
        !is_odd(syncs) || self.syncs < syncs
    }

    /// Whether it hears of an error in the sync that a slot's holder is at, or was killed in; `number` 0 is none.
    pub fn hears_beginning(self, number: u64) -> bool {
        number == 0 || self.beginnings < number
    }
}

/// What [`FAILED`] is for a file that is made now, and how many poisoned ones of this boot are there.
pub(super) fn before(dir: &Path) -> Result<(u64, u64), OpenError> {
    let (mut failed, mut poisoned) = (None, 0);
    for (_, path) in files(dir)?.into_iter().rev() {
        let Judged::Ours(file, _, Origin::Here) = judge(&path, false)? else { continue };
        let control = |at| word(&file, at).unwrap_or(0);
        let bad = control(POISONED) != 0;
        poisoned += u64::from(bad);
        failed.get_or_insert_with(|| control(FAILED).saturating_add(bad.into()));
    }
    Ok((failed.unwrap_or(0), poisoned))
}

impl<M: Memory> Ring<M> {
    /// Whether a sync by this ring, as it was opened, hears of whatever became of the last one, and of those that slots'
    /// holders are at, or were killed in.
    pub fn hears(&self) -> bool {
        self.since().hears(self.view()) && !self.view().streams().any(|s| self.unheard(s))
    }

    /// Whether a slot's holder is at a sync of its own, or was killed in it, of which this ring does not hear.
    fn unheard(&self, stream: Stream) -> bool {
        !self.since().hears_beginning(number(self.view(), stream))
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

    /// Whether a slot's new holder is about to find out whether the disk takes a sync of its own, of which this ring would
    /// not hear (None: one was killed while it did).
    pub(super) fn slots_begin(&self) -> io::Result<Option<bool>> {
        let view = self.view();
        let mut some = false;
        for stream in view.streams().filter(|stream| self.unheard(*stream)) {
            if held_by_another(self.file(), view.layout.slot_byte(stream))? {
                some = true;
            } else if self.unheard(stream) {
                // It has not just ended, and let go.
                return Ok(None);
            }
        }
        Ok(Some(some))
    }

    /// Whether the disk takes a sync of something else: a small file beside the ring's.
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
        trial(&Linux, self.dir())
    }
}

/// Whether a directory's disk takes a small file and its sync. That it has no room for it is no answer, and so no error.
pub(super) fn trial(disk: &impl Disk, dir: &Path) -> io::Result<()> {
    let path = dir.join(TRIAL);
    disk.remove(&path)?;
    let tried = disk.create(&path).and_then(|file| written(&file));
    let removed = disk.remove(&path);
    match tried {
        Err(error) if error.kind() == io::ErrorKind::StorageFull => removed,
        tried => tried.and(removed),
    }
}

pub(super) fn written(mut file: &File) -> io::Result<()> {
    file.write_all(&[0; TRIAL_BYTES])?;
    file.sync_data()
}
