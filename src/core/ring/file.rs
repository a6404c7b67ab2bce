//! A ring's file: found or made by whoever needs it first, and opened once by every role that uses it.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::attached::Attached;
use super::bell;
use super::carried::Carried;
use super::configuration::{PublisherState, state};
use super::cursor::{self, Cursor};
use super::disk::{self, Disk, Linux};
use super::doubt::Since;
use super::eye::{Eye, Next};
use super::filesystem;
use super::folder::{Judged, LeftAlone, Origin, files, judge, number};
use super::known::Known;
use super::layout::{Geometry, Layout, SLOTS, TICKET, attach_byte};
use super::lease::{self, MAKING, hold};
use super::lock::held_by_another;
use super::making::make;
use super::mapping::Mapping;
use super::memory::Memory;
use super::open_error::{Difference, OpenError, system};
use super::repair::Remains;
use super::scan::{Sampled, Scan};
use super::superblock::Superblock;
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
    // Before the file: the last one to leave finds no mapping of its own.
    view: View<M>,
    file: Attached,
    path: PathBuf,
    origin: Origin,
    made: u64,
    writable: bool,
    since: Since,
}

/// The rings of a directory, oldest first, each for who hands it out and removes it; and what is left alone.
#[derive(Default)]
pub struct Found {
    /// Those of this boot and of earlier ones.
    pub rings: Vec<Ring>,
    /// The strangers.
    pub left_alone: Vec<LeftAlone>,
    /// Those, by number, that somebody holds alone just now: who leaves them, or removes them. Ask again.
    pub busy: Vec<u64>,
}

/// What came of opening a file to use it.
enum Opened {
    Ring(Box<Ring>),
    Stranger(LeftAlone),
    Gone,
}

impl Ring {
    /// Opens the ring that takes events now: the newest file of this boot, if it has the wanted size and may be written
    /// to. Else a new one is made beside those that are there, which the publisher drains and removes. Where there is no
    /// room for that and only the number of blocks differs, the one that is there is used on: see [`Ring::geometry`].
    ///
    /// Reserves room on the disk, syncs, and waits for who does that just now: never on an event loop.
    ///
    /// # Errors
    /// [`OpenError`], a sentence for the operator.
    pub fn open_or_make(wanted: &Wanted) -> Result<Ring, OpenError> {
        let geometry = wanted.geometry()?;
        let dir = &wanted.dir;
        let fits = |ring: &Ring| ring.geometry() == geometry;
        filesystem::check(dir)?;
        if let Some(ring) = Ring::newest(dir)?.filter(fits) {
            return Ok(ring);
        }
        let unusable = |error| OpenError::Directory { dir: dir.clone(), error };
        let making = disk::poll(PATIENCE, || hold(dir, MAKING)).map_err(unusable)?;
        let Some(_making) = making else { return Err(OpenError::Busy { dir: dir.clone() }) };
        // Another process may have made it while we came here.
        let newest = Ring::newest(dir)?;
        if let Some(ring) = newest {
            let same_blocks = ring.geometry().block_bytes == geometry.block_bytes;
            if fits(&ring) {
                return Ok(ring);
            }
            match make(&Linux, dir, geometry) {
                Err(OpenError::NoRoom { .. }) if same_blocks => return Ok(ring),
                made => made?,
            }
        } else {
            make(&Linux, dir, geometry)?;
        }
        match Ring::newest(dir)?.filter(fits) {
            Some(ring) => Ok(ring),
            None => Err(unusable(io::Error::other("the file is gone that was just made"))),
        }
    }

    /// Whether a ring's file is there: then [`Ring::open_or_make`] is a matter of milliseconds, or of who just leaves it.
    pub fn is_there(dir: &Path) -> bool {
        files(dir).is_ok_and(|files| !files.is_empty())
    }

    /// Opens the rings of a directory for who publishes them: for storing cursors, and for removing them. Those whose
    /// numbers are `known` are left out.
    ///
    /// # Errors
    /// [`OpenError`], when the directory cannot be read, or the system lacks something.
    pub fn find_all(dir: &Path, known: impl Fn(u64) -> bool) -> Result<Found, OpenError> {
        let mut found = Found::default();
        for (number, path) in files(dir)? {
            if known(number) {
                continue;
            }
            match Ring::attach(&path)? {
                Some(Opened::Ring(ring)) => found.rings.push(*ring),
                Some(Opened::Stranger(left)) => found.left_alone.push(left),
                Some(Opened::Gone) => {}
                None => found.busy.push(number),
            }
        }
        Ok(found)
    }

    /// The same for looking only: nothing is held, and files that are removed meanwhile are still there for us.
    ///
    /// # Errors
    /// [`OpenError`], when the directory cannot be read, or the system lacks something.
    pub fn look_at_all(dir: &Path) -> Result<Found, OpenError> {
        let mut found = Found::default();
        for (number, path) in files(dir)? {
            match judge(&path, false)? {
                Judged::Ours(file, superblock, origin) => {
                    let meta = file.metadata().map_err(|error| system("look at", &path, error))?;
                    if superblock.inode != meta.ino() {
                        let why = Difference::Copy;
                        found.left_alone.push(LeftAlone { number, path, why });
                        continue;
                    }
                    let file = Attached::for_looking(file);
                    found.rings.push(Ring::of(file, path, &superblock, origin, false)?);
                }
                Judged::Stranger(why) => found.left_alone.push(LeftAlone { number, path, why }),
                Judged::Gone => {}
            }
        }
        Ok(found)
    }

    /// Opens every ring's file of a directory, in use or left behind, for looking only. Makes nothing.
    ///
    /// # Errors
    /// [`OpenError`], when the directory or a ring's file in it cannot be read.
    pub fn open_all(dir: &Path) -> Result<Vec<Ring>, OpenError> {
        let mut rings = Vec::new();
        for (_, path) in files(dir)? {
            match judge(&path, false)? {
                Judged::Ours(file, superblock, origin) => {
                    let file = Attached::for_looking(file);
                    rings.push(Ring::of(file, path, &superblock, origin, false)?);
                }
                Judged::Stranger(why) => return Err(OpenError::Other { path, why }),
                Judged::Gone => {}
            }
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
        let mine = inode(self.file.file()).map_err(failed)?;
        // One whose name is gone is still there for who has it open.
        let file = match self.is_removed() {
            true => disk::open_again(self.file.file(), self.writable),
            false => disk::open(&self.path, self.writable),
        };
        let file = file.map_err(failed)?;
        if inode(&file).map_err(failed)? != mine {
            return Err(failed(io::Error::other("another file has its name now")));
        }
        let file = match self.writable {
            true => Attached::take(file, self.alive()).map_err(failed)?,
            false => Some(Attached::for_looking(file)),
        };
        let Some(file) = file else {
            return Err(failed(io::Error::other("it is just being removed")));
        };
        let memory = map(file.file(), &self.path, self.view.layout, self.writable)?;
        let view = View { memory, layout: self.view.layout, region: self.view.region };
        let (path, origin, made, writable) =
            (self.path.clone(), self.origin, self.made, self.writable);
        let since = Since::now(&view);
        Ok(Ring { view, file, path, origin, made, writable, since })
    }

    /// The same ring through a memory of another kind; for tests of what a bad one does.
    pub fn through<M: Memory>(self, memory: impl FnOnce(Mapping) -> M) -> Ring<M> {
        let Ring { view: View { memory: mapping, layout, region }, file, .. } = self;
        let view = View { memory: memory(mapping), layout, region };
        let Ring { path, origin, made, writable, since, .. } = self;
        Ring { view, file, path, origin, made, writable, since }
    }

    /// The newest file of this boot, if it may be written to.
    fn newest(dir: &Path) -> Result<Option<Ring>, OpenError> {
        for (_, path) in files(dir)?.into_iter().rev() {
            // Who holds it alone is just leaving it, or removing it.
            let opened = disk::poll(PATIENCE, || Ring::attach(&path))?;
            match opened.unwrap_or(Opened::Gone) {
                Opened::Ring(ring) if ring.origin == Origin::Here => {
                    let second = disk::open(&path, true).map_err(|e| system("open", &path, e))?;
                    let held = held_by_another(&second, attach_byte());
                    if !held.map_err(|error| system("lock", &path, error))? {
                        return Err(OpenError::NoLocks { path });
                    }
                    return Ok(Some(*ring).filter(|ring| !ring.view.poisoned()));
                }
                _ => {}
            }
        }
        Ok(None)
    }

    /// Opens a file to use it; None while somebody holds it alone.
    fn attach(path: &Path) -> Result<Option<Opened>, OpenError> {
        let (file, superblock, origin) = match judge(path, true)? {
            Judged::Ours(file, superblock, origin) => (file, superblock, origin),
            Judged::Stranger(why) => {
                let (number, path) = (number(path).unwrap_or(0), path.to_owned());
                return Ok(Some(Opened::Stranger(LeftAlone { number, path, why })));
            }
            Judged::Gone => return Ok(Some(Opened::Gone)),
        };
        let failed = |error| system("lock", path, error);
        let alive = origin == Origin::Here;
        let Some(file) = Attached::take(file, alive).map_err(failed)? else { return Ok(None) };
        // Only now nobody removes it any more: it may have been, before.
        let named = std::fs::symlink_metadata(path).map(|meta| meta.ino()).ok();
        if named != Some(superblock.inode) {
            return Ok(Some(Opened::Gone));
        }
        let ring = Ring::of(file, path.to_owned(), &superblock, origin, true)?;
        Ok(Some(Opened::Ring(Box::new(ring))))
    }

    fn of(
        file: Attached,
        path: PathBuf,
        superblock: &Superblock,
        origin: Origin,
        writable: bool,
    ) -> Result<Ring, OpenError> {
        let layout = Layout::new(superblock.geometry);
        let memory = map(file.file(), &path, layout, writable)?;
        let view = View { memory, layout, region: superblock.region };
        let since = Since::now(&view);
        Ok(Ring { view, file, path, origin, made: superblock.made, writable, since })
    }

    /// Removes the file, if nobody else uses it and `empty` says so while that is certain. Whether it did.
    ///
    /// # Errors
    /// When the system refuses it.
    pub fn remove_if(&mut self, empty: impl FnOnce(&View<Mapping>) -> bool) -> io::Result<bool> {
        let (view, path, number) = (&self.view, &self.path, self.number());
        let dir = path.parent().unwrap_or(Path::new("."));
        let is_removed = self.is_removed();
        self.file.alone(|| {
            if !empty(view) {
                return Ok(false);
            }
            if is_removed {
                if !path.exists() {
                    bell::remove_all(dir, number);
                }
                return Ok(true);
            }
            Linux.remove(path)?;
            bell::remove_all(dir, number);
            Linux.sync(&File::open(dir)?)?;
            Ok(true)
        })
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
        Scan::look(&self.view, Sampled::take(&self.view), &mut Known::default())
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

    /// The number of the file that is gone whose books were carried here last; 0 when none were.
    pub fn carried_last(&self) -> u64 {
        Carried::read(&self.view).number
    }

    /// What a power loss left, if one ended this ring.
    pub(super) fn remains(&self) -> Option<Remains> {
        let torn = self.origin == Origin::Earlier { clean: false };
        torn.then(|| Remains::of(&self.view, self.made))
    }

    /// Whether it may be written to: false after [`Ring::open_all`].
    pub fn writable(&self) -> bool {
        self.writable
    }

    /// When it was made.
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// Of its name, `ring.<n>`.
    pub fn number(&self) -> u64 {
        number(&self.path).unwrap_or(0)
    }

    /// Whether its name was removed while it is open: what is in it is gone when nobody has it open any more.
    pub fn is_removed(&self) -> bool {
        lease::is_removed(self.file.file())
    }

    /// Whether events may be stored in it: it is of this boot, and not poisoned.
    pub fn alive(&self) -> bool {
        self.origin == Origin::Here && !self.view.poisoned()
    }

    /// Whether each block was used, and one of them once more.
    pub fn has_wrapped(&self) -> bool {
        self.view.load(TICKET) > self.geometry().blocks.into()
    }

    pub(super) fn since(&self) -> Since {
        self.since
    }

    pub(super) fn file(&self) -> &File {
        self.file.file()
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

fn map(file: &File, path: &Path, layout: Layout, writable: bool) -> Result<Mapping, OpenError> {
    Mapping::new(file, layout.words(), writable).map_err(|error| system("map", path, error))
}
