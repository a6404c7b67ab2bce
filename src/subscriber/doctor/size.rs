//! The ring's size against the rate: for how long it lasts when nothing is acknowledged; and what is wrong just now.

use std::time::Duration;

use serde_json::Value;
use sparkngin_publisher::words::{bytes, duration, rate};

use crate::args::doctor::Area;

use super::finding::Findings;

const AREA: Area = Area::Size;
/// nginx takes a size in these.
const MIB: f64 = 1024.0 * 1024.0;

/// Looks at the figures of `/status`.
pub fn look(status: &Value, outage: Duration, findings: &mut Findings) {
    for wrong in status["wrong"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        let remedy = "docs/operations.md says what to do, `sparkngin check` watches it";
        findings.error(AREA, wrong.trim_end_matches('.'), remedy);
    }
    let (ring, recent) = (&status["ring"], &status["recent"]);
    let Some(size) = ring["bytes"].as_u64() else {
        findings.error(
            AREA,
            "there is no ring: events are refused",
            "/sn/imok and error.log say why",
        );
        return;
    };
    let size_shown = bytes(size);
    let (Some(lasts), Some(events)) =
        (recent["lasts_ms"].as_u64(), recent["taken_per_second"].as_f64())
    else {
        let found =
            format!("the ring has {size_shown}; at the rate of the last minute it never fills");
        findings.ok(AREA, found);
        return;
    };
    let outage_ms = outage.as_millis() as u64;
    let shown = duration(lasts * 1_000_000);
    if lasts >= outage_ms {
        let found =
            format!("the ring of {size_shown} lasts {shown} at the rate of the last minutes");
        findings.ok(AREA, found);
        return;
    }
    let wanted = duration(outage_ms * 1_000_000);
    let events = rate(events);
    let found = format!(
        "at {events} events/s the ring of {size_shown} lasts {shown} when nothing is acknowledged, and Kafka may be away for {wanted}"
    );
    let blocks = &ring["blocks"];
    let free = blocks["free"].as_u64().unwrap_or(0) * ring["block_bytes"].as_u64().unwrap_or(0);
    let remedy = match lasts {
        0 => "set a larger sparkngin_buf_size".to_owned(),
        _ => {
            let needed = free as f64 / lasts as f64 * outage_ms as f64;
            format!(
                "set sparkngin_buf_size {}m, or say by --outage what is meant",
                (needed / MIB).ceil()
            )
        }
    };
    findings.warn(AREA, found, remedy);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn said(lasts: Option<u64>, outage: u64) -> Value {
        let mut findings = Findings::default();
        let status = json!({
            "ring": { "bytes": 4 << 20, "block_bytes": 65536, "blocks": { "free": 32, "total": 64 } },
            "recent": { "lasts_ms": lasts, "taken_per_second": 1000.0 },
            "wrong": [],
        });
        look(&status, Duration::from_secs(outage), &mut findings);
        findings.json()["findings"][0].clone()
    }

    #[test]
    fn the_size_that_would_last_is_named() {
        assert_eq!(said(Some(60_000), 60)["state"], "ok");
        assert_eq!(said(None, 60)["state"], "ok");
        let short = said(Some(60_000), 600);
        assert_eq!(short["state"], "warning");
        assert_eq!(
            short["found"],
            "at 1,000 events/s the ring of 4 MiB lasts 1 min 0 s when nothing is acknowledged, and Kafka may be away for 10 min 0 s"
        );
        assert_eq!(short["remedy"], "set sparkngin_buf_size 20m, or say by --outage what is meant");
        assert_eq!(said(Some(0), 600)["remedy"], "set a larger sparkngin_buf_size");
    }

    #[test]
    fn what_is_wrong_now_and_a_missing_ring_are_errors() {
        let mut findings = Findings::default();
        let status = json!({ "ring": null, "recent": {}, "wrong": ["Nobody publishes: error.log says why."] });
        look(&status, Duration::from_secs(1), &mut findings);
        let all = findings.json();
        assert_eq!(all["findings"][0]["found"], "Nobody publishes: error.log says why");
        assert_eq!(all["findings"][1]["state"], "error");
    }
}
