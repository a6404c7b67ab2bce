//! A publisher with nothing to do sleeps.

use std::fs;
use std::time::{Duration, Instant};

use crate::rig::{Rig, Subscriber};

/// ns that all threads of a process have run.
fn cpu(pid: u32) -> u64 {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("its threads");
    let of = |task: fs::DirEntry| {
        let text = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
        text.split(' ').next().and_then(|ns| ns.parse::<u64>().ok()).unwrap_or(0)
    };
    tasks.flatten().map(of).sum()
}

#[test]
fn with_a_session_and_no_events_it_takes_less_than_half_a_percent_of_a_core() {
    let rig = Rig::new(1024);
    let mut writer = rig.writer();
    writer.append(1, b"one").expect("room");
    let publisher = rig.publish_elsewhere();
    let mut subscriber = Subscriber::new(&rig.feed(), "kafka", 1 << 20);
    subscriber.take_all(1);
    let (start, before) = (Instant::now(), cpu(publisher.pid()));
    subscriber.until("3 s", |_| (start.elapsed() > Duration::from_secs(3)).then_some(()));
    let share = (cpu(publisher.pid()) - before) as f64 / start.elapsed().as_nanos() as f64;
    println!("{:.3} % of a core", share * 100.0);
    assert!(share < 0.005, "{:.3} % of a core", share * 100.0);
}
