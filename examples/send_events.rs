//! Sends so many events to a Sparkngin, and says what became of them.
//!
//! ```text
//! send_events ADDRESS COUNT [FIRST]        ADDRESS such as http://127.0.0.1:8080/sn/log/clicks
//! ```
//!
//! Each is `{"id":"NAME-n","n":n}`, n from FIRST (1) on. It waits where the queue is full, so none is dropped; the exit code is 1 if
//! one was refused, or not answered within a minute.

use serde_json::json;
use sparkngin_client::Client;
use std::process::ExitCode;
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);

fn run() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let (address, count, first) = match words.as_slice() {
        [address, count] => (address, count, "1"),
        [address, count, first] => (address, count, first.as_str()),
        _ => return Err("usage: send_events ADDRESS COUNT [FIRST]".into()),
    };
    let (count, first): (u64, u64) = (count.parse()?, first.parse()?);
    let client = Client::builder(address)
        .queue_events(1000)
        .batch_events(50)
        .on_refused(|refusal| {
            // In one piece: the other output goes on meanwhile.
            let line =
                format!("refused: {} {}: {}\n", refusal.status, refusal.error, refusal.event);
            eprint!("{line}");
        })
        .build()?;
    for n in first..first + count {
        client.send_within(&json!({"n": n}), MINUTE)?;
    }
    let closed = client.close(MINUTE);
    let counts = client.counts();
    println!(
        "{} stored, {} refused, {} dropped; {} sent again, {} requests",
        counts.stored, counts.refused, counts.dropped, counts.repeated, counts.requests
    );
    if let Some(trouble) = client.trouble() {
        println!("the last trouble: {trouble}");
    }
    closed?;
    Ok(if counts.refused == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn main() -> ExitCode {
    run().unwrap_or_else(|error| {
        eprintln!("send_events: {error}");
        ExitCode::FAILURE
    })
}
