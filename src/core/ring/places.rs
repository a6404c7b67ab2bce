//! Where each subscriber's cursors are: four places in every slot, given to names by the holder of the lease.

use super::configuration::{Configuration, Held, Name, Written};
use super::cursor::{self, Cursor};
use super::layout::{NAMES, presence, progress};
use super::memory::Memory;
use super::scan::{Sampled, Scan};
use super::view::View;

/// Writes policy and names. A name that is there already keeps its place and its cursors; a new one starts at the oldest
/// event still there. Gives each configured name's place.
///
/// A kill at any step leaves no name with another's cursors: a place loses its old name, then its cursors are set, then
/// it gets the new name, and each is one switch.
pub(super) fn settle<M: Memory>(view: &View<M>, configuration: &Configuration) -> Vec<usize> {
    let Configuration { policy, subscribers, configured_at } = configuration;
    debug_assert!(subscribers.len() <= NAMES);
    let mut written = Written::read(view);
    written.policy = Some(*policy);
    written.configured_at = *configured_at;
    for held in written.places.iter_mut().flatten() {
        held.active = subscribers.contains(&held.name);
    }
    let known = |name: &&Name| !written.places.iter().flatten().any(|held| held.name == **name);
    let fresh: Vec<Name> = subscribers.iter().filter(known).cloned().collect();
    let places = vacate(&mut written, fresh.len());
    if !fresh.is_empty() {
        written.store(view);
        start(view, &places);
    }
    for (name, place) in fresh.into_iter().zip(places) {
        written.places[place] = Some(Held { name, active: true });
    }
    written.store(view);
    let place = |name| written.active().find(|(_, n)| *n == name).map(|(place, _)| place);
    subscribers.iter().filter_map(place).collect()
}

/// So many places for new names: empty ones first, then those of names that left, which are forgotten.
fn vacate(written: &mut Written, count: usize) -> Vec<usize> {
    let free = |place: &usize| !written.places[*place].as_ref().is_some_and(|held| held.active);
    let mut places: Vec<usize> = (0..NAMES).filter(free).collect();
    places.sort_by_key(|place| written.places[*place].is_some());
    places.truncate(count);
    for place in &places {
        written.places[*place] = None;
    }
    places
}

/// The cursors of new names, at the oldest event still there.
fn start<M: Memory>(view: &View<M>, places: &[usize]) {
    let scan = Scan::look(view, Sampled::take(view), &mut Vec::new());
    for place in places {
        let (connected, beat) = presence(*place);
        view.store(connected, 0);
        view.store(beat, 0);
        let (ack, holds) = progress(*place);
        view.store(ack, 0);
        view.store(holds, 0);
        for stream in view.streams() {
            let oldest = scan.of(stream).first().map_or(scan.last(stream), |b| b.before());
            let cursor = Cursor { start: oldest, acked: oldest, ..Cursor::default() };
            cursor::store(view, stream, place + 1, cursor);
        }
    }
}
