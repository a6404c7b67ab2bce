//! Copies a Kafka topic, partition by partition, header by header, with one fault on the way.
//!
//! ```text
//! copier SERVERS FROM TO none|drop|duplicate|swap|both [SEED]
//! ```
//! `drop` leaves a record out, `duplicate` writes one a second time somewhere behind itself, `swap` exchanges two of one
//! stream, `both` drops one and duplicates another. TO must exist, with as many partitions. What was done is one line.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::{Headers, Message, OwnedHeaders, OwnedMessage};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

const PATIENCE: Duration = Duration::from_secs(30);

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [servers, from, to, fault, rest @ ..] = &args[..] else {
        eprintln!("copier SERVERS FROM TO none|drop|duplicate|swap|both [SEED]");
        return ExitCode::from(2);
    };
    let seed = rest.first().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    match copy(servers, (from, to), fault, seed) {
        Ok(done) => {
            println!("{done}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("copier: {error}");
            ExitCode::FAILURE
        }
    }
}

fn copy(servers: &str, (from, to): (&str, &str), fault: &str, seed: u64) -> KafkaResult<String> {
    let mut partitions = read(servers, from)?;
    let done = strike(&mut partitions, fault, Dice(seed));
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", servers)
        .set("enable.idempotence", "true")
        .create()?;
    for (partition, records) in partitions {
        for record in &records {
            let record = BaseRecord::<[u8], [u8]>::to(to)
                .partition(partition)
                .timestamp(record.timestamp().to_millis().unwrap_or(0))
                .key(record.key().unwrap_or_default())
                .payload(record.payload().unwrap_or_default())
                .headers(record.headers().cloned().unwrap_or_else(OwnedHeaders::new));
            producer.send(record).map_err(|(error, _)| error)?;
        }
        producer.flush(PATIENCE)?;
    }
    Ok(done)
}

/// Every record, by partition, in order.
fn read(servers: &str, topic: &str) -> KafkaResult<BTreeMap<i32, Vec<OwnedMessage>>> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", servers)
        .set("group.id", "copier")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("fetch.wait.max.ms", "10")
        .create()?;
    let metadata = consumer.fetch_metadata(Some(topic), PATIENCE)?;
    let count = metadata.topics().first().map_or(0, |topic| topic.partitions().len()) as i32;
    let mut partitions = BTreeMap::new();
    for partition in 0..count {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Beginning)?;
        consumer.assign(&list)?;
        let records: &mut Vec<OwnedMessage> = partitions.entry(partition).or_default();
        loop {
            match consumer.poll(PATIENCE) {
                Some(Ok(message)) => records.push(message.detach()),
                Some(Err(KafkaError::PartitionEOF(_))) => break,
                Some(Err(error)) => return Err(error),
                None => return Err(KafkaError::Canceled),
            }
        }
    }
    Ok(partitions)
}

fn strike(
    partitions: &mut BTreeMap<i32, Vec<OwnedMessage>>,
    fault: &str,
    mut dice: Dice,
) -> String {
    let Some(records) = partitions.values_mut().max_by_key(|records| records.len()) else {
        return "nothing is there".to_owned();
    };
    match fault {
        "drop" => drop_one(records, &mut dice),
        "duplicate" => duplicate_one(records, &mut dice),
        "swap" => swap_two(records, &mut dice),
        "both" => drop_one(records, &mut dice) + ", " + &duplicate_one(records, &mut dice),
        _ => "as it was".to_owned(),
    }
}

/// The places of records whose event is there once: to drop one copy of two would be no loss.
fn single(records: &[OwnedMessage]) -> Vec<usize> {
    let mut times: BTreeMap<String, u32> = BTreeMap::new();
    records.iter().for_each(|record| *times.entry(sg(record)).or_default() += 1);
    (0..records.len()).filter(|at| times[&sg(&records[*at])] == 1).collect()
}

fn drop_one(records: &mut Vec<OwnedMessage>, dice: &mut Dice) -> String {
    let single = single(records);
    let gone = records.remove(single[dice.below(single.len())]);
    format!("dropped {}", sg(&gone))
}

fn duplicate_one(records: &mut Vec<OwnedMessage>, dice: &mut Dice) -> String {
    let single = single(records);
    let at = single[dice.below(single.len())];
    let again = records[at].clone();
    let done = format!("duplicated {}", sg(&again));
    records.insert(at + 1 + dice.below(records.len() - at), again);
    done
}

fn swap_two(records: &mut [OwnedMessage], dice: &mut Dice) -> String {
    let single = single(records);
    let one = single[dice.below(single.len())];
    let stream = |at: usize| sg(&records[at]).rsplit_once('-').map(|(stream, _)| stream.to_owned());
    let same = single.iter().filter(|at| **at != one && stream(**at) == stream(one));
    let same: Vec<usize> = same.copied().collect();
    let other = same[dice.below(same.len())];
    let done = format!("swapped {} and {}", sg(&records[one]), sg(&records[other]));
    records.swap(one, other);
    done
}

fn sg(record: &OwnedMessage) -> String {
    let headers = record.headers();
    let value = headers.and_then(|all| all.iter().find(|header| header.key == "sg")?.value);
    String::from_utf8_lossy(value.unwrap_or_default()).into_owned()
}

/// Numbers that look random; the same ones for the same seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % n.max(1)
    }
}
