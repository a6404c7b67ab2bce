//! What is written can be read back, for any event; what is read may be anything.

mod sender;

use proptest::collection::vec;
use proptest::prelude::*;
use sender::{RECEIVED, lossy, object, percent, read};
use serde_json::Value as Json;
use sparkngin_core::event::{Event, HeaderFields, Intake, Request};
use sparkngin_core::field::{DataKind, FieldList, FieldName, Name, Value};
use sparkngin_core::format::binary::{self, Malformed, Part};
use sparkngin_core::format::{Delimiter, Fields, Format, Rendering};
use sparkngin_core::id::{EventId, Region, Seq, Stream};
use sparkngin_core::query;

const ID: EventId = EventId { region: Region(0xABC), stream: Stream(3), seq: Seq(17) };

/// What a test sends.
#[derive(Clone, Debug)]
struct Sent {
    parameters: Vec<(Vec<u8>, Vec<u8>)>,
    body: Vec<u8>,
    json: bool,
    user_agent: Option<Vec<u8>>,
    cookie: Option<Vec<u8>>,
}

impl Sent {
    fn query(&self) -> String {
        let pair = |(name, value): &(Vec<u8>, Vec<u8>)| percent(name) + "=" + &percent(value);
        self.parameters.iter().map(pair).collect::<Vec<_>>().join("&")
    }

    fn request<'a>(&'a self, query: &'a str) -> Request<'a> {
        Request {
            body: Some(&self.body),
            content_type: self.json.then_some(b"application/json"),
            user_agent: self.user_agent.as_deref(),
            cookie: self.cookie.as_deref(),
            ..sender::get(query.as_bytes())
        }
    }
}

/// Bytes as the world sends them: text, what must be escaped somewhere, and anything.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let real = prop::sample::select(vec![
        "-",
        "--",
        "",
        " ",
        "a b",
        "\\x2D",
        "\\",
        "%",
        "100%",
        "%41",
        "+",
        "\"quoted\"",
        "null",
        "0",
        "a\tb\r\nc",
        "\0",
        "\u{7f}\u{80}\u{2028}",
        "caf\u{e9}",
        "\u{65e5}\u{672c}\u{8a9e}",
        "\u{1f680}",
        "</script>",
        "{\"a\":1}",
        "1393671600",
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/32.0 Safari/537.36",
    ]);
    prop_oneof![
        3 => real.prop_map(|text| text.as_bytes().to_vec()),
        3 => ".{0,40}".prop_map(String::into_bytes),
        2 => vec(any::<u8>(), 0..200),
    ]
}

fn parameter() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    let known = prop::sample::select(vec![
        "ver",
        "level",
        "type",
        "env",
        "key",
        "id",
        "user-agent",
        "referrer",
        "cookie",
        "cookie_a",
    ]);
    let custom = "[^\\p{Cc}]{1,12}"
        .prop_filter("ours", |name| !["sg", "ip", "log", "data", "topic"].contains(&name.as_str()));
    let name = prop_oneof![known.prop_map(str::to_owned), custom].prop_map(String::into_bytes);
    let time = Just((b"timestamp".to_vec(), b"1393671600123".to_vec()));
    let topic = "[a-zA-Z0-9.-]{3,20}".prop_map(|name| (b"topic".to_vec(), name.into_bytes()));
    let ip = Just((b"ip".to_vec(), b"2001:db8::1".to_vec()));
    prop_oneof![8 => (name, bytes()), 1 => time, 1 => topic, 1 => ip]
}

fn json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        ".{0,10}".prop_map(Json::from),
    ];
    leaf.prop_recursive(4, 30, 5, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..5).prop_map(Json::from),
            vec((".{0,5}", inner), 0..5)
                .prop_map(|members| Json::Object(members.into_iter().collect())),
        ]
    })
}

fn sent() -> impl Strategy<Value = Sent> {
    let payload = prop_oneof![
        bytes().prop_map(|body| (body, false)),
        json().prop_map(|json| (serde_json::to_vec_pretty(&json).unwrap(), true)),
        Just((Vec::new(), true)),
    ];
    let head = || proptest::option::of(bytes());
    (vec(parameter(), 0..30), payload, head(), head()).prop_map(
        |(parameters, (body, json), user_agent, cookie)| Sent {
            parameters,
            body,
            json,
            user_agent,
            cookie,
        },
    )
}

fn rendered(event: &Event<'_>, format: Format, fields: Fields, delimiter: &[u8]) -> Vec<u8> {
    let delimiter = Delimiter::parse(delimiter).unwrap();
    let mut out = b"kept".to_vec();
    Rendering { format, delimiter, fields }.render(event, ID, &mut out);
    assert!(out.starts_with(b"kept"));
    out.split_off(4)
}

fn json_of(event: &Event<'_>, format: Format, fields: Fields) -> Json {
    let out = rendered(event, format, fields, b" ");
    serde_json::from_slice(&out).unwrap_or_else(|bad| panic!("{bad}: {}", lossy(&out)))
}

/// Reads `\xHH` back; anything else behind a backslash is wrong.
fn unescape(value: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = value;
    while let Some((byte, after)) = rest.split_first() {
        if *byte != b'\\' {
            out.push(*byte);
            rest = after;
            continue;
        }
        let (escape, after) = after.split_at(3);
        assert_eq!(escape[0], b'x');
        out.push(u8::from_str_radix(std::str::from_utf8(&escape[1..]).unwrap(), 16).unwrap());
        rest = after;
    }
    out
}

fn split<'a>(mut line: &'a [u8], delimiter: &[u8]) -> Vec<&'a [u8]> {
    let mut parts = Vec::new();
    while let Some(at) = line.windows(delimiter.len()).position(|at| at == delimiter) {
        parts.push(&line[..at]);
        line = &line[at + delimiter.len()..];
    }
    parts.push(line);
    parts
}

/// Every name that the event has, some that it has not, and `sg`.
fn listed(event: &Event<'_>) -> FieldList {
    let mut names: Vec<Vec<u8>> = event.fields().map(|(name, _)| name.bytes().to_vec()).collect();
    for more in ["not there", "env", "sg", "submitted_timestamp", "cookie_z"] {
        if !names.contains(&more.as_bytes().to_vec()) {
            names.insert(names.len() / 2, more.into());
        }
    }
    // A name between percent signs would be taken for the name inside.
    let words = names.iter().map(|name| [b"%", &name[..], b"%"].concat());
    FieldList::parse(words).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn an_event_reads_back_from_its_binary_form(sent in sent()) {
        let query = sent.query();
        let event = read(&sent.request(&query)).unwrap();
        let mut bytes = Vec::new();
        binary::encode(&event, &mut bytes);
        prop_assert_eq!(bytes.len(), event.encoded_len());
        prop_assert_eq!(&rendered(&event, Format::Binary, Fields::All, b" "), &bytes);
        let again = binary::decode(&bytes).unwrap();
        prop_assert_eq!(&again, &event);
        prop_assert_eq!(again.encoded_len(), bytes.len());
        for end in 0..bytes.len() {
            prop_assert!(binary::decode(&bytes[..end]) != Ok(event.clone()));
        }
    }

    #[test]
    fn what_was_sent_is_what_the_event_says(sent in sent()) {
        let query = sent.query();
        let event = read(&sent.request(&query)).unwrap();
        for (name, value) in &sent.parameters {
            let field = FieldName::parse(name);
            let Ok(field) = field else { continue }; // `timestamp`, or percent signs around a name.
            let first = sent.parameters.iter().find(|(other, _)| FieldName::parse(other).as_ref() == Ok(&field));
            if first.unwrap().1 == *value && name.first() != Some(&b'%') {
                prop_assert_eq!(&*event.get(&field).unwrap().bytes(), &value[..], "{}", field);
            }
        }
        if !sent.body.is_empty() {
            prop_assert_eq!(event.data().unwrap().1, &sent.body[..]);
        }
    }

    #[test]
    fn json_is_what_serde_json_makes_of_the_same_fields(sent in sent()) {
        let query = sent.query();
        let event = read(&sent.request(&query)).unwrap();
        prop_assert_eq!(json_of(&event, Format::Json, Fields::All), Json::Object(object(&event)));

        let mut wanted = object(&event);
        wanted.insert("sg".into(), ID.to_string().into());
        let list = Fields::Listed(listed(&event));
        prop_assert_eq!(json_of(&event, Format::Json, list), Json::Object(wanted));
    }

    #[test]
    fn the_envelope_has_every_field_once(sent in sent()) {
        let query = sent.query();
        let event = read(&sent.request(&query)).unwrap();
        for list in [Fields::All, Fields::Listed(listed(&event))] {
            let mut all = object(&event);
            if list != Fields::All {
                all.insert("sg".into(), ID.to_string().into());
            }
            let envelope = json_of(&event, Format::Envelope, list);
            let mut count = 0;
            for (member, name) in [
                ("version", "version"), ("topic", "topic"), ("key", "key"), ("env", "env"), ("level", "level"),
                ("type", "type"), ("ip", "ip"), ("timestamp", "time_stamp"),
                ("submitted_timestamp", "submitted_timestamp"), ("id", "id"),
            ] {
                prop_assert_eq!(envelope["header"].get(member), all.get(name), "{}", name);
                count += usize::from(all.remove(name).is_some());
            }
            prop_assert_eq!(envelope["header"].as_object().unwrap().len(), count);
            let data = all.remove("data").or(all.remove("data_base64"));
            prop_assert_eq!(envelope.get("data").map(|data| data["data"].clone()), data);
            if let Some((kind, _)) = event.data() {
                prop_assert_eq!(&envelope["data"]["type"], kind.name());
            }
            let fields = envelope.get("fields").cloned().unwrap_or_else(|| Json::Object(Default::default()));
            prop_assert_eq!(fields, Json::Object(all));
        }
    }

    #[test]
    fn a_plain_line_reads_back(sent in sent(), which in 0..6_usize) {
        let delimiter: &[u8] = [&b" "[..], b"\t", b"||", b", ", b"\xE2\x80\xA3", b"\n"][which];
        let query = sent.query();
        let event = read(&sent.request(&query)).unwrap();
        let list = listed(&event);
        let line = rendered(&event, Format::Plain, Fields::Listed(list.clone()), delimiter);
        let values = split(&line, delimiter);
        prop_assert_eq!(values.len(), list.iter().count());
        for (field, value) in list.iter().zip(values) {
            let sg = || Value::Text(b"00000000000000000000000000000abc-3-17").bytes();
            let held = if field.to_string() == "sg" { Some(sg()) } else { event.get(field).map(Value::bytes) };
            let read = (value != b"-").then(|| unescape(value));
            prop_assert_eq!(read.as_deref(), held.as_deref(), "{}", field);
            prop_assert!(which == 5 || !value.iter().any(u8::is_ascii_control));
        }
    }

    #[test]
    fn a_choice_of_fields_in_binary_has_them_in_its_order(sent in sent()) {
        let query = sent.query();
        let event = read(&sent.request(&query)).unwrap();
        let list = listed(&event);
        let bytes = rendered(&event, Format::Binary, Fields::Listed(list.clone()), b" ");
        let mut parts = binary::parts(&bytes).unwrap().map(|part| part.unwrap().1);
        for field in list.iter() {
            if let Some(value) = event.get(field) {
                prop_assert_eq!(parts.next(), Some(Part::Field(field.name(), value)));
            } else if field.to_string() == "sg" {
                prop_assert!(matches!(parts.next(), Some(Part::Field(Name::Known(_), Value::Text(_)))));
            }
        }
        prop_assert_eq!(parts.next(), None);
    }

    #[test]
    fn a_query_is_read_as_a_simple_reader_does(query in "[&=%+a-c0-9A-F]{0,60}") {
        prop_assert_eq!(decoded(query.as_bytes()), simple(&query));
    }

    #[test]
    fn any_bytes_are_refused_or_read(query in vec(any::<u8>(), 0..300), body in vec(any::<u8>(), 0..50), head in vec(any::<u8>(), 0..50)) {
        let keep = HeaderFields { user_agent: true, referrer: true, cookie: true, cookies: vec![(*b"cookie_a").into()] };
        let attributes = [(&b"specversion"[..], &b"1.0"[..]), (b"id", &body), (b"source", &head), (b"type", b"t"), (&head, &body)];
        let request = Request {
            query: &query, body: Some(&body), content_type: Some(&head), peer: &head,
            user_agent: Some(&head), referrer: Some(&head), cookie: Some(&head), received: RECEIVED,
            topic: None, headers: &[(&head, &body)], cloud: if head.len() % 4 == 0 { &attributes } else { &[] },
        };
        for topic in [None, Some(&b"t"[..]), Some(&head[..])] {
            match Event::read(&request, &Intake { topic, keep: &keep, max_event: 400, ..Intake::default() }) {
                Err(invalid) => prop_assert!(invalid.to_string().bytes().all(|b| matches!(b, b' '..=b'~'))),
                Ok(event) => {
                    let mut bytes = Vec::new();
                    binary::encode(&event, &mut bytes);
                    prop_assert!(bytes.len() <= 400);
                    prop_assert_eq!(binary::decode(&bytes), Ok(event));
                }
            }
        }
    }

    #[test]
    fn what_decodes_says_the_same_when_it_is_encoded_again(sent in sent(), at in any::<prop::sample::Index>(), byte in any::<u8>(), tail in vec(any::<u8>(), 0..20)) {
        let query = sent.query();
        let mut bytes = Vec::new();
        binary::encode(&read(&sent.request(&query)).unwrap(), &mut bytes);
        bytes.extend(&tail);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(event) = binary::decode(&bytes) {
            let mut again = Vec::new();
            binary::encode(&event, &mut again);
            prop_assert_eq!(again.len(), event.encoded_len());
            prop_assert_eq!(binary::decode(&again), Ok(event.clone()));
            for format in [Format::Plain, Format::Json, Format::Envelope] {
                rendered(&event, format, Fields::All, b" ");
            }
        }
    }

    #[test]
    fn any_bytes_decode_or_do_not(bytes in vec(any::<u8>(), 0..100)) {
        let _ = binary::decode(&bytes);
        let _ = binary::decode(&[&[1], &bytes[..]].concat());
        let _ = binary::parts(&bytes).map(|parts| parts.count());
    }
}

type Read = Result<Vec<(Vec<u8>, Vec<u8>)>, usize>;

fn decoded(query: &[u8]) -> Read {
    let mut text = Vec::new();
    let mut all = Vec::new();
    for pair in query::pairs(query) {
        let name = pair.name.decode(&mut text).map_err(|bad| bad.at)?;
        let value = pair.value.decode(&mut text).map_err(|bad| bad.at)?;
        all.push((name.of(&text).to_vec(), value.of(&text).to_vec()));
    }
    assert!(text.len() <= query.len());
    Ok(all)
}

fn simple(query: &str) -> Read {
    let mut at = 0;
    let mut all = Vec::new();
    for piece in query.split('&') {
        let (name, value) = piece.split_once('=').unwrap_or((piece, ""));
        if !piece.is_empty() {
            let value_at = at + piece.find('=').map_or(piece.len(), |at| at + 1);
            all.push((simple_text(name, at)?, simple_text(value, value_at)?));
        }
        at += piece.len() + 1;
    }
    Ok(all)
}

fn simple_text(sent: &str, from: usize) -> Result<Vec<u8>, usize> {
    let mut text = Vec::new();
    let mut at = 0;
    while at < sent.len() {
        match sent.as_bytes()[at] {
            b'%' => {
                let digits =
                    sent.get(at + 1..at + 3).filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()));
                text.push(u8::from_str_radix(digits.ok_or(from + at)?, 16).unwrap());
                at += 2;
            }
            b'+' => text.push(b' '),
            byte => text.push(byte),
        }
        at += 1;
    }
    Ok(text)
}

#[test]
fn each_malformed_record_says_what_is_wrong_with_it() {
    // time_stamp 1 and topic "t": the least there may be.
    let least = [&[1, 3, 8, 1, 0, 0, 0, 0, 0, 0, 0, 7, 1][..], b"t"].concat();
    let with = |more: &[u8]| [&least, more].concat();
    let decoded = |bytes: Vec<u8>| binary::decode(&bytes).map(|event| event.fields().count());
    assert_eq!(decoded(with(&[])), Ok(2));
    let field = |id| sparkngin_core::field::Field::of_id(id).unwrap();
    for (bad, why) in [
        (vec![], Malformed::Version),
        ([&[2], &least[1..]].concat(), Malformed::Version),
        (least[..11].to_vec(), Malformed::Missing { field: field(7) }),
        ([&[1], &least[11..]].concat(), Malformed::Missing { field: field(3) }),
        (with(&[5]), Malformed::Cut { at: 14 }),
        (with(&[5, 2, 0]), Malformed::Cut { at: 14 }),
        (with(&[5, 0x80]), Malformed::Cut { at: 14 }),
        (with(&[5, 0x80, 0x80, 0x80, 0x80, 0x80, 0]), Malformed::Cut { at: 14 }),
        (with(&[5, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F]), Malformed::Cut { at: 14 }),
        (with(&[0, 1, b'a']), Malformed::Cut { at: 14 }),
        (with(&[200, 4, 0]), Malformed::Cut { at: 14 }),
        (with(&[4, 7, 0, 0, 0, 0, 0, 0, 0]), Malformed::Value { field: field(4) }),
        (with(&[14, 0]), Malformed::Value { field: field(14) }),
        (with(&[14, 1, 4]), Malformed::Value { field: field(14) }),
        ([&least[..12], &[0]].concat(), Malformed::Value { field: field(7) }),
        (with(&[7, 1, b'u']), Malformed::Misplaced { field: field(7) }),
        (with(&[15, 1, b's']), Malformed::Misplaced { field: field(15) }),
    ] {
        assert_eq!(decoded(bad.clone()), Err(why), "{bad:?}");
    }
    // A length may be longer than it must be.
    assert_eq!(decoded(with(&[5, 0x81, 0x80, 0x00, b'x'])), Ok(3));
}

#[test]
fn fields_of_a_newer_version_are_kept() {
    let bytes = [
        &[1, 3, 8, 1, 0, 0, 0, 0, 0, 0, 0, 7, 1][..],
        b"t",
        &[14, 2, 2, b'd', 18, 3, 1, b'n', b'v', 255, 0],
    ]
    .concat();
    let event = binary::decode(&bytes).unwrap();
    assert_eq!(event.others(), [(18, &b"\x01nv"[..]), (255, b"")]);
    assert_eq!(event.data(), Some((DataKind::Text, &b"d"[..])));
    let mut again = Vec::new();
    binary::encode(&event, &mut again);
    assert_eq!(again, bytes);
}

#[test]
fn a_delimiter_that_could_be_part_of_a_value_is_refused() {
    for good in [
        &b" "[..],
        b"\t",
        b", ",
        b"|",
        b"a",
        b"X",
        b" - ",
        b"\0",
        b"0123456789abcdef".as_slice().get(10..).unwrap(),
        b"\xFF",
        b"\x01\x02",
    ] {
        assert!(Delimiter::parse(good).is_ok(), "{good:?}");
    }
    for bad in [&b""[..], b"-", b"\\", b"\\t", b"x", b"0", b"9,", b"A", b"F", b"                 "]
    {
        let sentence = Delimiter::parse(bad).unwrap_err().to_string();
        assert!(sentence.contains("must"), "{sentence}");
    }
}

#[test]
fn a_format_is_one_of_four_words() {
    for (word, format) in [
        ("plain", Format::Plain),
        ("json", Format::Json),
        ("binary", Format::Binary),
        ("envelope", Format::Envelope),
    ] {
        assert_eq!(word.parse(), Ok(format));
    }
    for word in ["", "JSON", "x\"y", "protobuf"] {
        let sentence = word.parse::<Format>().unwrap_err().to_string();
        assert!(
            sentence.ends_with(r#"must be "json", "plain", "binary" or "envelope""#),
            "{sentence}"
        );
    }
}
