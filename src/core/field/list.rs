//! Names of fields in settings, and lists of them.

use std::fmt;

use super::{COOKIE, Field, LONGEST_NAME, Name};
use crate::escape::Shown;

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

    /// `%version% %ip% %time_stamp% %level% %topic% %user-agent% %referrer% %cookie% %data%`: what live renders by default.
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
            Field::Data,
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
