//! /healthz, /readyz and /metrics for machines: one thread, one request a connection, everything else is 404.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use sparkngin_core::exposition::CONTENT_TYPE;

use crate::view::Board;

/// What is answered, whatever process it is that shows itself.
pub trait Pages: Send + 'static {
    /// The status behind `HTTP/1.1 ` and the body; None where there is no such path.
    fn page(&self, path: &str) -> Option<(&'static str, String)>;
}

/// The status of a page that says that something is not as it should be.
pub const AWAY: &str = "503 Service Unavailable";

/// A client has so long for its request, and for taking the answer: there is one thread for all.
const PATIENCE: Duration = Duration::from_secs(2);
/// Bytes of a request that are read, at most.
const REQUEST: u64 = 8 * 1024;

/// Listens and answers until the process ends. Gives the address, of which the port may have been 0.
///
/// # Errors
/// What the system says: the port is taken, or the address is not this machine's.
pub fn serve(address: SocketAddr, pages: impl Pages) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind(address)?;
    let bound = listener.local_addr()?;
    let answer_all = move || {
        for stream in listener.incoming().flatten() {
            // A client that goes away, or says nothing, is its own affair.
            let _ = answer(&stream, &pages);
        }
    };
    thread::Builder::new().name("http".to_owned()).spawn(answer_all)?;
    Ok(bound)
}

/// A connection with one deadline for all of it: a byte now and then does not hold the thread.
struct Brief<'a> {
    stream: &'a TcpStream,
    until: Instant,
}

impl Brief<'_> {
    fn left(&self) -> io::Result<Option<Duration>> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(Some(left)) }
    }
}

impl Read for Brief<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(self.left()?)?;
        self.stream.read(buffer)
    }
}

impl Write for Brief<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(self.left()?)?;
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

fn answer(stream: &TcpStream, pages: &impl Pages) -> io::Result<()> {
    let mut stream = Brief { stream, until: Instant::now() + PATIENCE };
    let mut reader = BufReader::new((&mut stream).take(REQUEST));
    let mut request = String::new();
    reader.read_line(&mut request)?;
    let mut header = String::new();
    while reader.read_line(&mut header)? > 2 {
        header.clear();
    }
    let (status, body) = respond(&request, pages);
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {CONTENT_TYPE}\r\nContent-Length: {}\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body.as_bytes())
}

fn respond(request: &str, pages: &impl Pages) -> (&'static str, String) {
    let mut words = request.split_ascii_whitespace();
    let (method, target) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
    let path = target.split('?').next().unwrap_or("");
    if method != "GET" {
        return ("405 Method Not Allowed\r\nAllow: GET", "only GET\n".to_owned());
    }
    let none = || ("404 Not Found", "there are /healthz, /readyz and /metrics\n".to_owned());
    pages.page(path).unwrap_or_else(none)
}

impl Pages for Board {
    fn page(&self, path: &str) -> Option<(&'static str, String)> {
        let view = self.see().clone();
        Some(match path {
            "/healthz" if view.alive(Instant::now()) => ("200 OK", "ok\n".to_owned()),
            "/healthz" => (AWAY, "the loop is stuck\n".to_owned()),
            "/readyz" => match view.unready() {
                None => ("200 OK", "ready\n".to_owned()),
                Some(why) => (AWAY, format!("{why}\n")),
            },
            "/metrics" => ("200 OK", view.metrics()),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::latency::Latency;
    use crate::sink::Condition;
    use crate::view::View;

    fn ask(address: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn each_path_is_answered_and_others_and_other_methods_are_not() {
        let board = Board::new(View {
            turned: Instant::now(),
            name: "kafka".into(),
            feeds: Vec::new(),
            open: 0,
            condition: Condition { unready: Some("no Kafka".into()), ..Condition::default() },
            latency: Latency::new(Instant::now()),
        });
        let address = serve("127.0.0.1:0".parse().unwrap(), board.clone()).unwrap();
        let get = |path: &str| ask(address, &format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"));
        assert!(get("/healthz").starts_with("HTTP/1.1 200 "));
        let unready = get("/readyz");
        assert!(unready.starts_with("HTTP/1.1 503 ") && unready.ends_with("\r\n\r\nno Kafka\n"));
        board.see().condition.unready = None;
        assert!(get("/readyz").starts_with("HTTP/1.1 200 "));
        assert!(get("/metrics").contains("sparkngin_ready{subscriber=\"kafka\"} 1"));
        assert!(get("/").starts_with("HTTP/1.1 404 "));
        assert!(ask(address, "POST /metrics HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 405 "));
        board.see().turned = Instant::now() - STUCK_FOR;
        assert!(get("/healthz").starts_with("HTTP/1.1 503 "));
    }

    #[test]
    fn a_client_that_sends_a_byte_now_and_then_keeps_others_waiting_no_longer_than_its_time() {
        let board = Board::new(View {
            turned: Instant::now(),
            name: "kafka".into(),
            feeds: Vec::new(),
            open: 0,
            condition: Condition::default(),
            latency: Latency::new(Instant::now()),
        });
        let address = serve("127.0.0.1:0".parse().unwrap(), board).unwrap();
        let mut slow = TcpStream::connect(address).unwrap();
        slow.write_all(b"GET /h").unwrap();
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        let drip = thread::spawn(move || {
            while stopped.recv_timeout(Duration::from_millis(200)).is_err() {
                let _ = slow.write_all(b"x");
            }
        });
        let start = Instant::now();
        ask(address, "GET /metrics HTTP/1.1\r\n\r\n");
        let waited = start.elapsed();
        stop.send(()).unwrap();
        drip.join().unwrap();
        assert!(waited < 2 * PATIENCE, "{waited:?}");
    }

    const STUCK_FOR: Duration = Duration::from_secs(60);
}
