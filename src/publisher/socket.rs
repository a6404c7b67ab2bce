//! The two sockets: made in a context, set up, bound. All that this crate tells libzmq by number is here.
//!
//! Neither is encrypted yet: where CURVE comes in, its keys and the ZAP handler (which must be bound before both sockets,
//! or every key is let in) are set between [`live`] or [`feed`] and [`bind`].

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use zmq::{Context, Socket, SocketType};

/// A live peer says which topics it wants, and nothing else: so many bytes are plenty.
const LIVE_MESSAGE_MAX: i64 = 1024;
const HEARTBEAT_MS: i32 = 1000;
const HEARTBEAT_TIMEOUT_MS: i32 = 5000;

/// Why a socket does not listen.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Somebody else listens there, perhaps the publisher before this one.
    #[error("the address is in use")]
    InUse,
    /// It will not work the next time either.
    #[error("{0}")]
    Other(io::Error),
}

/// The socket for whoever wants to look on: XPUB, which says who subscribes to what. A send to a full pipe is refused,
/// so that nothing is dropped in silence.
///
/// # Errors
/// What libzmq says.
pub fn live(context: &Context, endpoint: &str) -> zmq::Result<Socket> {
    let mut socket = context.socket(SocketType::XPUB)?;
    common(&socket, endpoint)?;
    socket.set_maxmsgsize(LIVE_MESSAGE_MAX)?;
    // A peer that stopped without closing its connection is removed.
    socket.set_heartbeat_ivl(HEARTBEAT_MS)?;
    socket.set_heartbeat_timeout(HEARTBEAT_TIMEOUT_MS)?;
    set_nodrop(&mut socket, true)?;
    Ok(socket)
}

/// The socket for the named subscribers: ROUTER, which knows connections apart. The window of each session is the only
/// limit of what is on its way; a connection that is gone is an error and not silence.
///
/// # Errors
/// What libzmq says.
pub fn feed(context: &Context, endpoint: &str) -> zmq::Result<Socket> {
    let socket = context.socket(SocketType::ROUTER)?;
    common(&socket, endpoint)?;
    socket.set_router_mandatory(true)?;
    socket.set_sndhwm(0)?;
    socket.set_maxmsgsize(sparkngin_core::feed::HEADER_MAX as i64)?;
    Ok(socket)
}

fn common(socket: &Socket, endpoint: &str) -> zmq::Result<()> {
    socket.set_linger(0)?;
    socket.set_ipv6(endpoint.contains('['))
}

/// The file of a unix socket that listens. Any other publisher that listens there replaces it.
#[derive(Debug)]
pub struct Place {
    path: PathBuf,
    /// Device and inode.
    is: (u64, u64),
}

/// Listens. A file that a killed publisher left in the place of a unix socket is replaced; the new one is for its owner
/// alone. Gives its place, if it has one.
///
/// # Errors
/// [`BindError`]; the socket does not listen, and can try again.
pub fn bind(socket: &Socket, endpoint: &str) -> Result<Option<Place>, BindError> {
    socket.bind(endpoint).map_err(|error| match error {
        zmq::Error::EADDRINUSE => BindError::InUse,
        other => BindError::Other(io::Error::other(other.message())),
    })?;
    let path = endpoint.strip_prefix("ipc://").filter(|path| !path.starts_with('@'));
    let place = path.map(|path| Place::of(Path::new(path))).transpose();
    place.map_err(|error| {
        // Or each try would add one more that listens.
        if let Ok(Ok(listening)) = socket.get_last_endpoint() {
            let _ = socket.unbind(&listening);
        }
        BindError::Other(error)
    })
}

impl Place {
    fn of(path: &Path) -> io::Result<Place> {
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
        Ok(Place { path: path.to_owned(), is: inode(path)? })
    }

    /// Removes the file, which libzmq leaves, unless it is another's by now. To be called while the socket is open: until
    /// then no other file has its inode.
    pub fn tidy(&self) {
        if inode(&self.path).is_ok_and(|now| now == self.is) {
            // If it is gone already, so much the better; the next publisher replaces it in any case.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn inode(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|file| (file.dev(), file.ino()))
}

/// Whether a send to a full pipe is refused as a whole, or dropped for that pipe alone.
///
/// # Errors
/// What libzmq says.
pub fn set_nodrop(socket: &mut Socket, on: bool) -> zmq::Result<()> {
    let value = libc::c_int::from(on);
    let size = size_of_val(&value);
    let option = zmq_sys::ZMQ_XPUB_NODROP as libc::c_int;
    let at = (&raw const value).cast();
    // SAFETY: the socket is open as long as this borrow of it lives, and `value` is an int of `size` bytes that libzmq
    // only reads during the call.
    let done = unsafe { zmq_sys::zmq_setsockopt(socket.as_mut_ptr(), option, at, size) };
    if done == 0 { Ok(()) } else { Err(last_error()) }
}

fn last_error() -> zmq::Error {
    zmq::Error::from_raw(io::Error::last_os_error().raw_os_error().unwrap_or(libc::EINVAL))
}
