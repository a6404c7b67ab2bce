//! The two sockets: made in a context, set up, bound. All that this crate tells libzmq by number is here.
//!
//! With a key both are servers of CURVE: nothing is heard from who has none. Who is let in the [`Door`](crate::door::Door)
//! says, which must be there first.

use std::ffi::{CString, c_char, c_int};
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use zmq::{Context, Socket, SocketType};

use crate::door;
use crate::key::SecretKey;

/// A live peer says which topics it wants, and nothing else: so many bytes are plenty.
const LIVE_MESSAGE_MAX: i64 = 1024;
const HEARTBEAT_MS: i32 = 1000;
const HEARTBEAT_TIMEOUT_MS: i32 = 5000;
/// On the feed the BEATs of a session say more; these remove connections over TCP whose other end has vanished.
const FEED_HEARTBEAT_MS: i32 = 5000;
const FEED_HEARTBEAT_TIMEOUT_MS: i32 = 15_000;
/// Who connects and says nothing, or nothing that makes sense, is hung up on.
const HANDSHAKE_MS: i32 = 10_000;
/// By its number, which the crate does not know: to fail the handshake when nobody answers at the door.
const ZAP_ENFORCE_DOMAIN: u32 = 93;
/// What CURVE adds to a message: a command's name, a nonce, flags and a sum.
const CURVE_BYTES: i64 = 64;

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
pub fn live(context: &Context, endpoint: &str, key: Option<&SecretKey>) -> zmq::Result<Socket> {
    let mut socket = context.socket(SocketType::XPUB)?;
    common(&mut socket, endpoint, door::LIVE, key)?;
    socket.set_maxmsgsize(LIVE_MESSAGE_MAX + CURVE_BYTES)?;
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
pub fn feed(context: &Context, endpoint: &str, key: Option<&SecretKey>) -> zmq::Result<Socket> {
    let mut socket = context.socket(SocketType::ROUTER)?;
    common(&mut socket, endpoint, door::FEED, key)?;
    if endpoint.starts_with("tcp:") {
        socket.set_heartbeat_ivl(FEED_HEARTBEAT_MS)?;
        socket.set_heartbeat_timeout(FEED_HEARTBEAT_TIMEOUT_MS)?;
    }
    socket.set_router_mandatory(true)?;
    socket.set_sndhwm(0)?;
    socket.set_maxmsgsize(sparkngin_core::feed::HEADER_MAX as i64 + CURVE_BYTES)?;
    Ok(socket)
}

fn common(
    socket: &mut Socket,
    endpoint: &str,
    domain: &str,
    key: Option<&SecretKey>,
) -> zmq::Result<()> {
    socket.set_linger(0)?;
    socket.set_ipv6(endpoint.contains('['))?;
    socket.set_handshake_ivl(HANDSHAKE_MS)?;
    let Some(key) = key else { return Ok(()) };
    socket.set_curve_server(true)?;
    socket.set_curve_secretkey(key.bytes())?;
    socket.set_zap_domain(domain)?;
    // Without this, libzmq would let everybody in should nobody answer at the door.
    set(socket, ZAP_ENFORCE_DOMAIN, true)
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

    /// Whether the file was removed by somebody.
    pub fn is_gone(&self) -> bool {
        inode(&self.path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
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
    set(socket, zmq_sys::ZMQ_XPUB_NODROP, on)
}

fn set(socket: &mut Socket, option: u32, on: bool) -> zmq::Result<()> {
    let value = c_int::from(on);
    let size = size_of_val(&value);
    let option = option as c_int;
    let at = (&raw const value).cast();
    // SAFETY: the socket is open as long as this borrow of it lives, and `value` is an int of `size` bytes that libzmq
    // only reads during the call.
    let done = unsafe { zmq_sys::zmq_setsockopt(socket.as_mut_ptr(), option, at, size) };
    if done == 0 { Ok(()) } else { Err(last_error()) }
}

fn last_error() -> zmq::Error {
    zmq::Error::from_raw(io::Error::last_os_error().raw_os_error().unwrap_or(libc::EINVAL))
}

unsafe extern "C" {
    /// libzmq's, which the crate does not know.
    fn zmq_curve_public(public: *mut c_char, secret: *const c_char) -> c_int;
}

/// The public key of a secret one, both as Z85; None when that is no key.
pub fn curve_public(secret: &str) -> Option<[u8; 40]> {
    let secret = CString::new(secret).ok()?;
    // Its 40 characters and a zero.
    let mut public = [0; 41];
    // SAFETY: `secret` is a zero-ended text that is only read, `public` has the 41 bytes that are written, by RFC 32's
    // arithmetic for keys of 32 bytes.
    let done = unsafe { zmq_curve_public(public.as_mut_ptr().cast(), secret.as_ptr()) };
    (done == 0).then(|| public.first_chunk().copied()).flatten()
}
