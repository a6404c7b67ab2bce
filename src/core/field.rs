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

use std::borrow::Cow;
use std::fmt;

use crate::escape::Shown;
use crate::id::EventId;
use crate::time::Millis;

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
        if std::str::from_utf8(bytes).is_ok() { DataKind::Text } else { DataKind::Bytes }
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

/// A field's name that stands for itself: in settings.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum FieldName {
    /// One that every event may have.
    Known(Field),
    /// A single cookie's (`cookie_<key>`), or a custom one.
    Named(Box<[u8]>),
}

/// A word that names no field, or a list that names one twice.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadField {
    /// Not `%name%`, nor a bare name.
    #[error(
        "\"{0}\" is not a field, it must be \"%name%\" with a name of 1 to 255 bytes of UTF-8 without control characters"
    )]
    Word(String),
    /// It could mean two.
    #[error(
        "\"{0}\" could mean two fields, it must be \"%time_stamp%\" (receipt) or \"%submitted_timestamp%\" (the client's)"
    )]
    Ambiguous(String),
    /// A field stands in the list already.
    #[error("\"%{0}%\" stands in the list twice, it must stand there once")]
    Twice(String),
    /// No field in the list.
    #[error("the list names no field, it must name at least one, like \"%topic%\"")]
    Empty,
}

impl FieldName {
    /// Reads `%name%` or a bare `name`; the other names of a parameter are read too.
    ///
    /// # Errors
    /// [`BadField::Word`] and [`BadField::Ambiguous`].
    pub fn parse(word: &[u8]) -> Result<FieldName, BadField> {
        let bad = || BadField::Word(Shown(word).to_string());
        let bare = match word {
            [b'%', name @ .., b'%'] => name,
            [b'%', ..] | [.., b'%'] => return Err(bad()),
            name => name,
        };
        if bare == b"timestamp" {
            return Err(BadField::Ambiguous(Shown(word).to_string()));
        }
        match Field::of_parameter(bare) {
            Some(field) => Ok(FieldName::Known(field)),
            None if is_name(bare) => Ok(FieldName::Named(bare.into())),
            None => Err(bad()),
        }
    }

    /// The same, borrowed.
    pub fn name(&self) -> Name<'_> {
        match self {
            FieldName::Known(field) => Name::Known(*field),
            FieldName::Named(name) => Name::Named(name),
        }
    }
}

impl fmt::Display for FieldName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name().fmt(f)
    }
}

impl From<Field> for FieldName {
    fn from(field: Field) -> FieldName {
        FieldName::Known(field)
    }
}

/// Whether a custom field may have this name: 1 to 255 bytes of UTF-8 without control characters.
pub fn is_name(name: &[u8]) -> bool {
    (1..=LONGEST_NAME).contains(&name.len())
        && !name.iter().any(u8::is_ascii_control)
        && std::str::from_utf8(name).is_ok()
}

/// The fields that somebody wants, in their order, each once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldList(Vec<FieldName>);

impl FieldList {
    /// Reads the words of a list.
    ///
    /// # Errors
    /// [`BadField`], naming the first word that is wrong.
    pub fn parse<W: AsRef<[u8]>>(
        words: impl IntoIterator<Item = W>,
    ) -> Result<FieldList, BadField> {
        let mut list: Vec<FieldName> = Vec::new();
        for word in words {
            let field = FieldName::parse(word.as_ref())?;
            if list.contains(&field) {
                return Err(BadField::Twice(field.to_string()));
            }
            list.push(field);
        }
        if list.is_empty() { Err(BadField::Empty) } else { Ok(FieldList(list)) }
    }

    /// `%version% %ip% %time_stamp% %level% %topic% %user-agent% %referrer% %cookie%`: what live renders by default.
    pub fn default_live() -> FieldList {
        let fields = [
            Field::Version,
            Field::Ip,
            Field::TimeStamp,
            Field::Level,
            Field::Topic,
            Field::UserAgent,
            Field::Referrer,
            Field::Cookie,
        ];
        FieldList(fields.into_iter().map(FieldName::Known).collect())
    }

    /// The fields, in order.
    pub fn iter(&self) -> impl Iterator<Item = &FieldName> {
        self.0.iter()
    }

    /// Whether it names this field.
    pub fn contains(&self, field: Field) -> bool {
        self.0.contains(&FieldName::Known(field))
    }

    /// Which values of a request's header it names.
    pub fn header_fields(&self) -> HeaderFields {
        let cookies = self.0.iter().filter_map(|field| match field {
            FieldName::Named(name) if name.len() > COOKIE.len() && name.starts_with(COOKIE) => {
                Some(name.clone())
            }
            _ => None,
        });
        HeaderFields {
            user_agent: self.contains(Field::UserAgent),
            referrer: self.contains(Field::Referrer),
            cookie: self.contains(Field::Cookie),
            cookies: cookies.collect(),
        }
    }
}

/// Which values of a request's header are stored. Parameters always are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderFields {
    /// `user-agent`.
    pub user_agent: bool,
    /// `referrer`.
    pub referrer: bool,
    /// `cookie`, the whole header.
    pub cookie: bool,
    /// The names `cookie_<key>` of single cookies.
    pub cookies: Vec<Box<[u8]>>,
}

/// An event's id as text, without an allocation.
#[derive(Clone, Copy, Debug)]
pub struct IdText {
    bytes: [u8; IdText::LONGEST],
    len: usize,
}

impl IdText {
    /// 32 digits of region, 5 of stream, 20 of seq, two `-`.
    const LONGEST: usize = 59;

    /// The text of an id.
    pub fn of(id: EventId) -> IdText {
        use std::io::Write;
        let mut bytes = [0; IdText::LONGEST];
        let mut rest = &mut bytes[..];
        // It is as long as the longest id: this cannot fail.
        let _ = write!(rest, "{id}");
        let len = IdText::LONGEST - rest.len();
        IdText { bytes, len }
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}
