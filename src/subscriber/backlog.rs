//! What was given to a producer, in order, until it is reported; and what to do when the producer fails.
//!
//! ```text
//!            fault, fatal                  all reported            rested
//!   Sending -------------> Collecting ----------------> Resting ----------> Sending (a new producer)
//! ```
//!
//! While collecting nothing is handed over. Then everything without a report of success goes out again, in order, from
//! the oldest. A broker refuses a whole batch for one bad record: so after a refusal each record up to the last refused
//! one travels in a batch of its own, and only what is refused there, alone, is poison. Pure: no producer, no clock.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::fault::{Blame, Fault};

/// A message's number: the producer's reports carry it.
pub type Ticket = u64;

/// The first pause before a new producer, when the last one brought nothing through; doubled up to [`LONGEST`].
const SHORTEST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(10);
/// The pause when something went through: enough that a refusal in every batch is no busy loop.
const BREATH: Duration = Duration::from_millis(10);

/// Messages with a fate that may stay behind one without.
const FEW: usize = 1024;

/// How records are put into batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Batching {
    /// As many as there are.
    Many,
    /// One record a batch.
    Single,
}

/// What is found when all reports are in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// This one was refused alone, for good.
    Poison(Ticket, String),
    /// This one's topic refuses it.
    Topic(Ticket, String),
}

/// What the owner has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Hand over what [`Backlog::next`] gives.
    Send,
    /// Purge the producer's queue and collect its reports.
    Collect,
    /// All reports are in: ask for [`Backlog::findings`].
    Judge,
    /// Nothing until then.
    Rest(Instant),
    /// Make a new producer that batches so, then [`Backlog::begin`].
    Replace(Batching),
}

#[derive(Debug)]
struct Entry<M> {
    ticket: Ticket,
    /// None once it is done: what it holds may be large.
    message: Option<M>,
    state: State,
    /// Since when the broker refuses it alone without saying that it is the record's fault.
    refused: Option<Instant>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Held,
    Out,
    /// Reported, in a transaction that is not committed yet.
    Inside,
    Done,
    Failed(Fault),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Sending,
    Collecting,
    Resting(Instant),
}

/// The messages, oldest first.
#[derive(Debug)]
pub struct Backlog<M> {
    /// Those with a fate are taken out by and by, wherever they stand: one without must not hold all behind it.
    entries: VecDeque<Entry<M>>,
    /// Of these, those with a fate.
    done: usize,
    /// The next message's ticket.
    end: Ticket,
    next: Ticket,
    out: usize,
    phase: Phase,
    /// One record a batch up to this ticket.
    single: Option<Ticket>,
    failures: u32,
    progress: bool,
    patience: Duration,
    again: u64,
    /// What is reported counts only when [`Backlog::commit`] says so.
    transactional: bool,
    /// Messages reported and not committed.
    inside: usize,
}

impl<M> Entry<M> {
    /// It has its fate. Its message, unless it had it before.
    fn finish(&mut self) -> Option<M> {
        self.state = State::Done;
        self.message.take()
    }
}

impl<M> Backlog<M> {
    /// An empty one. `patience`: how long a record that the broker refuses alone, for a reason that need not be the
    /// record's, is tried again.
    pub fn new(patience: Duration, transactional: bool) -> Backlog<M> {
        Backlog {
            transactional,
            inside: 0,
            entries: VecDeque::new(),
            done: 0,
            end: 0,
            next: 0,
            out: 0,
            phase: Phase::Sending,
            single: None,
            failures: 0,
            progress: false,
            patience,
            again: 0,
        }
    }

    /// Messages that were reported, in a transaction that is not committed.
    pub fn inside(&self) -> usize {
        self.inside
    }

    /// True if new messages may be pushed: everything older was handed over.
    pub fn has_room(&self) -> bool {
        self.phase == Phase::Sending && self.single.is_none() && self.next == self.end
    }

    /// Whether the producer is in use, and has not failed.
    pub fn is_sending(&self) -> bool {
        self.phase == Phase::Sending
    }

    /// Messages that the producer has and has not reported.
    pub fn out(&self) -> usize {
        self.out
    }

    /// Messages that were given to a producer more than once.
    pub fn again(&self) -> u64 {
        self.again
    }

    /// Puts a message behind all others.
    pub fn push(&mut self, message: M) -> Ticket {
        let ticket = self.end;
        self.entries.push_back(Entry {
            ticket,
            message: Some(message),
            state: State::Held,
            refused: None,
        });
        self.end += 1;
        ticket
    }

    /// What to do now.
    pub fn step(&mut self, now: Instant) -> Step {
        match self.phase {
            Phase::Collecting if self.out > 0 => Step::Collect,
            Phase::Collecting => Step::Judge,
            Phase::Resting(until) if now < until => Step::Rest(until),
            Phase::Resting(_) => Step::Replace(self.batching()),
            Phase::Sending if self.is_past() && self.out + self.inside == 0 => {
                Step::Replace(Batching::Many)
            }
            Phase::Sending => Step::Send,
        }
    }

    /// The message to hand over next, if there is one to be handed over now.
    pub fn next(&mut self) -> Option<(Ticket, &mut M)> {
        if self.phase != Phase::Sending || self.is_past() {
            return None;
        }
        let ticket = self.next;
        self.entry(ticket)?.message.as_mut().map(|message| (ticket, message))
    }

    /// The producer has the message that [`Backlog::next`] gave.
    pub fn handed(&mut self, ticket: Ticket) {
        if let Some(entry) = self.entry(ticket) {
            entry.state = State::Out;
            self.out += 1;
        }
        self.go_on();
    }

    /// The message that [`Backlog::next`] gave is not sent at all: the owner has other plans for it.
    pub fn withdraw(&mut self, ticket: Ticket) {
        if let Some(entry) = self.entry(ticket) {
            entry.finish();
            self.done += 1;
        }
        self.go_on();
        self.trim();
    }

    /// What has no fate yet, oldest first.
    pub fn open(&self) -> impl Iterator<Item = &M> {
        self.entries.iter().filter_map(|entry| entry.message.as_ref())
    }

    /// The same, to change them.
    pub fn open_mut(&mut self) -> impl Iterator<Item = &mut M> {
        self.entries.iter_mut().filter_map(|entry| entry.message.as_mut())
    }

    /// A message by its ticket.
    pub fn message(&mut self, ticket: Ticket) -> Option<&mut M> {
        self.entry(ticket)?.message.as_mut()
    }

    /// A report. After success the message is given to `settle` and forgotten; in a transaction it is kept.
    pub fn report(&mut self, ticket: Ticket, outcome: Result<(), Fault>, settle: impl FnMut(&M)) {
        let transactional = self.transactional;
        let Some(entry) = self.entry(ticket) else { return };
        if entry.state != State::Out {
            return;
        }
        match outcome {
            Ok(()) if transactional => {
                entry.state = State::Inside;
                self.inside += 1;
                self.out -= 1;
            }
            Ok(()) => {
                entry.finish().iter().for_each(settle);
                (self.progress, self.failures) = (true, 0);
                self.out -= 1;
                self.done += 1;
                self.trim();
            }
            Err(fault) => {
                entry.state = State::Failed(fault);
                self.out -= 1;
                self.fail();
            }
        }
    }

    /// The transaction is committed: all that is in it is given to `settle`, in order, and forgotten.
    pub fn commit(&mut self, mut settle: impl FnMut(&M)) {
        for entry in self.entries.iter_mut().filter(|entry| entry.state == State::Inside) {
            entry.finish().iter().for_each(&mut settle);
            self.done += 1;
            (self.progress, self.failures) = (true, 0);
        }
        self.inside = 0;
        self.trim();
    }

    /// The producer will bring nothing more through.
    pub fn fail(&mut self) {
        if self.phase == Phase::Sending {
            self.phase = Phase::Collecting;
        }
    }

    /// Judges the failures, when [`Step::Judge`] says so. What failed goes out again after a rest, unless the owner
    /// changes or withdraws it.
    pub fn findings(&mut self, now: Instant) -> Vec<Finding> {
        let alone = self.single.is_some();
        let mut found = Vec::new();
        let mut last_refused = None;
        for entry in &mut self.entries {
            let ticket = entry.ticket;
            if entry.state == State::Inside {
                // It went down with its transaction.
                self.again += 1;
                entry.state = State::Held;
            }
            let State::Failed(fault) = &entry.state else { continue };
            let poison = match fault.blame {
                Blame::Record => alone,
                Blame::Broker if alone => {
                    now.duration_since(*entry.refused.get_or_insert(now)) >= self.patience
                }
                _ => false,
            };
            if poison {
                found.push(Finding::Poison(ticket, fault.text.clone()));
            } else if fault.blame == Blame::Topic {
                found.push(Finding::Topic(ticket, fault.text.clone()));
            }
            if matches!(fault.blame, Blame::Record | Blame::Broker) {
                last_refused = Some(ticket);
            }
            self.again += 1;
            entry.state = State::Held;
        }
        let decided = found.iter().any(|f| matches!(f, Finding::Poison(..)));
        self.rest(now, decided);
        self.single = self.single.max(last_refused);
        self.inside = 0;
        self.next = 0;
        self.skip_done();
        found
    }

    /// The owner made the new producer, as [`Step::Replace`] said.
    pub fn begin(&mut self) {
        if self.phase == Phase::Sending {
            self.single = None;
        }
        self.phase = Phase::Sending;
        self.progress = false;
    }

    /// The owner could not make it: again after a pause that grows.
    pub fn not_renewed(&mut self, now: Instant) {
        self.progress = false;
        self.rest(now, false);
    }

    /// True if each record that had to travel alone did.
    fn is_past(&self) -> bool {
        self.single.is_some_and(|last| self.next > last)
    }

    /// How the producer should batch.
    pub fn batching(&self) -> Batching {
        if self.single.is_some() { Batching::Single } else { Batching::Many }
    }

    /// Producers in a row that brought nothing through.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    fn rest(&mut self, now: Instant, decided: bool) {
        let pause = if self.progress || decided {
            self.failures = 0;
            BREATH
        } else {
            self.failures += 1;
            LONGEST.min(SHORTEST * 2u32.pow(self.failures.min(8) - 1))
        };
        self.phase = Phase::Resting(now + pause);
    }

    fn entry(&mut self, ticket: Ticket) -> Option<&mut Entry<M>> {
        let at = self.position(ticket);
        self.entries.get_mut(at).filter(|entry| entry.ticket == ticket)
    }

    /// Where this ticket's entry is, or the first one behind it.
    fn position(&self, ticket: Ticket) -> usize {
        if ticket >= self.end {
            return self.entries.len();
        }
        // Where none was taken out, that is clear.
        let first = self.entries.front().map_or(self.end, |entry| entry.ticket);
        let at = ticket.saturating_sub(first) as usize;
        match self.entries.get(at) {
            Some(entry) if entry.ticket == ticket => at,
            _ => self.entries.partition_point(|entry| entry.ticket < ticket),
        }
    }

    fn go_on(&mut self) {
        self.next += 1;
        self.skip_done();
    }

    fn skip_done(&mut self) {
        let from = self.position(self.next);
        let open = self.entries.range(from..).find(|entry| entry.state != State::Done);
        self.next = open.map_or(self.end, |entry| entry.ticket);
    }

    fn trim(&mut self) {
        while self.entries.front().is_some_and(|entry| entry.state == State::Done) {
            self.entries.pop_front();
            self.done -= 1;
        }
        // More often would be a copy for each few: so each is moved once, about.
        if self.done > FEW && 2 * self.done > self.entries.len() {
            self.entries.retain(|entry| entry.state != State::Done);
            self.done = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(blame: Blame) -> Result<(), Fault> {
        Err(Fault { blame, text: "no".into() })
    }

    /// A backlog of `n` messages that are all with the producer.
    fn sent(n: u64) -> Backlog<u64> {
        let mut backlog = Backlog::new(Duration::from_secs(60), false);
        for message in 0..n {
            backlog.push(message);
        }
        send_all(&mut backlog);
        backlog
    }

    #[test]
    fn what_is_done_holds_nothing_although_one_before_it_is_not() {
        let held = std::rc::Rc::new(());
        for transactional in [false, true] {
            let mut backlog = Backlog::new(Duration::from_secs(60), transactional);
            (0..10).for_each(|n| assert_eq!(backlog.push(held.clone()), n));
            while let Some((ticket, _)) = backlog.next() {
                match ticket {
                    9 => backlog.withdraw(ticket),
                    _ => backlog.handed(ticket),
                }
            }
            (1..9).for_each(|ticket| backlog.report(ticket, Ok(()), |_| ()));
            backlog.commit(|_| ());
            assert_eq!((std::rc::Rc::strong_count(&held), backlog.open().count()), (2, 1));
        }
    }

    fn send_all(backlog: &mut Backlog<u64>) -> Vec<u64> {
        let mut sent = Vec::new();
        while let Some((ticket, message)) = backlog.next() {
            sent.push(*message);
            backlog.handed(ticket);
        }
        sent
    }

    fn judged(backlog: &mut Backlog<u64>, now: Instant) -> Vec<Finding> {
        assert_eq!(backlog.step(now), Step::Judge);
        backlog.findings(now)
    }

    fn renewed(backlog: &mut Backlog<u64>, now: Instant) -> Batching {
        let Step::Rest(until) = backlog.step(now) else { panic!("no rest") };
        let Step::Replace(batching) = backlog.step(until) else { panic!("no new producer") };
        backlog.begin();
        batching
    }

    #[test]
    fn messages_leave_when_they_are_reported_and_room_is_only_behind_all_of_them() {
        let mut backlog = sent(3);
        assert!(backlog.has_room());
        let mut seen = Vec::new();
        for ticket in [1, 0, 2] {
            backlog.report(ticket, Ok(()), |m| seen.push(*m));
        }
        assert_eq!((seen, backlog.entries.len()), (vec![1, 0, 2], 0));
        backlog.push(7);
        assert!(!backlog.has_room(), "the producer did not take it yet");
        backlog.report(3, Ok(()), |_| panic!("it is not out"));
    }

    #[test]
    fn one_without_a_fate_holds_none_of_those_behind_it() {
        let all = 10 * FEW as u64;
        let mut backlog = sent(all);
        let open = [0, all / 2];
        let mut settled = Vec::new();
        for ticket in (0..all).filter(|ticket| !open.contains(ticket)) {
            backlog.report(ticket, Ok(()), |m| settled.push(*m));
            assert!(backlog.entries.len() as u64 <= 2 * (all - ticket) + FEW as u64 + 2);
        }
        assert_eq!((settled.len() as u64, backlog.out()), (all - 2, 2));
        assert!(backlog.entries.len() <= FEW + 3);
        assert!(backlog.has_room());
        assert_eq!(backlog.push(all), all);
        assert_eq!(send_all(&mut backlog), [all]);
        for ticket in [0, all / 2, all] {
            backlog.report(ticket, fault(Blame::Circumstance), |_| panic!("it failed"));
        }
        assert_eq!(judged(&mut backlog, Instant::now()), []);
        renewed(&mut backlog, Instant::now());
        assert_eq!(send_all(&mut backlog), [0, all / 2, all], "in order");
        for ticket in [all, all / 2, 0] {
            backlog.report(ticket, Ok(()), |_| ());
        }
        assert_eq!((backlog.entries.len(), backlog.done), (0, 0));
    }

    #[test]
    fn a_failure_stops_sending_until_every_report_is_in_then_all_unreported_go_again_in_order() {
        let now = Instant::now();
        let mut backlog = sent(5);
        backlog.report(3, fault(Blame::Circumstance), |_| ());
        backlog.push(9);
        assert_eq!(backlog.next(), None);
        assert_eq!(backlog.step(now), Step::Collect);
        backlog.report(0, Ok(()), |_| ());
        backlog.report(2, Ok(()), |_| ());
        for ticket in [1, 4] {
            backlog.report(ticket, fault(Blame::Circumstance), |_| ());
        }
        assert_eq!(judged(&mut backlog, now), []);
        assert_eq!(renewed(&mut backlog, now), Batching::Many);
        assert_eq!(send_all(&mut backlog), [1, 3, 4, 9]);
    }

    #[test]
    fn only_what_is_refused_alone_is_poison_and_the_others_follow_in_order() {
        let now = Instant::now();
        let mut backlog = sent(6);
        backlog.report(0, Ok(()), |_| ());
        for ticket in 1..4 {
            backlog.report(ticket, fault(Blame::Record), |_| ());
        }
        for ticket in 4..6 {
            backlog.report(ticket, fault(Blame::Circumstance), |_| ());
        }
        assert_eq!(judged(&mut backlog, now), [], "three in one batch: nobody knows which");
        assert_eq!(renewed(&mut backlog, now), Batching::Single);
        assert_eq!(send_all(&mut backlog), [1, 2, 3], "and no further than the refused batch");
        backlog.report(1, Ok(()), |_| ());
        backlog.report(2, fault(Blame::Record), |_| ());
        backlog.report(3, fault(Blame::Circumstance), |_| ());
        assert_eq!(judged(&mut backlog, now), [Finding::Poison(2, "no".into())]);
        assert_eq!(renewed(&mut backlog, now), Batching::Single);
        let (ticket, _) = backlog.next().unwrap();
        assert_eq!(ticket, 2);
        backlog.withdraw(2);
        assert_eq!(send_all(&mut backlog), [3]);
        backlog.report(3, Ok(()), |_| ());
        assert_eq!(backlog.step(now), Step::Replace(Batching::Many), "past the batch, no pause");
        backlog.begin();
        assert_eq!(send_all(&mut backlog), [4, 5]);
        assert!(backlog.has_room());
    }

    #[test]
    fn a_refusal_of_unknown_cause_is_poison_only_after_its_patience_alone() {
        let start = Instant::now();
        let mut backlog = sent(1);
        let mut now = start;
        loop {
            backlog.report(0, fault(Blame::Broker), |_| ());
            let found = judged(&mut backlog, now);
            if !found.is_empty() {
                break;
            }
            let Step::Rest(until) = backlog.step(now) else { panic!() };
            now = until;
            assert!(matches!(backlog.step(now), Step::Replace(_)));
            backlog.begin();
            send_all(&mut backlog);
            assert!(now - start < Duration::from_secs(120), "never given up");
        }
        assert!(now - start >= Duration::from_secs(60));
    }

    #[test]
    fn pauses_grow_while_nothing_goes_through_and_end_when_something_does() {
        let now = Instant::now();
        let mut backlog = sent(2);
        let mut pauses = Vec::new();
        for _ in 0..9 {
            backlog.fail();
            backlog.report(0, fault(Blame::Circumstance), |_| ());
            backlog.report(1, fault(Blame::Circumstance), |_| ());
            judged(&mut backlog, now);
            let Step::Rest(until) = backlog.step(now) else { panic!() };
            pauses.push((until - now).as_millis());
            backlog.begin();
            send_all(&mut backlog);
        }
        assert_eq!(pauses, [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]);
        backlog.report(0, Ok(()), |_| ());
        backlog.report(1, fault(Blame::Circumstance), |_| ());
        judged(&mut backlog, now);
        assert_eq!(backlog.failures(), 0);
    }

    #[test]
    fn a_producer_that_cannot_be_made_is_tried_again_after_pauses_that_grow() {
        let now = Instant::now();
        let mut backlog = sent(1);
        backlog.report(0, fault(Blame::Circumstance), |_| ());
        judged(&mut backlog, now);
        let mut pauses = Vec::new();
        for _ in 0..3 {
            backlog.not_renewed(now);
            let Step::Rest(until) = backlog.step(now) else { panic!("busy") };
            pauses.push((until - now).as_millis());
            assert_eq!(backlog.step(until), Step::Replace(Batching::Many));
        }
        assert_eq!((pauses, backlog.failures()), (vec![200, 400, 800], 4));
    }

    #[test]
    fn single_batches_end_though_step_is_asked_twice_and_the_new_producer_comes_late() {
        let now = Instant::now();
        let mut backlog = sent(1);
        backlog.report(0, fault(Blame::Record), |_| ());
        judged(&mut backlog, now);
        assert_eq!(renewed(&mut backlog, now), Batching::Single);
        backlog.withdraw(0);
        assert_eq!(backlog.step(now), Step::Replace(Batching::Many));
        assert_eq!(backlog.step(now), Step::Replace(Batching::Many), "nobody made it yet");
        backlog.begin();
        assert_eq!(backlog.step(now), Step::Send);
    }

    #[test]
    fn a_topics_refusal_names_the_record_and_needs_no_single_batches() {
        let now = Instant::now();
        let mut backlog = sent(2);
        backlog.report(0, fault(Blame::Topic), |_| ());
        backlog.report(1, Ok(()), |_| ());
        assert_eq!(judged(&mut backlog, now), [Finding::Topic(0, "no".into())]);
        assert_eq!(renewed(&mut backlog, now), Batching::Many);
        backlog.withdraw(0);
        assert_eq!(backlog.entries.len(), 0);
    }

    /// The same in a transaction.
    fn sent_in_a_transaction(n: u64) -> Backlog<u64> {
        let mut backlog = Backlog { transactional: true, ..sent(0) };
        for message in 0..n {
            assert_eq!(backlog.push(message), message);
        }
        send_all(&mut backlog);
        backlog
    }

    #[test]
    fn what_a_transaction_brought_is_settled_in_order_when_it_is_committed() {
        let mut backlog = sent_in_a_transaction(3);
        for ticket in [1, 0] {
            backlog.report(ticket, Ok(()), |_| panic!("it is not committed"));
        }
        assert_eq!((backlog.inside(), backlog.out(), backlog.open().count()), (2, 1, 3));
        backlog.report(2, Ok(()), |_| panic!("it is not committed"));
        let mut settled = Vec::new();
        backlog.commit(|message| settled.push(*message));
        assert_eq!((settled, backlog.inside(), backlog.out()), (vec![0, 1, 2], 0, 0));
        assert_eq!(backlog.push(3), 3);
    }

    #[test]
    fn a_transaction_that_failed_goes_again_as_a_whole() {
        let now = Instant::now();
        let mut backlog = sent_in_a_transaction(3);
        assert!(backlog.is_sending());
        backlog.report(0, Ok(()), |_| ());
        backlog.report(1, fault(Blame::Circumstance), |_| ());
        backlog.report(2, fault(Blame::Circumstance), |_| ());
        assert!(!backlog.is_sending());
        assert_eq!(judged(&mut backlog, now), []);
        assert_eq!((backlog.again(), backlog.inside()), (3, 0));
        renewed(&mut backlog, now);
        assert_eq!(send_all(&mut backlog), [0, 1, 2]);
    }

    #[test]
    fn single_batches_last_until_all_that_was_sent_so_is_reported_and_committed() {
        let now = Instant::now();
        let mut backlog = sent_in_a_transaction(2);
        for ticket in 0..2 {
            backlog.report(ticket, fault(Blame::Record), |_| ());
        }
        judged(&mut backlog, now);
        assert_eq!(renewed(&mut backlog, now), Batching::Single);
        send_all(&mut backlog);
        for ticket in 0..2 {
            assert_eq!(backlog.step(now), Step::Send, "{ticket} are reported");
            backlog.report(ticket, Ok(()), |_| ());
        }
        assert_eq!(backlog.step(now), Step::Send);
        backlog.commit(|_| ());
        assert_eq!(backlog.step(now), Step::Replace(Batching::Many));
    }

    #[test]
    fn what_has_a_fate_is_not_open_any_more() {
        let mut backlog = sent(3);
        backlog.report(1, Ok(()), |_| ());
        backlog.open_mut().for_each(|message| *message += 10);
        assert_eq!(backlog.open().collect::<Vec<_>>(), [&10, &12]);
        assert_eq!(backlog.message(2), Some(&mut 12));
        assert_eq!(backlog.message(3), None);
    }

    #[test]
    fn what_was_refused_among_others_is_no_poison_however_short_its_patience() {
        let now = Instant::now();
        let mut backlog = Backlog { patience: Duration::ZERO, ..sent(1) };
        backlog.report(0, fault(Blame::Broker), |_| ());
        assert_eq!(judged(&mut backlog, now), []);
        renewed(&mut backlog, now);
        send_all(&mut backlog);
        backlog.report(0, fault(Blame::Broker), |_| ());
        assert_eq!(judged(&mut backlog, now), [Finding::Poison(0, "no".into())]);
    }
}
