//! What an object of JSON says, collected while it is checked: known keys, or all members of a CloudEvent.

use super::{Event, Invalid, MOST_HEADERS, TEXTS, cloud, json};
use crate::field::Field;

/// The known keys of an object of JSON, the first of each, as they were sent; of a CloudEvent all.
pub struct Found<'a> {
    known: [Option<&'a [u8]>; TEXTS],
    members: Option<Vec<(&'a [u8], &'a [u8])>>,
}

impl<'a> Found<'a> {
    /// None yet, of a CloudEvent or not.
    pub fn new(cloud: bool) -> Found<'a> {
        Found { known: [None; TEXTS], members: cloud.then(Vec::new) }
    }

    /// A member of the object.
    pub fn see(&mut self, name: &'a [u8], value: &'a [u8]) {
        if let Some(members) = &mut self.members {
            // A member that is null is none. One more than there may be is seen to be too many.
            if members.len() <= MOST_HEADERS && value != b"null" {
                members.push((name, value));
            }
            return;
        }
        if let Some(b'[' | b'{' | b'n') = value.first() {
            return;
        }
        let field = Field::of_parameter(name);
        let place = field.and_then(|field| self.known.get_mut(usize::from(field.id())));
        if let Some(place @ None) = place {
            *place = Some(value);
        }
    }

    /// Sets each field that nothing has set. The payload stays whole, so what cannot be a field's value is no error.
    ///
    /// # Errors
    /// Of a CloudEvent [`Invalid::Cloud`].
    pub fn fill(&self, event: &mut Event<'a>) -> Result<(), Invalid> {
        if let Some(members) = &self.members {
            return cloud::structured(event, members);
        }
        let own = [Field::Data, Field::TimeStamp].map(|field| usize::from(field.id()));
        for (at, value) in self.known.iter().enumerate() {
            let (Some(value), None, false) = (value, event.texts[at], own.contains(&at)) else {
                continue;
            };
            if at == usize::from(Field::Submitted.id()) && event.submitted.is_some() {
                continue;
            }
            event.texts[at] = json::text(value, &mut event.text);
        }
        Ok(())
    }
}
