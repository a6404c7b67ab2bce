//! A request as nginx holds it, and what we read of it. Nothing else reads `ngx_http_request_t`'s input.

use std::marker::PhantomData;
use std::mem::{MaybeUninit, size_of};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ptr::NonNull;

use ngx::ffi::{
    NGX_HTTP_GET, NGX_HTTP_OPTIONS, NGX_HTTP_POST, NGX_OK, ngx_connection_t,
    ngx_http_complex_value, ngx_http_complex_value_t, ngx_http_core_loc_conf_t,
    ngx_http_core_module, ngx_http_get_indexed_variable, ngx_http_request_t, ngx_int_t,
    ngx_list_part_t, ngx_list_t, ngx_str_t, ngx_table_elt_t,
};

use sparkngin_core::event::{MOST_HEADERS, cloud};

use crate::bytes;
use crate::conf::MainConf;
use crate::location::{Kind, LocationConf};

/// What begins the name of a header that becomes one of Kafka's.
const KAFKA: &[u8] = b"sparkngin-header-";

/// What begins the name of a header that is a CloudEvent's attribute.
const CLOUD: &[u8] = b"ce-";

/// A request that nginx handed to one of our callbacks, for the time of that callback.
///
/// Bytes that it gives out lie in the request's pool, so they live as long; of nginx's structures it hands out nothing.
#[derive(Clone, Copy)]
pub struct Incoming<'r> {
    raw: NonNull<ngx_http_request_t>,
    lives: PhantomData<&'r ()>,
}

/// nginx has no memory for a value.
#[derive(Debug)]
pub struct NoMemory;

/// The methods that any of our paths serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// GET
    Get,
    /// POST
    Post,
    /// OPTIONS, by which browsers ask before they send.
    Options,
    /// All others, HEAD among them.
    Other,
}

/// The name that a path ends with, and how it got here.
#[derive(Clone, Copy, Debug)]
pub struct Path<'r> {
    /// What follows the location's prefix, or the last segment in an exact, regex or named location; up to the topic.
    pub name: &'r [u8],
    /// What follows `log/`.
    pub topic: Option<&'r [u8]>,
    /// Whether the location is for this path alone: then its operator chose who may see it.
    pub exact: bool,
}

impl<'r> Incoming<'r> {
    /// # Safety
    ///
    /// `raw` is a request that nginx holds for at least `'r`.
    pub unsafe fn new(raw: NonNull<ngx_http_request_t>) -> Incoming<'r> {
        Incoming { raw, lives: PhantomData }
    }

    /// nginx's pointer, for what is handed back to nginx.
    pub fn raw(self) -> *mut ngx_http_request_t {
        self.raw.as_ptr()
    }

    /// Short-lived: nginx writes to the structure whenever one of its functions is called.
    pub fn get(&self) -> &ngx_http_request_t {
        // SAFETY: `new` was promised a live request; no function of nginx is called while the borrow lasts.
        unsafe { self.raw.as_ref() }
    }

    /// Bytes in the request's pool.
    fn bytes(self, string: &ngx_str_t) -> &'r [u8] {
        let short: *const [u8] = bytes::of(string);
        // SAFETY: what a request's strings point to lies in its pool, or in its connection's, which outlives `'r`.
        unsafe { &*short }
    }

    fn connection(&self) -> &ngx_connection_t {
        // SAFETY: a request has a connection as long as it lives.
        unsafe { &*self.get().connection }
    }

    /// The request's method.
    pub fn method(self) -> Method {
        match self.get().method as u32 {
            NGX_HTTP_GET => Method::Get,
            NGX_HTTP_POST => Method::Post,
            NGX_HTTP_OPTIONS => Method::Options,
            _ => Method::Other,
        }
    }

    /// Whether nginx itself made it: a subrequest, or after an internal redirect.
    pub fn internal(self) -> bool {
        self.get().internal() != 0 || self.get().main != self.raw()
    }

    /// Whether a body is still on its way by HTTP/2. nginx would answer without waiting for it, and then reset the stream;
    /// some clients drop the answer because of that, and repeat an event that was stored.
    #[cfg(ngx_feature = "http_v2")]
    pub fn body_to_come(self) -> bool {
        // SAFETY: NULL but for HTTP/2; else the stream, which lives as long as its request.
        unsafe { self.get().stream.as_ref() }.is_some_and(|stream| stream.in_closed() == 0)
    }

    #[cfg(not(ngx_feature = "http_v2"))]
    pub fn body_to_come(self) -> bool {
        false
    }

    /// The query, as it came: neither decoded nor split.
    pub fn query(self) -> &'r [u8] {
        self.bytes(&self.get().args)
    }

    /// The text of the peer's address, as nginx's realip module leaves it.
    pub fn peer(self) -> &'r [u8] {
        self.bytes(&self.connection().addr_text)
    }

    /// User-Agent
    pub fn user_agent(self) -> Option<&'r [u8]> {
        self.header(self.get().headers_in.user_agent)
    }

    /// Referer
    pub fn referrer(self) -> Option<&'r [u8]> {
        self.header(self.get().headers_in.referer)
    }

    /// Content-Type
    pub fn content_type(self) -> Option<&'r [u8]> {
        self.header(self.get().headers_in.content_type)
    }

    fn header(self, header: *mut ngx_table_elt_t) -> Option<&'r [u8]> {
        // SAFETY: NULL, or a header in the request's list, which is in its pool.
        unsafe { header.as_ref() }.map(|header| self.bytes(&header.value))
    }

    /// What the first header of this name, in lower case, says.
    pub fn named(self, name: &[u8]) -> Option<&'r [u8]> {
        let mut headers = Headers::of(&self.get().headers_in.headers);
        let header = headers.find(|header| bytes::of(&header.key).eq_ignore_ascii_case(name))?;
        Some(self.bytes(&header.value))
    }

    /// What becomes Kafka headers, and the attributes of a CloudEvent in binary mode (none when it is not one): what
    /// follows the prefix, in lower case, and the values. Of each at most so many that it can be seen that they are too many.
    pub fn kafka_and_cloud(self) -> [Vec<(&'r [u8], &'r [u8])>; 2] {
        let mut found = [Vec::new(), Vec::new()];
        for header in Headers::of(&self.get().headers_in.headers) {
            // Most have another length, or begin otherwise, which is seen at once.
            let key = bytes::of(&header.key);
            let begins = |begin: &&[u8]| {
                key.get(..begin.len()).is_some_and(|prefix| prefix.eq_ignore_ascii_case(begin))
            };
            let Some(which) = [KAFKA, CLOUD].iter().position(begins) else { continue };
            if header.lowcase_key.is_null() || found[which].len() > MOST_HEADERS {
                continue;
            }
            let lower = ngx_str_t { len: header.key.len, data: header.lowcase_key };
            let name = &self.bytes(&lower)[[KAFKA, CLOUD][which].len()..];
            found[which].push((name, self.bytes(&header.value)));
        }
        let [_, attributes] = &mut found;
        let is_one = cloud::is_binary(attributes.iter().map(|(name, _)| *name))
            && !cloud::is_structured(self.content_type());
        if !is_one {
            attributes.clear();
        }
        found
    }

    /// The value of a variable that has an index; None when it has none now.
    pub fn variable(self, index: usize) -> Option<&'r [u8]> {
        // SAFETY: nginx gave the index, holds the request, and no borrow of it lasts over the call.
        let value = unsafe { ngx_http_get_indexed_variable(self.raw(), index) };
        // SAFETY: NULL, or a value that the request keeps.
        let value = unsafe { value.as_ref() }.filter(|value| value.not_found() == 0)?;
        Some(self.bytes(&ngx_str_t { len: value.len() as usize, data: value.data }))
    }

    /// What each Sparkngin-Ack header says.
    pub fn ack(&self) -> impl Iterator<Item = &[u8]> {
        let headers = Headers::of(&self.get().headers_in.headers);
        headers.filter(|header| is_ack(header)).map(|header| bytes::of(&header.value))
    }

    /// What each Content-Encoding header says.
    pub fn content_encoding(&self) -> impl Iterator<Item = &[u8]> {
        let headers = Headers::of(&self.get().headers_in.headers);
        let is = |header: &&ngx_table_elt_t| {
            bytes::of(&header.key).eq_ignore_ascii_case(b"content-encoding")
        };
        headers.filter(is).map(|header| bytes::of(&header.value))
    }

    /// The Cookie header; several of them, as HTTP/1 clients may send, joined in `joined`.
    pub fn cookie<'a>(self, joined: &'a mut Vec<u8>) -> Option<&'a [u8]>
    where
        'r: 'a,
    {
        joined.clear();
        let mut cookies =
            Headers::of(&self.get().headers_in.headers).filter(|header| is_cookie(header));
        let first = self.bytes(&cookies.next()?.value);
        let mut rest = cookies.peekable();
        if rest.peek().is_none() {
            return Some(first);
        }
        joined.extend_from_slice(first);
        for header in rest {
            joined.extend_from_slice(b"; ");
            joined.extend_from_slice(bytes::of(&header.value));
        }
        Some(joined)
    }

    /// Which of our paths is asked for.
    pub fn path(self) -> Path<'r> {
        let uri = self.bytes(&self.get().uri);
        let kind = self.settings().root.unwrap_or_default();
        let below = kind == Kind::Prefix;
        let prefix = bytes::of(&self.core_location().name);
        let (name, topic) = match uri.strip_prefix(prefix) {
            Some(rest) if below && prefix.ends_with(b"/") => below_log(rest),
            Some(rest) if below => below_log(rest.strip_prefix(b"/").unwrap_or(b"")),
            // Alone, or a rewrite has left the location's prefix behind.
            _ => last_segments(uri),
        };
        Path { name, topic, exact: kind == Kind::Exact }
    }

    /// The path as the client sent it, without the query.
    pub fn sent_path(self) -> &'r [u8] {
        let sent = self.bytes(&self.get().unparsed_uri);
        sent.split(|&byte| byte == b'?').next().unwrap_or(sent)
    }

    fn core_location(&self) -> &ngx_http_core_loc_conf_t {
        // SAFETY: nginx's own static, written while modules are counted, before any request.
        let index = unsafe { ngx_http_core_module.ctx_index };
        // SAFETY: what the core module keeps for a location.
        unsafe { self.location_conf(index) }
    }

    /// Our settings of `http`.
    pub fn main_settings(self) -> Option<&'r MainConf> {
        let place = self.get().main_conf.wrapping_add(crate::context_index());
        // SAFETY: http has as many settings as there are modules.
        let conf = unsafe { *place };
        // SAFETY: what `create_main_conf` returned; nobody writes to it any more, and a request keeps the cycle alive.
        unsafe { conf.cast::<MainConf>().as_ref() }
    }

    /// Our settings for the request's location.
    pub fn settings(self) -> &'r LocationConf {
        // SAFETY: what `create_loc_conf` returned.
        unsafe { self.location_conf(crate::context_index()) }
    }

    /// What a module keeps for the request's location.
    ///
    /// # Safety
    ///
    /// `index` is the module's place among the http modules, and `T` what it keeps.
    unsafe fn location_conf<'a, T>(&self, index: usize) -> &'a T {
        let place = self.get().loc_conf.wrapping_add(index);
        // SAFETY: every location has as many settings as there are modules.
        let conf = unsafe { *place };
        // SAFETY: the module makes them for every location; they live as long as the cycle, which a request keeps alive.
        unsafe { &*conf.cast() }
    }

    /// A value with variables in it, for this request; a variable without a value is empty.
    pub fn evaluate(self, value: NonNull<ngx_http_complex_value_t>) -> Result<&'r [u8], NoMemory> {
        let mut text = ngx_str_t::empty();
        // SAFETY: both are alive, and no borrow of the request lasts over the call.
        let rc = unsafe { ngx_http_complex_value(self.raw(), value.as_ptr(), &raw mut text) };
        if rc == NGX_OK as ngx_int_t { Ok(self.bytes(&text)) } else { Err(NoMemory) }
    }

    /// Whether the connection itself, not what realip makes of it, comes from this machine.
    pub fn is_local(self) -> bool {
        peer_of(self.connection().fd).is_some_and(|peer| match peer {
            Peer::Unix => true,
            Peer::Ip(IpAddr::V4(address)) => address.is_loopback(),
            Peer::Ip(IpAddr::V6(address)) => {
                address.is_loopback() || address.to_ipv4_mapped().is_some_and(|v4| v4.is_loopback())
            }
        })
    }
}

/// The name and the topic in what follows a location's prefix.
fn below_log(rest: &[u8]) -> (&[u8], Option<&[u8]>) {
    match rest.strip_prefix(b"log/") {
        Some(topic) if !topic.is_empty() => (&rest[..3], Some(topic)),
        _ => (rest, None),
    }
}

/// The last segment of a path; one behind `log` is a topic, unless it is a name itself.
fn last_segments(uri: &[u8]) -> (&[u8], Option<&[u8]>) {
    let mut segments = uri.rsplit(|&byte| byte == b'/');
    let (last, before) = (segments.next().unwrap_or(uri), segments.next());
    let own = matches!(last, b"" | b"log" | b"log.gif" | b"status" | b"stat" | b"imok");
    match before {
        Some(log @ b"log") if !own => (log, Some(last)),
        _ => (last, None),
    }
}

enum Peer {
    Unix,
    Ip(IpAddr),
}

/// Asks the kernel, since realip replaces what nginx remembers.
fn peer_of(fd: i32) -> Option<Peer> {
    let mut place = MaybeUninit::<libc::sockaddr_storage>::zeroed();
    let mut size = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
    // SAFETY: `place` has `size` bytes; the kernel writes no more.
    if unsafe { libc::getpeername(fd, place.as_mut_ptr().cast(), &raw mut size) } != 0 {
        return None;
    }
    // SAFETY: all zeros is a value of it, and so is whatever the kernel wrote.
    let address = unsafe { place.assume_init() };
    let at: *const libc::sockaddr_storage = &raw const address;
    match i32::from(address.ss_family) {
        libc::AF_UNIX => Some(Peer::Unix),
        libc::AF_INET => {
            // SAFETY: the family says what it is, and the storage is large enough and aligned for any.
            let v4 = unsafe { &*at.cast::<libc::sockaddr_in>() };
            Some(Peer::Ip(Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr)).into()))
        }
        libc::AF_INET6 => {
            // SAFETY: as above.
            let v6 = unsafe { &*at.cast::<libc::sockaddr_in6>() };
            Some(Peer::Ip(Ipv6Addr::from(v6.sin6_addr.s6_addr).into()))
        }
        _ => None,
    }
}

fn is_ack(header: &ngx_table_elt_t) -> bool {
    bytes::of(&header.key).eq_ignore_ascii_case(b"sparkngin-ack")
}

fn is_cookie(header: &ngx_table_elt_t) -> bool {
    bytes::of(&header.key).eq_ignore_ascii_case(b"cookie")
}

/// The headers in a list of nginx, part by part.
struct Headers<'a> {
    part: Option<&'a ngx_list_part_t>,
    at: usize,
}

impl<'a> Headers<'a> {
    fn of(list: &'a ngx_list_t) -> Headers<'a> {
        Headers { part: Some(&list.part), at: 0 }
    }
}

impl<'a> Iterator for Headers<'a> {
    type Item = &'a ngx_table_elt_t;

    fn next(&mut self) -> Option<&'a ngx_table_elt_t> {
        while let Some(part) = self.part {
            if self.at < part.nelts {
                // SAFETY: a part has `nelts` elements, and the list is one of headers.
                let header = unsafe { &*part.elts.cast::<ngx_table_elt_t>().wrapping_add(self.at) };
                self.at += 1;
                return Some(header);
            }
            // SAFETY: NULL, or the next part, in the same pool.
            self.part = unsafe { part.next.as_ref() };
            self.at = 0;
        }
        None
    }
}
