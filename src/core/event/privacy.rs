//! What of a client is not kept: the whole of its address, and cookies that nobody listed. It is looked
//! at where a value enters an event, so nothing of it has bytes anywhere; but what is in the payload is the sender's.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::Event;
use crate::field::{COOKIE, Field};
use crate::query::Span;

/// What of an address is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Addresses {
    /// All of it.
    #[default]
    Whole,
    /// The first 24 bits of an IPv4 address, the first 48 of an IPv6 one; the others are 0.
    Masked,
    /// Nothing.
    None,
}

/// What is stored of a client. The default is all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Privacy {
    /// Its addresses, wherever they stand.
    pub addresses: Addresses,
    /// The cookies that may be stored, by their keys; None: all that are asked for.
    pub cookies: Option<Vec<Box<[u8]>>>,
}

/// Where nobody said anything about privacy.
pub static EVERYTHING: Privacy = Privacy { addresses: Addresses::Whole, cookies: None };

impl Privacy {
    /// Whether a cookie of this key may be stored.
    pub fn keeps(&self, key: &[u8]) -> bool {
        self.cookies.as_ref().is_none_or(|listed| listed.iter().any(|other| **other == *key))
    }

    /// The same, where upper and lower case are one.
    pub fn keeps_any_case(&self, key: &[u8]) -> bool {
        let listed = self.cookies.as_ref();
        listed.is_none_or(|listed| listed.iter().any(|other| other.eq_ignore_ascii_case(key)))
    }

    /// What may be stored of the addresses in a field, or a header, of the client's own; None when nothing of it may,
    /// since it is a cookie that is not listed.
    pub(super) fn own(&self, name: &[u8]) -> Option<Addresses> {
        match name.strip_prefix(COOKIE) {
            Some(key) if !self.keeps(key) => None,
            _ if tells_address(name) => Some(self.addresses),
            _ => Some(Addresses::Whole),
        }
    }
}

/// Whether a header, or a field of this name, says where a client comes from.
fn tells_address(name: &[u8]) -> bool {
    const NAMES: [&[u8]; 8] = [
        b"x-forwarded-for",
        b"x-real-ip",
        b"forwarded",
        b"x-client-ip",
        b"client-ip",
        b"true-client-ip",
        b"cf-connecting-ip",
        b"ip",
    ];
    NAMES.iter().any(|known| known.eq_ignore_ascii_case(name))
}

/// What may be stored of the fields that every event may have.
pub fn known(event: &mut Event<'_>, privacy: &Privacy) {
    let Event { texts, text, .. } = event;
    let place = &mut texts[usize::from(Field::Ip.id())];
    *place = place.and_then(|ip| match privacy.addresses {
        Addresses::None => None,
        addresses => Some(masked(ip, text, addresses)),
    });
    if privacy.cookies.is_some() {
        let place = &mut texts[usize::from(Field::Cookie.id())];
        *place = place.and_then(|cookie| crumbs(cookie, text, privacy));
    }
}

/// The cookies of a header that may be stored; None when there is none of these.
fn crumbs<'a>(cookie: Span<'a>, text: &mut Vec<u8>, privacy: &Privacy) -> Option<Span<'a>> {
    let whole = cookie.of(text).to_vec();
    let start = text.len();
    for crumb in whole.split(|byte| *byte == b';').map(<[u8]>::trim_ascii) {
        let key = crumb.split(|byte| *byte == b'=').next().unwrap_or_default();
        if privacy.keeps(key.trim_ascii()) {
            if text.len() > start {
                text.extend_from_slice(b"; ");
            }
            text.extend_from_slice(crumb);
        }
    }
    (text.len() > start).then(|| decoded(start, text))
}

/// A value with every address in it masked, or taken out.
pub fn masked<'a>(value: Span<'a>, text: &mut Vec<u8>, addresses: Addresses) -> Span<'a> {
    if addresses == Addresses::Whole {
        return value;
    }
    let whole = value.of(text);
    let part_of_one = |byte: &u8| byte.is_ascii_hexdigit() || matches!(byte, b'.' | b':');
    let runs = || whole.chunk_by(|a, b| part_of_one(a) == part_of_one(b));
    if !runs().any(|run| address(run).is_some()) {
        return value;
    }
    let mut out = Vec::with_capacity(whole.len());
    for run in runs() {
        match (address(run), addresses) {
            (None, _) => out.extend_from_slice(run),
            (Some((address, rest)), Addresses::Masked) => {
                out.extend_from_slice(mask(address).to_string().as_bytes());
                out.extend_from_slice(rest);
            }
            (Some(_), _) => {}
        }
    }
    let start = text.len();
    text.extend_from_slice(&out);
    decoded(start, text)
}

/// An address, and the port that may follow it.
fn address(run: &[u8]) -> Option<(IpAddr, &[u8])> {
    let word = std::str::from_utf8(run).ok()?;
    if let Ok(address) = word.parse() {
        return Some((address, b""));
    }
    let port = word.rfind(':')?;
    let SocketAddr::V4(with_port) = word.parse().ok()? else { return None };
    Some((IpAddr::V4(*with_port.ip()), &run[port..]))
}

fn mask(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(v4) => v4_of(v4).into(),
        IpAddr::V6(v6) => match (v6.to_ipv4_mapped(), v6.segments()) {
            (Some(v4), _) => v4_of(v4).to_ipv6_mapped().into(),
            // 6to4: the 32 bits behind the first 16 are an IPv4 address.
            (None, [0x2002, a, b, ..]) => {
                Ipv6Addr::new(0x2002, a, b & 0xFF00, 0, 0, 0, 0, 0).into()
            }
            (None, [a, b, c, ..]) => Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0).into(),
        },
    }
}

fn v4_of(v4: Ipv4Addr) -> Ipv4Addr {
    let [a, b, c, _] = v4.octets();
    Ipv4Addr::new(a, b, c, 0)
}

fn decoded<'a>(start: usize, text: &[u8]) -> Span<'a> {
    Span::Decoded { start: start as u32, len: (text.len() - start) as u32 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(value: &str, addresses: Addresses) -> String {
        let mut text = b"before".to_vec();
        let span = masked(Span::Sent(value.as_bytes()), &mut text, addresses);
        String::from_utf8(span.of(&text).to_vec()).unwrap()
    }

    #[test]
    fn every_address_in_a_value_is_masked_and_nothing_else() {
        for (sent, kept) in [
            ("192.0.2.77", "192.0.2.0"),
            ("2001:db8:1:2::9", "2001:db8:1::"),
            ("::ffff:192.0.2.77", "::ffff:192.0.2.0"),
            ("2002:c000:24d::1", "2002:c000:200::"),
            ("::1", "::"),
            ("192.0.2.77, 10.1.2.3,2001:db8:1:2::9", "192.0.2.0, 10.1.2.0,2001:db8:1::"),
            ("192.0.2.77:4711", "192.0.2.0:4711"),
            (
                "for=\"[2001:db8:1:2::9]:4711\";by=192.0.2.77",
                "for=\"[2001:db8:1::]:4711\";by=192.0.2.0",
            ),
            ("unknown", "unknown"),
            ("12:30:45", "12:30:45"),
            ("1.25", "1.25"),
            ("", ""),
        ] {
            assert_eq!(shown(sent, Addresses::Masked), kept);
            assert_eq!(shown(sent, Addresses::Whole), sent);
        }
        assert_eq!(shown("192.0.2.77, x", Addresses::None), ", x");
    }
}
