//! What an object of JSON says, collected while it is checked: known keys, or all members of a CloudEvent.

use super::{Event, Invalid, MOST_HEADERS, TEXTS, cloud, json};
use crate::field::Field;

/// The known keys of an object of JSON, the first of each, as they were sent; of a CloudEvent all.
pub struct Found<'a> {
    known: [&'a [u8]; TEXTS],
    /// Which of them are there: a bit each.
    there: u16,
    members: Option<Vec<(&'a [u8], &'a [u8])>>,
}

impl<'a> Found<'a> {
    /// None yet, of a CloudEvent or not.
    pub fn new(cloud: bool) -> Found<'a> {
        Found { known: [&[]; TEXTS], there: 0, members: cloud.then(Vec::new) }
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
        let Some(field) = Field::of_parameter(name).map(Field::id) else { return };
        if let (Some(place), 0) = (self.known.get_mut(usize::from(field)), self.there >> field & 1)
        {
            *place = value;
            self.there |= 1 << field;
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
        let own = 1 << Field::Data.id() | 1 << Field::TimeStamp.id();
        let mut left = self.there & !own;
        while left != 0 {
            let at = left.trailing_zeros() as usize;
            left &= left - 1;
            let said = at == usize::from(Field::Submitted.id()) && event.submitted.is_some();
            if event.texts[at].is_none() && !said {
                event.texts[at] = json::text(self.known[at], &mut event.text);
            }
        }
        Ok(())
    }
}
