//! The door: path and method lead to the log, the status, the health, or to 404 and 405.

use std::ptr::{NonNull, fn_addr_eq};

use ngx::ffi::{
    NGX_HTTP_INTERNAL_SERVER_ERROR, ngx_http_core_loc_conf_t, ngx_http_finalize_request,
    ngx_http_request_t, ngx_int_t,
};

use crate::answer::Answer;
use crate::guard::guard;
use crate::request::{Incoming, Method};
use crate::{body, cors, waiting, worker};

const FAILED: ngx_int_t = NGX_HTTP_INTERNAL_SERVER_ERROR as ngx_int_t;

/// Makes a location serve our paths.
pub fn serve(core: &mut ngx_http_core_loc_conf_t) {
    core.handler = Some(handle);
}

/// Whether a location serves our paths.
pub fn serves(core: &ngx_http_core_loc_conf_t) -> bool {
    core.handler.is_some_and(|handler| fn_addr_eq(handler, handle as Handler))
}

type Handler = unsafe extern "C" fn(*mut ngx_http_request_t) -> ngx_int_t;

unsafe extern "C" fn handle(request: *mut ngx_http_request_t) -> ngx_int_t {
    guard("a request", FAILED, || {
        let Some(request) = NonNull::new(request) else { return FAILED };
        // SAFETY: nginx holds the request while it calls its handler.
        enter(unsafe { Incoming::new(request) })
    })
}

fn enter(incoming: Incoming<'_>) -> ngx_int_t {
    let path = incoming.path();
    let method = incoming.method();
    match path.name {
        b"log" | b"log.gif" if method == Method::Options && cors::asked(incoming) => {
            without_body(incoming, cors::preflight)
        }
        b"log.gif" if method != Method::Get => {
            without_body(incoming, |_| Answer::not_allowed("GET"))
        }
        b"log" if method == Method::Post => body::read(incoming, Some(body_is_there)),
        b"log" | b"log.gif" if method == Method::Get && incoming.body_to_come() => {
            body::read(incoming, Some(body_is_there))
        }
        b"log" | b"log.gif" if method == Method::Get => match body::discard(incoming) {
            Ok(()) => match worker::log(incoming) {
                Some(answer) => answer.send(incoming),
                None => waiting::hold(incoming),
            },
            Err(rc) => rc,
        },
        b"log" => without_body(incoming, |_| Answer::not_allowed("GET or POST")),
        b"status" | b"stat" | b"metrics" | b"imok" if method != Method::Get => {
            without_body(incoming, |_| Answer::not_allowed("GET"))
        }
        b"status" | b"stat" | b"metrics" if !path.exact && !incoming.is_local() => {
            without_body(incoming, |_| {
                Answer::error(
                    403,
                    "the status is for this machine, unless it has an exact location",
                    None,
                )
            })
        }
        b"status" | b"stat" if wants_page(incoming.named(b"accept").unwrap_or_default()) => {
            without_body(incoming, |_| worker::page())
        }
        b"status" | b"stat" => without_body(incoming, |_| worker::status()),
        b"metrics" => without_body(incoming, |_| worker::metrics()),
        b"imok" => without_body(incoming, |_| worker::imok()),
        _ => without_body(incoming, |_| Answer::error(404, "there is nothing here", None)),
    }
}

/// Whether an Accept header names HTML, as browsers do, and likes JSON no better.
fn wants_page(accept: &[u8]) -> bool {
    let liking = |kind: &[u8]| {
        accept.split(|byte| *byte == b',').find_map(|range| {
            let mut parts = range.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
            parts.next()?.eq_ignore_ascii_case(kind).then(|| {
                let q = parts
                    .find_map(|part| part.strip_prefix(b"q=").or_else(|| part.strip_prefix(b"Q=")));
                let q = q.and_then(|q| std::str::from_utf8(q).ok()?.parse::<f32>().ok());
                q.unwrap_or(1.0)
            })
        })
    };
    let html = liking(b"text/html").unwrap_or(0.0);
    html > 0.0 && html >= liking(b"application/json").unwrap_or(0.0)
}

/// Whoever sends a body where none is read: it is read and forgotten, so that the connection can go on.
fn without_body(incoming: Incoming<'_>, answer: impl FnOnce(Incoming<'_>) -> Answer) -> ngx_int_t {
    match body::discard(incoming) {
        Ok(()) => answer(incoming).send(incoming),
        Err(rc) => rc,
    }
}

/// All of the body is read; this may be long after the handler has returned.
unsafe extern "C" fn body_is_there(request: *mut ngx_http_request_t) {
    let rc = guard("a request with a body", Some(FAILED), || {
        let Some(request) = NonNull::new(request) else { return Some(FAILED) };
        // SAFETY: nginx holds the request until it is finalized.
        let incoming = unsafe { Incoming::new(request) };
        Some(worker::log(incoming)?.send(incoming))
    });
    if let Some(rc) = rc {
        // SAFETY: the handler that asked for the body returned NGX_DONE, so the request is still ours to end, once. While
        // it waits it stays so.
        unsafe { ngx_http_finalize_request(request, rc) };
    }
}
