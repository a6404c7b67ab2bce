//! A new ring's file.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use super::disk::Disk;
use super::doubt::{self, FEW};
use super::filesystem;
use super::folder::{files, put};
use super::layout::{FAILED, Geometry, Layout};
use super::lease;
use super::open_error::{OpenError, system};
use super::superblock::{Boot, Superblock};
use crate::id::Region;

/// Makes `ring.<n>`, whole and on the disk before it has its name. Only for who holds the byte for it.
pub(super) fn make(disk: &impl Disk, dir: &Path, geometry: Geometry) -> Result<(), OpenError> {
    let unusable = |error| OpenError::Directory { dir: dir.to_owned(), error };
    // The last one's name may have been removed while it is used: its bells have the number.
    let there = files(dir)?.last().map_or(0, |(n, _)| *n);
    let number = there.max(lease::last_made(dir)) + 1;
    let (name, temporary) = (format!("ring.{number}"), format!("ring.{number}.new"));
    let (name, temporary) = (dir.join(name), dir.join(temporary));
    // What a process left that died while it made one.
    disk.remove(&temporary).map_err(unusable)?;
    let bytes = Layout::new(geometry).bytes();
    if !filesystem::has_room(dir, bytes) {
        let error = io::Error::from_raw_os_error(libc::ENOSPC);
        return Err(OpenError::NoRoom { dir: dir.to_owned(), bytes, error });
    }
    let (failed, poisoned) = doubt::before(dir)?;
    if failed > FEW && poisoned > FEW {
        return Err(OpenError::Poisoned { dir: dir.to_owned(), poisoned });
    }
    let file = disk.create(&temporary).map_err(unusable)?;
    let made = fill(disk, &file, dir, geometry, failed)
        .and_then(|()| disk.rename(&temporary, &name).map_err(|e| system("name", &name, e)))
        .and_then(|()| {
            File::open(dir).and_then(|d| disk.sync(&d)).map_err(|e| system("sync", dir, e))
        });
    match &made {
        Ok(()) => lease::note_made(dir, number),
        // That it cannot be removed either is not what the operator should read about.
        Err(_) => drop(disk.remove(&temporary)),
    }
    made
}

fn fill(
    disk: &impl Disk,
    file: &File,
    dir: &Path,
    geometry: Geometry,
    failed_before: u64,
) -> Result<(), OpenError> {
    let bytes = Layout::new(geometry).bytes();
    let failed = |what| move |error| system(what, dir, error);
    disk.allocate(file, bytes).map_err(|error| match error.kind() {
        io::ErrorKind::Unsupported => {
            system("reserve room for a file (ext4, xfs and tmpfs can) in", dir, error)
        }
        _ => OpenError::NoRoom { dir: dir.to_owned(), bytes, error },
    })?;
    let superblock = Superblock {
        geometry,
        region: Region(random().map_err(failed("draw an id for a ring in"))?),
        boot: Boot::current().map_err(failed("read the boot id for a ring in"))?,
        inode: file.metadata().map_err(failed("look at a new file in"))?.ino(),
        made: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos() as u64),
    };
    superblock.write(file).map_err(failed("write a new file in"))?;
    put(file, FAILED, failed_before).map_err(failed("write a new file in"))?;
    disk.sync(file).map_err(failed("sync a new file in"))
}

fn random() -> io::Result<u128> {
    let mut bytes = [0; 16];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(u128::from_le_bytes(bytes))
}
