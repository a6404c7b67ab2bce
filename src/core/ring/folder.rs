//! The files `ring.<n>` of a directory, and what each of them is to this process: a ring of this boot, one that an
//! earlier boot left, or a stranger that is left alone.

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::disk;
use super::file::Wanted;
use super::filesystem;
use super::layout::{At, CLEAN, Geometry, IS_CLEAN, Layout, POISONED};
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

/// The file that takes events now, and that other sizes are wanted: it will be drained while a new one takes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replaced {
    /// Of its name, `ring.<n>`.
    pub number: u64,
    /// Its sizes.
    pub has: Geometry,
    /// Those that are wanted.
    pub wanted: Geometry,
    /// Whether there is room for a file of these beside it.
    pub room: bool,
}

impl Replaced {
    /// What will be replaced when somebody opens the ring that is wanted; None if nothing is, or nobody can tell. Looks only,
    /// and at the first bytes of the files alone.
    pub fn by(wanted: &Wanted) -> Option<Replaced> {
        let (dir, geometry) = (&wanted.dir, wanted.geometry().ok()?);
        for (number, path) in files(dir).ok()?.into_iter().rev() {
            let Ok(Judged::Ours(file, superblock, Origin::Here)) = judge(&path, false) else {
                continue;
            };
            let (has, wanted) = (superblock.geometry, geometry);
            let differs = has != wanted && word(&file, POISONED).ok()? == 0;
            let room = filesystem::has_room(dir, Layout::new(wanted).bytes());
            return differs.then_some(Replaced { number, has, wanted, room });
        }
        None
    }
}

impl Wanted {
    /// That there is no room for the file that will be made, as a sentence; None if there is, if none will be made beside
    /// what is there, or if nobody can tell. Looks only.
    pub fn no_room(&self) -> Option<String> {
        let bytes = Layout::new(self.geometry().ok()?).bytes();
        let takes_events = |(_, path): &(u64, PathBuf)| match judge(path, false) {
            Ok(Judged::Ours(file, _, Origin::Here)) => word(&file, POISONED).unwrap_or(0) == 0,
            _ => false,
        };
        if files(&self.dir).is_ok_and(|files| files.iter().any(takes_events)) {
            return None;
        }
        // Its last part is perhaps made later.
        let there = self.dir.ancestors().find(|part| part.is_dir())?;
        let dir = self.dir.display();
        (!filesystem::has_room(there, bytes)).then(|| {
            format!("there is no room in \"{dir}\" for a ring's file of {bytes} bytes: /log is 503 until there is")
        })
    }
}

impl fmt::Display for Replaced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Replaced { number, has, wanted, room } = self;
        write!(
            f,
            "ring.{number} has {} blocks of {} bytes, and {} of {} are configured: ",
            has.blocks, has.block_bytes, wanted.blocks, wanted.block_bytes
        )?;
        let bytes = Layout::new(*wanted).bytes();
        match room {
            true => write!(
                f,
                "a new file of {bytes} bytes is made, and ring.{number} is drained and then removed"
            ),
            false if has.block_bytes == wanted.block_bytes => {
                write!(
                    f,
                    "there is no room for a new file of {bytes} bytes, ring.{number} is used on"
                )
            }
            false => {
                write!(
                    f,
                    "there is no room for a new file of {bytes} bytes, /log is 503 until ring.{number} is drained and there is"
                )
            }
        }
    }
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

/// Writes a word of a file that nobody else uses; its mapping sees it.
pub(super) fn put(file: &File, at: At, value: u64) -> io::Result<()> {
    file.write_all_at(&value.to_le_bytes(), at.0 as u64 * 8)
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
            Strange::Short { says, has } => Difference::Short { says, has },
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
