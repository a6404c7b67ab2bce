//! What a request must be to become an event: each refusal beside its twin that is accepted.

mod sender;

use sender::{get, keeps, percent, read};
use sparkngin_core::event::{Event, Intake, Invalid, Request, Spare};
use sparkngin_core::field::{DataKind, Field, FieldName, HeaderFields};

fn json<'a>(query: &'a str, body: &'a [u8]) -> Request<'a> {
    Request { body: Some(body), content_type: Some(b"application/json"), ..get(query.as_bytes()) }
}

fn post<'a>(query: &'a str, body: &'a [u8]) -> Request<'a> {
    Request { body: Some(body), ..get(query.as_bytes()) }
}

fn form<'a>(query: &'a str, body: &'a [u8]) -> Request<'a> {
    Request { content_type: Some(b"application/x-www-form-urlencoded"), ..post(query, body) }
}

fn value(event: &Event<'_>, name: &str) -> Option<String> {
    let field = FieldName::parse(name.as_bytes()).unwrap();
    event.get(&field).map(|value| String::from_utf8(value.bytes().into_owned()).unwrap())
}

#[test]
fn each_bad_query_is_refused_and_its_twin_is_not() {
    let longest = "a".repeat(249);
    let longer = "a".repeat(250);
    let name = "n".repeat(255);
    for (good, bad, field) in [
        ("a=%41", "a=%4", "a"),
        ("a=%2b", "a=%2g", "a"),
        ("a=%25", "a=%", "a"),
        ("a=%25%25", "a=%%25", "a"),
        ("a=1&a=%zz", "a=%zz&a=1", "a"),
        ("%61=1", "%6=1", "%6"),
        ("topic=%61", "topic=%6x1", "topic"),
        ("a=", "=a", ""),
        ("a&b", "a&=", ""),
        ("%c3%a9=1", "%e9=1", r"\xE9"),
        ("a%20b=1", "a%00b=1", r"a\x00b"),
        (&*(name.clone() + "=1"), &*(name + "n=1"), &*"n".repeat(64)),
        ("timestamp=1", "time_stamp=1", "time_stamp"),
        ("sgx=1", "sg=1", "sg"),
        ("data_base=1", "data_base64=1", "data_base64"),
        ("topic=a", "topic=", "topic"),
        ("topic=a.b", "topic=a+b", "topic"),
        ("topic=A-z_0.9", "topic=caf%c3%a9", "topic"),
        ("topic=...", "topic=..", "topic"),
        ("topic=.a", "topic=.", "topic"),
        ("topic=_a_", "topic=__a", "topic"),
        ("topic=a%2Db", "topic=a%2fb", "topic"),
        (&*format!("topic={longest}"), &*format!("topic={longer}"), "topic"),
        ("stimestamp=134545634345", "stimestamp=1345456343450000000", "stimestamp"),
        ("stimestamp=1.5", "stimestamp=1.5e9", "stimestamp"),
        ("timestamp=0", "timestamp=-1", "timestamp"),
        ("timestamp=7", "timestamp=", "timestamp"),
        ("timestamp=7&timestamp=x", "timestamp=x&timestamp=7", "timestamp"),
        ("timestamp=2014-03-01T11:00:00Z", "timestamp=2014-03-01", "timestamp"),
        ("timestamp=2014-03-01T12:00:00+01:00", "timestamp=2014-03-01T12:00:00", "timestamp"),
        ("%74imestamp=7", "%74imestamp=x", "timestamp"),
        ("timestamp=7&stimestamp=x", "stimestamp=x&timestamp=7", "stimestamp"),
        ("data=1", "data=1&log=2", "data"),
        ("log=1&a=1", "log=1&a=1&log=1", "data"),
        ("data=", "data=&data=", "data"),
        ("submitted_timestamp=%31", "submitted_timestamp=%00", "submitted_timestamp"),
        ("ip=10.0.0.1", "ip=10.0.0.256", "ip"),
        ("ip=::1", "ip=::1%250", "ip"),
        ("ip=2001:db8::7", "ip=2001:db8::7/64", "ip"),
        ("ip=10.0.0.1&ip=x", "ip=10.0.0.1:80", "ip"),
        ("a=ip", "ip=", "ip"),
    ] {
        assert!(read(&get(good.as_bytes())).is_ok(), "{good}: {:?}", read(&get(good.as_bytes())));
        let invalid = read(&get(bad.as_bytes())).expect_err(bad);
        assert_eq!(invalid.status(), 400, "{bad}");
        let named = invalid.field().unwrap();
        assert!(named == field || named == format!("{field}..."), "{bad}: {named}");
        let sentence = invalid.to_string();
        assert!(sentence.bytes().all(|b| matches!(b, b' '..=b'~')), "{sentence}");
        assert!(sentence.contains("must"), "{sentence}");
        assert!(sentence.len() < 400, "{sentence}");
    }
}

#[test]
fn each_bad_body_is_refused_and_its_twin_is_not() {
    let deep = |n: usize| [b"[".repeat(n), b"]".repeat(n)].concat();
    let (deepest, deeper) = (deep(100), deep(101));
    for (good, bad) in [
        (post("a=1", b"x"), post("data=1", b"x")),
        (post("data=1", b""), post("log=1", b"x")),
        (post("date=", b"x"), post("data=", b"x")),
        (form("", b"data=1"), form("", b"data=1&log=2")),
        (form("log=1", b"a=1"), form("log=1", b"data=1")),
        (json("", b"{}"), json("", b"{")),
        (json("", b" [1, 2] "), json("", b"[1, 2,]")),
        (json("", b"\"\xC3\xA9\""), json("", b"\"\xE9\"")),
        (json("", b"\"\\u0000\""), json("", b"\"\0\"")),
        (json("data={", b""), json("", b"1 2")),
        (json("", &deepest), json("", &deeper)),
        (post("", b"{"), Request { content_type: Some(b"a/b+JSON;v=1"), ..post("", b"{") }),
    ] {
        assert!(read(&good).is_ok(), "{good:?}: {:?}", read(&good));
        let invalid = read(&bad).expect_err(&format!("{bad:?}"));
        assert_eq!((invalid.status(), invalid.field()), (400, Some("data")), "{bad:?}");
    }
}

#[test]
fn what_is_wrong_with_a_field_names_it_as_it_was_sent() {
    let parts = b"--X\r\nContent-Disposition: form-data; name=\"stimestamp\"\r\n\r\nx\r\n--X--";
    let multipart = Some(&b"multipart/form-data; boundary=X"[..]);
    for (request, name) in [
        (form("a=1", b"a=timestamp&timestamp=x"), "timestamp"),
        (json("timestamp=x", br#"{"stimestamp":1}"#), "timestamp"),
        (json("", br#"{"a":{"timestamp":1},"stimestamp":"x","timestamp":1}"#), "stimestamp"),
        (json("", br#"{"submitted_timestamp":true}"#), "submitted_timestamp"),
        (Request { content_type: multipart, ..post("", parts) }, "stimestamp"),
    ] {
        let invalid = read(&request).unwrap_err();
        assert_eq!(invalid.field(), Some(name), "{request:?}");
        assert!(invalid.to_string().starts_with(&format!("{name} \"")), "{invalid}");
    }
    let long = format!("ver={}", "1".repeat(20_000));
    assert_eq!(read(&get(long.as_bytes())).unwrap_err().field(), Some("ver"));
}

#[test]
fn an_event_without_a_topic_needs_a_place_that_has_one() {
    let keep = HeaderFields::default();
    let at = |topic| Intake { topic, keep: &keep, max_event: 1000, ..Intake::default() };
    let topic_at = |place, query: &'static [u8]| {
        Event::read(&get(query), &at(place)).map(|event| event.topic().to_vec())
    };
    assert_eq!(topic_at(None, b"a=1"), Err(Invalid::NoTopic));
    assert_eq!(topic_at(Some(b"of-place"), b"a=1"), Ok(b"of-place".to_vec()));
    assert_eq!(topic_at(Some(b"of-place"), b"topic=own"), Ok(b"own".to_vec()));
    assert_eq!(topic_at(Some(b"not legal"), b"topic=own"), Ok(b"own".to_vec()));
    assert_eq!(topic_at(Some(b"not legal"), b"a=1").unwrap_err().field(), Some("topic"));
}

#[test]
fn the_size_that_counts_is_that_of_what_is_stored() {
    let keep = HeaderFields::default();
    let body = vec![b'x'; 40_000];
    for body in [&body[..], b"", b"x", &body[..115], &body[..16_371], &body[..16_372]] {
        let request = post("a=1", body);
        let at =
            |max_event| Intake { topic: Some(b"t"), keep: &keep, max_event, ..Intake::default() };
        let bytes = Event::read(&request, &at(1 << 20)).unwrap().encoded_len();
        assert!(Event::read(&request, &at(bytes)).is_ok());
        let invalid = Event::read(&request, &at(bytes - 1)).unwrap_err();
        assert_eq!(invalid, Invalid::TooLarge { bytes, limit: bytes - 1 });
        assert_eq!((invalid.status(), invalid.field()), (413, None));
        assert!(invalid.to_string().contains(&format!("{bytes} bytes")));
    }
}

#[test]
fn what_is_too_large_is_not_looked_at_as_json() {
    let body = vec![b'['; 40_000];
    assert_eq!(read(&json("", &body)).unwrap_err().status(), 413);
    assert_eq!(read(&json("", &body[..4_000])).unwrap_err().status(), 400);
}

#[test]
fn all_names_of_a_field_set_it_and_the_first_wins() {
    for (query, name, wanted) in [
        ("ver=1&version=2", "version", "1"),
        ("version=1&ver=2", "version", "1"),
        ("timestamp=7&stimestamp=8", "submitted_timestamp", "7000"),
        ("submitted_timestamp=7&timestamp=8", "submitted_timestamp", "7000"),
        ("a=1&a=2", "a", "1"),
        ("%61=1&a=2", "a", "1"),
        ("a+b=1&a%20b=2", "a b", "1"),
        ("user%2Dagent=x", "user-agent", "x"),
        ("cookie_k=x", "cookie_k", "x"),
        ("a=b=c", "a", "b=c"),
        ("&&a=1&&", "a", "1"),
        ("a", "a", ""),
        ("level=", "level", ""),
        ("a=1+%2b%2B+2", "a", "1 ++ 2"),
        ("A=1&a=2", "A", "1"),
        ("Topic=x", "topic", "default"),
    ] {
        let request = get(query.as_bytes());
        let event = read(&request).unwrap();
        assert_eq!(value(&event, name).as_deref(), Some(wanted), "{query}");
    }
    assert_eq!(value(&read(&get(b"&&")).unwrap(), "a"), None);
}

#[test]
fn a_parameter_wins_over_the_head_of_the_request() {
    let request = Request {
        user_agent: Some(b"from head"),
        referrer: Some(b"from head"),
        cookie: Some(b"k=from head"),
        ..get(b"")
    };
    let named = Request {
        query: b"ip=10.1.2.3&user-agent=mine&referrer=mine&cookie=mine&cookie_k=mine",
        ..request
    };
    let keep = keeps("%user-agent% %referrer% %cookie% %cookie_k%");
    let intake = Intake { topic: Some(b"t"), keep: &keep, max_event: 1000, ..Intake::default() };
    let of_head = Event::read(&request, &intake).unwrap();
    let of_query = Event::read(&named, &intake).unwrap();
    for name in ["user-agent", "referrer", "cookie_k"] {
        assert_eq!(value(&of_head, name).as_deref(), Some("from head"), "{name}");
        assert_eq!(value(&of_query, name).as_deref(), Some("mine"), "{name}");
    }
    assert_eq!(value(&of_head, "ip").as_deref(), Some("192.0.2.7"));
    assert_eq!(value(&of_query, "ip").as_deref(), Some("10.1.2.3"));
    assert_eq!(of_query.named().count(), 1);
}

#[test]
fn header_values_are_stored_only_where_they_are_asked_for() {
    let request = Request {
        user_agent: Some(b"ua"),
        referrer: Some(b"ref"),
        cookie: Some(b"a=1; b=2;c = 3 ;d; a=9; =x; e="),
        ..get(b"cookie_d=4")
    };
    let fields = |words: &str| {
        let keep = keeps(words);
        let intake =
            Intake { topic: Some(b"t"), keep: &keep, max_event: 1000, ..Intake::default() };
        let event = Event::read(&request, &intake).unwrap();
        let names =
            ["user-agent", "referrer", "cookie", "cookie_a", "cookie_c", "cookie_d", "cookie_e"];
        names.map(|name| value(&event, name).unwrap_or("-".into())).join("|")
    };
    assert_eq!(fields("%topic%"), "-|-|-|-|-|4|-");
    assert_eq!(fields("%user-agent%"), "ua|-|-|-|-|4|-");
    assert_eq!(fields("%referrer%"), "-|ref|-|-|-|4|-");
    assert_eq!(fields("%cookie%"), "-|-|a=1; b=2;c = 3 ;d; a=9; =x; e=|-|-|4|-");
    assert_eq!(fields("%cookie_e% %cookie_c% %cookie_a% %cookie_z% %cookie_%"), "-|-|-|1|3|4|");
}

#[test]
fn a_payload_has_the_kind_of_its_bytes() {
    let kind = |request: &Request<'_>| read(request).unwrap().data().map(|(kind, _)| kind);
    assert_eq!(kind(&get(b"a=1")), None);
    assert_eq!(kind(&get(b"data=12")), Some(DataKind::Text));
    assert_eq!(kind(&get(b"data=")), Some(DataKind::Text));
    assert_eq!(kind(&get(b"data=%ff")), Some(DataKind::Bytes));
    assert_eq!(kind(&json("", b"12")), Some(DataKind::Json));
    assert_eq!(kind(&json("data=12", b"")), Some(DataKind::Text));
    assert_eq!(kind(&post("", b"12")), Some(DataKind::Text));
    assert_eq!(kind(&post("", b"\xC3")), Some(DataKind::Bytes));
}

#[test]
fn times_are_milliseconds() {
    let event = read(&get(b"stimestamp=1393671600500999")).unwrap();
    assert_eq!(event.time_stamp().0, sender::RECEIVED / 1_000_000);
    assert_eq!(event.submitted().unwrap().0, 1_393_671_600_500);
}

#[test]
fn a_client_may_send_ten_thousand_parameters() {
    let repeated: String = (0..10_000).map(|n| format!("&name{}={n}", n % 1024)).collect();
    let request = get(repeated.as_bytes());
    let event = read(&request).unwrap();
    assert_eq!(event.named().count(), 1024);
    for (at, (name, value)) in event.named().enumerate() {
        assert_eq!((name, value), (format!("name{at}").as_bytes(), at.to_string().as_bytes()));
    }

    let different: String = (0..10_000).map(|n| format!("&name{n}={n}")).collect();
    let invalid = read(&get(different.as_bytes())).unwrap_err();
    assert_eq!((invalid.clone(), invalid.status()), (Invalid::TooMany { limit: 1024 }, 400));
    assert!(invalid.to_string().contains("1024"));
    let known: String = (0..10_000).map(|_| "&level=x&%6cevel=y&type=z".to_owned()).collect();
    assert_eq!(read(&get(known.as_bytes())).unwrap().fields().count(), 5);
}

#[test]
fn names_that_differ_late_or_by_encoding_alone_are_told_apart() {
    let name = |n: usize| format!("{}{n:04}", "x".repeat(200));
    let query: String =
        (0..100).map(|n| format!("{}=1&{}=2&", percent(name(n).as_bytes()), name(n))).collect();
    let request = get(query.as_bytes());
    let event = read(&request).unwrap();
    assert_eq!(event.named().count(), 100);
    assert!(event.named().all(|(_, value)| value == b"1"));
}

#[test]
fn the_memory_of_one_event_serves_the_next() {
    let keep = HeaderFields::default();
    let intake = Intake { topic: Some(b"t"), keep: &keep, max_event: 1000, ..Intake::default() };
    let (first, second) = (get(b"a=%41&b=%42&c=1"), get(b"d=%44"));
    let spare = Event::read(&first, &intake).unwrap().into_spare();
    let event = Event::read_with(spare, &second, &intake).unwrap();
    assert_eq!(event, Event::read_with(Spare::default(), &second, &intake).unwrap());
    assert_eq!(value(&event, "a"), None);
}

#[test]
fn what_a_message_shows_of_the_client_is_short_and_printable() {
    let query = format!("topic={}", percent(&[0xFF; 500]));
    let sentence = read(&get(query.as_bytes())).unwrap_err().to_string();
    assert!(sentence.contains(&(r"\xFF".repeat(64) + "...\"")), "{sentence}");
    assert!(!sentence.contains(&r"\xFF".repeat(65)), "{sentence}");
}

#[test]
fn a_list_of_fields_is_refused_by_the_word_that_is_wrong() {
    use sparkngin_core::field::FieldList;
    let names = |words: &str| {
        FieldList::parse(words.split(' '))
            .map(|list| list.iter().map(|field| format!("{field} ")).collect::<String>())
    };
    assert_eq!(names("%ip% topic %ver% %log% %x%").unwrap(), "ip topic version data x ");
    for (words, named) in [
        ("%ip% %topic", "\"%topic\""),
        ("topic%", "\"topic%\""),
        ("%%", "\"%%\""),
        ("%", "\"%\""),
        ("%a\n%", r#""%a\x0A%""#),
        ("%timestamp%", "\"%timestamp%\""),
        ("%ip% %x% %ip%", "\"%ip%\""),
        ("%ver% %version%", "\"%version%\""),
        ("%x% x", "\"%x%\""),
    ] {
        let sentence = names(words).unwrap_err().to_string();
        assert!(sentence.contains(named) && sentence.contains("must"), "{words}: {sentence}");
    }
    assert!(FieldList::parse([""; 0]).unwrap_err().to_string().contains("must"));
    assert!(FieldList::default_live().header_fields().user_agent);
    assert!(FieldList::default_live().contains(Field::Data), "who looks on sees what came");
    assert_eq!(Field::ALL.map(|f| Field::of_id(f.id())), Field::ALL.map(Some));
    assert_eq!(Field::ALL.map(|f| Field::of_parameter(f.name().as_bytes())), Field::ALL.map(Some));
}

#[test]
fn the_known_keys_of_a_json_object_are_fields_and_the_payload_stays_whole() {
    let body = br#" {"topic":"own","level":3,"type":"a\n\u00e9","env":null,"id":true,"level":4,"ip":["x"],
        "data":{"topic":"no"},"log":"no","time_stamp":7,"sg":"x","other":"x","timestamp":1393671600} "#;
    let event = read(&json("env=query", body)).unwrap();
    let fields =
        ["topic", "level", "type", "env", "id", "ip", "other"].map(|name| value(&event, name));
    let is = |text: &str| Some(text.to_owned());
    let peer = is("192.0.2.7");
    assert_eq!(fields, [is("own"), is("3"), is("a\n\u{e9}"), is("query"), is("true"), peer, None]);
    assert_eq!(event.data(), Some((DataKind::Json, &body[..])));
    assert_eq!(event.submitted().map(|time| time.0), Some(1_393_671_600_000));
    let winner = read(&json("topic=query&level=", br#"{"topic":"body","level":"body"}"#)).unwrap();
    assert_eq!((value(&winner, "topic"), value(&winner, "level")), (is("query"), is("")));
    for (good, bad, field) in [
        (r#"{"topic":"a"}"#, r#"{"topic":"a b"}"#, "topic"),
        (r#"{"topic":{}}"#, r#"{"topic":""}"#, "topic"),
        (r#"{"ip":"::1"}"#, r#"{"ip":"here"}"#, "ip"),
        (r#"{"timestamp":"2014-03-01T11:00:00Z"}"#, r#"{"timestamp":1.5e9}"#, "timestamp"),
        (r#"[{"timestamp":"x"}]"#, r#"{"timestamp":"x"}"#, "timestamp"),
    ] {
        assert!(read(&json("", good.as_bytes())).is_ok(), "{good}");
        let invalid = read(&json("", bad.as_bytes())).unwrap_err();
        assert_eq!((invalid.status(), invalid.field()), (400, Some(field)), "{bad}");
    }
    let half = read(&json("", br#"{"level":"\ud800"}"#)).unwrap();
    assert_eq!(value(&half, "level"), None, "half a surrogate pair is no text");
}

#[test]
fn a_text_or_a_body_without_a_type_is_json_when_it_is_an_object_or_an_array() {
    for content_type in [
        None,
        Some("text/plain"),
        Some("Text/Plain;charset=UTF-8"),
        Some("application/x-www-form-urlencoded"),
    ] {
        let send = |body: &'static [u8]| {
            let request =
                Request { content_type: content_type.map(str::as_bytes), ..post("", body) };
            let event = read(&request).unwrap();
            (event.data().map(|(kind, data)| (kind, data == body)), value(&event, "level"))
        };
        let (json, text) = (Some((DataKind::Json, true)), Some((DataKind::Text, true)));
        assert_eq!(
            send(br#" {"level":"a=b"}"#),
            (json, Some("a=b".to_owned())),
            "{content_type:?}"
        );
        assert_eq!(send(b"[1]"), (json, None), "{content_type:?}");
        assert_eq!(send(b"{level"), (text, None), "{content_type:?}");
        assert_eq!(send(b"7"), (text, None), "{content_type:?}");
        assert_eq!(send(b"\"a\""), (text, None), "{content_type:?}");
    }
    let other = Request { content_type: Some(b"application/octet-stream"), ..post("", b"{}") };
    assert_eq!(read(&other).unwrap().data(), Some((DataKind::Text, &b"{}"[..])));
}

#[test]
fn a_forms_parameters_are_those_of_a_query_which_wins() {
    let form = |query: &'static str, body: &'static [u8]| {
        let content_type = Some(&b"application/x-www-form-urlencoded; charset=utf-8"[..]);
        Request { content_type, ..post(query, body) }
    };
    let request = form("level=query&a=1", b"topic=own&level=body&a=2&b=%c3%a9+x&data=%7b%7d");
    let event = read(&request).unwrap();
    let fields = ["topic", "level", "a", "b"].map(|name| value(&event, name).unwrap());
    assert_eq!(fields, ["own", "query", "1", "\u{e9} x"]);
    assert_eq!(event.data(), Some((DataKind::Text, &b"{}"[..])));
    assert_eq!(read(&form("data=query", b"data=body")), Err(Invalid::TwoPayloads));
    let plain = form("", b"no form at all");
    assert_eq!(read(&plain).unwrap().data().unwrap().1, b"no form at all");
    let bad = read(&form("a=1", b"c=1&b=%4")).unwrap_err();
    assert_eq!(bad.field(), Some("b"));
    assert!(bad.to_string().contains("at byte 6 of the body"), "{bad}");
    assert_eq!(read(&form("", b"time_stamp=1")).unwrap_err().field(), Some("time_stamp"));
}
