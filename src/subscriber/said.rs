//! Something that was said about a setting, and the settings there are: both know commands and files by the same names.

use clap::{Arg, ArgAction, Args, Command};

use crate::args;
use crate::word::Origin;

/// The key of `-X`: a table in files, and each property by itself in the environment.
pub const PROPERTY: &str = "property";
/// What says where settings are, or what is done with them, and is none itself.
const NO_SETTINGS: &[&str] = &["config", "test", "dump-config", "help"];
/// Words that a file may give as a list, and what stands between them on a command line.
const JOINED: &[(&str, &str)] = &[("kafka", ","), ("topics", ","), ("fields", " ")];

/// A word for a key, and where it stood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// The setting's name: that of its flag, without the dashes.
    pub key: String,
    /// The word, as it would be on a command line.
    pub text: String,
    /// Where it stood.
    pub origin: Origin,
}

/// A setting that there is.
#[derive(Clone, Debug)]
pub struct Key {
    /// Its name in files; with dashes before it that of its flag.
    pub name: String,
    /// Its name for clap.
    pub id: String,
    /// It may be said several times.
    pub many: bool,
    /// What stands between the words of a list, if one word may be a list.
    pub joined: Option<&'static str>,
    /// What it is when nobody says it, in the words of the help.
    pub default: Option<String>,
}

impl Key {
    /// All there are of `sparkngin subscribe`, in the order of its help.
    pub fn all() -> Vec<Key> {
        let command = command();
        let settings = command.get_arguments().map(Key::new);
        settings.filter(|key| !NO_SETTINGS.contains(&key.name.as_str())).collect()
    }

    fn new(arg: &Arg) -> Key {
        let name = arg.get_long().unwrap_or(PROPERTY).to_owned();
        let help = arg.get_help().map(|help| help.to_string().replace('\n', " "));
        let default = help.as_deref().and_then(|help| help.split_once("[default: "));
        let default = default.and_then(|(_, rest)| rest.split([';', ']']).next());
        Key {
            id: arg.get_id().to_string(),
            many: matches!(arg.get_action(), ArgAction::Append),
            joined: JOINED.iter().find(|(key, _)| *key == name).map(|(_, between)| *between),
            default: default.map(str::to_owned),
            name,
        }
    }

    /// The default, if the help gives it as one would say it.
    pub fn literal_default(&self) -> Option<&str> {
        self.default.as_deref().filter(|default| !default.contains(' '))
    }
}

/// The arguments of `sparkngin subscribe` alone.
pub fn command() -> Command {
    args::Subscribe::augment_args(Command::new("subscribe").no_binary_name(true))
}

/// A property's value, or the file that has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// As it stands.
    Text(&'a str),
    /// In this file, but for a line's end.
    File(&'a str),
}

/// The name and value of a word of `-X`: `NAME=VALUE` or `NAME@FILE`. Of any other word the name alone.
pub fn property(text: &str) -> (&str, Option<Value<'_>>) {
    let name = text.find(|c: char| !c.is_ascii_alphanumeric() && !"._-".contains(c));
    let (name, rest) = text.split_at(name.unwrap_or(text.len()));
    let value = match rest.as_bytes().first() {
        Some(b'=') => Some(Value::Text(&rest[1..])),
        Some(b'@') => Some(Value::File(&rest[1..])),
        _ => None,
    };
    (name, value.filter(|_| !name.is_empty()))
}
