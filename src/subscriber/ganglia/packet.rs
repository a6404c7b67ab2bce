//! A metric -> what gmetric of Ganglia 3.1 and later sends of it, in XDR (RFC 4506): all is in units of four bytes, the
//! most significant first.
//!
//! ```text
//!   meaning   128 | id | type | name | units | slope | tmax | dmax | count, then name and text each
//!   value     133 | id | format | text
//!   id        host | name | spoof (0 or 1)
//!   a string  its length | its bytes, filled up with NUL
//! ```

use std::time::Duration;

const MEANING: u32 = 128;
const VALUE_AS_TEXT: u32 = 133;
/// It rises and falls.
const SLOPE_BOTH: u32 = 3;
/// gmond forgets a metric that it has not heard of for so many intervals.
const FORGOTTEN: u64 = 20;

/// Whose metrics these are.
#[derive(Clone, Debug)]
pub struct Host {
    text: String,
    spoof: bool,
}

/// A number with its name.
#[derive(Clone, Debug, PartialEq)]
pub struct Metric {
    name: String,
    value: f64,
    units: &'static str,
    title: String,
}

impl Host {
    /// This machine's: gmond knows it by the address that packets come from.
    pub fn own() -> Host {
        Host { text: "sparkngin".to_owned(), spoof: false }
    }

    /// Another one's, as `ADDRESS:NAME`.
    pub fn other(text: &str) -> Option<Host> {
        let (address, name) = text.split_once(':')?;
        let is_name = !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || c == ':');
        let known = address.parse::<std::net::Ipv4Addr>().is_ok() && is_name;
        known.then(|| Host { text: text.to_owned(), spoof: true })
    }
}

impl Metric {
    /// One; `sparkngin_` goes before its name. gmetad makes files of names, so other characters do not get into them.
    pub fn new(name: &str, value: f64, units: &'static str, title: &str) -> Metric {
        let legal = |c: char| {
            if c.is_ascii_alphanumeric() || matches!(c, '.' | '-') { c } else { '_' }
        };
        let name = format!("sparkngin_{}", name.chars().map(legal).collect::<String>());
        Metric { name, value, units, title: title.to_owned() }
    }
}

/// What a metric is.
pub fn meaning(host: &Host, metric: &Metric, interval: Duration) -> Vec<u8> {
    let mut packet = begin(MEANING, host, metric);
    for text in ["double", &metric.name, metric.units] {
        string(&mut packet, text);
    }
    let seconds = interval.as_secs().max(1);
    for number in [SLOPE_BOTH, seconds as u32, (FORGOTTEN * seconds) as u32] {
        packet.extend(number.to_be_bytes());
    }
    let more = [("GROUP", "sparkngin"), ("TITLE", metric.name.as_str()), ("DESC", &metric.title)];
    packet.extend((more.len() as u32).to_be_bytes());
    for (name, text) in more {
        string(&mut packet, name);
        string(&mut packet, text);
    }
    packet
}

/// Its value.
pub fn value(host: &Host, metric: &Metric) -> Vec<u8> {
    let mut packet = begin(VALUE_AS_TEXT, host, metric);
    string(&mut packet, "%s");
    string(&mut packet, &metric.value.to_string());
    packet
}

fn begin(kind: u32, host: &Host, metric: &Metric) -> Vec<u8> {
    let mut packet = kind.to_be_bytes().to_vec();
    string(&mut packet, &host.text);
    string(&mut packet, &metric.name);
    packet.extend(u32::from(host.spoof).to_be_bytes());
    packet
}

fn string(packet: &mut Vec<u8>, text: &str) {
    packet.extend((text.len() as u32).to_be_bytes());
    packet.extend(text.as_bytes());
    packet.resize(packet.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_lies_in_units_of_four_bytes() {
        let metric = Metric::new("a b", 1.5, "s", "t");
        let host = Host { text: "h".into(), spoof: false };
        let expected = b"\0\0\0\x85\0\0\0\x01h\0\0\0\0\0\0\x0dsparkngin_a_b\0\0\0\0\0\0\0\0\0\0\x02%s\0\0\0\0\0\x031.5\0";
        assert_eq!(value(&host, &metric), expected);
        assert_eq!(meaning(&host, &metric, Duration::from_secs(30)).len() % 4, 0);
    }

    #[test]
    fn a_spoofed_host_has_an_address_and_a_name() {
        assert!(Host::other("192.0.2.1:web1").is_some());
        for none in ["web1", "web1:192.0.2.1", "192.0.2.1:", "192.0.2.1:a b", "192.0.2.1:a:b"] {
            assert!(Host::other(none).is_none(), "{none}");
        }
    }
}
