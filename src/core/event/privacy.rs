//! What of a client is not kept: the whole of its address, and cookies that nobody listed. It is looked
//! at where a value enters an event, so nothing of it has bytes anywhere; but what is in the payload is the sender's.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

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

    /// Whether a field, or a header, of the client's own may be stored: a cookie that is not listed may not.
    pub(super) fn takes(&self, name: &[u8]) -> bool {
        name.strip_prefix(COOKIE).is_none_or(|key| self.keeps(key))
    }
}

/// Whether a header, or a field of this name, says where a client comes from, in any case, with `-` or `_`.
pub fn tells_address(name: &[u8]) -> bool {
    const NAMES: [&[u8]; 14] = [
        b"x-forwarded-for",
        b"x-real-ip",
        b"forwarded",
        b"x-client-ip",
        b"client-ip",
        b"true-client-ip",
        b"cf-connecting-ip",
        b"fastly-client-ip",
        b"x-cluster-client-ip",
        b"x-original-forwarded-for",
        b"x-originating-ip",
        b"x-remote-addr",
        b"remote-addr",
        b"ip",
    ];
    let same = |(a, b): (&u8, &u8)| a.eq_ignore_ascii_case(b) || (*a == b'_' && *b == b'-');
    NAMES.iter().any(|known| known.len() == name.len() && name.iter().zip(*known).all(same))
}

/// What may be stored of the fields that every event may have.
pub fn known(event: &mut Event<'_>, privacy: &Privacy) {
    let Event { texts, text, .. } = event;
    let place = &mut texts[usize::from(Field::Ip.id())];
    match privacy.addresses {
        Addresses::Whole => {}
        Addresses::None => *place = None,
        Addresses::Masked => {
            *place = place.map(|ip| match parsed(ip.of(text)) {
                Some(address) => added(&mask(address).to_string(), text),
                // The peer of a unix socket has none.
                None => ip,
            });
        }
    }
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

/// What may be stored of a value that says where a client comes from: a list of addresses, perhaps as `Forwarded` has
/// them. What is not written as an address is `unknown`: nobody could tell what it gives away.
pub fn client<'a>(value: Span<'a>, text: &mut Vec<u8>, how: Addresses) -> Option<Span<'a>> {
    match how {
        Addresses::Whole => return Some(value),
        Addresses::None => return None,
        Addresses::Masked => {}
    }
    let whole = value.of(text);
    let mut out = String::with_capacity(whole.len());
    for (at, element) in whole.split(|byte| *byte == b',').enumerate() {
        out.push_str(if at == 0 { "" } else { ", " });
        let mut between = "";
        for part in element.split(|byte| *byte == b';').map(<[u8]>::trim_ascii) {
            let Some(part) = masked_part(part) else { continue };
            out.push_str(between);
            out.push_str(&part);
            between = ";";
        }
    }
    Some(added(&out, text))
}

/// An address, or a pair of `Forwarded` (RFC 7239): its protocol and our own name stay as they are.
fn masked_part(part: &[u8]) -> Option<Cow<'_, str>> {
    let equals = part.iter().position(|byte| *byte == b'=');
    let (name, said) = match equals {
        Some(at) => (part[..at].to_ascii_lowercase(), &part[at + 1..]),
        None => (Vec::new(), part),
    };
    match name.as_slice() {
        _ if part.is_empty() => None,
        b"proto" | b"host" => Some(String::from_utf8_lossy(part)),
        b"" | b"for" | b"by" => {
            let pair = !name.is_empty();
            let masked = match parsed(bare(said)).map(mask) {
                None => "unknown".into(),
                Some(IpAddr::V6(v6)) if pair => format!("\"[{v6}]\""),
                Some(address) => address.to_string(),
            };
            let name = String::from_utf8_lossy(&name);
            Some(Cow::Owned(if pair { format!("{name}={masked}") } else { masked }))
        }
        _ => None,
    }
}

/// Without quotation marks, the brackets of IPv6, and a port.
fn bare(said: &[u8]) -> &[u8] {
    let quoted = said.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\""));
    let said = quoted.unwrap_or(said);
    let port = |rest: &[u8]| {
        rest.is_empty() || (rest[0] == b':' && rest[1..].iter().all(u8::is_ascii_digit))
    };
    let end = |of: u8| said.iter().position(|byte| *byte == of);
    match (said.first(), end(b']'), end(b':')) {
        (Some(b'['), Some(end), _) if port(&said[end + 1..]) => &said[1..end],
        (Some(b'0'..=b'9'), None, Some(end)) if port(&said[end..]) => &said[..end],
        _ => said,
    }
}

/// What may be stored of any value of the server's in which addresses of clients may stand: with each of them masked, or
/// nothing at all of one that has any.
pub fn among<'a>(value: Span<'a>, text: &mut Vec<u8>, how: Addresses) -> Option<Span<'a>> {
    let word = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b':');
    let whole = value.of(text);
    let words = || whole.chunk_by(|a, b| word(a) == word(b));
    if how == Addresses::Whole || !words().any(|word| address(word).is_some()) {
        return Some(value);
    }
    if how == Addresses::None {
        return None;
    }
    let mut out = Vec::with_capacity(whole.len());
    for word in words() {
        match address(word) {
            None => out.extend_from_slice(word),
            Some((address, rest)) => {
                out.extend_from_slice(mask(address).to_string().as_bytes());
                out.extend_from_slice(rest);
            }
        }
    }
    let start = text.len();
    text.extend_from_slice(&out);
    Some(decoded(start, text))
}

/// The address that a word is, and what follows it: a port, or the dot of a sentence.
fn address(word: &[u8]) -> Option<(IpAddr, &[u8])> {
    let last = word.iter().rposition(|byte| !matches!(byte, b'.' | b':'))?;
    let (bare, end) = word.split_at(last + 1);
    if let Some(address) = parsed(word) {
        return Some((address, b""));
    }
    if let Some(address) = parsed(bare).or_else(|| four_numbers(bare)) {
        return Some((address, end));
    }
    let colon = bare.iter().position(|byte| *byte == b':')?;
    let (before, port) = bare.split_at(colon);
    let digits = port[1..].iter().all(u8::is_ascii_digit);
    let address = four_numbers(before).filter(|_| digits)?;
    Some((address, &word[colon..]))
}

fn parsed(text: &[u8]) -> Option<IpAddr> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// IPv4 as C reads it: each number decimal, octal behind a 0, or hexadecimal behind 0x.
fn four_numbers(text: &[u8]) -> Option<IpAddr> {
    let mut numbers = std::str::from_utf8(text).ok()?.split('.').map(|number| {
        let lower = number.to_ascii_lowercase();
        let octal = || u8::from_str_radix(&lower, 8).ok().filter(|_| lower.starts_with('0'));
        match lower.strip_prefix("0x") {
            Some(hex) => u8::from_str_radix(hex, 16).ok(),
            None => octal().or_else(|| lower.parse().ok()),
        }
    });
    let mut next = || numbers.next().flatten();
    let four = Ipv4Addr::new(next()?, next()?, next()?, next()?);
    numbers.next().is_none().then_some(four.into())
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

fn added<'a>(value: &str, text: &mut Vec<u8>) -> Span<'a> {
    let start = text.len();
    text.extend_from_slice(value.as_bytes());
    decoded(start, text)
}

fn decoded<'a>(start: usize, text: &[u8]) -> Span<'a> {
    Span::Decoded { start: start as u32, len: (text.len() - start) as u32 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(
        how: impl for<'a> Fn(Span<'a>, &mut Vec<u8>, Addresses) -> Option<Span<'a>>,
        value: &str,
        addresses: Addresses,
    ) -> String {
        let mut text = b"before".to_vec();
        match how(Span::Sent(value.as_bytes()), &mut text, addresses) {
            None => "nothing".into(),
            Some(span) => String::from_utf8(span.of(&text).to_vec()).unwrap(),
        }
    }

    #[test]
    fn of_a_client_s_addresses_nothing_is_stored_that_is_not_known_to_be_masked() {
        for (sent, kept) in [
            ("192.0.2.77", "192.0.2.0"),
            ("2001:db8:1:2::9", "2001:db8:1::"),
            ("::ffff:192.0.2.77", "::ffff:192.0.2.0"),
            ("::192.0.2.77", "::"),
            ("2002:c000:24d::1", "2002:c000:200::"),
            ("::1", "::"),
            ("192.0.2.77, 10.1.2.3,2001:db8:1:2::9", "192.0.2.0, 10.1.2.0, 2001:db8:1::"),
            ("192.0.2.77:4711", "192.0.2.0"),
            ("[2001:db8:1:2::9]:4711, [2001:db8:1:2::9]", "2001:db8:1::, 2001:db8:1::"),
            (
                "For=\"[2001:db8:1:2::9]:4711\";by=192.0.2.77;proto=https, for=192.0.2.77",
                "for=\"[2001:db8:1::]\";by=192.0.2.0;proto=https, for=192.0.2.0",
            ),
            ("for=_hidden;host=a.example;192=192.0.2.77", "for=unknown;host=a.example"),
            ("unknown", "unknown"),
            ("192.0.2.77.", "unknown"),
            ("0300.0.02.0115", "unknown"),
            ("0xC0.0.2.77", "unknown"),
            ("3221226061", "unknown"),
            ("192.0.589", "unknown"),
            ("fe80::1%eth0", "unknown"),
            ("192.0.2.77 10.1.2.3", "unknown"),
            ("192.0.2.77:x", "unknown"),
            ("[192.0.2.77", "unknown"),
            ("a\u{e9}, ,", "unknown, , "),
            ("", ""),
        ] {
            assert_eq!(shown(client, sent, Addresses::Masked), kept, "{sent}");
            assert_eq!(shown(client, sent, Addresses::Whole), sent);
            assert_eq!(shown(client, sent, Addresses::None), "nothing");
        }
    }

    #[test]
    fn every_address_among_other_things_is_masked_and_nothing_else() {
        for (sent, kept) in [
            ("192.0.2.77", "192.0.2.0"),
            ("2001:db8:1:2::9", "2001:db8:1::"),
            ("::ffff:192.0.2.77", "::ffff:192.0.2.0"),
            ("192.0.2.77, 10.1.2.3,2001:db8:1:2::9", "192.0.2.0, 10.1.2.0,2001:db8:1::"),
            ("192.0.2.77:4711", "192.0.2.0:4711"),
            ("for=\"[2001:db8:1:2::9]:4711\"", "for=\"[2001:db8:1::]:4711\""),
            ("{\"a\":\"192.0.2.77\",\"n\":1.5}", "{\"a\":\"192.0.2.0\",\"n\":1.5}"),
            ("from 192.0.2.77.", "from 192.0.2.0."),
            ("0300.0.02.0115", "192.0.2.0"),
            ("0xC0.0.2.0x4D:80", "192.0.2.0:80"),
            ("192.000.002.077", "192.0.2.0"),
            ("fe80::1%eth0", "fe80::%eth0"),
        ] {
            assert_eq!(shown(among, sent, Addresses::Masked), kept, "{sent}");
            assert_eq!(shown(among, sent, Addresses::Whole), sent);
            assert_eq!(shown(among, sent, Addresses::None), "nothing", "{sent}");
        }
        for other in [
            "unknown",
            "12:30:45",
            "1.25",
            "3221226061",
            "1.2.3",
            "1.2.3.4.5",
            "a.1.2.3.4",
            "256.1.1.1",
            "",
        ] {
            for how in [Addresses::Masked, Addresses::Whole, Addresses::None] {
                assert_eq!(shown(among, other, how), other);
            }
        }
    }

    #[test]
    fn what_says_where_a_client_comes_from_is_known_by_its_name() {
        for yes in ["X-Forwarded-For", "x_real_ip", "IP", "True-Client-IP", "remote_addr"] {
            assert!(tells_address(yes.as_bytes()), "{yes}");
        }
        for no in ["", "ip2", "x-forwarded-fo", "x-forwarded-host", "upstream-addr"] {
            assert!(!tells_address(no.as_bytes()), "{no}");
        }
    }
}
