//! `sparkngin_topics`: which topics events may name. What a list keeps does not grow, whatever clients name.

use std::collections::HashSet;

use regex::bytes::Regex;
use sparkngin_core::event::is_topic;

use crate::args::{Args, ConfError};

/// A list of names and patterns.
#[derive(Debug, Default)]
pub struct Topics {
    names: HashSet<Box<[u8]>>,
    patterns: Vec<Regex>,
}

impl Topics {
    /// Reads the words of the directive; None for `off`: there is no list, all topics are taken.
    ///
    /// # Errors
    /// The first word that is neither the name of a topic nor `~` and a regex, or stands there twice.
    pub fn read(args: &Args<'_>) -> Result<Option<Topics>, ConfError> {
        if args.off()? {
            return Ok(None);
        }
        args.distinct()?;
        let mut topics = Topics::default();
        for word in args.words() {
            match word.strip_prefix(b"~") {
                Some(pattern) => topics.patterns.push(regex(args, word, pattern)?),
                None if is_topic(word) => drop(topics.names.insert(word.into())),
                None => return Err(args.invalid(word, "the name of a topic or \"~regex\"")),
            }
        }
        Ok(Some(topics))
    }

    /// Whether it has this topic.
    pub fn has(&self, topic: &[u8]) -> bool {
        self.names.contains(topic) || self.patterns.iter().any(|regex| regex.is_match(topic))
    }
}

/// Compiles a regex for the whole of a value. Matching takes time in proportion to the value, whatever the two are.
///
/// # Errors
/// What is wrong with it.
pub fn regex(args: &Args<'_>, word: &[u8], pattern: &[u8]) -> Result<Regex, ConfError> {
    let text = std::str::from_utf8(pattern).ok().filter(|text| !text.is_empty());
    let text = text.ok_or_else(|| args.invalid(word, "\"~\" and a regex of UTF-8"))?;
    Regex::new(&format!("^(?:{text})$")).map_err(|error| {
        // It draws the expression over several lines; the last one says what is wrong.
        let error = error.to_string();
        let why = error.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
        args.invalid(word, format!("a regex: {why}"))
    })
}
