//! What a beat of `sparkngin heartbeat` looks like. Anybody can send one, so it can hide nothing: its payload is its own id,
//! it is in all books, and who takes events believes only so many a second to be beats.

use crate::field::DataKind;

/// What a beat's id begins with.
pub const MARK: &str = "sparkngin-heartbeat-";
/// The most bytes of the id.
const MOST: usize = 128;

/// Whether an event with this id and payload is one.
pub(super) fn is_one(id: &[u8], data: Option<(DataKind, &[u8])>) -> bool {
    id.starts_with(MARK.as_bytes()) && id.len() <= MOST && data == Some((DataKind::Text, id))
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
