//! Numbers as people read them.

use sparkngin_core::took::LONGER;

/// A number with its thousands apart.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A rate, so that small ones are seen.
pub fn rate(number: f64) -> String {
    match number {
        0.0 => "0".to_owned(),
        n if n < 10.0 => format!("{n:.1}"),
        n => count(n.round() as u64),
    }
}

/// A time of so many ns, in its largest unit or two.
pub fn duration(ns: u64) -> String {
    let s = ns / 1_000_000_000;
    match s {
        0 => format!("{} ms", ns / 1_000_000),
        1..60 => format!("{s} s"),
        60..3600 => format!("{} min {} s", s / 60, s % 60),
        3600..86_400 => format!("{} h {} min", s / 3600, s % 3600 / 60),
        86_400..8_640_000 => format!("{} d {} h", s / 86_400, s % 86_400 / 3600),
        _ => format!("{} d", s / 86_400),
    }
}

/// A short time of so many us.
pub fn short(us: u64) -> String {
    match us {
        0..1000 => format!("{} ms", us as f64 / 1000.0),
        1000..1_000_000 => format!("{} ms", us / 1000),
        1_000_000..60_000_000 => format!("{} s", (us / 100_000) as f64 / 10.0),
        LONGER.. => "longer than 2 h".to_owned(),
        us => duration(us.saturating_mul(1000)),
    }
}

/// Bytes.
pub fn bytes(number: u64) -> String {
    const UNITS: [&str; 4] = ["bytes", "KiB", "MiB", "GiB"];
    let mut unit = 0;
    let mut value = number as f64;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let round = if value.fract() == 0.0 { 0 } else { 1 };
    format!("{value:.round$} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_people_read_them() {
        assert_eq!([0, 999, 1000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([0.0, 0.24, 9.96, 1234.4].map(rate), ["0", "0.2", "10.0", "1,234"]);
        let s = 1_000_000_000;
        assert_eq!(
            [s / 4, 59 * s, 61 * s, 3600 * s, 90_000 * s].map(duration),
            ["250 ms", "59 s", "1 min 1 s", "1 h 0 min", "1 d 1 h"]
        );
        assert_eq!(
            [0, 250, 4000, 1_500_000, 2_000_000, 60_000_000, LONGER].map(short),
            ["0 ms", "0.25 ms", "4 ms", "1.5 s", "2 s", "1 min 0 s", "longer than 2 h"]
        );
        assert_eq!([512, 65_536, 1_572_864].map(bytes), ["512 bytes", "64 KiB", "1.5 MiB"]);
    }
}
