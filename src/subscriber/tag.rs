//! What librdkafka carries along with a message of a sender that lends: ticket, gate, and whether it reads the message here.
//!
//! Numbers of tickets that follow each other, through one gate, follow each other, too: so reports can be counted.

use crate::backlog::Ticket;
use crate::gate::GateNo;

/// The bit of a message that lies in a slab.
const LENT: usize = 1 << 47;
/// Where the gate begins.
const GATE: u32 = 48;

/// A message's tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag {
    /// Below 2^47: a century at 40,000 a second.
    pub ticket: Ticket,
    /// The gate that it passed.
    pub gate: Option<GateNo>,
    /// The value lies in a slab.
    pub lent: bool,
}

impl Tag {
    /// As a number.
    pub fn pack(self) -> usize {
        let gate = self.gate.map_or(u16::MAX, |gate| gate.0);
        usize::from(gate) << GATE | self.ticket as usize | if self.lent { LENT } else { 0 }
    }

    /// From its number.
    pub fn unpack(number: usize) -> Tag {
        let gate = Some((number >> GATE) as u16).filter(|gate| *gate != u16::MAX);
        let ticket = (number & (LENT - 1)) as Ticket;
        Tag { ticket, gate: gate.map(GateNo), lent: number & LENT != 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_gate_that_there_is_stands_for_none() {
        let mut gates = crate::gate::Gates::<()>::new(1);
        let all: Vec<_> = std::iter::from_fn(|| gates.add()).collect();
        assert_eq!(all.len(), usize::from(u16::MAX));
        for gate in all.last().copied().into_iter().map(Some).chain([None]) {
            let tag = Tag { ticket: 1, gate, lent: true };
            assert_eq!(Tag::unpack(tag.pack()), tag);
        }
    }

    #[test]
    fn a_tag_comes_back_from_its_number_and_the_next_ticket_is_one_more() {
        for gate in [None, Some(GateNo(0)), Some(GateNo(u16::MAX - 1))] {
            for lent in [false, true] {
                for ticket in [0, 1, (LENT - 2) as Ticket] {
                    let tag = Tag { ticket, gate, lent };
                    assert_eq!(Tag::unpack(tag.pack()), tag);
                    let next = Tag { ticket: ticket + 1, ..tag };
                    assert_eq!(next.pack(), tag.pack() + 1);
                }
            }
        }
    }
}
