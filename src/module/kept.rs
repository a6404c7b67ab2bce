//! What a request has stored: one event, or several in a row; and of several, which were not stored, and why.

use sparkngin_core::id::{EventId, Seq};

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

/// Events of a body that are not stored, in its order.
#[derive(Debug, Default)]
pub struct Faults {
    /// Objects of JSON, joined by commas.
    list: String,
    /// Of the first one: what is wrong, and with which field.
    first: Option<(String, Option<String>)>,
    count: u64,
    /// How many of them are too large, and for how many there was no room.
    large: u64,
    refused: u64,
}

impl Faults {
    /// The event at `index`, from 0, is not stored: the status that it would have got alone, why, and which field is at
    /// fault.
    pub fn add(&mut self, index: usize, status: u16, error: &str, field: Option<&str>) {
        if !self.list.is_empty() {
            self.list.push(',');
        }
        self.list.push_str(&format!("{{\"index\":{index},\"status\":{status},\"error\":"));
        quote(&mut self.list, error);
        self.list.push_str(",\"field\":");
        match field {
            Some(field) => quote(&mut self.list, field),
            None => self.list.push_str("null"),
        }
        self.list.push('}');
        self.first.get_or_insert_with(|| (error.to_owned(), field.map(str::to_owned)));
        self.count += 1;
        self.large += u64::from(status == 413);
        self.refused += u64::from(status == 503);
    }

    /// Whether every event is stored.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The list, as JSON.
    pub fn json(&self) -> String {
        format!("[{}]", self.list)
    }

    /// The status when nothing at all is stored: 503 where it is worth to try again.
    pub fn status(&self) -> u16 {
        match self.count {
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
        match self.count {
            1 => first.to_owned(),
            count => format!("{count} events of one body, the first: {first}"),
        }
    }
}
