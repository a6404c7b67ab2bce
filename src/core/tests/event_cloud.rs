//! CloudEvents 1.0 in their three HTTP modes: attributes become Kafka headers, the data is the payload.

mod sender;

use sender::get;
use sparkngin_core::event::batch::{Framing, read_all};
use sparkngin_core::event::{Event, Intake, Invalid, Request, Spare};
use sparkngin_core::field::{DataKind, Field};
use sparkngin_core::format::binary;

const STRUCTURED: &[u8] = b"application/cloudevents+json; charset=UTF-8";
const BATCH: &[u8] = b"application/cloudevents-batch+json";

fn place() -> Intake<'static> {
    Intake { topic: Some(b"t"), ..Intake::default() }
}

/// Headers by name, and the payload.
type Shown = (String, Option<(DataKind, Vec<u8>)>);

fn shown(event: &Event<'_>) -> Shown {
    let text = |bytes| String::from_utf8(<[u8]>::to_vec(bytes)).unwrap();
    let mut headers: Vec<_> =
        event.headers().map(|(name, value)| text(name) + "=" + &text(value)).collect();
    headers.sort();
    (headers.join(" "), event.data().map(|(kind, data)| (kind, data.to_vec())))
}

fn structured(body: &str) -> Result<Shown, Invalid> {
    let request =
        Request { body: Some(body.as_bytes()), content_type: Some(STRUCTURED), ..get(b"") };
    let event = Event::read(&request, &place())?;
    assert!(event.is_cloud());
    let mut stored = Vec::new();
    binary::encode(&event, &mut stored);
    let again = binary::decode(&stored).unwrap();
    assert_eq!(shown(&again), shown(&event), "it lies in the ring as it was");
    assert!(again.is_cloud());
    Ok(shown(&event))
}

#[test]
fn attributes_in_headers_are_kafka_headers_and_the_body_is_the_data() {
    let cloud: &[(&[u8], &[u8])] = &[
        (b"specversion", b"1.0"),
        (b"id", b"A-1"),
        (b"source", b"/a%20b%E2%82%AC%zz"),
        (b"type", b"com.example"),
        (b"time", b"2014-03-01T11:00:00Z"),
        (b"partitionkey", b"k"),
        (b"comexampleextension1", b"value"),
    ];
    let body = b"[{\"topic\":\"no\"}]";
    let request =
        Request { body: Some(body), content_type: Some(b"application/json"), cloud, ..get(b"") };
    let event = Event::read(&request, &place()).unwrap();
    let (headers, data) = shown(&event);
    assert_eq!(
        headers,
        "ce_comexampleextension1=value ce_id=A-1 ce_partitionkey=k ce_source=/a b\u{20ac}%zz ce_specversion=1.0 \
         ce_time=2014-03-01T11:00:00Z ce_type=com.example content-type=application/json"
    );
    assert_eq!(data, Some((DataKind::Json, body.to_vec())));
    let known = |field| event.known(field).map(|value| value.bytes().into_owned());
    assert_eq!(event.topic(), b"t", "its data is nobody's field");
    assert_eq!(known(Field::Id).as_deref(), Some(&b"A-1"[..]));
    assert_eq!(known(Field::Type).as_deref(), Some(&b"com.example"[..]));
    assert_eq!(known(Field::Key).as_deref(), Some(&b"k"[..]));
    assert_eq!(event.submitted().map(|time| time.0), Some(1_393_671_600_000));
    // Any body, also none, also without a type.
    for (body, kind) in
        [(&b"a=b"[..], Some(DataKind::Text)), (b"\xFF", Some(DataKind::Bytes)), (b"", None)]
    {
        let request = Request { body: Some(body), cloud, ..get(b"") };
        let event = Event::read(&request, &place()).unwrap();
        assert_eq!(event.data().map(|(kind, _)| kind), kind);
        assert!(event.is_cloud());
    }
    for missing in 0..4 {
        let mut some = cloud.to_vec();
        some.remove(missing);
        let invalid = Event::read(&Request { cloud: &some, ..request }, &place()).unwrap_err();
        assert_eq!(invalid.field().map(str::as_bytes), Some(cloud[missing].0), "{invalid}");
    }
    let plain = Event::read(&get(b""), &place()).unwrap();
    assert!(!plain.is_cloud());
}

/// What all of them have.
const HEAD: &str = r#""specversion":"1.0","id":"1","source":"/s","type":"x""#;
const SHOWN: &str = "ce_id=1 ce_source=/s ce_specversion=1.0 ce_type=x";
const TYPED: &str = "content-type=application/cloudevents+json; charset=UTF-8";

#[test]
fn a_headers_value_is_unquoted_and_then_percent_decoded() {
    for (sent, means) in [
        ("a%20b", "a b"),
        ("%E2%82%AC", "\u{20ac}"),
        ("%e2%82%ac%", "\u{20ac}%"),
        ("50%", "50%"),
        ("%4", "%4"),
        ("%zz%+1", "%zz%+1"),
        (r#""quoted \"x\" \\ %41""#, r#"quoted "x" \ A"#),
        (r"a\b", r"a\b"),
        ("\"", "\""),
        ("a+b", "a+b"),
    ] {
        let cloud: &[(&[u8], &[u8])] = &[
            (b"specversion", b"1.0"),
            (b"id", b"1"),
            (b"source", b"/s"),
            (b"type", b"x"),
            (b"subject", sent.as_bytes()),
        ];
        let event = Event::read(&Request { cloud, ..get(b"") }, &place()).unwrap();
        let headers: Vec<_> = event.headers().collect();
        assert_eq!(headers[4], (&b"ce_subject"[..], means.as_bytes()), "{sent}");
    }
}

#[test]
fn what_is_wrong_in_a_header_is_told_by_its_name() {
    let good: &[(&[u8], &[u8])] =
        &[(b"specversion", b"1.0"), (b"id", b"1"), (b"source", b"/s"), (b"type", b"x")];
    let many: Vec<_> = (0..64).map(|n| format!("x{n}")).collect();
    for (name, value) in [
        (&b"a-b"[..], &b"x"[..]),
        (b"a_b", b"x"),
        (b"", b"x"),
        (b"subject", b""),
        (b"subject", b"\"\""),
        (b"id", b"2"),
        (b"time", b"yesterday"),
        (b"time", b"1393671600"),
        (b"time", b"1393671600.5"),
    ] {
        let cloud = [good, &[(name, value)]].concat();
        let invalid = Event::read(&Request { cloud: &cloud, ..get(b"") }, &place()).unwrap_err();
        let field = invalid.field().map(str::as_bytes);
        assert_eq!((invalid.status(), field), (400, Some(name)), "{invalid}");
    }
    for (extensions, taken) in [(60, true), (61, false)] {
        let more = many.iter().take(extensions).map(|name| (name.as_bytes(), &b"v"[..]));
        let cloud: Vec<_> = good.iter().copied().chain(more).collect();
        let event = Event::read(&Request { cloud: &cloud, ..get(b"") }, &place());
        assert_eq!(event.is_ok(), taken, "4 and {extensions} attributes");
        let typed =
            Request { cloud: &cloud, content_type: Some(b"a/b"), body: Some(b"x"), ..get(b"") };
        assert!(Event::read(&typed, &place()).is_err(), "and the type is one more");
    }
    // What a client says of the value's type does not stand beside what is so.
    let headers: &[(&[u8], &[u8])] = &[(b"content-type", b"lie/lie"), (b"trace", b"t")];
    let request = Request { cloud: good, headers, content_type: Some(b"a/b"), ..get(b"") };
    for (body, says) in [(&b"x"[..], "a/b"), (b"", "lie/lie")] {
        let event = Event::read(&Request { body: Some(body), ..request }, &place()).unwrap();
        assert_eq!(shown(&event).0, format!("{SHOWN} content-type={says} trace=t"));
    }
    let fake: &[(&[u8], &[u8])] = &[(b"ce_specversion", b"1.0")];
    let invalid = Event::read(&Request { headers: fake, ..get(b"") }, &place()).unwrap_err();
    assert_eq!(invalid.field(), Some("Sparkngin-Header-ce_specversion"));
    let fake: &[(&[u8], &[u8])] = &[(b"content-type", STRUCTURED)];
    let invalid = Event::read(&Request { headers: fake, ..get(b"") }, &place()).unwrap_err();
    assert_eq!(invalid.field(), Some("Sparkngin-Header-content-type"));
}

#[test]
fn an_object_in_structured_mode_stays_whole_and_a_header_says_what_it_is() {
    for rest in [
        "",
        r#","data":null,"data_base64":null"#,
        r#", "data": {"id":[1, {"b":2}]} "#,
        r#","datacontenttype":"text/plain","data":"a\n\u00e9""#,
        r#","datacontenttype":"application/x","data_base64":"/wAB""#,
        r#","ext":7,"flag":true,"none":null,"neg":-1"#,
        r#","subject":"\u20ac\n","subject2":"\"""#,
    ] {
        let body = format!("{{{HEAD}{rest}}}");
        let (headers, payload) = structured(&body).unwrap();
        assert_eq!(headers, TYPED, "{rest}");
        assert_eq!(payload, Some((DataKind::Json, body.into_bytes())), "{rest}");
    }
    let body = format!(r#"{{{HEAD},"time":"2014-03-01T12:00:00+01:00","partitionkey":"k"}}"#);
    let request =
        Request { body: Some(body.as_bytes()), content_type: Some(STRUCTURED), ..get(b"id=own") };
    let event = Event::read(&request, &place()).unwrap();
    let known = |field| event.known(field).map(|value| value.bytes().into_owned());
    assert_eq!(known(Field::Id).as_deref(), Some(&b"own"[..]), "the query wins");
    assert_eq!(known(Field::Key).as_deref(), Some(&b"k"[..]));
    assert_eq!(event.submitted().map(|time| time.0), Some(1_393_671_600_000));
}

#[test]
fn what_is_wrong_in_an_object_is_told_by_its_name() {
    for (good, bad, field) in [
        (r#""ext":"x""#, r#""Ext":"x""#, "Ext"),
        (r#""ext":1"#, r#""ext":{}"#, "ext"),
        (r#""ext":1"#, r#""ext":[]"#, "ext"),
        (r#""ext":1"#, r#""ext":"""#, "ext"),
        (r#""ext":1"#, r#""ext":1,"ext":1"#, "ext"),
        (r#""subject":"1""#, r#""subject":1"#, "subject"),
        (r#""subject":"\ud83d\ude00""#, r#""subject":"\ud83d""#, "subject"),
        (r#""time":"2014-03-01T12:00:00Z""#, r#""time":"2014-03-01""#, "time"),
        (r#""data":1"#, r#""data":1,"data_base64":"""#, "data"),
        (r#""data":1"#, r#""data":1,"data":2"#, "data"),
        (r#""data_base64":"YQ==""#, r#""data_base64":"Y?==""#, "data_base64"),
        (r#""data_base64":"YQ""#, r#""data_base64":"YQ=""#, "data_base64"),
        (r#""data_base64":"YQ""#, r#""data_base64":"YWJjd""#, "data_base64"),
        (r#""data_base64":"""#, r#""data_base64":7"#, "data_base64"),
        (r#""datacontenttype":"a/b""#, r#""datacontenttype":"""#, "datacontenttype"),
        (r#""datacontenttype":"a/b""#, r#""datacontenttype":1"#, "datacontenttype"),
    ] {
        assert!(structured(&format!("{{{HEAD},{good}}}")).is_ok(), "{good}");
        let invalid = structured(&format!("{{{HEAD},{bad}}}")).unwrap_err();
        assert_eq!((invalid.status(), invalid.field()), (400, Some(field)), "{bad}");
    }
    for name in ["specversion", "id", "source", "type"] {
        let without = HEAD.replace(&format!("\"{name}\""), "\"other\"");
        assert_eq!(structured(&format!("{{{without}}}")).unwrap_err().field(), Some(name));
        let number = HEAD.replace(&format!("\"{name}\":\""), &format!("\"{name}\":1,\"o\":\""));
        assert_eq!(structured(&format!("{{{number}}}")).unwrap_err().field(), Some(name));
    }
    let old = HEAD.replace("1.0", "0.3");
    assert_eq!(structured(&format!("{{{old}}}")).unwrap_err().field(), Some("specversion"));
    for (none, field) in [("7", "specversion"), ("{}", "specversion"), ("{", "data"), ("", "data")]
    {
        assert_eq!(structured(none).unwrap_err().field(), Some(field), "{none}");
    }
    let extensions = |n| (0..n).map(|n| format!(",\"x{n}\":1")).collect::<String>();
    assert!(structured(&format!("{{{HEAD}{}}}", extensions(60))).is_ok(), "64 members");
    for n in [61, 500] {
        let invalid = structured(&format!("{{{HEAD}{}}}", extensions(n))).unwrap_err();
        assert_eq!(invalid.field(), Some("x60"), "{n}");
    }
}

#[test]
fn a_batch_is_several_and_one_that_is_wrong_is_refused_alone() {
    let one = |id: &str| {
        format!(r#"{{"specversion":"1.0","id":"{id}","source":"/s","type":"x","data":"{id}"}}"#)
    };
    let body = format!("[{},{{\"id\":\"no\"}}, {} ]", one("a"), one("b"));
    let request =
        Request { body: Some(body.as_bytes()), content_type: Some(BATCH), ..get(b"id=batch") };
    assert_eq!(Framing::of(request.content_type, body.as_bytes(), 100), Some(Framing::Array));
    let mut seen = Vec::new();
    read_all(Spare::default(), &request, &place(), Framing::Array, |_, event| {
        seen.push(event.map(|event| {
            assert!(event.is_cloud());
            shown(event)
        }));
        Ok(())
    })
    .unwrap();
    assert_eq!(seen.len(), 3);
    for (at, id) in [(0, "a"), (2, "b")] {
        let (headers, data) = seen[at].as_ref().unwrap();
        assert_eq!(headers, TYPED);
        assert_eq!(*data, Some((DataKind::Json, one(id).into_bytes())));
    }
    assert_eq!(seen[1].as_ref().unwrap_err().field(), Some("specversion"));
}
