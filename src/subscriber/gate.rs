//! Before each partition a gate: while a request to it is on its way, what comes after waits here, and goes together.
//!
//! An idempotent librdkafka makes no second request to a partition before the first is answered, and until then its thread
//! asks again and again whether it may: a core's worth of nothing. So it has no more than one request takes, as far as
//! that can be told from here. Pure: no producer, no clock.

use std::collections::VecDeque;

/// Messages that pass together; librdkafka's own limit of a batch (`batch.num.messages`).
const MESSAGES: usize = 10_000;

/// Messages for which a gate that nothing waits behind keeps room.
const KEPT: usize = 1024;

/// A gate's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GateNo(pub u16);

/// What became of a message that was let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It passed.
    Yes,
    /// It will not be taken.
    No,
    /// There is no room: it is the first again at the next release.
    Full,
}

/// One partition's.
#[derive(Debug)]
struct Gate<M> {
    /// Messages that passed and were not reported.
    out: usize,
    /// Messages and bytes that passed since none was out.
    passed: (usize, usize),
    /// The round in which the last one passed.
    round: u64,
    /// With the bytes of each.
    waiting: VecDeque<(usize, M)>,
}

/// All gates.
#[derive(Debug)]
pub struct Gates<M> {
    /// Bytes that pass together, at most; a single message may have more.
    most: usize,
    gates: Vec<Gate<M>>,
    /// Those that nobody uses.
    free: Vec<GateNo>,
    round: u64,
    /// Those behind which something waits that may pass, or may soon.
    open: VecDeque<GateNo>,
    waiting: usize,
    waiting_bytes: usize,
    out: usize,
}

impl<M> Gates<M> {
    /// None yet; `most` bytes are what one request takes.
    pub fn new(most: usize) -> Gates<M> {
        let (gates, free, open) = Default::default();
        Gates { most, gates, free, round: 0, open, waiting: 0, waiting_bytes: 0, out: 0 }
    }

    /// One that is used by nobody else, if there are not too many.
    pub fn add(&mut self) -> Option<GateNo> {
        if let Some(no) = self.free.pop() {
            return Some(no);
        }
        let number = GateNo(u16::try_from(self.gates.len()).ok().filter(|no| *no < u16::MAX)?);
        self.gates.push(Gate { out: 0, passed: (0, 0), round: 0, waiting: VecDeque::new() });
        Some(number)
    }

    /// Whether nothing waits behind it and nothing that passed is out: then it can be given back.
    pub fn is_idle(&self, no: GateNo) -> bool {
        self.gate(no).is_none_or(|gate| gate.out == 0 && gate.waiting.is_empty())
    }

    /// An idle one is used no more.
    pub fn give_back(&mut self, no: GateNo) {
        self.free.push(no);
    }

    /// What is handed over from here on is not in the same request as what was before.
    pub fn begin_round(&mut self) {
        self.round += 1;
    }

    /// Messages that wait, or passed and were not reported.
    pub fn held(&self) -> usize {
        self.waiting + self.out
    }

    /// Bytes of the messages that wait.
    pub fn waiting_bytes(&self) -> usize {
        self.waiting_bytes
    }

    /// Whether a message of so many bytes may pass now: nothing is on its way, or what is was handed over in this round
    /// and makes no request full. Those that wait come first.
    pub fn is_open(&self, no: GateNo, bytes: usize) -> bool {
        self.gate(no)
            .is_none_or(|gate| gate.waiting.is_empty() && gate.takes(self.round, self.most, bytes))
    }

    /// A message passed.
    pub fn passed(&mut self, no: GateNo, bytes: usize) {
        let round = self.round;
        let Some(gate) = self.gates.get_mut(usize::from(no.0)) else { return };
        if gate.out == 0 {
            gate.passed = (0, 0);
        }
        gate.out += 1;
        self.out += 1;
        gate.passed.0 += 1;
        gate.passed.1 += bytes;
        gate.round = round;
    }

    /// A message of so many bytes waits.
    pub fn wait(&mut self, no: GateNo, bytes: usize, message: M) {
        let Some(gate) = self.gates.get_mut(usize::from(no.0)) else { return };
        gate.waiting.push_back((bytes, message));
        self.waiting += 1;
        self.waiting_bytes += bytes;
    }

    /// So many messages that passed were reported.
    pub fn reported(&mut self, no: GateNo, count: usize) {
        let Some(gate) = self.gates.get_mut(usize::from(no.0)) else { return };
        gate.out = gate.out.saturating_sub(count);
        self.out = self.out.saturating_sub(count);
        if gate.out == 0 && !gate.waiting.is_empty() {
            self.open.push_back(no);
        }
    }

    /// Hands those that waited, and now may, to `hand`.
    pub fn release(&mut self, mut hand: impl FnMut(GateNo, &mut M) -> Taken) {
        for _ in 0..self.open.len() {
            let Some(no) = self.open.pop_front() else { return };
            while let Some(gate) = self.gates.get_mut(usize::from(no.0)) {
                let Some(bytes) = gate.waiting.front().map(|(bytes, _)| *bytes) else { break };
                if !gate.takes(self.round, self.most, bytes) {
                    break;
                }
                let Some((_, first)) = gate.waiting.front_mut() else { break };
                let taken = hand(no, first);
                if taken == Taken::Full {
                    self.open.push_back(no);
                    break;
                }
                gate.waiting.pop_front();
                self.waiting -= 1;
                self.waiting_bytes -= bytes;
                if gate.waiting.is_empty() && gate.waiting.capacity() > KEPT {
                    gate.waiting = VecDeque::new();
                }
                if taken == Taken::Yes {
                    self.passed(no, bytes);
                }
            }
        }
    }

    /// All that wait, who wait no longer.
    pub fn drain(&mut self) -> impl Iterator<Item = M> {
        self.open.clear();
        (self.waiting, self.waiting_bytes) = (0, 0);
        self.gates.iter_mut().flat_map(|gate| gate.waiting.drain(..).map(|(_, message)| message))
    }

    fn gate(&self, no: GateNo) -> Option<&Gate<M>> {
        self.gates.get(usize::from(no.0))
    }
}

impl<M> Gate<M> {
    fn takes(&self, round: u64, most: usize, bytes: usize) -> bool {
        let (messages, before) = self.passed;
        let fits = messages < MESSAGES && before.saturating_add(bytes) <= most;
        self.out == 0 || self.round == round && fits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: [u32; 0] = [];
    const BYTES: usize = 900_000;

    /// Sends what may pass, has the rest wait; what passed.
    fn send(
        gates: &mut Gates<u32>,
        no: GateNo,
        messages: std::ops::Range<u32>,
        bytes: usize,
    ) -> Vec<u32> {
        let mut passed = Vec::new();
        for message in messages {
            if gates.is_open(no, bytes) {
                gates.passed(no, bytes);
                passed.push(message);
            } else {
                gates.wait(no, bytes, message);
            }
        }
        passed
    }

    fn released(gates: &mut Gates<u32>) -> Vec<u32> {
        let mut passed = Vec::new();
        gates.begin_round();
        gates.release(|_, message| {
            passed.push(*message);
            Taken::Yes
        });
        passed
    }

    #[test]
    fn the_room_of_a_long_queue_is_given_back_when_nothing_waits() {
        let mut gates = Gates::new(BYTES);
        let no = gates.add().unwrap();
        gates.passed(no, 1);
        for message in 0..2 * KEPT as u32 {
            gates.wait(no, 1, message);
        }
        gates.reported(no, 1);
        assert_eq!(released(&mut gates).len(), 2 * KEPT);
        assert_eq!(gates.gates[0].waiting.capacity(), 0);
    }

    #[test]
    fn what_comes_while_a_request_is_on_its_way_waits_and_goes_together_in_order() {
        let mut gates = Gates::new(BYTES);
        let no = gates.add().unwrap();
        assert_eq!(send(&mut gates, no, 0..3, 10), [0, 1, 2], "one round, one request");
        gates.begin_round();
        assert_eq!(send(&mut gates, no, 3..5, 10), NONE);
        gates.reported(no, 2);
        assert_eq!(released(&mut gates), NONE, "one of the request is not reported");
        gates.reported(no, 1);
        assert_eq!(released(&mut gates), [3, 4]);
        assert_eq!(send(&mut gates, no, 5..6, 10), [5], "the same round");
        assert_eq!(gates.waiting, 0);
    }

    #[test]
    fn a_partition_waits_for_itself_alone() {
        let mut gates = Gates::new(BYTES);
        let (one, other) = (gates.add().unwrap(), gates.add().unwrap());
        send(&mut gates, one, 0..1, 10);
        gates.begin_round();
        assert_eq!(send(&mut gates, one, 1..2, 10), NONE);
        assert_eq!(send(&mut gates, other, 2..3, 10), [2]);
        gates.reported(one, 1);
        assert_eq!(released(&mut gates), [1]);
    }

    #[test]
    fn no_more_passes_than_one_request_takes_but_one_message_always_does() {
        let mut gates = Gates::new(BYTES);
        let (few, large) = (gates.add().unwrap(), gates.add().unwrap());
        let all = MESSAGES as u32 + 5;
        assert_eq!(send(&mut gates, few, 0..all, 1).len(), MESSAGES);
        assert_eq!(send(&mut gates, large, 0..3, 2 * BYTES), [0]);
        for (no, out) in [(few, MESSAGES), (large, 1)] {
            gates.reported(no, out);
        }
        let rest = released(&mut gates);
        let five: Vec<u32> = (all - 5..all).collect();
        assert_eq!(rest, [&five[..], &[1]].concat(), "each as much as one request takes");
        assert_eq!((gates.waiting, gates.waiting_bytes()), (1, 2 * BYTES));
    }

    #[test]
    fn what_waited_passes_as_far_as_one_request_takes_it() {
        let mut gates = Gates::new(BYTES);
        let no = gates.add().unwrap();
        send(&mut gates, no, 0..1, 1);
        gates.begin_round();
        send(&mut gates, no, 1..4, BYTES / 2);
        for (reported, passed) in [(1, &[1, 2][..]), (2, &[3])] {
            gates.reported(no, reported);
            assert_eq!(released(&mut gates), passed);
        }
    }

    #[test]
    fn a_gate_is_given_back_only_when_nobody_is_at_it() {
        let mut gates = Gates::new(BYTES);
        let no = gates.add().unwrap();
        assert!(gates.is_idle(no));
        send(&mut gates, no, 0..1, 1);
        assert!(!gates.is_idle(no));
        gates.reported(no, 1);
        assert!(gates.is_idle(no));
        gates.give_back(no);
        assert_eq!((gates.add(), gates.add()), (Some(no), Some(GateNo(1))));
    }

    #[test]
    fn who_finds_no_room_is_the_first_again_and_who_is_refused_holds_up_nobody() {
        let mut gates = Gates::new(BYTES);
        let no = gates.add().unwrap();
        send(&mut gates, no, 0..1, 1);
        gates.begin_round();
        send(&mut gates, no, 1..4, 1);
        gates.reported(no, 1);
        gates.release(|_, _| Taken::Full);
        let mut asked = Vec::new();
        gates.release(|_, message| {
            asked.push(*message);
            if *message == 1 { Taken::No } else { Taken::Yes }
        });
        assert_eq!((asked, gates.waiting), (vec![1, 2, 3], 0));
        gates.reported(no, 2);
        assert!(gates.is_open(no, 1));
    }

    #[test]
    fn who_is_drained_waits_no_longer() {
        let mut gates = Gates::new(BYTES);
        let no = gates.add().unwrap();
        send(&mut gates, no, 0..1, 1);
        gates.begin_round();
        send(&mut gates, no, 1..4, 1);
        assert_eq!(gates.drain().collect::<Vec<_>>(), [1, 2, 3]);
        gates.reported(no, 1);
        assert_eq!((released(&mut gates), gates.waiting), (vec![], 0));
    }
}
