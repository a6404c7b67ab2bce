//! A ring that is brought home by hand: its cursors move, and nothing else of it changes.

use super::*;

/// A ring with these events in two streams, left by everybody; `names` have a place in it.
fn left(dir: &Dir, names: &[&str]) -> PathBuf {
    let ring = Ring::open_or_make(&dir.wanted(8)).unwrap();
    let lease = Lease::try_take(&dir.0).unwrap().unwrap();
    let named =
        configuration(if names.is_empty() { Overflow::Overwrite } else { Overflow::Reject }, names);
    let _reader = Reader::new(ring.again().unwrap(), &lease, &named).unwrap();
    let mut one = Writer::take(ring.again().unwrap()).unwrap();
    let mut two = Writer::take(ring.again().unwrap()).unwrap();
    for n in 1..=3 {
        one.append(n, b"one").unwrap();
    }
    two.append(4, b"two").unwrap();
    ring.path().to_owned()
}

fn looked_at(dir: &Dir) -> Ring {
    Ring::look_at_all(&dir.0).unwrap().rings.remove(0)
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

#[test]
fn what_was_drained_is_remembered_in_the_file_and_not_handed_out_again() {
    let dir = Dir::new("brought-home");
    let path = left(&dir, &["archive", "kafka"]);
    let before = fs::read(&path).unwrap();
    let mut drain = Drain::begin(looked_at(&dir), &name("kafka")).unwrap();
    assert_eq!(drain.region(), looked_at(&dir).region());
    assert_eq!(drain.streams(), [Stream(0), Stream(1)]);
    let scan = drain.scan();
    let next = |drain: &Drain, stream: Stream| {
        let acked = drain.cursor(stream).acked;
        drain.next(&scan, stream, acked, usize::MAX, &mut Vec::new())
    };
    assert_eq!(next(&drain, Stream(0)), Next::Slice { first: Seq(1), count: 3 });
    assert_eq!(next(&drain, Stream(1)), Next::Slice { first: Seq(1), count: 1 });
    for (acked, dead) in [(2, 0), (3, 1)] {
        let cursor = Cursor { acked: Seq(acked), dead, ..drain.cursor(Stream(0)) };
        drain.store(Stream(0), cursor).unwrap();
        drain.sync().unwrap();
        assert_eq!(drain.cursor(Stream(0)), cursor);
    }
    assert_eq!(next(&drain, Stream(0)), Next::Nothing);
    drop(drain);
    let drain = Drain::begin(looked_at(&dir), &name("kafka")).unwrap();
    assert_eq!((drain.cursor(Stream(0)).acked, drain.cursor(Stream(0)).dead), (Seq(3), 1));
    assert_eq!(drain.cursor(Stream(1)).acked, Seq(0));
    drop(drain);
    let other = Drain::begin(looked_at(&dir), &name("archive")).unwrap();
    assert_eq!(other.cursor(Stream(0)).acked, Seq(0), "another name's");
    let mut looker = Looker::new(looked_at(&dir));
    let acked = |who: &str| looker.cursor(&name(who), Stream(0)).map(|cursor| cursor.acked);
    assert_eq!(
        (acked("kafka"), acked("archive"), acked("other")),
        (Some(Seq(3)), Some(Seq(0)), None)
    );
    let scan = looker.scan();
    let next = looker.next(&scan, Stream(1), Seq(0), 0, &mut Vec::new());
    assert_eq!(next, Next::Slice { first: Seq(1), count: 1 });
    // Two stores of a cursor: its two copies and its selector, within 256 bytes of the slot's page.
    let after = fs::read(&path).unwrap();
    let changed: Vec<usize> = (0..before.len()).filter(|n| before[*n] != after[*n]).collect();
    let cursor = 16384 + 1280 + 256 * 2;
    assert!(!changed.is_empty() && changed.iter().all(|at| (cursor..cursor + 256).contains(at)));
}

#[test]
fn a_ring_in_use_or_without_the_name_or_that_changed_its_name_is_not_drained() {
    let dir = Dir::new("not-brought");
    left(&dir, &["archive", "kafka"]);
    let why =
        |it: Result<Drain, NotDrained>| it.err().map(|why| why.to_string()).unwrap_or_default();
    let using = Ring::open_or_make(&dir.wanted(8)).unwrap();
    assert!(why(Drain::begin(looked_at(&dir), &name("kafka"))).contains("it is in use"));
    drop(using);
    let drain = Drain::begin(looked_at(&dir), &name("kafka")).unwrap();
    assert!(why(Drain::begin(looked_at(&dir), &name("kafka"))).contains("it is in use"));
    drop(drain);
    let has = "never had a subscriber \"other\"; it has \"archive\", \"kafka\"";
    assert!(why(Drain::begin(looked_at(&dir), &name("other"))).contains(has));
    let ring = looked_at(&dir);
    fs::rename(dir.0.join("ring.1"), dir.0.join("kept")).unwrap();
    fs::copy(dir.0.join("kept"), dir.0.join("ring.1")).unwrap();
    assert!(why(Drain::begin(ring, &name("kafka"))).contains("another file has its name"));
    let dir = Dir::new("nobody-brought");
    left(&dir, &[]);
    assert!(why(Drain::begin(looked_at(&dir), &name("kafka"))).contains("it has none at all"));
}

#[test]
fn a_drained_ring_is_removed_when_it_is_asked_for() {
    let dir = Dir::new("brought-removed");
    let path = left(&dir, &["kafka"]);
    Drain::begin(looked_at(&dir), &name("kafka")).unwrap().remove().unwrap();
    assert!(!path.exists());
}
