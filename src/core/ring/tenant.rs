//! Who uses a ring's directory: a server writes down who it is in a place of the file `lock`, and each of its processes
//! holds that place's byte together with the others. So who is there is alive, and a reload or an upgrade adds nobody.
//!
//! ```text
//!   lock, bytes   0 lease   1 bid   3 making   4096 + 1024 n, n < 16: one server each
//!   a place       its configuration's file, 0, its pid file, 0, its pid namespace, 0, zeros
//! ```

use std::ffi::OsStr;
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::disk;
use super::lease::{FILE, is_removed};
use super::lock::{Hold, held_by_another, try_lock, unlock};

const FIRST: u64 = 4096;
const BYTES: usize = 1024;
const PLACES: u64 = 16;
/// Of a path; what is longer is cut.
const PATH_BYTES: usize = (BYTES - 64) / 2;

/// A server that may use the directory.
#[derive(Clone, Debug)]
pub struct Who {
    configuration: Vec<u8>,
    pid_file: Vec<u8>,
    /// Of two containers both files may have the same names.
    namespace: Vec<u8>,
}

/// A server's place in the directory, held by one of its processes. Dropping it gives it back.
#[derive(Debug)]
pub struct Tenant {
    file: File,
}

impl Who {
    /// This process's server, by the file of its configuration and the file that has its master's pid.
    pub fn new(configuration: &[u8], pid_file: &[u8]) -> Who {
        let cut = |path: &[u8]| path[..path.len().min(PATH_BYTES)].to_vec();
        let namespace = fs::read_link("/proc/self/ns/pid").unwrap_or_default();
        let namespace = namespace.into_os_string().into_vec();
        let namespace = if namespace.len() < 32 { namespace } else { Vec::new() };
        Who { configuration: cut(configuration), pid_file: cut(pid_file), namespace }
    }

    /// Whether both are one server. A reload may give it another pid file.
    pub fn is(&self, other: &Who) -> bool {
        self.configuration == other.configuration && self.namespace == other.namespace
    }

    /// Whether both see each other's processes.
    pub fn is_beside(&self, other: &Who) -> bool {
        self.namespace == other.namespace
    }

    fn write(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(BYTES);
        for part in [&self.configuration, &self.pid_file, &self.namespace] {
            bytes.extend_from_slice(part);
            bytes.push(0);
        }
        bytes.resize(BYTES, 0);
        bytes
    }

    fn read(bytes: &[u8]) -> Option<Who> {
        let mut parts = bytes.split(|byte| *byte == 0).map(<[u8]>::to_vec);
        let (configuration, pid_file, namespace) = (parts.next()?, parts.next()?, parts.next()?);
        let is = !configuration.is_empty();
        is.then_some(Who { configuration, pid_file, namespace })
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = |bytes| PathBuf::from(OsStr::from_bytes(bytes));
        write!(f, "{:?} (pid file {:?})", path(&self.configuration), path(&self.pid_file))
    }
}

impl Tenant {
    /// Says that this server uses the directory, for as long as the value lives. None when there is no place left.
    ///
    /// # Errors
    /// When the file `lock` cannot be opened, locked or written.
    pub fn enter(dir: &Path, who: &Who) -> io::Result<Option<Tenant>> {
        let file = disk::open_or_create(&dir.join(FILE))?;
        for at in places() {
            match look(&file, at)? {
                Some(other) if other.is(who) => return Ok(Some(Tenant { file })),
                Some(_) => unlock(&file, at)?,
                None => {}
            }
        }
        for at in places() {
            if try_lock(&file, at, Hold::Alone)? {
                file.write_all_at(&who.write(), at)?;
                try_lock(&file, at, Hold::Shared)?;
                return Ok(Some(Tenant { file }));
            }
        }
        Ok(None)
    }

    /// Whether the file's name was removed: nobody sees the place any more.
    pub fn is_removed(&self) -> bool {
        is_removed(&self.file)
    }

    /// All servers that use the directory now, each once. Makes nothing.
    ///
    /// # Errors
    /// When the file `lock` is there and cannot be read.
    pub fn all(dir: &Path) -> io::Result<Vec<Who>> {
        let file = match disk::open(&dir.join(FILE), false) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            file => file?,
        };
        let mut all: Vec<Who> = Vec::new();
        for at in places() {
            let who = look(&file, at)?;
            all.extend(who.filter(|who| !all.iter().any(|other| other.is(who))));
        }
        Ok(all)
    }
}

fn places() -> impl Iterator<Item = u64> {
    (0..PLACES).map(|place| FIRST + place * BYTES as u64)
}

/// Who is in a place, if anybody holds it: then it is held together with him. Who just writes it holds it alone.
fn look(file: &File, at: u64) -> io::Result<Option<Who>> {
    if !held_by_another(file, at)? || !try_lock(file, at, Hold::Shared)? {
        return Ok(None);
    }
    let mut bytes = [0; BYTES];
    file.read_exact_at(&mut bytes, at)?;
    let who = Who::read(&bytes);
    if who.is_none() {
        unlock(file, at)?;
    }
    Ok(who)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::ring::lease::{Lease, last_made};
    use crate::ring::tests::scratch::Scratch;

    fn names(dir: &Path) -> Vec<String> {
        Tenant::all(dir).unwrap().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn who_uses_a_directory_is_known_for_as_long_as_one_of_its_processes_is_there() {
        let dir = Scratch::new("tenants");
        assert!(names(&dir).is_empty() && !dir.join(FILE).exists());
        let (a, b) = (Who::new(b"/a.conf", b"/a.pid"), Who::new(b"/b.conf", b"/b.pid"));
        let enter = |who: &Who| Tenant::enter(&dir, who).unwrap().unwrap();
        let first = enter(&a);
        let second = enter(&a);
        assert_eq!(names(&dir), ["\"/a.conf\" (pid file \"/a.pid\")"]);
        let other = enter(&b);
        drop(first);
        let both = ["\"/a.conf\" (pid file \"/a.pid\")", "\"/b.conf\" (pid file \"/b.pid\")"];
        assert_eq!(names(&dir), both);
        drop(second);
        assert_eq!(names(&dir), both[1..]);
        let _again = enter(&a);
        assert_eq!(names(&dir), both, "the place that was given back is free");
        drop(other);
        assert_eq!(names(&dir), both[..1]);
    }

    #[test]
    fn all_processes_of_a_server_have_one_place_that_is_nobodys_lease() {
        let dir = Scratch::new("one-place");
        let (a, b) = (Who::new(b"/a.conf", b"/a.pid"), Who::new(b"/b.conf", b"/b.pid"));
        let enter = |who: &Who| Tenant::enter(&dir, who).unwrap();
        let all: Vec<_> = (0..2 * PLACES).map(|_| enter(&a)).collect();
        assert!(all.iter().all(Option::is_some) && enter(&b).is_some());
        assert!(Lease::try_take(&dir).unwrap().is_some());
        assert_eq!(last_made(&dir), 0);
    }

    #[test]
    fn a_file_lock_that_is_gone_is_noticed_and_one_that_cannot_be_opened_is_an_error() {
        let dir = Scratch::new("gone");
        let tenant = Tenant::enter(&dir, &Who::new(b"/a.conf", b"/a.pid")).unwrap().unwrap();
        assert!(!tenant.is_removed());
        fs::remove_file(dir.join(FILE)).unwrap();
        assert!(tenant.is_removed() && names(&dir).is_empty());
        symlink("elsewhere", dir.join(FILE)).unwrap();
        assert!(Tenant::all(&dir).is_err());
    }

    #[test]
    fn servers_are_beside_each_other_when_they_see_each_others_processes() {
        let (a, b) = (Who::new(b"/a.conf", b"/a.pid"), Who::new(b"/b.conf", b"/b.pid"));
        let contained = Who { namespace: b"pid:[1]".to_vec(), ..a.clone() };
        assert!(a.is_beside(&b) && !a.is(&b));
        assert!(!a.is_beside(&contained) && !a.is(&contained));
        let long = |end| Who::new(format!("/{}/{end}", "x".repeat(400)).as_bytes(), b"/pid");
        assert!(long("a").is(&long("a")) && !long("a").is(&long("b")));
        let longer = Who::new(&[b'c'; 4096], &[b'p'; 4096]);
        let place = longer.write();
        assert!(place.len() == BYTES && Who::read(&place).unwrap().is(&longer), "it is cut to fit");
    }

    #[test]
    fn there_are_no_more_places_than_there_are() {
        let dir = Scratch::new("places");
        let who = |n: u64| Who::new(format!("/{n}.conf").as_bytes(), &[b'p'; 4096]);
        let all: Vec<_> = (0..=PLACES).map(|n| Tenant::enter(&dir, &who(n))).collect();
        let places: Vec<bool> = all.iter().map(|it| it.as_ref().unwrap().is_some()).collect();
        assert_eq!(places.iter().filter(|there| **there).count() as u64, PLACES);
        assert!(!places[PLACES as usize]);
        assert_eq!(Tenant::all(&dir).unwrap().len() as u64, PLACES);
    }
}
