//! The crate log's records as events.

use crate::client::Client;
use crate::event::now_ms;
use crate::thread::in_thread;
use log::{LevelFilter, Log, Metadata, Record, SetLoggerError};
use serde::Serialize;

/// A logger for the crate log: each record is an event with `level` (`error` to `trace`), `timestamp` (ms), `target`,
/// `module`, `file`, `line` and `message`. It never waits; what the queue has no room for is in [`Counts`](crate::Counts).
///
/// ```no_run
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use sparkngin_client::{Client, Logger};
///
/// let client = Client::builder("http://127.0.0.1:8080/sn/log/program").build()?;
/// Logger::new(client.clone(), log::LevelFilter::Info).install()?;
/// log::warn!("three left");
/// client.close(std::time::Duration::from_secs(5))?; // a logger is never dropped
/// # Ok(())
/// # }
/// ```
pub struct Logger {
    client: Client,
    most: LevelFilter,
}

#[derive(Serialize)]
struct Line<'a> {
    level: &'a str,
    timestamp: u64,
    target: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    module: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u32>,
    message: String,
}

impl Logger {
    /// Sends records up to this level.
    #[must_use]
    pub fn new(client: Client, most: LevelFilter) -> Self {
        Self { client, most }
    }

    /// Makes it the program's logger.
    pub fn install(self) -> Result<(), SetLoggerError> {
        let most = self.most;
        log::set_boxed_logger(Box::new(self))?;
        log::set_max_level(most);
        Ok(())
    }
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= self.most && !in_thread()
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let line = Line {
            level: &record.level().as_str().to_ascii_lowercase(),
            timestamp: now_ms(),
            target: record.target(),
            module: record.module_path(),
            file: record.file(),
            line: record.line(),
            message: record.args().to_string(),
        };
        // A program must not fail because its log is full: it is counted.
        let _ = self.client.send(&line);
    }

    fn flush(&self) {
        self.client.flush_as_at_drop();
    }
}
