//! The dead letter: where an event goes that Kafka refuses for good, with the reason, before it is acknowledged.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::Serialize;
use sparkngin_core::id::{EventId, Region, Seq, Stream};

use crate::flight::Hole;

/// Where letters go, as `--dead-letter` says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Letters {
    /// A topic; the event's value is the record's, the rest is in headers.
    Topic(String),
    /// A file of JSON lines, synced before an event is acknowledged.
    File(PathBuf),
}

/// Why an event is a letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// In words.
    pub text: String,
    /// The letter itself was refused, too: only so many bytes of the value go.
    pub cut: Option<usize>,
}

impl Reason {
    /// The value goes whole.
    pub fn new(text: String) -> Reason {
        Reason { text, cut: None }
    }

    /// For less of the value than was refused; nothing when none of it was.
    pub fn shorter(&self) -> Option<Reason> {
        let cut = match self.cut {
            None => SHORT,
            Some(0) => return None,
            Some(bytes) => bytes / 2,
        };
        Some(Reason { text: self.text.clone(), cut: Some(cut) })
    }
}

/// Bytes of the value that go when the whole letter was refused; half of them when that was, too, and so on.
pub const SHORT: usize = 64 * 1024;
/// How the topic of letters is made: it takes records larger than any event.
pub const CONFIG: [(&str, &str); 1] = [("max.message.bytes", "20971520")];

/// The header with the reason.
pub const REASON: &str = "sparkngin-reason";
/// The header with the topic that the event named.
pub const TOPIC: &str = "sparkngin-topic";
/// The header with the value's full length, where only its beginning went.
pub const CUT: &str = "sparkngin-cut-from";

/// The header of a note: no event, but a hole that the subscriber was told of.
pub const HOLE: &str = "sparkngin-hole";

/// A hole, as its note has it: `<region>-<stream> lost 18 30`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// The ring file.
    pub region: Region,
    /// The stream.
    pub stream: Stream,
    /// Why there is nothing.
    pub hole: Hole,
    /// The first seq.
    pub from: Seq,
    /// The last seq.
    pub to: Seq,
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.hole {
            Hole::Lost => "lost",
            Hole::Uncertain => "uncertain",
            Hole::Freed => "freed",
        };
        write!(f, "{}-{} {word} {} {}", self.region, self.stream, self.from, self.to)
    }
}

/// A text that is no note.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotANote;

impl FromStr for Told {
    type Err = NotANote;

    fn from_str(text: &str) -> Result<Told, NotANote> {
        let mut words = text.split(' ');
        let stream = words.next().ok_or(NotANote)?;
        let hole = match words.next() {
            Some("lost") => Hole::Lost,
            Some("uncertain") => Hole::Uncertain,
            Some("freed") => Hole::Freed,
            _ => return Err(NotANote),
        };
        // What stands before the seq of an event's id.
        let id = |word: Option<&str>| {
            format!("{stream}-{}", word.ok_or(NotANote)?).parse::<EventId>().map_err(|_| NotANote)
        };
        let (from, to) = (id(words.next())?, id(words.next())?.seq);
        if words.next().is_some() || from.seq > to {
            return Err(NotANote);
        }
        Ok(Told { region: from.region, stream: from.stream, hole, from: from.seq, to })
    }
}

/// The file of letters.
#[derive(Debug)]
pub struct LetterFile {
    file: File,
    lines: Vec<u8>,
    /// Bytes of whole, synced lines: what a failed write left behind is cut off before the next one.
    length: u64,
}

#[derive(Default, Serialize)]
struct Line<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hole: Option<String>,
    /// ns since 1970.
    received: u64,
    #[serde(skip_serializing_if = "str::is_empty")]
    topic: &'a str,
    reason: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_hex: Option<String>,
}

impl LetterFile {
    /// Opens the file, or makes it (0600); lines are appended.
    ///
    /// # Errors
    /// What the system says.
    pub fn open(path: &Path) -> io::Result<LetterFile> {
        let mut options = OpenOptions::new();
        let file = options.read(true).create(true).append(true).mode(0o600).open(path)?;
        let length = file.metadata()?.len();
        // A new file is found after a crash only if its name is on the disk, too.
        let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
        File::open(dir.unwrap_or(Path::new(".")))?.sync_all()?;
        let mut lines = Vec::new();
        // Half a line of a machine that went down stays alone, and spoils no whole one.
        let mut last = [b'\n'];
        if length > 0 && file.metadata()?.is_file() {
            file.read_exact_at(&mut last, length - 1)?;
        }
        if last != [b'\n'] {
            lines.push(b'\n');
        }
        Ok(LetterFile { file, lines, length })
    }

    /// Adds a line; it is in the file after the next [`LetterFile::sync`].
    pub fn add(&mut self, id: EventId, received: u64, topic: &str, reason: &str, value: &[u8]) {
        let text = std::str::from_utf8(value).ok();
        let (id, value_hex) = (Some(id.to_string()), text.is_none().then(|| hex(value)));
        self.line(&Line { id, received, topic, reason, value: text, value_hex, hole: None });
    }

    /// Adds a note of a hole, as [`LetterFile::add`] does a letter.
    pub fn note(&mut self, told: Told, received: u64, reason: &str) {
        let hole = Some(told.to_string());
        self.line(&Line { hole, received, reason, ..Line::default() });
    }

    fn line(&mut self, line: &Line<'_>) {
        // Strings and numbers into memory: nothing of it can fail.
        let _ = serde_json::to_writer(&mut self.lines, line);
        self.lines.push(b'\n');
    }

    /// Writes what was added and syncs it.
    ///
    /// # Errors
    /// What the system says; the lines are kept for another try.
    pub fn sync(&mut self) -> io::Result<()> {
        if self.lines.is_empty() {
            return Ok(());
        }
        if let Err(error) = self.file.write_all(&self.lines) {
            self.file.set_len(self.length)?;
            return Err(error);
        }
        self.file.sync_data()?;
        self.length += self.lines.len() as u64;
        self.lines.clear();
        Ok(())
    }
}

/// Lower-case hex digits.
pub fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        for digit in [byte >> 4, byte & 15] {
            text.push(char::from_digit(u32::from(digit), 16).unwrap_or('0'));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use sparkngin_core::id::{Region, Seq, Stream};

    fn id(seq: u64) -> EventId {
        EventId { region: Region(1), stream: Stream(0), seq: Seq(seq) }
    }

    #[test]
    fn a_letter_is_a_line_with_id_topic_reason_and_the_value_whole() {
        let dir = std::env::temp_dir().join(format!("letters-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let path = dir.join("dead.jsonl");
        let mut letters = LetterFile::open(&path).unwrap();
        letters.add(id(1), 7, "clicks", "too \"large\"", b"{\"a\":1}\n");
        letters.add(id(2), 8, "clicks", "no", b"\xff\x00");
        let told = Told {
            region: Region(1),
            stream: Stream(2),
            hole: Hole::Lost,
            from: Seq(18),
            to: Seq(30),
        };
        letters.note(told, 9, "overwritten");
        letters.sync().unwrap();
        let mut again = LetterFile::open(&path).unwrap();
        again.add(id(3), 9, "t", "no", b"");
        again.sync().unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 4, "appended");
        assert_eq!(lines[0]["value"], "{\"a\":1}\n");
        assert_eq!(lines[0]["reason"], "too \"large\"");
        assert_eq!(lines[0]["id"], id(1).to_string());
        assert_eq!(lines[1]["value_hex"], "ff00");
        assert_eq!(lines[2]["hole"].as_str().unwrap().parse(), Ok(told));
        assert!(lines[2]["id"].is_null());
        assert_eq!(lines[3]["value"], "");
        // A machine that went down amid a write leaves half a line.
        std::fs::write(&path, "{\"id\":\"1-").unwrap();
        let mut after = LetterFile::open(&path).unwrap();
        after.add(id(4), 9, "t", "no", b"");
        after.sync().unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let last = text.lines().next_back().unwrap();
        assert!(serde_json::from_str::<serde_json::Value>(last).is_ok(), "{text}");
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn a_note_reads_back_from_its_text_and_nothing_else_does() {
        let told = Told {
            region: Region(0xabc),
            stream: Stream(7),
            hole: Hole::Uncertain,
            from: Seq(5),
            to: Seq(5),
        };
        let text = told.to_string();
        assert_eq!(text, "00000000000000000000000000000abc-7 uncertain 5 5");
        assert_eq!(text.parse(), Ok(told));
        for bad in [
            "",
            "abc-7 lost 1 2",
            &text.replace("uncertain", "gone"),
            &text.replace(" 5 5", " 5 4"),
        ] {
            assert_eq!(bad.parse::<Told>(), Err(NotANote), "{bad}");
        }
        assert_eq!(format!("{text} 6").parse::<Told>(), Err(NotANote));
    }
}
