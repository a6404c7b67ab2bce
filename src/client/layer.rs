//! The crate tracing's events as events.

use crate::client::Client;
use crate::event::now_ms;
use crate::thread::in_thread;
use serde_json::{Map, Value, json};
use std::fmt::Debug;
use tracing_core::field::{Field, Visit};
use tracing_core::span::{Attributes, Id, Record};
use tracing_core::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

/// A layer for tracing-subscriber: each event of tracing is one with `level` (`error` to `trace`), `timestamp` (ms), `target`,
/// `message`, `fields`, an object, and `spans`, a list of those it happened in, the outermost first: each its `name` and
/// `fields`. It never waits; what the queue has no room for is in [`Counts`](crate::Counts).
///
/// ```no_run
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use sparkngin_client::{Client, EventLayer};
/// use tracing_subscriber::prelude::*;
///
/// let client = Client::builder("http://127.0.0.1:8080/sn/log/program").build()?;
/// tracing_subscriber::registry().with(EventLayer::new(client.clone())).init();
/// tracing::warn!(left = 3, "few are left");
/// client.close(std::time::Duration::from_secs(5))?; // a global subscriber is never dropped
/// # Ok(())
/// # }
/// ```
pub struct EventLayer {
    client: Client,
}

/// The fields of a span, as its extension.
struct Fields(Map<String, Value>);

/// Collects fields, apart from the message.
#[derive(Default)]
struct Collected {
    message: Option<String>,
    fields: Map<String, Value>,
}

impl Collected {
    fn put(&mut self, field: &Field, value: Value) {
        self.fields.insert(field.name().to_owned(), value);
    }
}

impl Visit for Collected {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let text = format!("{value:?}");
        if field.name() == "message" {
            self.message = Some(text);
        } else {
            self.put(field, text.into());
        }
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.message = Some(value.to_owned());
        } else {
            self.put(field, value.into());
        }
    }
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }
    fn record_f64(&mut self, field: &Field, value: f64) {
        // What is not finite is no number of JSON.
        self.put(field, if value.is_finite() { value.into() } else { value.to_string().into() });
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }
}

impl EventLayer {
    /// Sends all that reaches it: a filter beside it chooses.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { client }
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for EventLayer {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut collected = Collected::default();
        attributes.record(&mut collected);
        span.extensions_mut().insert(Fields(collected.fields));
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut collected = Collected::default();
        values.record(&mut collected);
        if let Some(Fields(fields)) = span.extensions_mut().get_mut() {
            fields.extend(collected.fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        if in_thread() {
            return; // what the client's own requests say: each would ask for another one
        }
        let mut collected = Collected::default();
        event.record(&mut collected);
        let spans: Vec<Value> = context
            .event_scope(event)
            .into_iter()
            .flat_map(|scope| scope.from_root())
            .map(|span| {
                let extensions = span.extensions();
                let fields =
                    extensions.get::<Fields>().map(|fields| fields.0.clone()).unwrap_or_default();
                json!({"name": span.name(), "fields": fields})
            })
            .collect();
        // A program must not fail because its log is full: it is counted.
        let _ = self.client.send(&json!({
            "level": event.metadata().level().as_str().to_ascii_lowercase(),
            "timestamp": now_ms(),
            "target": event.metadata().target(),
            "message": collected.message.unwrap_or_default(),
            "fields": collected.fields,
            "spans": spans,
        }));
    }
}
