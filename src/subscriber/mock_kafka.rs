//! `sparkngin mock-kafka`: librdkafka's mock cluster as a process of its own, for trying things out without Java.
//!
//! Its brokers listen where the system lets them. What has a port of the caller's choice is a door: bytes are passed on
//! to the first broker, whose metadata then names the brokers' own ports.

use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;

use rdkafka::mocking::MockCluster;
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::args::MockKafka;
use crate::wake;

/// Partitions of topics made by name.
const PARTITIONS: i32 = 4;

/// Runs until TERM or INT.
///
/// # Errors
/// A sentence: the port is taken, a topic's name is not legal.
pub fn run(args: &MockKafka) -> Result<(), String> {
    let failed = |error: rdkafka::error::KafkaError| error.to_string();
    let door = TcpListener::bind(("127.0.0.1", args.port))
        .map_err(|error| format!("--port {}: {error}", args.port))?;
    let cluster = MockCluster::new(args.brokers.into()).map_err(failed)?;
    for topic in &args.topic {
        if !sparkngin_core::event::is_topic(topic.as_bytes()) {
            return Err(format!("--topic {topic:?}: it is no legal topic name"));
        }
        cluster.create_topic(topic, PARTITIONS, args.brokers.min(3).into()).map_err(failed)?;
    }
    let servers = cluster.bootstrap_servers();
    let first = servers.split(',').next().unwrap_or_default().to_owned();
    let address = door.local_addr().map_err(|error| error.to_string())?;
    let (waker, wakes) = wake::pair().map_err(|error| error.to_string())?;
    for signal in [SIGTERM, SIGINT] {
        let end =
            waker.socket().and_then(|end| signal_hook::low_level::pipe::register(signal, end));
        end.map_err(|error| format!("signals: {error}"))?;
    }
    thread::spawn(move || {
        for client in door.incoming().flatten() {
            if let Ok(broker) = TcpStream::connect(&first) {
                let _ = pass(client, broker);
            }
        }
    });
    println!("{address}");
    eprintln!(
        "sparkngin: mock Kafka on {address} (brokers {servers}): in memory only, it forgets what is beyond 5 MB a \
         partition and is no real Kafka; TERM or INT ends it"
    );
    wakes.wait().map_err(|error| error.to_string())
}

/// Passes bytes on, both ways, until one side has no more.
fn pass(client: TcpStream, broker: TcpStream) -> io::Result<()> {
    for (mut from, mut to) in [(client.try_clone()?, broker.try_clone()?), (broker, client)] {
        thread::spawn(move || {
            let _ = io::copy(&mut from, &mut to);
            let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
        });
    }
    Ok(())
}
