//! The boundary: no panic of ours unwinds into nginx, where it would abort the worker.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::mem::forget;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, set_hook, take_hook};
use std::sync::Once;

use crate::log::{self, Level};

thread_local! {
    static INSIDE: Cell<bool> = const { Cell::new(false) };
    static WHERE: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Runs what a callback of nginx does. A panic becomes a line in error.log, and `fallen` the callback's value.
pub fn guard<T>(what: &'static str, fallen: T, run: impl FnOnce() -> T) -> T {
    hook();
    let outer = INSIDE.replace(true);
    let done = catch_unwind(AssertUnwindSafe(run));
    INSIDE.set(outer);
    match done {
        Ok(value) => value,
        Err(payload) => {
            let place = WHERE.with(RefCell::take);
            let why = reason(payload.as_ref());
            log::line(Level::Alert, format_args!("panic in {what} at {place}: {why}"));
            // Dropping it could panic again.
            forget(payload);
            fallen
        }
    }
}

/// What a panic said.
pub fn reason(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("no reason given")
}

/// Inside a callback the line goes to error.log, with its place; threads keep the usual hook, which writes to stderr.
fn hook() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = take_hook();
        set_hook(Box::new(move |info: &PanicHookInfo<'_>| match INSIDE.get() {
            true => {
                let place = info.location().map(ToString::to_string).unwrap_or_default();
                WHERE.with(|kept| kept.replace(place));
            }
            false => usual(info),
        }));
    });
}
