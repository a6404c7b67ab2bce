//! `multipart/form-data` (RFC 7578), as browsers send a form: its text fields, where they lie in the body.

use super::Invalid;
use super::json::media_type;

/// One field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part<'t> {
    /// As it was sent.
    pub name: &'t [u8],
    /// The bytes between its head and the next boundary.
    pub value: &'t [u8],
    /// It is a file. The one that nobody chose has no name and no bytes.
    pub file: Option<&'t [u8]>,
}

/// Whether a content type is that of such a form.
pub fn is_multipart(content_type: Option<&[u8]>) -> bool {
    content_type.is_some_and(|kind| media_type(kind).eq_ignore_ascii_case(b"multipart/form-data"))
}

/// A parameter of a header's value, `name=word` or `name="text"`.
pub fn parameter<'t>(value: &'t [u8], wanted: &str) -> Option<&'t [u8]> {
    let mut rest = value;
    loop {
        // Behind the next `;` that is not quoted.
        let mut quoted = false;
        let end = rest.iter().position(|byte| {
            quoted ^= *byte == b'"';
            *byte == b';' && !quoted
        })?;
        rest = rest[end + 1..].trim_ascii_start();
        let equals = rest.iter().position(|byte| matches!(byte, b'=' | b';'))?;
        if rest[equals] == b';'
            || !rest[..equals].trim_ascii().eq_ignore_ascii_case(wanted.as_bytes())
        {
            continue;
        }
        let text = rest[equals + 1..].trim_ascii_start();
        return match text.strip_prefix(b"\"") {
            // Browsers write a quotation mark as %22.
            Some(text) => text.split(|byte| *byte == b'"').next(),
            None => text.split(|byte| *byte == b';').next().map(<[u8]>::trim_ascii),
        };
    }
}

/// The fields of a form, in order.
pub struct Parts<'t> {
    /// Behind a boundary; None behind the last one, and after an error.
    rest: Option<&'t [u8]>,
    boundary: &'t [u8],
}

impl<'t> Parts<'t> {
    /// Looks for the first boundary.
    ///
    /// # Errors
    /// [`Invalid::Multipart`], when the type names none, or there is none.
    pub fn of(content_type: &'t [u8], body: &'t [u8]) -> Result<Parts<'t>, Invalid> {
        let boundary = parameter(content_type, "boundary").unwrap_or_default();
        if !(1..=70).contains(&boundary.len()) {
            return Err(bad("the type must have a boundary of 1 to 70 bytes"));
        }
        let mut parts = Parts { rest: None, boundary };
        let begins = body.strip_prefix(b"--").and_then(|rest| rest.strip_prefix(boundary));
        parts.rest = match begins {
            Some(rest) => parts.after(rest)?,
            None => {
                let (_, rest) =
                    parts.split(body).ok_or_else(|| bad("there must be the boundary"))?;
                parts.after(rest)?
            }
        };
        Ok(parts)
    }

    /// What stands before the next boundary, and behind it.
    fn split(&self, body: &'t [u8]) -> Option<(&'t [u8], &'t [u8])> {
        let mut at = 0;
        loop {
            at += body.get(at..)?.iter().position(|byte| *byte == b'\r')?;
            let rest = body[at..].strip_prefix(b"\r\n--");
            if let Some(rest) = rest.and_then(|rest| rest.strip_prefix(self.boundary)) {
                return Some((&body[..at], rest));
            }
            at += 1;
        }
    }

    /// Behind a boundary: the end, or the line of the next part.
    fn after(&self, rest: &'t [u8]) -> Result<Option<&'t [u8]>, Invalid> {
        if rest.starts_with(b"--") {
            return Ok(None);
        }
        let spaces = rest.iter().position(|byte| !matches!(byte, b' ' | b'\t')).unwrap_or(0);
        let line = rest[spaces..].strip_prefix(b"\r\n");
        line.map(Some).ok_or_else(|| bad("behind a boundary there must be a line's end, or \"--\""))
    }

    fn part(&mut self, rest: &'t [u8]) -> Result<Part<'t>, Invalid> {
        let (mut name, mut file, mut rest) = (None, None, rest);
        loop {
            let end = rest.windows(2).position(|two| two == b"\r\n");
            let end = end.ok_or_else(|| bad("the head of a part must end with an empty line"))?;
            let (line, after) = (&rest[..end], &rest[end + 2..]);
            if line.is_empty() {
                // The next boundary may begin with this line's end.
                rest = &rest[end..];
                break;
            }
            rest = after;
            let colon = line.iter().position(|byte| *byte == b':').unwrap_or(0);
            if line[..colon].eq_ignore_ascii_case(b"content-disposition") {
                name = parameter(&line[colon..], "name");
                // The other form (RFC 5987) should not be here, and some send it all the same.
                let extended = parameter(&line[colon..], "filename*");
                file = extended.or_else(|| parameter(&line[colon..], "filename"));
            }
        }
        let name = name.ok_or_else(|| bad("a part must have a Content-Disposition with a name"))?;
        let (before, behind) =
            self.split(rest).ok_or_else(|| bad("the body must end with the last boundary"))?;
        self.rest = self.after(behind)?;
        Ok(Part { name, value: before.get(2..).unwrap_or_default(), file })
    }
}

impl<'t> Iterator for Parts<'t> {
    type Item = Result<Part<'t>, Invalid>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.rest.take()?;
        Some(self.part(rest))
    }
}

fn bad(must: &'static str) -> Invalid {
    Invalid::Multipart { must }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TYPE: &[u8] = b"multipart/form-data; boundary=XyZ";

    fn read(body: &str) -> Result<Vec<(String, String, bool)>, String> {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let parts = Parts::of(TYPE, body.as_bytes()).map_err(|bad| bad.to_string())?;
        let each = parts
            .map(|part| part.map(|part| (text(part.name), text(part.value), part.file.is_some())));
        each.collect::<Result<_, _>>().map_err(|bad| bad.to_string())
    }

    fn part(name: &str, value: &str) -> String {
        format!("--XyZ\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    }

    #[test]
    fn fields_come_in_order_byte_for_byte() {
        let body =
            part("a", "1") + &part("b;c=d", "") + &part("c", "x\r\n--Xy\r\n\r\n") + "--XyZ--\r\n";
        let all = read(&body).unwrap();
        let wanted = [("a", "1"), ("b;c=d", ""), ("c", "x\r\n--Xy\r\n\r\n")];
        assert_eq!(all, wanted.map(|(name, value)| (name.into(), value.into(), false)));
        let preamble = format!("this is ignored\r\n{}--XyZ-- and this", part("a", "1"));
        assert_eq!(read(&preamble).unwrap(), [("a".into(), "1".into(), false)]);
        assert_eq!(read("--XyZ--").unwrap(), []);
        let more = "--XyZ \t\r\ncontent-type: text/plain\r\nCONTENT-DISPOSITION: form-data; filename=\"\"; name=q\r\n\r\n7\r\n--XyZ--";
        assert_eq!(read(more).unwrap(), [("q".into(), "7".into(), true)]);
        for file in
            ["filename*=UTF-8\'\'a.txt", "filename=\"a\"; filename*=x", "FileName* = utf-8\'en\'a"]
        {
            let body =
                part("f", "1").replace("name=\"f\"", &format!("name=\"f\"; {file}")) + "--XyZ--";
            assert_eq!(read(&body).unwrap(), [("f".into(), "1".into(), true)], "{file}");
        }
        let utf8 = part("caf\u{e9}", "\u{20ac}") + "--XyZ--";
        assert_eq!(read(&utf8).unwrap(), [("caf\u{e9}".into(), "\u{20ac}".into(), false)]);
    }

    #[test]
    fn what_is_no_form_is_told() {
        let whole = part("a", "1") + "--XyZ--";
        assert!(read(&whole).is_ok());
        for (bad, must) in [
            (part("a", "1"), "end with the last boundary"),
            (whole.replace("--XyZ--", "--XyZ-"), "a line's end"),
            (whole.replace("name=\"a\"", ""), "with a name"),
            (whole.replace("Content-Disposition", "X"), "with a name"),
            ("nothing".into(), "there must be the boundary"),
            ("--XyZ\r\nContent-Disposition: form-data".into(), "an empty line"),
            ("--XyZ\r\n".into(), "an empty line"),
        ] {
            let error = read(&bad).unwrap_err();
            assert!(error.contains(must), "{bad:?}: {error}");
        }
        for kind in
            ["multipart/form-data", "multipart/form-data; boundary=", "multipart/form-data; x=y"]
        {
            assert!(Parts::of(kind.as_bytes(), whole.as_bytes()).is_err(), "{kind}");
        }
        for kind in
            ["multipart/form-data; charset=utf-8; Boundary=\"XyZ\"", "a;boundary = XyZ ;b=c"]
        {
            assert!(Parts::of(kind.as_bytes(), whole.as_bytes()).is_ok(), "{kind}");
        }
        assert!(is_multipart(Some(b"Multipart/Form-Data; boundary=x")));
        assert!(!is_multipart(Some(b"multipart/mixed")) && !is_multipart(None));
    }
}
