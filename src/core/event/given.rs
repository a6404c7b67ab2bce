//! Fields of an event that the place gives, and not the client.

use crate::field::{Field, FieldName, is_name};

/// A field that the place gives.
#[derive(Clone, Copy, Debug)]
pub struct Given<'a> {
    /// One of those that [`may_be_given`].
    pub name: &'a FieldName,
    /// Its value; an empty one is none.
    pub value: &'a [u8],
    /// What it is.
    pub form: Form,
    /// Whose addresses it has.
    pub tells: Tells,
}

/// Whose addresses a value has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tells {
    /// It says where a client comes from, and nothing else: an address, or a list of them.
    Client,
    /// Addresses of clients may stand in it.
    #[default]
    Anything,
    /// None of a client's.
    Server,
}

/// What a field that is given holds. A value that is not of its form is a string.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// Text.
    #[default]
    String,
    /// A number as JSON has it.
    Number,
    /// Any JSON.
    Json,
}

/// Whether a place may give this field: custom ones, and known ones that hold any text.
pub fn may_be_given(name: &FieldName) -> bool {
    match name {
        FieldName::Named(name) => is_name(name) && **name != *b"data_base64",
        FieldName::Known(field) => !matches!(
            field,
            Field::Ip
                | Field::TimeStamp
                | Field::Submitted
                | Field::Topic
                | Field::Data
                | Field::Sg
        ),
    }
}
