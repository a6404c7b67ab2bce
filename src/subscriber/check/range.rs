//! Thresholds as monitoring plugins write them: `[@][start:][end]`, `~` for no lower end. A value outside rings, with `@`
//! one inside.

use super::State;

/// A range.
#[derive(Clone, Debug, PartialEq)]
pub struct Range {
    text: String,
    start: f64,
    end: f64,
    inside: bool,
}

/// When to warn, and when it is critical.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Thresholds {
    /// Outside of it: WARNING.
    pub warning: Option<Range>,
    /// Outside of it: CRITICAL.
    pub critical: Option<Range>,
}

impl Range {
    /// Reads one.
    ///
    /// # Errors
    /// What it must be.
    pub fn read(text: &str) -> Result<Range, &'static str> {
        const MUST: &str = "it must be a range, as 10, 10:, ~:10, 10:20 or @10:20";
        let (inside, rest) = text.strip_prefix('@').map_or((false, text), |rest| (true, rest));
        let (start, end) = rest.split_once(':').unwrap_or(("0", rest));
        let number = |text: &str| {
            let number = text.parse::<f64>().map_err(|_| MUST)?;
            if number.is_finite() { Ok(number) } else { Err(MUST) }
        };
        let start = match start {
            "~" => f64::NEG_INFINITY,
            "" => 0.0,
            start => number(start)?,
        };
        let end = match end {
            "" if rest.contains(':') => f64::INFINITY,
            end => number(end)?,
        };
        if start > end {
            return Err("its start must not be above its end");
        }
        Ok(Range { text: text.to_owned(), start, end, inside })
    }

    fn rings(&self, value: f64) -> bool {
        (self.start..=self.end).contains(&value) == self.inside
    }
}

impl Thresholds {
    /// How it is with this value.
    pub fn judge(&self, value: f64) -> State {
        let rings = |range: &Option<Range>| range.as_ref().is_some_and(|range| range.rings(value));
        match (rings(&self.critical), rings(&self.warning)) {
            (true, _) => State::Critical,
            (false, true) => State::Warning,
            (false, false) => State::Ok,
        }
    }

    /// The range for WARNING, as it was written.
    pub fn warning_text(&self) -> &str {
        self.warning.as_ref().map_or("", |range| &range.text)
    }

    /// The range for CRITICAL, as it was written.
    pub fn critical_text(&self) -> &str {
        self.critical.as_ref().map_or("", |range| &range.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_ring_as_the_guidelines_have_it() {
        let rows: &[(&str, &[f64], &[f64])] = &[
            ("10", &[-1.0, 10.1], &[0.0, 10.0]),
            ("10:", &[9.9], &[10.0, 1e9]),
            ("~:10", &[10.1], &[-1e9, 10.0]),
            ("10:20", &[9.0, 21.0], &[10.0, 20.0]),
            ("@10:20", &[10.0, 20.0], &[9.0, 21.0]),
        ];
        for (text, ring, quiet) in rows {
            let range = Range::read(text).unwrap();
            assert!(ring.iter().all(|value| range.rings(*value)), "{text}");
            assert!(!quiet.iter().any(|value| range.rings(*value)), "{text}");
        }
        for none in ["", "x", "20:10", "1:2:3", "@", "NaN", "inf", ":x"] {
            assert!(Range::read(none).is_err(), "{none}");
        }
    }
}
