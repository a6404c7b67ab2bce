//! What was said about settings, by all who may: the command line, else the environment, else a file, else the default.
//!
//! ```text
//!   arguments ---+
//!   environment -+-> words, each with its origin -> one command line -> Settings
//!   file --------+                              \-> a file that says the same
//! ```

use std::ffi::OsString;
use std::fmt::Write;

use clap::parser::ValueSource;
use clap::{ArgMatches, FromArgMatches};

use crate::args::Subscribe;
use crate::config::{self, Settings};
use crate::said::{Key, PROPERTY, Said, Value, command, property};
use crate::settings_file;
use crate::word::Origin;

/// What settings in the environment begin with.
const PREFIX: &str = "SPARKNGIN_";
/// The file, in the environment.
const CONFIG: &str = "SPARKNGIN_CONFIG";
/// Parts of names of librdkafka's properties whose values nobody may see.
const SECRET: &[&str] = &[
    "password",
    "passphrase",
    "secret",
    "token",
    ".pem",
    "ssl_key",
    "oauthbearer.config",
    "kinit",
];
/// What can be changed while it runs: where events go, and what becomes of them.
const AT_RUN_TIME: &[&str] = &[
    "topics",
    "topic-grace",
    "create-topics",
    "record-key",
    "format",
    "delimiter",
    "fields",
    "timestamp",
];

/// The words that count: of each setting those of one place.
#[derive(Clone, Debug)]
pub struct Layers {
    keys: Vec<Key>,
    said: Vec<Said>,
    /// The file that was read.
    pub file: Option<String>,
    /// Names in the environment that look like settings and are none. Other programs set such names, too, so they are
    /// no error.
    pub ignored: Vec<String>,
}

impl Layers {
    /// Reads the environment, and the file that command line or environment name.
    ///
    /// # Errors
    /// A sentence: the file cannot be read, or has what is no setting.
    pub fn read(
        line: &ArgMatches,
        environment: impl Iterator<Item = (OsString, OsString)>,
    ) -> Result<Layers, String> {
        let keys = Key::all();
        let mut layers = Layers { keys, said: Vec::new(), file: None, ignored: Vec::new() };
        let flags = layers.flags(line);
        let variables = layers.variables(environment)?;
        if let Some(file) = line.get_one::<String>("config") {
            layers.file = Some(file.clone());
        }
        let lines = match layers.file.as_deref().filter(|file| !file.is_empty()) {
            Some(file) => settings_file::read(file, &layers.keys)?,
            None => Vec::new(),
        };
        for layer in [flags, variables, lines] {
            layers.add(layer);
        }
        Ok(layers)
    }

    /// What the words mean.
    ///
    /// # Errors
    /// A sentence: the first word that cannot be, with the place where it stands.
    pub fn settings(&self) -> Result<Settings, String> {
        let words = self.keys.iter().flat_map(|key| {
            let said = self.of(&key.name);
            said.map(|said| match said.key == PROPERTY {
                true => format!("-X{}", said.text),
                false => format!("--{}={}", said.key, said.text),
            })
        });
        let matches = command().try_get_matches_from(words).map_err(|error| error.to_string())?;
        let args = Subscribe::from_arg_matches(&matches).map_err(|error| error.to_string())?;
        let settings = config::settings(&args);
        settings.map_err(|wrong| wrong.located(|flag, word| self.origin(flag, word)).to_string())
    }

    /// The settings that differ and need a new start.
    pub fn fixed(&self, new: &Layers) -> Vec<&str> {
        let texts = |layers: &Layers, key: &str| -> Vec<String> {
            layers.of(key).map(|said| said.text.clone()).collect()
        };
        let keys = self.keys.iter().map(|key| key.name.as_str());
        keys.filter(|key| !AT_RUN_TIME.contains(key) && texts(self, key) != texts(new, key))
            .collect()
    }

    /// A file that says the same, with the origin of each word; secrets are left out.
    pub fn dump(&self) -> String {
        let mut text = String::new();
        for key in self.keys.iter().filter(|key| key.name != PROPERTY) {
            let name = &key.name;
            let said: Vec<&Said> = self.of(name).collect();
            // Writing to a String cannot fail.
            let _ = match (said.as_slice(), key.literal_default(), &key.default) {
                ([first, ..], _, _) => {
                    let words: Vec<String> = said.iter().map(|said| quoted(&said.text)).collect();
                    let value =
                        if key.many { format!("[{}]", words.join(", ")) } else { words.concat() };
                    writeln!(text, "{:<48} # {}", format!("{name} = {value}"), first.origin)
                }
                ([], Some(default), _) => {
                    let line = format!("# {name} = {}", quoted(default));
                    writeln!(text, "{line:<48} # the default")
                }
                ([], None, Some(default)) => writeln!(text, "# {name}: {default}"),
                ([], None, None) => writeln!(text, "# {name}: none"),
            };
        }
        let mut title = "\n[property]\n";
        for said in self.of(PROPERTY) {
            let (name, value) = property(&said.text);
            let value = match value {
                Some(Value::File(path)) => format!("{{ file = {} }}", quoted(path)),
                Some(Value::Text(value)) if !is_secret(name) => quoted(value),
                _ => quoted("***"),
            };
            let line = format!("{} = {value}", quoted(name));
            let _ = writeln!(text, "{title}{line:<48} # {}", said.origin);
            title = "";
        }
        text
    }

    /// The properties that are secrets, and the file that each one stands in.
    pub fn secrets(&self) -> Vec<(&str, &str)> {
        let secrets =
            self.of(PROPERTY).filter_map(|said| match (property(&said.text), &said.origin) {
                ((name, Some(Value::File(path))), _) => Some((name, path)),
                ((name, Some(Value::Text(_))), Origin::Line { file, .. }) if is_secret(name) => {
                    Some((name, file.as_str()))
                }
                _ => None,
            });
        secrets.collect()
    }

    fn flags(&self, line: &ArgMatches) -> Vec<Said> {
        let given = self.keys.iter().filter(|key| {
            line.value_source(&key.id).is_some_and(|source| source == ValueSource::CommandLine)
        });
        let words = given.flat_map(|key| {
            let words = line.get_many::<String>(&key.id).into_iter().flatten();
            words.map(|word| Said {
                key: key.name.clone(),
                text: word.clone(),
                origin: Origin::Flag(match key.name == PROPERTY {
                    true => "-X".into(),
                    false => format!("--{}", key.name).into(),
                }),
            })
        });
        words.collect()
    }

    fn variables(
        &mut self,
        environment: impl Iterator<Item = (OsString, OsString)>,
    ) -> Result<Vec<Said>, String> {
        let mut said = Vec::new();
        let mut variables: Vec<(String, OsString)> = environment
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
            .filter(|(name, _)| name.starts_with(PREFIX))
            .collect();
        variables.sort();
        for (name, value) in variables {
            let value = value.into_string().map_err(|_| format!("{name}: it must be UTF-8"))?;
            if name == CONFIG {
                self.file = Some(value);
                continue;
            }
            let origin = Origin::Environment(name.clone());
            let rest = name[PREFIX.len()..].to_ascii_lowercase();
            if let Some(property) = rest.strip_prefix("property_") {
                let text = match property.strip_suffix("_file") {
                    Some(property) => format!("{}@{value}", property.replace('_', ".")),
                    None => format!("{}={value}", property.replace('_', ".")),
                };
                said.push(Said { key: PROPERTY.to_owned(), text, origin });
                continue;
            }
            let key = rest.replace('_', "-");
            match self.keys.iter().find(|known| known.name == key && key != PROPERTY) {
                Some(known) if known.many => {
                    said.extend(value.split_whitespace().map(|text| Said {
                        key: key.clone(),
                        text: text.to_owned(),
                        origin: origin.clone(),
                    }));
                }
                Some(_) => said.push(Said { key, text: value, origin }),
                None => self.ignored.push(name),
            }
        }
        Ok(said)
    }

    /// Adds what a layer says of settings that none above it speaks of; properties are settings of their own.
    fn add(&mut self, layer: Vec<Said>) {
        let name = |said: &Said| match said.key == PROPERTY {
            true => format!("{PROPERTY} {}", property(&said.text).0),
            false => said.key.clone(),
        };
        let known: Vec<String> = self.said.iter().map(name).collect();
        self.said.extend(layer.into_iter().filter(|said| !known.contains(&name(said))));
    }

    fn of(&self, key: &str) -> impl Iterator<Item = &Said> {
        self.said.iter().filter(move |said| said.key == key)
    }

    /// Where a flag's word really stood.
    fn origin(&self, flag: &str, word: &str) -> Option<Origin> {
        let key = if flag == "-X" { PROPERTY } else { flag.trim_start_matches('-') };
        let exact = self.of(key).find(|said| match key == PROPERTY {
            true => property(&said.text).0 == word,
            false => said.text == word,
        });
        exact.or_else(|| self.of(key).next()).map(|said| said.origin.clone())
    }
}

fn is_secret(name: &str) -> bool {
    SECRET.iter().any(|part| name.contains(part))
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::*;

    /// A file in a directory of its own, gone with it.
    struct Given(PathBuf);

    impl Given {
        fn new(text: &str) -> Given {
            use std::sync::atomic::{AtomicUsize, Ordering};
            static NEXT: AtomicUsize = AtomicUsize::new(0);
            let no = NEXT.fetch_add(1, Ordering::Relaxed);
            let dir = std::env::temp_dir().join(format!("sparkngin-{}-{no}", std::process::id()));
            fs::create_dir(&dir).unwrap();
            fs::write(dir.join("s.toml"), text).unwrap();
            Given(dir)
        }

        fn path(&self) -> String {
            self.0.join("s.toml").display().to_string()
        }
    }

    impl Drop for Given {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    const NEEDED: &[&str] = &["--feed", "ipc:///a", "--kafka", "127.0.0.1:9092"];

    fn read(line: &[&str], environment: &[(&str, &str)]) -> Result<Layers, String> {
        let matches = command().try_get_matches_from(line).unwrap();
        let environment = environment.iter().map(|(k, v)| (OsString::from(k), OsString::from(v)));
        Layers::read(&matches, environment)
    }

    fn of_file(text: &str) -> Result<Settings, String> {
        let file = Given::new(text);
        let path = file.path();
        let said = read(&["-c", &path], &[]).and_then(|layers| layers.settings());
        said.map_err(|why| why.replace(&path, "FILE"))
    }

    fn debug(settings: &Settings) -> String {
        let said =
            format!("{:?}", (&settings.name, settings.window, &settings.route, &settings.target));
        // librdkafka's properties have no order, and each look at the process is told apart.
        let parts = said.split([',', '{', '}']).map(str::trim);
        let mut parts: Vec<&str> = parts.filter(|part| !part.starts_with("instance:")).collect();
        parts.sort_unstable();
        parts.join(" ")
    }

    #[test]
    fn a_flag_is_over_the_environment_which_is_over_the_file_which_is_over_the_default() {
        let file = Given::new("name = \"file\"\nwindow = \"1m\"\nformat = \"plain\"\n");
        let path = file.path();
        let line = [NEEDED, &["-c", &path, "--name", "flag"]].concat();
        let environment = [("SPARKNGIN_NAME", "variable"), ("SPARKNGIN_WINDOW", "2m")];
        let layers = read(&line, &environment).unwrap();
        let settings = layers.settings().unwrap();
        assert_eq!((settings.name.as_str(), settings.window), ("flag", 2 << 20));
        let dump = layers.dump();
        for (setting, origin) in [
            ("name = \"flag\"", "--name"),
            ("window = \"2m\"", "SPARKNGIN_WINDOW"),
            ("format = \"plain\"", &format!("{}:3: format", file.path())),
            ("# topic-grace = \"5m\"", "the default"),
        ] {
            let line = dump.lines().find(|line| line.starts_with(setting)).unwrap_or(&dump);
            assert!(line.ends_with(&format!("# {origin}")), "{line}");
        }
    }

    #[test]
    fn what_a_file_says_is_what_the_flags_say() {
        let by_file = of_file(
            "feed = [\"ipc:///a\", \"tcp://b:1\"]\nkafka = [\"k1:1\", \"k2:2\"]\ntopics = [\"x\", \"~y.*\"]\n\
             fields = [\"%ip%\", \"%topic%\"]\ncreate-topics = true\nwindow = 131072\n\
             [property]\n\"security.protocol\" = \"plaintext\"\n\"socket.keepalive.enable\" = true\n",
        )
        .unwrap();
        let line: Vec<&str> =
            "--feed ipc:///a --feed tcp://b:1 --kafka k1:1,k2:2 --topics x,~y.* --create-topics \
             --window 131072 -X security.protocol=plaintext -X socket.keepalive.enable=true"
                .split_whitespace()
                .chain(["--fields", "%ip% %topic%"])
                .collect();
        let by_flags = read(&line, &[]).unwrap().settings().unwrap();
        assert_eq!(debug(&by_file), debug(&by_flags));
        let feeds = |settings: &Settings| {
            settings.feeds.iter().map(|f| f.value.clone()).collect::<Vec<_>>()
        };
        assert_eq!(feeds(&by_file), feeds(&by_flags));
        let line = [NEEDED, &["--create-topics=false"]].concat();
        let unsaid =
            read(&line, &[("SPARKNGIN_CREATE_TOPICS", "true")]).unwrap().settings().unwrap();
        assert_eq!(debug(&unsaid), debug(&read(NEEDED, &[]).unwrap().settings().unwrap()));
    }

    #[test]
    fn what_is_wrong_in_a_file_is_told_with_its_line() {
        let rows = [
            (
                "feed = \"ipc:///a\"\ntopic_grace = \"5m\"",
                "FILE:2: unknown key \"topic_grace\", perhaps \"topic-grace\"",
            ),
            ("zzz = 1", "FILE:1: unknown key \"zzz\""),
            ("test = true", "FILE:1: unknown key \"test\""),
            ("\nname = [\"a\"]", "FILE:2: \"name\" must be a string, not array"),
            ("topics = [\"a,b\"]", "FILE:1: \"topics\": each element must be without \",\""),
            ("name = ", "FILE:1: "),
            ("name = \"a\"\nname = \"b\"", "FILE:2: duplicate key"),
            ("property = \"a=b\"", "FILE:1: \"property\" must be a table"),
            (
                "[property]\nsasl.password = \"s3cret\"",
                "FILE:2: \"sasl\": a table here has \"file\" alone",
            ),
            (
                "[property]\n\"sasl.password\" = { fill = \"s3cret\" }",
                "FILE:2: \"sasl.password\": a table",
            ),
            ("[property]\n\"no.such\" = \"s3cret\"", ""),
            ("feed = \"ipc:///a\"\nkafka = \"a:1\"\n\nname = \"a b\"", "FILE:4: name \"a b\": "),
            ("feed = [\"ipc:///a\",\n\"b\"]\nkafka = \"a:1\"", "FILE:2: feed \"b\": it must be"),
            (
                "feed = \"ipc:///a\"\nkafka = \"a:1\"\n[property]\n\"acks\" = \"1\"",
                "FILE:4: property \"acks\": \"acks\" cannot be set",
            ),
            (
                "feed = \"ipc:///a\"\nkafka = \"a:1\"\n[property]\n\"sasl.password\" = { file = \"/nowhere\" }",
                "FILE:4: property \"sasl.password\": /nowhere: No such file",
            ),
        ];
        for (text, why) in rows {
            let said = of_file(text).map(|_| ()).unwrap_err();
            assert!(said.starts_with(why) && !said.contains('\n'), "{text}: {said}");
            assert!(!said.contains("s3cret"), "{said}");
        }
        let said = read(&["-c", "/nowhere.toml"], &[]).map(|_| ()).unwrap_err();
        assert!(said.starts_with("--config \"/nowhere.toml\": "), "{said}");
    }

    #[test]
    fn the_environment_says_lists_properties_and_the_file_and_what_is_no_setting_is_named() {
        let file = Given::new("window = \"1m\"\n[property]\n\"sasl.password\" = \"s3cret\"\n");
        let environment = [
            ("SPARKNGIN_CONFIG", file.path()),
            ("SPARKNGIN_FEED", "ipc:///a ipc:///b".to_owned()),
            ("SPARKNGIN_KAFKA", "a:1".to_owned()),
            ("SPARKNGIN_PROPERTY_SASL_USERNAME", "me".to_owned()),
            ("SPARKNGIN_PORT", "tcp://10.0.0.1:7000".to_owned()),
            ("SPARKNGINX", "1".to_owned()),
        ];
        let environment: Vec<_> = environment.iter().map(|(k, v)| (*k, v.as_str())).collect();
        let layers = read(&[], &environment).unwrap();
        let settings = layers.settings().unwrap();
        assert_eq!((settings.feeds.len(), settings.window), (2, 1 << 20));
        assert_eq!(layers.ignored, ["SPARKNGIN_PORT"]);
        let dump = layers.dump();
        assert!(dump.contains("\"sasl.username\" = \"me\""), "{dump}");
        assert!(dump.contains("\"sasl.password\" = \"***\"") && !dump.contains("s3cret"), "{dump}");
        let wrong = read(NEEDED, &[("SPARKNGIN_NAME", "a b")]).unwrap().settings().map(|_| ());
        assert!(wrong.clone().unwrap_err().starts_with("SPARKNGIN_NAME \"a b\": "), "{wrong:?}");
    }

    #[test]
    fn a_dump_is_a_file_that_says_the_same() {
        let line = [
            NEEDED,
            &[
                "--topics",
                "a,~b\\..*",
                "--delimiter",
                "\t",
                "--format",
                "plain",
                "-X",
                "client.rack=r",
            ],
        ];
        let layers = read(&line.concat(), &[]).unwrap();
        let settings = of_file(&layers.dump()).unwrap();
        assert_eq!(debug(&settings), debug(&layers.settings().unwrap()));
    }

    #[test]
    fn each_default_of_the_help_is_what_is_done_when_nobody_says_it() {
        let done = |more: &[&str]| {
            debug(&read(&[NEEDED, more].concat(), &[]).unwrap().settings().unwrap())
        };
        let mut literal = 0;
        for key in Key::all() {
            let Some(default) = key.literal_default() else { continue };
            let flag = format!("--{}={default}", key.name);
            let with: &[&str] =
                if key.name == "commit-interval" { &["--delivery=exactly-once"] } else { &[] };
            assert_eq!(done(&[with, &[&flag]].concat()), done(with), "{flag}");
            literal += 1;
        }
        assert!(literal > 8, "{literal}");
    }

    #[test]
    fn what_a_running_subscriber_cannot_change_is_named() {
        let before = read(NEEDED, &[]).unwrap();
        let line = [NEEDED, &["--window", "1m", "--topics", "a", "-X", "client.rack=r"]].concat();
        let fixed = before.fixed(&read(&line, &[]).unwrap()).join(" ");
        assert!(fixed == "property window" || fixed == "window property", "{fixed}");
    }
}
