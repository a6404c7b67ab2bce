//! What is counted in a file outlives it: the next one carries its books on.

use super::*;

/// A file with this many events, none of them dead or lost but the first two, all passed; and the reader of it.
fn drained(dir: &Dir, lease: &Lease, blocks: u64, names: &[&str], count: u64) -> Reader {
    let ring = Ring::open_or_make(&dir.wanted(blocks)).unwrap();
    let mut writer = Writer::take(ring.again().unwrap()).unwrap();
    for n in 1..=count {
        writer.append(n, b"event").unwrap();
    }
    drop(writer);
    let named = configuration(Overflow::Reject, names);
    let mut reader = Reader::new(ring.again().unwrap(), lease, &named).unwrap();
    let passed = Cursor { acked: Seq(count), lost: 1, dead: 1, ..Cursor::default() };
    for place in 0..names.len() {
        reader.store(Who::Named(place), Stream(0), passed);
    }
    reader
}

/// (delivered, lost, dead, in the ring) of a name, with what was carried.
fn books(reader: &Reader, name: &str) -> (u64, u64, u64, u64) {
    let ledger = Ledger::read(reader.ring()).with_carried();
    let held = ledger.subscribers.iter().find(|held| held.name.as_str() == name).unwrap();
    let Books { committed, delivered, lost, dead, in_ring, .. } = held.books;
    assert_eq!(committed, delivered + lost + dead + in_ring, "the books close");
    (delivered, lost, dead, in_ring)
}

/// So many events that found no room, and that were denied.
fn refusals(full: u64, denied: u64) -> Refusals {
    let mut refusals = Refusals::default();
    refusals.add(Why::Full, full);
    refusals.add(Why::Denied, denied);
    refusals
}

#[test]
fn a_file_that_is_removed_leaves_its_books_to_the_one_that_takes_events() {
    let dir = Dir::new("carried");
    let lease = Lease::try_take(&dir.0).unwrap().unwrap();
    let mut first = drained(&dir, &lease, 8, &["kafka", "other"], 10);
    let mut second = drained(&dir, &lease, 16, &["other", "kafka"], 5);
    assert_eq!(books(&second, "kafka"), (3, 1, 1, 0));
    let other = Cursor { acked: Seq(10), lost: 4, ..Cursor::default() };
    first.store(Who::Named(1), Stream(0), other);
    first.ring().view().add_refusals(&refusals(5, 2));
    second.ring().view().add_refusals(&refusals(1, 0));
    assert!(first.remove_if_drained(false, Some(&mut second)).unwrap());
    assert_eq!(second.ring().carried_last(), 1);
    assert_eq!(Ledger::read(second.ring()).refusals, refusals(1, 0), "its own");
    assert_eq!(books(&second, "kafka"), (11, 2, 2, 0), "by name, not by place");
    assert_eq!(books(&second, "other"), (9, 5, 1, 0), "each has its own");
    let own = Ledger::read(second.ring());
    assert_eq!(own.subscribers[0].books.delivered, 3, "its own are its own still");

    let mut third = drained(&dir, &lease, 8, &["kafka"], 2);
    assert!(second.remove_if_drained(false, Some(&mut third)).unwrap());
    assert_eq!(books(&third, "kafka"), (11, 3, 3, 0), "what it carried is carried on");
    assert_eq!(Ledger::read(third.ring()).with_carried().refusals, refusals(6, 2));
    assert_eq!(third.ring().carried_last(), 2);
}

#[test]
fn what_is_uncertain_in_a_file_that_goes_stays_so_for_who_was_told_that() {
    let dir = Dir::new("carried-uncertain");
    let lease = Lease::try_take(&dir.0).unwrap().unwrap();
    let mut first = drained(&dir, &lease, 8, &["kafka", "other"], 10);
    let mut second = drained(&dir, &lease, 16, &["kafka", "other"], 5);
    let told = Cursor { acked: Seq(10), uncertain: 3, uncertain_open: true, ..Cursor::default() };
    first.store(Who::Named(0), Stream(0), told);
    assert!(first.remove_if_drained(false, Some(&mut second)).unwrap());
    let ledger = Ledger::read(second.ring()).with_carried();
    let uncertain = |n: usize| {
        let Books { committed, uncertain, uncertain_open, .. } = ledger.subscribers[n].books;
        (committed, uncertain, uncertain_open)
    };
    assert_eq!((uncertain(0), uncertain(1)), ((15, 3, true), (15, 0, false)));
}

#[test]
fn a_file_that_stays_leaves_nothing() {
    let dir = Dir::new("not-carried");
    let lease = Lease::try_take(&dir.0).unwrap().unwrap();
    let mut first = drained(&dir, &lease, 8, &["kafka"], 10);
    let used = Ring::open_or_make(&dir.wanted(8)).unwrap();
    let mut second = drained(&dir, &lease, 16, &["kafka"], 5);
    assert!(!first.remove_if_drained(false, Some(&mut second)).unwrap(), "somebody uses it");
    drop(used);
    let behind = Cursor { acked: Seq(9), ..Cursor::default() };
    first.store(Who::Named(0), Stream(0), behind);
    assert!(!first.remove_if_drained(false, Some(&mut second)).unwrap(), "one is not passed");
    assert_eq!(books(&second, "kafka"), (3, 1, 1, 0));
    assert_eq!(second.ring().carried_last(), 0);
}

#[test]
fn a_name_that_gets_the_place_of_another_has_none_of_what_was_carried_for_that_one() {
    let dir = Dir::new("carried-place");
    let lease = Lease::try_take(&dir.0).unwrap().unwrap();
    let names = ["one", "two", "three", "four"];
    let mut first = drained(&dir, &lease, 8, &names, 10);
    let mut second = drained(&dir, &lease, 16, &names, 5);
    assert!(first.remove_if_drained(false, Some(&mut second)).unwrap());
    let ring = second.ring().again().unwrap();
    drop(second);
    let now =
        Configuration { configured_at: 2, ..configuration(Overflow::Reject, &["one", "new"]) };
    let second = Reader::new(ring, &lease, &now).unwrap();
    assert_eq!(books(&second, "one"), (11, 2, 2, 0));
    assert_eq!(books(&second, "new").0, 0);
}

#[test]
fn heartbeats_of_a_file_that_is_removed_are_heartbeats_in_its_heirs_books() {
    let dir = Dir::new("carried-beats");
    let lease = Lease::try_take(&dir.0).unwrap().unwrap();
    let ring = Ring::open_or_make(&dir.wanted(8)).unwrap();
    let mut writer = Writer::take(ring.again().unwrap()).unwrap();
    writer.append(1, b"event").unwrap();
    writer.append_heartbeat(2, b"beat").unwrap();
    drop(writer);
    let named = configuration(Overflow::Reject, &["kafka"]);
    let mut first = Reader::new(ring, &lease, &named).unwrap();
    let passed = Cursor { acked: Seq(2), ..Cursor::default() };
    first.store(Who::Named(0), Stream(0), passed);
    let mut second = drained(&dir, &lease, 16, &["kafka"], 5);
    assert!(first.remove_if_drained(false, Some(&mut second)).unwrap());
    let ledger = Ledger::read(second.ring()).with_carried();
    let Books { delivered, heartbeats, .. } = ledger.subscribers[0].books;
    assert_eq!((delivered, heartbeats), (3 + 2, 1));
}

#[test]
fn what_is_in_a_file_that_nobody_finds_again_is_lost_in_its_heirs_books() {
    let dir = Dir::new("buried");
    let lease = Lease::try_take(&dir.0).unwrap().unwrap();
    let mut first = drained(&dir, &lease, 8, &["kafka", "other"], 10);
    let three = Cursor { acked: Seq(3), ..Cursor::default() };
    first.store(Who::Named(0), Stream(0), three);
    let mut second = drained(&dir, &lease, 16, &["kafka"], 5);
    let lost = first.bury(Some(&mut second));
    let lost: Vec<_> = lost.iter().map(|(name, events)| (name.as_str(), *events)).collect();
    assert_eq!(lost, [("kafka", 7), ("other", 0)]);
    assert_eq!(books(&second, "kafka"), (3 + 3, 1 + 7, 1, 0));
    assert_eq!(second.ring().carried_last(), first.ring().number());
    assert_eq!(first.bury(None).len(), 2, "in no books");
    assert_eq!(books(&second, "kafka"), (3 + 3, 1 + 7, 1, 0));
}
