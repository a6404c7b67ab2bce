//! The client's sockets: one that reconnects by itself, and a monitor that tells what became of its connection.

use std::os::fd::RawFd;

use zmq::{Context, DONTWAIT, POLLIN, POLLOUT, PollItem, Socket, SocketEvent, SocketType};

use sparkngin_core::feed::BODY_MAX;

use crate::keys::Keys;

/// Between two attempts to connect, ms: a publisher that moves to another worker is found again at once.
const RECONNECT: i32 = 20;
/// A message to a connection that was just made may have to wait for it so long, ms.
const BRIEFLY: i64 = 20;
/// A connection that is not made, or whose handshake is not done, after so long is begun anew, ms: half open it would
/// stay silent for libzmq's own 30 s.
const HANDSHAKE: i32 = 3000;
/// At the end the last ACK may take so long to leave, ms.
const FAREWELL: i32 = 500;
/// What CURVE adds to a message, at most.
const CURVE_BYTES: i64 = 64;
/// A publisher that ends hangs up on handshakes, too; so often in a row it is the handshake itself.
const HANG_UPS: u32 = 3;

const STRANGER: &str = "the publisher does not know our key";
const NEEDS_KEY: &str =
    "the handshake fails: the publisher wants a key, see --curve-key and --server-key";
const WRONG_KEY: &str = "the handshake fails: --server-key is not the publisher's key, or it has no sparkngin_curve_key";

/// What happened to the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// A handshake is done.
    Up,
    /// The connection is gone; the socket makes another.
    Down,
    /// Handshakes fail, and why. The socket may not try again by itself.
    ShutOut(&'static str),
}

/// Tells what happens to a socket's connection.
pub struct Monitor {
    socket: Socket,
    keyed: bool,
    hung_up: u32,
}

/// The socket of one feed: frames <-> core's Client.
pub struct FeedSocket {
    context: Context,
    endpoint: String,
    keys: Option<Keys>,
    socket: Socket,
    monitor: Monitor,
    made: u64,
}

impl Monitor {
    /// Watches a socket that has not connected yet. `number` tells the sockets of a process apart.
    ///
    /// # Errors
    /// What libzmq says.
    pub fn new(context: &Context, of: &Socket, number: u64, keyed: bool) -> zmq::Result<Monitor> {
        let watched = format!("inproc://monitor-{number}");
        let events = SocketEvent::HANDSHAKE_SUCCEEDED as i32
            | SocketEvent::DISCONNECTED as i32
            | SocketEvent::HANDSHAKE_FAILED_AUTH as i32
            | SocketEvent::HANDSHAKE_FAILED_PROTOCOL as i32
            | SocketEvent::HANDSHAKE_FAILED_NO_DETAIL as i32;
        of.monitor(&watched, events)?;
        let socket = context.socket(SocketType::PAIR)?;
        socket.set_linger(0)?;
        socket.connect(&watched)?;
        Ok(Monitor { socket, keyed, hung_up: 0 })
    }

    /// The next thing that happened to the connection.
    pub fn link(&mut self) -> Option<Link> {
        loop {
            let frames = self.socket.recv_multipart(DONTWAIT).ok()?;
            let event = frames.first()?.first_chunk::<2>()?;
            match SocketEvent::from_raw(u16::from_ne_bytes(*event)) {
                SocketEvent::HANDSHAKE_SUCCEEDED => {
                    self.hung_up = 0;
                    return Some(Link::Up);
                }
                SocketEvent::DISCONNECTED => return Some(Link::Down),
                SocketEvent::HANDSHAKE_FAILED_AUTH => return Some(Link::ShutOut(STRANGER)),
                SocketEvent::HANDSHAKE_FAILED_PROTOCOL => return Some(self.fails()),
                SocketEvent::HANDSHAKE_FAILED_NO_DETAIL => {
                    self.hung_up += 1;
                    if self.hung_up >= HANG_UPS {
                        return Some(self.fails());
                    }
                }
                _ => {}
            }
        }
    }

    /// What to poll.
    pub fn poll_item(&self) -> PollItem<'_> {
        self.socket.as_poll_item(POLLIN)
    }

    fn fails(&self) -> Link {
        Link::ShutOut(if self.keyed { WRONG_KEY } else { NEEDS_KEY })
    }
}

impl FeedSocket {
    /// Begins to connect. `number` tells the feeds of a process apart.
    ///
    /// # Errors
    /// What libzmq says of the endpoint.
    pub fn connect(
        context: &Context,
        endpoint: &str,
        number: u16,
        keys: Option<&Keys>,
    ) -> zmq::Result<FeedSocket> {
        let made = u64::from(number) << 48;
        let (socket, monitor) = make(context, endpoint, made, keys)?;
        let (context, endpoint) = (context.clone(), endpoint.to_owned());
        Ok(FeedSocket { context, endpoint, keys: keys.cloned(), socket, monitor, made })
    }

    /// Gives the connection up and begins anew.
    ///
    /// # Errors
    /// What libzmq says.
    pub fn reconnect(&mut self) -> zmq::Result<()> {
        self.made += 1;
        (self.socket, self.monitor) =
            make(&self.context, &self.endpoint, self.made, self.keys.as_ref())?;
        Ok(())
    }

    /// Tries no more, until it is told to [`FeedSocket::reconnect`].
    pub fn hang_up(&self) {
        // It may have given up by itself.
        let _ = self.socket.disconnect(&self.endpoint);
    }

    /// The next thing that happened to the connection.
    pub fn link(&mut self) -> Option<Link> {
        self.monitor.link()
    }

    /// The next message.
    pub fn receive(&self) -> Option<Vec<Vec<u8>>> {
        self.socket.recv_multipart(DONTWAIT).ok()
    }

    /// Sends a message of one frame. Without a connection it is dropped: a new one begins with a HELLO anyway.
    pub fn send(&self, frame: Vec<u8>) -> bool {
        let ready = self.socket.poll(POLLOUT, BRIEFLY);
        matches!(ready, Ok(n) if n > 0) && self.socket.send(frame, DONTWAIT).is_ok()
    }

    /// What to poll.
    pub fn poll_items(&self) -> [PollItem<'_>; 2] {
        [self.socket.as_poll_item(POLLIN), self.monitor.poll_item()]
    }

    /// Lets what was sent last go out before the socket is closed.
    pub fn farewell(self) {
        let _ = self.socket.set_linger(FAREWELL);
    }
}

/// A descriptor that is polled beside the sockets.
pub fn poll_fd<'a>(fd: RawFd) -> PollItem<'a> {
    PollItem::from_fd(fd, POLLIN)
}

/// What is wrong with an endpoint that libzmq will not connect to: its own words name no cause.
pub fn why_not(error: zmq::Error) -> String {
    match error {
        zmq::Error::EINVAL | zmq::Error::EPROTONOSUPPORT | zmq::Error::ENOCOMPATPROTO => {
            "it must be ipc://PATH, of 107 bytes at most, or tcp://ADDRESS:PORT".to_owned()
        }
        error => error.to_string(),
    }
}

/// libzmq's version.
pub fn version() -> String {
    let (major, minor, patch) = zmq::version();
    format!("{major}.{minor}.{patch}")
}

fn make(
    context: &Context,
    endpoint: &str,
    number: u64,
    keys: Option<&Keys>,
) -> zmq::Result<(Socket, Monitor)> {
    let socket = context.socket(SocketType::DEALER)?;
    socket.set_linger(0)?;
    socket.set_reconnect_ivl(RECONNECT)?;
    socket.set_reconnect_ivl_max(0)?;
    socket.set_connect_timeout(HANDSHAKE)?;
    socket.set_handshake_ivl(HANDSHAKE)?;
    // The window is the only limit: a high-water mark would count messages.
    socket.set_rcvhwm(0)?;
    socket.set_sndhwm(0)?;
    socket.set_maxmsgsize(BODY_MAX as i64 + CURVE_BYTES)?;
    // Nothing is kept for a connection that is not there.
    socket.set_immediate(true)?;
    if let Some(keys) = keys {
        keys.set(&socket)?;
    }
    let monitor = Monitor::new(context, &socket, number, keys.is_some())?;
    socket.connect(endpoint)?;
    Ok((socket, monitor))
}
