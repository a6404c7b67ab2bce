//! The client against a server that answers well, badly, late and not at all.

mod server;

use serde_json::json;
use server::{Server, Step};
use sparkngin_client::{Builder, Client, Counts, Unsent, Unusable};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(5);

fn say(status: u16, body: &str) -> Step {
    Step::Say(status, "", body.to_owned())
}

/// For a server with these steps: short waits, and batches that are cut by `flush` and `close` alone.
fn builder(steps: Vec<Step>) -> (Server, Builder) {
    let server = Server::new(steps);
    let builder =
        Client::builder(&server.address).wait(SHORT, 4 * SHORT).linger(LONG).timeout(LONG);
    (server, builder)
}

fn sent(client: &Client, count: usize) {
    for n in 1..=count {
        client.send(&json!({"id": format!("e{n}"), "n": n})).unwrap();
    }
}

/// Waits until it holds.
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + LONG;
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::yield_now();
    }
}

/// The ids of each request.
fn requests(server: &Server) -> Vec<String> {
    server.seen().iter().map(|seen| seen.ids().join(" ")).collect()
}

#[test]
fn events_go_in_order_in_bodies_of_lines() {
    let (server, builder) = builder(vec![]);
    let client = builder.batch_events(2).header("Authorization", "Basic eA==").build().unwrap();
    sent(&client, 5);
    client.close(LONG).unwrap();
    assert_eq!(requests(&server), ["e1 e2", "e3 e4", "e5"]);
    let seen = &server.seen()[0];
    assert_eq!(seen.body, b"{\"id\":\"e1\",\"n\":1}\n{\"id\":\"e2\",\"n\":2}\n");
    let head = seen.head.to_ascii_lowercase();
    for line in [
        "post /sn/log/clicks http/1.1\r\n",
        "content-type: application/x-ndjson\r\n",
        "authorization: basic ea==\r\n",
    ] {
        assert!(head.contains(line), "{head}");
    }
    assert_eq!(client.counts(), Counts { stored: 5, requests: 3, ..Counts::default() });
    assert!(matches!(client.send(&json!({})), Err(Unsent::Closed)));
}

#[test]
fn an_event_goes_alone_when_no_other_comes_in_time() {
    let (server, builder) = builder(vec![]);
    let client = builder.linger(SHORT).build().unwrap();
    sent(&client, 1);
    until("it is stored", || client.counts().stored == 1);
    assert_eq!(requests(&server), ["e1"]);
}

#[test]
fn who_closes_waits_until_all_refusals_are_told() {
    let (_server, builder) = builder(vec![say(400, r#"{"error":"no"}"#)]);
    let (entered, has_entered) = std::sync::mpsc::channel();
    let (release, released) = std::sync::mpsc::channel::<()>();
    let client = builder.on_refused(move |_| {
        entered.send(()).unwrap();
        let _ = released.recv_timeout(LONG);
    });
    let client = client.build().unwrap();
    sent(&client, 1);
    let _ = client.flush(SHORT);
    has_entered.recv_timeout(LONG).unwrap();
    assert_eq!(client.flush(SHORT).unwrap_err().events, 0, "it is settled, and being told");
    release.send(()).unwrap();
    client.close(LONG).unwrap();
}

#[test]
fn the_longest_of_all_waits_is_one_that_the_clock_can_hold() {
    let (server, builder) = builder(vec![]);
    let client = builder.linger(Duration::MAX).build().unwrap();
    client.send_within(&json!({"id": "e1"}), Duration::MAX).unwrap();
    client.flush(Duration::MAX).unwrap();
    client.close(Duration::MAX).unwrap();
    assert_eq!(requests(&server), ["e1"]);
}

#[test]
fn events_have_ids_that_no_other_client_gives() {
    let (server, builder) = builder(vec![]);
    let one = builder.build().unwrap();
    let other = Client::builder(&server.address).build().unwrap();
    for client in [&one, &one, &other] {
        client.send(&json!({})).unwrap();
    }
    one.close(LONG).unwrap();
    other.close(LONG).unwrap();
    let mut ids: Vec<String> = server.seen().iter().flat_map(server::Seen::ids).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 3);
    assert!(ids.iter().all(|id| id.len() == 34 && id.as_bytes()[32] == b'-'), "{ids:?}");
}

#[test]
fn whatever_gets_no_answer_is_sent_again_with_the_same_ids() {
    let steps = vec![Step::Cut, Step::HalfAnswer, say(503, ""), say(502, "<html>"), say(504, "")];
    let (server, builder) = builder(steps);
    let client = builder.build().unwrap();
    sent(&client, 2);
    client.flush(LONG).unwrap();
    assert_eq!(requests(&server), ["e1 e2"; 6]);
    assert_eq!(
        client.counts(),
        Counts { stored: 2, repeated: 10, requests: 6, ..Counts::default() }
    );
    assert_eq!(client.trouble(), None);
}

#[test]
fn a_request_that_is_not_answered_in_time_is_sent_again() {
    let (server, builder) = builder(vec![Step::Silence]);
    let client = builder.timeout(Duration::from_millis(500)).build().unwrap();
    sent(&client, 2);
    client.flush(LONG).unwrap();
    let requests = requests(&server);
    assert!(requests.len() > 1 && requests.iter().all(|ids| ids == "e1 e2"), "{requests:?}");
    assert_eq!(client.counts().stored, 2);
}

#[test]
fn while_nobody_listens_events_wait_and_the_reason_is_told() {
    let address = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let client = Client::builder(&format!("http://{address}/sn/log/clicks"))
        .wait(SHORT, SHORT)
        .linger(SHORT)
        .build()
        .unwrap();
    sent(&client, 1);
    until("it is told", || client.trouble().is_some());
    let counts = client.counts();
    assert_eq!((counts.queued, counts.stored), (1, 0));
    assert!(client.trouble().unwrap().contains("refused"), "{:?}", client.trouble());
    assert_eq!(client.close(Duration::ZERO).unwrap_err().events, 1);
    assert_eq!(client.counts().dropped, 1);
}

#[test]
fn a_503_is_not_repeated_before_its_retry_after() {
    let (server, builder) = builder(vec![Step::Say(503, "Retry-After: 1\r\n", "{}".into())]);
    let client = builder.build().unwrap();
    sent(&client, 1);
    let begun = Instant::now();
    client.flush(LONG).unwrap();
    assert!(begun.elapsed() >= Duration::from_secs(1), "{:?}", begun.elapsed());
    assert_eq!(requests(&server), ["e1"; 2]);
}

#[test]
fn of_a_207_each_index_has_its_own_fate() {
    let list = r#"[{"index":1,"status":400,"error":"cannot be","field":"ip"},{"index":2,"status":503,"error":"no room","field":null}]"#;
    let (server, builder) = builder(vec![say(207, list)]);
    let refused = Arc::new(Mutex::new(Vec::new()));
    let told = refused.clone();
    let client = builder
        .batch_events(4)
        .on_refused(move |refusal| told.lock().unwrap().push(refusal.clone()))
        .build()
        .unwrap();
    sent(&client, 4);
    client.flush(LONG).unwrap();
    assert_eq!(requests(&server), ["e1 e2 e3 e4", "e3"]);
    assert_eq!(
        client.counts(),
        Counts { stored: 3, refused: 1, repeated: 1, requests: 2, ..Counts::default() }
    );
    let refused = refused.lock().unwrap();
    assert_eq!(refused.len(), 1);
    assert_eq!((refused[0].status, refused[0].error.as_str()), (400, "cannot be (ip)"));
    assert_eq!(refused[0].event, r#"{"id":"e2","n":2}"#);
}

#[test]
fn what_is_sent_again_waits_for_no_others() {
    let (server, builder) =
        builder(vec![say(207, r#"[{"index":1,"status":503,"error":"no room"}]"#)]);
    let client = builder.batch_events(2).build().unwrap();
    sent(&client, 2);
    until("both are stored", || client.counts().stored == 2);
    assert_eq!(requests(&server), ["e1 e2", "e2"]);
}

#[test]
fn what_is_too_much_at_once_is_halved() {
    let (server, builder) = builder(vec![say(413, "<html>"), say(204, ""), say(413, "")]);
    let client = builder.batch_events(8).build().unwrap();
    sent(&client, 6);
    client.flush(LONG).unwrap();
    assert_eq!(requests(&server), ["e1 e2 e3 e4 e5 e6", "e1 e2 e3", "e4 e5 e6", "e4", "e5 e6"]);
    assert_eq!(client.counts().stored, 6);
}

#[test]
fn one_event_that_is_too_large_is_refused_alone() {
    let (_server, builder) = builder(vec![say(413, ""), say(413, "")]);
    let client = builder.batch_events(2).build().unwrap();
    sent(&client, 2);
    client.flush(LONG).unwrap();
    let Counts { stored, refused, .. } = client.counts();
    assert_eq!((stored, refused), (1, 1));
}

#[test]
fn a_late_acknowledgement_is_a_success_and_a_proxys_is_none() {
    let (server, builder) = builder(vec![
        Step::Say(504, "Sparkngin-Receipt: r-0-1; ack=ring\r\n", "{}".into()),
        say(504, ""),
    ]);
    let client = builder.batch_events(1).build().unwrap();
    sent(&client, 2);
    client.flush(LONG).unwrap();
    assert_eq!(requests(&server), ["e1", "e2", "e2"]);
}

#[test]
fn a_full_queue_drops_the_newest_and_counts_it() {
    let (_server, builder) = builder(vec![Step::Silence]);
    let client = builder.queue_events(3).timeout(LONG).build().unwrap();
    sent(&client, 3);
    assert!(matches!(client.send(&json!({})), Err(Unsent::Full { events: 3, .. })));
    assert!(matches!(client.send_within(&json!({}), SHORT), Err(Unsent::Full { .. })));
    assert_eq!(client.counts().dropped, 2);
    until("it is under way", || client.counts().requests == 1);
    assert_eq!(client.flush(SHORT).unwrap_err().events, 3);
    assert_eq!(
        client.close(SHORT).unwrap_err().to_string(),
        "3 events have not been answered in time"
    );
    assert_eq!(client.counts(), Counts { dropped: 5, requests: 1, ..Counts::default() });
    client.close(SHORT).unwrap();
}

#[test]
fn who_waits_for_room_gets_it() {
    let (server, builder) = builder(vec![]);
    let client = builder.queue_events(3).build().unwrap();
    for n in 1..=20 {
        client.send_within(&json!({"id": format!("e{n}")}), LONG).unwrap();
    }
    client.flush(LONG).unwrap();
    let ids: Vec<String> = server.seen().iter().flat_map(server::Seen::ids).collect();
    assert_eq!(ids, (1..=20).map(|n| format!("e{n}")).collect::<Vec<_>>());
}

#[test]
fn the_last_handle_sends_what_is_left() {
    let (server, builder) = builder(vec![]);
    let client = builder.at_drop(LONG).build().unwrap();
    sent(&client, 2);
    let other = client.clone();
    drop(client);
    assert_eq!(other.counts().queued, 2);
    drop(other);
    assert_eq!(requests(&server), ["e1 e2"]);
}

#[test]
fn a_refusals_callback_may_close_the_client() {
    let (_server, builder) = builder(vec![say(403, "")]);
    let place: Arc<Mutex<Option<Client>>> = Arc::default();
    let inside = place.clone();
    let client = builder
        .batch_events(1)
        .on_refused(move |_| {
            if let Some(client) = inside.lock().unwrap().take() {
                let _ = client.close(LONG);
            }
        })
        .build()
        .unwrap();
    *place.lock().unwrap() = Some(client.clone());
    sent(&client, 1);
    until("it is closed", || matches!(client.send(&json!({})), Err(Unsent::Closed)));
    assert_eq!(client.counts().refused, 1);
}

#[test]
fn compressed_bodies_hold_the_same_lines() {
    let (server, builder) = builder(vec![]);
    let client = builder.gzip(true).build().unwrap();
    sent(&client, 2);
    client.flush(LONG).unwrap();
    let seen = &server.seen()[0];
    assert!(seen.head.to_ascii_lowercase().contains("content-encoding: gzip\r\n"), "{}", seen.head);
    let mut text = String::new();
    std::io::Read::read_to_string(
        &mut flate2::read::GzDecoder::new(seen.body.as_slice()),
        &mut text,
    )
    .unwrap();
    assert_eq!(text, "{\"id\":\"e1\",\"n\":1}\n{\"id\":\"e2\",\"n\":2}\n");
}

#[test]
fn an_address_or_header_that_cannot_be_is_told() {
    for address in ["https://127.0.0.1/sn/log/a", "127.0.0.1:80/sn/log/a", "http:///sn/log/a", ""] {
        assert!(matches!(Client::builder(address).build(), Err(Unusable::Address(_))), "{address}");
    }
    let header = Client::builder("http://127.0.0.1/").header("a b", "c").build();
    assert_eq!(header.err().unwrap().to_string(), "\"a b: c\" cannot be a header");
}
