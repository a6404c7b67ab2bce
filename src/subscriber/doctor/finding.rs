//! A finding: what was seen, how bad it is, and what to do.

use std::io::{self, Write};

use serde_json::{Value, json};

use crate::args::doctor::Area;

/// How bad it is; its number is the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// It is fine.
    Ok,
    /// It works, and will bite later.
    Warning,
    /// It does not work, or loses events.
    Error,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Finding {
    state: State,
    area: Area,
    found: String,
    /// What to do; nothing where all is fine.
    remedy: String,
}

/// All of them, in the order they were made in.
#[derive(Debug, Default)]
pub struct Findings(Vec<Finding>);

impl State {
    fn word(self) -> &'static str {
        match self {
            State::Ok => "ok",
            State::Warning => "warning",
            State::Error => "error",
        }
    }
}

/// An area, as it is typed.
fn word(area: Area) -> &'static str {
    match area {
        Area::Nginx => "nginx",
        Area::Directory => "directory",
        Area::Size => "size",
        Area::Doors => "doors",
        Area::Limits => "limits",
        Area::Subscriber => "subscriber",
        Area::Kafka => "kafka",
        Area::Clock => "clock",
    }
}

impl Findings {
    /// Something is fine.
    pub fn ok(&mut self, area: Area, found: impl Into<String>) {
        self.add(State::Ok, area, found.into(), String::new());
    }

    /// Something will bite later.
    pub fn warn(&mut self, area: Area, found: impl Into<String>, remedy: impl Into<String>) {
        self.add(State::Warning, area, found.into(), remedy.into());
    }

    /// Something does not work.
    pub fn error(&mut self, area: Area, found: impl Into<String>, remedy: impl Into<String>) {
        self.add(State::Error, area, found.into(), remedy.into());
    }

    fn add(&mut self, state: State, area: Area, found: String, remedy: String) {
        // What comes from elsewhere must not end the line.
        let line = |text: String| text.split_whitespace().collect::<Vec<_>>().join(" ");
        self.0.push(Finding { state, area, found: line(found), remedy: line(remedy) });
    }

    /// The worst one.
    pub fn worst(&self) -> State {
        self.0.iter().map(|finding| finding.state).max().unwrap_or(State::Ok)
    }

    /// Writes them: a line each, what is fine first.
    ///
    /// # Errors
    /// What the system says of `out`.
    pub fn write(&self, out: &mut impl Write) -> io::Result<()> {
        for state in [State::Ok, State::Warning, State::Error] {
            for Finding { area, found, remedy, .. } in self.of(state) {
                let to_do = if remedy.is_empty() { "" } else { ". To do: " };
                writeln!(out, "{:<8} {:<10} {found}{to_do}{remedy}", state.word(), word(*area))?;
            }
        }
        let count = |state| self.of(state).count();
        writeln!(out, "{} warnings, {} errors", count(State::Warning), count(State::Error))
    }

    /// The same as one object.
    pub fn json(&self) -> Value {
        let finding = |finding: &Finding| {
            json!({
                "state": finding.state.word(),
                "area": word(finding.area),
                "found": finding.found,
                "remedy": Some(&finding.remedy).filter(|remedy| !remedy.is_empty()),
            })
        };
        let all: Vec<Value> = self.0.iter().map(finding).collect();
        json!({ "worst": self.worst().word(), "findings": all })
    }

    fn of(&self, state: State) -> impl Iterator<Item = &Finding> {
        self.0.iter().filter(move |finding| finding.state == state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_are_lines_with_the_worst_last_and_one_object() {
        let mut findings = Findings::default();
        assert_eq!(findings.worst(), State::Ok);
        findings.error(Area::Kafka, "nobody\nanswers", "start it");
        findings.ok(Area::Clock, "fine");
        let mut out = Vec::new();
        findings.write(&mut out).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "ok       clock      fine\nerror    kafka      nobody answers. To do: start it\n0 warnings, 1 errors\n"
        );
        let object = findings.json();
        assert_eq!(object["worst"], "error");
        assert_eq!(object["findings"][0]["remedy"], "start it");
        assert_eq!(object["findings"][1]["remedy"], Value::Null);
    }
}
