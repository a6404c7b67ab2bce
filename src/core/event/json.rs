//! A JSON body: whether it is one. It is stored as it came.

use serde::de::IgnoredAny;

use super::{DEEPEST_JSON, Invalid};

/// Whether a content type says JSON: `application/json` or `anything/anything+json`, with parameters or without.
pub fn says_json(content_type: &[u8]) -> bool {
    let kind = content_type.split(|b| *b == b';').next().unwrap_or_default().trim_ascii();
    let ends = |with: &[u8]| {
        kind.len().checked_sub(with.len()).is_some_and(|at| kind[at..].eq_ignore_ascii_case(with))
    };
    kind.eq_ignore_ascii_case(b"application/json") || (kind.contains(&b'/') && ends(b"+json"))
}

/// Checks that a body is one JSON value, of UTF-8, and not nested too deep for those who will read it.
///
/// # Errors
/// [`Invalid::Json`] with the place, [`Invalid::Depth`].
pub fn check(body: &[u8]) -> Result<(), Invalid> {
    let text = std::str::from_utf8(body).map_err(|bad| Invalid::Json {
        what: format!("byte {} is not UTF-8", bad.valid_up_to()),
    })?;
    serde_json::from_str::<IgnoredAny>(text)
        .map_err(|bad| Invalid::Json { what: bad.to_string() })?;
    // Counting is many times faster than looking, and enough for nearly all.
    let opened = body.iter().filter(|b| matches!(b, b'[' | b'{')).count();
    let depth = if opened > DEEPEST_JSON { depth(body) } else { 0 };
    if depth > DEEPEST_JSON { Err(Invalid::Depth { depth }) } else { Ok(()) }
}

/// How deep arrays and objects lie in each other, in a text that is JSON.
fn depth(json: &[u8]) -> usize {
    let (mut now, mut most, mut quoted, mut escaped) = (0_usize, 0, false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ if quoted => {}
            b'[' | b'{' => {
                now += 1;
                most = most.max(now);
            }
            b']' | b'}' => now = now.saturating_sub(1),
            _ => {}
        }
    }
    most
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_told_by_its_type() {
        for yes in [
            "application/json",
            "Application/JSON; charset=utf-8",
            " application/json ",
            "application/cloudevents+json",
            "application/ld+JSON;x=y",
        ] {
            assert!(says_json(yes.as_bytes()), "{yes}");
        }
        for no in ["", "text/plain", "application/jsonx", "json", "+json", "text/plain; a=+json"] {
            assert!(!says_json(no.as_bytes()), "{no}");
        }
    }

    #[test]
    fn brackets_in_strings_nest_nothing() {
        let flat = format!(
            r#"["{}", "\"{}\\", {}]"#,
            "[".repeat(500),
            "{".repeat(500),
            "[],".repeat(200) + "1"
        );
        assert_eq!(check(flat.as_bytes()), Ok(()));
        let nested = |n: usize| "[".repeat(n) + &"]".repeat(n);
        assert_eq!(check(nested(100).as_bytes()), Ok(()));
        assert_eq!(check(nested(101).as_bytes()), Err(Invalid::Depth { depth: 101 }));
        assert_eq!(check(nested(50_000).as_bytes()), Err(Invalid::Depth { depth: 50_000 }));
    }

    #[test]
    fn what_is_not_json_is_told_with_its_place() {
        let place = |body: &[u8]| check(body).unwrap_err().to_string();
        assert!(
            place(b"{\"a\":\n1,}").ends_with("key must be a string at line 2 column 3"),
            "{}",
            place(b"{\"a\":\n1,}")
        );
        assert!(place(b"\"\xFF\"").ends_with("byte 1 is not UTF-8"));
        for bad in
            ["", " ", "{", "nul", "1 2", "\u{feff}1", "\"\u{1}\"", "'a'", "NaN", "01", "\"\\q\""]
        {
            assert!(check(bad.as_bytes()).is_err(), "{bad:?}");
        }
        for good in
            ["0", " null ", "\"\\ud834\\udd1e\"", "1e999999", "{\"a\":1,\"a\":2}", "[[],{}]"]
        {
            assert_eq!(check(good.as_bytes()), Ok(()), "{good}");
        }
    }
}
