//! The files `ring.<n>` of a directory, and what each of them is to this process: a ring of this boot, one that an
//! earlier boot left, or a stranger that is left alone.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::disk;
use super::layout::{At, CLEAN, IS_CLEAN, POISONED};
use super::open_error::{Difference, OpenError, system};
use super::superblock::{Boot, Strange, Superblock};

/// When a ring's file was made, as far as that matters to who reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// In this boot: what memory shows is what was written.
    Here,
    /// In an earlier boot. `clean`: its last user left in order, with everything on the disk; else the machine stopped
    /// under it, and only what passes its checks is believed.
    Earlier {
        /// Whether nothing can be missing.
        clean: bool,
    },
}

/// A file with a ring's name that is not a ring of ours. Nobody reads or writes it, nobody removes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftAlone {
    /// Of its name, `ring.<n>`.
    pub number: u64,
    /// Where it lies.
    pub path: PathBuf,
    /// Why.
    pub why: Difference,
}

/// What a look at a file shows.
pub(super) enum Judged {
    Ours(File, Superblock, Origin),
    Stranger(Difference),
    /// It was just removed.
    Gone,
}

/// Looks at a file of a ring's name.
pub(super) fn judge(path: &Path, writable: bool) -> Result<Judged, OpenError> {
    let file = match disk::open(path, writable) {
        Ok(file) => file,
        Err(error) => return unreadable(path, error),
    };
    let meta = file.metadata().map_err(|error| system("look at", path, error))?;
    if !meta.is_file() {
        return Ok(Judged::Stranger(Difference::NotARing));
    }
    let superblock = match Superblock::read(&file) {
        Ok(Ok(superblock)) => superblock,
        Ok(Err(strange)) => return Ok(Judged::Stranger(strange.into())),
        Err(error) => return unreadable(path, error),
    };
    if writable && superblock.inode != meta.ino() {
        return Ok(Judged::Stranger(Difference::Copy));
    }
    match origin(&file, &superblock) {
        Ok(origin) => Ok(Judged::Ours(file, superblock, origin)),
        Err(error) => unreadable(path, error),
    }
}

fn origin(file: &File, superblock: &Superblock) -> io::Result<Origin> {
    if superblock.boot == Boot::current()? {
        return Ok(Origin::Here);
    }
    // A file that a sync failed on has nothing that could be called clean.
    let clean = word(file, CLEAN)? == IS_CLEAN && word(file, POISONED)? == 0;
    Ok(Origin::Earlier { clean })
}

/// One word of a file that nobody has mapped yet.
pub(super) fn word(file: &File, at: At) -> io::Result<u64> {
    let mut le = [0; 8];
    file.read_exact_at(&mut le, at.0 as u64 * 8)?;
    Ok(u64::from_le_bytes(le))
}

/// What the file is to blame for makes it a stranger; what the system lacks just now does not.
fn unreadable(path: &Path, error: io::Error) -> Result<Judged, OpenError> {
    match error.raw_os_error() {
        Some(libc::ENOENT) => Ok(Judged::Gone),
        Some(
            code @ (libc::ELOOP
            | libc::EACCES
            | libc::EPERM
            | libc::EISDIR
            | libc::ENXIO
            | libc::EIO),
        ) => Ok(Judged::Stranger(Difference::Unreadable(code))),
        _ => Err(system("read", path, error)),
    }
}

impl From<Strange> for Difference {
    fn from(strange: Strange) -> Difference {
        match strange {
            Strange::NotARing => Difference::NotARing,
            Strange::Layout(version) => Difference::Layout(version),
        }
    }
}

/// The numbers and paths of all ring files of a directory, oldest first.
pub(super) fn files(dir: &Path) -> Result<Vec<(u64, PathBuf)>, OpenError> {
    let unusable = |error| OpenError::Directory { dir: dir.to_owned(), error };
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).map_err(unusable)? {
        let path = entry.map_err(unusable)?.path();
        if let Some(number) = number(&path) {
            found.push((number, path));
        }
    }
    found.sort();
    Ok(found)
}

/// The number of a path `ring.<n>`.
pub(super) fn number(path: &Path) -> Option<u64> {
    let digits = path.file_name()?.to_str()?.strip_prefix("ring.")?;
    let plain = digits.bytes().all(|b| b.is_ascii_digit());
    if plain { digits.parse().ok() } else { None }
}
