//! A ring's file: found or made by whoever needs it first, and opened once by every role that uses it.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::configuration::{PublisherState, state};
use super::cursor::{self, Cursor};
use super::disk::{self, Disk, Linux};
use super::eye::{Eye, Next};
use super::layout::{Geometry, Layout, SLOTS, attach_byte};
use super::lease::{MAKING, hold};
use super::lock::{Hold, held_by_another, try_lock};
use super::mapping::Mapping;
use super::memory::Memory;
use super::open_error::{Difference, OpenError};
use super::scan::{Sampled, Scan};
use super::superblock::{Boot, Strange, Superblock};
use super::view::View;
use crate::id::{Region, Seq, Stream};

/// How long another process may take to make the file.
const PATIENCE: Duration = Duration::from_secs(5);

/// The ring somebody wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Where it lies: a directory that is there already.
    pub dir: PathBuf,
    /// Bytes of all blocks together; rounded down to whole blocks.
    pub bytes: u64,
    /// Bytes of a block, see [`Geometry::block_bytes`].
    pub block_bytes: u32,
}

/// A ring: one open description of its file, and its mapping.
///
/// Each role (a writer, the publisher, a sync) needs one of its own, see [`Ring::again`]: through one description its
/// own locks look free. `M` is another memory only in tests.
pub struct Ring<M = Mapping> {
    view: View<M>,
    file: File,
    path: PathBuf,
    writable: bool,
}

impl Ring {
    /// Opens the ring, or makes it if there is none. Reserves room on the disk and syncs: never on an event loop.
    ///
    /// # Errors
    /// [`OpenError`], a sentence for the operator.
    pub fn open_or_make(wanted: &Wanted) -> Result<Ring, OpenError> {
        let geometry = wanted.geometry()?;
        if let Some(ring) = Ring::find(wanted, geometry)? {
            return Ok(ring);
        }
        let dir = &wanted.dir;
        let unusable = |error| OpenError::Directory { dir: dir.clone(), error };
        let making = disk::poll(PATIENCE, || hold(dir, MAKING)).map_err(unusable)?;
        let Some(_making) = making else { return Err(OpenError::Busy { dir: dir.clone() }) };
        // Another process may have made it while we came here.
        if let Some(ring) = Ring::find(wanted, geometry)? {
            return Ok(ring);
        }
        make(&Linux, dir, geometry)?;
        match Ring::find(wanted, geometry)? {
            Some(ring) => Ok(ring),
            None => Err(unusable(io::Error::other("the file is gone that was just made"))),
        }
    }

    /// Opens every ring's file of a directory, in use or left behind, for looking only. Makes nothing.
    ///
    /// # Errors
    /// [`OpenError`], when the directory or a ring's file in it cannot be read.
    pub fn open_all(dir: &Path) -> Result<Vec<Ring>, OpenError> {
        let mut rings = Vec::new();
        for path in files(dir)? {
            let (file, superblock) = read(&path, false)?;
            rings.push(Ring::of(file, path, &superblock, false)?);
        }
        Ok(rings)
    }

    /// Opens the same file once more, with locks of its own.
    ///
    /// # Errors
    /// [`OpenError`], when the system refuses it.
    pub fn again(&self) -> Result<Ring, OpenError> {
        let failed = |error| system("open", &self.path, error);
        let inode = |file: &File| file.metadata().map(|m| (m.dev(), m.ino()));
        let mine = inode(&self.file).map_err(failed)?;
        let file = disk::open(&self.path, self.writable).map_err(failed)?;
        if inode(&file).map_err(failed)? != mine {
            return Err(failed(io::Error::other("another file has its name now")));
        }
        if !try_lock(&file, attach_byte(), Hold::Shared).map_err(failed)? {
            return Err(failed(io::Error::other("it is just being removed")));
        }
        let mapping = map(&file, &self.path, self.view.layout, self.writable)?;
        let view = View { memory: mapping, layout: self.view.layout, region: self.view.region };
        Ok(Ring { view, file, path: self.path.clone(), writable: self.writable })
    }

    /// The same ring through a memory of another kind; for tests of what a bad one does.
    pub fn through<M: Memory>(self, memory: impl FnOnce(Mapping) -> M) -> Ring<M> {
        let View { memory: mapping, layout, region } = self.view;
        let view = View { memory: memory(mapping), layout, region };
        Ring { view, file: self.file, path: self.path, writable: self.writable }
    }

    /// The newest file, if there is one and it is the ring that is wanted.
    fn find(wanted: &Wanted, geometry: Geometry) -> Result<Option<Ring>, OpenError> {
        // Twice: the file may have been removed between its listing and its opening.
        for _ in 0..2 {
            let Some(path) = files(&wanted.dir)?.pop() else { return Ok(None) };
            let (file, superblock) = match read(&path, true) {
                Err(OpenError::System { error, .. }) if error.kind() == io::ErrorKind::NotFound => {
                    continue;
                }
                other => other?,
            };
            let failed = |error| system("lock", &path, error);
            if !try_lock(&file, attach_byte(), Hold::Shared).map_err(failed)? {
                continue;
            }
            let inode = file.metadata().map_err(failed)?.ino();
            if fs::symlink_metadata(&path).map(|m| m.ino()).ok() != Some(inode) {
                continue;
            }
            if let Some(why) = superblock.difference(geometry, inode).map_err(failed)? {
                return Err(OpenError::Other { path, why });
            }
            let second = disk::open(&path, true).map_err(failed)?;
            if !held_by_another(&second, attach_byte()).map_err(failed)? {
                return Err(OpenError::NoLocks { path });
            }
            let ring = Ring::of(file, path, &superblock, true)?;
            if ring.view.poisoned() {
                return Err(OpenError::Other { path: ring.path, why: Difference::Poisoned });
            }
            return Ok(Some(ring));
        }
        Ok(None)
    }

    fn of(
        file: File,
        path: PathBuf,
        superblock: &Superblock,
        writable: bool,
    ) -> Result<Ring, OpenError> {
        let layout = Layout::new(superblock.geometry);
        let memory = map(&file, &path, layout, writable)?;
        let view = View { memory, layout, region: superblock.region };
        Ok(Ring { view, file, path, writable })
    }
}

impl<M: Memory> Ring<M> {
    /// The file's uuid.
    pub fn region(&self) -> Region {
        self.view.region
    }

    /// Its sizes.
    pub fn geometry(&self) -> Geometry {
        self.view.layout.geometry()
    }

    /// Where the file lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The directory it lies in.
    pub fn dir(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("."))
    }

    /// Its words.
    pub fn view(&self) -> &View<M> {
        &self.view
    }

    /// What the publisher wrote down for everybody to show.
    pub fn state(&self) -> PublisherState {
        state(&self.view)
    }

    /// Looks at every block, as the publisher does.
    pub fn scan(&self) -> Scan {
        Scan::look(&self.view, Sampled::take(&self.view), &mut Vec::new())
    }

    /// What comes after `after` in a stream, see [`Reader::next`](super::Reader::next). Searched for from the block's
    /// start each time: for a look at what is there, not for a publisher.
    pub fn next(
        &self,
        scan: &Scan,
        stream: Stream,
        after: Seq,
        room: usize,
        out: &mut Vec<u8>,
    ) -> Next {
        Eye::default().next(&self.view, scan, stream, after, room, out)
    }

    /// Somebody's cursor: live's (None), or that of the subscriber in a place.
    pub fn cursor(&self, place: Option<usize>, stream: Stream) -> Cursor {
        cursor::read(&self.view, stream, place.map_or(0, |place| place + 1))
    }

    /// Whether it may be written to: false after [`Ring::open_all`].
    pub fn writable(&self) -> bool {
        self.writable
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }
}

impl Wanted {
    /// The sizes of the ring that is wanted.
    ///
    /// # Errors
    /// [`OpenError::Size`], when there can be no such ring.
    pub fn geometry(&self) -> Result<Geometry, OpenError> {
        let Wanted { bytes, block_bytes, .. } = *self;
        let blocks = bytes / u64::from(block_bytes.max(1));
        let geometry = Geometry {
            blocks: u32::try_from(blocks).unwrap_or(u32::MAX),
            block_bytes,
            slots: SLOTS,
        };
        match geometry.fault() {
            Some(why) => Err(OpenError::Size { bytes, block_bytes, why }),
            None => Ok(geometry),
        }
    }
}

impl Superblock {
    fn difference(&self, wanted: Geometry, inode: u64) -> io::Result<Option<Difference>> {
        let has = self.geometry;
        let bytes = |g: Geometry| u64::from(g.blocks) * u64::from(g.block_bytes);
        Ok(if self.inode != inode {
            Some(Difference::Copy)
        } else if self.boot != Boot::current()? {
            Some(Difference::Boot)
        } else if has.block_bytes != wanted.block_bytes {
            Some(Difference::BlockSize { has: has.block_bytes, wanted: wanted.block_bytes })
        } else if has != wanted {
            Some(Difference::Size { has: bytes(has), wanted: bytes(wanted) })
        } else {
            None
        })
    }
}

/// Makes `ring.<n>`, whole and on the disk before it has its name. Only for who holds the byte for it.
pub(super) fn make(disk: &impl Disk, dir: &Path, geometry: Geometry) -> Result<(), OpenError> {
    let unusable = |error| OpenError::Directory { dir: dir.to_owned(), error };
    let number = files(dir)?.last().and_then(|path| number(path)).map_or(1, |n| n + 1);
    let (name, temporary) = (format!("ring.{number}"), format!("ring.{number}.new"));
    let (name, temporary) = (dir.join(name), dir.join(temporary));
    // What a process left that died while it made one.
    disk.remove(&temporary).map_err(unusable)?;
    let file = disk.create(&temporary).map_err(unusable)?;
    let made = fill(disk, &file, dir, geometry)
        .and_then(|()| disk.rename(&temporary, &name).map_err(|e| system("name", &name, e)))
        .and_then(|()| {
            File::open(dir).and_then(|d| disk.sync(&d)).map_err(|e| system("sync", dir, e))
        });
    if made.is_err() {
        // That it cannot be removed either is not what the operator should read about.
        let _ = disk.remove(&temporary);
    }
    made
}

fn fill(disk: &impl Disk, file: &File, dir: &Path, geometry: Geometry) -> Result<(), OpenError> {
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
    disk.sync(file).map_err(failed("sync a new file in"))
}

/// The paths of all ring files of a directory, oldest first.
fn files(dir: &Path) -> Result<Vec<PathBuf>, OpenError> {
    let unusable = |error| OpenError::Directory { dir: dir.to_owned(), error };
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).map_err(unusable)? {
        let path = entry.map_err(unusable)?.path();
        if let Some(number) = number(&path) {
            found.push((number, path));
        }
    }
    found.sort();
    Ok(found.into_iter().map(|(_, path)| path).collect())
}

/// The number of a path `ring.<n>`.
fn number(path: &Path) -> Option<u64> {
    let digits = path.file_name()?.to_str()?.strip_prefix("ring.")?;
    let plain = digits.bytes().all(|b| b.is_ascii_digit());
    if plain { digits.parse().ok() } else { None }
}

fn read(path: &Path, writable: bool) -> Result<(File, Superblock), OpenError> {
    let failed = |error| system("read", path, error);
    let file = disk::open(path, writable).map_err(failed)?;
    if !file.metadata().map_err(failed)?.is_file() {
        return Err(OpenError::Other { path: path.to_owned(), why: Difference::NotARing });
    }
    let why = match Superblock::read(&file).map_err(failed)? {
        Ok(superblock) => return Ok((file, superblock)),
        Err(Strange::NotARing) => Difference::NotARing,
        Err(Strange::Layout(version)) => Difference::Layout(version),
    };
    Err(OpenError::Other { path: path.to_owned(), why })
}

fn map(file: &File, path: &Path, layout: Layout, writable: bool) -> Result<Mapping, OpenError> {
    Mapping::new(file, layout.words(), writable).map_err(|error| system("map", path, error))
}

fn random() -> io::Result<u128> {
    let mut bytes = [0; 16];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(u128::from_le_bytes(bytes))
}

fn system(what: &'static str, path: &Path, error: io::Error) -> OpenError {
    OpenError::System { what, path: path.to_owned(), error }
}
