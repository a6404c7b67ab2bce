//! A syslog server, by UDP, TCP or a unix socket. A thread of its own sends, so that nothing waits for the server; while it is
//! away lines wait, and what comes beyond is counted.

use std::io::{self, Write};
use std::net::{TcpStream, ToSocketAddrs, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use super::line::Line;

/// Lines that wait at most.
const WAITING: usize = 1024;
/// Between two attempts to reach it.
const PAUSE: Duration = Duration::from_secs(1);
/// What it may take to connect, or to send a line.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long the program's end waits for it.
const END: Duration = Duration::from_secs(2);

/// Where it listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A unix socket of datagrams.
    Unix(PathBuf),
    /// `host:port`, a line a datagram.
    Udp(String),
    /// `host:port`, each line with its length before it (RFC 6587).
    Tcp(String),
}

impl Place {
    /// `unix:PATH`, `udp:HOST:PORT` or `tcp:HOST:PORT`.
    pub fn read(text: &str) -> Option<Place> {
        let (kind, rest) = text.split_once(':')?;
        let (host, port) = rest.rsplit_once(':').unwrap_or(("", ""));
        let address = !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0);
        match kind {
            "unix" if !rest.is_empty() => Some(Place::Unix(rest.into())),
            "udp" if address => Some(Place::Udp(rest.to_owned())),
            "tcp" if address => Some(Place::Tcp(rest.to_owned())),
            _ => None,
        }
    }
}

enum Item {
    Line(Line),
    /// All before it was sent: say so.
    End(SyncSender<()>),
}

/// The thread, from outside.
#[derive(Clone, Debug)]
pub struct Syslog {
    items: SyncSender<Item>,
    left_out: Arc<AtomicU64>,
}

impl Syslog {
    /// Starts the thread; it connects by itself, and again.
    ///
    /// # Errors
    /// The system has no thread for it.
    pub fn start(place: Place) -> io::Result<Syslog> {
        let (items, taken) = sync_channel(WAITING);
        let left_out = Arc::new(AtomicU64::new(0));
        let sender = Sender { place, link: None, told: false, left_out: Arc::clone(&left_out) };
        thread::Builder::new().name("syslog".to_owned()).spawn(move || sender.run(&taken))?;
        Ok(Syslog { items, left_out })
    }

    /// Sends a line, later on. Where too many wait it is left out, and counted.
    pub fn send(&self, line: &Line) {
        if self.items.try_send(Item::Line(line.clone())).is_err() {
            self.left_out.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits until all lines were sent, for 2 s at most.
    pub fn flush(&self) {
        let (done, waits) = sync_channel(1);
        if self.items.try_send(Item::End(done)).is_ok() {
            let _ = waits.recv_timeout(END);
        }
    }
}

enum Link {
    Unix(UnixDatagram),
    Udp(UdpSocket),
    Tcp(TcpStream),
}

struct Sender {
    place: Place,
    link: Option<Link>,
    /// That it is away was said.
    told: bool,
    left_out: Arc<AtomicU64>,
}

impl Sender {
    fn run(mut self, items: &Receiver<Item>) {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let host = Some(host.trim()).filter(|host| !host.is_empty()).unwrap_or("-").to_owned();
        let process = std::process::id();
        while let Ok(item) = items.recv() {
            match item {
                Item::Line(line) => self.deliver(&line.syslog(&host, process)),
                Item::End(done) => {
                    let _ = done.try_send(());
                    continue;
                }
            }
            match self.left_out.swap(0, Ordering::Relaxed) {
                0 => {}
                more => {
                    let line = Line::warning(format!("{more} more lines were not kept for syslog"));
                    self.deliver(&line.syslog(&host, process));
                }
            }
        }
    }

    /// Sends a line, however long that takes.
    fn deliver(&mut self, line: &str) {
        while let Err(error) = self.attempt(line) {
            self.link = None;
            if !std::mem::replace(&mut self.told, true) {
                eprintln!(
                    "sparkngin: syslog at {:?} cannot be reached: {error}; {WAITING} lines wait for it at most",
                    self.place
                );
            }
            thread::park_timeout(PAUSE);
        }
        self.told = false;
    }

    fn attempt(&mut self, line: &str) -> io::Result<()> {
        let link = match &mut self.link {
            Some(link) => link,
            None => self.link.insert(connect(&self.place)?),
        };
        match link {
            Link::Unix(socket) => socket.send(line.as_bytes()).map(drop),
            Link::Udp(socket) => socket.send(line.as_bytes()).map(drop),
            Link::Tcp(stream) => stream.write_all(format!("{} {line}", line.len()).as_bytes()),
        }
    }
}

fn connect(place: &Place) -> io::Result<Link> {
    match place {
        Place::Unix(path) => {
            let socket = UnixDatagram::unbound()?;
            socket.connect(path)?;
            socket.set_write_timeout(Some(PATIENCE))?;
            Ok(Link::Unix(socket))
        }
        Place::Udp(address) => {
            let to = first(address)?;
            let socket = UdpSocket::bind(if to.is_ipv6() { "[::]:0" } else { "0.0.0.0:0" })?;
            socket.connect(to)?;
            Ok(Link::Udp(socket))
        }
        Place::Tcp(address) => {
            let stream = TcpStream::connect_timeout(&first(address)?, PATIENCE)?;
            stream.set_write_timeout(Some(PATIENCE))?;
            Ok(Link::Tcp(stream))
        }
    }
}

fn first(address: &str) -> io::Result<std::net::SocketAddr> {
    let none = || io::Error::new(io::ErrorKind::NotFound, "the host has no address");
    address.to_socket_addrs()?.next().ok_or_else(none)
}
