//! The fields of an event: their names, the numbers they have in the binary format, and lists of them.
//!
//! | id | name | parameter | holds |
//! |---|---|---|---|
//! | 1 | `version` | `version`, `ver` | text |
//! | 2 | `ip` | `ip` | an address; the peer's unless the parameter is given |
//! | 3 | `time_stamp` | none (ours) | receipt, ms since 1970 |
//! | 4 | `submitted_timestamp` | `submitted_timestamp`, `stimestamp`, `timestamp` | ms since 1970 |
//! | 5 | `level` | `level` | text |
//! | 6 | `type` | `type` | text |
//! | 7 | `topic` | `topic` | a Kafka topic's name |
//! | 8 | `env` | `env` | text |
//! | 9 | `key` | `key` | text |
//! | 10 | `id` | `id` | text: the client's own, for its repeats |
//! | 11 | `user-agent` | `user-agent` | text |
//! | 12 | `referrer` | `referrer` | text |
//! | 13 | `cookie` | `cookie` | text: the whole Cookie header |
//! | 0 | any other | itself | text; `cookie_<key>` is one cookie |
//! | 14 | `data` | `data`, `log` | the payload: JSON, text or bytes |
//! | 15 | `sg` | none (ours) | the event's id, known only once it is stored |

mod list;

use std::borrow::Cow;
use std::fmt;

use crate::escape::Shown;
use crate::time::Millis;
pub use list::{BadField, FieldList, FieldName, HeaderFields, is_name};

/// The most bytes that a field's name has.
pub const LONGEST_NAME: usize = 255;

/// What begins the name of a single cookie's field.
pub const COOKIE: &[u8] = b"cookie_";

/// A field that every event may have. Its number is its id in the binary format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[allow(missing_docs)] // The table at the head of this file says what each one is.
pub enum Field {
    Version = 1,
    Ip,
    TimeStamp,
    Submitted,
    Level,
    Type,
    Topic,
    Env,
    Key,
    Id,
    UserAgent,
    Referrer,
    Cookie,
    Data,
    Sg,
}

impl Field {
    /// All of them, in the order of their ids: the first is 1.
    pub const ALL: [Field; 15] = [
        Field::Version,
        Field::Ip,
        Field::TimeStamp,
        Field::Submitted,
        Field::Level,
        Field::Type,
        Field::Topic,
        Field::Env,
        Field::Key,
        Field::Id,
        Field::UserAgent,
        Field::Referrer,
        Field::Cookie,
        Field::Data,
        Field::Sg,
    ];

    /// Its id in the binary format.
    pub const fn id(self) -> u8 {
        self as u8
    }

    /// The field of an id.
    pub fn of_id(id: u8) -> Option<Field> {
        Field::ALL.get(usize::from(id).checked_sub(1)?).copied()
    }

    /// Its name in lists, in JSON and in messages.
    pub const fn name(self) -> &'static str {
        match self {
            Field::Version => "version",
            Field::Ip => "ip",
            Field::TimeStamp => "time_stamp",
            Field::Submitted => "submitted_timestamp",
            Field::Level => "level",
            Field::Type => "type",
            Field::Topic => "topic",
            Field::Env => "env",
            Field::Key => "key",
            Field::Id => "id",
            Field::UserAgent => "user-agent",
            Field::Referrer => "referrer",
            Field::Cookie => "cookie",
            Field::Data => "data",
            Field::Sg => "sg",
        }
    }

    /// The field that a parameter of this name sets: by its name, or by another name it has there. None: a custom one.
    pub fn of_parameter(name: &[u8]) -> Option<Field> {
        // By length first: a name is compared with two or three at most.
        match name.len() {
            2 => pick(name, &[(b"ip", Field::Ip), (b"id", Field::Id), (b"sg", Field::Sg)]),
            3 => pick(
                name,
                &[
                    (b"ver", Field::Version),
                    (b"env", Field::Env),
                    (b"log", Field::Data),
                    (b"key", Field::Key),
                ],
            ),
            4 => pick(name, &[(b"type", Field::Type), (b"data", Field::Data)]),
            5 => pick(name, &[(b"topic", Field::Topic), (b"level", Field::Level)]),
            6 => pick(name, &[(b"cookie", Field::Cookie)]),
            7 => pick(name, &[(b"version", Field::Version)]),
            8 => pick(name, &[(b"referrer", Field::Referrer)]),
            9 => pick(name, &[(b"timestamp", Field::Submitted)]),
            10 => pick(
                name,
                &[
                    (b"stimestamp", Field::Submitted),
                    (b"user-agent", Field::UserAgent),
                    (b"time_stamp", Field::TimeStamp),
                ],
            ),
            19 => pick(name, &[(b"submitted_timestamp", Field::Submitted)]),
            _ => None,
        }
    }
}

fn pick(name: &[u8], among: &[(&[u8], Field)]) -> Option<Field> {
    among.iter().find(|(known, _)| *known == name).map(|(_, field)| *field)
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What kind of bytes a payload is. Its number stands before them in the binary format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum DataKind {
    /// It came as a JSON body and was checked to be one.
    Json = 1,
    /// UTF-8.
    Text = 2,
    /// Anything else.
    Bytes = 3,
}

impl DataKind {
    /// Text when the bytes are UTF-8.
    pub fn of(bytes: &[u8]) -> DataKind {
        if bytes.is_ascii() || std::str::from_utf8(bytes).is_ok() {
            DataKind::Text
        } else {
            DataKind::Bytes
        }
    }

    /// The kind of a number.
    pub fn of_id(id: u8) -> Option<DataKind> {
        [DataKind::Json, DataKind::Text, DataKind::Bytes].into_iter().find(|kind| *kind as u8 == id)
    }

    /// `json`, `text` or `bytes`.
    pub const fn name(self) -> &'static str {
        match self {
            DataKind::Json => "json",
            DataKind::Text => "text",
            DataKind::Bytes => "bytes",
        }
    }
}

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'e> {
    /// Bytes as they came, decoded; as a rule UTF-8, but nobody promises.
    Text(&'e [u8]),
    /// A time, ms since 1970.
    Time(Millis),
    /// The payload.
    Data(DataKind, &'e [u8]),
}

impl<'e> Value<'e> {
    /// The value's bytes; of a time its decimal digits. Only a time allocates.
    pub fn bytes(self) -> Cow<'e, [u8]> {
        match self {
            Value::Text(bytes) | Value::Data(_, bytes) => Cow::Borrowed(bytes),
            Value::Time(millis) => {
                let mut digits = Vec::with_capacity(20);
                millis.write_decimal(&mut digits);
                Cow::Owned(digits)
            }
        }
    }
}

/// A field's name, borrowed from an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Name<'e> {
    /// One that every event may have.
    Known(Field),
    /// A single cookie's, or a custom one.
    Named(&'e [u8]),
}

impl<'e> Name<'e> {
    /// The name's bytes.
    pub fn bytes(self) -> &'e [u8] {
        match self {
            Name::Known(field) => field.name().as_bytes(),
            Name::Named(name) => name,
        }
    }
}

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Shown(self.bytes()).fmt(f)
    }
}
