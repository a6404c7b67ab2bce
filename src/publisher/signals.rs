//! Signals: the thread starts with every one blocked, so that the host's handlers run in the host's threads alone.

use std::io;
use std::mem::MaybeUninit;
use std::thread::{Builder, JoinHandle};

/// Spawns a thread that no signal is ever delivered to; the caller's own mask is as it was afterwards.
///
/// # Errors
/// When the system has no thread to give.
pub fn spawn_deaf(name: &str, body: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    let before = block_all()?;
    let spawned = Builder::new().name(name.to_owned()).spawn(body);
    restore(&before)?;
    spawned
}

fn block_all() -> io::Result<libc::sigset_t> {
    let mut all = MaybeUninit::uninit();
    let mut before = MaybeUninit::uninit();
    // SAFETY: `all` is a sigset_t of our own that sigfillset writes in whole.
    unsafe { libc::sigfillset(all.as_mut_ptr()) };
    // SAFETY: `all` was written just above, `before` is ours and is written in whole when the call succeeds.
    let failed =
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr()) };
    if failed != 0 {
        return Err(io::Error::from_raw_os_error(failed));
    }
    // SAFETY: the call above succeeded, so it wrote the mask as it was.
    Ok(unsafe { before.assume_init() })
}

fn restore(mask: &libc::sigset_t) -> io::Result<()> {
    // SAFETY: `mask` is a whole sigset_t that is only read; a null place for the old one is allowed.
    let failed = unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, mask, std::ptr::null_mut()) };
    if failed == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(failed)) }
}
