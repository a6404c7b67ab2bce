//! The ring as one worker has it: being opened by a thread, open with a place to write, or not there, and why.

use std::io;
use std::mem::MaybeUninit;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use sparkngin_core::ring::{OpenError, Ring, Wanted, Writer};

use crate::guard::reason;
use crate::log::{Level, line};

/// How long after a failure it is tried again, ms.
const AGAIN: u64 = 1000;
/// How long a worker waits for its ring before it serves. A file that is there is opened in a few ms, but for one that the
/// last worker of the configuration before is just bringing to the disk: then clients wait for a moment in the socket's
/// queue, and none of them is refused for a reload.
const THERE: Duration = Duration::from_secs(5);
/// One that has to be made may take long; /log is 503 until it is there.
const TO_MAKE: Duration = Duration::from_millis(250);
/// How long a file without a name may go unheard by who publishes, ms.
const UNHEARD: u64 = 3000;
/// How long the same failure is not told again, ms.
const SILENT: u64 = 60_000;

type Opened = Result<(Ring, Writer), Box<Absent>>;

/// Why there is no ring, and one that was left: draining it may make room.
struct Absent {
    why: String,
    left: Option<Ring>,
}

enum State {
    Opening(JoinHandle<()>, Receiver<Opened>),
    Open(Box<(Ring, Writer)>),
    Away { again: u64 },
}

/// The ring, or its absence.
pub struct Store {
    wanted: Wanted,
    state: State,
    /// The last failure, and when it was told.
    failure: Option<(String, u64)>,
    /// While there is none: one to drain, opened for looking.
    left: Option<Ring>,
    /// Another one is being opened since the last turn.
    hurry: bool,
    /// Since when its file's name is gone, and whether that was told.
    removed: Option<(u64, bool)>,
}

impl Store {
    /// Begins to open the ring, and waits a moment for it: nothing is served yet that it could delay.
    pub fn start(wanted: Wanted, now: u64) -> Store {
        let state = State::Away { again: 0 };
        let patience = if Ring::is_there(&wanted.dir) { THERE } else { TO_MAKE };
        let mut store =
            Store { wanted, state, failure: None, left: None, hurry: false, removed: None };
        store.turn(now);
        store.take(now, patience);
        store
    }

    /// Takes what the thread has opened, or starts another when it is time.
    pub fn turn(&mut self, now: u64) {
        if self.ring().is_some_and(|ring| ring.view().poisoned()) {
            self.abandon(now);
        }
        self.tell_of_removed(now);
        match self.state {
            State::Opening(..) => self.take(now, Duration::ZERO),
            State::Away { again } if again <= now => match self.begin() {
                Ok(opening) => self.state = opening,
                Err(error) => {
                    self.away(now, *Absent::new(format!("no thread to open the ring: {error}")));
                }
            },
            _ => {}
        }
    }

    fn begin(&self) -> io::Result<State> {
        let wanted = self.wanted.clone();
        let (done, opened) = channel();
        let thread = quiet_thread("sparkngin-open", move || {
            // Nobody waits for it any more when the process ends.
            let _ = done.send(open(&wanted));
        })?;
        Ok(State::Opening(thread, opened))
    }

    /// Takes what the thread has opened, if it is done within `patience`.
    fn take(&mut self, now: u64, patience: Duration) {
        let State::Opening(_, opened) = &self.state else { return };
        let opened = match opened.recv_timeout(patience) {
            Err(RecvTimeoutError::Timeout) => return,
            Ok(opened) => opened,
            Err(RecvTimeoutError::Disconnected) => {
                Err(Absent::new("the thread that opens the ring has failed".into()))
            }
        };
        self.stop();
        match opened {
            Ok(open) => {
                if self.failure.take().is_some() {
                    line(Level::Notice, format_args!("the ring is open"));
                }
                self.tell_of_size(&open.0);
                self.left = None;
                self.state = State::Open(Box::new(open));
            }
            Err(absent) => self.away(now, *absent),
        }
    }

    /// Who publishes gives up a file whose name was removed. If nobody does, that is told here.
    fn tell_of_removed(&mut self, now: u64) {
        let Some(ring) = self.ring().filter(|ring| ring.is_removed()) else {
            self.removed = None;
            return;
        };
        let number = ring.number();
        let (since, told) = *self.removed.get_or_insert((now, false));
        if !told && now >= since + UNHEARD {
            line(
                Level::Error,
                format_args!(
                    "the name of ring.{number} was removed while it is used, and nobody publishes it: what is in it is lost when nginx ends"
                ),
            );
            self.removed = Some((since, true));
        }
    }

    /// The ring is the one that was there, if there was no room for another.
    fn tell_of_size(&self, ring: &Ring) {
        let (has, wanted) = (ring.geometry(), self.wanted.geometry().ok());
        if wanted.is_some_and(|wanted| wanted != has) {
            let bytes = u64::from(has.blocks) * u64::from(has.block_bytes);
            line(
                Level::Warn,
                format_args!(
                    "there is no room for a ring of {} bytes beside the one that is there: the one of {bytes} bytes is used on, \
                     until a worker starts with room for both",
                    self.wanted.bytes
                ),
            );
        }
    }

    fn away(&mut self, now: u64, Absent { why, left }: Absent) {
        self.state = State::Away { again: now + AGAIN };
        self.left = left;
        if let Some((last, told)) = &self.failure
            && *last == why
            && now.saturating_sub(*told) < SILENT
        {
            return;
        }
        line(Level::Error, format_args!("events are answered with 503: {why}"));
        self.failure = Some((why, now));
    }

    /// The ring must not be written to any more: another is made at once.
    pub fn abandon(&mut self, now: u64) {
        self.state = State::Away { again: 0 };
        self.hurry = true;
        self.turn(now);
    }

    /// Whether a turn should come sooner than was planned; asked once.
    pub fn hurry(&mut self) -> bool {
        std::mem::take(&mut self.hurry)
    }

    /// What there is to publish: the ring, or one that was left and has to be drained.
    pub fn to_publish(&self) -> Option<&Ring> {
        self.ring().or(self.left.as_ref())
    }

    /// The ring's directory.
    pub fn dir(&self) -> &Path {
        &self.wanted.dir
    }

    /// How long it is until something can have changed, ms.
    pub fn due(&self, now: u64) -> u64 {
        match self.state {
            State::Away { again } => again.saturating_sub(now),
            _ => 0,
        }
    }

    /// The ring, when it is open.
    pub fn ring(&self) -> Option<&Ring> {
        match &self.state {
            State::Open(open) => Some(&open.0),
            _ => None,
        }
    }

    /// The ring's writer, or why there is none, as a client may know it.
    pub fn writer(&mut self) -> Result<&mut Writer, &'static str> {
        match &mut self.state {
            State::Open(open) => Ok(&mut open.1),
            State::Opening(..) if self.failure.is_none() => Err("the ring is being opened"),
            _ => Err("the ring cannot be opened, error.log says why"),
        }
    }

    /// Lets the ring go, and waits for the thread that opens it.
    pub fn stop(&mut self) {
        let before = std::mem::replace(&mut self.state, State::Away { again: u64::MAX });
        if let State::Opening(thread, opened) = before {
            drop(opened);
            if let Err(payload) = thread.join() {
                line(
                    Level::Alert,
                    format_args!("panic while the ring was opened: {}", reason(payload.as_ref())),
                );
            }
        }
    }
}

impl Absent {
    fn new(why: String) -> Box<Absent> {
        Box::new(Absent { why, left: None })
    }
}

impl From<OpenError> for Box<Absent> {
    fn from(error: OpenError) -> Box<Absent> {
        Absent::new(error.to_string())
    }
}

fn open(wanted: &Wanted) -> Opened {
    let ring = match Ring::open_or_make(wanted) {
        Ok(ring) => ring,
        Err(error) => {
            // That there is nothing to drain either need not be told.
            let mut found = Ring::look_at_all(&wanted.dir).unwrap_or_default();
            let (why, left) = (error.to_string(), found.rings.pop());
            return Err(Box::new(Absent { why, left }));
        }
    };
    let writer = Writer::take(ring.again()?).map_err(|error| Absent::new(error.to_string()))?;
    Ok((ring, writer))
}

/// Starts a thread that no signal is delivered to: nginx's own thread is to take them.
fn quiet_thread<T: Send + 'static>(
    name: &str,
    run: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    let mut all = MaybeUninit::<libc::sigset_t>::uninit();
    let mut before = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: fills in the set.
    unsafe { libc::sigfillset(all.as_mut_ptr()) };
    // SAFETY: `all` was filled in, and `before` is.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr()) };
    let thread = Builder::new().name(name.into()).spawn(run);
    // SAFETY: `before` was filled in above.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), std::ptr::null_mut()) };
    thread
}
