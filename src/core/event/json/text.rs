//! A JSON text and a place in it: the one pass that sees whether it is one.

use super::super::{Invalid, MOST_DEPTH};
use crate::escape::find;
use crate::lanes::among_or_control;

/// What ends a run of a string's characters, as a control character does.
const ENDS: [u8; 2] = [b'"', b'\\'];

// One bit of a u128 for each that is open.
const _: () = assert!(MOST_DEPTH <= 128);

/// What is wrong at a place.
pub struct Wrong {
    at: usize,
    pub must: Must,
}

/// What must be at a place.
#[derive(Clone, Copy)]
pub enum Must {
    Utf8,
    Unmarked,
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
            Must::Unmarked => "a value, and no byte order mark before it",
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
pub struct Text<'t> {
    pub body: &'t [u8],
    pub at: usize,
    deepest: usize,
}

impl<'t> Text<'t> {
    pub fn of(body: &'t [u8], deepest: usize) -> Result<Text<'t>, Invalid> {
        let text = Text { body, at: 0, deepest: deepest.min(MOST_DEPTH) };
        // Nearly all is ASCII, which is seen faster.
        if body.is_ascii() {
            return Ok(text);
        }
        if body.starts_with("\u{FEFF}".as_bytes()) {
            return Err(text.place(&Wrong { at: 0, must: Must::Unmarked }));
        }
        match std::str::from_utf8(body) {
            Ok(_) => Ok(text),
            Err(bad) => Err(text.place(&Wrong { at: bad.valid_up_to(), must: Must::Utf8 })),
        }
    }

    /// What is wrong, by line and column.
    pub fn place(&self, wrong: &Wrong) -> Invalid {
        let before = &self.body[..wrong.at.min(self.body.len())];
        let lines = before.split(|b| *b == b'\n');
        let column = lines.clone().next_back().map_or(0, <[u8]>::len) + 1;
        match wrong.must {
            Must::Rise => Invalid::Depth { line: lines.count(), column, limit: self.deepest },
            must => Invalid::Json { line: lines.count(), column, must: must.name() },
        }
    }

    /// Nothing more.
    pub fn end(&mut self) -> Result<(), Wrong> {
        if self.after_spaces().is_none() { Ok(()) } else { Err(self.must(Must::End)) }
    }

    /// One value, up to its last byte. Of an object the members are shown.
    pub fn value(&mut self, see: impl FnMut(&'t [u8], &'t [u8])) -> Result<(), Wrong> {
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
    pub fn pass(&mut self) -> Result<(), Wrong> {
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

    pub fn must(&self, must: Must) -> Wrong {
        Wrong { at: self.at, must }
    }

    fn peek(&self) -> Option<u8> {
        self.body.get(self.at).copied()
    }

    #[inline]
    pub fn after_spaces(&mut self) -> Option<u8> {
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
