//! Where each subscriber's cursors are: four places in every slot, given to names by the holder of the lease.

use super::carried::Carried;
use super::configuration::{Configuration, Held, Name, Overflow, Written, store_took};
use super::cursor::{self, Cursor};
use super::layout::{NAMES, presence, progress};
use super::memory::Memory;
use super::scan::Scan;
use super::view::View;
use super::word::Phase;
use crate::id::{Seq, Stream};

/// Writes policy and names. A name that is there already keeps its place and its cursors; a new one starts at the oldest
/// event still there. Gives each configured name's place; None when there is none left for one of them.
///
/// What a newer configuration wrote before `now` (ns since 1970) stays: who publishes by an older one, since nobody else
/// does it, serves the names of its own, but they hold nothing back unless the newer one says so.
///
/// A kill at any step leaves no name with another's cursors: a place loses its old name, then its cursors are set, then
/// it gets the new name, and each is one switch.
///
/// `look` is how to look at the ring, if that is needed.
pub(super) fn settle<M: Memory>(
    view: &View<M>,
    configuration: &Configuration,
    now: u64,
    look: impl FnOnce() -> Scan,
) -> Option<Vec<usize>> {
    let Configuration { policy, subscribers, configured_at } = configuration;
    debug_assert!(subscribers.len() <= NAMES);
    let before = Written::read(view);
    let mut written = before.clone();
    // A time to come is a clock's error: it must not keep every configuration out until then.
    let older = *configured_at < written.configured_at && written.configured_at <= now;
    if !older {
        written.policy = Some(*policy);
        written.configured_at = *configured_at;
        for held in written.places.iter_mut().flatten() {
            held.active = subscribers.contains(&held.name);
        }
    }
    let known = |name: &&Name| !written.places.iter().flatten().any(|held| held.name == **name);
    let fresh: Vec<Name> = subscribers.iter().filter(known).cloned().collect();
    let places = vacate(&mut written, fresh.len(), subscribers)?;
    if !fresh.is_empty() {
        // Overwritten is only what was before and is to be: the rest is the new names' own, from the look on.
        let policy = written.policy.filter(|new| *new == Overflow::Reject).or(before.policy);
        let configured_at = before.configured_at;
        Written { policy, configured_at, ..written.clone() }.store(view);
        start(view, &look(), &places);
        Carried::forget(view, &places);
    }
    for (name, place) in fresh.into_iter().zip(places) {
        written.places[place] = Some(Held { name, active: !older });
    }
    written.store(view);
    let is =
        |held: &Option<Held>, name: &Name| held.as_ref().is_some_and(|held| held.name == *name);
    let place = |name: &Name| written.places.iter().position(|held| is(held, name));
    subscribers.iter().map(place).collect()
}

/// So many places for new names: empty ones first, then those of names that left and are not to `keep`, which are
/// forgotten. None, and nothing is forgotten, when there are not as many.
fn vacate(written: &mut Written, count: usize, keep: &[Name]) -> Option<Vec<usize>> {
    let kept = |held: &Held| held.active || keep.contains(&held.name);
    let free = |place: &usize| !written.places[*place].as_ref().is_some_and(kept);
    let mut places: Vec<usize> = (0..NAMES).filter(free).collect();
    places.sort_by_key(|place| written.places[*place].is_some());
    if places.len() < count {
        return None;
    }
    places.truncate(count);
    for place in &places {
        written.places[*place] = None;
    }
    Some(places)
}

/// The cursors of new names, at the oldest event still there.
fn start<M: Memory>(view: &View<M>, scan: &Scan, places: &[usize]) {
    for place in places {
        let (connected, beat) = presence(*place);
        view.store(connected, 0);
        view.store(beat, 0);
        let (ack, holds) = progress(*place);
        view.store(ack, 0);
        view.store(holds, 0);
        store_took(view, *place, None);
        for stream in scan.streams() {
            let oldest = scan.of(stream).first().map_or(scan.last(stream), |b| b.before());
            let unheld = unheld(scan, stream);
            let cursor = Cursor { start: oldest, acked: oldest, unheld, ..Cursor::default() };
            cursor::store(view, stream, place + 1, cursor);
        }
    }
}

/// Up to where a stream's events lie in FREE blocks, which any writer may claim before a new name has read them.
fn unheld(scan: &Scan, stream: Stream) -> Seq {
    let blocks = scan.of(stream);
    let held = blocks.iter().find(|block| block.state.phase != Phase::Free);
    let free = blocks.iter().filter_map(|block| block.last).max();
    held.map_or(free.unwrap_or(scan.last(stream)), |block| block.before())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Region;
    use crate::ring::configuration::policy as policy_now;
    use crate::ring::known::Known;
    use crate::ring::layout::{Geometry, Layout};
    use crate::ring::memory::Heap;
    use crate::ring::scan::Sampled;

    #[test]
    fn while_a_new_name_gets_its_place_nothing_is_overwritten_unless_it_was_before_and_is_to_be() {
        use Overflow::{Overwrite, Reject};
        let layout = Layout::new(Geometry { blocks: 2, block_bytes: 64, slots: 1 });
        let view = View { memory: Heap::new(layout.words()), layout, region: Region(7) };
        let settled = |policy, names: &[&str], configured_at| {
            let subscribers = names.iter().map(|name| name.parse().unwrap()).collect();
            let configuration = Configuration { policy, subscribers, configured_at };
            let mut seen = None;
            let places = settle(&view, &configuration, 9, || {
                let written = Written::read(&view);
                let active = written.active().count();
                seen = Some((policy_now(&view), written.configured_at, active));
                Scan::look(&view, Sampled::take(&view), &mut Known::default())
            });
            assert_eq!(places.unwrap().len(), names.len());
            assert_eq!(
                (policy_now(&view), Written::read(&view).active().count()),
                (policy, names.len())
            );
            seen
        };
        assert_eq!(settled(Overwrite, &["a"], 1), Some((Reject, 0, 0)), "nobody said it before");
        assert_eq!(settled(Overwrite, &["a", "b"], 2), Some((Overwrite, 1, 1)));
        assert_eq!(settled(Reject, &["a", "b", "c"], 3), Some((Reject, 2, 2)), "no more is lost");
        assert_eq!(settled(Overwrite, &["a", "b", "c"], 4), None, "nobody is new");
    }
}
