//! What the head of a request says: fields, where no parameter said them, and Kafka headers.

use super::{Event, Intake, Invalid, MOST_HEADERS, Named, Request, cloud, privacy, tells_address};
use crate::escape::Shown;
use crate::field::{COOKIE, Field, is_name};
use crate::query::Span;

/// Fills in what the request's head says, where no parameter said it.
pub fn fields<'a>(event: &mut Event<'a>, request: &Request<'a>, intake: &Intake<'a>) {
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

/// Takes what becomes Kafka headers. Those of our own say where a record comes from: nobody
/// else may write them. Nor those that make a record a CloudEvent: what is one was checked.
pub fn kafka_headers<'a>(
    event: &mut Event<'a>,
    request: &Request<'a>,
    intake: &Intake<'a>,
) -> Result<(), Invalid> {
    if request.headers.len() > MOST_HEADERS {
        return Err(Invalid::TooManyHeaders);
    }
    for (name, value) in request.headers {
        let ours = *name == b"sg" || name.starts_with(b"sparkngin-");
        if !is_name(name) || ours || name.starts_with(cloud::PREFIX) {
            let name = Shown(name).to_string();
            let field = format!("Sparkngin-Header-{name}");
            return Err(Invalid::Header { name, field });
        }
        if cloud::is_claim(name, value) {
            return Err(Invalid::Claim);
        }
        let whole_cookie = *name == b"cookie" && intake.privacy.cookies.is_some();
        if whole_cookie || !intake.privacy.takes(name) {
            continue;
        }
        let value = match tells_address(name) {
            false => Some(Span::Sent(value)),
            true => {
                let how = intake.privacy.addresses;
                privacy::client(Span::Sent(value), &mut event.text, how)
            }
        };
        event.headers.extend(value.map(|value| Named::text(Span::Sent(name), value)));
    }
    Ok(())
}
