//! What a place and a request's head say of an event: a topic in the path, fields that the place gives, Kafka headers,
//! and what of a client is not stored.

mod sender;

use sender::{get, keeps, lossy};
use sparkngin_core::event::{
    Addresses, Event, Form, Given, Intake, Invalid, Limits, MOST_HEADERS, Privacy, Request, Tells,
    may_be_given,
};
use sparkngin_core::field::{DataKind, FieldName, Value};
use sparkngin_core::format::{Delimiter, Fields, Format, Rendering, binary};

const PLACE: Option<&[u8]> = Some(b"t");

fn value(event: &Event<'_>, name: &str) -> Option<String> {
    event.get(&FieldName::parse(name.as_bytes()).unwrap()).map(|value| lossy(&value.bytes()))
}

fn name(word: &str) -> FieldName {
    FieldName::parse(word.as_bytes()).unwrap()
}

fn given<'a>(name: &'a FieldName, value: &'a [u8], form: Form) -> Given<'a> {
    Given { name, value, form, tells: Tells::Anything }
}

/// Encodes it, reads it back, and encodes that again.
fn round(event: &Event<'_>) {
    let mut bytes = Vec::new();
    binary::encode(event, &mut bytes);
    assert_eq!(bytes.len(), event.encoded_len());
    let again = binary::decode(&bytes).unwrap();
    assert_eq!(again, *event);
    let mut twice = Vec::new();
    binary::encode(&again, &mut twice);
    assert_eq!(twice, bytes);
}

fn json(event: &Event<'_>) -> String {
    let (format, delimiter) = (Format::Json, Delimiter::default());
    let id = "0123456789abcdef0123456789abcdef-3-17".parse().unwrap();
    let mut out = Vec::new();
    Rendering { format, delimiter, fields: Fields::All }.render(event, id, &mut out);
    lossy(&out)
}

#[test]
fn the_topic_of_the_path_wins_over_parameter_body_and_place() {
    let place = Intake { topic: Some(b"place"), ..Intake::default() };
    let request = Request {
        topic: Some(b"path"),
        body: Some(br#"{"topic":"body"}"#),
        content_type: Some(b"application/json"),
        ..get(b"topic=query")
    };
    let event = Event::read(&request, &place).unwrap();
    assert_eq!(event.topic(), b"path");
    assert_eq!(event.data(), Some((DataKind::Json, &br#"{"topic":"body"}"#[..])));
    let without = Event::read(&Request { topic: None, ..request }, &place).unwrap();
    assert_eq!(without.topic(), b"query");
    // A parameter that is not looked at need not be one.
    let bad = Request { topic: Some(b"path"), ..get(b"topic=%") };
    assert!(Event::read(&bad, &place).is_ok());
    for wrong in [&b"a/b"[..], b"..", b"__x", b"caf\xC3\xA9"] {
        let request = Request { topic: Some(wrong), ..get(b"topic=query") };
        let invalid = Event::read(&request, &place).unwrap_err();
        assert_eq!((invalid.status(), invalid.field()), (400, Some("topic")), "{invalid}");
    }
}

#[test]
fn kafka_headers_are_stored_as_they_came_and_read_back() {
    let headers: [(&[u8], &[u8]); 4] =
        [(b"trace", b"1"), (b"trace", b""), (b"xe_id", b"\xFF\0 x"), (b"sgx", b"y")];
    let request = Request { headers: &headers, ..get(b"topic=t&a=1") };
    let event = Event::read(&request, &Intake::default()).unwrap();
    assert_eq!(event.headers().collect::<Vec<_>>(), headers);
    round(&event);
    assert!(!json(&event).contains("trace"), "they are no fields");
    let mut without = Vec::new();
    binary::encode(&Event::read(&get(b"topic=t&a=1"), &Intake::default()).unwrap(), &mut without);
    let mut with = Vec::new();
    binary::encode(&event, &mut with);
    assert!(with.starts_with(&without), "and stand behind all fields");
}

#[test]
fn headers_that_are_ours_have_no_name_or_are_too_many_are_refused() {
    let read = |headers: &[(&[u8], &[u8])]| {
        Event::read(&Request { headers, ..get(b"topic=t") }, &Intake::default()).map(|_| ())
    };
    for (bad, good) in [
        (&b"sg"[..], &b"sga"[..]),
        (b"sparkngin-hole", b"sparkngi-hole"),
        (b"", b"a"),
        (b"a\nb", b"a b"),
        (&[b'n'; 256], &[b'n'; 255]),
    ] {
        let invalid = read(&[(b"x", b"y"), (bad, b"v")]).unwrap_err();
        assert!(matches!(invalid, Invalid::Header { .. }), "{invalid}");
        assert_eq!(invalid.status(), 400);
        assert!(invalid.field().unwrap().starts_with("Sparkngin-Header-"), "{invalid}");
        assert_eq!(read(&[(b"x", b"y"), (good, b"v")]), Ok(()), "{}", lossy(good));
    }
    let many: Vec<(&[u8], &[u8])> = vec![(b"a", b"b"); MOST_HEADERS + 1];
    assert_eq!(read(&many), Err(Invalid::TooManyHeaders));
    assert_eq!(read(&many[1..]), Ok(()));
}

#[test]
fn a_field_that_the_place_gives_wins_and_has_its_form() {
    let names = ["country", "n", "bad", "j", "notj", "level", "none", "leading"].map(name);
    let values: [(&[u8], Form); 8] = [
        (b"NL", Form::String),
        (b"-1.5e3", Form::Number),
        (b"0.1, 0.2", Form::Number),
        (br#"{"a":[1]}"#, Form::Json),
        (b"{", Form::Json),
        (b"operator", Form::Number),
        (b"", Form::Json),
        (b"\"1\"", Form::Number),
    ];
    let fields: Vec<Given<'_>> =
        names.iter().zip(values).map(|(name, (value, form))| given(name, value, form)).collect();
    let place = Intake { topic: PLACE, fields: &fields, ..Intake::default() };
    let request = Request {
        body: Some(br#"{"level":"body"}"#),
        content_type: Some(b"application/json"),
        ..get(b"level=client&country=XX&none=client&own=1")
    };
    let event = Event::read(&request, &place).unwrap();
    round(&event);
    assert_eq!(value(&event, "level").as_deref(), Some("operator"));
    assert_eq!(value(&event, "country").as_deref(), Some("NL"));
    assert_eq!(value(&event, "none").as_deref(), Some("client"), "an empty value gives nothing");
    assert_eq!(event.get(&name("n")), Some(Value::Data(DataKind::Json, b"-1.5e3")));
    let text = json(&event);
    for part in [
        r#""n":-1.5e3,"#,
        r#""bad":"0.1, 0.2","#,
        r#""j":{"a":[1]},"#,
        r#""notj":"{","#,
        r#""leading":"\"1\"","#,
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!(text.matches("country").count(), 1);
}

#[test]
fn what_the_place_gives_takes_no_room_from_the_client() {
    let names = ["a", "b", "c", "level"].map(name);
    let fields: Vec<Given<'_>> = names.iter().map(|name| given(name, b"1", Form::String)).collect();
    let limits = Limits { fields: 2, ..Limits::DEFAULT };
    let place = Intake { topic: PLACE, fields: &fields, limits, ..Intake::default() };
    let read = |query: &'static [u8]| Event::read(&get(query), &place).map(|e| e.named().count());
    assert_eq!(read(b"x=1&y=2&a=2"), Ok(5), "one of the same name is none of the client's either");
    assert_eq!(read(b"x=1&y=2&z=3"), Err(Invalid::TooMany { limit: 2 }));
}

#[test]
fn what_only_the_server_or_the_client_says_no_place_gives() {
    for word in ["ip", "time_stamp", "submitted_timestamp", "topic", "data", "sg", "data_base64"] {
        assert!(!may_be_given(&name(word)), "{word}");
    }
    for word in ["level", "key", "id", "cookie", "user-agent", "a", "caf\u{e9}"] {
        assert!(may_be_given(&name(word)), "{word}");
    }
}

#[test]
fn no_copy_of_an_address_is_stored_whole() {
    let names = ["peer", "key", "chain", "upstream"].map(name);
    let says = |at: usize, value: &'static [u8], tells| Given {
        tells,
        ..given(&names[at], value, Form::String)
    };
    let fields = [
        says(0, b"198.51.100.77:80", Tells::Client),
        says(1, b"from 198.51.100.77", Tells::Anything),
        says(2, b"198.51.100.77., 192.0.2.7", Tells::Client),
        says(3, b"10.1.2.3:80", Tells::Server),
    ];
    let headers: [(&[u8], &[u8]); 2] =
        [(b"other", b"198.51.100.77"), (b"x-real-ip", b"198.51.100.77")];
    let request = Request {
        peer: b"198.51.100.77",
        headers: &headers,
        ..get(b"X-Forwarded-For=198.51.100.77%2C%201.2.3.4&other=198.51.100.77&version=1.2.3.4")
    };
    let read = |request: &Request<'_>, addresses| {
        let privacy = Privacy { addresses, cookies: None };
        let place =
            Intake { topic: PLACE, fields: &fields, privacy: &privacy, ..Intake::default() };
        let event = Event::read(request, &place).unwrap();
        round(&event);
        let show = |name: &str| value(&event, name).unwrap_or("-".into());
        let header =
            |n: usize| event.headers().nth(n).map_or("-".into(), |(_, value)| lossy(value));
        [
            show("ip"),
            show("peer"),
            show("key"),
            show("chain"),
            show("X-Forwarded-For"),
            header(1),
            show("upstream"),
            // What has another name is the client's own text.
            show("other"),
            header(0),
            show("version"),
        ]
        .join("|")
    };
    let rest = "10.1.2.3:80|198.51.100.77|198.51.100.77|1.2.3.4";
    assert_eq!(
        read(&request, Addresses::Masked),
        format!(
            "198.51.100.0|198.51.100.0|from 198.51.100.0|unknown, 192.0.2.0|198.51.100.0, 1.2.3.0|198.51.100.0|{rest}"
        )
    );
    assert_eq!(read(&request, Addresses::None), format!("-|-|-|-|-|-|{rest}"));
    assert!(read(&request, Addresses::Whole).starts_with("198.51.100.77|198.51.100.77:80|"));
    let named = Request { query: b"ip=2001:db8:1:2::9", ..request };
    assert!(read(&named, Addresses::Masked).starts_with("2001:db8:1::|"));
    let unix = Request { peer: b"unix:", ..request };
    assert!(read(&unix, Addresses::Masked).starts_with("unix:|"));
}

#[test]
fn no_copy_of_a_cookie_that_is_not_listed_is_stored() {
    let keep = keeps("%cookie% %cookie_a% %cookie_b%");
    let headers: [(&[u8], &[u8]); 3] =
        [(b"cookie", b"b=2"), (b"cookie_b", b"2"), (b"cookie_a", b"1")];
    let request = Request {
        cookie: Some(b"b=2; a=1;c; a2=x ; a=9"),
        headers: &headers,
        ..get(b"cookie_c=3&note=b")
    };
    let read = |request: &Request<'_>, listed: Option<&[&str]>| {
        let cookies = listed.map(|keys| keys.iter().map(|key| key.as_bytes().into()).collect());
        let privacy = Privacy { addresses: Addresses::Whole, cookies };
        let place = Intake { topic: PLACE, keep: &keep, privacy: &privacy, ..Intake::default() };
        let event = Event::read(request, &place).unwrap();
        round(&event);
        let show = |name: &str| value(&event, name).unwrap_or("-".into());
        let names = event.headers().map(|(name, _)| lossy(name)).collect::<Vec<_>>().join(",");
        ["cookie", "cookie_a", "cookie_b", "cookie_c", "note"].map(show).join("|") + "|" + &names
    };
    let all = "b=2; a=1;c; a2=x ; a=9|1|2|3|b|cookie,cookie_b,cookie_a";
    assert_eq!(read(&request, None), all);
    assert_eq!(read(&request, Some(&["a"])), "a=1; a=9|1|-|-|b|cookie_a");
    assert_eq!(read(&request, Some(&[])), "-|-|-|-|b|");
    let named = Request { query: b"cookie=b%3D2%3Ba%3D1", ..request };
    assert_eq!(read(&named, Some(&["a"])), "a=1|1|-|-|-|cookie_a");
}
