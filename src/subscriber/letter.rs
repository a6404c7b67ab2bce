//! The dead letter: where an event goes that Kafka refuses for good, with the reason, before it is acknowledged.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::Serialize;
use sparkngin_core::id::EventId;

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
/// The largest record that the topic of letters takes when this program makes it, bytes: more than any event.
pub const LARGEST: u32 = 20 * 1024 * 1024;

/// The header with the reason.
pub const REASON: &str = "sparkngin-reason";
/// The header with the topic that the event named.
pub const TOPIC: &str = "sparkngin-topic";
/// The header with the value's full length, where only its beginning went.
pub const CUT: &str = "sparkngin-cut-from";

/// The file of letters.
#[derive(Debug)]
pub struct LetterFile {
    file: File,
    lines: Vec<u8>,
    /// Bytes of whole, synced lines: what a failed write left behind is cut off before the next one.
    length: u64,
}

#[derive(Serialize)]
struct Line<'a> {
    id: String,
    /// ns since 1970.
    received: u64,
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
        let value_hex = text.is_none().then(|| hex(value));
        let line = Line { id: id.to_string(), received, topic, reason, value: text, value_hex };
        // Strings and numbers into memory: nothing of it can fail.
        let _ = serde_json::to_writer(&mut self.lines, &line);
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
        letters.sync().unwrap();
        let mut again = LetterFile::open(&path).unwrap();
        again.add(id(3), 9, "t", "no", b"");
        again.sync().unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 3, "appended");
        assert_eq!(lines[0]["value"], "{\"a\":1}\n");
        assert_eq!(lines[0]["reason"], "too \"large\"");
        assert_eq!(lines[0]["id"], id(1).to_string());
        assert_eq!(lines[1]["value_hex"], "ff00");
        assert_eq!(lines[2]["value"], "");
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
}
