//! The socket of one feed: frames <-> core's Client. A DEALER that reconnects by itself, and a monitor that tells when.

use std::os::fd::RawFd;

use zmq::{Context, DONTWAIT, POLLIN, POLLOUT, PollItem, Socket, SocketEvent, SocketType};

use sparkngin_core::feed::BODY_MAX;

/// Between two attempts to connect, ms: a publisher that moves to another worker is found again at once.
const RECONNECT: i32 = 20;
/// A message to a connection that was just made may have to wait for it so long, ms.
const BRIEFLY: i64 = 20;
/// At the end the last ACK may take so long to leave, ms.
const FAREWELL: i32 = 500;

/// What happened to the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// A handshake is done.
    Up,
    /// The connection is gone.
    Down,
}

/// The socket.
pub struct FeedSocket {
    context: Context,
    endpoint: String,
    socket: Socket,
    monitor: Socket,
    made: u64,
}

impl FeedSocket {
    /// Begins to connect. `number` tells the feeds of a process apart.
    ///
    /// # Errors
    /// What libzmq says of the endpoint.
    pub fn connect(context: &Context, endpoint: &str, number: u16) -> zmq::Result<FeedSocket> {
        let made = u64::from(number) << 48;
        let (socket, monitor) = make(context, endpoint, made)?;
        let (context, endpoint) = (context.clone(), endpoint.to_owned());
        Ok(FeedSocket { context, endpoint, socket, monitor, made })
    }

    /// Gives the connection up and begins anew.
    ///
    /// # Errors
    /// What libzmq says.
    pub fn reconnect(&mut self) -> zmq::Result<()> {
        self.made += 1;
        (self.socket, self.monitor) = make(&self.context, &self.endpoint, self.made)?;
        Ok(())
    }

    /// The next thing that happened to the connection.
    pub fn link(&self) -> Option<Link> {
        loop {
            let frames = self.monitor.recv_multipart(DONTWAIT).ok()?;
            let event = frames.first()?.first_chunk::<2>()?;
            match SocketEvent::from_raw(u16::from_ne_bytes(*event)) {
                SocketEvent::HANDSHAKE_SUCCEEDED => return Some(Link::Up),
                SocketEvent::DISCONNECTED => return Some(Link::Down),
                _ => {}
            }
        }
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
        [self.socket.as_poll_item(POLLIN), self.monitor.as_poll_item(POLLIN)]
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

/// libzmq's version.
pub fn version() -> String {
    let (major, minor, patch) = zmq::version();
    format!("{major}.{minor}.{patch}")
}

fn make(context: &Context, endpoint: &str, number: u64) -> zmq::Result<(Socket, Socket)> {
    let socket = context.socket(SocketType::DEALER)?;
    socket.set_linger(0)?;
    socket.set_reconnect_ivl(RECONNECT)?;
    socket.set_reconnect_ivl_max(0)?;
    // The window is the only limit: a high-water mark would count messages.
    socket.set_rcvhwm(0)?;
    socket.set_sndhwm(0)?;
    socket.set_maxmsgsize(BODY_MAX as i64)?;
    // Nothing is kept for a connection that is not there.
    socket.set_immediate(true)?;
    let watched = format!("inproc://feed-{number}");
    let events = SocketEvent::HANDSHAKE_SUCCEEDED as i32 | SocketEvent::DISCONNECTED as i32;
    socket.monitor(&watched, events)?;
    let monitor = context.socket(SocketType::PAIR)?;
    monitor.set_linger(0)?;
    monitor.connect(&watched)?;
    socket.connect(endpoint)?;
    Ok((socket, monitor))
}
