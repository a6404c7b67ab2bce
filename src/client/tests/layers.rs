//! What a program says through log and tracing becomes events.

mod server;

use log::Log;
use serde_json::{Value, json};
use server::Server;
use sparkngin_client::{Client, EventLayer, Logger};
use std::time::Duration;
use tracing_subscriber::prelude::*;

const LONG: Duration = Duration::from_secs(60);

/// The events that the server got, without what differs each time.
fn events(server: &Server) -> Vec<Value> {
    let mut all = Vec::new();
    for seen in server.seen() {
        for line in String::from_utf8(seen.body).unwrap().lines() {
            let mut event: Value = serde_json::from_str(line).unwrap();
            let object = event.as_object_mut().unwrap();
            assert!(object.remove("id").unwrap().as_str().unwrap().len() > 32);
            assert!(object.remove("timestamp").unwrap().as_u64().unwrap() > 1_700_000_000_000);
            object.remove("line");
            all.push(event);
        }
    }
    all
}

#[test]
fn records_of_log_up_to_the_level_are_events_and_the_clients_own_are_not() {
    let server = Server::new(vec![]);
    let client = Client::builder(&server.address).timeout(LONG).at_drop(LONG).build().unwrap();
    // For every crate and level, so that what the HTTP client says at trace comes by, too.
    Logger::new(client.clone(), log::LevelFilter::Trace).install().unwrap();
    log::info!(target: "shop", "{} left", 3);
    log::logger().flush();
    let few = Logger::new(client.clone(), log::LevelFilter::Warn);
    let record =
        |level| log::Record::builder().level(level).target("few").args(format_args!("hi")).build();
    few.log(&record(log::Level::Info));
    few.log(&record(log::Level::Error));
    client.close(LONG).unwrap();
    let mut first =
        json!({"level": "info", "target": "shop", "module": "layers", "message": "3 left"});
    first["file"] = file!().into();
    assert_eq!(
        events(&server),
        [first, json!({"level": "error", "target": "few", "message": "hi"})]
    );
    assert_eq!(client.counts().requests, 2, "{:?}", events(&server));
}

#[test]
fn events_of_tracing_have_their_fields_and_spans() {
    let server = Server::new(vec![]);
    let client = Client::builder(&server.address).timeout(LONG).build().unwrap();
    let subscriber = tracing_subscriber::registry().with(EventLayer::new(client.clone()));
    tracing::subscriber::with_default(subscriber, || {
        let outer =
            tracing::info_span!("request", path = "/a", status = tracing::field::Empty).entered();
        outer.record("status", 200);
        let _inner = tracing::debug_span!("query").entered();
        tracing::warn!(target: "shop", left = 3, share = 0.5, odd = f64::NAN, ok = true, who = ?Some("me"), "few are left");
    });
    client.close(LONG).unwrap();
    let expected = json!({
        "level": "warn", "target": "shop", "message": "few are left",
        "fields": {"left": 3, "share": 0.5, "odd": "NaN", "ok": true, "who": "Some(\"me\")"},
        "spans": [{"name": "request", "fields": {"path": "/a", "status": 200}}, {"name": "query", "fields": {}}],
    });
    assert_eq!(events(&server), [expected]);
}
