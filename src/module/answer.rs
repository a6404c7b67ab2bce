//! What a client gets: status, headers, and a body that is never the client's own words unescaped. Nothing else writes
//! output.

use std::borrow::Cow;
use std::fmt::Write;
use std::ptr::{NonNull, null_mut, write_bytes};

use ngx::ffi::{
    NGX_ERROR, NGX_HTTP_LAST, NGX_OK, ngx_buf_t, ngx_chain_t, ngx_create_temp_buf,
    ngx_http_output_filter, ngx_http_request_t, ngx_http_send_header, ngx_http_send_special,
    ngx_int_t, ngx_list_push, ngx_pnalloc, ngx_str_t, ngx_table_elt_t, ngx_uint_t,
};
use sparkngin_core::exposition::CONTENT_TYPE;
use sparkngin_core::inflate::CODINGS;
use sparkngin_publisher::page;

use crate::bytes;
use crate::cors;
use crate::kept::{Faults, Kept};
use crate::level::Level;
use crate::request::Incoming;

/// Why a request waited in vain. Its event is stored all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Late {
    /// The time is over, and somebody has not acknowledged it.
    Unacknowledged,
    /// The time is over, and no sync has covered it.
    Unsynced,
    /// The sync that was to cover it has failed.
    Failed,
    /// Events were overwritten before they were delivered, perhaps this one.
    Lost,
}

impl Late {
    /// What holds for the events that are stored; those that are not are listed beside it.
    fn sentence(self, kept: &Kept) -> String {
        let one = kept.count == 1 && kept.faults.is_empty();
        let text = match (self, one) {
            (Late::Unacknowledged, true) => {
                "not every subscriber has acknowledged the event in time; it is kept and will arrive, do not send it again"
            }
            (Late::Unacknowledged, false) => {
                "not every subscriber has acknowledged the events in time; those that are stored are kept and will arrive, \
                 do not send them again"
            }
            (Late::Unsynced, true) => {
                "the event is not on the disk in time; it is kept and will arrive, do not send it again"
            }
            (Late::Unsynced, false) => {
                "the events are not on the disk in time; those that are stored are kept and will arrive, do not send them \
                 again"
            }
            (Late::Failed, true) => {
                "the sync to the disk failed after the event was stored; it is kept and may arrive"
            }
            (Late::Failed, false) => {
                "the sync to the disk failed after the events were stored; those that are stored are kept and may arrive"
            }
            (Late::Lost, true) => {
                "events were lost before every subscriber had them, perhaps this one; it may have arrived"
            }
            (Late::Lost, false) => {
                "events were lost before every subscriber had them, perhaps some of these; they may have arrived"
            }
        };
        match kept.faults.is_empty() {
            true => text.into(),
            false => format!("{text}; what \"errors\" lists is not stored"),
        }
    }
}

/// A GIF of one transparent pixel, as small as it can be.
const PIXEL: &[u8] = b"GIF89a\x01\0\x01\0\x80\0\0\xFF\xFF\xFF\0\0\0!\xF9\x04\x01\0\0\0\0,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;";
const _: () = assert!(PIXEL.len() == 43);

/// An answer of ours. All of them say `Cache-Control: no-store`: even a 204 may be cached, and then nginx would not see
/// the next event.
#[derive(Debug, Default)]
pub struct Answer {
    status: u16,
    body: Option<(&'static str, Cow<'static, [u8]>)>,
    headers: Vec<(&'static str, String)>,
}

impl Answer {
    /// 204: the event is stored, and as safe as this level says; of several events all. 207 where some of them are not: the
    /// list of these. The receipt tells a client how many events there are, so it is asked for. To who asked for the pixel,
    /// 200 and that.
    pub fn stored(incoming: Incoming<'_>, kept: &Kept, level: Level) -> Answer {
        let mut answer = Answer::done(incoming);
        if !kept.faults.is_empty() {
            answer.status = 207;
            answer.body = Some(("application/json", owned(kept.faults.json() + "\n")));
        }
        if incoming.settings().receipt() {
            answer.headers.push(receipt_of(kept, level));
        }
        answer
    }

    /// The same, of an event that is not stored, since its client does not want to be tracked: by which header it said so.
    pub fn private(incoming: Incoming<'_>, by: &'static str) -> Answer {
        let mut answer = Answer::done(incoming);
        answer.headers.push(("Sparkngin-Privacy", by.into()));
        answer
    }

    fn done(incoming: Incoming<'_>) -> Answer {
        if incoming.path().name != b"log.gif" {
            return Answer { status: 204, ..Answer::default() };
        }
        let mut answer = Answer { status: 200, ..Answer::default() };
        answer.body = Some(("image/gif", Cow::Borrowed(PIXEL)));
        // For what does not know Cache-Control.
        answer.headers.push(("Pragma", "no-cache".into()));
        answer.headers.push(("Expires", "Thu, 01 Jan 1970 00:00:00 GMT".into()));
        answer
    }

    /// 204 to who asks what it may send.
    pub fn preflight(headers: Vec<(&'static str, String)>) -> Answer {
        Answer { status: 204, headers, ..Answer::default() }
    }

    /// Of several events none is stored: why, and the list.
    pub fn none(faults: &Faults) -> Answer {
        let error = format!("no event is stored: {}", faults.sentence());
        Answer::refused(faults.status(), &error, faults.field(), Some(faults))
    }

    /// Of several events none found a place: why, and the list of all of them, each with a status of its own.
    pub fn unstored(why: &str, faults: &Faults) -> Answer {
        Answer::refused(faults.status(), why, None, Some(faults))
    }

    /// 504: the event is stored, but not yet as safe as it was to be. The receipt is there in any case: who sends the event
    /// again needs to know which one it may be twice.
    pub fn late(kept: &Kept, late: Late, reached: Level) -> Answer {
        let faults = Some(&kept.faults).filter(|faults| !faults.is_empty());
        let mut answer = Answer::refused(504, &late.sentence(kept), None, faults);
        answer.headers.push(receipt_of(kept, reached));
        answer
    }

    /// 200 and a JSON object.
    pub fn json(body: String) -> Answer {
        Answer { status: 200, body: Some(("application/json", owned(body))), ..Answer::default() }
    }

    /// 200 and the page.
    pub fn page(body: String) -> Answer {
        let mut answer = Answer {
            status: 200,
            body: Some(("text/html; charset=utf-8", owned(body))),
            ..Answer::default()
        };
        answer.headers.push(("Content-Security-Policy", page::POLICY.into()));
        answer.headers.push(("X-Content-Type-Options", "nosniff".into()));
        answer.headers.push(("Referrer-Policy", "no-referrer".into()));
        answer.headers.push(("Vary", "Accept".into()));
        answer
    }

    /// 200 and numbers for Prometheus.
    pub fn metrics(body: String) -> Answer {
        Answer { status: 200, body: Some((CONTENT_TYPE, owned(body))), ..Answer::default() }
    }

    /// 200 or 503 and lines of text.
    pub fn text(status: u16, body: String) -> Answer {
        Answer { status, body: Some(("text/plain", owned(body))), ..Answer::default() }.retried()
    }

    /// Nothing was stored, or shown: why, and which field was at fault.
    pub fn error(status: u16, error: &str, field: Option<&str>) -> Answer {
        Answer::refused(status, error, field, None)
    }

    fn refused(status: u16, error: &str, field: Option<&str>, faults: Option<&Faults>) -> Answer {
        let mut body = String::from("{\"error\":");
        quote(&mut body, error);
        body.push_str(",\"field\":");
        match field {
            Some(field) => quote(&mut body, field),
            None => body.push_str("null"),
        }
        if let Some(faults) = faults {
            body.push_str(",\"errors\":");
            body.push_str(&faults.json());
        }
        body.push_str("}\n");
        Answer { status, body: Some(("application/json", owned(body))), ..Answer::default() }
            .retried()
    }

    /// 415, and the codings of bodies there are.
    pub fn unsupported(error: &str) -> Answer {
        let mut answer = Answer::error(415, error, Some("Content-Encoding"));
        answer.headers.push(("Accept-Encoding", CODINGS.into()));
        answer
    }

    /// 405, and the methods there are.
    pub fn not_allowed(allow: &'static str) -> Answer {
        let mut answer = Answer::error(405, &format!("the method must be {allow}"), None);
        answer.headers.push(("Allow", allow.replace(" or ", ", ")));
        answer
    }

    /// Who gets 503 may come again in a second.
    fn retried(mut self) -> Answer {
        if self.status == 503 {
            self.headers.push(("Retry-After", "1".into()));
        }
        self
    }

    /// Hands the answer to nginx. The value is for the content handler to return, or to finalize the request with.
    pub fn send(&self, incoming: Incoming<'_>) -> ngx_int_t {
        self.send_through(incoming).unwrap_or(NGX_ERROR as ngx_int_t)
    }

    fn send_through(&self, incoming: Incoming<'_>) -> Option<ngx_int_t> {
        let request = incoming.raw();
        header(request, "Cache-Control", "no-store")?;
        for (name, value) in &self.headers {
            header(request, name, value)?;
        }
        for (name, value) in cors::headers(incoming) {
            header(request, name, &value)?;
        }
        let length = self.body.as_ref().map(|(_, body)| body.len());
        // SAFETY: nginx holds the request, and no other borrow of it lasts over this function.
        let out = unsafe { &mut (*request).headers_out };
        out.status = usize::from(self.status);
        out.content_length_n = length.unwrap_or(0) as _;
        if let Some((kind, _)) = &self.body {
            out.content_type = bytes::constant(kind);
            out.content_type_len = kind.len();
        }
        // SAFETY: as above; `out` is not used any more.
        let rc = unsafe { ngx_http_send_header(request) };
        // The header may be waiting for room in the socket, NGX_AGAIN; what follows then waits behind it.
        let failed = rc == NGX_ERROR as ngx_int_t || rc > NGX_OK as ngx_int_t;
        match &self.body {
            _ if failed || incoming.get().header_only() != 0 => Some(rc),
            Some((_, body)) => output(incoming, body),
            None => Some(end(incoming)),
        }
    }
}

fn owned(text: String) -> Cow<'static, [u8]> {
    Cow::Owned(text.into_bytes())
}

/// The first event's name; the others' numbers follow its own.
fn receipt_of(kept: &Kept, level: Level) -> (&'static str, String) {
    let count = match kept.count {
        1 => String::new(),
        count => format!("; count={count}"),
    };
    ("Sparkngin-Receipt", format!("{}; ack={level}{count}", kept.first))
}

/// Ends an answer without a body. After an error that led here nginx puts that one's status in place of a 204, which would
/// have ended by itself.
fn end(incoming: Incoming<'_>) -> ngx_int_t {
    // SAFETY: nginx holds the request, and we hold no borrow of it.
    unsafe { ngx_http_send_special(incoming.raw(), NGX_HTTP_LAST as ngx_uint_t) }
}

fn output(incoming: Incoming<'_>, body: &[u8]) -> Option<ngx_int_t> {
    let request = incoming.raw();
    // SAFETY: the request's pool; nginx gives `body.len()` bytes, or NULL.
    let buffer = unsafe { ngx_create_temp_buf(incoming.get().pool, body.len()) };
    let buffer = fill(NonNull::new(buffer)?, body);
    let main = incoming.get().main == request;
    buffer.set_last_buf(u32::from(main));
    buffer.set_last_in_chain(1);
    let mut chain = ngx_chain_t { buf: buffer, next: null_mut() };
    // SAFETY: filters copy the links they keep; the buffer is in the request's pool.
    Some(unsafe { ngx_http_output_filter(request, &raw mut chain) })
}

fn fill<'a>(mut buffer: NonNull<ngx_buf_t>, body: &[u8]) -> &'a mut ngx_buf_t {
    // SAFETY: just made for us alone, in the request's pool.
    let buffer = unsafe { buffer.as_mut() };
    // SAFETY: it was made with room for all of the body.
    unsafe { body.as_ptr().copy_to_nonoverlapping(buffer.pos, body.len()) };
    buffer.last = buffer.pos.wrapping_add(body.len());
    buffer
}

/// Adds a header to the answer. None if there is no memory.
fn header(request: *mut ngx_http_request_t, name: &'static str, value: &str) -> Option<()> {
    // SAFETY: nginx holds the request, and no other borrow of it lasts over this function.
    let headers = unsafe { &raw mut (*request).headers_out.headers };
    // SAFETY: nginx has made the list of a request's headers.
    let element = unsafe { ngx_list_push(headers) };
    let mut element = NonNull::new(element.cast::<ngx_table_elt_t>())?;
    // SAFETY: a new element of the list, not yet set; zeros are a value of it, in every version of nginx.
    unsafe { write_bytes(element.as_ptr(), 0, 1) };
    // SAFETY: the request's pool.
    let pool = unsafe { (*request).pool };
    // SAFETY: nginx gives so many bytes, or NULL.
    let data = unsafe { ngx_pnalloc(pool, value.len()) };
    let data = NonNull::new(data.cast::<u8>())?;
    // SAFETY: room for the value was just made.
    unsafe { value.as_ptr().copy_to_nonoverlapping(data.as_ptr(), value.len()) };
    // SAFETY: as above.
    let element = unsafe { element.as_mut() };
    element.key = bytes::constant(name);
    element.value = ngx_str_t { len: value.len(), data: data.as_ptr() };
    element.hash = 1;
    Some(())
}

/// Appends a text as JSON has it.
pub fn quote(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if (c as u32) < 0x20 || c == '\u{7f}' => {
                // Writing to a String does not fail.
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
}
