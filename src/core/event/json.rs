//! A JSON body: whether it is one. It is stored as it came, so nothing is built, and one pass is enough.

mod text;

use super::{Invalid, MOST_DEPTH};
use crate::query::Span;
use text::{Must, Text, Wrong};

/// Whether a content type says JSON: `application/json` or `anything/anything+json`, with parameters or without.
pub fn says_json(content_type: &[u8]) -> bool {
    // Nearly always.
    if content_type == b"application/json" {
        return true;
    }
    let kind = media_type(content_type);
    let ends = |with: &[u8]| {
        kind.len().checked_sub(with.len()).is_some_and(|at| kind[at..].eq_ignore_ascii_case(with))
    };
    kind.eq_ignore_ascii_case(b"application/json") || (kind.contains(&b'/') && ends(b"+json"))
}

/// Whether this is one JSON value, not too deep.
pub fn is_json(text: &[u8]) -> bool {
    check(text, MOST_DEPTH, |_, _| {}).is_ok()
}

/// Whether this is one JSON array whose elements are none deeper than `deepest`, or are passed over: see [`Elements`].
pub fn is_array(text: &[u8], deepest: usize) -> bool {
    let Ok(mut elements) = Elements::of(text, deepest) else { return false };
    loop {
        match elements.next(|_, _| {}) {
            Ok(Some(_)) => {}
            Ok(None) => return true,
            Err(_) => return false,
        }
    }
}

/// A content type without its parameters.
pub fn media_type(content_type: &[u8]) -> &[u8] {
    content_type.split(|b| *b == b';').next().unwrap_or_default().trim_ascii()
}

/// What a scalar says, as text: a string's characters, anything else as it was sent. What must be decoded is appended to
/// `text`. None for a string with half a surrogate pair, which is no text.
pub fn text<'t>(value: &'t [u8], text: &mut Vec<u8>) -> Option<Span<'t>> {
    let Some(inside) = value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")) else {
        return Some(Span::Sent(value));
    };
    if !inside.contains(&b'\\') {
        return Some(Span::Sent(inside));
    }
    let decoded = serde_json::from_slice::<String>(value).ok()?;
    let (start, len) = (text.len(), decoded.len());
    text.extend_from_slice(decoded.as_bytes());
    Some(Span::Decoded { start: u32::try_from(start).ok()?, len: u32::try_from(len).ok()? })
}

/// Checks that a body is one JSON value (RFC 8259), of UTF-8, and not nested deeper than `deepest` (at most
/// [`MOST_DEPTH`]). Shows `see` each member of the outermost object, as they were sent: the name without its quotation
/// marks, the value with them.
///
/// # Errors
/// [`Invalid::Json`] with the place of the first wrong byte, [`Invalid::Depth`].
pub fn check<'t>(
    body: &'t [u8],
    deepest: usize,
    see: impl FnMut(&'t [u8], &'t [u8]),
) -> Result<(), Invalid> {
    let mut text = Text::of(body, deepest)?;
    text.value(see).and_then(|()| text.end()).map_err(|wrong| text.place(&wrong))
}

/// The elements of a body that is one JSON array, one after the other, each checked as [`check`] does.
pub struct Elements<'t> {
    text: Text<'t>,
    begun: bool,
}

impl<'t> Elements<'t> {
    /// Nothing but the encoding is looked at yet. An element is nested at most `deepest`.
    ///
    /// # Errors
    /// [`Invalid::Json`] when it is not UTF-8.
    pub fn of(body: &'t [u8], deepest: usize) -> Result<Elements<'t>, Invalid> {
        Ok(Elements { text: Text::of(body, deepest)?, begun: false })
    }

    /// The next element, whose members `see` is shown; None behind the last one, when the array ends the body. One that
    /// is nested too deeply is [`Invalid::Depth`], and is passed over by its brackets.
    ///
    /// # Errors
    /// [`Invalid::Json`]: then the body is no array, and there is no next one.
    pub fn next(
        &mut self,
        see: impl FnMut(&'t [u8], &'t [u8]),
    ) -> Result<Option<Result<&'t [u8], Invalid>>, Invalid> {
        self.step(see).map_err(|wrong| self.text.place(&wrong))
    }

    fn step(
        &mut self,
        see: impl FnMut(&'t [u8], &'t [u8]),
    ) -> Result<Option<Result<&'t [u8], Invalid>>, Wrong> {
        let text = &mut self.text;
        let (wanted, must) = if self.begun { (b',', Must::InArray) } else { (b'[', Must::Array) };
        match text.after_spaces() {
            Some(byte) if byte == wanted => text.at += 1,
            Some(b']') if self.begun => {
                text.at += 1;
                return text.end().map(|()| None);
            }
            _ => return Err(text.must(must)),
        }
        let first = text.after_spaces();
        if first == Some(b']') && !self.begun {
            text.at += 1;
            return text.end().map(|()| None);
        }
        self.begun = true;
        let start = text.at;
        match text.value(see) {
            Ok(()) => Ok(Some(Ok(&text.body[start..text.at]))),
            Err(wrong @ Wrong { must: Must::Rise, .. }) => {
                let deep = text.place(&wrong);
                text.at = start;
                text.pass()?;
                Ok(Some(Err(deep)))
            }
            Err(wrong) => Err(wrong),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::de::IgnoredAny;

    use super::*;

    fn wrong(body: &[u8]) -> String {
        check(body, 100, |_, _| {}).unwrap_err().to_string()
    }

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
    fn brackets_nest_outside_of_strings_alone() {
        let nested = |n: usize| "[".repeat(n) + &"]".repeat(n);
        assert_eq!(check(nested(100).as_bytes(), 100, |_, _| {}), Ok(()));
        assert_eq!(
            check(nested(101).as_bytes(), 100, |_, _| {}),
            Err(Invalid::Depth { line: 1, column: 101, limit: 100 })
        );
        assert!(wrong(nested(50_000).as_bytes()).contains("line 1 column 101"));
        let flat = format!(
            r#"["{}","\"{}\\",{}]"#,
            "[".repeat(500),
            "{".repeat(500),
            "[],".repeat(200) + "{}"
        );
        assert_eq!(check(flat.as_bytes(), 100, |_, _| {}), Ok(()));
        let mixed = r#"{"a":[{"b":["#.repeat(25) + "0" + &"]}]}".repeat(25);
        assert_eq!(check(mixed.as_bytes(), 100, |_, _| {}), Ok(()));
        assert!(check(mixed.replacen("0]", "0}", 1).as_bytes(), 100, |_, _| {}).is_err());
    }

    #[test]
    fn what_is_not_json_is_told_with_its_place() {
        for (body, place) in [
            ("", "line 1 column 1 there must be a value"),
            ("{\"a\":\n1,}", "line 2 column 3 there must be a name in quotation marks"),
            ("[1,]", "line 1 column 4 there must be a value"),
            ("[1 2]", "line 1 column 4 there must be a \",\" or \"]\""),
            ("{\"a\":1]", "line 1 column 7 there must be a \",\" or \"}\""),
            ("{\"a\" 1}", "line 1 column 6 there must be a \":\""),
            ("1 2", "line 1 column 3 there must be the end"),
            ("1.", "line 1 column 3 there must be a digit"),
            ("-", "line 1 column 2 there must be a digit"),
            ("\n\n\"\\q\"", "line 3 column 2 there must be an escape of JSON"),
            (
                "\"a\u{1}\"",
                "line 1 column 3 there must be a string's end, and no control character before it",
            ),
            ("nul", "line 1 column 1 there must be a value"),
        ] {
            let sentence = wrong(body.as_bytes());
            assert!(sentence.ends_with(place), "{body}: {sentence}");
        }
        assert!(wrong(b"\n\"\xFF\"").ends_with("line 2 column 2 there must be UTF-8"));
        assert!(
            wrong("\u{feff}1".as_bytes()).ends_with(
                "line 1 column 1 there must be a value, and no byte order mark before it"
            )
        );
    }

    #[test]
    fn the_outermost_object_shows_its_members_as_they_were_sent() {
        let seen = |body: &str| {
            let mut seen = Vec::new();
            let text = |bytes| String::from_utf8(<[u8]>::to_vec(bytes)).unwrap();
            check(body.as_bytes(), 100, |name, value| seen.push(text(name) + "=" + &text(value)))
                .unwrap();
            seen.join(" ")
        };
        let body = r#" { "a" : "x\ny" , "b":-1.50e2, "c":{"d":1,"e":[{"f":2}]}, "g":null,"h":true,"":[],"a":0, "i\u0041":"" } "#;
        assert_eq!(
            seen(body),
            r#"a="x\ny" b=-1.50e2 c={"d":1,"e":[{"f":2}]} g=null h=true =[] a=0 i\u0041="""#
        );
        assert_eq!(
            seen(r#"{"a":{},"b":[[1] , {"c":{}}],"d":{"e":{"f":3}}}"#),
            r#"a={} b=[[1] , {"c":{}}] d={"e":{"f":3}}"#
        );
        for none in ["[{\"a\":1}]", "\"a\"", "1", "{}", "[[1,2],3]"] {
            assert_eq!(seen(none), "", "{none}");
        }
    }

    fn agrees(text: &str) {
        let theirs = serde_json::from_str::<IgnoredAny>(text).is_ok();
        assert_eq!(check(text.as_bytes(), 100, |_, _| {}).is_ok(), theirs, "{text:?}");
    }

    #[test]
    fn serde_json_agrees_on_every_short_text() {
        let letters = ['{', '}', '[', ']', '"', ',', ':', '0', '1', '-', '.', 'e', '\\', 'u', ' '];
        let mut texts = vec![String::new()];
        for _ in 0..5 {
            texts = texts
                .iter()
                .flat_map(|text| letters.map(|letter| format!("{text}{letter}")))
                .collect();
            texts.iter().for_each(|text| agrees(text));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

        #[test]
        fn serde_json_agrees(
            parts in proptest::collection::vec(prop::sample::select(vec![
                "{", "}", "[", "]", "[]", "{}", "\"", "\"a\"", "\"a\":", ",", ":", "0", "01", "-1.5e+3", "1E400", "-", ".",
                "e", "true", "false", "null", "nul", " ", "\n", "\\", "\\u00e9", "\\uD800", "\\x", "\\\"", "\u{1}", "\u{e9}",
                "\u{2028}", "\"\\\\\"", "\"long enough for words of eight\\n and more\"",
            ]), 0..12),
        ) {
            agrees(&parts.concat());
        }

        #[test]
        fn serde_json_agrees_on_what_is_nearly_json(
            json in "(\\{\"a\":(1|\"b\\\\n\"|\\[0,\\{\\}\\]),\"c\":[tn][a-z]{3}\\}|\\[-?[0-9]{1,3}(\\.[0-9])?,\"[ -~]{0,12}\"\\])",
            at in any::<prop::sample::Index>(), letter in "[ -~]",
        ) {
            agrees(&json);
            let at = at.index(json.len());
            agrees(&[&json[..at], &letter, &json[at + 1..]].concat());
            agrees(&[&json[..at], &json[at + 1..]].concat());
            agrees(&[&json[..at], &letter, &json[at..]].concat());
        }
    }
}
