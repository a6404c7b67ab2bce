//! From a request to an event: parameters first, then what the body says, then what the request's head says, each where
//! nothing before did.

use std::net::IpAddr;

use super::names::Names;
use super::{
    Event, Form, Intake, Invalid, MOST_FIELDS, MOST_HEADERS, Named, Request, Spare, TEXTS,
    is_topic, json, privacy,
};
use crate::escape::Shown;
use crate::field::{COOKIE, DataKind, Field, FieldName, is_name};
use crate::query::{self, BadPercent, Pair, Raw, Span};
use crate::time::Millis;

/// Reads a request.
pub fn event<'a>(
    spare: Spare,
    request: &Request<'a>,
    intake: &Intake<'a>,
) -> Result<Event<'a>, Invalid> {
    if u32::try_from(request.query.len()).is_err() {
        return Err(Invalid::TooLarge { bytes: request.query.len(), limit: intake.max_event });
    }
    let mut event = Event::new(spare, Millis::of_nanos(request.received));
    // What its path says no parameter changes.
    event.texts[usize::from(Field::Topic.id())] = request.topic.map(Span::Sent);
    given(&mut event, intake);
    let mut names = Names::default();
    parameters(&mut event, &mut names, request.query, "query", intake)?;
    kafka_headers(&mut event, request, intake)?;
    body(&mut event, &mut names, request, intake)?;
    check_parameters(&mut event)?;
    headers(&mut event, request, intake);
    topic(&mut event, intake)?;
    privacy::known(&mut event, intake.privacy);

    let bytes = event.encoded_len();
    if bytes > intake.max_event {
        return Err(Invalid::TooLarge { bytes, limit: intake.max_event });
    }
    Ok(event)
}

/// Takes what the place gives, first of all: so nobody can say otherwise. Of a name, the first.
fn given<'a>(event: &mut Event<'a>, intake: &Intake<'a>) {
    for given in intake.fields.iter().filter(|given| !given.value.is_empty()) {
        let value = Span::Sent(given.value);
        let value = privacy::masked(value, &mut event.text, intake.privacy.addresses);
        let bytes = value.of(&event.text);
        let number = || matches!(bytes.first(), Some(b'-' | b'0'..=b'9'));
        let json = match given.form {
            Form::String => false,
            Form::Number => number() && json::is_json(bytes),
            Form::Json => json::is_json(bytes),
        };
        match given.name {
            FieldName::Known(field) => {
                if let Some(place @ None) = event.texts.get_mut(usize::from(field.id())) {
                    *place = Some(value);
                }
            }
            FieldName::Named(name) => {
                if event.named().any(|(other, _)| *other == **name) {
                    continue;
                }
                event.named.push(Named { json, ..Named::text(Span::Sent(name), value) });
            }
        }
    }
}

/// Takes the first parameter of each name. A repeated one is not looked at.
fn parameters<'a>(
    event: &mut Event<'a>,
    names: &mut Names,
    query: &'a [u8],
    part: &'static str,
    intake: &Intake<'a>,
) -> Result<(), Invalid> {
    for Pair { name: sent, value } in query::pairs(query) {
        let percent = |bad: BadPercent| Invalid::Percent {
            field: Shown(sent.sent()).to_string(),
            at: bad.at,
            part,
        };
        let name = sent.decode(&mut event.text).map_err(percent)?;
        match Field::of_parameter(name.of(&event.text)) {
            Some(field @ (Field::TimeStamp | Field::Sg)) => {
                return Err(Invalid::Reserved { field: field.name() });
            }
            Some(field) => {
                let place = &mut event.texts[usize::from(field.id())];
                if place.is_none() {
                    *place = Some(value.decode(&mut event.text).map_err(percent)?);
                }
            }
            None => custom(event, names, name, value, intake).map_err(|wrong| match wrong {
                Wrong::Percent(bad) => percent(bad),
                Wrong::Invalid(invalid) => invalid,
            })?,
        }
    }
    Ok(())
}

enum Wrong {
    Percent(BadPercent),
    Invalid(Invalid),
}

/// Adds a custom field, if it is the first of its name.
fn custom<'a>(
    event: &mut Event<'a>,
    names: &mut Names,
    name: Span<'a>,
    value: Raw<'a>,
    intake: &Intake<'a>,
) -> Result<(), Wrong> {
    let bytes = name.of(&event.text);
    if names.contains(bytes, &event.named, &event.text) {
        return Ok(());
    }
    if !is_name(bytes) {
        return Err(Wrong::Invalid(Invalid::Name { field: Shown(bytes).to_string() }));
    }
    // JSON shows a payload that is not text under this name.
    if bytes == b"data_base64" {
        return Err(Wrong::Invalid(Invalid::Reserved { field: "data_base64" }));
    }
    if event.named.len() == MOST_FIELDS {
        return Err(Wrong::Invalid(Invalid::TooMany));
    }
    let value = value.decode(&mut event.text).map_err(Wrong::Percent)?;
    let Some(addresses) = intake.privacy.own(name.of(&event.text)) else { return Ok(()) };
    let value = privacy::masked(value, &mut event.text, addresses);
    event.named.push(Named::text(name, value));
    names.add(&event.named, &event.text);
    Ok(())
}

/// Looks at those parameters that not every value suits.
fn check_parameters(event: &mut Event<'_>) -> Result<(), Invalid> {
    if let Some(sent) = event.texts[usize::from(Field::Submitted.id())].take() {
        let text = sent.of(&event.text);
        let bad = |_| Invalid::Timestamp { value: Shown(text).to_string() };
        event.submitted = Some(Millis::parse(text).map_err(bad)?);
    }
    if let Some(ip) = event.text_of(Field::Ip) {
        let address = std::str::from_utf8(ip).ok().and_then(|text| text.parse::<IpAddr>().ok());
        if address.is_none() {
            return Err(Invalid::Address { value: Shown(ip).to_string() });
        }
    }
    Ok(())
}

/// Fills in what the request's head says, where no parameter said it.
fn headers<'a>(event: &mut Event<'a>, request: &Request<'a>, intake: &Intake<'a>) {
    let keep = intake.keep;
    for (field, wanted, value) in [
        (Field::Ip, !request.peer.is_empty(), Some(request.peer)),
        (Field::UserAgent, keep.user_agent, request.user_agent),
        (Field::Referrer, keep.referrer, request.referrer),
        (Field::Cookie, keep.cookie, request.cookie),
    ] {
        let place = &mut event.texts[usize::from(field.id())];
        if let (true, Some(value), None) = (wanted, value, &place) {
            *place = Some(Span::Sent(value));
        }
    }
    if let (false, Some(header)) = (keep.cookies.is_empty(), request.cookie) {
        cookies(event, header, intake);
    }
}

/// Takes single cookies out of the header `Cookie`, the first of each key, where no parameter of that name came.
fn cookies<'a>(event: &mut Event<'a>, header: &'a [u8], intake: &Intake<'a>) {
    // The list comes from the configuration and is short; the header comes from the client.
    for name in &intake.keep.cookies {
        let key = name.strip_prefix(COOKIE).unwrap_or_default();
        if !intake.privacy.keeps(key) {
            continue;
        }
        let held = |crumb: &'a [u8]| {
            let equals = crumb.iter().position(|b| *b == b'=')?;
            (crumb[..equals].trim_ascii() == key).then(|| crumb[equals + 1..].trim_ascii())
        };
        let value = header.split(|b| *b == b';').find_map(held);
        if let Some(value) = value.filter(|_| !event.named().any(|(other, _)| other == &**name)) {
            event.push_named(name, value);
        }
    }
}

/// Takes what becomes Kafka headers. Those of our own say where a record comes from: nobody else may write them.
fn kafka_headers<'a>(
    event: &mut Event<'a>,
    request: &Request<'a>,
    intake: &Intake<'a>,
) -> Result<(), Invalid> {
    if request.headers.len() > MOST_HEADERS {
        return Err(Invalid::TooManyHeaders);
    }
    for (name, value) in request.headers {
        if !is_name(name) || *name == b"sg" || name.starts_with(b"sparkngin-") {
            let name = Shown(name).to_string();
            let field = format!("Sparkngin-Header-{name}");
            return Err(Invalid::Header { name, field });
        }
        let whole_cookie = *name == b"cookie" && intake.privacy.cookies.is_some();
        let addresses = intake.privacy.own(name).filter(|_| !whole_cookie);
        if let Some(addresses) = addresses {
            let value = privacy::masked(Span::Sent(value), &mut event.text, addresses);
            event.headers.push(Named::text(Span::Sent(name), value));
        }
    }
    Ok(())
}

/// Checks the topic, or fills in that of the place.
fn topic<'a>(event: &mut Event<'a>, intake: &Intake<'a>) -> Result<(), Invalid> {
    let place = usize::from(Field::Topic.id());
    event.texts[place] = event.texts[place].or(intake.topic.map(Span::Sent));
    match event.text_of(Field::Topic) {
        None => Err(Invalid::NoTopic),
        Some(topic) if is_topic(topic) => Ok(()),
        Some(topic) => Err(Invalid::Topic { topic: Shown(topic).to_string() }),
    }
}

/// Takes what the body says: parameters of a form, or the payload, whose keys are fields where it is an object of JSON.
fn body<'a>(
    event: &mut Event<'a>,
    names: &mut Names,
    request: &Request<'a>,
    intake: &Intake<'a>,
) -> Result<(), Invalid> {
    let body = request.body.unwrap_or_default();
    if body.is_empty() {
        event.kind = DataKind::of(event.text_of(Field::Data).unwrap_or_default());
        return Ok(());
    }
    // Before anything looks at all of it.
    if body.len() > intake.max_event {
        return Err(Invalid::TooLarge { bytes: body.len(), limit: intake.max_event });
    }
    let kind = request.content_type.map(json::media_type);
    let is = |name: &str| kind.is_some_and(|kind| kind.eq_ignore_ascii_case(name.as_bytes()));
    let form = is("application/x-www-form-urlencoded");
    let json = if request.content_type.is_some_and(json::says_json) {
        keys(event, body)?;
        true
    } else {
        // What scripts and `curl -d` call text or a form. A number or a word stays a text.
        (kind.is_none() || form || is("text/plain")) && opens(body) && keys(event, body).is_ok()
    };
    if form && !json && body.contains(&b'=') {
        parameters(event, names, body, "body", intake)?;
        event.kind = DataKind::of(event.text_of(Field::Data).unwrap_or_default());
    } else if event.text_of(Field::Data).is_some() {
        return Err(Invalid::TwoPayloads);
    } else {
        event.set_data(if json { DataKind::Json } else { DataKind::of(body) }, body);
    }
    Ok(())
}

/// Checks JSON, and takes the known keys of the outermost object, the first of each, where no parameter said it. The
/// payload stays whole, so what cannot be a field's value is no error. Nothing is taken when it is not JSON.
fn keys<'a>(event: &mut Event<'a>, body: &'a [u8]) -> Result<(), Invalid> {
    let mut found: [Option<&'a [u8]>; TEXTS] = [None; TEXTS];
    json::check(body, |name, value| {
        let field = Field::of_parameter(name);
        let place = field.and_then(|field| found.get_mut(usize::from(field.id())));
        if let Some(place @ None) = place {
            *place = Some(value);
        }
    })?;
    let own = [Field::Data, Field::TimeStamp].map(|field| usize::from(field.id()));
    for (at, value) in found.into_iter().enumerate() {
        let (Some(value), None, false) = (value, event.texts[at], own.contains(&at)) else {
            continue;
        };
        event.texts[at] = json::text(value, &mut event.text);
    }
    Ok(())
}

/// Whether it begins as an object or an array does.
fn opens(body: &[u8]) -> bool {
    matches!(body.trim_ascii_start().first(), Some(b'{' | b'['))
}
