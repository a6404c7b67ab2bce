//! Golden vectors: events in every format, byte for byte, read back by the example in Python too.
//!
//! `GOLDEN=write cargo test -p sparkngin-core --test event_golden` writes what the code says now; look at the difference.

mod sender;

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use sender::{hex, lossy, object, unhex};
use serde_json::{Map, Value as Json};
use sparkngin_core::event::{Event, Form, Given, Intake, Request, Tells};
use sparkngin_core::field::{DataKind, Field, FieldList, FieldName, HeaderFields, Name, Value};
use sparkngin_core::format::{Delimiter, Fields, Format, Rendering, binary};
use sparkngin_core::gzip;

const FORMATS: [(&str, Format); 4] = [
    ("binary", Format::Binary),
    ("plain", Format::Plain),
    ("json", Format::Json),
    ("envelope", Format::Envelope),
];

fn array(json: &Json) -> impl Iterator<Item = &Json> {
    json.as_array().into_iter().flatten()
}

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn vectors() -> Vec<Json> {
    let text = std::fs::read(file("tests/golden/formats.json")).unwrap();
    serde_json::from_slice(&text).unwrap()
}

/// One vector, read.
struct Vector<'v>(&'v Json);

impl Vector<'_> {
    fn name(&self) -> &str {
        self.0["name"].as_str().unwrap()
    }

    fn list(&self) -> FieldList {
        FieldList::parse(self.0["list"].as_str().unwrap().split(' ')).unwrap()
    }

    fn delimiter(&self) -> &str {
        self.0["delimiter"].as_str().unwrap_or(" ")
    }

    /// The event's binary form.
    fn stored(&self) -> Vec<u8> {
        let request = &self.0["request"];
        let part = |name: &str| request[name].as_str().map(str::as_bytes);
        let of_hex = request["body_hex"].as_str().map(unhex);
        let keep = match self.0["intake"]["keep"].as_str() {
            Some(words) => sender::keeps(words),
            None => HeaderFields::default(),
        };
        let topic = self.0["intake"]["topic"].as_str().map(str::as_bytes);
        let given: Vec<(FieldName, &[u8], Form)> = array(&self.0["intake"]["fields"])
            .map(|given| {
                let at = |n: usize| given[n].as_str().unwrap().as_bytes();
                let form = match at(2) {
                    b"number" => Form::Number,
                    b"json" => Form::Json,
                    _ => Form::String,
                };
                (FieldName::parse(at(0)).unwrap(), at(1), form)
            })
            .collect();
        let fields: Vec<Given<'_>> = given
            .iter()
            .map(|(name, value, form)| Given { name, value, form: *form, tells: Tells::Anything })
            .collect();
        let headers: Vec<(&[u8], &[u8])> = array(&request["headers"])
            .map(|pair| {
                let at = |n: usize| pair[n].as_str().unwrap().as_bytes();
                (at(0), at(1))
            })
            .collect();
        let request = Request {
            query: part("query").unwrap(),
            body: part("body").or(of_hex.as_deref()),
            content_type: part("content_type"),
            peer: part("peer").unwrap(),
            user_agent: part("user_agent"),
            referrer: part("referrer"),
            cookie: part("cookie"),
            received: request["received"].as_u64().unwrap(),
            topic: part("topic"),
            headers: &headers,
            cloud: &[],
        };
        let event = Event::read(
            &request,
            &Intake { topic, keep: &keep, fields: &fields, ..Intake::default() },
        );
        let mut out = Vec::new();
        binary::encode(&event.unwrap(), &mut out);
        out
    }

    /// Written in a format: with all fields, or with the vector's list of them.
    fn rendered(&self, event: &Event<'_>, format: Format, all: bool) -> Vec<u8> {
        let fields = if all { Fields::All } else { Fields::Listed(self.list()) };
        let delimiter = Delimiter::parse(self.delimiter().as_bytes()).unwrap();
        let id = self.0["id"].as_str().unwrap().parse().unwrap();
        let mut out = Vec::new();
        Rendering { format, delimiter, fields }.render(event, id, &mut out);
        out
    }

    /// What a reader of some format knows of the event.
    fn read_back(&self, event: &Event<'_>, form: &str, all: bool) -> Json {
        let mut wanted = object(event);
        wanted.remove("data_base64");
        if let Some((kind, bytes)) = event.data() {
            wanted.insert("data".into(), payload(kind, bytes, form));
        }
        if form == "plain" {
            // It does not say what a value is.
            for (name, value) in event.fields() {
                if let (Name::Named(name), Value::Data(_, json)) = (name, value) {
                    wanted.insert(lossy(name), lossy(json).into());
                }
            }
        }
        if !all {
            let list = self.list();
            wanted.retain(|name, _| {
                list.iter()
                    .any(|field| field.to_string() == *name || shown(field.name().bytes()) == *name)
            });
            if list.contains(Field::Sg) {
                wanted.insert("sg".into(), self.0["id"].clone());
            }
        }
        Json::Object(wanted)
    }
}

fn shown(name: &[u8]) -> String {
    lossy(name)
}

fn payload(kind: DataKind, bytes: &[u8], form: &str) -> Json {
    if form == "plain" {
        return lossy(bytes).into();
    }
    let (_, data) = sender::member(Name::Known(Field::Data), Value::Data(kind, bytes));
    // JSON alone cannot tell a JSON body that is a string from text.
    let kind = if form == "json" && data.is_string() && kind == DataKind::Json {
        DataKind::Text
    } else {
        kind
    };
    Json::Object(Map::from_iter([
        ("type".to_owned(), kind.name().into()),
        ("data".to_owned(), data),
    ]))
}

#[test]
fn every_format_is_what_it_was() {
    let mut vectors = vectors();
    let write = std::env::var_os("GOLDEN").is_some_and(|what| what == "write");
    for json in &mut vectors {
        let mut outputs = Map::new();
        {
            let vector = Vector(json);
            let stored = vector.stored();
            let event = binary::decode(&stored).unwrap();
            for (form, format) in FORMATS {
                for (set, all) in [("all", true), ("listed", false)] {
                    let out = vector.rendered(&event, format, all);
                    let name = format!("{form} {set}");
                    if !write {
                        let golden = json["written"][&name].as_str().map(unhex).unwrap_or_default();
                        assert!(
                            out == golden,
                            "{}: {name}:\n{}\n{}",
                            vector.name(),
                            lossy(&out),
                            lossy(&golden)
                        );
                    }
                    outputs.insert(name, hex(&out).into());
                }
            }
            assert_eq!(outputs["binary all"].as_str().unwrap(), hex(&stored), "{}", vector.name());
        }
        json["written"] = Json::Object(outputs);
    }
    if write {
        let text = serde_json::to_string_pretty(&vectors).unwrap() + "\n";
        std::fs::write(file("tests/golden/formats.json"), text).unwrap();
    }
}

#[test]
fn the_example_in_the_documentation_is_the_first_vector() {
    let text = std::fs::read_to_string(file("../../docs/protocol.md")).unwrap();
    let vectors = vectors();
    let written = |name: &str| vectors[0]["written"][name].as_str().unwrap().to_owned();
    let drawn: String = text
        .lines()
        .skip_while(|line| !line.contains("version 1 of the format"))
        .take_while(|line| *line != "```")
        .flat_map(|line| line.trim().split("  ").next().unwrap_or_default().split(' '))
        .collect();
    assert_eq!(drawn, written("binary all"));
    assert!(text.contains(&format!("as these {} bytes", drawn.len() / 2)));
    for name in ["plain listed", "json all", "envelope all"] {
        let line = String::from_utf8(unhex(&written(name))).unwrap();
        assert!(text.lines().any(|other| other == line), "{line}");
    }
    let list = vectors[0]["list"].as_str().unwrap();
    assert!(text.contains(list), "{list}");
}

fn python(form: &str, delimiter: &str, names: &[String], message: &[u8]) -> Json {
    let python = std::env::var_os("PYTHON").unwrap_or_else(|| "/usr/bin/python3".into());
    let mut child = Command::new(python)
        .arg(file("../../examples/decode.py"))
        .arg(form)
        .args(names)
        .env("DELIMITER", delimiter)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 runs; PYTHON names another");
    child.stdin.take().unwrap().write_all(message).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{form}: {}", lossy(message));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn the_example_in_python_reads_every_vector() {
    for json in &vectors() {
        let vector = Vector(json);
        let stored = vector.stored();
        let event = binary::decode(&stored).unwrap();
        for (form, format) in FORMATS {
            for all in [true, false] {
                let message = vector.rendered(&event, format, all);
                let names: Vec<String> = match (form, all) {
                    ("plain", true) => {
                        event.fields().map(|(name, _)| shown(name.bytes())).collect()
                    }
                    ("plain", false) => {
                        vector.list().iter().map(|field| shown(field.name().bytes())).collect()
                    }
                    _ => Vec::new(),
                };
                let read = python(form, vector.delimiter(), &names, &message);
                assert_eq!(read, vector.read_back(&event, form, all), "{}: {form}", vector.name());
            }
        }
    }
}

#[test]
fn gzip_is_inflated_here_and_in_python() {
    // Python's gzip.compress(b'{"topic":"t"}' * 20, mtime=0).
    let golden = unhex(GZIP);
    let text = br#"{"topic":"t"}"#.repeat(20);
    assert_eq!(gzip::inflate(&golden, text.len()).unwrap(), text);
    assert!(gzip::inflate(&golden, text.len() - 1).is_err());

    let mut packed = Vec::new();
    gzip::compress(br#"{"topic":"t"}"#, &mut packed);
    assert_eq!(python("json", " ", &[], &packed), serde_json::json!({"topic": "t"}));
}

const GZIP: &str = "1f8b0800000000000203ab562ac92fc84c56b2522a51aaad1e991c00032bc4b904010000";

/// Lines as servers write them; `LINES=file` takes any other.
fn corpus() -> Vec<Vec<u8>> {
    if let Some(path) = std::env::var_os("LINES") {
        let bytes = std::fs::read(path).expect("LINES names a file");
        return bytes.split(|b| *b == b'\n').map(<[u8]>::to_vec).collect();
    }
    let agent = "Mozilla/5.0 (Linux; Android 13; SM-S901B) AppleWebKit/537.36 (KHTML, like Gecko) ";
    let paths = [
        "/",
        "/a%20b?q=100%&r=%zz",
        "/caf\u{e9}/\u{65e5}\u{672c}\u{8a9e}",
        "/\u{1f680}",
        "/x\0y",
        "/\"><script>",
        "/\\x16\\x03",
        "/a\tb",
    ];
    let mut lines = Vec::new();
    for (at, path) in paths.iter().enumerate().cycle().take(400) {
        let at = at + lines.len();
        let long = agent.repeat(1 + at % 60);
        lines.push(format!("10.{}.0.{} - - [17/May/2015:10:{:02}:03 +0000] \"GET {path} HTTP/1.1\" 200 {at} \"-\" \"{long}\"", at % 7, at % 251, at % 60).into_bytes());
    }
    lines.push((0..=255).collect());
    lines
}

#[test]
fn real_world_lines_survive_every_format() {
    let keep = sender::keeps("%user-agent%");
    let intake =
        Intake { topic: Some(b"lines"), keep: &keep, max_event: 64 << 10, ..Intake::default() };
    let (mut stored, mut out) = (Vec::new(), Vec::new());
    for line in corpus() {
        let query = format!("line={}&data={}", sender::percent(&line), sender::percent(&line));
        let request = Request { user_agent: Some(&line), ..sender::get(query.as_bytes()) };
        stored.clear();
        binary::encode(&Event::read(&request, &intake).unwrap(), &mut stored);
        let event = binary::decode(&stored).unwrap();
        assert_eq!(event.known(Field::UserAgent), Some(Value::Text(&line)));
        assert_eq!(event.data().unwrap().1, line);
        assert_eq!(event.named().collect::<Vec<_>>(), [(&b"line"[..], &line[..])]);
        out.clear();
        let id = "00000000000000000000000000000001-0-1".parse().unwrap();
        let delimiter = Delimiter::default();
        Rendering { format: Format::Json, delimiter, fields: Fields::All }
            .render(&event, id, &mut out);
        let read: Map<String, Json> = serde_json::from_slice(&out).unwrap();
        assert_eq!(read, object(&event));
    }
}
