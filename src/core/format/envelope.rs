//! The envelope format: one JSON object of a header, custom fields, and the payload.
//!
//! ```text
//! {"header":{"version","topic","key","env","level","type","ip","timestamp","submitted_timestamp","id"},
//!  "fields":{...},
//!  "data":{"type":"json"|"text"|"bytes","data":...}}
//! ```
//!
//! The list of fields says which are there, the envelope where. What has no place in the header stands in `fields` under
//! its own name: `user-agent`, `referrer`, `cookie`, single cookies, custom fields, `sg`. `fields` and `data` are left
//! out when nothing is in them; `header` never is. Values as in JSON, but for bytes: base64 in `data`, as `type` says.

use super::Chosen;
use super::json::{Object, string, value};
use crate::field::{Field, Name, Value};

/// The header's members, in order.
const HEADER: [(&str, Field); 10] = [
    ("version", Field::Version),
    ("topic", Field::Topic),
    ("key", Field::Key),
    ("env", Field::Env),
    ("level", Field::Level),
    ("type", Field::Type),
    ("ip", Field::Ip),
    ("timestamp", Field::TimeStamp),
    ("submitted_timestamp", Field::Submitted),
    ("id", Field::Id),
];

/// Appends the chosen fields.
pub(super) fn write(chosen: &Chosen<'_, '_>, out: &mut Vec<u8>) {
    let mut asked = 0_u32;
    chosen.each(|name, _| {
        if let Name::Known(field) = name {
            asked |= 1 << field.id();
        }
    });
    let known = |field: Field| {
        if asked & (1 << field.id()) == 0 { None } else { chosen.event.known(field) }
    };
    out.extend_from_slice(b"{\"header\":");
    let mut header = Object::open(out);
    for (member, field) in HEADER {
        if let Some(held) = known(field) {
            header.plain_key(member);
            value(held, header.out);
        }
    }
    header.close();
    fields(chosen, out);
    if let Some(Value::Data(kind, bytes)) = known(Field::Data) {
        out.extend_from_slice(b",\"data\":{\"type\":");
        string(kind.name().as_bytes(), out);
        out.extend_from_slice(b",\"data\":");
        value(Value::Data(kind, bytes), out);
        out.push(b'}');
    }
    out.push(b'}');
}

/// Appends the member `fields`, if anything is in it.
fn fields(chosen: &Chosen<'_, '_>, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(b",\"fields\":");
    let mut object = Object::open(out);
    chosen.each(|name, held| {
        let elsewhere = |field| field == Field::Data || HEADER.iter().any(|(_, at)| *at == field);
        match (name, held) {
            (Name::Known(field), _) if elsewhere(field) => {}
            (name, Some(held)) => {
                object.key(name.bytes());
                value(held, object.out);
            }
            (_, None) => {}
        }
    });
    if object.empty() {
        out.truncate(start);
    } else {
        object.close();
    }
}
