//! What an event looks like outside: four formats, each with a choice of fields. docs/protocol.md describes them.
//!
//! [`binary`] is also what lies in the ring, and alone reads back.

pub mod binary;
mod envelope;
mod json;
mod plain;

use std::str::FromStr;

use crate::escape::Shown;
use crate::event::Event;
use crate::field::{Field, FieldList, FieldName, Name, Value};
use crate::id::EventId;

pub use plain::Delimiter;

/// How an event is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The values, joined by a delimiter.
    Plain,
    /// One JSON object.
    Json,
    /// Ids, lengths and bytes, as in the ring.
    Binary,
    /// A JSON object of header, fields and data.
    Envelope,
}

/// A word that is no format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not a format, it must be \"json\", \"plain\", \"binary\" or \"envelope\"")]
pub struct NotAFormat(String);

impl FromStr for Format {
    type Err = NotAFormat;

    fn from_str(word: &str) -> Result<Format, NotAFormat> {
        match word {
            "plain" => Ok(Format::Plain),
            "json" => Ok(Format::Json),
            "binary" => Ok(Format::Binary),
            "envelope" => Ok(Format::Envelope),
            _ => Err(NotAFormat(Shown(word.as_bytes()).to_string())),
        }
    }
}

/// Which fields are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fields {
    /// These, in their order.
    Listed(FieldList),
    /// All that the event has, in its own order. `sg` is none of them: it is the record's.
    All,
}

/// How somebody wants events written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendering {
    /// The format.
    pub format: Format,
    /// What joins the values in `plain`; the others do without.
    pub delimiter: Delimiter,
    /// The choice of fields.
    pub fields: Fields,
}

impl Rendering {
    /// Appends the event. `sg` is written from `id`.
    pub fn render(&self, event: &Event<'_>, id: EventId, out: &mut Vec<u8>) {
        let chosen = Chosen { event, fields: &self.fields, id };
        match self.format {
            Format::Plain => plain::write(&chosen, &self.delimiter, out),
            Format::Json => json::write(&chosen, out),
            Format::Envelope => envelope::write(&chosen, out),
            Format::Binary => match &self.fields {
                Fields::All => binary::encode(event, out),
                Fields::Listed(_) => binary::write(&chosen, out),
            },
        }
    }
}

/// An event seen through a choice of fields.
struct Chosen<'c, 'e> {
    event: &'c Event<'e>,
    fields: &'c Fields,
    id: EventId,
}

impl Chosen<'_, '_> {
    /// Shows each chosen field, in order; one that the event does not have has no value.
    fn each(&self, mut see: impl FnMut(Name<'_>, Option<Value<'_>>)) {
        match self.fields {
            Fields::All => self.event.each(|name, value| see(name, Some(value))),
            Fields::Listed(list) => {
                for field in list.iter() {
                    if *field == FieldName::Known(Field::Sg) {
                        see(field.name(), Some(Value::Text(self.id.text().bytes())));
                    } else {
                        see(field.name(), self.event.get(field));
                    }
                }
            }
        }
    }
}
