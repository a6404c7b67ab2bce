//! `sparkngin check`: a plugin for Nagios and its relatives. One line, exit code 0 to 3, performance data with units.

use std::time::Duration;

use serde_json::Value;

use crate::args::Check;
use crate::args::monitor::What;
use crate::ask::{Answer, Url};
use crate::figures::share_of_last_minute;
use crate::plugin::{Found, State, Thresholds, number};

impl What {
    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            What::Imok => "imok",
            What::Ring => "ring",
            What::Lag => "lag",
            What::Loss => "loss",
            What::Refused => "refused",
            What::Publisher => "publisher",
            What::Subscriber => "subscriber",
            What::Kafka => "kafka",
        }
    }
}

/// Looks, prints one line, gives the exit code.
pub fn run(args: &Check) -> u8 {
    let found = look(args).unwrap_or_else(|found| found);
    println!("{}", found.line(args.what.word()));
    found.state as u8
}

fn look(args: &Check) -> Result<Found, Found> {
    let url = args.url.as_deref().unwrap_or(match args.what {
        What::Kafka => "http://127.0.0.1:7010/",
        _ => "http://127.0.0.1/sn/",
    });
    let asked = Url::read(url).map_err(|why| Found::unknown(format!("--url {url}: {why}")))?;
    let limits = limits(args)?;
    let get = |name| {
        let patience = Duration::from_secs(args.timeout.max(1));
        let failed = |error| Found::new(State::Critical, format!("{url} does not answer: {error}"));
        asked.get(name, patience).map_err(failed)
    };
    match args.what {
        What::Imok => Ok(imok(&get("imok")?)),
        What::Kafka => kafka(&get("readyz")?, &get("metrics")?, &limits),
        what => {
            let answer = get("status")?;
            let status: Value = match answer.status {
                200 => serde_json::from_str(&answer.body).map_err(|_| not_status(url))?,
                403 => return Err(Found::unknown(format!("{url}status is not for this machine"))),
                _ => return Err(not_status(url)),
            };
            judge(what, &status, args.name.as_deref(), &limits).ok_or_else(|| not_status(url))
        }
    }
}

fn not_status(url: &str) -> Found {
    Found::unknown(format!("{url}status is not Sparkngin's, or of another version"))
}

/// What is asked for, or what is usual.
fn limits(args: &Check) -> Result<Thresholds, Found> {
    let (warning, critical) = match args.what {
        What::Ring => ("80", "95"),
        What::Lag => ("60", "600"),
        What::Loss => ("~:0", "~:0"),
        What::Refused => ("~:0", ""),
        What::Kafka => ("10", ""),
        What::Imok | What::Publisher | What::Subscriber => ("", ""),
    };
    let usual = (warning, critical);
    Thresholds::read((&args.warning, &args.critical), usual).map_err(Found::unknown)
}

fn imok(answer: &Answer) -> Found {
    let mut lines = answer.body.lines();
    let first = lines.next().unwrap_or_default();
    match (answer.status, first) {
        (200, "imok") => match lines.collect::<Vec<_>>().join("; ") {
            more if more.is_empty() => Found::new(State::Ok, "events are taken"),
            more => Found::new(State::Warning, format!("events are taken; {more}")),
        },
        (503, why) => Found::new(State::Critical, format!("events are refused: {why}")),
        _ => Found::unknown("what answers is not Sparkngin's imok"),
    }
}

fn kafka(ready: &Answer, metrics: &Answer, limits: &Thresholds) -> Result<Found, Found> {
    let why = ready.body.trim();
    match ready.status {
        200 => {}
        503 => return Ok(Found::new(State::Critical, format!("events do not get through: {why}"))),
        _ => return Err(Found::unknown("what answers is not a subscriber of Sparkngin")),
    }
    let late = share_of_last_minute(&metrics.body, "0.99");
    let Some(late) = late else { return Err(Found::unknown("the subscriber shows no latency")) };
    if !late.is_finite() {
        return Ok(Found::new(State::Ok, "ready; no event in the last minute"));
    }
    let mut found = Found::new(
        limits.judge(late),
        format!("ready; 99 % of the last minute's events took {late} s at most"),
    );
    found.numbers.push(number("p99", late, "s", limits, ""));
    Ok(found)
}

/// Judges the figures of `/status`. None where one is missing.
fn judge(what: What, status: &Value, name: Option<&str>, limits: &Thresholds) -> Option<Found> {
    match what {
        What::Ring => ring(status, limits),
        What::Lag => lag(status, name, limits),
        What::Loss => recent(status, "lost", limits),
        What::Refused => recent(status, "refused", limits),
        What::Publisher => {
            let publisher = &status["publisher"];
            let looked = publisher["last_turn_ms"].as_u64().map(|ms| ms as f64 / 1000.0);
            let there = publisher["present"].as_bool()? && looked.is_some_and(|s| s < 2.0);
            let (state, text) = match there {
                true => (State::Ok, "somebody publishes"),
                false => (State::Critical, "nobody publishes, error.log says why"),
            };
            let mut found = Found::new(state, text);
            found.numbers.extend(looked.map(|s| number("last look", s, "s", limits, "")));
            Some(found)
        }
        What::Subscriber => subscriber(status, name),
        What::Imok | What::Kafka => None,
    }
}

fn ring(status: &Value, limits: &Thresholds) -> Option<Found> {
    let blocks = match &status["ring"] {
        Value::Null => return Some(Found::new(State::Critical, "there is no ring")),
        ring => &ring["blocks"],
    };
    let (total, free) = (blocks["total"].as_u64()?, blocks["free"].as_u64()?);
    let used = total.checked_sub(free)?;
    let percent = (used as f64 / total.max(1) as f64 * 10_000.0).round() / 100.0;
    let text = format!("{percent} % full, {used} of {total} blocks");
    let mut found = Found::new(limits.judge(percent), text);
    found.numbers.push(number("ring", percent, "%", limits, "100"));
    Some(found)
}

/// The subscribers that are asked for.
fn named<'a>(status: &'a Value, name: Option<&str>) -> Option<Vec<(&'a str, &'a Value)>> {
    let all = status["subscribers"].as_array()?.iter();
    let all = all.map(|held| Some((held["name"].as_str()?, held)));
    let all: Vec<_> = all.collect::<Option<_>>()?;
    Some(all.into_iter().filter(|(own, _)| name.is_none_or(|name| name == *own)).collect())
}

fn nobody(name: Option<&str>) -> Found {
    match name {
        Some(name) => Found::unknown(format!("no subscriber is named {name}")),
        None => Found::unknown("no subscriber is configured"),
    }
}

fn lag(status: &Value, name: Option<&str>, limits: &Thresholds) -> Option<Found> {
    let named = named(status, name)?;
    let Some(first) = named.first() else { return Some(nobody(name)) };
    let seconds = |held: &Value| held["lag_ms"].as_u64().unwrap_or(0) as f64 / 1000.0;
    let worst = named.iter().max_by(|a, b| seconds(a.1).total_cmp(&seconds(b.1))).unwrap_or(first);
    let text = format!(
        "{} is {} s behind, {} events",
        worst.0,
        seconds(worst.1),
        worst.1["lag"].as_u64()?
    );
    let mut found = Found::new(limits.judge(seconds(worst.1)), text);
    for (own, held) in named {
        found.numbers.push(number(&format!("{own} lag"), seconds(held), "s", limits, ""));
        let events = held["lag"].as_u64()? as f64;
        found.numbers.push(number(
            &format!("{own} events"),
            events,
            "",
            &Thresholds::default(),
            "",
        ));
    }
    Some(found)
}

fn recent(status: &Value, key: &str, limits: &Thresholds) -> Option<Found> {
    let count = status["recent"][key].as_u64()?;
    let text = format!("{count} events {key} in the last ten minutes");
    let mut found = Found::new(limits.judge(count as f64), text);
    found.numbers.push(number(key, count as f64, "", limits, ""));
    Some(found)
}

fn subscriber(status: &Value, name: Option<&str>) -> Option<Found> {
    let named = named(status, name)?;
    if named.is_empty() {
        return Some(nobody(name));
    }
    let away: Vec<&str> = named
        .iter()
        .filter(|(_, held)| held["connected"].as_bool() != Some(true))
        .map(|(own, _)| *own)
        .collect();
    Some(match away.is_empty() {
        true => Found::new(State::Ok, format!("{} connected", named.len())),
        false => Found::new(State::Critical, format!("away: {}", away.join(", "))),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn limits(warning: &str, critical: &str) -> Thresholds {
        Thresholds::read((&None, &None), (warning, critical)).unwrap()
    }

    #[test]
    fn the_ring_is_judged_by_its_share() {
        let status = json!({ "ring": { "blocks": { "total": 64, "free": 8 } } });
        let found = ring(&status, &limits("80", "95")).unwrap();
        assert_eq!(
            (found.state, found.text.as_str()),
            (State::Warning, "87.5 % full, 56 of 64 blocks")
        );
        assert_eq!(found.numbers, ["'ring'=87.5%;80;95;0;100"]);
        assert_eq!(
            ring(&json!({ "ring": null }), &limits("80", "95")).unwrap().state,
            State::Critical
        );
    }

    #[test]
    fn the_subscriber_furthest_behind_decides_unless_one_is_named() {
        let held = |name: &str, ms: Value| json!({ "name": name, "lag_ms": ms, "lag": 3, "connected": false });
        let status = json!({ "subscribers": [held("a", json!(61_500)), held("b", Value::Null)] });
        let found = lag(&status, None, &limits("60", "600")).unwrap();
        assert_eq!(
            (found.state, found.text.as_str()),
            (State::Warning, "a is 61.5 s behind, 3 events")
        );
        assert_eq!(found.numbers[2], "'b lag'=0s;60;600;0;");
        assert_eq!(lag(&status, Some("b"), &limits("60", "600")).unwrap().state, State::Ok);
        assert_eq!(lag(&status, Some("c"), &limits("60", "600")).unwrap().state, State::Unknown);
        assert_eq!(subscriber(&status, None).unwrap().text, "away: a, b");
    }

    #[test]
    fn what_imok_says_is_told_in_one_line() {
        let said = |status, body: &str| imok(&Answer { status, body: body.to_owned() });
        assert_eq!(said(200, "imok\n").state, State::Ok);
        assert_eq!(said(200, "imok\naway: publisher\n").text, "events are taken; away: publisher");
        assert_eq!(said(503, "the ring is full\n").state, State::Critical);
        assert_eq!(said(200, "<html>").state, State::Unknown);
    }
}
