//! The settings for all of nginx, and what of them has to fit together; those of a location are in `location.rs`.

use std::ffi::{OsString, c_void};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ngx::ffi::{NGX_HTTP_CLIENT_TEMP_PATH, ngx_http_conf_ctx_t};
use sparkngin_core::escape::Shown;
use sparkngin_core::field::{FieldList, HeaderFields};
use sparkngin_core::format::{Delimiter, Fields, Format, Rendering};
use sparkngin_core::ring::{Configuration, Ground, Overflow, SLOTS, Wanted};
use sparkngin_publisher::Curve;
use sparkngin_publisher::address::{LONGEST_SOCKET, unix};
use sparkngin_publisher::key::SecretKey;

use crate::args::Place;
use crate::bytes::kept;
use crate::listen::{Guest, Listen};
use crate::traffic::Columns;

/// The largest `sparkngin_max_event`.
pub const LARGEST_EVENT: usize = LARGEST_BLOCK as usize / 2;

/// The smallest one.
pub const SMALLEST_EVENT: usize = 128;

const LARGEST_BLOCK: u32 = 4 << 20;
const SMALLEST_BLOCK: u32 = 64 << 10;
/// Each writes into a slot of its own.
const MOST_WORKERS: u64 = SLOTS as u64;
const DEFAULT_BUFFER: u64 = 4 << 20;
const DEFAULT_PENDING: usize = 4096;
/// ms
const DEFAULT_SYNC: u64 = 100;
/// Old workers and new ones overlap over a reload, and each may hold a block while it fills another.
const BLOCKS_PER_WORKER: u64 = 4;

/// A value, and the directive that gave it.
#[derive(Clone, Debug)]
pub struct Given<T> {
    /// The value.
    pub value: T,
    /// The directive as it stands there.
    pub text: String,
    /// Where.
    pub place: Place,
}

/// The ring's directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directory {
    /// Its full name.
    pub name: Vec<u8>,
    /// Where it was given; None is the default.
    pub place: Option<Place>,
}

impl Directory {
    /// The path of the feed's socket in it.
    pub fn feed(&self) -> Vec<u8> {
        [&self.name, b"/feed.sock".as_slice()].concat()
    }

    /// Checks what has this name already, if anything does, before nginx gives that to its user and opens it to him.
    ///
    /// # Errors
    /// A sentence: it is no directory, or one in which anybody may put another ring in the place of ours.
    pub fn check(&self) -> Result<(), String> {
        // What is not there nginx makes, and says why if it cannot.
        let Ok(about) = fs::metadata(self.path()) else { return Ok(()) };
        let (name, mode) = (Shown(&self.name), about.mode() & 0o7777);
        if !about.is_dir() {
            return Err(format!("\"sparkngin_buf_path\" \"{name}\" is not a directory"));
        }
        if mode & 0o002 != 0 {
            return Err(format!(
                "others may write to \"sparkngin_buf_path\" \"{name}\", its mode is {mode:o}: use a directory of its own"
            ));
        }
        Ok(())
    }

    fn path(&self) -> PathBuf {
        PathBuf::from(OsString::from_vec(self.name.clone()))
    }
}

/// What the directives of `http` say, as they were read; None is the default.
#[derive(Default)]
pub struct MainConf {
    /// Some location serves events, or has its traffic stored. Else nothing listens and no file is made.
    pub used: bool,
    /// Some place has its traffic stored.
    pub traffic: bool,
    /// What is stored of it.
    pub columns: Option<Columns>,
    /// The largest event that any of those locations takes.
    pub largest_event: usize,
    /// When it was read, ns since 1970: the newest configuration publishes.
    pub configured_at: u64,
    /// sparkngin_listen
    pub listen: Option<Listen>,
    /// sparkngin_buf_size
    pub buf_size: Option<Given<u64>>,
    /// sparkngin_buf_path; `complete` fills in the default.
    pub buf_path: Option<Directory>,
    /// sparkngin_overflow
    pub overflow: Option<Given<Overflow>>,
    /// sparkngin_subscriber
    pub guests: Vec<Guest>,
    /// sparkngin_curve_key
    pub curve_key: Option<SecretKey>,
    /// sparkngin_max_pending
    pub max_pending: Option<usize>,
    /// sparkngin_sync_interval, ms
    pub sync_interval: Option<u64>,
    /// sparkngin_gzip
    pub gzip: Option<bool>,
    /// sparkngin_format
    pub format: Option<(Format, Delimiter)>,
    /// sparkngin_fields
    pub fields: Option<FieldList>,
    /// Which header values are stored, from `fields`.
    pub keep: HeaderFields,
    /// The first `sparkngin_ack` of such a location that speaks of the disk.
    pub disk: Option<Given<()>>,
    /// How many processes write at once; known when all of the configuration is read.
    pub workers: u64,
}

impl MainConf {
    /// Settings in which no directive was read yet.
    pub fn new() -> MainConf {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        MainConf { configured_at: now.as_nanos() as u64, ..MainConf::default() }
    }

    /// Fills in what depends on other directives, once all of `http` is read, and checks what has to fit together.
    ///
    /// # Errors
    /// A sentence, and where the directive at fault stands.
    pub fn complete(
        &mut self,
        full_name: impl FnOnce(&[u8]) -> Option<Vec<u8>>,
    ) -> Result<(), (String, Place)> {
        if let Some(given) = &self.overflow
            && given.value == Overflow::Reject
            && self.guests.is_empty()
        {
            let text = format!(
                "\"{}\" needs a \"sparkngin_subscriber\": without one nothing ever frees a block",
                given.text
            );
            return Err((text, given.place.clone()));
        }
        self.locked()?;
        self.keep = self.field_list().header_fields();
        let directory = self.buf_path.get_or_insert_with(|| {
            let name = full_name(&default_directory()).unwrap_or_default();
            Directory { name, place: None }
        });
        let elsewhere = |listen: &Listen| listen.off || listen.feed.is_some();
        let feed_elsewhere = self.listen.as_ref().is_some_and(elsewhere);
        if !self.used || feed_elsewhere || unix(&directory.feed()).is_some() {
            return Ok(());
        }
        let name = Shown(&directory.name);
        Err(match &directory.place {
            Some(place) => (
                format!(
                    "invalid value \"{name}\" in \"sparkngin_buf_path\" directive, it must be a directory whose \
                     \"feed.sock\" is a path of at most {LONGEST_SOCKET} bytes of UTF-8, or \"sparkngin_listen\" must \
                     have \"feed=\""
                ),
                place.clone(),
            ),
            None => (
                format!("no socket can be in \"{name}\", \"sparkngin_buf_path\" must say where"),
                Place::default(),
            ),
        })
    }

    /// Checks that the keys fit together, and that no door is open that nobody said may be.
    fn locked(&self) -> Result<(), (String, Place)> {
        let curve = self.curve_key.is_some();
        let listen = self.listen.clone().unwrap_or_default();
        listen.heeded(&[
            (self.overflow.is_some(), "sparkngin_overflow"),
            (self.format.is_some(), "sparkngin_format"),
            (self.gzip.is_some(), "sparkngin_gzip"),
            (curve, "sparkngin_curve_key"),
            (self.guests.iter().any(|guest| guest.key.is_some()), "key="),
        ])?;
        if let Some(guest) = self.guests.iter().find(|guest| guest.key.is_some() && !curve) {
            let text = format!("\"{}\" needs \"sparkngin_curve_key\"", guest.text);
            return Err((text, guest.place.clone()));
        }
        listen.locked(curve, &self.guests)
    }

    /// Checks that the ring has a slot for each worker process, and room, when their number is known.
    ///
    /// # Errors
    /// As [`MainConf::complete`].
    pub fn fits(&self) -> Result<(), (String, Place)> {
        if self.used && self.workers > MOST_WORKERS {
            let workers = self.workers;
            let text = format!(
                "a ring has slots for {MOST_WORKERS} worker processes, \"worker_processes\" must not be {workers}"
            );
            return Err((text, Place::default()));
        }
        let Some(given) = &self.buf_size else { return Ok(()) };
        let least = self.least_buffer();
        if given.value >= least {
            return Ok(());
        }
        let (block, workers) = (in_words(u64::from(self.block_bytes())), self.workers);
        let text = format!(
            "\"{}\" is too small for {workers} worker processes, it must be {} or more: \
             {BLOCKS_PER_WORKER} blocks of {block} for each",
            given.text,
            in_words(least)
        );
        Err((text, given.place.clone()))
    }

    /// What may go wrong later, as a sentence: over a reload the old workers hold their slots while the new ones take theirs.
    pub fn narrow(&self) -> Option<String> {
        let workers = self.workers;
        (self.used && 2 * workers > MOST_WORKERS).then(|| {
            format!(
                "a ring has slots for {MOST_WORKERS} worker processes: over a reload, some of {workers} new ones answer \
                 503 until old ones have left"
            )
        })
    }

    /// What is in vain, as a sentence and where: the level `disk`, when nothing of the ring is on a disk. Where nobody can look
    /// `/log` says why.
    pub fn in_vain(&self) -> Option<(String, Place)> {
        let given = self.disk.as_ref()?;
        let directory = self.directory();
        // nginx may make the last part of the path later.
        let there = directory.ancestors().find(|part| part.is_dir())?;
        Ground::look(there).ok().filter(|ground| ground.in_memory)?;
        let (text, name) = (&given.text, Shown(directory.as_os_str().as_bytes()));
        let sentence = format!(
            "\"{text}\" needs a ring on a disk, \"{name}\" is on tmpfs: the level \"disk\" is answered with 503"
        );
        Some((sentence, given.place.clone()))
    }

    /// The power of two from twice the largest event.
    fn block_bytes(&self) -> u32 {
        let twice = u32::try_from(self.largest_event.saturating_mul(2)).unwrap_or(LARGEST_BLOCK);
        twice.min(LARGEST_BLOCK).next_power_of_two().max(SMALLEST_BLOCK)
    }

    fn least_buffer(&self) -> u64 {
        BLOCKS_PER_WORKER * self.workers * u64::from(self.block_bytes())
    }

    fn field_list(&self) -> FieldList {
        self.fields.clone().unwrap_or_else(FieldList::default_live)
    }

    /// The ring's directory.
    pub fn directory(&self) -> PathBuf {
        self.buf_path.as_ref().map(Directory::path).unwrap_or_default()
    }

    /// The ring that this configuration needs.
    pub fn wanted(&self) -> Wanted {
        let bytes = match &self.buf_size {
            Some(given) => given.value,
            None => DEFAULT_BUFFER.max(self.least_buffer()),
        };
        Wanted { dir: self.directory(), bytes, block_bytes: self.block_bytes() }
    }

    /// What happens when the ring is full.
    pub fn policy(&self) -> Overflow {
        match &self.overflow {
            Some(given) => given.value,
            None if self.guests.is_empty() => Overflow::Overwrite,
            None => Overflow::Reject,
        }
    }

    /// How long what was committed is not synced, if nobody waits for it.
    pub fn sync_interval(&self) -> Duration {
        Duration::from_millis(self.sync_interval.unwrap_or(DEFAULT_SYNC))
    }

    /// How many requests of a worker may wait.
    pub fn max_pending(&self) -> usize {
        self.max_pending.unwrap_or(DEFAULT_PENDING)
    }

    /// Policy and names.
    pub fn configuration(&self) -> Configuration {
        Configuration {
            policy: self.policy(),
            subscribers: self.guests.iter().map(|guest| guest.name.clone()).collect(),
            configured_at: self.configured_at,
        }
    }

    /// Whether a worker may publish.
    pub fn publishes(&self) -> bool {
        !self.listen.as_ref().is_some_and(|listen| listen.off)
    }

    /// What the publisher needs to know.
    pub fn publisher(&self) -> sparkngin_publisher::Settings {
        let Listen { live, feed, readers, .. } = self.listen.clone().unwrap_or_default();
        let beside =
            || self.buf_path.as_ref().and_then(|path| unix(&path.feed())).unwrap_or_default();
        let (format, delimiter) =
            self.format.clone().unwrap_or((Format::Plain, Delimiter::default()));
        sparkngin_publisher::Settings {
            live,
            feed: feed.unwrap_or_else(beside),
            curve: self.curve_key.clone().map(|secret| {
                let subscribers = self.guests.iter().map(|guest| guest.key).collect();
                Curve { secret, subscribers, readers }
            }),
            rendering: Rendering { format, delimiter, fields: Fields::Listed(self.field_list()) },
            gzip: self.gzip.unwrap_or(false),
            configuration: self.configuration(),
        }
    }
}

/// `sparkngin`, beside the directory that nginx was compiled to buffer bodies in.
fn default_directory() -> Vec<u8> {
    let bodies = NGX_HTTP_CLIENT_TEMP_PATH.to_bytes();
    let parent = bodies.iter().rposition(|&byte| byte == b'/').map_or(0, |at| at + 1);
    [&bodies[..parent], b"sparkngin".as_slice()].concat()
}

/// A size as nginx's directives take it.
fn in_words(bytes: u64) -> String {
    match bytes {
        _ if bytes % (1 << 20) == 0 => format!("{}m", bytes >> 20),
        _ if bytes % (1 << 10) == 0 => format!("{}k", bytes >> 10),
        _ => bytes.to_string(),
    }
}

/// Our settings of `http`, from nginx's context of it.
///
/// # Safety
///
/// `context` is NULL or such a context, and nobody else uses the settings while the result lives.
pub unsafe fn main_of<'a>(context: *mut c_void) -> Option<&'a mut MainConf> {
    // SAFETY: as the caller says.
    let context = unsafe { context.cast::<ngx_http_conf_ctx_t>().as_ref() }?;
    // SAFETY: there is a pointer for each http module; ours is what `create_main_conf` returned.
    unsafe { kept(context.main_conf, crate::context_index()) }
}
