//! Several events in one body: where each begins and ends, and what they have in common.
//!
//! What the query says holds for each of them. Each is an event of its own: what is wrong with one says nothing of the
//! others, unless nobody can tell any more where the next one begins.

use super::base::Base;
use super::found::Found;
use super::json::{self, Elements};
use super::read;
use super::{Event, Intake, Invalid, Request, Spare, cloud};

/// How events lie behind each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// The elements of one JSON array.
    Array,
    /// A line each (NDJSON, JSON Lines); empty lines are none.
    Lines,
    /// Behind a byte 1E each (RFC 7464).
    Sequence,
}

/// Begins each text of a JSON sequence.
const RECORD: u8 = 0x1E;

/// Types of bodies with a JSON value a line.
const LINES: [&[u8]; 9] = [
    b"application/x-ndjson",
    b"application/ndjson",
    b"application/jsonl",
    b"application/x-jsonl",
    b"application/jsonlines",
    b"application/x-jsonlines",
    b"application/json-lines",
    b"text/x-ndjson",
    b"text/jsonl",
];

/// What an attempt to take a body's events says of one of them.
pub type One<'e, 'a> = Result<&'e Event<'a>, Invalid>;

impl Framing {
    /// Whether a body of this type may be one of several events.
    pub fn may_be(content_type: Option<&[u8]>) -> bool {
        content_type.is_some_and(json::says_json)
            || read::may_be_json(content_type)
            || Framing::told(content_type).is_some()
    }

    /// How the events of a body lie, by its type, or by its beginning where the type leaves that open. None: the body is
    /// one event's.
    pub fn of(content_type: Option<&[u8]>, body: &[u8], depth: usize) -> Option<Framing> {
        let opens = body.trim_ascii_start().first() == Some(&b'[');
        if content_type.is_some_and(json::says_json) {
            return opens.then_some(Framing::Array);
        }
        match Framing::told(content_type) {
            None if !opens => None,
            // What is only called a text has to be an array to be taken for one.
            None => (read::may_be_json(content_type) && json::is_array(body, depth))
                .then_some(Framing::Array),
            told => told,
        }
    }

    /// What the type says.
    fn told(content_type: Option<&[u8]>) -> Option<Framing> {
        let kind = content_type.map(json::media_type).unwrap_or_default();
        if LINES.iter().any(|lines| kind.eq_ignore_ascii_case(lines)) {
            return Some(Framing::Lines);
        }
        let sequence: &[u8] = b"json-seq";
        if kind.len() > sequence.len() {
            let (before, end) = kind.split_at(kind.len() - sequence.len());
            if end.eq_ignore_ascii_case(sequence)
                && (before.ends_with(b"/") || before.ends_with(b"+"))
            {
                return Some(Framing::Sequence);
            }
        }
        None
    }
}

/// Reads all events of a body into the memory of an earlier one, and shows `each` what became of the one at its index,
/// from 0. `each` may put an end to it.
///
/// An event's own `id` is that of its key `id`; where it has none and the query has one, `<id>-<index>`.
///
/// # Errors
/// [`Invalid`], when it is wrong for all of them: what the query says, that nothing separates them, that there is none,
/// or more than [`super::Limits::batch`]; or what `each` said. What `each` saw before counts for nothing then.
pub fn read_all<'a>(
    spare: Spare,
    request: &Request<'a>,
    intake: &Intake<'a>,
    framing: Framing,
    mut each: impl FnMut(usize, One<'_, 'a>) -> Result<(), Invalid>,
) -> Result<Spare, Invalid> {
    let mut base = Base::of(spare, request, intake)?;
    let body = request.body.unwrap_or_default();
    let (mut count, depth) = (0, intake.limits.depth);
    let cloud = cloud::is_structured(request.content_type);
    let mut see = |base: &mut Base<'a>, element: Result<(&'a [u8], Found<'a>), Invalid>| {
        if count == intake.limits.batch {
            return Err(Invalid::TooManyEvents { limit: count });
        }
        let index = count;
        count += 1;
        match element {
            Ok((element, found)) => base.event(index, element, &found, request, intake, &mut each),
            Err(invalid) => each(index, Err(invalid)),
        }
    };
    match framing {
        Framing::Array => {
            let mut elements = Elements::of(body, depth)?;
            loop {
                let mut found = Found::new(cloud);
                match elements.next(|name, value| found.see(name, value))? {
                    Some(element) => see(&mut base, element.map(|element| (element, found)))?,
                    None => break,
                }
            }
        }
        Framing::Lines | Framing::Sequence => {
            let between = if framing == Framing::Lines { b'\n' } else { RECORD };
            let mut place = Place::default();
            let mut at = 0;
            for text in body.split(|byte| *byte == between) {
                let begins = at;
                at += text.len() + 1;
                if text.iter().all(u8::is_ascii_whitespace) {
                    continue;
                }
                let mut found = Found::new(cloud);
                let checked = match whole(text, framing) {
                    Ok(()) => json::check(text, depth, |name, value| found.see(name, value)),
                    Err(invalid) => Err(invalid),
                };
                let checked = checked.map_err(|invalid| place.of(body, begins, invalid));
                see(&mut base, checked.map(|()| (text.trim_ascii(), found)))?;
            }
        }
    }
    if count == 0 { Err(Invalid::NoEvents) } else { Ok(base.into_spare()) }
}

/// A place in a body, found by going on from the one before.
#[derive(Default)]
struct Place {
    at: usize,
    lines: usize,
    /// Where its line begins.
    line: usize,
}

impl Place {
    /// What is wrong with the text that begins `at`, by the lines of the whole body.
    fn of(&mut self, body: &[u8], at: usize, invalid: Invalid) -> Invalid {
        for (n, _) in body[self.at..at].iter().enumerate().filter(|(_, byte)| **byte == b'\n') {
            self.lines += 1;
            self.line = self.at + n + 1;
        }
        self.at = at;
        invalid.behind(self.lines, at - self.line)
    }
}

/// A number or a word at the end of a sequence's text may have been cut off, unless a space follows (RFC 7464, 2.4).
fn whole(text: &[u8], framing: Framing) -> Result<(), Invalid> {
    let closed = |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, b'}' | b']' | b'"');
    match framing == Framing::Sequence && !text.last().is_some_and(closed) {
        true => Err(Invalid::CutText),
        false => Ok(()),
    }
}
