//! `$sparkngin_id` and `$sparkngin_status`: what became of a request, for log_format.
//!
//! Before the event was tried, and in requests that were no events, neither has a value.

use std::ptr::NonNull;

use ngx::ffi::{
    NGX_ERROR, NGX_HTTP_VAR_NOCACHEABLE, NGX_OK, ngx_conf_t, ngx_http_add_variable,
    ngx_http_request_t, ngx_http_variable_value_t, ngx_int_t, ngx_pcalloc, ngx_pnalloc, ngx_str_t,
    ngx_uint_t,
};
use sparkngin_core::id::EventId;

use crate::bytes;
use crate::guard::guard;
use crate::kept::Kept;
use crate::request::Incoming;

/// What became of an event. As text, `$sparkngin_status`.
#[derive(Clone, Copy, Debug)]
pub enum Outcome {
    /// Committed under this id.
    Stored(EventId),
    /// 207: some events of the body are committed, the first under this id.
    Partial(EventId),
    /// 504: committed under this id, and not yet as safe as it was to be.
    Late(EventId),
    /// 400
    Invalid,
    /// 413
    Large,
    /// 503: every block of the ring is held.
    Full,
    /// 503: too many requests wait already.
    Busy,
    /// 503: there is no ring to write to.
    Away,
    /// 403: more is asked for than is given, or a topic that is not taken.
    Denied,
    /// 204, and nothing is stored: the client does not want to be tracked.
    Private,
}

impl Outcome {
    fn word(self) -> &'static str {
        match self {
            Outcome::Stored(_) => "stored",
            Outcome::Partial(_) => "partial",
            Outcome::Late(_) => "late",
            Outcome::Invalid => "invalid",
            Outcome::Large => "large",
            Outcome::Full => "full",
            Outcome::Busy => "busy",
            Outcome::Away => "away",
            Outcome::Denied => "denied",
            Outcome::Private => "private",
        }
    }

    /// What a success is.
    pub fn of_kept(kept: &Kept) -> Outcome {
        match kept.faults.is_empty() {
            true => Outcome::Stored(kept.first),
            false => Outcome::Partial(kept.first),
        }
    }

    /// Keeps the outcome with the request. Without memory for it the variables have no value.
    pub fn keep(self, incoming: Incoming<'_>) {
        // SAFETY: the request's pool.
        let kept =
            unsafe { ngx_pcalloc(incoming.get().pool, size_of::<Outcome>()) }.cast::<Outcome>();
        if kept.is_null() {
            return;
        }
        // SAFETY: room for it was just made, aligned less than an id wants it; the value needs no drop.
        unsafe { kept.write_unaligned(self) };
        let place = incoming.get().ctx.wrapping_add(crate::context_index());
        // SAFETY: a request has one pointer for each module.
        unsafe { *place = kept.cast() };
    }

    fn of(incoming: Incoming<'_>) -> Option<Outcome> {
        let place = incoming.get().ctx.wrapping_add(crate::context_index());
        // SAFETY: a request has one pointer for each module; ours is NULL or one that `keep` wrote.
        let kept = unsafe { *place }.cast::<Outcome>();
        // SAFETY: as above; `keep` left a whole value there.
        (!kept.is_null()).then(|| unsafe { kept.read_unaligned() })
    }
}

/// Tells nginx the names. An error is logged by nginx.
pub fn register(cf: *mut ngx_conf_t) -> ngx_int_t {
    for (name, which) in [("sparkngin_id", ID), ("sparkngin_status", STATUS)] {
        let mut name = bytes::constant(name);
        // SAFETY: while the configuration is read; nginx copies the name.
        let variable = unsafe {
            ngx_http_add_variable(cf, &raw mut name, NGX_HTTP_VAR_NOCACHEABLE as ngx_uint_t)
        };
        let Some(mut variable) = NonNull::new(variable) else { return NGX_ERROR as ngx_int_t };
        // SAFETY: nginx made it and reads it only after this.
        let variable = unsafe { variable.as_mut() };
        variable.get_handler = Some(value);
        variable.data = which;
    }
    NGX_OK as ngx_int_t
}

const ID: usize = 0;
const STATUS: usize = 1;

unsafe extern "C" fn value(
    request: *mut ngx_http_request_t,
    value: *mut ngx_http_variable_value_t,
    which: usize,
) -> ngx_int_t {
    guard("a variable", NGX_ERROR as ngx_int_t, || {
        let (Some(request), Some(mut value)) = (NonNull::new(request), NonNull::new(value)) else {
            return NGX_ERROR as ngx_int_t;
        };
        // SAFETY: nginx holds the request while it asks for a variable.
        let incoming = unsafe { Incoming::new(request) };
        // SAFETY: nginx's place for the value, ours for the time of this call.
        fill(incoming, unsafe { value.as_mut() }, which).unwrap_or(NGX_ERROR as ngx_int_t)
    })
}

/// None if there is no memory.
fn fill(
    incoming: Incoming<'_>,
    value: &mut ngx_http_variable_value_t,
    which: usize,
) -> Option<ngx_int_t> {
    let text = match (which, Outcome::of(incoming)) {
        (ID, Some(Outcome::Stored(id) | Outcome::Partial(id) | Outcome::Late(id))) => {
            Some(copy(incoming, &id.to_string())?)
        }
        (STATUS, Some(outcome)) => Some(bytes::constant(outcome.word())),
        _ => None,
    };
    value.set_valid(u32::from(text.is_some()));
    value.set_not_found(u32::from(text.is_none()));
    value.set_no_cacheable(1);
    let text = text.unwrap_or(bytes::constant(""));
    value.set_len(text.len as u32);
    value.data = text.data;
    Some(NGX_OK as ngx_int_t)
}

fn copy(incoming: Incoming<'_>, text: &str) -> Option<ngx_str_t> {
    // SAFETY: the request's pool; nginx gives so many bytes, or NULL.
    let data = unsafe { ngx_pnalloc(incoming.get().pool, text.len()) };
    let data = NonNull::new(data.cast::<u8>())?;
    // SAFETY: room for the text was just made.
    unsafe { text.as_ptr().copy_to_nonoverlapping(data.as_ptr(), text.len()) };
    Some(ngx_str_t { len: text.len(), data: data.as_ptr() })
}
