//! Several ring files: the older ones are drained first, and removed; nothing is lost on the way.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;

use sparkngin_core::id::{Seq, Stream};
use sparkngin_core::ring::{Difference, Lease, Overflow, Ring};
use sparkngin_publisher::start_draining;

use crate::rig::{Reader, Rig, Subscriber, complaints, event, renew, said, until};

/// Makes a file one of an earlier boot, left in order or not.
fn reboot(path: &Path, clean: bool) {
    let file = File::options().read(true).write(true).open(path).expect("a ring");
    let mut bytes = [0; 128];
    file.read_exact_at(&mut bytes, 0).expect("a superblock");
    bytes[64] ^= 1;
    let crc = u64::from(crc32c::crc32c(&bytes[..120]));
    bytes[120..].copy_from_slice(&crc.to_le_bytes());
    file.write_all_at(&bytes, 0).expect("written");
    file.write_all_at(&u64::from(clean).to_le_bytes(), 4096 + 6 * 128).expect("written");
}

fn gone(rig: &Rig, number: u64) {
    let path = rig.dir.join(format!("ring.{number}"));
    until("it is removed", || (!path.exists()).then_some(()));
}

#[test]
fn a_file_that_appears_while_it_runs_is_handed_out_and_the_older_one_goes_when_its_writer_has() {
    let mut rig = Rig::with_blocks(8, 4096);
    let region = rig.ring.region();
    let publisher = rig.publish(rig.settings(Overflow::Reject, &["kafka"]));
    let mut subscriber = Subscriber::new(&rig.feed(), "kafka", 1 << 20);
    let mut old = rig.writer();
    old.append(1, b"old").expect("room");
    subscriber.take_all(1);
    let mut new = renew(&mut rig, 16);
    // Who writes to the old one goes on as long as it wants, beyond the ring's size.
    for n in 0..200u64 {
        until("room", || {
            subscriber.turn();
            old.append(1, &[0; 500]).ok()
        });
        new.append(1, b"new").expect("room");
        subscriber.take_all(3 + 2 * n);
    }
    let lines = said(&publisher, "ring.1 is drained: ring.2 takes the events");
    assert!(rig.dir.join("ring.1").exists() && !lines.contains("removed"), "it is written to");
    drop(old);
    subscriber.until("it is removed", |_| (!rig.dir.join("ring.1").exists()).then_some(()));
    let books = format!("region {region}, 201 events, of which \"kafka\" has 201, 0 lost");
    assert!(said(&publisher, "ring.1 is drained and removed").contains(&books));
    new.append(1, b"last").expect("room");
    subscriber.take_all(402);
    subscriber.assert_in_order();
    assert_eq!(complaints(&publisher), Vec::<String>::new());
}

#[test]
fn a_poisoned_file_is_drained_before_the_new_one_and_removed() {
    let mut rig = Rig::with_blocks(64, 4096);
    let poisoned = rig.ring.region();
    let publisher = rig.publish(rig.settings(Overflow::Reject, &["kafka"]));
    let mut old = rig.writer();
    for n in 0..100u64 {
        old.append(1, &n.to_le_bytes()).expect("room");
    }
    old.ring().view().poison();
    assert!(old.append(1, b"refused").is_err());
    drop(old);
    let mut new = renew(&mut rig, 64);
    for n in 0..100u64 {
        new.append(1, &n.to_le_bytes()).expect("room");
    }
    said(&publisher, "ring.1 is drained: it is poisoned");
    // A window of one record: what comes first is what was chosen.
    let mut subscriber = Subscriber::new(&rig.feed(), "kafka", 1);
    subscriber.take_all(200);
    subscriber.assert_in_order();
    assert!(subscriber.taken[..100].iter().all(|(region, ..)| *region == poisoned));
    subscriber.until("it is removed", |_| (!rig.dir.join("ring.1").exists()).then_some(()));
}

#[test]
fn a_file_whose_name_was_removed_is_drained_while_another_one_takes_the_events() {
    let mut rig = Rig::with_blocks(64, 4096);
    let removed = rig.ring.region();
    let publisher = rig.publish(rig.settings(Overflow::Reject, &["kafka"]));
    let mut old = rig.writer();
    for n in 0..100u64 {
        old.append(1, &n.to_le_bytes()).expect("room");
    }
    fs::remove_file(rig.dir.join("ring.1")).expect("it was there");
    until("nothing more is written to it", || old.append(1, b"more").is_err().then_some(()));
    let many = old.ring().scan().streams().map(|s| old.ring().scan().last(s).0).sum::<u64>();
    let line = said(&publisher, "ring.1 is drained: its name was removed while it is used");
    assert!(line.contains("is lost if nginx ends or reloads before it has gone out"), "{line}");
    // Who publishes next finds it by who has it open.
    let again = old.ring().again().expect("it is open");
    assert!(again.is_removed() && again.region() == removed);
    drop((old, again));
    let mut new = renew(&mut rig, 64);
    assert_eq!(new.ring().number(), 2, "no number is used twice");
    until("the new file says it", || (new.ring().state().removed == 1).then_some(()));
    new.append(1, b"last").expect("room");
    let mut subscriber = Subscriber::new(&rig.feed(), "kafka", 1);
    subscriber.take_all(many + 1);
    subscriber.assert_in_order();
    let (last, before) = subscriber.taken.split_last().expect("some");
    assert!(last.0 == new.ring().region() && before.iter().all(|(region, ..)| *region == removed));
    subscriber.until("it is drained", |_| (new.ring().state().removed == 0).then_some(()));
    let books = format!("region {removed}, {many} events, of which \"kafka\" has {many}, 0 lost");
    assert!(said(&publisher, "ring.1 is drained and removed").contains(&books));
    assert!(rig.dir.join("ring.2").exists());
}

#[test]
fn after_an_orderly_reboot_everything_arrives_and_nothing_is_uncertain() {
    let mut rig = Rig::with_blocks(8, 4096);
    let mut old = rig.writer();
    for n in 0..20u64 {
        old.append(1, &n.to_le_bytes()).expect("room");
    }
    drop(old);
    let path = rig.ring.path().to_owned();
    let mut new = renew(&mut rig, 16);
    reboot(&path, true);
    new.append(1, b"new").expect("room");
    let publisher = rig.publish(rig.settings(Overflow::Reject, &["kafka"]));
    // The client of these tests panics when something is uncertain.
    let mut subscriber = Subscriber::new(&rig.feed(), "kafka", 1 << 20);
    subscriber.take_all(21);
    subscriber.assert_in_order();
    subscriber.until("it is removed", |_| (!rig.dir.join("ring.1").exists()).then_some(()));
    let lines = said(&publisher, "ring.1 is drained and removed");
    assert!(lines.contains("booted since, in order: nothing is missing; ring.2 takes the events"));
    assert!(lines.contains("\"kafka\" has 20, 0 lost, 0 dead-lettered, 0 uncertain\n"), "{lines}");
}

#[test]
fn after_a_power_loss_each_hole_and_each_end_is_told_once_and_noted_in_the_books() {
    let mut rig = Rig::with_blocks(8, 4096);
    let region = rig.ring.region();
    let (mut old, second) = (rig.writer(), rig.writer());
    for n in 0..10u64 {
        old.append(1, &[n as u8; 1000]).expect("room");
    }
    drop((old, second));
    let path = rig.ring.path().to_owned();
    let mut new = renew(&mut rig, 16);
    reboot(&path, false);
    // Of the second block, which has 5 to 8, the third record is spoilt.
    let file = File::options().write(true).open(&path).expect("a ring");
    let data = fs::metadata(&path).expect("a ring").len() - 8 * 4096;
    file.write_all_at(&[9], data + 4096 + 2 * 1024 + 500).expect("written");
    new.append(1, b"new").expect("room");
    let publisher = rig.publish(rig.settings(Overflow::Reject, &["kafka"]));
    let mut subscriber = Subscriber::new(&rig.feed(), "kafka", 1 << 20);
    subscriber.expects_uncertain = true;
    subscriber.take_all(9);
    subscriber.until("it is removed", |_| (!rig.dir.join("ring.1").exists()).then_some(()));
    let seqs: Vec<u64> = subscriber.taken.iter().filter(|t| t.0 == region).map(|t| t.2.0).collect();
    assert_eq!(seqs, [1, 2, 3, 4, 5, 6, 9, 10]);
    let (one, two) = (Stream(0), Stream(1));
    let mut told = subscriber.uncertain.clone();
    told.sort_by_key(|(_, stream, from, _)| (*stream, *from));
    assert_eq!(
        told,
        [
            (region, one, Seq(7), Some(Seq(8))),
            (region, one, Seq(11), None),
            (region, two, Seq(1), None)
        ]
    );
    let lines = said(&publisher, "ring.1 is drained and removed");
    assert!(lines.contains("the machine stopped without notice"), "{lines}");
    let books = "\"kafka\" has 8, 0 lost, 0 dead-lettered, 2 uncertain, and perhaps more";
    assert!(lines.contains(books), "{lines}");
}

#[test]
fn a_copy_is_left_alone_and_told_of_once() {
    let rig = Rig::with_blocks(8, 4096);
    let copy = rig.dir.join("ring.7");
    fs::copy(rig.ring.path(), &copy).expect("copied");
    let before = fs::read(&copy).expect("read");
    let mut writer = rig.writer();
    writer.append(1, b"one").expect("room");
    let publisher = rig.publish(rig.settings(Overflow::Reject, &["kafka"]));
    let mut subscriber = Subscriber::new(&rig.feed(), "kafka", 1 << 20);
    subscriber.take_all(1);
    let lines = said(&publisher, "ring.7 is left alone: it is a copy of another file");
    assert_eq!(lines.matches("ring.7").count(), 1);
    writer.append(1, b"two").expect("room");
    subscriber.take_all(2);
    assert_eq!(complaints(&publisher), Vec::<String>::new());
    assert!(fs::read(&copy).expect("read") == before, "it was written to");
    let found = Ring::look_at_all(&rig.dir).expect("the directory");
    assert_eq!(found.left_alone[0].why, Difference::Copy);
}

#[test]
fn without_a_name_the_older_file_stays_until_live_has_passed_it_or_the_newer_has_wrapped() {
    for live in [true, false] {
        let mut rig = Rig::with_blocks(4, 4096);
        let mut old = rig.writer();
        old.append(1, &event("old", "one")).expect("room");
        drop(old);
        let mut new = renew(&mut rig, 5);
        new.append(1, &event("new", "two")).expect("room");
        let publisher = rig.publish(rig.settings(Overflow::Overwrite, &[]));
        said(&publisher, "ring.1 is drained: ring.2 takes the events");
        assert!(rig.dir.join("ring.1").exists());
        let reader = live.then(|| Reader::new(&rig.live(), &[""]));
        if let Some(reader) = &reader {
            let mut data = reader.data(2);
            data.sort();
            assert_eq!(data, ["one", "two"]);
        } else {
            for _ in 0..30 {
                new.append(1, &[0; 1000]).expect("room");
            }
        }
        gone(&rig, 1);
        assert!(rig.dir.join("ring.2").exists());
    }
}

#[test]
fn a_file_that_its_host_has_no_use_for_goes_when_it_is_drained_though_it_is_the_newest() {
    let mut rig = Rig::with_blocks(8, 4096);
    let mut old = rig.writer();
    old.append(1, b"one").expect("room");
    drop(old);
    let elsewhere = Rig::with_blocks(8, 4096);
    rig.ring = elsewhere.again();
    let lease = Lease::try_take(&rig.dir).expect("the directory").expect("free");
    let ring = Ring::find_all(&rig.dir, |_| false).expect("the directory").rings.remove(0);
    let settings = rig.settings(Overflow::Reject, &["kafka"]);
    let _publisher = start_draining(lease, ring, settings).expect("a thread");
    let mut subscriber = Subscriber::new(&rig.feed(), "kafka", 1 << 20);
    subscriber.take_all(1);
    subscriber.until("it is removed", |_| (!rig.dir.join("ring.1").exists()).then_some(()));
    // The one that is made then is handed out, and stays.
    let mut new = renew(&mut rig, 16);
    new.append(1, b"two").expect("room");
    subscriber.take_all(2);
    assert!(rig.ring.path().exists());
}
