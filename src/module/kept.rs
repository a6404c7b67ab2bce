//! What a request has stored: one event, or several in a row; and of several, which were not stored, and why.

use sparkngin_core::id::{EventId, Seq};
use sparkngin_core::ring::{Refusals, Why};

use crate::answer::quote;

/// Events that are stored. Their numbers rise by one, in the order of the body.
#[derive(Debug)]
pub struct Kept {
    /// The first one's name.
    pub first: EventId,
    /// How many, at least 1.
    pub count: u64,
    /// The others of the same body.
    pub faults: Faults,
}

impl Kept {
    /// The last one's number: what is as safe as that is safe for all of them.
    pub fn last(&self) -> Seq {
        Seq(self.first.seq.0 + self.count.saturating_sub(1))
    }
}

/// Events of a body that are not stored.
#[derive(Debug, Default)]
pub struct Faults {
    /// Objects of JSON, one behind the other.
    text: String,
    /// Of each: its place in the body, and where it ends in the text.
    ends: Vec<(usize, usize)>,
    /// Of the first one that is wrong: what, and with which field.
    first: Option<(String, Option<String>)>,
    /// How many are too large, and how many are for a topic that is not taken.
    large: u64,
    /// How many are good, and found no place; why, as error.log may know it.
    refused: u64,
    why: String,
    denied: u64,
}

impl Faults {
    /// The event at `index`, from 0, is not stored: the status that it would have got alone, why, and which field is at
    /// fault.
    pub fn add(&mut self, index: usize, status: u16, error: &str, field: Option<&str>) {
        self.list(index, status, error, field);
        self.first.get_or_insert_with(|| (error.to_owned(), field.map(str::to_owned)));
        self.large += u64::from(status == 413);
        self.denied += u64::from(status == 403);
    }

    /// The event at `index` is good, and found no place: 503, and why, as a client and as error.log may know it.
    pub fn refuse(&mut self, index: usize, error: &str, why: impl FnOnce() -> String) {
        self.list(index, 503, error, None);
        if self.refused == 0 {
            self.why = why();
        }
        self.refused += 1;
    }

    fn list(&mut self, index: usize, status: u16, error: &str, field: Option<&str>) {
        self.text.push_str(&format!("{{\"index\":{index},\"status\":{status},\"error\":"));
        quote(&mut self.text, error);
        self.text.push_str(",\"field\":");
        match field {
            Some(field) => quote(&mut self.text, field),
            None => self.text.push_str("null"),
        }
        self.text.push('}');
        self.ends.push((index, self.text.len()));
    }

    /// Whether every event is stored.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Counts them, those that found no place for this reason.
    pub fn add_to(&self, refusals: &mut Refusals, no_place: Why) {
        let known = self.large + self.denied + self.refused;
        refusals.add(Why::Large, self.large);
        refusals.add(Why::Denied, self.denied);
        refusals.add(no_place, self.refused);
        refusals.add(Why::Invalid, (self.ends.len() as u64).saturating_sub(known));
    }

    /// The list, as JSON, in the order of the body.
    pub fn json(&self) -> String {
        let mut start = 0;
        let cut = |&(index, end): &(usize, usize)| {
            let object = &self.text[start..end];
            start = end;
            (index, object)
        };
        let mut objects: Vec<(usize, &str)> = self.ends.iter().map(cut).collect();
        objects.sort_by_key(|(index, _)| *index);
        let objects: Vec<&str> = objects.into_iter().map(|(_, object)| object).collect();
        format!("[{}]", objects.join(","))
    }

    /// The status when nothing at all is stored: 503 where it is worth to try again.
    pub fn status(&self) -> u16 {
        match self.ends.len() as u64 {
            _ if self.refused > 0 => 503,
            count if self.large == count => 413,
            _ => 400,
        }
    }

    /// The field that the first one names.
    pub fn field(&self) -> Option<&str> {
        self.first.as_ref()?.1.as_deref()
    }

    /// What is wrong, in one sentence.
    pub fn sentence(&self) -> String {
        let first = self.first.as_ref().map_or("", |(error, _)| error);
        match self.ends.len() {
            1 => first.to_owned(),
            count => format!("{count} events of one body, the first: {first}"),
        }
    }

    /// How many are wrong, and what with the first of them.
    pub fn wrong(&self) -> Option<(u64, &str)> {
        let (error, _) = self.first.as_ref()?;
        Some((self.ends.len() as u64 - self.refused, error))
    }

    /// How many are good and found no place, and why.
    pub fn refused(&self) -> Option<(u64, &str)> {
        (self.refused > 0).then_some((self.refused, self.why.as_str()))
    }
}
