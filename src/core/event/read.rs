//! From a request to an event: parameters first, then what the body says, then what the request's head says, each where
//! nothing before did.

use std::net::IpAddr;

use super::found::Found;
use super::multipart::{Part, Parts, is_multipart};
use super::names::Names;
use super::{
    Event, Form, Intake, Invalid, Named, Request, Tells, cloud, head, is_topic, json, multipart,
    privacy, tells_address,
};
use crate::escape::Shown;
use crate::field::{DataKind, Field, FieldName, is_name};
use crate::query::{self, BadPercent, Pair, Raw, Span};
use crate::time::Millis;

/// Reads a request into an event that has no field yet.
pub fn event<'a>(
    event: &mut Event<'a>,
    request: &Request<'a>,
    intake: &Intake<'a>,
) -> Result<(), Invalid> {
    let mut names = query(event, request, intake)?;
    body(event, &mut names, request, intake)?;
    complete(event, request, request.body.unwrap_or_default(), intake)
}

/// What the query says.
pub fn query<'a>(
    event: &mut Event<'a>,
    request: &Request<'a>,
    intake: &Intake<'a>,
) -> Result<Names, Invalid> {
    if u32::try_from(request.query.len()).is_err() {
        return Err(Invalid::TooLarge { bytes: request.query.len(), limit: intake.max_event });
    }
    // What its path says no parameter changes.
    event.texts[usize::from(Field::Topic.id())] = request.topic.map(Span::Sent);
    given(event, intake);
    let mut names = Names::beside(event.named.len());
    parameters(event, &mut names, request.query, "query", intake)?;
    head::kafka_headers(event, request, intake)?;
    Ok(names)
}

/// Checks what parameters and `said`, the event's body, have said, and adds what the request's head and the place say.
pub fn complete<'a>(
    event: &mut Event<'a>,
    request: &Request<'a>,
    said: &[u8],
    intake: &Intake<'a>,
) -> Result<(), Invalid> {
    check_parameters(event, intake).map_err(|invalid| invalid.named_as_sent(request, said))?;
    head::fields(event, request, intake);
    topic(event, intake)?;
    privacy::known(event, intake.privacy);
    let bytes = event.count();
    if bytes > intake.max_event {
        return Err(Invalid::TooLarge { bytes, limit: intake.max_event });
    }
    Ok(())
}

/// Takes what the place gives, first of all: so nobody can say otherwise. Of a name, the first.
fn given<'a>(event: &mut Event<'a>, intake: &Intake<'a>) {
    for given in intake.fields.iter().filter(|given| !given.value.is_empty()) {
        let (value, how) = (Span::Sent(given.value), intake.privacy.addresses);
        let value = match given.tells {
            Tells::Server => Some(value),
            Tells::Client => privacy::client(value, &mut event.text, how),
            Tells::Anything => privacy::among(value, &mut event.text, how),
        };
        let Some(value) = value else { continue };
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

/// Takes the first parameter of each name. A repeated one is not looked at, but for a second payload: nobody sends one
/// to have it dropped.
fn parameters<'a>(
    event: &mut Event<'a>,
    names: &mut Names,
    query: &'a [u8],
    part: &'static str,
    intake: &Intake<'a>,
) -> Result<(), Invalid> {
    for Pair { name, value } in query::pairs(query) {
        parameter(event, names, name, value, part, intake)?;
    }
    Ok(())
}

fn parameter<'a>(
    event: &mut Event<'a>,
    names: &mut Names,
    sent: Raw<'a>,
    value: Raw<'a>,
    part: &'static str,
    intake: &Intake<'a>,
) -> Result<(), Invalid> {
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
            } else if field == Field::Data {
                return Err(Invalid::TwoPayloads);
            }
        }
        None => custom(event, names, name, value, intake).map_err(|wrong| match wrong {
            Wrong::Percent(bad) => percent(bad),
            Wrong::Invalid(invalid) => invalid,
        })?,
    }
    Ok(())
}

/// Takes the text fields of a form in parts, as parameters.
fn parts<'a>(
    event: &mut Event<'a>,
    names: &mut Names,
    content_type: &'a [u8],
    body: &'a [u8],
    intake: &Intake<'a>,
) -> Result<(), Invalid> {
    for part in Parts::of(content_type, body)? {
        let Part { name, value, file } = part?;
        match file {
            // A file that nobody chose.
            Some(b"") if value.is_empty() => continue,
            Some(_) => return Err(Invalid::File { field: Shown(name).to_string() }),
            None => {
                let (name, value) = (Raw::literal(name), Raw::literal(value));
                parameter(event, names, name, value, "body", intake)?;
            }
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
    let limits = &intake.limits;
    if !is_name(bytes) || bytes.len() > limits.name {
        let field = Shown(bytes).to_string();
        return Err(Wrong::Invalid(Invalid::Name { field, limit: limits.name }));
    }
    // JSON shows a payload that is not text under this name.
    if bytes == b"data_base64" {
        return Err(Wrong::Invalid(Invalid::Reserved { field: "data_base64" }));
    }
    if names.own(&event.named) >= limits.fields {
        return Err(Wrong::Invalid(Invalid::TooMany { limit: limits.fields }));
    }
    let value = value.decode(&mut event.text).map_err(Wrong::Percent)?;
    let bytes = value.of(&event.text).len();
    if bytes > limits.value {
        let field = Shown(name.of(&event.text)).to_string();
        return Err(Wrong::Invalid(Invalid::TooLong { field, bytes, limit: limits.value }));
    }
    if !intake.privacy.takes(name.of(&event.text)) {
        return Ok(());
    }
    let value = match tells_address(name.of(&event.text)) {
        false => Some(value),
        true => privacy::client(value, &mut event.text, intake.privacy.addresses),
    };
    let Some(value) = value else { return Ok(()) };
    event.named.push(Named::text(name, value));
    names.add(&event.named, &event.text);
    Ok(())
}

/// Looks at those parameters that not every value suits.
pub fn check_parameters(event: &mut Event<'_>, intake: &Intake<'_>) -> Result<(), Invalid> {
    let limit = intake.limits.value;
    // The payload has a limit of its own.
    let texts = event.texts[..usize::from(Field::Data.id())].iter().enumerate();
    for (id, bytes) in texts.filter_map(|(id, span)| Some((id, span.as_ref()?.len()))) {
        if let (true, Some(field)) = (bytes > limit, Field::of_id(id as u8)) {
            return Err(Invalid::TooLong { field: field.name().into(), bytes, limit });
        }
    }
    if let Some(sent) = event.texts[usize::from(Field::Submitted.id())].take() {
        let text = sent.of(&event.text);
        let bad = |_| Invalid::Timestamp {
            field: Field::Submitted.name().into(),
            value: Shown(text).to_string(),
        };
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
    if !request.cloud.is_empty() {
        return attached(event, request, body, intake);
    }
    if body.is_empty() && !cloud::is_structured(request.content_type) {
        event.kind = DataKind::of(event.text_of(Field::Data).unwrap_or_default());
        return Ok(());
    }
    // Before anything looks at all of it.
    if body.len() > intake.max_event {
        return Err(Invalid::TooLarge { bytes: body.len(), limit: intake.max_event });
    }
    let depth = intake.limits.depth;
    let json = if request.content_type.is_some_and(json::says_json) {
        keys(event, request, body, depth)?;
        true
    } else {
        // What scripts and `curl -d` call text or a form. A number or a word stays a text.
        may_be_json(request.content_type)
            && opens(body)
            && keys(event, request, body, depth).is_ok()
    };
    if let (false, Some(kind)) = (json, request.content_type)
        && is_multipart(request.content_type)
    {
        parts(event, names, kind, body, intake)?;
        event.kind = DataKind::of(event.text_of(Field::Data).unwrap_or_default());
    } else if !json && is_form(request.content_type) && body.contains(&b'=') {
        parameters(event, names, body, "body", intake)?;
        event.kind = DataKind::of(event.text_of(Field::Data).unwrap_or_default());
    } else if event.text_of(Field::Data).is_some() {
        return Err(Invalid::TwoPayloads);
    } else {
        event.set_data(if json { DataKind::Json } else { DataKind::of(body) }, body);
        if !json && let Some(kind) = request.content_type.filter(|kind| says_more(kind)) {
            let name = Raw::literal(CONTENT_TYPE);
            parameter(event, names, name, Raw::literal(kind), "body", intake)?;
        }
    }
    Ok(())
}

/// The field that keeps the type of a payload that is neither JSON nor plain text.
const CONTENT_TYPE: &[u8] = b"content-type";

/// Whether a type says what the payload's kind does not.
fn says_more(content_type: &[u8]) -> bool {
    let utf8 = |charset: &[u8]| {
        [&b"utf-8"[..], b"utf8", b"us-ascii"].iter().any(|name| charset.eq_ignore_ascii_case(name))
    };
    match may_be_json(Some(content_type)) {
        true => multipart::parameter(content_type, "charset").is_some_and(|name| !utf8(name)),
        false => true,
    }
}

pub fn is_form(content_type: Option<&[u8]>) -> bool {
    let kind = content_type.map(json::media_type).unwrap_or_default();
    kind.eq_ignore_ascii_case(b"application/x-www-form-urlencoded")
}

/// Whether a body of this type is looked at, for it may be JSON though nobody says so.
pub fn may_be_json(content_type: Option<&[u8]>) -> bool {
    let kind = content_type.map(json::media_type).unwrap_or_default();
    kind.is_empty() || kind.eq_ignore_ascii_case(b"text/plain") || is_form(content_type)
}

/// Checks JSON, and takes the known keys of the outermost object. Nothing is taken when it is not JSON.
fn keys<'a>(
    event: &mut Event<'a>,
    request: &Request<'a>,
    body: &'a [u8],
    depth: usize,
) -> Result<(), Invalid> {
    let mut found = Found::new(cloud::is_structured(request.content_type));
    json::check(body, depth, |name, value| found.see(name, value))?;
    found.fill(event)
}

/// Takes a CloudEvent in binary mode: the body is its data, whatever is in it.
fn attached<'a>(
    event: &mut Event<'a>,
    request: &Request<'a>,
    body: &'a [u8],
    intake: &Intake<'a>,
) -> Result<(), Invalid> {
    if body.len() > intake.max_event {
        return Err(Invalid::TooLarge { bytes: body.len(), limit: intake.max_event });
    }
    if body.is_empty() {
        event.kind = DataKind::of(event.text_of(Field::Data).unwrap_or_default());
    } else if event.text_of(Field::Data).is_some() {
        return Err(Invalid::TwoPayloads);
    } else {
        let json = request.content_type.is_some_and(json::says_json);
        if json {
            json::check(body, intake.limits.depth, |_, _| {})?;
        }
        event.set_data(if json { DataKind::Json } else { DataKind::of(body) }, body);
    }
    // Senders give a type also to nothing.
    cloud::binary(event, request.cloud, request.content_type.filter(|_| !body.is_empty()))
}

/// Whether it begins as an object or an array does.
fn opens(body: &[u8]) -> bool {
    matches!(body.trim_ascii_start().first(), Some(b'{' | b'['))
}
