//! The publisher with real rings, real ZeroMQ and real processes.

mod doors;
mod examples;
mod feed;
mod files;
mod handover;
mod idle;
mod late;
mod live;
mod odd;
mod rig;
mod status;

/// Not a test: the process that a test starts from this program when it needs a publisher to kill.
#[test]
fn child_that_publishes() {
    rig::publish_if_asked();
}
