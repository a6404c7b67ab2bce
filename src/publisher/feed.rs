//! The feed: the ROUTER socket and what is said on it. What follows from a message core's `Sessions` decides; here it is
//! received, answered from the ring, and sent.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::{Duration, Instant};

use sparkngin_core::feed::{
    Heard, Hello, Hole, Packet, Peer, Session, SessionId, Sessions, printable,
};
use sparkngin_core::id::{Seq, Stream};
use sparkngin_core::ring::Next;
use zmq::{DONTWAIT, SNDMORE, Socket};

use crate::door::ANYBODY;
use crate::lines::{Level, Lines, Throttle};
use crate::source::Source;

/// Messages taken in one turn, so that a flood of them does not keep the ring waiting.
const TURN: usize = 1000;
/// Bytes after which a look's giving ends, so that a ring full of events does not keep acknowledgements and BEATs waiting.
const SHARE: usize = 1 << 20;
/// Refusals that may be sent in a second: a peer that never reads must not fill the memory.
const REFUSALS: u32 = 100;

/// What came of looking at the socket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// There may be more.
    pub more: bool,
    /// Whose cursors moved: blocks may be free.
    pub acked: BTreeSet<usize>,
    /// A session began or a window opened: there may be something to send.
    pub room: bool,
}

/// What came of handing out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Given {
    /// Bytes that went out.
    pub bytes: usize,
    /// There is more for which there is room: to be given at once.
    pub more: bool,
}

/// The named subscribers' side of the publisher.
pub struct Feed {
    socket: Socket,
    /// Some names have keys: then there is a door, and each connection has a user.
    keyed: bool,
    sessions: Sessions,
    /// By name, the source and stream that was served last: the next one comes first at the next look.
    served: Vec<Option<(usize, Stream)>>,
    refusals: Bucket,
    odd: Throttle,
    unknown: Throttle,
    came: Throttle,
    fenced: Throttle,
    went: Throttle,
    bye: Throttle,
}

impl Feed {
    /// A socket that listens; `names` in the order of the configuration, and of each whether it has a key.
    pub fn new(socket: Socket, names: Vec<String>, keyed: Vec<bool>) -> Feed {
        Feed {
            socket,
            keyed: keyed.contains(&true),
            served: vec![None; names.len()],
            sessions: Sessions::keyed(names, keyed),
            refusals: Bucket::new(REFUSALS),
            odd: Throttle::new(Duration::from_secs(1)),
            unknown: Throttle::new(Duration::from_secs(10)),
            came: Throttle::new(Duration::from_secs(1)),
            fenced: Throttle::new(Duration::from_secs(1)),
            went: Throttle::new(Duration::from_secs(1)),
            bye: Throttle::new(Duration::from_secs(1)),
        }
    }

    /// The socket, to wait on.
    pub fn socket(&self) -> &Socket {
        &self.socket
    }

    /// The conversations.
    pub fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    /// Whether anybody could take something now.
    pub fn wants(&self) -> bool {
        (0..self.sessions.names().len())
            .any(|who| self.sessions.get(who).is_some_and(|s| s.room().is_some()))
    }

    /// Hears all that came; acknowledgements are stored at once.
    pub fn receive(&mut self, sources: &mut [Source], now: Instant, lines: &Lines) -> Received {
        let mut received = Received::default();
        for _ in 0..TURN {
            let Some((peer, frames)) = self.next_message() else { return received };
            self.hear(&peer, &frames, sources, now, lines, &mut received);
        }
        received.more = true;
        received
    }

    fn hear(
        &mut self,
        peer: &Peer,
        frames: &[Vec<u8>],
        sources: &mut [Source],
        now: Instant,
        lines: &Lines,
        received: &mut Received,
    ) {
        match self.sessions.receive(peer, frames, now) {
            Heard::Hello { who, hello } => {
                self.welcome(who, peer, &hello, sources, now, lines);
                received.room = true;
            }
            Heard::Acked { who, moved } => {
                for moved in moved {
                    let of = |s: &&mut Source| s.reader.region() == moved.region;
                    if let Some(source) = sources.iter_mut().find(of) {
                        source.store(who, moved.stream, moved.place);
                    }
                }
                received.acked.insert(who);
                received.room = true;
            }
            Heard::Refused { packet, why, ended } => {
                self.refuse(packet, why, ended, now, lines);
            }
            Heard::Beat => {}
            Heard::Left { who, from } => {
                if let (Some(name), Some(times)) =
                    (self.sessions.names().get(who), self.bye.pass(now))
                {
                    let (from, times) = (at(from.as_deref()), repeated(times));
                    lines.say(Level::Info, format!("subscriber \"{name}\"{from} has left{times}"));
                }
            }
        }
    }

    fn welcome(
        &mut self,
        who: usize,
        peer: &Peer,
        hello: &Hello,
        sources: &mut [Source],
        now: Instant,
        lines: &Lines,
    ) {
        sources.iter_mut().for_each(Source::look);
        let shelves: Vec<_> = sources.iter().map(|source| source.shelf(who)).collect();
        let (session, welcome) = Session::open(peer, hello, draw(), &shelves, now);
        if !self.send(welcome, lines) {
            // It is gone already: its HELLO may be older than that of the session that goes on.
            return;
        }
        let told = self.sessions.admit(who, session);
        let fenced = told.is_some();
        let throttle = if fenced { &mut self.fenced } else { &mut self.came };
        if let Some(times) = throttle.pass(now) {
            let (name, times) = (&hello.name, repeated(times));
            let from = at(hello.from.as_deref());
            let (level, instead) = match fenced {
                true => (Level::Warn, ", in place of another one of its name"),
                false => (Level::Info, ""),
            };
            lines.say(level, format!("subscriber \"{name}\"{from} is connected{instead}{times}"));
        }
        if let Some(told) = told {
            self.send(told, lines);
        }
    }

    fn refuse(
        &mut self,
        packet: Packet,
        why: Option<String>,
        ended: Option<usize>,
        now: Instant,
        lines: &Lines,
    ) {
        if let Some(why) = why {
            let throttle = if ended.is_some() { &mut self.odd } else { &mut self.unknown };
            if let Some(times) = throttle.pass(now) {
                let whose = ended.and_then(|who| self.sessions.names().get(who));
                let whose =
                    whose.map_or("a peer".to_owned(), |name| format!("subscriber \"{name}\""));
                let text =
                    format!("{whose} is refused, {why} ({times} refused since the last line)");
                lines.say(Level::Warn, text);
            }
        }
        if self.refusals.take(now) {
            self.send(packet, lines);
        }
    }

    /// Sends each subscriber what its window has room for, one message per stream in turn. What nobody adds to comes first,
    /// the oldest before the others: the sooner it is drained the better.
    pub fn hand_out(&mut self, sources: &mut [Source], lines: &Lines) -> Given {
        let mut given = Given::default();
        let (ending, open): (Vec<usize>, Vec<usize>) =
            (0..sources.len()).partition(|n| sources[*n].ends());
        let places = |of: &[usize]| -> Vec<(usize, Stream)> {
            let streams = |n: &usize| {
                sources[*n].scan.streams().map(|stream| (*n, stream)).collect::<Vec<_>>()
            };
            of.iter().flat_map(streams).collect()
        };
        let ending = ending.iter().map(|n| places(&[*n]));
        let groups: Vec<Vec<(usize, Stream)>> = ending.chain([places(&open)]).collect();
        for who in 0..self.sessions.names().len() {
            let mut left = SHARE;
            loop {
                let mut serve = |group: &Vec<_>| self.serve(who, group, sources, &mut given, lines);
                let Some(bytes) = groups.iter().map(&mut serve).find(|bytes| *bytes > 0) else {
                    break;
                };
                given.bytes += bytes;
                left = left.saturating_sub(bytes);
                if left == 0 {
                    given.more = true;
                    break;
                }
            }
        }
        given
    }

    /// One message per stream to one subscriber; bytes that went out.
    fn serve(
        &mut self,
        who: usize,
        all: &[(usize, Stream)],
        sources: &[Source],
        given: &mut Given,
        lines: &Lines,
    ) -> usize {
        // A small window must not be the first streams' alone.
        let served = self.served[who];
        let start = all.partition_point(|place| Some(*place) <= served);
        let mut bytes = 0;
        for &(n, stream) in all[start..].iter().chain(&all[..start]) {
            match self.next_packet(who, &sources[n], stream) {
                None => {}
                // It was overwritten under the copy: the next look finds what became of it.
                Some(Err(Void)) => given.more = true,
                Some(Ok(packet)) => {
                    bytes += packet.body.len().max(1);
                    self.served[who] = Some((n, stream));
                    self.send(packet, lines);
                }
            }
        }
        bytes
    }

    /// The next message of a stream to a subscriber, if it has a session with room and there is something.
    fn next_packet(
        &mut self,
        who: usize,
        source: &Source,
        stream: Stream,
    ) -> Option<Result<Packet, Void>> {
        let session = self.sessions.get_mut(who)?;
        let region = source.reader.region();
        if session.ends(region, stream) {
            return None;
        }
        let (after, room) = (session.sent(region, stream), session.room()?);
        if after == Seq(0) && !session.knows(region, stream, &source.place(who, stream)) {
            // Its file was found later than this session began: a new one begins where the cursor is.
            return self.sessions.end(who).map(Ok);
        }
        let mut body = Vec::new();
        Some(Ok(match source.reader.next(&source.scan, stream, after, room, &mut body) {
            Next::Slice { count, .. } => session.batch(region, stream, count, body),
            Next::Lost { to, hours } => session.hole(region, stream, Hole::Lost { to, hours }),
            Next::Uncertain { to, since } => {
                session.hole(region, stream, Hole::Uncertain { to, since })
            }
            Next::Nothing => return None,
            Next::Void => return Some(Err(Void)),
        }))
    }

    /// BEATs, and the end of sessions whose peers are silent.
    pub fn due(&mut self, now: Instant, lines: &Lines) {
        let overdue = self.sessions.due(now);
        for packet in overdue.packets {
            self.send(packet, lines);
        }
        for who in overdue.silent {
            self.left(who, "was silent for 3 s", lines);
        }
    }

    fn left(&mut self, who: usize, how: &str, lines: &Lines) {
        let (Some(name), Some(times)) =
            (self.sessions.names().get(who), self.went.pass(Instant::now()))
        else {
            return;
        };
        let times = repeated(times);
        lines.say(Level::Warn, format!("subscriber \"{name}\" {how}, its session is over{times}"));
    }

    /// Whether the socket still knows the connection; if not, its session is over.
    fn send(&mut self, packet: Packet, lines: &Lines) -> bool {
        let header = packet.message.header();
        let last = if packet.body.is_empty() { DONTWAIT } else { DONTWAIT | SNDMORE };
        let sent = self
            .socket
            .send(packet.to.connection.as_slice(), DONTWAIT | SNDMORE)
            .and_then(|()| self.socket.send(header, last))
            .and_then(|()| match packet.body.is_empty() {
                true => Ok(()),
                false => self.socket.send(packet.body, DONTWAIT),
            });
        if sent.is_err() {
            // The socket does not know the connection any more; the subscriber says HELLO on its next one.
            if let Some(who) = self.sessions.gone(&packet.to) {
                self.left(who, "is disconnected", lines);
            }
        }
        sent.is_ok()
    }

    /// The next message: its connection, and its frames, as far as any message has that many.
    fn next_message(&self) -> Option<(Peer, Vec<Vec<u8>>)> {
        let connection = self.socket.recv_bytes(DONTWAIT).ok()?;
        let mut peer = Peer::anybody(connection);
        let mut frames = Vec::new();
        while self.socket.get_rcvmore().unwrap_or(false) {
            let Ok(mut frame) = self.socket.recv_msg(DONTWAIT) else { break };
            if frames.is_empty() {
                // As the door said when the connection was made: libzmq adds it, no peer can.
                let user = frame.gets("User-Id").filter(|user| self.keyed && *user != ANYBODY);
                peer.user = user.map(str::to_owned);
            }
            if frames.len() < 3 {
                frames.push(frame.to_vec());
            }
        }
        Some((peer, frames))
    }
}

/// Where a subscriber runs, as a line names it.
fn at(from: Option<&str>) -> String {
    from.map_or(String::new(), |from| format!(" at {}", printable(from)))
}

/// What a line about something that happens often ends with.
fn repeated(times: u64) -> String {
    if times > 1 { format!(" ({times} times since the last such line)") } else { String::new() }
}

/// What was read is gone.
struct Void;

/// A session's number: nobody used it, and nobody guesses it.
fn draw() -> SessionId {
    SessionId(RandomState::new().build_hasher().finish())
}

/// So many a second, and that many at once.
struct Bucket {
    per_second: u32,
    left: f64,
    seen: Option<Instant>,
}

impl Bucket {
    fn new(per_second: u32) -> Bucket {
        Bucket { per_second, left: per_second.into(), seen: None }
    }

    fn take(&mut self, now: Instant) -> bool {
        let limit = f64::from(self.per_second);
        let passed =
            self.seen.map_or(0.0, |seen| now.saturating_duration_since(seen).as_secs_f64());
        self.left = (self.left + passed * limit).min(limit);
        self.seen = Some(now);
        let some = self.left >= 1.0;
        if some {
            self.left -= 1.0;
        }
        some
    }
}

#[cfg(test)]
mod tests {
    use sparkngin_core::feed::Message;
    use sparkngin_core::ring::{Configuration, Lease, Overflow, Ring, Wanted, Writer};
    use zmq::{Context, POLLIN, SocketType};

    use super::*;

    fn hello(window: u64) -> Vec<Vec<u8>> {
        let (name, have) = ("kafka".to_owned(), Vec::new());
        Message::Hello(Hello { v: 1, name, window, from: None, have }).frames(vec![])
    }

    /// A feed with a subscriber that has asked for this window, and was heard.
    fn pair(context: &Context, window: u64, sources: &mut [Source]) -> (Feed, Socket) {
        let endpoint = "inproc://feed";
        let publisher = crate::socket::feed(context, endpoint, None).expect("a socket");
        publisher.bind(endpoint).expect("it listens");
        let mut feed = Feed::new(publisher, vec!["kafka".to_owned()], vec![false]);
        let subscriber = context.socket(SocketType::DEALER).expect("a socket");
        subscriber.connect(endpoint).expect("connected");
        subscriber.send_multipart(hello(window), 0).expect("sent");
        assert!(feed.socket.poll(POLLIN, 10_000).expect("poll") > 0, "in time");
        feed.receive(sources, Instant::now(), &Lines::default());
        (feed, subscriber)
    }

    #[test]
    fn a_hello_of_a_connection_that_is_gone_fences_nobody() {
        let context = Context::new();
        let (mut feed, _subscriber) = pair(&context, 1000, &mut []);
        let (lines, now) = (Lines::default(), Instant::now());
        let session = feed.sessions.get(0).expect("a session").id();
        let (mut received, gone) = (Received::default(), Peer::anybody(b"gone".to_vec()));
        feed.hear(&gone, &hello(1000), &mut [], now, &lines, &mut received);
        assert_eq!(feed.sessions.get(0).map(Session::id), Some(session));
    }

    #[test]
    fn a_look_gives_all_blocks_of_a_stream_as_far_as_the_window_has_room() {
        let dir = std::env::temp_dir().join(format!("sgp-look-{}", std::process::id()));
        std::fs::create_dir(&dir).expect("a directory of its own");
        let wanted = Wanted { dir: dir.clone(), bytes: 16 * 4096, block_bytes: 4096 };
        let ring = Ring::open_or_make(&wanted).expect("a ring");
        let mut writer = Writer::take(ring.again().expect("once more")).expect("a slot");
        for _ in 0..30 {
            writer.append(1, &[7; 1000]).expect("room");
        }
        let lease = Lease::try_take(&dir).expect("the directory").expect("nobody has it");
        let subscribers = vec!["kafka".parse().expect("a name")];
        let configuration =
            Configuration { policy: Overflow::Reject, subscribers, configured_at: 1 };
        let mut sources = [Source::new(ring, &lease, &configuration).expect("a source")];
        for (window, records) in [(1 << 20, 30), (9000, 9)] {
            let context = Context::new();
            let (mut feed, subscriber) = pair(&context, window, &mut sources);
            let given = feed.hand_out(&mut sources, &Lines::default());
            assert!(!given.more, "nothing is left that has room");
            let mut came = 0;
            while came < records {
                assert!(subscriber.poll(POLLIN, 10_000).expect("poll") > 0, "{came} came");
                let frames = subscriber.recv_multipart(DONTWAIT).expect("a message");
                came += frames.get(1).map_or(0, |body| body.len() / 1000);
            }
            assert_eq!((came, given.bytes / 1000), (records, records));
        }
        std::fs::remove_dir_all(&dir).expect("removed");
    }

    #[test]
    fn a_bucket_gives_what_is_in_it_and_fills_up_again_with_time() {
        let (mut bucket, now) = (Bucket::new(10), Instant::now());
        assert_eq!((0..20).filter(|_| bucket.take(now)).count(), 10);
        let later = now + Duration::from_millis(300);
        assert_eq!((0..20).filter(|_| bucket.take(later)).count(), 3);
    }
}
