//! Thresholds as monitoring plugins write them: `[@][start:][end]`, `~` for no lower end. A value outside rings, with `@`
//! one inside.

/// A range.
#[derive(Clone, Debug, PartialEq)]
pub struct Range {
    text: String,
    start: f64,
    end: f64,
    inside: bool,
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

    /// Whether a value rings.
    pub fn rings(&self, value: f64) -> bool {
        (self.start..=self.end).contains(&value) == self.inside
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
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
