//! Numbers as Prometheus reads them: its text format, version 0.0.4.
//!
//! ```text
//!   # HELP sparkngin_ring_blocks Blocks of the ring, by state.
//!   # TYPE sparkngin_ring_blocks gauge
//!   sparkngin_ring_blocks{ring="1",state="free"} 12
//! ```

use std::fmt::{Display, Write};

use crate::took::Spread;

/// What the answer's Content-Type is.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What a family's numbers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// They only rise, or begin anew; the name ends in `_total`.
    Counter,
    /// They rise and fall.
    Gauge,
    /// Counts up to rising bounds, each including those below.
    Histogram,
    /// Values that a share of the events did not exceed.
    Summary,
}

/// Families of numbers, one behind the other.
#[derive(Debug, Default)]
pub struct Exposition {
    text: String,
    name: &'static str,
}

/// A number's labels: name and value.
pub type Labels<'a> = [(&'a str, &'a str)];

impl Exposition {
    /// Begins a family; its rows follow.
    pub fn family(&mut self, name: &'static str, kind: Kind, help: &str) -> &mut Exposition {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
            Kind::Summary => "summary",
        };
        self.name = name;
        // Writing to a String does not fail.
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        self
    }

    /// A number of the family begun last.
    pub fn row(&mut self, labels: &Labels<'_>, value: impl Display) -> &mut Exposition {
        self.part("", labels, value)
    }

    /// The same, of the series with this ending: `_bucket`, `_sum`, `_count`.
    pub fn part(
        &mut self,
        ending: &str,
        labels: &Labels<'_>,
        value: impl Display,
    ) -> &mut Exposition {
        self.text.push_str(self.name);
        self.text.push_str(ending);
        for (n, (name, value)) in labels.iter().enumerate() {
            self.text.push(if n == 0 { '{' } else { ',' });
            self.text.push_str(name);
            self.text.push_str("=\"");
            for c in value.chars() {
                match c {
                    '\\' => self.text.push_str("\\\\"),
                    '"' => self.text.push_str("\\\""),
                    '\n' => self.text.push_str("\\n"),
                    c => self.text.push(c),
                }
            }
            self.text.push('"');
        }
        if !labels.is_empty() {
            self.text.push('}');
        }
        let _ = writeln!(self.text, " {value}");
        self
    }

    /// The numbers of a histogram of seconds, of the family begun last.
    pub fn histogram(&mut self, own: (&str, &str), spread: &Spread) -> &mut Exposition {
        for (bound, count) in spread.up_to() {
            let le = if bound.is_infinite() { "+Inf".to_owned() } else { bound.to_string() };
            self.part("_bucket", &[own, ("le", &le)], count);
        }
        self.part("_sum", &[own], spread.sum as f64 / 1e6).part("_count", &[own], spread.total())
    }

    /// A family of one number without labels.
    pub fn single(&mut self, name: &'static str, kind: Kind, help: &str, value: impl Display) {
        self.family(name, kind, help).row(&[], value);
    }

    /// All of it.
    pub fn finish(self) -> String {
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_has_its_head_once_and_labels_are_escaped() {
        let mut out = Exposition::default();
        out.family("a_total", Kind::Counter, "What it counts.")
            .row(&[("feed", "ipc://a\"b\\c\n")], 3)
            .row(&[("feed", "b"), ("why", "full")], 4);
        out.single("b_seconds", Kind::Gauge, "How long.", 0.25);
        out.family("c_seconds", Kind::Histogram, "Each.").part("_bucket", &[("le", "+Inf")], 1);
        assert_eq!(
            out.finish(),
            "# HELP a_total What it counts.\n# TYPE a_total counter\n\
             a_total{feed=\"ipc://a\\\"b\\\\c\\n\"} 3\na_total{feed=\"b\",why=\"full\"} 4\n\
             # HELP b_seconds How long.\n# TYPE b_seconds gauge\nb_seconds 0.25\n\
             # HELP c_seconds Each.\n# TYPE c_seconds histogram\nc_seconds_bucket{le=\"+Inf\"} 1\n"
        );
    }

    #[test]
    fn a_histogram_counts_up_to_each_bound_all_that_is_below() {
        let mut out = Exposition::default();
        let mut spread = Spread { sum: 1_500_000, ..Spread::default() };
        spread.add(2000, 3);
        spread.add(u64::MAX, 1);
        out.family("c_seconds", Kind::Histogram, "Each.").histogram(("a", "b"), &spread);
        let text = out.finish();
        assert_eq!(text.lines().count(), 2 + 22 + 2);
        for line in [
            "c_seconds_bucket{a=\"b\",le=\"0.001\"} 0",
            "c_seconds_bucket{a=\"b\",le=\"0.0025\"} 3",
            "c_seconds_bucket{a=\"b\",le=\"5000\"} 3",
            "c_seconds_bucket{a=\"b\",le=\"+Inf\"} 4",
            "c_seconds_sum{a=\"b\"} 1.5",
            "c_seconds_count{a=\"b\"} 4",
        ] {
            assert!(text.lines().any(|own| own == line), "{line}: {text}");
        }
    }
}
