//! What a person sees: a progress line on a terminal, log lines otherwise; each kind of trouble at most once a second.

use std::collections::HashMap;
use std::io::{self, Write};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::log::Form;
use crate::view::View;

/// Lines of one kind, at most one in this time.
const SELDOM: Duration = Duration::from_secs(1);
/// The progress line is written anew this often.
const PROGRESS: Duration = Duration::from_millis(500);
/// Without a terminal the books are logged this often.
const BOOKS: Duration = Duration::from_secs(60);

/// Keeps kinds of lines apart, and each one rare; what is left out is counted.
#[derive(Debug, Default)]
pub struct Seldom {
    kinds: HashMap<&'static str, (Instant, u64)>,
}

impl Seldom {
    /// Logs a warning, unless one of its kind was logged within the last second.
    pub fn warn(&mut self, now: Instant, kind: &'static str, text: impl FnOnce() -> String) {
        self.warn_once_in(SELDOM, now, kind, text);
    }

    /// Logs a warning, unless one of its kind was logged within this time.
    pub fn warn_once_in(
        &mut self,
        time: Duration,
        now: Instant,
        kind: &'static str,
        text: impl FnOnce() -> String,
    ) {
        let (last, left_out) = self.kinds.entry(kind).or_insert_with(|| (now - time, 0));
        if now.duration_since(*last) < time {
            *left_out += 1;
            return;
        }
        *last = now;
        match std::mem::take(left_out) {
            0 => tracing::warn!("{}", text()),
            more => tracing::warn!(more, "{}", text()),
        }
    }
}

/// The wall clock, ns since 1970.
pub fn clock() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos() as u64)
}

/// Shows how it goes.
#[derive(Debug)]
pub struct Progress {
    /// A line is written anew on a terminal; else the books are logged.
    terminal: bool,
    next: Instant,
    last: (Instant, u64),
}

impl Progress {
    /// Nothing was shown yet.
    pub fn new(form: &Form, now: Instant) -> Progress {
        let terminal = *form == Form::Terminal;
        let wait = if terminal { PROGRESS } else { BOOKS };
        Progress { terminal, next: now + wait, last: (now, 0) }
    }

    /// When there is something to show again.
    pub fn next(&self) -> Instant {
        self.next
    }

    /// Shows it, if it is time.
    pub fn show(&mut self, view: &View, now: Instant) {
        if now < self.next {
            return;
        }
        let totals = view.totals();
        let (since, before) = std::mem::replace(&mut self.last, (now, totals.delivered));
        let rate = (totals.delivered - before) as f64 / now.duration_since(since).as_secs_f64();
        let open = view.feeds.iter().filter(|feed| feed.in_session).count();
        if self.terminal {
            self.next = now + PROGRESS;
            let state =
                view.unready().map_or_else(|| "ready".to_owned(), |why| format!("waiting: {why}"));
            let mut line = format!(
                "\r\x1b[Kin Kafka {}  {rate:.0}/s  on the way {}  dead {}  lost {}  uncertain {}  feeds {open}/{}  {state}",
                totals.delivered,
                view.open,
                totals.dead,
                totals.lost,
                totals.uncertain,
                view.feeds.len(),
            );
            line.truncate(line.floor_char_boundary_at(200));
            let _ = io::stderr().write_all(line.as_bytes());
        } else {
            self.next = now + BOOKS;
            tracing::info!(
                in_kafka = totals.delivered,
                heartbeats = totals.delivered_heartbeats,
                per_second = rate.round() as u64,
                on_the_way = view.open,
                waiting = view.condition.waiting,
                dead = totals.dead,
                lost = totals.lost,
                uncertain = totals.uncertain,
                sent_again = view.condition.sent_again,
                feeds_open = open,
                "books"
            );
        }
    }

    /// Leaves the terminal's line as it is and begins a new one.
    pub fn end(&self) {
        if self.terminal {
            let _ = io::stderr().write_all(b"\n");
        }
    }
}

trait Cut {
    fn floor_char_boundary_at(&self, at: usize) -> usize;
}

impl Cut for String {
    fn floor_char_boundary_at(&self, at: usize) -> usize {
        (0..=at.min(self.len())).rev().find(|at| self.is_char_boundary(*at)).unwrap_or(0)
    }
}
