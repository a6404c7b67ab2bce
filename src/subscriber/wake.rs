//! How other threads' answers come to the loop: a mailbox, and a byte in a socket that the loop polls.

use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Wakes the loop.
#[derive(Clone, Debug)]
pub struct Waker(Arc<UnixStream>);

/// What the loop polls.
#[derive(Debug)]
pub struct Wakes(UnixStream);

/// Both ends.
///
/// # Errors
/// What the system says when it has no more descriptors.
pub fn pair() -> io::Result<(Waker, Wakes)> {
    let (write, read) = UnixStream::pair()?;
    write.set_nonblocking(true)?;
    read.set_nonblocking(true)?;
    Ok((Waker(Arc::new(write)), Wakes(read)))
}

impl Waker {
    /// Wakes it. A full socket is a loop that was woken already.
    pub fn wake(&self) {
        let _ = (&*self.0).write(&[0]);
    }

    /// The writing end, for those who write the byte themselves; it does not block.
    ///
    /// # Errors
    /// What the system says when it has no more descriptors.
    pub fn socket(&self) -> io::Result<UnixStream> {
        self.0.try_clone()
    }
}

impl Wakes {
    /// Waits, for as long as it takes.
    ///
    /// # Errors
    /// What the system says.
    pub fn wait(mut self) -> io::Result<()> {
        self.0.set_nonblocking(false)?;
        match self.0.read(&mut [0]) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(error),
            _ => Ok(()),
        }
    }

    /// Waits until something wakes it, or for this moment; what woke it is forgotten.
    ///
    /// # Errors
    /// What the system says.
    pub fn wait_until(&mut self, until: Instant) -> io::Result<()> {
        let left = until.saturating_duration_since(Instant::now());
        self.0.set_nonblocking(false)?;
        self.0.set_read_timeout(Some(left.max(Duration::from_millis(1))))?;
        match self.0.read(&mut [0; 256]) {
            Err(error)
                if !matches!(
                    error.kind(),
                    io::ErrorKind::Interrupted
                        | io::ErrorKind::WouldBlock
                        | io::ErrorKind::TimedOut
                ) =>
            {
                Err(error)
            }
            _ => Ok(()),
        }
    }

    /// Forgets what woke it.
    pub fn clear(&mut self) {
        let mut bytes = [0; 256];
        while matches!(self.0.read(&mut bytes), Ok(n) if n == bytes.len()) {}
    }
}

impl AsRawFd for Wakes {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// Things from other threads, taken all at once.
#[derive(Debug)]
pub struct Mailbox<T> {
    things: Mutex<Vec<T>>,
    waker: Waker,
}

impl<T> Mailbox<T> {
    /// An empty one.
    pub fn new(waker: Waker) -> Mailbox<T> {
        Mailbox { things: Mutex::new(Vec::new()), waker }
    }

    /// Puts one in; the first one wakes the loop.
    pub fn put(&self, thing: T) {
        let mut things = self.lock();
        things.push(thing);
        if things.len() == 1 {
            self.waker.wake();
        }
    }

    /// Takes all; `into` must be empty and gives its memory.
    pub fn take(&self, into: &mut Vec<T>) {
        std::mem::swap(&mut *self.lock(), into);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<T>> {
        // A vector is whole whatever the thread died of that held it.
        self.things.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
