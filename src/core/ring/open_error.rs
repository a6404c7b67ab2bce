//! Why a ring cannot be opened, said to the operator: what is different, and what would do.

use std::io;
use std::path::PathBuf;

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
    /// The file that is there must not be written to by this process.
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

/// How a file differs from the ring that is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Difference {
    /// Its first bytes are not a ring's.
    #[error("it is not a ring's file; move it away")]
    NotARing,
    /// Another version made it.
    #[error(
        "its layout is version {0}, this program writes version {VERSION}; drain it with the version that made it, or move it away"
    )]
    Layout(u64),
    /// The machine was booted since.
    #[error(
        "it was made before the machine was last booted; move it away, \"sparkngin ring dump\" reads it"
    )]
    Boot,
    /// It is not where it was made.
    #[error("it is a copy of another file; move it away")]
    Copy,
    /// Its blocks have another size.
    #[error(
        "its blocks have {has} bytes, {wanted} are wanted; set the block size back, or move it away"
    )]
    BlockSize {
        /// Bytes of a block.
        has: u32,
        /// Bytes wanted.
        wanted: u32,
    },
    /// It has another number of blocks.
    #[error(
        "it has {has} bytes of blocks, {wanted} are wanted; set the size back, or move it away"
    )]
    Size {
        /// Bytes of all blocks.
        has: u64,
        /// Bytes wanted.
        wanted: u64,
    },
    /// A sync of it failed, or a record in it is broken.
    #[error(
        "it is poisoned: a sync of it failed, or a record in it is broken; look at the disk, then move it away"
    )]
    Poisoned,
}
