//! How the ids' types are written in a header: regions and sessions as text, streams and seqs as numbers.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::id::{Seq, Stream};

/// A conversation's number, drawn by the publisher for each WELCOME; as text 16 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(pub u64);

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionId({self})")
    }
}

impl FromStr for SessionId {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<SessionId, &'static str> {
        let digits = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if text.len() != 16 || !text.bytes().all(digits) {
            return Err("not a session, it must be 16 hex digits");
        }
        u64::from_str_radix(text, 16).map(SessionId).map_err(|_| "not a session")
    }
}

/// A value as its text.
pub(super) mod text {
    use super::*;

    pub fn serialize<T: fmt::Display, S: Serializer>(value: &T, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(value)
    }

    pub fn deserialize<'de, T, D>(from: D) -> Result<T, D::Error>
    where
        T: FromStr<Err: fmt::Display>,
        D: Deserializer<'de>,
    {
        let text = std::borrow::Cow::<str>::deserialize(from)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A value as its text, or nothing.
pub(super) mod maybe_text {
    use super::*;

    pub fn serialize<S: Serializer>(value: &Option<SessionId>, to: S) -> Result<S::Ok, S::Error> {
        value.map(|v| v.to_string()).serialize(to)
    }

    pub fn deserialize<'de, D>(from: D) -> Result<Option<SessionId>, D::Error>
    where
        D: Deserializer<'de>,
    {
        let text = Option::<String>::deserialize(from)?;
        text.map(|t| t.parse().map_err(serde::de::Error::custom)).transpose()
    }
}

/// A stream or a seq as its number.
pub(super) mod number {
    use super::*;

    pub trait Number: Copy {
        type As: Serialize + for<'de> Deserialize<'de>;
        fn out(self) -> Self::As;
        fn back(number: Self::As) -> Self;
    }

    impl Number for Stream {
        type As = u16;
        fn out(self) -> u16 {
            self.0
        }
        fn back(number: u16) -> Stream {
            Stream(number)
        }
    }

    impl Number for Seq {
        type As = u64;
        fn out(self) -> u64 {
            self.0
        }
        fn back(number: u64) -> Seq {
            Seq(number)
        }
    }

    pub fn serialize<T: Number, S: Serializer>(value: &T, to: S) -> Result<S::Ok, S::Error> {
        value.out().serialize(to)
    }

    pub fn deserialize<'de, T: Number, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
        T::As::deserialize(from).map(T::back)
    }
}

/// A seq as its number, or null.
pub(super) mod maybe {
    use super::*;

    pub fn serialize<S: Serializer>(value: &Option<Seq>, to: S) -> Result<S::Ok, S::Error> {
        value.map(|v| v.0).serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Seq>, D::Error> {
        Ok(Option::<u64>::deserialize(from)?.map(Seq))
    }
}
