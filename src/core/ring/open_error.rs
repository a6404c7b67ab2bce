//! Why a ring cannot be opened, said to the operator: what is different, and what would do.

use std::io;
use std::path::{Path, PathBuf};

use super::layout::VERSION;

/// Why there is no ring.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The directory is missing or not ours.
    #[error("\"{}\" cannot be used for the ring, it must be a directory that this process may write to: {error}", .dir.display())]
    Directory {
        /// Which.
        dir: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The disk has no room.
    #[error("no room in \"{}\" for a ring's file of {bytes} bytes: {error}", .dir.display())]
    NoRoom {
        /// Where.
        dir: PathBuf,
        /// Bytes that were asked for.
        bytes: u64,
        /// What the system said.
        error: io::Error,
    },
    /// The sizes make no ring.
    #[error("{bytes} bytes in blocks of {block_bytes} make no ring: {why}")]
    Size {
        /// Bytes wanted.
        bytes: u64,
        /// Bytes of a block.
        block_bytes: u32,
        /// What is wrong.
        why: &'static str,
    },
    /// The file that is there is none that could be read.
    #[error("\"{}\" is left alone: {}", .path.display(), .why)]
    Other {
        /// Which.
        path: PathBuf,
        /// What is different.
        why: Difference,
    },
    /// Another process has been making the file for some time.
    #[error("another process is still making the ring's file in \"{}\", try again", .dir.display())]
    Busy {
        /// Where.
        dir: PathBuf,
    },
    /// The file system does not keep two openers apart.
    #[error("the file system of \"{}\" does not keep locks between two openers of one file, it must be a local one", .path.display())]
    NoLocks {
        /// Which file.
        path: PathBuf,
    },
    /// The file system is of a kind that keeps no promise.
    #[error("\"{}\" is on {kind}, {why}; it must be on a local file system such as ext4, xfs or tmpfs", .dir.display())]
    FileSystem {
        /// Where.
        dir: PathBuf,
        /// What it is called.
        kind: &'static str,
        /// What it does not do.
        why: &'static str,
    },
    /// Syncs fail, one after another.
    #[error("{poisoned} poisoned files in \"{}\" wait to be drained, no other one is made before: look at the disk", .dir.display())]
    Poisoned {
        /// Where.
        dir: PathBuf,
        /// How many.
        poisoned: u64,
    },
    /// The system refused something else.
    #[error("cannot {what} \"{}\": {error}", .path.display())]
    System {
        /// What was tried.
        what: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
}

/// Why a file with a ring's name is left alone: nobody reads it, writes to it or removes it, and another one is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Difference {
    /// Its first bytes are not a ring's.
    #[error("it is not a ring's file; move it away")]
    NotARing,
    /// Its end is missing.
    #[error(
        "it is cut off: a ring's file of {says} bytes by its head, and {has} are there; copy it once more in full, or move it away"
    )]
    Short {
        /// The bytes that it says it has.
        says: u64,
        /// Those that are there.
        has: u64,
    },
    /// Another version made it.
    #[error(
        "its layout is version {0}, this program reads version {VERSION}; drain it with the version that made it, or move it away"
    )]
    Layout(u64),
    /// It is not where it was made.
    #[error("it is a copy of another file; move it away, \"sparkngin ring dump\" reads it there")]
    Copy,
    /// The system does not let us read it; its error number.
    #[error("it cannot be read: {}", io::Error::from_raw_os_error(*.0))]
    Unreadable(i32),
}

pub(super) fn system(what: &'static str, path: &Path, error: io::Error) -> OpenError {
    OpenError::System { what, path: path.to_owned(), error }
}
