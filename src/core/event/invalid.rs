//! Why a request is no event.

use super::MOST_HEADERS;

/// What is wrong with a request, and what would be right. Nothing of it was stored.
///
/// What it shows of the client's bytes is printable ASCII, other bytes as `\xHH`, at most 64 of them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// A parameter's name or value has a `%` that two hex digits do not follow.
    #[error(
        "parameter \"{field}\" has a bad percent-encoding at byte {at} of the {part}, it must be \"%\" and two hex digits"
    )]
    Percent {
        /// The parameter, as it was sent.
        field: String,
        /// The place of the `%`, from 0 ...
        at: usize,
        /// ... in the query or the body.
        part: &'static str,
    },
    /// A parameter has a name that no field may have.
    #[error(
        "parameter \"{field}\" has a name that is no field's, it must be 1 to {limit} bytes of UTF-8 without control characters"
    )]
    Name {
        /// The name.
        field: String,
        /// The most bytes.
        limit: usize,
    },
    /// A parameter's value, or a key's, is too long.
    #[error("parameter \"{field}\" has {bytes} bytes, it must have {limit} at most")]
    TooLong {
        /// The name.
        field: String,
        /// What was sent, decoded.
        bytes: usize,
        /// The most.
        limit: usize,
    },
    /// A parameter would set what only the server sets.
    #[error("parameter \"{field}\" is the server's own, it must have another name")]
    Reserved {
        /// The name.
        field: &'static str,
    },
    /// There is no topic.
    #[error("there is no topic, the parameter \"topic\" must name one")]
    NoTopic,
    /// The topic is not one that Kafka takes.
    #[error(
        "topic \"{topic}\" is not the name of a topic, it must be 1 to 249 of a-z A-Z 0-9 . _ -, not \".\" or \"..\", and not start with \"__\""
    )]
    Topic {
        /// What was sent.
        topic: String,
    },
    /// The client's timestamp cannot be read.
    #[error(
        "{field} \"{value}\" cannot be read, it must be s, ms or us since 1970, or RFC 3339 from 1970 to 9999"
    )]
    Timestamp {
        /// The parameter, or the key: it has several names.
        field: String,
        /// What was sent.
        value: String,
    },
    /// The parameter `ip` is no address.
    #[error(
        "ip \"{value}\" is not an address, it must be IPv4 or IPv6 without port, prefix or zone"
    )]
    Address {
        /// What was sent.
        value: String,
    },
    /// There are two of a body and parameters `data` or `log`.
    #[error(
        "there are two payloads, it must be one: the body, or one parameter \"data\" (or \"log\")"
    )]
    TwoPayloads,
    /// The body is not what its type says.
    #[error(
        "the body is not the JSON that its type says, at line {line} column {column} there must be {must}"
    )]
    Json {
        /// The line, from 1.
        line: usize,
        /// The byte in it, from 1.
        column: usize,
        /// What would be right there.
        must: &'static str,
    },
    /// Arrays and objects of the body lie too deep in each other.
    #[error(
        "the JSON of the body is nested deeper than {limit} at line {line} column {column}, it must be {limit} at most"
    )]
    Depth {
        /// The line, from 1.
        line: usize,
        /// The byte in it, from 1.
        column: usize,
        /// The most.
        limit: usize,
    },
    /// There are too many parameters with different names that are no known field's.
    #[error("there are more than {limit} custom fields, it must be {limit} at most")]
    TooMany {
        /// The most.
        limit: usize,
    },
    /// A Kafka header has a name that none may have.
    #[error(
        "header \"Sparkngin-Header-{name}\" names no Kafka header, it must be 1 to 255 bytes, not \"sg\", and not start with \"sparkngin-\" or \"ce_\""
    )]
    Header {
        /// The name.
        name: String,
        /// The whole header's, as the answer names it.
        field: String,
    },
    /// A Kafka header says what only the body's own type may say.
    #[error(
        "header \"Sparkngin-Header-content-type\" says that the event is a CloudEvent, its Content-Type must say it"
    )]
    Claim,
    /// There are too many of them.
    #[error("there are more than {MOST_HEADERS} Kafka headers, it must be {MOST_HEADERS} at most")]
    TooManyHeaders,
    /// A form in parts is none.
    #[error("the body is not the form that its type says, {must}")]
    Multipart {
        /// What would be right.
        must: &'static str,
    },
    /// A field of a form is a file.
    #[error("\"{field}\" is a file, it must be a text field")]
    File {
        /// Its name.
        field: String,
    },
    /// An attribute of a CloudEvent is missing, or not what it must be.
    #[error("the CloudEvent's attribute \"{field}\" must {must}")]
    Cloud {
        /// Its name.
        field: String,
        /// What would be right.
        must: &'static str,
    },
    /// A body of several events has none.
    #[error("there is no event in the body, it must have one at least")]
    NoEvents,
    /// A body has too many events.
    #[error("the body has more than {limit} events, it must have {limit} at most")]
    TooManyEvents {
        /// The most.
        limit: usize,
    },
    /// The events of a body are too large together.
    #[error(
        "the events of the body have more than {limit} bytes as they would be stored, they must have {limit} at most together"
    )]
    AllTooLarge {
        /// The most.
        limit: usize,
    },
    /// A text of a JSON sequence ends where it may have been cut.
    #[error("the text may be cut off, it must end with a line feed")]
    CutText,
    /// The event is larger than the place takes.
    #[error("the event has {bytes} bytes as it would be stored, it must be {limit} at most")]
    TooLarge {
        /// Its binary form.
        bytes: usize,
        /// What was allowed.
        limit: usize,
    },
}

impl Invalid {
    /// The same of a text that begins behind so many lines of its body, and so many bytes of the next one.
    pub(super) fn behind(mut self, lines: usize, bytes: usize) -> Invalid {
        if let Invalid::Json { line, column, .. } | Invalid::Depth { line, column, .. } = &mut self
        {
            *column += if *line == 1 { bytes } else { 0 };
            *line += lines;
        }
        self
    }

    /// 413 for what is too large, 400 for all else.
    pub fn status(&self) -> u16 {
        match self {
            Invalid::TooLarge { .. }
            | Invalid::TooLong { .. }
            | Invalid::TooManyEvents { .. }
            | Invalid::AllTooLarge { .. } => 413,
            _ => 400,
        }
    }

    /// The field that is wrong, where it is one alone.
    pub fn field(&self) -> Option<&str> {
        match self {
            Invalid::Percent { field, .. }
            | Invalid::Name { field, .. }
            | Invalid::TooLong { field, .. }
            | Invalid::Timestamp { field, .. }
            | Invalid::File { field }
            | Invalid::Cloud { field, .. } => Some(field),
            Invalid::Reserved { field } => Some(field),
            Invalid::NoTopic | Invalid::Topic { .. } => Some("topic"),
            Invalid::Address { .. } => Some("ip"),
            Invalid::TwoPayloads
            | Invalid::Json { .. }
            | Invalid::Depth { .. }
            | Invalid::Multipart { .. }
            | Invalid::CutText => Some("data"),
            Invalid::Header { field, .. } => Some(field),
            Invalid::Claim => Some("Sparkngin-Header-content-type"),
            Invalid::TooMany { .. }
            | Invalid::TooManyHeaders
            | Invalid::TooLarge { .. }
            | Invalid::NoEvents
            | Invalid::AllTooLarge { .. }
            | Invalid::TooManyEvents { .. } => None,
        }
    }
}
