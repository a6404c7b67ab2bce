//! One feed: core's Client, its socket, and what is known of the two.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::Access;
use sparkngin_core::feed::{Client, Due, Incoming, Reason, Refused, Welcome, Why};

use crate::flight::{FeedNo, Flight};
use crate::keys::Keys;
use crate::latency::Latency;
use crate::report::Seldom;
use crate::socket::{FeedSocket, Link, why_not};
use crate::view::FeedView;
use crate::word::Given;

/// Why a feed is silent is said this often.
const REMIND: Duration = Duration::from_secs(10);

/// A feed.
pub struct Feed {
    /// Its number.
    pub no: FeedNo,
    /// Where the publisher is.
    pub endpoint: String,
    /// The subscriber's half of the conversation.
    pub client: Client,
    /// The way there.
    pub socket: FeedSocket,
    why_not: Option<String>,
    /// Why the system does not let us there, if it does not.
    barred: Option<String>,
    sessions: u64,
    reminded: Instant,
    /// How long its events took.
    pub latency: Latency,
}

/// The publisher will not have us, and asking again would not help.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Over {
    /// Another subscriber of the name took over.
    Fenced(String),
    /// It does not speak this version.
    Version(String),
}

impl Feed {
    /// Begins to connect.
    ///
    /// # Errors
    /// A sentence: what libzmq says of the endpoint.
    pub fn connect(
        context: &zmq::Context,
        no: FeedNo,
        given: &Given<String>,
        keys: Option<&Keys>,
        client: Client,
        now: Instant,
    ) -> Result<Feed, String> {
        let endpoint = given.value.clone();
        let socket = FeedSocket::connect(context, &endpoint, no.0, keys)
            .map_err(|error| format!("{} {endpoint}: {}", given.origin, why_not(error)))?;
        let barred = barred(&endpoint, reach);
        // That does not pass by itself, as a publisher's being away does.
        if let Some(why) = &barred {
            tracing::warn!(feed = endpoint, "waiting: {why}");
        }
        let (why_not, sessions, reminded, latency) = (None, 0, now, Latency::new(now));
        Ok(Feed { no, endpoint, client, socket, why_not, barred, sessions, reminded, latency })
    }

    /// Why there is no session, if more is known than that nobody answers.
    fn why_not(&self) -> Option<&str> {
        self.barred.as_deref().or(self.why_not.as_deref())
    }

    /// Hears what became of the connection.
    pub fn hear_links(&mut self, now: Instant, seldom: &mut Seldom) {
        while let Some(link) = self.socket.link() {
            match link {
                Link::Up => self.client.connected(now),
                Link::Down => {
                    if self.client.in_session() {
                        tracing::info!(feed = self.endpoint, "the publisher went away");
                    }
                    self.client.disconnected();
                }
                Link::ShutOut(why) => {
                    // Nothing is to be had there as things are; they may change at any time.
                    self.socket.hang_up();
                    self.client.shut_out(now);
                    self.why_not = Some(why.to_owned());
                    let endpoint = &self.endpoint;
                    seldom.warn_once_in(REMIND, now, why, || {
                        format!("{endpoint}: {why}; trying again")
                    });
                }
            }
        }
    }

    /// The next message, if it is one.
    pub fn receive(&mut self, now: Instant, seldom: &mut Seldom) -> Option<Incoming<Vec<u8>>> {
        let frames = self.socket.receive()?;
        match self.client.receive(frames, now) {
            Ok(incoming) => Some(incoming),
            Err(fault) => {
                let endpoint = &self.endpoint;
                seldom.warn_once_in(REMIND, now, "fault", || {
                    format!("{endpoint}: {fault}; connecting anew")
                });
                Some(Incoming::Nothing)
            }
        }
    }

    /// A session is open.
    pub fn welcome(&mut self, welcome: &Welcome, flight: &mut Flight) {
        self.sessions += 1;
        (self.why_not, self.barred) = (None, None);
        let mut behind = 0;
        for region in &welcome.regions {
            for s in &region.streams {
                flight.welcome(self.no, region.region, s.stream, s.acked);
                behind += s.last.0.saturating_sub(s.acked.0);
            }
        }
        let (endpoint, session) = (&self.endpoint, self.sessions);
        tracing::info!(feed = endpoint, session, unacknowledged = behind, "session open");
    }

    /// The publisher does not go on with us.
    ///
    /// # Errors
    /// [`Over`], when there is no point in asking again.
    pub fn refused(
        &mut self,
        refused: &Refused,
        now: Instant,
        seldom: &mut Seldom,
    ) -> Result<(), Over> {
        // Somebody answers there.
        self.barred = None;
        let endpoint = &self.endpoint;
        let why = match refused.reason {
            Reason::Name => {
                format!(
                    "neither sparkngin_subscriber in nginx nor --subscriber of \"sparkngin publish\" names \"{}\"",
                    self.client.name()
                )
            }
            Reason::Key => "the key is not the one that nginx has for this name".to_owned(),
            Reason::Session => return Ok(()),
            Reason::Fenced => {
                let other = refused.other.as_deref().unwrap_or("unknown");
                return Err(Over::Fenced(format!(
                    "{endpoint}: another subscriber of this name took over ({other})"
                )));
            }
            Reason::Version => {
                return Err(Over::Version(format!(
                    "{endpoint}: the publisher does not speak this version of the feed"
                )));
            }
        };
        let kind = if refused.reason == Reason::Key { "key" } else { "refused" };
        seldom.warn_once_in(REMIND, now, kind, || {
            format!("{endpoint}: refused: {why}; asking again")
        });
        self.why_not = Some(why);
        Ok(())
    }

    /// Sends what is due, and says now and then why nothing comes.
    ///
    /// # Errors
    /// A sentence: libzmq has no more sockets.
    pub fn speak(&mut self, now: Instant) -> Result<(), String> {
        while let Some(due) = self.client.due(now) {
            match due {
                // What is not sent goes the way of its connection: the next one begins with a HELLO.
                Due::Send(message) => drop(self.socket.send(message.header())),
                Due::Reconnect(why) => {
                    if why == Why::Silence {
                        tracing::warn!(feed = self.endpoint, "silent for 3 s, connecting anew");
                    }
                    self.socket.reconnect().map_err(|e| format!("{}: {e}", self.endpoint))?;
                }
            }
        }
        if !self.client.in_session() && self.reminded + REMIND <= now {
            self.reminded = now;
            self.barred = barred(&self.endpoint, reach);
            let why = self.why_not().unwrap_or("nobody publishes there yet");
            tracing::warn!(feed = self.endpoint, "waiting: {why}");
        }
        Ok(())
    }

    /// Has the publisher know how long events took.
    pub fn tell(&mut self) {
        self.client.tell(self.latency.took());
    }

    /// Says that it ends, and lets what was sent last go out.
    pub fn farewell(mut self) {
        if let Some(message) = self.client.leave() {
            self.socket.send(message.header());
        }
        self.socket.farewell();
    }

    /// How it is.
    pub fn view(&self, flight: &Flight) -> FeedView {
        FeedView {
            endpoint: self.endpoint.clone(),
            in_session: self.client.in_session(),
            why_not: self.why_not().map(str::to_owned),
            in_flight: self.client.in_flight(),
            totals: flight.totals(self.no),
            sessions: self.sessions,
        }
    }
}

/// Whether a socket's file may be connected to.
fn reach(path: &Path) -> io::Result<()> {
    Ok(rustix::fs::access(path, Access::WRITE_OK)?)
}

/// What to do about a feed of `ipc` that the system keeps us from: libzmq tells it from one that is away to nobody.
fn barred(endpoint: &str, reach: impl Fn(&Path) -> io::Result<()>) -> Option<String> {
    let path = endpoint.strip_prefix("ipc://").filter(|path| !path.starts_with('@'))?;
    let error = reach(Path::new(path)).err()?;
    let denied = error.kind() == io::ErrorKind::PermissionDenied;
    denied.then(|| format!("{path}: Permission denied: run as nginx's user"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_is_barred_is_told_and_one_that_is_not_there_is_not() {
        let no = |kind: io::ErrorKind| move |_: &Path| Err(io::Error::from(kind));
        let denied = io::ErrorKind::PermissionDenied;
        let said = barred("ipc:///ring/feed.sock", no(denied));
        let expected = "/ring/feed.sock: Permission denied: run as nginx's user";
        assert_eq!(said.as_deref(), Some(expected));
        assert_eq!(barred("ipc:///ring/feed.sock", no(io::ErrorKind::NotFound)), None);
        assert_eq!(barred("ipc://@abstract", no(denied)), None);
        assert_eq!(barred("tcp://127.0.0.1:7001", no(denied)), None);
        assert_eq!(barred("ipc:///ring/feed.sock", |_| Ok(())), None);
        let nowhere = reach(Path::new("/nowhere/feed.sock")).unwrap_err();
        assert_eq!(nowhere.kind(), io::ErrorKind::NotFound);
    }
}
