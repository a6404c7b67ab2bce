//! An answer: status, headers and body -> what becomes of each event of the batch. No connections, no time.

use serde::Deserialize;
use std::time::Duration;

/// An event that the server refused for good, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The event as it was sent, its `id` included.
    pub event: String,
    /// The status that it got, or would have got alone.
    pub status: u16,
    /// What the server said, with the name of the field that is wrong, if it named one.
    pub error: String,
}

/// What becomes of one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Stored,
    Again,
    Refused { status: u16, error: String },
}

/// What came back for a batch.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// `Retry-After`, when it was a number of seconds.
    pub(crate) retry_after: Option<Duration>,
    /// Whether there was a `Sparkngin-Receipt`: then something of it is stored.
    pub(crate) receipt: bool,
    pub(crate) body: Vec<u8>,
}

/// What an answer means for a batch.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// One for each event of the batch.
    pub(crate) fates: Vec<Fate>,
    /// It was too much at once: half as much may be taken.
    pub(crate) too_much: bool,
    /// What was wrong with all or some of it, for people.
    pub(crate) trouble: Option<String>,
}

#[derive(Deserialize)]
struct Listed {
    index: usize,
    status: u16,
    #[serde(default)]
    error: String,
    #[serde(default)]
    field: Option<String>,
}

#[derive(Deserialize)]
struct Whole {
    #[serde(default)]
    error: String,
    #[serde(default)]
    field: Option<String>,
    errors: Option<Vec<Listed>>,
}

/// Whether a request that got this may get another answer later.
fn passes(status: u16) -> bool {
    status >= 500 || matches!(status, 408 | 425 | 429)
}

fn said(error: &str, field: Option<&str>) -> String {
    match field {
        Some(field) => format!("{error} ({field})"),
        None => error.to_owned(),
    }
}

impl Answer {
    /// What becomes of the `count` events that this answers.
    pub(crate) fn verdict(&self, count: usize) -> Verdict {
        let stored = || vec![Fate::Stored; count];
        let whole = serde_json::from_slice::<Whole>(&self.body).ok();
        let list = match self.status {
            207 => serde_json::from_slice::<Vec<Listed>>(&self.body).ok(),
            _ => None,
        };
        match (self.status, list, whole) {
            (207, Some(list), _) => self.one_by_one(stored(), list),
            // Of a list that cannot be read nobody knows what it says: sent again, what was stored is there twice.
            (207, None, _) => self.all(count, Fate::Again, "an answer 207 without a list"),
            (200..=299, ..) => Verdict { fates: stored(), too_much: false, trouble: None },
            // Stored, and late; a proxy's own 504 has no receipt, and nobody knows.
            (504, _, whole) if self.receipt => {
                self.one_by_one(stored(), whole.and_then(|whole| whole.errors).unwrap_or_default())
            }
            (_, _, Some(Whole { errors: Some(list), .. })) if list.len() == count => {
                self.one_by_one(stored(), list)
            }
            (413, ..) if count > 1 => {
                let text = format!("413: too much at once, {count} events");
                Verdict { fates: vec![Fate::Again; count], too_much: true, trouble: Some(text) }
            }
            (status, _, whole) => {
                let error = whole
                    .map(|whole| said(&whole.error, whole.field.as_deref()))
                    .unwrap_or_default();
                let fate = if passes(status) {
                    Fate::Again
                } else {
                    Fate::Refused { status, error: error.clone() }
                };
                self.all(count, fate, &error)
            }
        }
    }

    fn all(&self, count: usize, fate: Fate, why: &str) -> Verdict {
        let trouble = format!("{} {why}", self.status).trim_end().to_owned();
        Verdict { fates: vec![fate; count], too_much: false, trouble: Some(trouble) }
    }

    /// As the list says; what it does not name is as in `fates`.
    fn one_by_one(&self, mut fates: Vec<Fate>, list: Vec<Listed>) -> Verdict {
        let mut trouble = None;
        for Listed { index, status, error, field } in list {
            let Some(fate) = fates.get_mut(index) else { continue };
            let error = said(&error, field.as_deref());
            trouble.get_or_insert_with(|| format!("{status} {error}"));
            *fate = match status {
                200..=299 => Fate::Stored,
                status if passes(status) => Fate::Again,
                status => Fate::Refused { status, error },
            };
        }
        Verdict { fates, too_much: false, trouble }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(status: u16, receipt: bool, body: &str, count: usize) -> (String, bool) {
        let answer =
            Answer { status, receipt, body: body.as_bytes().to_vec(), ..Answer::default() };
        let verdict = answer.verdict(count);
        let letters = verdict.fates.iter().map(|fate| match fate {
            Fate::Stored => 's',
            Fate::Again => 'a',
            Fate::Refused { .. } => 'r',
        });
        (letters.collect(), verdict.too_much)
    }

    #[test]
    fn each_answer_has_its_meaning() {
        let none = r#"{"error":"no room","field":null,"errors":[{"index":0,"status":503,"error":"no room","field":null},
            {"index":1,"status":400,"error":"no topic","field":"topic"}]}"#;
        let late = r#"{"error":"late","field":null,"errors":[{"index":1,"status":400,"error":"bad","field":null}]}"#;
        let row = |status, receipt, body, count, fates: &str, too_much| {
            assert_eq!(
                verdict(status, receipt, body, count),
                (fates.to_owned(), too_much),
                "{status} {body}"
            );
        };
        row(204, false, "", 2, "ss", false);
        row(
            207,
            false,
            r#"[{"index":1,"status":400,"error":"x","field":"f"},{"index":2,"status":503,"error":"y"}]"#,
            4,
            "sras",
            false,
        );
        row(207, false, "<html>", 2, "aa", false);
        row(207, false, r#"[{"index":7,"status":400,"error":"x"}]"#, 2, "ss", false);
        row(503, false, none, 2, "ar", false);
        row(400, false, none, 2, "ar", false);
        row(503, false, "", 2, "aa", false);
        row(502, false, "<html>", 1, "a", false);
        row(429, false, "", 1, "a", false);
        row(504, true, late, 2, "sr", false);
        row(504, true, "", 2, "ss", false);
        row(504, false, "", 2, "aa", false);
        row(413, false, "<html>", 3, "aaa", true);
        row(413, false, "<html>", 1, "r", false);
        row(400, false, r#"{"error":"no topic","field":"topic"}"#, 1, "r", false);
        row(403, false, "", 2, "rr", false);
        row(301, false, "", 1, "r", false);
    }

    #[test]
    fn what_the_server_said_is_told() {
        let body = br#"[{"index":0,"status":400,"error":"cannot be","field":"ip"}]"#.to_vec();
        let verdict = Answer { status: 207, body, ..Answer::default() }.verdict(1);
        assert_eq!(verdict.fates, [Fate::Refused { status: 400, error: "cannot be (ip)".into() }]);
        assert_eq!(verdict.trouble.as_deref(), Some("400 cannot be (ip)"));
        assert_eq!(
            Answer { status: 503, ..Answer::default() }.verdict(1).trouble.as_deref(),
            Some("503")
        );
    }
}
