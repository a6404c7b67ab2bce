//! A word of the command line: where it stood, what it says, and why it cannot be.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

/// Where a word stood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nowhere: nobody said anything.
    Default,
    /// On the command line, after this flag.
    Flag(Cow<'static, str>),
    /// In this variable of the environment.
    Environment(String),
    /// In a file.
    Line {
        /// Its path.
        file: String,
        /// From 1.
        line: usize,
        /// The key there.
        key: String,
    },
}

/// A value, and where it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given<T> {
    /// The value.
    pub value: T,
    /// Where the word stood.
    pub origin: Origin,
}

/// A word that cannot be: one sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{origin} {word:?}: {why}")]
pub struct Wrong {
    origin: Origin,
    word: String,
    why: String,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("the default"),
            Origin::Flag(flag) => f.write_str(flag),
            Origin::Environment(name) => f.write_str(name),
            Origin::Line { file, line, key } => write!(f, "{file}:{line}: {key}"),
        }
    }
}

impl Origin {
    /// On the command line, after this flag.
    pub fn flag(flag: &'static str) -> Origin {
        Origin::Flag(Cow::Borrowed(flag))
    }
}

impl Wrong {
    /// The same, where the word really stood: `find` is asked with the flag that has its meaning, and the word.
    pub fn located(self, find: impl FnOnce(&str, &str) -> Option<Origin>) -> Wrong {
        let found = match &self.origin {
            Origin::Flag(flag) => find(flag, &self.word),
            _ => None,
        };
        Wrong { origin: found.unwrap_or(self.origin), ..self }
    }

    /// What is wrong with the word after a flag.
    pub fn flag(flag: &'static str, word: &str, why: impl ToString) -> Wrong {
        Wrong { origin: Origin::flag(flag), word: word.to_owned(), why: why.to_string() }
    }
}

/// A word that may be missing, with its flag's name and its default.
pub struct Word<'a> {
    /// The word.
    pub text: &'a str,
    /// Where it stood.
    pub origin: Origin,
}

impl Word<'_> {
    /// It cannot be, and this is why.
    pub fn wrong(&self, why: impl ToString) -> Wrong {
        Wrong { origin: self.origin.clone(), word: self.text.to_owned(), why: why.to_string() }
    }

    /// Reads it.
    ///
    /// # Errors
    /// [`Wrong`], with what `read` says.
    pub fn read<T, E: ToString>(
        &self,
        read: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<T, Wrong> {
        read(self.text).map_err(|why| self.wrong(why))
    }
}

/// A word that may be missing.
pub fn word<'a>(given: &'a Option<String>, flag: &'static str, default: &'a str) -> Word<'a> {
    match given {
        Some(text) => Word { text, origin: Origin::flag(flag) },
        None => Word { text: default, origin: Origin::Default },
    }
}

/// Bytes, as nginx writes them: `8m`, `64k`, `1000`.
///
/// # Errors
/// What it must be.
pub fn size(text: &str) -> Result<u64, String> {
    let (digits, unit) = match text.char_indices().last() {
        Some((at, 'k' | 'K')) => (&text[..at], 1 << 10),
        Some((at, 'm' | 'M')) => (&text[..at], 1 << 20),
        _ => (text, 1),
    };
    let number: Option<u64> = digits.parse().ok();
    number
        .and_then(|n| n.checked_mul(unit))
        .ok_or_else(|| "it must be a size, such as 512k or 8m".to_owned())
}

/// A time, as nginx writes it: `500ms`, `5s`, `5m`, `1h`; a bare number is seconds.
///
/// # Errors
/// What it must be.
pub fn time(text: &str) -> Result<Duration, &'static str> {
    let at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: Option<u64> = text[..at].parse().ok();
    let unit = match &text[at..] {
        "ms" => Some(1),
        "s" | "" => Some(1_000),
        "m" => Some(60_000),
        "h" => Some(3_600_000),
        _ => None,
    };
    number
        .zip(unit)
        .and_then(|(number, unit)| number.checked_mul(unit))
        .filter(|ms| *ms <= 7 * 24 * 3_600_000)
        .map(Duration::from_millis)
        .ok_or("it must be a time of at most 7 days, such as 30s or 5m")
}
