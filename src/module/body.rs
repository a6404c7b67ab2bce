//! A request's body: its bytes, wherever nginx put them, in one buffer, in several, or in a temporary file.
//!
//! Reading the file blocks the worker, for no longer than a page cache needs for what `sparkngin_max_event` allows:
//! nginx has just written it. A body that is larger is not read at all.

use std::fs::File;
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::FromRawFd;
use std::os::unix::fs::FileExt;
use std::ptr::NonNull;
use std::slice::from_raw_parts;

use ngx::ffi::{
    NGX_DONE, NGX_HTTP_SPECIAL_RESPONSE, NGX_OK, ngx_buf_t, ngx_chain_t,
    ngx_http_client_body_handler_pt, ngx_http_discard_request_body,
    ngx_http_read_client_request_body, ngx_int_t,
};

use crate::request::Incoming;

/// Why the body is not there.
#[derive(Debug)]
pub enum Missing {
    /// More bytes than an event may have.
    TooLarge(u64),
    /// The temporary file could not be read.
    File(io::Error),
}

/// Reads the body, and calls `then` at once or later. The value is what the content handler returns to nginx; `then`
/// has to finalize the request. In a subrequest, or after an internal redirect, the body is what is there already.
pub fn read(incoming: Incoming<'_>, then: ngx_http_client_body_handler_pt) -> ngx_int_t {
    // SAFETY: nginx holds the request, and we hold no borrow of it: `then` may be called before this returns.
    let rc = unsafe { ngx_http_read_client_request_body(incoming.raw(), then) };
    if rc >= NGX_HTTP_SPECIAL_RESPONSE as ngx_int_t { rc } else { NGX_DONE as ngx_int_t }
}

/// Reads and forgets the body, so that the connection can be used again. An error is nginx's code.
pub fn discard(incoming: Incoming<'_>) -> Result<(), ngx_int_t> {
    // SAFETY: nginx holds the request, and we hold no borrow of it.
    let rc = unsafe { ngx_http_discard_request_body(incoming.raw()) };
    if rc == NGX_OK as ngx_int_t { Ok(()) } else { Err(rc) }
}

/// The body that nginx has read, of at most `limit` bytes: borrowed if it lies in one buffer, else gathered in `into`.
/// None if there is none, if it is empty, or if nginx has only a part of it.
pub fn gather<'a, 'r: 'a>(
    incoming: Incoming<'r>,
    limit: usize,
    into: &'a mut Vec<u8>,
) -> Result<Option<&'a [u8]>, Missing> {
    let parts = || Parts::<'r>::of(incoming);
    let size = parts().map(|part| part.size()).sum::<u64>();
    if size > limit as u64 {
        return Err(Missing::TooLarge(size));
    }
    let mut filled = parts().filter(|part| part.size() > 0);
    let Some(first) = filled.next() else { return Ok(None) };
    let rest = filled.next();
    if let (Part::Memory(bytes), None) = (&first, &rest) {
        return Ok(Some(bytes));
    }
    into.clear();
    for part in [first].into_iter().chain(rest).chain(filled) {
        part.append_to(into).map_err(Missing::File)?;
    }
    Ok(Some(into))
}

enum Part<'r> {
    Memory(&'r [u8]),
    File { fd: i32, from: u64, to: u64 },
}

impl<'r> Part<'r> {
    fn of(buffer: &'r ngx_buf_t) -> Part<'r> {
        let in_memory = buffer.temporary() != 0 || buffer.memory() != 0;
        if in_memory {
            let size = (buffer.last as usize).saturating_sub(buffer.pos as usize);
            if size == 0 {
                return Part::Memory(&[]);
            }
            // SAFETY: a buffer in memory holds its bytes from `pos` to `last`, in the request's pool.
            return Part::Memory(unsafe { from_raw_parts(buffer.pos, size) });
        }
        // SAFETY: NULL, or the file that the buffer's bytes are in, which the request keeps open.
        match unsafe { buffer.file.as_ref() } {
            Some(file) if buffer.in_file() != 0 => Part::File {
                fd: file.fd,
                from: u64::try_from(buffer.file_pos).unwrap_or(0),
                to: u64::try_from(buffer.file_last).unwrap_or(0),
            },
            _ => Part::Memory(&[]),
        }
    }

    fn size(&self) -> u64 {
        match self {
            Part::Memory(bytes) => bytes.len() as u64,
            Part::File { from, to, .. } => to.saturating_sub(*from),
        }
    }

    fn append_to(&self, into: &mut Vec<u8>) -> io::Result<()> {
        match *self {
            Part::Memory(bytes) => into.extend_from_slice(bytes),
            Part::File { fd, from, .. } => {
                // SAFETY: the request keeps it open, and it is not closed here.
                let file = ManuallyDrop::new(unsafe { File::from_raw_fd(fd) });
                let start = into.len();
                into.resize(start + self.size() as usize, 0);
                file.read_exact_at(&mut into[start..], from)?;
            }
        }
        Ok(())
    }
}

/// The buffers of a body, in order; none of a body that nginx has not read to its end.
struct Parts<'r> {
    link: Option<&'r ngx_chain_t>,
}

impl<'r> Parts<'r> {
    fn of(incoming: Incoming<'r>) -> Parts<'r> {
        let request = incoming.get();
        // An error in the middle of it, or a proxy that passes it on as it comes, has led here.
        let partial = request.reading_body() != 0 || request.request_body_no_buffering() != 0;
        let body = NonNull::new(request.request_body).filter(|_| !partial);
        // SAFETY: in the request's pool.
        let body = body.map(|body| unsafe { body.as_ref() }).filter(|body| body.rest == 0);
        let bufs = body.map(|body| body.bufs);
        // SAFETY: NULL, or the first link of the chain, in the request's pool.
        Parts { link: bufs.and_then(|link| unsafe { link.as_ref() }) }
    }
}

impl<'r> Iterator for Parts<'r> {
    type Item = Part<'r>;

    fn next(&mut self) -> Option<Part<'r>> {
        let link = self.link?;
        // SAFETY: NULL ends the chain; links and buffers are in the request's pool.
        self.link = unsafe { link.next.as_ref() };
        // SAFETY: a link of a body has a buffer.
        let buffer = unsafe { link.buf.as_ref() }?;
        Some(Part::of(buffer))
    }
}
