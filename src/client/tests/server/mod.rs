//! A tiny HTTP server that answers as the test says, one step for each request, and keeps what it was sent. After the last
//! step it answers everything with 204.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// What the server does with a request that it has read.
#[derive(Clone, Debug)]
#[allow(dead_code)] // not every test file needs all
pub enum Step {
    /// Status, further headers (each with its line's end), body.
    Say(u16, &'static str, String),
    /// Closes the connection.
    Cut,
    /// Half an answer, then closes.
    HalfAnswer,
    /// Says nothing, until the client goes away.
    Silence,
}

#[derive(Clone, Debug, Default)]
pub struct Seen {
    pub head: String,
    pub body: Vec<u8>,
}

impl Seen {
    /// The lines' ids.
    #[allow(dead_code)]
    pub fn ids(&self) -> Vec<String> {
        let text = String::from_utf8(self.body.clone()).unwrap();
        let events =
            text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        events.map(|event| event["id"].as_str().unwrap().to_owned()).collect()
    }
}

pub struct Server {
    pub address: String,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Server {
    pub fn new(steps: Vec<Step>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}/sn/log/clicks", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let steps = Arc::new(Mutex::new(steps.into_iter()));
        let kept = seen.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (kept, steps) = (kept.clone(), steps.clone());
                std::thread::spawn(move || {
                    serve(&stream.unwrap(), &kept, || steps.lock().unwrap().next())
                });
            }
        });
        Self { address, seen }
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

fn request(reader: &mut impl BufRead) -> Option<Seen> {
    let mut seen = Seen::default();
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if line == "\r\n" {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        seen.head += &line;
    }
    seen.body = vec![0; length];
    reader.read_exact(&mut seen.body).ok()?;
    Some(seen)
}

fn serve(stream: &TcpStream, kept: &Mutex<Vec<Seen>>, step: impl Fn() -> Option<Step>) {
    let mut reader = BufReader::new(stream);
    let mut writer = stream;
    while let Some(seen) = request(&mut reader) {
        kept.lock().unwrap().push(seen);
        let step = step().unwrap_or(Step::Say(204, "", String::new()));
        let written = match step {
            Step::Say(204, headers, _) => {
                write!(writer, "HTTP/1.1 204 No Content\r\n{headers}\r\n")
            }
            Step::Say(status, headers, body) => {
                write!(
                    writer,
                    "HTTP/1.1 {status} So\r\n{headers}Content-Length: {}\r\n\r\n{body}",
                    body.len()
                )
            }
            Step::Cut => return,
            Step::HalfAnswer => {
                let _ = write!(writer, "HTTP/1.1 207 Multi-Status\r\nContent-Length: 500\r\n\r\n[");
                return;
            }
            Step::Silence => {
                let _ = reader.read_line(&mut String::new());
                return;
            }
        };
        if written.is_err() {
            return;
        }
    }
}
