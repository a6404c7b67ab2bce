//! Several files in a directory: what makes a new one, what is drained and removed, what is left alone.

use std::fs::File;
use std::os::unix::fs::symlink;

use super::*;

/// Numbers of the rings that a publisher finds, and of those it leaves alone with the reason.
fn found(dir: &Dir) -> (Vec<u64>, Vec<(u64, String)>) {
    let found = Ring::find_all(&dir.0, |_| false).unwrap();
    let left = found.left_alone.iter().map(|left| (left.number, left.why.to_string()));
    (found.rings.iter().map(Ring::number).collect(), left.collect())
}

/// The number of the ring that is opened.
fn opened(wanted: &Wanted) -> u64 {
    Ring::open_or_make(wanted).unwrap().number()
}

#[test]
fn a_ring_of_another_size_block_size_or_boot_or_a_poisoned_one_has_a_new_file_beside_it() {
    let dir = Dir::new("beside");
    assert_eq!(opened(&dir.wanted(8)), 1);
    assert_eq!(opened(&dir.wanted(16)), 2, "another size");
    assert_eq!(opened(&dir.wanted(16)), 2, "it is there now");
    let blocks = Wanted { block_bytes: 8192, ..dir.wanted(16) };
    assert_eq!(opened(&blocks), 3, "another block size");
    Ring::open_or_make(&blocks).unwrap().view().poison();
    assert_eq!(opened(&blocks), 4, "poisoned");
    forge(&dir.0.join("ring.4"), 8, 1);
    assert_eq!(opened(&blocks), 5, "another boot");
    let rings = Ring::find_all(&dir.0, |_| false).unwrap().rings;
    let alive: Vec<_> = rings.iter().map(Ring::alive).collect();
    assert_eq!(alive, [true, true, false, false, true]);
    let mut regions: Vec<_> = rings.iter().map(Ring::region).collect();
    regions.sort();
    regions.dedup();
    assert_eq!(regions.len(), 5, "each has a name of its own");
    assert!(matches!(Writer::take(rings[3].again().unwrap()), Err(NoSlot::ReadOnly)));
    assert!(matches!(Writer::take(rings[2].again().unwrap()), Err(NoSlot::Poisoned)));
}

#[test]
fn what_is_no_ring_of_ours_is_left_alone_and_keeps_nobody_from_a_new_one() {
    let dir = Dir::new("strangers");
    let path = left(&dir);
    let before = fs::read(&path).unwrap();
    let expect = |why: &str, damage: &dyn Fn()| {
        fs::write(&path, &before).unwrap();
        damage();
        let bytes = fs::read(&path).unwrap();
        let made = opened(&dir.wanted(8));
        assert!(made > 1, "{why}");
        let (rings, left) = found(&dir);
        assert_eq!(rings, [made], "{why}");
        assert!(left.len() == 1 && left[0].0 == 1 && left[0].1.contains(why), "{left:?}");
        assert!(fs::read(&path).unwrap() == bytes, "{why}: it was written to");
        fs::remove_file(dir.0.join(format!("ring.{made}"))).unwrap();
    };
    expect("it is a copy", &|| forge(&path, 10, 1));
    expect("its layout is version 2", &|| forge(&path, 1, VERSION + 1));
    for damage in [0, 16, 24, 32, 40] {
        expect("not a ring's file", &|| {
            let file = OpenOptions::new().write(true).open(&path).unwrap();
            file.write_all_at(&[0xEE; 4], damage).unwrap();
        });
    }
    let shorten = |bytes| File::options().write(true).open(&path).unwrap().set_len(bytes).unwrap();
    expect("not a ring's file", &|| shorten(100));
    expect(
        &format!("cut off: a ring's file of {} bytes by its head, and 8192", before.len()),
        &|| shorten(8192),
    );
    // A real copy: another inode in its place.
    fs::write(&path, &before).unwrap();
    let copy = dir.0.join("copy");
    fs::copy(&path, &copy).unwrap();
    fs::rename(&copy, &path).unwrap();
    let made = opened(&dir.wanted(8));
    assert!(made > 1 && found(&dir).0 == [made]);
}

#[test]
fn no_link_is_followed_and_no_other_kind_of_file_opened() {
    let dir = Dir::new("links");
    let elsewhere = Dir::new("elsewhere");
    let path = left(&elsewhere);
    symlink(&path, dir.0.join("ring.1")).unwrap();
    Fifo::open(&dir.0, "ring.2").unwrap();
    fs::create_dir(dir.0.join("ring.3")).unwrap();
    assert_eq!(opened(&dir.wanted(8)), 4);
    let (rings, left) = found(&dir);
    assert_eq!(rings, [4]);
    assert!(left[0].1.starts_with("it cannot be read: Too many levels"), "{left:?}");
    assert!(left[1].1.contains("not a ring's file"), "{left:?}");
    assert!(left[2].1.starts_with("it cannot be read: Is a directory"), "{left:?}");
    fs::write(dir.0.join("bell"), b"").unwrap();
    let sentence = Fifo::open(&dir.0, "bell").err().unwrap().to_string();
    assert!(sentence.contains("is not a FIFO"), "{sentence}");
}

#[test]
fn a_drained_file_is_removed_only_when_nobody_uses_it_and_nothing_is_left_in_it() {
    let dir = Dir::new("drained");
    let old = Ring::open_or_make(&dir.wanted(8)).unwrap();
    let mut writer = Writer::take(old.again().unwrap()).unwrap();
    writer.append(1, b"one").unwrap();
    let lease = Lease::try_take(&dir.0).unwrap().unwrap();
    let named = configuration(Overflow::Reject, &["kafka"]);
    let mut readers: Vec<_> = Ring::find_all(&dir.0, |_| false)
        .unwrap()
        .rings
        .into_iter()
        .map(|ring| Reader::new(ring, &lease, &named).unwrap())
        .collect();
    let reader = &mut readers[0];
    drop(old);
    assert!(!reader.remove_if_drained(false, None).unwrap(), "a writer uses it");
    writer.append(1, b"two").unwrap();
    drop(writer);
    assert!(!reader.remove_if_drained(false, None).unwrap(), "nothing is acknowledged");
    let stream = reader.streams().next().unwrap();
    reader.store(Who::Named(0), stream, Cursor { acked: Seq(1), ..Cursor::default() });
    assert!(!reader.remove_if_drained(false, None).unwrap(), "one event is not");
    assert_eq!(opened(&dir.wanted(8)), 1, "it is there for who wants it");
    reader.store(Who::Named(0), stream, Cursor { acked: Seq(2), ..Cursor::default() });
    assert!(reader.remove_if_drained(false, None).unwrap());
    assert!(!dir.0.join("ring.1").exists());
    drop(readers);
    assert_eq!(opened(&dir.wanted(8)), 2, "no number is used twice");
}

#[test]
fn a_file_whose_name_is_gone_takes_its_bells_along_unless_the_name_is_anothers() {
    for taken in [false, true] {
        let dir = Dir::new("its-bells");
        let lease = Lease::try_take(&dir.0).unwrap().unwrap();
        let ring = Ring::open_or_make(&dir.wanted(8)).unwrap();
        drop(Waiter::new(ring.again().unwrap(), Stream(0)).unwrap());
        let nobody = configuration(Overflow::Overwrite, &[]);
        let mut reader = Reader::new(ring, &lease, &nobody).unwrap();
        let bells = || fs::read_dir(&dir.0).unwrap().flatten().filter(is_a_bell).count();
        assert_eq!(bells(), 1);
        fs::remove_file(dir.0.join("ring.1")).unwrap();
        if taken {
            fs::write(dir.0.join("ring.1"), b"another's").unwrap();
        }
        assert!(reader.remove_if_drained(true, None).unwrap());
        assert_eq!((bells(), dir.0.join("ring.1").exists()), (usize::from(taken), taken));
    }
}

fn is_a_bell(entry: &fs::DirEntry) -> bool {
    entry.file_name().to_str().is_some_and(|name| name.starts_with("bell."))
}

#[test]
fn who_gives_a_file_up_has_nothing_more_written_to_it_and_wakes_who_waits() {
    let dir = Dir::new("given-up");
    let ring = Ring::open_or_make(&dir.wanted(8)).unwrap();
    let mut writer = Writer::take(ring.again().unwrap()).unwrap();
    let lease = Lease::try_take(&dir.0).unwrap().unwrap();
    let nobody = configuration(Overflow::Overwrite, &[]);
    let mut reader = Reader::new(ring.again().unwrap(), &lease, &nobody).unwrap();
    let waiter = Waiter::new(ring.again().unwrap(), writer.stream()).unwrap();
    waiter.bell().arm();
    reader.give_up();
    assert!(matches!(writer.append(1, b"x"), Err(Refused::Poisoned)));
    assert!(rung(&waiter.bell()), "its worker is told");
}

#[test]
fn that_there_is_no_room_for_the_file_that_will_be_made_is_told_before_anybody_makes_it() {
    let dir = Dir::new("no-room");
    let huge = Wanted { bytes: 1 << 44, ..dir.wanted(8) };
    assert_eq!(dir.wanted(8).no_room(), None);
    let text = huge.no_room().unwrap();
    assert!(
        text.starts_with("there is no room in \"") && text.ends_with("503 until there is"),
        "{text}"
    );
    let below = Wanted { dir: dir.0.join("not/there"), ..huge.clone() };
    assert!(below.no_room().unwrap().contains("not/there"), "its directory is made later");
    fs::write(dir.0.join("ring.7"), b"no ring of ours").unwrap();
    assert!(huge.no_room().is_some());
    let ring = Ring::open_or_make(&dir.wanted(8)).unwrap();
    assert_eq!(huge.no_room(), None, "what is there is used on");
    ring.view().poison();
    assert!(huge.no_room().is_some(), "it takes no events any more");
    forge(&ring.path().to_path_buf(), 8, 1);
    assert!(huge.no_room().is_some(), "it is another boot's");
}

#[test]
fn without_a_name_a_file_is_kept_until_live_has_passed_it_or_that_is_enough() {
    let dir = Dir::new("passed");
    events(&dir, 2);
    let lease = Lease::try_take(&dir.0).unwrap().unwrap();
    let nobody = configuration(Overflow::Overwrite, &[]);
    let ring = Ring::find_all(&dir.0, |_| false).unwrap().rings.remove(0);
    assert!(!ring.has_wrapped());
    let mut reader = Reader::new(ring, &lease, &nobody).unwrap();
    let scan = reader.scan();
    assert!(!reader.drained(&scan, false) && reader.drained(&scan, true));
    assert!(!reader.remove_if_drained(false, None).unwrap());
    reader.store(Who::Live, Stream(0), Cursor { acked: Seq(2), ..Cursor::default() });
    assert!(reader.remove_if_drained(false, None).unwrap());
}

#[test]
fn who_opens_a_file_that_is_just_being_removed_waits_for_that_and_gets_another() {
    let dir = Dir::new("removed");
    drop(Ring::open_or_make(&dir.wanted(8)).unwrap());
    let mut ring = Ring::find_all(&dir.0, |_| false).unwrap().rings.remove(0);
    let region = ring.region();
    let wanted = dir.wanted(8);
    std::thread::scope(|threads| {
        let mut opening = None;
        let removed = ring.remove_if(|_| {
            // Nobody finds it in the meantime, and who only looks still does.
            assert!(Ring::find_all(&dir.0, |_| false).unwrap().rings.is_empty());
            assert_eq!(Ring::look_at_all(&dir.0).unwrap().rings.len(), 1);
            opening = Some(threads.spawn(|| Ring::open_or_make(&wanted).unwrap().region()));
            true
        });
        assert!(removed.unwrap());
        assert_ne!(opening.unwrap().join().unwrap(), region);
    });
}

#[test]
fn where_there_is_no_room_for_a_second_file_one_that_only_has_another_size_is_used_on() {
    let dir = Dir::new("noroom");
    drop(Ring::open_or_make(&dir.wanted(8)).unwrap());
    let huge = Wanted { bytes: 1 << 44, ..dir.wanted(8) };
    let ring = Ring::open_or_make(&huge).unwrap();
    assert_eq!((ring.number(), ring.geometry().blocks), (1, 8));
    Writer::take(ring).unwrap().append(1, b"x").unwrap();
    let blocks = Wanted { bytes: 1 << 44, block_bytes: 1 << 22, dir: dir.0.clone() };
    assert!(refusal(&blocks).starts_with("no room in \""));
    Ring::open_or_make(&huge).unwrap().view().poison();
    assert!(refusal(&huge).starts_with("no room in \""));
}

#[test]
fn what_a_change_of_sizes_will_replace_can_be_told_before_anybody_opens_it() {
    let dir = Dir::new("replaced");
    let by = |wanted: &Wanted| Replaced::by(wanted).map(|it| it.to_string());
    assert!(!Ring::is_there(&dir.0) && !Ring::is_there(&dir.0.join("missing")));
    assert_eq!(by(&dir.wanted(16)), None, "nothing is there");
    let ring = Ring::open_or_make(&dir.wanted(8)).unwrap();
    assert!(Ring::is_there(&dir.0));
    assert_eq!(by(&dir.wanted(8)), None, "it is used on as it is");
    let replaced = Replaced::by(&dir.wanted(16)).unwrap();
    assert_eq!((replaced.number, replaced.room), (1, true));
    assert_eq!((replaced.has.blocks, replaced.wanted.blocks), (8, 16));
    let text = replaced.to_string();
    let begins = "ring.1 has 8 blocks of 4096 bytes, and 16 of 4096 are configured: a new file of ";
    assert!(text.starts_with(begins), "{text}");
    assert!(text.ends_with(" bytes is made, and ring.1 is drained and then removed"), "{text}");
    let huge = Wanted { bytes: 1 << 44, ..dir.wanted(8) };
    let text = by(&huge).unwrap();
    assert!(text.contains("there is no room for") && text.ends_with("ring.1 is used on"), "{text}");
    let text = by(&Wanted { block_bytes: 1 << 22, ..huge }).unwrap();
    let ends = "/log is 503 until ring.1 is drained and there is";
    assert!(text.contains("there is no room for") && text.ends_with(ends), "{text}");
    ring.view().poison();
    assert_eq!(by(&dir.wanted(16)), None, "it takes no events any more");
}

/// The word `clean` of a file, as it lies there.
fn clean(path: &PathBuf) -> u64 {
    let mut le = [0; 8];
    File::open(path).unwrap().read_exact_at(&mut le, 4096 + 6 * 128).unwrap();
    u64::from_le_bytes(le)
}

#[test]
fn a_file_is_clean_from_when_its_last_user_left_until_somebody_begins_to_write() {
    let dir = Dir::new("clean");
    let ring = Ring::open_or_make(&dir.wanted(8)).unwrap();
    let path = ring.path().to_owned();
    let second = ring.again().unwrap();
    drop(ring);
    assert_eq!(clean(&path), 0, "somebody still uses it");
    drop(second);
    assert_eq!(clean(&path), 1);
    let ring = Ring::open_or_make(&dir.wanted(8)).unwrap();
    assert_eq!(clean(&path), 1, "nobody writes");
    let writer = Writer::take(ring.again().unwrap()).unwrap();
    assert_eq!(clean(&path), 0);
    drop((writer, ring));
    assert_eq!(clean(&path), 1);
    // What a poisoned one has on the disk nobody knows.
    let ring = Ring::open_or_make(&dir.wanted(8)).unwrap();
    drop(Writer::take(ring.again().unwrap()).unwrap());
    ring.view().poison();
    drop(ring);
    assert_eq!(clean(&path), 0);
}

/// As many events in one stream.
fn events(dir: &Dir, count: u64) -> PathBuf {
    let ring = Ring::open_or_make(&dir.wanted(8)).unwrap();
    let mut writer = Writer::take(ring.again().unwrap()).unwrap();
    for n in 1..=count {
        writer.append(n, &[n as u8; 1000]).unwrap();
    }
    ring.path().to_owned()
}

#[test]
fn a_clean_file_with_events_in_it_is_not_clean_from_when_somebody_writes_again() {
    let dir = Dir::new("clean-again");
    let path = events(&dir, 3);
    assert_eq!(clean(&path), 1);
    let mut writer = Writer::take(Ring::open_or_make(&dir.wanted(8)).unwrap()).unwrap();
    assert_eq!(clean(&path), 0);
    writer.append(4, b"four").unwrap();
    drop(writer);
    assert_eq!(clean(&path), 1);
}

/// What a subscriber without a cursor is told of stream 0 of the only ring, until nothing more comes.
fn told(dir: &Dir) -> Vec<Next> {
    let lease = Lease::try_take(&dir.0).unwrap().unwrap();
    let named = configuration(Overflow::Reject, &["kafka"]);
    let ring = Ring::find_all(&dir.0, |_| false).unwrap().rings.remove(0);
    let mut reader = Reader::new(ring, &lease, &named).unwrap();
    let (scan, mut after, mut told) = (reader.scan(), Seq(0), Vec::new());
    loop {
        let next = reader.next(&scan, Stream(0), after, usize::MAX, &mut Vec::new());
        match next {
            Next::Slice { first, count } => after = Seq(first.0 + u64::from(count) - 1),
            Next::Lost { to, .. } | Next::Uncertain { to: Some(to), .. } => after = to,
            Next::Uncertain { to: None, .. } | Next::Nothing => {
                told.push(next);
                return told;
            }
            Next::Void => panic!("nobody writes"),
        }
        told.push(next);
    }
}

#[test]
fn after_an_orderly_reboot_nothing_is_uncertain_and_after_a_power_loss_every_end_is() {
    let dir = Dir::new("reboot");
    let path = events(&dir, 3);
    let slice = Next::Slice { first: Seq(1), count: 3 };
    forge(&path, 8, 1);
    assert_eq!(told(&dir), [slice, Next::Nothing]);
    // The same file, not left in order.
    let file = File::options().write(true).open(&path).unwrap();
    let not_clean = || file.write_all_at(&[0; 8], 4096 + 6 * 128).unwrap();
    not_clean();
    let mut made = [0; 8];
    File::open(&path).unwrap().read_exact_at(&mut made, 11 * 8).unwrap();
    let made = u64::from_le_bytes(made);
    let end = Next::Uncertain { to: None, since: made };
    assert_eq!(told(&dir), [slice, end]);
    assert_eq!(clean(&path), 0, "nobody who only drains it calls it clean");
    // The last good sync, if there was one.
    file.write_all_at(&(made + 5).to_le_bytes(), 4096 + 9 * 128).unwrap();
    let end = Next::Uncertain { to: None, since: made + 5 };
    assert_eq!(told(&dir), [slice, end]);
}

#[test]
fn what_a_power_loss_left_is_drained_when_the_uncertain_end_of_each_stream_was_told_too() {
    let dir = Dir::new("told");
    let path = events(&dir, 3);
    forge(&path, 8, 1);
    let file = File::options().write(true).open(&path).unwrap();
    file.write_all_at(&[0; 8], 4096 + 6 * 128).unwrap();
    let lease = Lease::try_take(&dir.0).unwrap().unwrap();
    let named = configuration(Overflow::Reject, &["kafka"]);
    let ring = Ring::find_all(&dir.0, |_| false).unwrap().rings.remove(0);
    let mut reader = Reader::new(ring, &lease, &named).unwrap();
    let scan = reader.scan();
    for (acked, uncertain_open, drained) in [(2, true, false), (3, false, false), (3, true, true)] {
        let cursor = Cursor { acked: Seq(acked), uncertain_open, ..Cursor::default() };
        reader.store(Who::Named(0), Stream(0), cursor);
        assert_eq!(reader.drained(&scan, false), drained, "{acked}, {uncertain_open}");
    }
}

#[test]
fn a_record_that_fails_its_check_after_a_power_loss_is_a_hole_up_to_the_next_block() {
    let dir = Dir::new("hole");
    let path = events(&dir, 10);
    forge(&path, 8, 1);
    let file = File::options().write(true).open(&path).unwrap();
    file.write_all_at(&[0; 8], 4096 + 6 * 128).unwrap();
    // Four records a block, so the second block has 5 to 8; of these the third is spoilt.
    let data = fs::metadata(&path).unwrap().len() - 8 * 4096;
    file.write_all_at(&[9], data + 4096 + 2 * 1024 + 500).unwrap();
    let since = match told(&dir).pop().unwrap() {
        Next::Uncertain { since, .. } => since,
        other => panic!("{other:?}"),
    };
    let slice = |first, count| Next::Slice { first: Seq(first), count };
    let to = |to| Next::Uncertain { to, since };
    let expected = [slice(1, 4), slice(5, 2), to(Some(Seq(8))), slice(9, 2), to(None)];
    assert_eq!(told(&dir), expected);
}

#[test]
fn what_a_ring_lacks_after_a_power_loss_is_uncertain_and_after_an_orderly_reboot_lost() {
    let dir = Dir::new("lacks");
    let path = events(&dir, 10);
    forge(&path, 8, 1);
    // The descriptor of the first block, behind 256 slots: events 1 to 4 are gone.
    let file = File::options().write(true).open(&path).unwrap();
    file.write_all_at(&[0; 8], 16384 + 256 * 4096).unwrap();
    let books = || {
        let books = Ledger::read(&Ring::look_at_all(&dir.0).unwrap().rings.remove(0)).live;
        (books.committed, books.in_ring, books.lost, books.ahead, books.uncertain)
    };
    assert_eq!(books(), (10, 6, 4, 4, 0));
    file.write_all_at(&[0; 8], 4096 + 6 * 128).unwrap();
    assert_eq!(books(), (10, 6, 0, 4, 4));
}

#[test]
fn the_books_of_two_rings_together_are_their_sums() {
    let one = Books {
        committed: 28,
        delivered: 7,
        in_ring: 6,
        lost: 5,
        ahead: 4,
        dead: 3,
        uncertain: 2,
        uncertain_open: false,
        heartbeats: 1,
    };
    let open = Books { uncertain_open: true, ..one };
    let both = one.and(open);
    assert_eq!((both.committed, both.delivered, both.in_ring), (56, 14, 12));
    assert_eq!((both.lost, both.ahead, both.dead, both.uncertain), (10, 8, 6, 4));
    assert_eq!(both.heartbeats, 2);
    assert!(both.uncertain_open && open.and(one).uncertain_open && !one.and(one).uncertain_open);
}
