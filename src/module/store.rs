//! The ring as one worker has it: being opened by a thread, open with a place to write, or not there, and why.

use std::io;
use std::mem::MaybeUninit;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use sparkngin_core::ring::{Ring, Wanted, Writer};

use crate::guard::reason;
use crate::log::{Level, line};

/// How long after a failure it is tried again, ms.
const AGAIN: u64 = 1000;
/// How long a worker waits for its ring before it serves: a file that is there is opened in a few ms. One that has to be
/// made may take longer; then /log is 503 until it is there.
const FIRST: Duration = Duration::from_millis(250);
/// How long the same failure is not told again, ms.
const SILENT: u64 = 60_000;

type Opened = Result<(Ring, Writer), String>;

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
}

impl Store {
    /// Begins to open the ring, and waits a moment for it: nothing is served yet that it could delay.
    pub fn start(wanted: Wanted, now: u64) -> Store {
        let state = State::Away { again: 0 };
        let mut store = Store { wanted, state, failure: None };
        store.turn(now);
        store.take(now, FIRST);
        store
    }

    /// Takes what the thread has opened, or starts another when it is time.
    pub fn turn(&mut self, now: u64) {
        match self.state {
            State::Opening(..) => self.take(now, Duration::ZERO),
            State::Away { again } if again <= now => match self.begin() {
                Ok(opening) => self.state = opening,
                Err(error) => self.away(now, format!("no thread to open the ring: {error}")),
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
                Err("the thread that opens the ring has failed".into())
            }
        };
        self.stop();
        match opened {
            Ok(open) => {
                if self.failure.take().is_some() {
                    line(Level::Notice, format_args!("the ring is open"));
                }
                self.state = State::Open(Box::new(open));
            }
            Err(why) => self.away(now, why),
        }
    }

    fn away(&mut self, now: u64, why: String) {
        self.state = State::Away { again: now + AGAIN };
        if let Some((last, told)) = &self.failure
            && *last == why
            && now.saturating_sub(*told) < SILENT
        {
            return;
        }
        line(Level::Error, format_args!("events are answered with 503: {why}"));
        self.failure = Some((why, now));
    }

    /// The ring must not be written to any more: another is made.
    pub fn abandon(&mut self) {
        self.state = State::Away { again: 0 };
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

fn open(wanted: &Wanted) -> Opened {
    let ring = Ring::open_or_make(wanted).map_err(|error| error.to_string())?;
    let own = ring.again().map_err(|error| error.to_string())?;
    let writer = Writer::take(own).map_err(|error| error.to_string())?;
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
