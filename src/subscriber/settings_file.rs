//! A file of settings -> words. TOML: each key is a flag's name, properties of librdkafka are a table.
//!
//! ```toml
//! feed = ["ipc:///var/lib/nginx/sparkngin/feed.sock"]
//! kafka = ["k1:9092", "k2:9092"]
//! topic-grace = "1m"
//!
//! [property]
//! "sasl.password" = { file = "/run/secrets/kafka" }
//! ```

use std::fs;
use std::io::Read;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::said::{Key, PROPERTY, Said};
use crate::word::Origin;

/// A larger one is none of ours.
const LARGEST: u64 = 1 << 20;
/// A key that differs by no more than this many letters may be meant.
const NEAR: usize = 3;

/// A file that is read, and the settings there are.
struct Reader<'a> {
    path: &'a str,
    text: &'a str,
    keys: &'a [Key],
    said: Vec<Said>,
}

/// What a file says, in its order.
///
/// # Errors
/// A sentence with file and line: it cannot be read, is no TOML, has a key that is no setting, or a value of another kind.
/// No value is in it.
pub fn read(path: &str, keys: &[Key]) -> Result<Vec<Said>, String> {
    let mut text = String::new();
    let file = fs::File::open(path).and_then(|file| file.take(LARGEST).read_to_string(&mut text));
    file.map_err(|error| format!("--config \"{path}\": {error}"))?;
    let mut reader = Reader { path, text: &text, keys, said: Vec::new() };
    let table = DeTable::parse(&text)
        .map_err(|error| reader.at(&error.span().unwrap_or(0..0), error.message()))?;
    for (key, value) in in_order(table.get_ref()) {
        reader.entry(key, value)?;
    }
    Ok(reader.said)
}

type Entry<'t, 'i> = (&'t Spanned<std::borrow::Cow<'i, str>>, &'t Spanned<DeValue<'i>>);

fn in_order<'t, 'i>(table: &'t DeTable<'i>) -> Vec<Entry<'t, 'i>> {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    entries
}

impl Reader<'_> {
    fn entry(
        &mut self,
        key: &Spanned<std::borrow::Cow<'_, str>>,
        value: &Spanned<DeValue<'_>>,
    ) -> Result<(), String> {
        let name = key.get_ref().as_ref();
        let Some(known) = self.keys.iter().find(|known| known.name == name) else {
            return Err(self.at(&key.span(), &self.unknown(name)));
        };
        match value.get_ref() {
            DeValue::Table(table) if name == PROPERTY => {
                return in_order(table).into_iter().try_for_each(|(k, v)| self.property(k, v));
            }
            _ if name == PROPERTY => {
                let why = "\"property\" must be a table: [property], and a line for each";
                return Err(self.at(&key.span(), why));
            }
            DeValue::Array(list) if known.many => {
                for value in list {
                    let text = self.word(name, value)?;
                    self.say(name, text, value.span());
                }
            }
            DeValue::Array(list) if known.joined.is_some() => {
                let between = known.joined.unwrap_or_default();
                let mut words = Vec::new();
                for value in list {
                    let word = self.word(name, value)?;
                    if word.contains(between) {
                        let why = format!("\"{name}\": each element must be without \"{between}\"");
                        return Err(self.at(&value.span(), &why));
                    }
                    words.push(word);
                }
                self.say(name, words.join(between), key.span());
            }
            _ => {
                let text = self.word(name, value)?;
                self.say(name, text, key.span());
            }
        }
        Ok(())
    }

    /// A property of librdkafka: a word, or the file that has it.
    fn property(
        &mut self,
        key: &Spanned<std::borrow::Cow<'_, str>>,
        value: &Spanned<DeValue<'_>>,
    ) -> Result<(), String> {
        let name = key.get_ref().as_ref();
        if name.is_empty() || name.contains(['=', '@']) {
            return Err(self.at(&key.span(), "a property's name has neither = nor @"));
        }
        let text = match value.get_ref() {
            DeValue::Table(table) if table.iter().all(|(key, _)| key.get_ref() == "file") => {
                let file = table.iter().next().map(|(_, file)| file);
                let file = file.and_then(|file| file.get_ref().as_str()).ok_or_else(|| {
                    self.at(&value.span(), &format!("\"{name}\": it must be {{ file = \"PATH\" }}"))
                })?;
                format!("{name}@{file}")
            }
            DeValue::Table(_) => {
                let why = format!(
                    "\"{name}\": a table here has \"file\" alone; a name with dots needs quotation marks: \"{name}.x\" = ..."
                );
                return Err(self.at(&key.span(), &why));
            }
            _ => format!("{name}={}", self.word(name, value)?),
        };
        self.say(PROPERTY, text, key.span());
        Ok(())
    }

    /// A value that is one word.
    fn word(&self, name: &str, value: &Spanned<DeValue<'_>>) -> Result<String, String> {
        match value.get_ref() {
            DeValue::String(text) => Ok(text.to_string()),
            DeValue::Integer(number) => Ok(number.to_string()),
            DeValue::Boolean(yes) => Ok(yes.to_string()),
            other => {
                let list =
                    self.keys.iter().any(|k| k.name == name && (k.many || k.joined.is_some()));
                let must = if list { "a string, or a list of strings" } else { "a string" };
                let why = format!("\"{name}\" must be {must}, not {}", other.type_str());
                Err(self.at(&value.span(), &why))
            }
        }
    }

    fn say(&mut self, key: &str, text: String, at: Range<usize>) {
        let (file, line) = (self.path.to_owned(), self.line(&at));
        let origin = Origin::Line { file, line, key: key.to_owned() };
        self.said.push(Said { key: key.to_owned(), text, origin });
    }

    fn unknown(&self, name: &str) -> String {
        let near = self.keys.iter().map(|key| (strsim::damerau_levenshtein(&key.name, name), key));
        match near.filter(|(far, _)| *far <= NEAR).min_by_key(|(far, _)| *far) {
            Some((_, key)) => format!("unknown key \"{name}\", perhaps \"{}\"", key.name),
            None => format!("unknown key \"{name}\""),
        }
    }

    fn line(&self, at: &Range<usize>) -> usize {
        let before = self.text.as_bytes().iter().take(at.start);
        before.filter(|byte| **byte == b'\n').count() + 1
    }

    fn at(&self, at: &Range<usize>, why: &str) -> String {
        // TOML's own sentences may have several lines.
        let why = why.split_whitespace().collect::<Vec<_>>().join(" ");
        format!("{}:{}: {why}", self.path, self.line(at))
    }
}
