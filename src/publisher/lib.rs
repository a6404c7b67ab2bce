//! The publisher: one thread that drains a ring over ZeroMQ. Whoever holds a [`Lease`] can host it: an nginx worker, a
//! test, `sparkngin publish`.
//!
//! ```text
//!   start(lease, ring, settings) -> Handle        the thread binds, hands out, stores acknowledgements, frees
//!   Handle::stop, Handle::join                    or it ends by itself: outbid, or an error
//!   Handle::lines                                 what the host should write to its log
//! ```
//!
//! However it ends, by a panic too: sockets close without waiting for what they hold (the ring has it), the context ends,
//! then the lease is dropped, in this order, so the next publisher finds the addresses free.

pub mod address;
mod door;
mod feed;
pub mod figures;
mod files;
mod flush;
pub mod key;
mod lines;
mod live;
mod looks;
pub mod metrics;
mod monitor;
pub mod page;
mod past;
mod run;
mod signals;
pub mod socket;
mod source;
pub mod status;
mod trial;
mod verdict;
mod watch;
pub mod words;

use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use sparkngin_core::format::Rendering;
use sparkngin_core::ring::{Configuration, Lease, Ring, Syncer};

pub use door::Curve;
pub use lines::{Level, Lines, Throttle};

/// What a publisher is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where live listens, as ZeroMQ writes it: `tcp://127.0.0.1:7000`, `ipc:///path`.
    pub live: String,
    /// Where the feed listens: `ipc:///path/feed.sock`.
    pub feed: String,
    /// Keys, for both sockets; without them both are open to whoever reaches them.
    pub curve: Option<Curve>,
    /// How live messages are written.
    pub rendering: Rendering,
    /// Whether each of them is compressed.
    pub gzip: bool,
    /// Policy and names, for the ring.
    pub configuration: Configuration,
}

/// A publisher, or who syncs, that runs. Dropping it stops it and waits for its end.
#[derive(Debug)]
pub struct Handle {
    shared: Arc<Shared>,
    waker: UnixStream,
    thread: Option<JoinHandle<()>>,
}

/// What host and thread both see.
#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    lines: Lines,
}

/// Starts the thread. It owns the lease from here on; `ring` is its own, see [`Ring::again`]. The other rings of the
/// directory are drained, too, and removed.
///
/// # Errors
/// When the system has no thread or socket pair to give; the lease is free again then.
pub fn start(lease: Lease, ring: Ring, settings: Settings) -> io::Result<Handle> {
    spawn(lease, ring, settings, false)
}

/// The same with a ring that the host cannot use, as there is no room for one that it could: it is removed when it is
/// drained.
///
/// # Errors
/// As [`start`].
pub fn start_draining(lease: Lease, ring: Ring, settings: Settings) -> io::Result<Handle> {
    spawn(lease, ring, settings, true)
}

fn spawn(lease: Lease, ring: Ring, settings: Settings, unwanted: bool) -> io::Result<Handle> {
    launch("sparkngin", "the publisher has ended", move |shared, wakened| {
        let mut lease = lease;
        let done = run::run(&mut lease, (ring, unwanted), &settings, shared, wakened);
        drop(lease);
        done
    })
}

/// Starts the thread that syncs. It has the right to it from here on, and gives it back when it ends: asked to, or because
/// a sync failed.
///
/// # Errors
/// When the system has no thread or socket pair to give; the right is free again then.
pub fn sync(syncer: Syncer, interval: Duration) -> io::Result<Handle> {
    launch("sparkngin-sync", "syncing has ended", move |shared, wakened| {
        flush::run(syncer, interval, shared, wakened)
    })
}

fn launch(
    name: &str,
    ended: &'static str,
    body: impl FnOnce(&Shared, &UnixStream) -> io::Result<()> + Send + 'static,
) -> io::Result<Handle> {
    let shared = Arc::new(Shared::default());
    let (waker, wakened) = UnixStream::pair()?;
    waker.set_nonblocking(true)?;
    wakened.set_nonblocking(true)?;
    let theirs = Arc::clone(&shared);
    let thread = signals::spawn_deaf(name, move || {
        guard(&theirs.lines, ended, || body(&theirs, &wakened));
    })?;
    Ok(Handle { shared, waker, thread: Some(thread) })
}

impl Handle {
    /// Asks it to end; it does so in a moment.
    pub fn stop(&self) {
        self.shared.stop.store(true, Ordering::Release);
        // A full buffer has woken it already, and a closed one means that it is gone.
        let _ = (&self.waker).write(&[1]);
    }

    /// Waits until it has ended, and its lease or right is free; what it wanted to have logged last. Ask it to
    /// [`Handle::stop`] first.
    pub fn join(mut self) -> Vec<(Level, String)> {
        self.wait();
        self.lines()
    }

    /// Whether it has ended.
    pub fn is_finished(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// What it wants to have logged since this was called last, the oldest first.
    pub fn lines(&self) -> Vec<(Level, String)> {
        self.shared.lines.take()
    }

    fn wait(&mut self) {
        if let Some(thread) = self.thread.take() {
            // The thread catches its panics itself.
            let _ = thread.join();
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.stop();
        self.wait();
    }
}

/// Runs the thread's body; an error and a panic both become a line.
fn guard(lines: &Lines, ended: &str, body: impl FnOnce() -> io::Result<()>) {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(())) => {}
        Ok(Err(error)) => lines.say(Level::Error, format!("{ended}: {error}")),
        Err(panic) => {
            let text = format!("{ended} by a bug: {}", said(&*panic));
            lines.say(Level::Error, text);
        }
    }
}

/// What a panic said.
fn said(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_a_line_and_goes_no_further() {
        let lines = Lines::default();
        guard(&lines, "it has ended", || panic!("number {}", 7));
        guard(&lines, "it has ended", || panic!("plain"));
        guard(&lines, "it has ended", || Ok(()));
        let said: Vec<_> = lines.take().into_iter().map(|(_, text)| text).collect();
        assert_eq!(said, ["it has ended by a bug: number 7", "it has ended by a bug: plain"]);
    }
}
