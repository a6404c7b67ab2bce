//! What the events of one body have in common, and the memory for each of them in turn.

use std::io::Write;

use super::found::Found;
use super::read::{check_parameters, complete, query};
use super::{Event, Intake, Invalid, Request, Spare, TEXTS};
use crate::field::{DataKind, Field};
use crate::query::Span;
use crate::time::Millis;

/// See the head of this file.
pub struct Base<'a> {
    event: Event<'a>,
    /// As it was before any of them.
    texts: [Option<Span<'a>>; TEXTS],
    submitted: Option<Millis>,
    named: usize,
    headers: usize,
    text: usize,
    /// What the query calls all of them.
    id: Option<Vec<u8>>,
}

impl<'a> Base<'a> {
    /// What the query says.
    ///
    /// # Errors
    /// [`Invalid`], which is so for each of them.
    pub fn of(
        spare: Spare,
        request: &Request<'a>,
        intake: &Intake<'a>,
    ) -> Result<Base<'a>, Invalid> {
        let mut event = Event::new(spare, Millis::of_nanos(request.received));
        query(&mut event, request, intake)?;
        if event.text_of(Field::Data).is_some() {
            return Err(Invalid::TwoPayloads);
        }
        check_parameters(&mut event, intake)
            .map_err(|invalid| invalid.named_as_sent(request, &[]))?;
        let id = event.text_of(Field::Id).map(<[u8]>::to_vec);
        event.texts[usize::from(Field::Id.id())] = None;
        let (texts, submitted) = (event.texts, event.submitted);
        let (named, headers) = (event.named.len(), event.headers.len());
        let text = event.text.len();
        Ok(Base { event, texts, submitted, named, headers, text, id })
    }

    /// The event of one element, which `each` is shown; what `each` says is passed on.
    pub fn event(
        &mut self,
        index: usize,
        element: &'a [u8],
        found: &Found<'a>,
        request: &Request<'a>,
        intake: &Intake<'a>,
        each: &mut impl FnMut(usize, Result<&Event<'a>, Invalid>) -> Result<(), Invalid>,
    ) -> Result<(), Invalid> {
        let event = &mut self.event;
        (event.texts, event.submitted, event.counted) = (self.texts, self.submitted, None);
        event.named.truncate(self.named);
        event.headers.truncate(self.headers);
        event.text.truncate(self.text);
        event.set_data(DataKind::Json, element);
        if let Err(invalid) = found.fill(event) {
            return each(index, Err(invalid));
        }
        let own = &mut event.texts[usize::from(Field::Id.id())];
        if let (None, Some(id)) = (&own, &self.id) {
            let start = event.text.len();
            event.text.extend_from_slice(id);
            // Writing to memory does not fail.
            let _ = write!(event.text, "-{index}");
            let len = (event.text.len() - start) as u32;
            *own = Some(Span::Decoded { start: start as u32, len });
        }
        match complete(event, request, element, intake) {
            Ok(()) => each(index, Ok(event)),
            Err(invalid) => each(index, Err(invalid)),
        }
    }

    /// Gives its memory to the next event.
    pub fn into_spare(self) -> Spare {
        self.event.into_spare()
    }
}
