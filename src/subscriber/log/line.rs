//! A line of the log: how much it matters, its sentence, and its fields; as the journal and as syslog have it.

use std::fmt::{Debug, Write};

use sparkngin_core::time::Millis;
use tracing::field::{Field, Visit};
use tracing::{Event, Level};

use crate::report::clock;

/// syslog's facility of daemons.
const DAEMON: u8 = 3;
/// The name of the fields' list. RFC 5424 wants a number of the private enterprises' behind it; 32473 is the one that is kept
/// for who has none.
const FIELDS: &str = "fields@32473";
/// A message is cut here: what a syslog server takes at least is 2048, and usual ones take 8192.
const LONGEST: usize = 8000;
/// Bytes of a field's name, as RFC 5424 has it.
const LONGEST_NAME: usize = 32;

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// syslog's severity, 0 to 7.
    severity: u8,
    /// ns since 1970.
    at: u64,
    /// The sentence.
    text: String,
    /// Names and values.
    fields: Vec<(&'static str, String)>,
}

impl Line {
    /// What was logged, now.
    pub fn new(event: &Event<'_>) -> Line {
        let severity = match *event.metadata().level() {
            Level::ERROR => 3,
            Level::WARN => 4,
            Level::INFO => 6,
            _ => 7,
        };
        let mut line = Line { severity, at: clock(), text: String::new(), fields: Vec::new() };
        event.record(&mut line);
        line
    }

    /// A warning of the log's own.
    pub fn warning(text: String) -> Line {
        Line { severity: 4, at: clock(), text, fields: Vec::new() }
    }

    /// With its priority before it, as systemd reads it; the journal knows the time itself.
    pub fn journal(&self) -> String {
        let mut line = format!("<{}>{}", self.severity, one_line(&self.text));
        for (name, value) in &self.fields {
            // Writing to a String cannot fail.
            let _ = match value.contains([' ', '"', '=']) || value.is_empty() {
                true => write!(line, " {name}={:?}", one_line(value)),
                false => write!(line, " {name}={}", one_line(value)),
            };
        }
        line.push('\n');
        line
    }

    /// As RFC 5424 has it.
    pub fn syslog(&self, host: &str, process: u32) -> String {
        let mut time = Vec::new();
        Millis(self.at / 1_000_000).write_rfc3339(&mut time);
        let time = String::from_utf8_lossy(&time);
        let priority = DAEMON * 8 + self.severity;
        let mut line = format!("<{priority}>1 {time} {host} sparkngin {process} - ");
        match self.fields.is_empty() {
            true => line.push('-'),
            false => {
                line += &format!("[{FIELDS}");
                for (name, value) in &self.fields {
                    let name = &name[..name.len().min(LONGEST_NAME)];
                    let value = one_line(value);
                    let value =
                        value.replace('\\', "\\\\").replace('"', "\\\"").replace(']', "\\]");
                    let _ = write!(line, " {name}=\"{value}\"");
                }
                line.push(']');
            }
        }
        line.push(' ');
        line += &one_line(&self.text);
        let end = (0..=LONGEST.min(line.len())).rev().find(|at| line.is_char_boundary(*at));
        line.truncate(end.unwrap_or(0));
        line
    }
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => self.text.push_str(value),
            name => self.fields.push((name, value.to_owned())),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

/// The same without what would end it, or be taken for a command by who shows it.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str, fields: Vec<(&'static str, String)>) -> Line {
        Line { severity: 4, at: 1_393_671_600_500_000_000, text: text.to_owned(), fields }
    }

    #[test]
    fn it_is_written_as_rfc_5424_has_it_and_nothing_breaks_out() {
        let plain = line("Kafka is away", Vec::new());
        assert_eq!(
            plain.syslog("web1", 7),
            "<28>1 2014-03-01T11:00:00.500Z web1 sparkngin 7 - - Kafka is away"
        );
        let fields = vec![("feed", "a\"b]c\\d".to_owned()), ("more", "2".to_owned())];
        let odd = line("two\nlines", fields);
        assert_eq!(
            odd.syslog("web1", 7),
            "<28>1 2014-03-01T11:00:00.500Z web1 sparkngin 7 - [fields@32473 feed=\"a\\\"b\\]c\\\\d\" more=\"2\"] two lines"
        );
        assert_eq!(odd.journal(), "<4>two lines feed=\"a\\\"b]c\\\\d\" more=2\n");
    }

    #[test]
    fn a_long_one_is_cut_between_characters() {
        let long = line(&"ä".repeat(LONGEST), Vec::new()).syslog("h", 1);
        assert!(long.len() <= LONGEST && long.len() > LONGEST - 2 && long.ends_with('ä'));
    }
}
