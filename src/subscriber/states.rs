//! `sparkngin status`: how one nginx or many are, a line each.

use std::time::Duration;

use serde_json::Value;

use crate::args::Status;
use crate::ask::Url;

/// Why it does not end well.
pub enum Ended {
    /// A URL is none.
    Wrong(String),
    /// So many are not well.
    Ill(String),
}

/// Asks each and prints its line.
///
/// # Errors
/// [`Ended`]: nobody was asked, or not all is well.
pub fn run(args: &Status) -> Result<(), Ended> {
    let read = |text: &String| match Url::read(text) {
        Ok(url) => Ok((text.clone(), url)),
        Err(why) => Err(Ended::Wrong(format!("{text}: {why}"))),
    };
    let urls: Vec<(String, Url)> = args.url.iter().map(read).collect::<Result<_, _>>()?;
    let mut ill = 0;
    for (text, url) in &urls {
        let (well, line) = match url.get("status", Duration::from_secs(args.timeout.max(1))) {
            Err(error) => (false, format!("does not answer: {error}")),
            Ok(answer) if answer.status == 403 => (false, "may not be asked from here".to_owned()),
            Ok(answer) => serde_json::from_str(&answer.body)
                .ok()
                .and_then(|s| line(&s))
                .unwrap_or((false, "what answers is not Sparkngin, or another version".to_owned())),
        };
        ill += usize::from(!well);
        println!("{text} {line}");
    }
    match ill {
        0 => Ok(()),
        ill => Err(Ended::Ill(format!("{ill} of {} not well", urls.len()))),
    }
}

/// The line of a `/status`, and whether all is well. None where a figure is missing.
fn line(status: &Value) -> Option<(bool, String)> {
    let wrong: Vec<&str> =
        status["wrong"].as_array()?.iter().map(Value::as_str).collect::<Option<_>>()?;
    let mut parts = vec![if wrong.is_empty() { "well".to_owned() } else { wrong.join(" ") }];
    let recent = &status["recent"];
    parts.push(match recent["taken_per_second"].as_f64() {
        Some(rate) => format!("in {rate:.1}/s"),
        None => "in unknown".to_owned(),
    });
    if let Some(blocks) = status["ring"]["blocks"].as_object() {
        let (total, free) = (blocks["total"].as_u64()?, blocks["free"].as_u64()?);
        parts.push(format!("ring {} %", total.checked_sub(free)? * 100 / total.max(1)));
    }
    for held in status["subscribers"].as_array()? {
        let (name, lag) = (held["name"].as_str()?, held["lag"].as_u64()?);
        let seconds = held["lag_ms"].as_u64().unwrap_or(0) as f64 / 1000.0;
        parts.push(format!("{name} behind {lag} events, {seconds:.1} s"));
    }
    for what in ["refused", "lost"] {
        parts.push(format!("{what} {}", recent[what].as_u64()?));
    }
    Some((wrong.is_empty(), parts.join("; ")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_line_has_what_is_wrong_first() {
        let mut status = json!({
            "wrong": [],
            "recent": { "taken_per_second": 12.34, "refused": 0, "lost": 0 },
            "ring": { "blocks": { "total": 64, "free": 48 } },
            "subscribers": [{ "name": "kafka", "lag": 3, "lag_ms": 1300 }],
        });
        let well = "well; in 12.3/s; ring 25 %; kafka behind 3 events, 1.3 s; refused 0; lost 0";
        assert_eq!(line(&status), Some((true, well.to_owned())));
        status["wrong"] = json!(["Nobody publishes."]);
        status["ring"] = Value::Null;
        let (ok, text) = line(&status).unwrap();
        assert!(!ok && text.starts_with("Nobody publishes.; in 12.3/s; kafka behind"), "{text}");
        assert_eq!(line(&json!({})), None);
    }
}
