//! A JSON body: whether it is one. It is stored as it came, so nothing is built, and one pass is enough.

use super::{Invalid, MOST_DEPTH};
use crate::escape::find;
use crate::lanes::among_or_control;
use crate::query::Span;

/// What ends a run of a string's characters, as a control character does.
const ENDS: [u8; 2] = [b'"', b'\\'];

// One bit of a u128 for each that is open.
const _: () = assert!(MOST_DEPTH <= 128);

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

/// What is wrong at a place.
struct Wrong {
    at: usize,
    must: Must,
}

/// What must be at a place.
#[derive(Clone, Copy)]
enum Must {
    Utf8,
    Value,
    Array,
    Name,
    Colon,
    InArray,
    InObject,
    Digit,
    String,
    Escape,
    End,
    /// Nothing may open here.
    Rise,
}

impl Must {
    const fn name(self) -> &'static str {
        match self {
            Must::Utf8 => "UTF-8",
            Must::Value => "a value",
            Must::Array => "a \"[\"",
            Must::Name => "a name in quotation marks",
            Must::Colon => "a \":\"",
            Must::InArray => "a \",\" or \"]\"",
            Must::InObject => "a \",\" or \"}\"",
            Must::Digit => "a digit",
            Must::String => "a string's end, and no control character before it",
            Must::Escape => "an escape of JSON",
            Must::End => "the end",
            Must::Rise => "less depth",
        }
    }
}

/// A text and a place in it.
struct Text<'t> {
    body: &'t [u8],
    at: usize,
    deepest: usize,
}

impl<'t> Text<'t> {
    fn of(body: &'t [u8], deepest: usize) -> Result<Text<'t>, Invalid> {
        let text = Text { body, at: 0, deepest: deepest.min(MOST_DEPTH) };
        // Nearly all is ASCII, which is seen faster.
        if body.is_ascii() {
            return Ok(text);
        }
        match std::str::from_utf8(body) {
            Ok(_) => Ok(text),
            Err(bad) => Err(text.place(&Wrong { at: bad.valid_up_to(), must: Must::Utf8 })),
        }
    }

    /// What is wrong, by line and column.
    fn place(&self, wrong: &Wrong) -> Invalid {
        let before = &self.body[..wrong.at.min(self.body.len())];
        let lines = before.split(|b| *b == b'\n');
        let column = lines.clone().next_back().map_or(0, <[u8]>::len) + 1;
        match wrong.must {
            Must::Rise => Invalid::Depth { line: lines.count(), column, limit: self.deepest },
            must => Invalid::Json { line: lines.count(), column, must: must.name() },
        }
    }

    /// Nothing more.
    fn end(&mut self) -> Result<(), Wrong> {
        if self.after_spaces().is_none() { Ok(()) } else { Err(self.must(Must::End)) }
    }

    /// One value, up to its last byte. Of an object the members are shown.
    fn value(&mut self, see: impl FnMut(&'t [u8], &'t [u8])) -> Result<(), Wrong> {
        match self.after_spaces() {
            Some(b'{') if self.deepest > 0 => self.object(see),
            _ => self.nested(0),
        }
    }

    /// The outermost object, from its bracket.
    fn object(&mut self, mut see: impl FnMut(&'t [u8], &'t [u8])) -> Result<(), Wrong> {
        self.at += 1;
        if self.after_spaces() == Some(b'}') {
            self.at += 1;
            return Ok(());
        }
        loop {
            let name = self.name()?;
            let first = self.after_spaces();
            let began = self.at;
            match first {
                Some(b'"') => self.string()?,
                _ => self.nested(1)?,
            }
            see(name, &self.body[began..self.at]);
            match self.after_spaces() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return Err(self.must(Must::InObject)),
            }
        }
    }

    /// One value, which lies in so many others.
    fn nested(&mut self, outer: usize) -> Result<(), Wrong> {
        // For each open array or object, the innermost at the lowest bit: whether it is an object.
        let (mut objects, mut depth) = (0_u128, outer);
        loop {
            // Here a value begins; in an object, behind its name.
            match self.after_spaces() {
                Some(open @ (b'[' | b'{')) => {
                    if depth == self.deepest {
                        return Err(self.must(Must::Rise));
                    }
                    self.at += 1;
                    let object = open == b'{';
                    // The brackets' codes are two apart.
                    if self.after_spaces() == Some(open + 2) {
                        self.at += 1;
                    } else {
                        depth += 1;
                        objects = objects << 1 | u128::from(object);
                        if object {
                            self.name()?;
                        }
                        continue;
                    }
                }
                Some(b'"') => self.string()?,
                Some(b'-' | b'0'..=b'9') => self.number()?,
                Some(b't') => self.word(b"true")?,
                Some(b'f') => self.word(b"false")?,
                Some(b'n') => self.word(b"null")?,
                _ => return Err(self.must(Must::Value)),
            }
            // Here one has ended; with it perhaps those around it.
            loop {
                if depth == outer {
                    return Ok(());
                }
                let next = self.after_spaces();
                let object = objects & 1 == 1;
                match (next, object) {
                    (Some(b','), _) => {
                        self.at += 1;
                        if object {
                            self.name()?;
                        }
                        break;
                    }
                    (Some(b']'), false) | (Some(b'}'), true) => {
                        self.at += 1;
                        depth -= 1;
                        objects >>= 1;
                    }
                    (_, false) => return Err(self.must(Must::InArray)),
                    (_, true) => return Err(self.must(Must::InObject)),
                }
            }
        }
    }

    /// Passes over an array or an object, by strings and brackets alone.
    fn pass(&mut self) -> Result<(), Wrong> {
        let mut depth = 0_usize;
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.string()?;
                    continue;
                }
                Some(b'[' | b'{') => depth += 1,
                Some(b']' | b'}') => depth = depth.saturating_sub(1),
                Some(_) => {}
                None => return Err(self.must(Must::InArray)),
            }
            self.at += 1;
            if depth == 0 {
                return Ok(());
            }
        }
    }

    fn must(&self, must: Must) -> Wrong {
        Wrong { at: self.at, must }
    }

    fn peek(&self) -> Option<u8> {
        self.body.get(self.at).copied()
    }

    #[inline]
    fn after_spaces(&mut self) -> Option<u8> {
        while let Some(b' ' | b'\n' | b'\t' | b'\r') = self.peek() {
            self.at += 1;
        }
        self.peek()
    }

    /// A member's name, which is the value, and the colon.
    #[inline]
    fn name(&mut self) -> Result<&'t [u8], Wrong> {
        if self.after_spaces() != Some(b'"') {
            return Err(self.must(Must::Name));
        }
        let start = self.at + 1;
        self.string()?;
        let name = &self.body[start..self.at - 1];
        if self.after_spaces() != Some(b':') {
            return Err(self.must(Must::Colon));
        }
        self.at += 1;
        Ok(name)
    }

    /// A string, from its first quotation mark. That its bytes are UTF-8 is known.
    #[inline]
    fn string(&mut self) -> Result<(), Wrong> {
        self.at += 1;
        // Most end within the next sixteen bytes.
        if let Some(sixteen) = self.body.get(self.at..).and_then(<[u8]>::first_chunk) {
            let place = among_or_control(sixteen, ENDS).trailing_zeros() as usize;
            if sixteen.get(place) == Some(&b'"') {
                self.at += place + 1;
                return Ok(());
            }
        }
        self.rest_of_string()
    }

    fn rest_of_string(&mut self) -> Result<(), Wrong> {
        loop {
            let rest = self.body.get(self.at..).unwrap_or_default();
            self.at += find(rest, ENDS).unwrap_or(rest.len());
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => self.escape()?,
                _ => return Err(self.must(Must::String)),
            }
        }
    }

    fn escape(&mut self) -> Result<(), Wrong> {
        let bad = self.must(Must::Escape);
        let digits = match self.body.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => 0,
            Some(b'u') => 4,
            _ => return Err(bad),
        };
        match self.body.get(self.at + 2..self.at + 2 + digits) {
            Some(hex) if hex.iter().all(u8::is_ascii_hexdigit) => self.at += 2 + digits,
            _ => return Err(bad),
        }
        Ok(())
    }

    fn number(&mut self) -> Result<(), Wrong> {
        self.at += usize::from(self.peek() == Some(b'-'));
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            self.at += usize::from(matches!(self.peek(), Some(b'+' | b'-')));
            self.digits()?;
        }
        Ok(())
    }

    /// At least one digit.
    fn digits(&mut self) -> Result<(), Wrong> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        if self.at == start { Err(self.must(Must::Digit)) } else { Ok(()) }
    }

    fn word(&mut self, word: &[u8]) -> Result<(), Wrong> {
        if !self.body[self.at..].starts_with(word) {
            return Err(self.must(Must::Value));
        }
        self.at += word.len();
        Ok(())
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
        assert!(wrong("\u{feff}1".as_bytes()).ends_with("column 1 there must be a value"));
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
