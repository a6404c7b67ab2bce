//! What a subscriber acknowledges, against a list of what became of each number.

use proptest::prelude::*;
use sparkngin_core::feed::Uncertain;

use super::*;

/// What may happen to a subscriber's one stream; the numbers choose among what is possible.
#[derive(Clone, Copy, Debug)]
enum Operation {
    Take(u64),
    Lose(u64),
    Doubt(u64),
    Dead(usize),
    Done(u64),
    Ack,
    /// A new session, from a place that was acknowledged before.
    Welcome(usize),
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        3 => (1..5u64).prop_map(Operation::Take),
        2 => (1..5u64).prop_map(Operation::Lose),
        2 => (1..5u64).prop_map(Operation::Doubt),
        3 => any::<usize>().prop_map(Operation::Dead),
        4 => any::<u64>().prop_map(Operation::Done),
        2 => Just(Operation::Ack),
        1 => any::<usize>().prop_map(Operation::Welcome),
    ]
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    Taken,
    Lost,
    Dead,
    Uncertain,
}

/// The list.
struct List {
    client: Client,
    now: Instant,
    session: u64,
    /// Of each number from 1 on.
    fates: Vec<Fate>,
    base: u64,
    done: u64,
    dirty: bool,
    /// Places that the publisher may have stored.
    acked: Vec<u64>,
    flight: Vec<(u64, u64)>,
}

impl List {
    fn new() -> List {
        let settings = Settings { name: "kafka".to_owned(), window: 5000, from: None };
        let (mut client, now) = (Client::new(settings), Instant::now());
        client.connected(now);
        let mut list = List {
            client,
            now,
            session: 0,
            fates: Vec::new(),
            base: 0,
            done: 0,
            dirty: false,
            acked: Vec::new(),
            flight: Vec::new(),
        };
        list.welcome(0);
        list
    }

    fn taken(&self) -> u64 {
        self.fates.len() as u64
    }

    fn run(&mut self, operation: Operation) {
        let next = self.taken() + 1;
        let (session, region, stream, from) = (SessionId(self.session), REGION, STREAM, Seq(next));
        match operation {
            Operation::Take(count) => {
                let packet = batch(self.session, next, count, records(next, count));
                give(&mut self.client, packet, self.now).unwrap();
                self.took(count, Fate::Taken, 104 * count + 256);
            }
            Operation::Lose(count) => {
                let (to, hours) = (Seq(next + count - 1), (1, 1));
                let reason = "overwritten".to_owned();
                let hole =
                    sparkngin_core::feed::Lost { session, region, stream, from, to, hours, reason };
                self.client.receive(Message::Lost(hole).frames(vec![]), self.now).unwrap();
                self.took(count, Fate::Lost, 256);
            }
            Operation::Doubt(count) => {
                let (to, since) = (Some(Seq(next + count - 1)), 1);
                let hole = Uncertain { session, region, stream, from, to, since };
                self.client.receive(Message::Uncertain(hole).frames(vec![]), self.now).unwrap();
                self.took(count, Fate::Uncertain, 256);
            }
            Operation::Dead(n) => {
                let may: Vec<u64> = (self.done + 1..=self.taken())
                    .filter(|seq| matches!(self.fates[*seq as usize - 1], Fate::Taken | Fate::Dead))
                    .collect();
                if !may.is_empty() {
                    let seq = may[n % may.len()];
                    self.client.dead(REGION, STREAM, Seq(seq));
                    self.fates[seq as usize - 1] = Fate::Dead;
                }
            }
            Operation::Done(n) => {
                let seq = self.base + n % (self.taken() - self.base + 2);
                self.client.done(REGION, STREAM, Seq(seq));
                let seq = seq.min(self.taken());
                self.dirty |= seq > self.done;
                self.done = self.done.max(seq);
            }
            Operation::Ack => self.ack(),
            Operation::Welcome(n) => {
                let place = match self.acked.len() {
                    0 => self.base,
                    len => self.acked[n % len],
                };
                self.client.connected(self.now);
                self.welcome(place);
            }
        }
        self.flight.retain(|(last, _)| *last > self.done);
        let flight: u64 = self.flight.iter().map(|(_, cost)| cost).sum();
        assert_eq!(self.client.in_flight(), flight);
        assert_eq!(self.client.wait(self.now) == Some(ms(0)), self.dirty);
    }

    fn took(&mut self, count: u64, fate: Fate, cost: u64) {
        self.fates.extend((0..count).map(|_| fate));
        self.flight.push((self.taken(), cost));
    }

    fn ack(&mut self) {
        let due = self.client.due(self.now);
        if !self.dirty {
            assert_eq!(due, None);
            return;
        }
        let Some(Due::Send(Message::Ack(ack))) = due else { panic!("{due:?}") };
        let of = |fate: Fate| {
            let passed = &self.fates[self.base as usize..self.done as usize];
            passed.iter().filter(|it| **it == fate).count() as u64
        };
        let (region, stream, seq, open) = (REGION, STREAM, Seq(self.done), false);
        let (lost, dead, uncertain) = (of(Fate::Lost), of(Fate::Dead), of(Fate::Uncertain));
        let expected = AckCursor { region, stream, seq, lost, dead, uncertain, open };
        assert_eq!(ack.cursors, [expected]);
        self.dirty = false;
        self.acked.push(self.done);
    }

    /// HELLO and WELCOME, with all up to `place` stored.
    fn welcome(&mut self, place: u64) {
        self.session += 1;
        let Some(Due::Send(Message::Hello(hello))) = self.client.due(self.now) else {
            panic!("no HELLO is due")
        };
        let taken = self.taken();
        let bytes = self.flight.iter().map(|(_, cost)| cost).sum();
        let have = Have { region: REGION, stream: STREAM, seq: Seq(taken), bytes };
        assert_eq!(hello.have, if taken > 0 { vec![have] } else { vec![] });
        let books = [shelf(place, 1_000_000)];
        let mut sessions = Sessions::new(vec!["kafka".to_owned()]);
        let id = SessionId(self.session);
        let mut packets = let_in(&mut sessions, &peer(1), &hello, id, &books, self.now);
        give(&mut self.client, packets.remove(0), self.now).unwrap();
        self.base = place;
        self.acked.retain(|acked| *acked >= place);
        self.dirty = self.done > self.base;
    }
}

proptest! {
    #[test]
    fn in_any_order_a_client_acknowledges_what_a_list_says(
        operations in prop::collection::vec(operation(), 1..60),
    ) {
        let mut list = List::new();
        for operation in operations {
            list.run(operation);
        }
        list.client.done(REGION, STREAM, Seq(u64::MAX));
        list.dirty |= list.taken() > list.done;
        list.done = list.taken();
        list.ack();
    }
}

#[test]
fn a_ring_that_does_not_know_what_was_taken_is_another_one_and_all_is_forgotten() {
    for (last, taken) in [(20, 20), (19, 0)] {
        let (mut client, now) = subscriber();
        give(&mut client, batch(1, 13, 8, records(13, 8)), now).unwrap();
        client.connected(now);
        let Some(Due::Send(Message::Hello(hello))) = client.due(now) else { panic!("no HELLO") };
        assert_eq!(hello.have[0].seq, Seq(20));
        let mut sessions = Sessions::new(vec!["kafka".to_owned()]);
        let books = [shelf(0, last)];
        let mut packets = let_in(&mut sessions, &peer(1), &hello, SessionId(2), &books, now);
        give(&mut client, packets.remove(0), now).unwrap();
        client.connected(now);
        let Some(Due::Send(Message::Hello(hello))) = client.due(now) else { panic!("no HELLO") };
        assert_eq!(hello.have.first().map_or(0, |have| have.seq.0), taken);
    }
}

#[test]
fn books_that_the_caller_keeps_are_said_again_only_when_they_changed() {
    let settings = Settings { name: "kafka".to_owned(), window: 5000, from: None };
    let (mut client, now) = (Client::with_books_kept(settings), Instant::now());
    client.connected(now);
    welcome(&mut client, 1, 12, now);
    let stored = Place { acked: Seq(12), lost: 10, dead: 20, uncertain: 30, ..Place::default() };
    client.done_with(REGION, STREAM, stored);
    assert_eq!(client.due(now), None, "WELCOME said so");
    let say = |client: &mut Client, place: Place| {
        client.done_with(REGION, STREAM, place);
        match client.due(now) {
            Some(Due::Send(Message::Ack(ack))) => {
                let c = ack.cursors[0];
                Some((c.seq.0, [c.lost, c.dead, c.uncertain]))
            }
            None => None,
            other => panic!("{other:?}"),
        }
    };
    let one_more = Place { dead: 21, ..stored };
    assert_eq!(say(&mut client, one_more), Some((12, [0, 1, 0])));
    assert_eq!(say(&mut client, one_more), None);
    give(&mut client, batch(1, 13, 4, records(13, 4)), now).unwrap();
    let beyond = Place { acked: Seq(16), lost: 11, ..one_more };
    assert_eq!(say(&mut client, beyond), Some((16, [1, 1, 0])));
    // The publisher stored all of it, or nothing.
    for (acked, said) in [(12, true), (16, false)] {
        client.connected(now);
        let Some(Due::Send(Message::Hello(hello))) = client.due(now) else { panic!("no HELLO") };
        let mut sessions = Sessions::new(vec!["kafka".to_owned()]);
        let place = if said { stored } else { beyond };
        let books = [Shelf { streams: vec![(STREAM, Seq(99), place)], ..shelf(acked, 99) }];
        let mut packets = let_in(&mut sessions, &peer(1), &hello, SessionId(2), &books, now);
        give(&mut client, packets.remove(0), now).unwrap();
        let ack = client.due(now);
        assert_eq!(ack.is_some(), said, "{ack:?}");
        if let Some(Due::Send(Message::Ack(ack))) = ack {
            let c = ack.cursors[0];
            assert_eq!((c.seq.0, [c.lost, c.dead, c.uncertain]), (16, [1, 1, 0]));
        }
        assert_eq!(say(&mut client, beyond), None);
    }
}
