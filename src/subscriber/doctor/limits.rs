//! Descriptors for the connections that nginx may have, and an end for workers that leave.

use std::fs;

use crate::args::doctor::Area;

use super::finding::Findings;
use super::nginx::Nginx;

const AREA: Area = Area::Limits;
/// `worker_connections`' default.
const CONNECTIONS: u64 = 512;
/// Descriptors that a worker has besides those of connections: logs, the ring, temporary files, and in one of them the
/// publisher's sockets.
const OTHERS: u64 = 128;

impl Nginx {
    /// The number of the master that runs, if it wrote it down.
    pub fn master(&self) -> Option<u32> {
        let word = self.conf.word("pid").or_else(|| self.option("pid-path"));
        let path = self.path(word.unwrap_or("logs/nginx.pid"));
        let pid = fs::read_to_string(path).ok()?.trim().parse().ok()?;
        fs::metadata(format!("/proc/{pid}")).is_ok().then_some(pid)
    }
}

/// Looks.
pub fn look(nginx: &Nginx, findings: &mut Findings) {
    let number = |name| nginx.conf.word(name).and_then(|word| word.parse::<u64>().ok());
    let connections = number("worker_connections").unwrap_or(CONNECTIONS);
    let (limit, whose) = match number("worker_rlimit_nofile") {
        Some(limit) => (Some(limit), "worker_rlimit_nofile"),
        None => (nginx.master().and_then(descriptors), "the limit that nginx was started with"),
    };
    match limit {
        Some(limit) if limit < connections + OTHERS => {
            let found = format!(
                "{whose} is {limit} descriptors, and worker_connections {connections} and {OTHERS} others need more: connections will be refused"
            );
            let enough = (connections + OTHERS) * 2;
            findings.warn(
                AREA,
                found,
                format!("set worker_rlimit_nofile {enough}, and restart nginx"),
            );
        }
        Some(limit) => {
            findings
                .ok(AREA, format!("{limit} descriptors do for {connections} connections a worker"));
        }
        None => {
            let found = "neither worker_rlimit_nofile nor a running nginx says how many descriptors a worker may have";
            findings.warn(AREA, found, "start nginx, or set worker_rlimit_nofile");
        }
    }
    match nginx.conf.word("worker_shutdown_timeout") {
        Some(time) => findings.ok(AREA, format!("workers that leave end after {time}")),
        None => {
            let found = "worker_shutdown_timeout is not set: after a reload one connection keeps an old worker, and its ring's file, for hours";
            findings.warn(AREA, found, "set worker_shutdown_timeout 1m in the main context");
        }
    }
}

/// How many descriptors a process may have.
fn descriptors(pid: u32) -> Option<u64> {
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    match line.split_whitespace().next()? {
        "unlimited" => Some(u64::MAX),
        number => number.parse().ok(),
    }
}
