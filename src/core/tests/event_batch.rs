//! Several events in one body: each becomes one, or is refused alone.

mod sender;

use sender::{get, percent};
use sparkngin_core::event::batch::{Framing, read_all};
use sparkngin_core::event::{Event, Intake, Invalid, Limits, Request, Spare};
use sparkngin_core::field::{Field, HeaderFields, Value};

/// What became of each: topic, id and payload, or the sentence.
type Seen = Vec<(usize, Result<(String, Option<String>, String), String>)>;

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn value(event: &Event<'_>, field: Field) -> Option<String> {
    event.known(field).map(|value| match value {
        Value::Text(bytes) => text(bytes),
        other => text(&other.bytes()),
    })
}

fn all(query: &str, framing: Framing, body: &[u8], limits: Limits) -> Result<Seen, Invalid> {
    let keep = HeaderFields::default();
    let request = Request { body: Some(body), ..get(query.as_bytes()) };
    let intake = Intake { topic: None, keep: &keep, max_event: 300, limits, ..Intake::default() };
    let mut seen = Vec::new();
    read_all(Spare::default(), &request, &intake, framing, |index, event| {
        let one = event.map(|event| {
            let data = text(event.data().unwrap().1);
            (text(event.topic()), value(event, Field::Id), data)
        });
        seen.push((index, one.map_err(|invalid| invalid.to_string())));
        Ok(())
    })?;
    Ok(seen)
}

fn payloads(framing: Framing, body: &[u8]) -> Result<Vec<String>, Invalid> {
    let seen = all("topic=t", framing, body, Limits::DEFAULT)?;
    Ok(seen.into_iter().map(|(_, one)| one.map_or_else(|no| no, |one| one.2)).collect())
}

#[test]
fn a_body_is_several_events_by_its_type_or_by_its_beginning() {
    let of =
        |kind: Option<&str>, body: &str| Framing::of(kind.map(str::as_bytes), body.as_bytes(), 100);
    for kind in ["application/x-ndjson", "application/jsonl", "Application/X-NDJSON; charset=utf-8"]
    {
        assert_eq!(of(Some(kind), "{}"), Some(Framing::Lines), "{kind}");
        assert!(Framing::may_be(Some(kind.as_bytes())));
    }
    for kind in ["application/json-seq", "application/geo+json-seq"] {
        assert_eq!(of(Some(kind), "[]"), Some(Framing::Sequence), "{kind}");
    }
    for kind in [Some("application/json"), Some("a/b+json;x=y"), Some("text/plain"), None, Some("")]
    {
        assert_eq!(of(kind, " [1]"), Some(Framing::Array), "{kind:?}");
        assert_eq!(of(kind, "{\"a\":[]}"), None, "{kind:?}");
    }
    // Who says JSON means it; a text that only begins like an array is a text.
    assert_eq!(of(Some("application/json"), "[1"), Some(Framing::Array));
    assert_eq!(of(Some("text/plain"), "[1"), None);
    assert_eq!(of(None, "[info] started"), None);
    for kind in ["application/octet-stream", "application/xjson-seq", "json-seq", "text/csv"] {
        assert_eq!(of(Some(kind), "[1]"), None, "{kind}");
        assert!(!Framing::may_be(Some(kind.as_bytes())), "{kind}");
    }
}

#[test]
fn each_element_is_an_event_in_order_byte_for_byte() {
    let array = br#" [ {"a" : 1.50} ,[2, 3],"x,]",null,-0.1e3,{"b":{"c":"]"}} ] "#;
    let each = [r#"{"a" : 1.50}"#, "[2, 3]", "\"x,]\"", "null", "-0.1e3", r#"{"b":{"c":"]"}}"#];
    assert_eq!(payloads(Framing::Array, array).unwrap(), each);
    let lines = each.join("\r\n");
    assert_eq!(payloads(Framing::Lines, lines.as_bytes()).unwrap(), each);
    let gaps = format!("\n\n  \n{}\n\n", each.join("\n\n"));
    assert_eq!(payloads(Framing::Lines, gaps.as_bytes()).unwrap(), each);
    let sequence: String = each.iter().map(|one| format!("\x1E{one}\n")).collect();
    assert_eq!(payloads(Framing::Sequence, sequence.as_bytes()).unwrap(), each);
    let doubled = sequence.replace('\x1E', "\x1E\x1E");
    assert_eq!(payloads(Framing::Sequence, doubled.as_bytes()).unwrap(), each);
}

#[test]
fn an_array_that_is_none_is_refused_as_a_whole() {
    for (good, bad) in [
        ("[1]", "[1"),
        ("[1,2]", "[1 2]"),
        ("[1,2]", "[1,]"),
        ("[1,2]", "[,2]"),
        ("[1] ", "[1] 2"),
        ("[{}]", "[{]"),
        ("[1]", "]"),
        ("[\"\u{e9}\"]", "[\"\\x\"]"),
    ] {
        assert!(payloads(Framing::Array, good.as_bytes()).is_ok(), "{good}");
        let invalid = payloads(Framing::Array, bad.as_bytes()).unwrap_err();
        assert_eq!((invalid.status(), invalid.field()), (400, Some("data")), "{bad}");
        assert!(invalid.to_string().contains("must be"), "{invalid}");
    }
    assert!(payloads(Framing::Array, b"[1,\"\xFF\"]").is_err());
    for none in ["[]", " [ ] "] {
        assert_eq!(payloads(Framing::Array, none.as_bytes()), Err(Invalid::NoEvents));
    }
    for none in ["", "\n", " \r\n\n"] {
        assert_eq!(payloads(Framing::Lines, none.as_bytes()), Err(Invalid::NoEvents));
    }
}

#[test]
fn a_bad_line_or_text_is_refused_alone() {
    let seen = payloads(Framing::Lines, b"{\"a\":1}\n{\"a\":\n2\n\xFF\n{}").unwrap();
    assert_eq!((&*seen[0], &*seen[2], &*seen[4]), (r#"{"a":1}"#, "2", "{}"));
    assert!(seen[1].contains("at line 2 column 6 there must be a value"), "{}", seen[1]);
    assert!(seen[3].contains("at line 4 column 1 there must be UTF-8"), "{}", seen[3]);
    // What is cut off is told from a number that is whole (RFC 7464, 2.4).
    let seen = payloads(Framing::Sequence, b"\x1E{}\n\x1E12\x1E{\"a\"\n\x1Etrue\n\x1E[1]").unwrap();
    assert_eq!((&*seen[0], &*seen[3], &*seen[4]), ("{}", "true", "[1]"));
    assert!(seen[1].contains("may be cut off"), "{}", seen[1]);
    assert!(seen[2].contains("at line 3 column 1 there must be a \":\""), "{}", seen[2]);
    let seen = payloads(Framing::Sequence, b"\x1E{}\n\x1E1 \x1E{1}\n").unwrap();
    assert!(seen[2].contains("at line 2 column 6 there must be a name"), "{}", seen[2]);
}

#[test]
fn the_query_holds_for_all_and_keys_for_their_own_event() {
    let body = br#"[{"topic":"own","id":"mine"},{"id":7},{"level":"x"},{"topic":"a b"},{"timestamp":"never"}]"#;
    let seen = all("id=batch", Framing::Array, body, Limits::DEFAULT).unwrap();
    assert_eq!(seen[0].1.as_ref().unwrap().0, "own");
    let sentence = |at: usize| seen[at].1.as_ref().unwrap_err().clone();
    assert!(sentence(1).contains("there is no topic"));
    assert!(sentence(3).contains("\"a b\" is not the name of a topic"));
    assert!(sentence(4).starts_with("timestamp \"never\""));

    let seen =
        all("topic=t&id=b%C3%A9&timestamp=7", Framing::Array, body, Limits::DEFAULT).unwrap();
    let ids: Vec<_> =
        seen.iter().map(|(_, one)| one.as_ref().unwrap().1.clone().unwrap()).collect();
    assert_eq!(ids, ["mine", "7", "b\u{e9}-2", "b\u{e9}-3", "b\u{e9}-4"]);
    assert!(seen.iter().all(|(_, one)| one.as_ref().unwrap().0 == "t"), "a parameter wins");
}

#[test]
fn what_is_wrong_with_the_query_is_told_once() {
    for (good, bad) in
        [("a=%41", "a=%4"), ("date=1", "data=1"), ("ip=::1", "ip=x"), ("a=1", "sg=1")]
    {
        assert!(all(&format!("topic=t&{good}"), Framing::Array, b"[1,2]", Limits::DEFAULT).is_ok());
        assert!(all(&format!("topic=t&{bad}"), Framing::Array, b"[1,2]", Limits::DEFAULT).is_err());
    }
}

#[test]
fn limits_hold_at_their_number_and_not_one_beyond() {
    let default = Limits::DEFAULT;
    let one = |query: &str, body: &[u8], limits| all(query, Framing::Array, body, limits);
    let batch = Limits { batch: 2, ..default };
    assert_eq!(one("topic=t", b"[1,2]", batch).unwrap().len(), 2);
    assert_eq!(one("topic=t", b"[1,2,3]", batch), Err(Invalid::TooManyEvents { limit: 2 }));
    let fields = Limits { fields: 2, ..default };
    assert!(one("topic=t&a=1&b=2&a=3", b"[1]", fields).is_ok());
    assert_eq!(one("topic=t&a=1&b=2&c=3", b"[1]", fields), Err(Invalid::TooMany { limit: 2 }));
    let name = Limits { name: 3, ..default };
    assert!(one("topic=t&abc=1", b"[1]", name).is_ok());
    assert_eq!(one("topic=t&abcd=1", b"[1]", name).unwrap_err().field(), Some("abcd"));
    let value = Limits { value: 4, ..default };
    assert!(one("topic=t&a=%20%20%20%20", b"[1]", value).is_ok());
    let long = Invalid::TooLong { field: "a".into(), bytes: 5, limit: 4 };
    assert_eq!(one("topic=t&a=12345", b"[1]", value), Err(long));
    assert_eq!(one("topic=t&level=12345", b"[1]", value).unwrap_err().status(), 413);
    let seen =
        one("topic=t", br#"[{"level":"1234","x":"12345"},{"level":"12345"}]"#, value).unwrap();
    assert!(seen[0].1.is_ok(), "a payload's own keys are no values");
    assert!(seen[1].1.as_ref().unwrap_err().contains("\"level\" has 5 bytes"), "{seen:?}");
    let depth = Limits { depth: 2, ..default };
    assert!(one("topic=t", b"[[[1]]]", depth).is_ok(), "the body's own array is not counted");
    let seen = one("topic=t", b"[1,[[[\"]}\"]]] ,{\"a\":[[2]]},[[3]]]", depth).unwrap();
    assert!(seen[0].1.is_ok() && seen[3].1.is_ok(), "one that is too deep is so alone: {seen:?}");
    for (at, place) in [(1, "line 1 column 6"), (2, "line 1 column 22")] {
        let sentence = seen[at].1.as_ref().unwrap_err();
        assert!(sentence.contains("deeper than 2 at ") && sentence.contains(place), "{sentence}");
    }
    assert_eq!(seen.len(), 4);
    for none in ["[1,[[[2]]", "[1,[[[2]]]", "[[[[2]]] 1]", "[[[[\"2]]]]"] {
        let invalid = one("topic=t", none.as_bytes(), depth).unwrap_err();
        assert!(matches!(invalid, Invalid::Json { .. }), "{none}: {invalid}");
    }
    let large = format!("[{{}},\"{}\",1]", "x".repeat(400));
    let seen = one("topic=t", large.as_bytes(), default).unwrap();
    assert!(seen[1].1.as_ref().unwrap_err().contains("must be 300 at most"), "{seen:?}");
    assert!(seen[0].1.is_ok() && seen[2].1.is_ok());
}

#[test]
fn the_memory_of_one_event_does_not_show_in_the_next() {
    let name = percent("n".as_bytes());
    let query = format!("topic=t&{name}=%41&id=i");
    let body = b"{\"level\":\"\\u0041\",\"timestamp\":5}\n{}\n{\"type\":\"\\u0042\"}";
    let keep = HeaderFields::default();
    let request = Request { body: Some(body), ..get(query.as_bytes()) };
    let intake = Intake { topic: None, keep: &keep, max_event: 300, ..Intake::default() };
    let mut seen = Vec::new();
    read_all(Spare::default(), &request, &intake, Framing::Lines, |_, event| {
        let event = event.unwrap();
        let names: Vec<_> = event.named().map(|(name, value)| text(name) + &text(value)).collect();
        seen.push((
            names.join(","),
            [Field::Level, Field::Type, Field::Submitted, Field::Id]
                .map(|field| value(event, field)),
        ));
        Ok(())
    })
    .unwrap();
    let is = |text: &str| Some(text.to_owned());
    assert_eq!(seen[0], ("nA".to_owned(), [is("A"), None, is("5000"), is("i-0")]));
    assert_eq!(seen[1], ("nA".to_owned(), [None, None, None, is("i-1")]));
    assert_eq!(seen[2], ("nA".to_owned(), [None, is("B"), None, is("i-2")]));
}

#[test]
fn whoever_looks_may_put_an_end_to_it() {
    let keep = HeaderFields::default();
    let request = Request { body: Some(b"[1,2,3]"), ..get(b"topic=t") };
    let intake = Intake { topic: None, keep: &keep, max_event: 300, ..Intake::default() };
    let mut count = 0;
    let end = read_all(Spare::default(), &request, &intake, Framing::Array, |_, _| {
        count += 1;
        if count == 2 { Err(Invalid::AllTooLarge { limit: 1 }) } else { Ok(()) }
    });
    assert_eq!((end.map(|_| ()), count), (Err(Invalid::AllTooLarge { limit: 1 }), 2));
}
