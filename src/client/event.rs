//! An event: what a program hands over -> one line of NDJSON that has an `id`.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// Why an event was not taken: nothing of it will be sent.
#[derive(Debug, thiserror::Error)]
pub enum Unsent {
    /// The queue has no room for it; it is counted as dropped.
    #[error("the queue is full: {events} events, {bytes} bytes")]
    Full {
        /// How many events are in the queue.
        events: usize,
        /// How long they are together, in bytes.
        bytes: usize,
    },
    /// The client was closed.
    #[error("the client is closed")]
    Closed,
    /// It is no JSON object.
    #[error("an event is a JSON object, this one begins with {0:?}")]
    NotAnObject(char),
    /// Its own `id` is no name: the server takes strings and numbers.
    #[error("an event's \"id\" is a string or a number, not {0}")]
    Id(String),
    /// It cannot be written as JSON.
    #[error("an event cannot be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
}

/// The one key that is looked at; the rest is the program's and the server's.
#[derive(Deserialize)]
struct Named<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
}

/// The event as a line without its end, with the `id` that `name` makes unless it has one.
pub(crate) fn line(
    event: &impl Serialize,
    name: impl FnOnce() -> String,
) -> Result<String, Unsent> {
    let mut text = serde_json::to_string(event)?;
    let first = text.chars().next().unwrap_or(' ');
    if first != '{' {
        return Err(Unsent::NotAnObject(first));
    }
    // Only between tokens can there be any, where a program embeds JSON as it is: a line has to be one.
    if text.contains(['\n', '\r']) {
        text = text.replace(['\n', '\r'], " ");
    }
    match serde_json::from_str::<Named<'_>>(&text)?.id {
        Some(id) if id.get().starts_with(|c: char| c == '"' || c == '-' || c.is_ascii_digit()) => {
            Ok(text)
        }
        Some(id) => Err(Unsent::Id(id.get().to_owned())),
        // `null` reads as none, but its key is there, and the first of a key counts.
        None => {
            let rest = text[1..].trim_start();
            let comma = if rest.starts_with('}') { "" } else { "," };
            Ok(format!("{{\"id\":\"{}\"{comma}{rest}", name()))
        }
    }
}

/// Milliseconds since 1970, as a `timestamp` has them.
#[cfg(any(feature = "log", feature = "tracing"))]
pub(crate) fn now_ms() -> u64 {
    let since =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn made(event: &impl Serialize) -> String {
        line(event, || "n-1".into()).unwrap()
    }

    #[test]
    fn an_event_without_an_id_gets_one_in_front() {
        assert_eq!(made(&json!({"level": "info"})), r#"{"id":"n-1","level":"info"}"#);
        assert_eq!(made(&json!({})), r#"{"id":"n-1"}"#);
        assert_eq!(made(&json!({"id": null})), r#"{"id":"n-1","id":null}"#);
        assert_eq!(made(&json!({"inner": {"id": 5}})), r#"{"id":"n-1","inner":{"id":5}}"#);
    }

    #[test]
    fn an_id_of_its_own_stays() {
        assert_eq!(made(&json!({"id": "mine"})), r#"{"id":"mine"}"#);
        assert_eq!(made(&json!({"id": -7})), r#"{"id":-7}"#);
    }

    #[test]
    fn what_has_no_name_or_is_no_object_is_told() {
        for (event, says) in [
            (json!({"id": ["a"]}), "an event's \"id\" is a string or a number, not [\"a\"]"),
            (json!({"id": true}), "an event's \"id\" is a string or a number, not true"),
            (json!(["a"]), "an event is a JSON object, this one begins with '['"),
            (json!("a"), "an event is a JSON object, this one begins with '\"'"),
        ] {
            assert_eq!(line(&event, || "n".into()).unwrap_err().to_string(), says);
        }
    }

    #[test]
    fn json_that_is_embedded_stays_on_its_line() {
        let raw = RawValue::from_string("{\n\"a\":\r\n\"b\\n\" }".into()).unwrap();
        assert_eq!(made(&raw), r#"{"id":"n-1","a":  "b\n" }"#);
    }
}
