//! Which file systems a ring may lie on. Refused are those that forget locks, answer a write with a signal when the disk
//! is full though room was reserved, or leave the page's writing to a program.

use std::fs::File;
use std::path::Path;

use rustix::fs::{IFlags, fstatfs, fstatvfs, ioctl_getflags};

use super::disk::in_memory;
use super::open_error::OpenError;

const NETWORK: &str = "which is shared over a network, so neither locks nor a shared mapping hold";
const PROGRAM: &str = "which is served by a program, so what was written can be lost with it";
const COPIES: &str = "which copies what is written to, so that a full disk kills who writes (on btrfs: `chattr +C` the directory)";
const BTRFS: u64 = 0x9123_683E;

/// By the number that statfs gives: name, and what is wrong with it.
const REFUSED: [(u64, &str, &str); 19] = [
    (0x6969, "NFS", NETWORK),
    (0x517B, "SMB", NETWORK),
    (0xFE53_4D42, "SMB2", NETWORK),
    (0xFF53_4D42, "CIFS", NETWORK),
    (0x0102_1997, "9P", NETWORK),
    (0x00C3_6400, "Ceph", NETWORK),
    (0x5346_414F, "AFS", NETWORK),
    (0x7375_7245, "Coda", NETWORK),
    (0x0BD0_0BD0, "Lustre", NETWORK),
    (0x0116_1970, "GFS2", NETWORK),
    (0x7461_636F, "OCFS2", NETWORK),
    (0x4750_4653, "GPFS", NETWORK),
    (0x1983_0326, "BeeGFS", NETWORK),
    (0x786F_4256, "a shared folder of VirtualBox", NETWORK),
    (0xBACB_ACBC, "a shared folder of VMware", NETWORK),
    (0x6573_5546, "FUSE", PROGRAM),
    (0x2FC1_2FC1, "ZFS", COPIES),
    (0xCA45_1A4E, "bcachefs", COPIES),
    (BTRFS, "btrfs", COPIES),
];

/// A directory that a ring may lie in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ground {
    /// It is gone with the machine's power.
    pub in_memory: bool,
    /// Bytes that may still be written there.
    pub room: u64,
}

impl Ground {
    /// Looks at a directory, and changes nothing.
    ///
    /// # Errors
    /// [`OpenError::FileSystem`] where no ring may lie, [`OpenError::Directory`] where nobody can look.
    pub fn look(dir: &Path) -> Result<Ground, OpenError> {
        check(dir)?;
        let looked = File::open(dir).and_then(|file| {
            let left = fstatvfs(&file)?;
            let room = left.f_bavail.saturating_mul(left.f_frsize);
            Ok(Ground { in_memory: in_memory(&file)?, room })
        });
        looked.map_err(|error| OpenError::Directory { dir: dir.to_owned(), error })
    }
}

/// Refuses a directory on a file system that keeps no promise.
pub(super) fn check(dir: &Path) -> Result<(), OpenError> {
    let unusable = |error: rustix::io::Errno| OpenError::Directory {
        dir: dir.to_owned(),
        error: error.into(),
    };
    let file =
        File::open(dir).map_err(|error| OpenError::Directory { dir: dir.to_owned(), error })?;
    // The number has 32 bits, sign-extended or not.
    let number = u64::from(fstatfs(&file).map_err(unusable)?.f_type as u32);
    let in_place = || ioctl_getflags(&file).is_ok_and(|flags| flags.contains(IFlags::NOCOW));
    match refused(number, in_place) {
        Some((kind, why)) => Err(OpenError::FileSystem { dir: dir.to_owned(), kind, why }),
        None => Ok(()),
    }
}

/// Whether the disk has room for so many bytes now. Asked before they are reserved: an attempt that fails takes all that is
/// left, for a moment, from everybody else.
pub(super) fn has_room(dir: &Path, bytes: u64) -> bool {
    let left = File::open(dir).and_then(|dir| Ok(fstatvfs(&dir)?));
    left.map_or(true, |left| left.f_bavail.saturating_mul(left.f_frsize) >= bytes)
}

/// Name and fault of a file system; of btrfs only where it does not write in place.
fn refused(number: u64, in_place: impl FnOnce() -> bool) -> Option<(&'static str, &'static str)> {
    let (_, kind, why) = REFUSED.iter().find(|(it, ..)| *it == number)?;
    let fine = number == BTRFS && in_place();
    (!fine).then_some((*kind, *why))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_file_systems_that_write_in_place_are_fine_and_others_are_not() {
        let (ext4, xfs, tmpfs, overlay) = (0xEF53, 0x5846_5342, 0x0102_1994, 0x794C_7630);
        let copies = |number| refused(number, || false);
        for fine in [ext4, xfs, tmpfs, overlay] {
            assert_eq!(copies(fine), None);
        }
        let (nfs, fuse, btrfs) = (0x6969, 0x6573_5546, 0x9123_683E);
        assert_eq!(copies(nfs), Some(("NFS", NETWORK)));
        assert_eq!(copies(fuse), Some(("FUSE", PROGRAM)));
        assert_eq!(copies(btrfs), Some(("btrfs", COPIES)));
        let in_place = |number| refused(number, || true).map(|(kind, _)| kind);
        assert_eq!((in_place(btrfs), in_place(nfs)), (None, Some("NFS")));
    }

    #[test]
    fn where_nobody_can_look_no_ring_may_lie() {
        let missing = Path::new("/nowhere");
        assert!(matches!(check(missing), Err(OpenError::Directory { .. })));
    }
}
