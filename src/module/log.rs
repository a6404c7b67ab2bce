//! Lines in error.log: one fact with its numbers, beginning with `sparkngin:`, and of what may come by the thousand at
//! most one line a second.

use std::fmt;
use std::ptr::NonNull;

use ngx::ffi::{
    NGX_LOG_ALERT, NGX_LOG_EMERG, NGX_LOG_ERR, NGX_LOG_INFO, NGX_LOG_NOTICE, NGX_LOG_WARN,
    ngx_current_msec, ngx_log_t, ngx_uint_t,
};

/// nginx's levels, as far as they are used here.
#[derive(Clone, Copy, Debug)]
#[repr(usize)]
pub enum Level {
    /// The configuration is not usable.
    Emerg = NGX_LOG_EMERG as usize,
    /// A defect of ours.
    Alert = NGX_LOG_ALERT as usize,
    /// Something is not done.
    Error = NGX_LOG_ERR as usize,
    /// Something needs to be looked at.
    Warn = NGX_LOG_WARN as usize,
    /// Something happened that happens seldom.
    Notice = NGX_LOG_NOTICE as usize,
    /// A client's fault.
    Info = NGX_LOG_INFO as usize,
}

impl From<sparkngin_publisher::Level> for Level {
    fn from(level: sparkngin_publisher::Level) -> Level {
        match level {
            sparkngin_publisher::Level::Error => Level::Error,
            sparkngin_publisher::Level::Warn => Level::Warn,
            sparkngin_publisher::Level::Info => Level::Info,
        }
    }
}

/// Writes a line to the log of the running cycle. Only from nginx's own thread: its log is not made for others.
pub fn line(level: Level, text: fmt::Arguments<'_>) {
    let log = ngx::log::ngx_cycle_log();
    // SAFETY: nginx keeps the running cycle's log for as long as the cycle runs.
    if level as ngx_uint_t <= unsafe { log.as_ref() }.log_level {
        write(level, log, &format!("sparkngin: {text}"));
    }
}

/// Writes a text as it is to a log that the caller holds.
pub fn write(level: Level, log: NonNull<ngx_log_t>, text: &str) {
    // SAFETY: the caller has the log from nginx in this very call; the text is passed with its length.
    unsafe { ngx::log::log_error(level as ngx_uint_t, log.as_ptr(), 0, text.as_bytes()) };
}

/// Milliseconds of nginx's clock, as of the beginning of this turn of its event loop.
pub fn now() -> u64 {
    // SAFETY: nginx writes it in this thread only, between two callbacks.
    unsafe { ngx_current_msec as u64 }
}

/// Facts of one kind, counted, and told at most once a second: the first at once, those that follow together.
#[derive(Default)]
pub struct Throttle {
    told: Option<u64>,
    pending: u64,
    first: String,
}

impl Throttle {
    /// Counts some, and tells if a line is due. `text` is asked for only of the first that no line has told.
    pub fn count(
        &mut self,
        level: Level,
        now: u64,
        what: &str,
        events: u64,
        text: impl FnOnce() -> String,
    ) {
        if self.pending == 0 {
            self.first = text();
        }
        self.pending += events;
        if self.due(now) {
            self.tell(level, now, what);
        }
    }

    /// Tells what has been counted since the last line, when that is a second ago.
    pub fn flush(&mut self, level: Level, now: u64, what: &str) {
        if self.pending > 0 && self.due(now) {
            self.tell(level, now, what);
        }
    }

    fn due(&self, now: u64) -> bool {
        self.told.is_none_or(|told| now.saturating_sub(told) >= 1000)
    }

    fn tell(&mut self, level: Level, now: u64, what: &str) {
        let plural = if self.pending == 1 { "" } else { "s" };
        line(level, format_args!("{} event{plural} {what}: {}", self.pending, self.first));
        self.told = Some(now);
        self.pending = 0;
    }
}
