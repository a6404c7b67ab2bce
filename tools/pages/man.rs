//! Markdown -> man(7), as `mandoc -Tlint` likes it.

use std::mem::take;

use pulldown_cmark::{Event, HeadingLevel, Options, Parser, Tag, TagEnd};

/// Input lines are no longer than this.
const WIDTH: usize = 76;

/// What a page begins with.
pub struct Head<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its section's number.
    pub section: &'a str,
    /// 2026-01-31.
    pub date: &'a str,
    /// The section's name.
    pub manual: &'a str,
}

/// A page: headings of the second level become sections, others subsections; the first level is the page's own title.
pub fn page(head: &Head<'_>, markdown: &str) -> String {
    let mut writer = Writer { fresh: true, ..Writer::default() };
    writer.out = format!(
        ".TH {} {} {} Sparkngin \"{}\"\n",
        head.name.to_uppercase(),
        head.section,
        head.date,
        head.manual
    );
    let options = Options::ENABLE_TABLES | Options::ENABLE_DEFINITION_LIST;
    for event in Parser::new_ext(markdown, options) {
        writer.event(event);
    }
    writer.out
}

#[derive(Default)]
struct Writer {
    out: String,
    /// Text of the paragraph, heading or cell at hand, escaped.
    text: String,
    /// Right behind a heading or a tag, where a paragraph needs no macro.
    fresh: bool,
    heading: Option<HeadingLevel>,
    code: Option<String>,
    /// Depth of lists, and of definitions.
    lists: usize,
    header: Vec<String>,
    cells: Vec<String>,
    in_header: bool,
}

impl Writer {
    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Start(tag) => self.start(&tag),
            Event::End(tag) => self.end(tag),
            Event::Text(text) => match &mut self.code {
                Some(code) => code.push_str(&text),
                None => self.text.push_str(&escaped(&text)),
            },
            Event::Code(text) => {
                let text = escaped(&text);
                self.text.push_str(&format!("\\fB{text}\\fR"));
            }
            Event::SoftBreak | Event::HardBreak => self.text.push(' '),
            _ => {}
        }
    }

    fn start(&mut self, tag: &Tag<'_>) {
        match tag {
            Tag::Heading { level, .. } => self.heading = Some(*level),
            Tag::CodeBlock(_) => self.code = Some(String::new()),
            Tag::Emphasis => self.text.push_str("\\fI"),
            Tag::Strong => self.text.push_str("\\fB"),
            Tag::List(_) => {
                self.flush();
                self.nest(true);
            }
            Tag::Item => {
                self.line(".IP \\(bu 2");
                self.fresh = true;
            }
            Tag::TableHead => self.in_header = true,
            _ => {}
        }
    }

    fn end(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::Heading(_) => self.head(),
            TagEnd::Paragraph | TagEnd::Item | TagEnd::DefinitionListDefinition => self.flush(),
            TagEnd::CodeBlock => self.listing(),
            TagEnd::Emphasis | TagEnd::Strong => self.text.push_str("\\fR"),
            TagEnd::List(_) => self.nest(false),
            TagEnd::DefinitionListTitle => {
                let tag = take(&mut self.text);
                self.tagged(&tag);
            }
            TagEnd::TableCell => self.cells.push(take(&mut self.text)),
            TagEnd::TableHead => {
                self.header = take(&mut self.cells);
                self.in_header = false;
            }
            TagEnd::TableRow => self.row(),
            _ => {}
        }
    }

    fn head(&mut self) {
        let text = take(&mut self.text).replace("\\fB", "").replace("\\fR", "");
        match self.heading.take() {
            Some(HeadingLevel::H1) | None => {}
            Some(HeadingLevel::H2) => self.line(&format!(".SH {}", argument(&text.to_uppercase()))),
            Some(_) => self.line(&format!(".SS {}", argument(&text))),
        }
        self.fresh = true;
    }

    /// A list within a list stands further in.
    fn nest(&mut self, deeper: bool) {
        if deeper {
            if self.lists > 0 {
                self.line(".RS 2");
            }
            self.lists += 1;
        } else {
            self.lists -= 1;
            if self.lists > 0 {
                self.line(".RE");
            }
            self.fresh = false;
        }
    }

    /// A paragraph.
    fn flush(&mut self) {
        let text = take(&mut self.text);
        if text.trim().is_empty() {
            return;
        }
        if !self.fresh {
            self.line(if self.lists > 0 { ".IP" } else { ".PP" });
        }
        self.fresh = false;
        self.fill(&text);
    }

    fn tagged(&mut self, tag: &str) {
        self.line(".TP");
        self.fill(tag);
        self.fresh = true;
    }

    fn row(&mut self) {
        let cells = take(&mut self.cells);
        let Some((first, rest)) = cells.split_first() else { return };
        let named = |(n, cell): (usize, &String)| match (rest.len(), self.header.get(n + 1)) {
            (2.., Some(title)) if !title.is_empty() && !cell.is_empty() => {
                format!("{title}: {cell}.")
            }
            _ => cell.clone(),
        };
        let text = rest.iter().enumerate().map(named).collect::<Vec<_>>().join(" ");
        match first.len() < WIDTH && !text.trim().is_empty() {
            true => self.tagged(first),
            false => {
                self.line(".PP");
                self.fill(first);
                self.line(".br");
            }
        }
        self.fill(&text);
        self.fresh = false;
    }

    fn listing(&mut self) {
        let code = self.code.take().unwrap_or_default();
        self.flush();
        if !self.fresh {
            self.line(if self.lists > 0 { ".IP" } else { ".PP" });
        }
        self.line(".RS 2");
        self.line(".nf");
        for line in code.trim_end().lines() {
            let line = escaped(&line.replace('\t', "    "));
            let pieces = pieces(line.trim_end());
            let last = pieces.len().saturating_sub(1);
            for (n, piece) in pieces.iter().enumerate() {
                // What is longer goes on in the next line of the source, and not in the next of the page.
                let guard = if piece.starts_with(['.', '\'']) { "\\&" } else { "" };
                let more = if n < last { "\\c" } else { "" };
                self.line(&format!("{guard}{piece}{more}"));
            }
            if pieces.is_empty() {
                self.line("");
            }
        }
        self.line(".fi");
        self.line(".RE");
        self.fresh = false;
    }

    /// Words, in lines of the source.
    fn fill(&mut self, text: &str) {
        let mut line = String::new();
        for word in text.split_ascii_whitespace() {
            if !line.is_empty() && line.len() + 1 + word.len() > WIDTH {
                self.line(&take(&mut line));
            }
            if line.is_empty() {
                if word.starts_with(['.', '\'']) {
                    line.push_str("\\&");
                }
            } else {
                line.push(' ');
            }
            line.push_str(word);
        }
        if !line.is_empty() {
            self.line(&line);
        }
    }

    fn line(&mut self, text: &str) {
        self.out.push_str(text);
        self.out.push('\n');
    }
}

/// What roff would take for its own.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for letter in text.chars() {
        match letter {
            '\\' => out.push_str("\\e"),
            '-' => out.push_str("\\-"),
            '\'' => out.push_str("\\(aq"),
            '`' => out.push_str("\\(ga"),
            '^' => out.push_str("\\(ha"),
            '~' => out.push_str("\\(ti"),
            ascii if ascii.is_ascii() => out.push(ascii),
            other => out.push_str(&format!("\\[u{:04X}]", u32::from(other))),
        }
    }
    out
}

/// An argument of a macro.
fn argument(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\\(dq"))
}

/// A line in pieces of a length that can be read, cut between what belongs together for roff.
fn pieces(line: &str) -> Vec<String> {
    let mut pieces = Vec::new();
    let mut piece = String::new();
    let mut rest = line;
    while !rest.is_empty() {
        let length = match rest.as_bytes() {
            [b'\\', b'(', ..] => 4,
            [b'\\', b'[', ..] => rest.find(']').map_or(rest.len(), |at| at + 1),
            [b'\\', ..] => 2,
            _ => rest.chars().next().map_or(1, char::len_utf8),
        };
        let (unit, more) = rest.split_at(length.min(rest.len()));
        if piece.len() + unit.len() > WIDTH {
            pieces.push(take(&mut piece));
        }
        piece.push_str(unit);
        rest = more;
    }
    if !piece.is_empty() {
        pieces.push(piece);
    }
    pieces
}
