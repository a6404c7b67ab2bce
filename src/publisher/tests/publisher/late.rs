//! A ring's file that the publisher finds only when sessions are open already: whoever held it alone, or put it there late.
//! Nothing is sent twice to a subscriber that lives, and the books are those of the file.

use std::fs;
use std::path::PathBuf;

use sparkngin_core::id::{Seq, Stream};
use sparkngin_core::ring::{Ledger, Overflow, Ring, Writer};

use crate::rig::{Rig, Subscriber, renew, until};

/// A file that has another name for a while: nobody finds it, and who has it open does not notice.
struct Hidden {
    path: PathBuf,
    aside: PathBuf,
}

impl Hidden {
    fn new(rig: &Rig, number: u64) -> Hidden {
        let path = rig.dir.join(format!("ring.{number}"));
        let aside = rig.dir.join(format!("aside.{number}"));
        fs::rename(&path, &aside).expect("set aside");
        Hidden { path, aside }
    }

    fn back(self) {
        fs::rename(&self.aside, &self.path).expect("put back");
    }
}

fn fill(writer: &mut Writer, count: u64) {
    for n in 0..count {
        writer.append(1, &n.to_le_bytes()).expect("room");
    }
}

/// Waits until nothing of these regions' files is left: all was acknowledged, and they were removed.
fn drained(subscriber: &mut Subscriber, rig: &Rig, numbers: &[u64]) {
    subscriber.until("the older files are drained and removed", |_| {
        let there = |n: &u64| rig.dir.join(format!("ring.{n}")).exists();
        (!numbers.iter().any(there)).then_some(())
    });
}

#[test]
fn nobody_is_welcomed_before_a_file_that_is_held_alone_for_a_moment_is_known() {
    for acknowledges in [false, true] {
        let mut rig = Rig::with_blocks(64, 4096);
        let publisher = rig.publish(rig.settings(Overflow::Reject, &["kafka"]));
        let mut subscriber = Subscriber::new(&rig.feed(), "kafka", 1 << 20);
        subscriber.acknowledges = acknowledges;
        let mut old = rig.writer();
        fill(&mut old, 100);
        subscriber.take_all(100);
        publisher.stop();
        publisher.join();
        drop(old);
        let mut new = renew(&mut rig, 16);
        fill(&mut new, 1);
        let mut first =
            Ring::find_all(&rig.dir, |n| n != 1).expect("the directory").rings.remove(0);
        let mut publisher = None;
        let removed = first.remove_if(|_| {
            publisher = Some(rig.publish(rig.settings(Overflow::Reject, &["kafka"])));
            let (mut looks, mut last) = (0, 0);
            subscriber.until("it has looked several times", |_| {
                let turn = rig.ring.state().last_turn;
                looks += u32::from(turn != last);
                last = turn;
                (looks > 3).then_some(())
            });
            false
        });
        assert!(!removed.expect("the system"));
        assert_eq!(subscriber.welcomes, 1, "the second publisher does not know what to say");
        drop(first);
        subscriber.take_all(101);
        subscriber.acknowledges = true;
        let region = subscriber.taken[0].0;
        subscriber.client.done(region, subscriber.taken[0].1, Seq(100));
        drained(&mut subscriber, &rig, &[1]);
        subscriber.assert_in_order();
        assert_eq!((subscriber.taken.len(), subscriber.welcomes), (101, 2));
    }
}

#[test]
fn what_was_taken_of_a_file_that_is_found_late_is_not_sent_again_wherever_its_cursor_is() {
    // So many of 100 are acknowledged when the next publisher begins without the file.
    for acked in [0, 60, 100] {
        let mut rig = Rig::with_blocks(64, 4096);
        let region = rig.ring.region();
        let publisher = rig.publish(rig.settings(Overflow::Reject, &["kafka"]));
        let mut subscriber = Subscriber::new(&rig.feed(), "kafka", 1 << 20);
        subscriber.acknowledges = false;
        let mut old = rig.writer();
        fill(&mut old, 100);
        subscriber.take_all(100);
        let stream = old.stream();
        subscriber.client.done(region, stream, Seq(acked));
        subscriber.until("that is stored", |_| {
            (rig.books("kafka").books.delivered == acked).then_some(())
        });
        publisher.stop();
        publisher.join();
        let mut new = renew(&mut rig, 16);
        let hidden = Hidden::new(&rig, 1);
        let _publisher = rig.publish(rig.settings(Overflow::Reject, &["kafka"]));
        subscriber.acknowledges = true;
        fill(&mut new, 1);
        subscriber.take_all(101);
        // Meanwhile the sink is done with all of it.
        subscriber.client.done(region, stream, Seq(100));
        hidden.back();
        fill(&mut old, 5);
        subscriber.take_all(106);
        drop(old);
        drained(&mut subscriber, &rig, &[1]);
        subscriber.assert_in_order();
        assert_eq!(subscriber.taken.len(), 106, "{acked} were acknowledged");
    }
}

#[test]
fn of_several_files_that_are_found_one_by_one_and_streams_that_begin_then_everything_comes_once() {
    let mut rig = Rig::with_blocks(64, 4096);
    let publisher = rig.publish(rig.settings(Overflow::Reject, &["kafka"]));
    let mut subscriber = Subscriber::new(&rig.feed(), "kafka", 1 << 20);
    let mut kept = Vec::new();
    for (n, blocks) in [65, 66].into_iter().enumerate() {
        let mut old = rig.writer();
        fill(&mut old, 50);
        // Of the first file everything is acknowledged before it is found late, of the second one nothing.
        subscriber.acknowledges = n == 0;
        subscriber.take_all(50 * (n as u64 + 1));
        kept.push((old, rig.again()));
        drop(renew(&mut rig, blocks));
    }
    subscriber.until("the first is stored", |_| {
        let rings = Ring::look_at_all(&rig.dir).expect("the directory").rings;
        let books = Ledger::read(&rings[0]).subscribers[0].books;
        (books.delivered == 50).then_some(())
    });
    publisher.stop();
    publisher.join();
    let hidden = [Hidden::new(&rig, 1), Hidden::new(&rig, 2)];
    let _publisher = rig.publish(rig.settings(Overflow::Reject, &["kafka"]));
    subscriber.acknowledges = true;
    let mut new = rig.writer();
    fill(&mut new, 1);
    subscriber.take_all(101);
    let regions: Vec<_> = subscriber.taken.iter().map(|taken| taken.0).collect();
    subscriber.client.done(regions[50], Stream(0), Seq(50));
    let mut expected = 101;
    for (hidden, (mut old, spare)) in hidden.into_iter().zip(kept) {
        // Nobody was told of its stream: it begins while the file is not found.
        let mut second = Writer::take(spare).expect("a slot");
        fill(&mut second, 7);
        hidden.back();
        fill(&mut old, 3);
        expected += 10;
        subscriber.take_all(expected);
    }
    drained(&mut subscriber, &rig, &[1, 2]);
    subscriber.assert_in_order();
    assert_eq!(subscriber.taken.len() as u64, expected);
}

#[test]
fn a_name_that_is_new_to_a_file_that_is_found_late_gets_what_is_there_and_has_lost_nothing() {
    let mut rig = Rig::with_blocks(8, 4096);
    let publisher = rig.publish(rig.settings(Overflow::Reject, &["kafka"]));
    let mut before = Subscriber::new(&rig.feed(), "kafka", 1 << 20);
    let mut old = rig.writer();
    // 4 records a block: 5 blocks are acknowledged, and FREE.
    for n in 0..21u64 {
        old.append(1, &[n as u8; 990]).expect("room");
    }
    before.take_all(21);
    before.until("they are free", |_| (rig.ledger().blocks.free == 7).then_some(()));
    publisher.stop();
    publisher.join();
    drop(before);
    let mut new = renew(&mut rig, 16);
    let hidden = Hidden::new(&rig, 1);
    let _publisher = rig.publish(rig.settings(Overflow::Reject, &["renamed"]));
    let mut subscriber = Subscriber::new(&rig.feed(), "renamed", 1);
    subscriber.acknowledges = false;
    fill(&mut new, 1);
    subscriber.take_all(1);
    let first = Ring::look_at_all(&rig.dir).expect("the directory").rings.remove(0).region();
    hidden.back();
    let books = || {
        let rings = Ring::look_at_all(&rig.dir).expect("the directory").rings;
        let ledger = Ledger::read(&rings[0]);
        let renamed = ledger.subscribers.into_iter().find(|s| s.name.as_str() == "renamed")?;
        (rings.len() == 2).then_some(renamed.books)
    };
    until("the late file has the name", books);
    // What nobody holds for the new name is claimed before it comes to it.
    for n in 0..20u64 {
        old.append(1, &[n as u8; 990]).expect("room");
    }
    subscriber.acknowledges = true;
    subscriber.client.done(first, Stream(0), Seq(1));
    subscriber.until("the last of them", |s| {
        s.taken.iter().any(|taken| taken.0 != first && taken.2 == Seq(41)).then_some(())
    });
    let books = subscriber.until("all of the late file is acknowledged", |_| {
        books().filter(|books| books.in_ring == 0)
    });
    assert_eq!(subscriber.faults, Vec::<String>::new());
    assert_eq!(books.lost, 0, "of what was never held for it nothing is lost");
}
