//! What a plugin for Nagios and its relatives says: a state, a sentence, and numbers with units and bounds.

mod range;

use range::Range;

/// How it is, as Nagios counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum State {
    /// As it should be.
    Ok,
    /// Somebody should look.
    Warning,
    /// Somebody must look.
    Critical,
    /// It could not be found out.
    Unknown,
}

/// What was found: a sentence, and numbers behind it.
pub struct Found {
    /// How it is.
    pub state: State,
    /// In a sentence.
    pub text: String,
    /// Each as [`number`] writes it.
    pub numbers: Vec<String>,
}

/// When to warn, and when it is critical.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Thresholds {
    /// Outside of it: WARNING.
    warning: Option<Range>,
    /// Outside of it: CRITICAL.
    critical: Option<Range>,
}

/// A number with its name, its unit (`s`, `%`, `c` for one that only rises, or none), and its bounds.
pub fn number(name: &str, value: f64, unit: &str, limits: &Thresholds, most: &str) -> String {
    let text = |range: &Option<Range>| range.as_ref().map_or("", Range::text).to_owned();
    format!("'{name}'={value}{unit};{};{};0;{most}", text(&limits.warning), text(&limits.critical))
}

impl Found {
    /// Without numbers.
    pub fn new(state: State, text: impl Into<String>) -> Found {
        Found { state, text: text.into(), numbers: Vec::new() }
    }

    /// It could not be found out, and this is why.
    pub fn unknown(text: impl Into<String>) -> Found {
        Found::new(State::Unknown, text)
    }

    /// The line for what was looked at.
    pub fn line(&self, what: &str) -> String {
        let word = match self.state {
            State::Ok => "OK",
            State::Warning => "WARNING",
            State::Critical => "CRITICAL",
            State::Unknown => "UNKNOWN",
        };
        // What comes from elsewhere must neither end the line nor begin the numbers.
        let text = self.text.replace('|', "/").split_whitespace().collect::<Vec<_>>().join(" ");
        let mut line = format!("SPARKNGIN {} {word} - {text}", what.to_uppercase());
        if !self.numbers.is_empty() {
            line.push_str(" | ");
            line.push_str(&self.numbers.join(" "));
        }
        line
    }
}

impl Thresholds {
    /// What `-w` and `-c` say, or what is usual; nothing where both are empty.
    ///
    /// # Errors
    /// A sentence: which of them is no range.
    pub fn read(
        given: (&Option<String>, &Option<String>),
        usual: (&str, &str),
    ) -> Result<Thresholds, String> {
        let read = |flag, given: &Option<String>, usual: &str| {
            let text = given.as_deref().unwrap_or(usual);
            let wrong = |why| format!("{flag} {text}: {why}");
            if text.is_empty() { Ok(None) } else { Range::read(text).map(Some).map_err(wrong) }
        };
        Ok(Thresholds {
            warning: read("-w", given.0, usual.0)?,
            critical: read("-c", given.1, usual.1)?,
        })
    }

    /// How it is with this value.
    pub fn judge(&self, value: f64) -> State {
        let rings = |range: &Option<Range>| range.as_ref().is_some_and(|range| range.rings(value));
        match (rings(&self.critical), rings(&self.warning)) {
            (true, _) => State::Critical,
            (false, true) => State::Warning,
            (false, false) => State::Ok,
        }
    }
}
