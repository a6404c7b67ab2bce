//! What a beat of `sparkngin heartbeat` looks like. Anybody can send one, so it can hide nothing: its payload is its own id,
//! it is in all books, and who takes events believes only so many a second to be beats.

use crate::field::{DataKind, Field, Value};
use crate::format::binary::{self, Part};

/// What a beat's id begins with.
pub const MARK: &str = "sparkngin-heartbeat-";
/// The most bytes of the id.
const MOST: usize = 128;
/// How many are believed in a second. Each `sparkngin heartbeat` sends one a second at most.
const A_SECOND: u32 = 10;

/// How many events of one stream are believed to be beats. Whoever sends them is not known: what there is more of is
/// traffic.
#[derive(Clone, Copy, Debug, Default)]
pub struct Believed {
    second: u64,
    count: u32,
}

impl Believed {
    /// Whether what looks like one, received at `received` (ns since 1970), is believed to be one.
    pub fn take(&mut self, received: u64) -> bool {
        let second = received / 1_000_000_000;
        if self.second != second {
            (self.second, self.count) = (second, 0);
        }
        self.count = self.count.saturating_add(1);
        self.count <= A_SECOND
    }
}

/// Whether an event as it lies in the ring looks like one. Fields come in the order of their ids, so of most events two or
/// three are looked at.
pub fn is_stored(bytes: &[u8]) -> bool {
    let Ok(parts) = binary::parts(bytes) else { return false };
    let mut own = None;
    for part in parts.map_while(Result::ok) {
        match part {
            (id, Part::Field(_, Value::Text(text))) if id == Field::Id.id() => own = Some(text),
            (_, Part::Field(_, Value::Data(kind, data))) if own.is_some() => {
                return own.is_some_and(|own| is_one(own, Some((kind, data))));
            }
            (id, _) if own.is_none() && (id == 0 || id > Field::Id.id()) => return false,
            _ => {}
        }
    }
    false
}

/// Whether an event with this id and payload is one.
pub(super) fn is_one(id: &[u8], data: Option<(DataKind, &[u8])>) -> bool {
    id.starts_with(MARK.as_bytes()) && id.len() <= MOST && data == Some((DataKind::Text, id))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::event::{Event, Intake, Request};
    use crate::field::HeaderFields;

    #[test]
    fn a_beat_says_its_id_and_nothing_else() {
        let long = format!("{MARK}{}", "x".repeat(MOST - MARK.len()));
        let longer = format!("{long}x");
        let text =
            |id: &str, data: &str| is_one(id.as_bytes(), Some((DataKind::Text, data.as_bytes())));
        assert!(text("sparkngin-heartbeat-1-2.", "sparkngin-heartbeat-1-2.") && text(&long, &long));
        assert!(!text(&longer, &longer), "an id can be long enough to say something");
        for (id, data) in [
            ("1", "1"),
            ("sparkngin-heartbeat-1", "more"),
            ("sparkngin-heartbeat", "sparkngin-heartbeat"),
        ] {
            assert!(!text(id, data), "{id} {data}");
        }
        let id = b"sparkngin-heartbeat-1";
        assert!(!is_one(id, None) && !is_one(id, Some((DataKind::Json, id))));
    }
    #[test]
    fn ten_a_second_are_believed() {
        let mut believed = Believed::default();
        let second = 1_000_000_000;
        let taken = |believed: &mut Believed, at| (0..30).filter(|_| believed.take(at)).count();
        assert_eq!(
            [7, 7 * second, 7 * second, 8 * second].map(|at| taken(&mut believed, at)),
            [10, 10, 0, 10]
        );
    }

    /// An event as it lies in the ring, and whether it is one.
    fn stored(query: &str) -> (Vec<u8>, bool) {
        let keep = HeaderFields::default();
        let request = Request { query: query.as_bytes(), peer: b"127.0.0.1", ..Request::default() };
        let intake = Intake { keep: &keep, max_event: 1 << 20, ..Intake::default() };
        let event = Event::read(&request, &intake).unwrap();
        let mut out = Vec::new();
        binary::encode(&event, &mut out);
        (out, event.is_heartbeat())
    }

    proptest! {
        #[test]
        fn what_is_stored_looks_as_it_looked_before(
            id in prop_oneof![Just(""), Just("&id=sparkngin-heartbeat-1-2."), Just("&id=1"), Just("&id=")],
            data in prop_oneof![Just(""), Just("&data=sparkngin-heartbeat-1-2."), Just("&data=1"), Just("&data=")],
            others in proptest::sample::subsequence(
                vec!["&ver=1", "&level=a", "&key=k", "&user-agent=b", "&cookie=c", "&own=x", "&env=e"], 0..=7),
        ) {
            let (bytes, is) = stored(&format!("topic=a{}{id}{data}", others.concat()));
            prop_assert_eq!(is_stored(&bytes), is);
            prop_assert_eq!(is, id.contains("heartbeat") && data.contains("heartbeat"));
            // However it is cut off, it is none.
            for end in 0..bytes.len() {
                prop_assert!(!is_stored(&bytes[..end]), "{end}");
            }
        }
    }
}
