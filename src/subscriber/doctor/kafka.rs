//! Kafka's topics: how many copies of a record there are, who must have it before it counts, and how large it may be.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, ConfigResource, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::{FromClientConfig, FromClientConfigAndContext};
use rdkafka::metadata::MetadataTopic;
use rdkafka::producer::{BaseProducer, Producer};
use sparkngin_publisher::words::bytes;

use crate::args::doctor::Area;
use crate::cluster::{is_mock, wait_for};
use crate::config::{KafkaSettings, Target};
use crate::kafka::Quiet;
use crate::letter::Letters;
use crate::topics::{Allowed, Pattern};

use super::finding::Findings;

const AREA: Area = Area::Kafka;
/// How long the cluster may take for an answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Topics that are asked for at once.
const AT_ONCE: usize = 100;
/// Topics that a line names.
const NAMED: usize = 5;

/// What a topic is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum For {
    Events,
    Letters,
    Cursors,
}

/// A topic, as far as it matters.
#[derive(Clone, Debug)]
struct Topic {
    name: String,
    what: For,
    /// Copies of the partition that has the fewest.
    copies: usize,
    /// Of these up to date.
    in_sync: usize,
    /// min.insync.replicas
    least: Option<usize>,
    /// max.message.bytes
    most: Option<u64>,
    /// cleanup.policy has `compact`.
    compacted: bool,
    /// unclean.leader.election.enable
    unclean: bool,
}

/// Something wrong: whether it is an error, what it is, and what to do.
type Fault = (bool, String, &'static str);

/// Looks. `largest` is the largest event that nginx takes, if that is known.
pub fn look(target: &Target, largest: Option<u64>, findings: &mut Findings) {
    let Target::Kafka(kafka) = target else {
        findings.ok(AREA, "events go to a file, no Kafka is asked");
        return;
    };
    let (topics, brokers) = match topics(kafka, findings) {
        Ok(Some(found)) => found,
        Ok(None) => return,
        Err(why) => {
            let found = format!("{} does not answer: {why}", kafka.access.servers());
            findings.error(AREA, found, "start Kafka, or correct `kafka` and its properties");
            return;
        }
    };
    missing(kafka, &topics, findings);
    let mut faults: BTreeMap<Fault, Vec<&str>> = BTreeMap::new();
    for topic in &topics {
        for fault in wrong(topic, brokers, largest) {
            faults.entry(fault).or_default().push(&topic.name);
        }
    }
    if faults.is_empty() {
        findings.ok(
            AREA,
            format!("{brokers} brokers, {} topics: nothing is wrong with any", topics.len()),
        );
    }
    for ((error, what, remedy), names) in faults {
        let found = format!("{what}: {}", list(&names));
        if error { findings.error(AREA, found, remedy) } else { findings.warn(AREA, found, remedy) }
    }
}

/// What is wrong with a topic.
fn wrong(topic: &Topic, brokers: usize, largest: Option<u64>) -> Vec<Fault> {
    let mut faults = Vec::new();
    let Topic { copies, in_sync, least, .. } = *topic;
    let least = least.unwrap_or(1);
    if copies == 1 {
        let remedy = if brokers == 1 {
            "add brokers, and give the topics a replication factor of 3"
        } else {
            "raise the replication factor (kafka-reassign-partitions.sh), 3 is usual"
        };
        let what = "one broker has the only copy (replication factor 1): its disk takes acknowledged events with it";
        faults.push((false, what.to_owned(), remedy));
    } else if least == 1 {
        let what = format!(
            "a record counts as kept when one of {copies} brokers has it (min.insync.replicas 1)"
        );
        faults.push((false, what, "set min.insync.replicas=2 (kafka-configs.sh --alter)"));
    } else if least == copies {
        let what = format!(
            "nothing is taken while one broker is away (min.insync.replicas {least} of {copies} replicas)"
        );
        faults.push((
            false,
            what,
            "raise the replication factor by one (kafka-reassign-partitions.sh)",
        ));
    }
    if least > copies {
        let what =
            format!("nothing is ever taken (min.insync.replicas {least} of {copies} replicas)");
        faults.push((
            true,
            what,
            "lower min.insync.replicas (kafka-configs.sh --alter), or raise the replication factor",
        ));
    } else if in_sync < least {
        let what = format!("nothing is taken now ({in_sync} replicas in sync, {least} needed)");
        faults.push((true, what, "start the brokers that are away"));
    }
    if topic.unclean {
        let what = "a broker that is behind may lead, and what it lacks is gone (unclean.leader.election.enable)";
        faults.push((
            false,
            what.to_owned(),
            "set unclean.leader.election.enable=false (kafka-configs.sh --alter)",
        ));
    }
    if topic.compacted && topic.what == For::Events {
        let what = "records without a key are refused (cleanup.policy compact)";
        faults.push((
            false,
            what.to_owned(),
            "set cleanup.policy=delete, or see to it that each event has a key",
        ));
    }
    faults.extend(too_large(topic, largest));
    faults
}

/// Escapes and the names of fields make an event's JSON larger than it is in the ring.
fn too_large(topic: &Topic, largest: Option<u64>) -> Option<Fault> {
    let (most, largest) = (topic.most?, largest?);
    if most >= largest * 2 || topic.what == For::Cursors {
        return None;
    }
    let sizes = format!(
        "(max.message.bytes {}, sparkngin_max_event {}, and JSON may be twice that)",
        bytes(most),
        bytes(largest)
    );
    let remedy =
        "set max.message.bytes to twice sparkngin_max_event or more (kafka-configs.sh --alter)";
    Some(match topic.what {
        For::Letters => (
            true,
            format!("the dead letter may refuse a large event, and then nothing goes on {sizes}"),
            remedy,
        ),
        _ => (
            false,
            format!("a large event may be refused, and goes to the dead letter {sizes}"),
            remedy,
        ),
    })
}

/// Topics that are named and not there.
fn missing(kafka: &KafkaSettings, topics: &[Topic], findings: &mut Findings) {
    if kafka.create {
        return;
    }
    let there = |name: &str| topics.iter().any(|topic| topic.name == name);
    if let Letters::Topic(name) = &kafka.letters
        && !there(name)
    {
        let found = format!(
            "the dead letter's topic {name} is not there: what Kafka refuses waits, and all behind it"
        );
        findings.error(
            AREA,
            found,
            "make it (kafka-topics.sh --create), or set create-topics = true",
        );
    }
    if let Allowed::Listed(patterns) = &kafka.allowed {
        let names = patterns.iter().filter_map(|pattern| match pattern {
            Pattern::Name(name) if !there(name) => Some(name.as_str()),
            _ => None,
        });
        let names: Vec<&str> = names.collect();
        if !names.is_empty() {
            let found = format!(
                "listed topics are not there, their events go to the dead letter: {}",
                list(&names)
            );
            findings.warn(
                AREA,
                found,
                "make them (kafka-topics.sh --create), or set create-topics = true",
            );
        }
    }
}

/// All topics that records may go to, and how many brokers there are. None if this is no Kafka that could be asked more.
fn topics(
    kafka: &KafkaSettings,
    findings: &mut Findings,
) -> Result<Option<(Vec<Topic>, usize)>, String> {
    let config = kafka.access.common();
    let client = BaseProducer::from_config_and_context(config, Quiet).map_err(|e| e.to_string())?;
    let metadata = client.client().fetch_metadata(None, PATIENCE).map_err(|e| e.to_string())?;
    if is_mock(client.client()) {
        let found = "this is librdkafka's mock cluster: it keeps everything in memory";
        findings.warn(AREA, found, "produce to a Kafka");
        return Ok(None);
    }
    let listed = metadata.topics().iter().filter(|topic| topic.error().is_none());
    let mut topics: Vec<Topic> = listed.filter_map(|topic| Topic::new(topic, kafka)).collect();
    let admin: AdminClient<DefaultClientContext> =
        AdminClient::from_config(config).map_err(|error| error.to_string())?;
    let options = AdminOptions::new().request_timeout(Some(PATIENCE));
    for some in topics.chunks_mut(AT_ONCE) {
        let asked: Vec<ResourceSpecifier<'_>> =
            some.iter().map(|topic| ResourceSpecifier::Topic(&topic.name)).collect();
        let told = wait_for(admin.describe_configs(&asked, &options)).map_err(|e| e.to_string())?;
        // Answers come in the order of the questions.
        let told: Vec<_> = told.into_iter().map(Result::ok).collect();
        for (topic, told) in some.iter_mut().zip(told) {
            if let Some(told) = told {
                topic.learn(&told);
            }
        }
    }
    if let Some(topic) = topics.iter().find(|topic| topic.most.is_none()) {
        let found = format!("Kafka does not show the properties of {}", topic.name);
        findings.warn(AREA, found, "allow DescribeConfigs of topics to the subscriber's user");
    }
    Ok(Some((topics, metadata.brokers().len())))
}

impl Topic {
    fn new(topic: &MetadataTopic, kafka: &KafkaSettings) -> Option<Topic> {
        let name = topic.name();
        let letters = matches!(&kafka.letters, Letters::Topic(own) if own == name);
        let what = match &kafka.allowed {
            _ if letters => For::Letters,
            _ if name == kafka.cursors => kafka.exact.as_ref().map(|_| For::Cursors)?,
            Allowed::Existing if !name.starts_with('_') => For::Events,
            Allowed::Listed(list) if list.iter().any(|pattern| pattern.has(name)) => For::Events,
            _ => return None,
        };
        let partitions = topic.partitions();
        Some(Topic {
            name: name.to_owned(),
            what,
            copies: partitions.iter().map(|it| it.replicas().len()).min().unwrap_or(0),
            in_sync: partitions.iter().map(|it| it.isr().len()).min().unwrap_or(0),
            least: None,
            most: None,
            compacted: false,
            unclean: false,
        })
    }

    fn learn(&mut self, told: &ConfigResource) {
        let value = |name| told.get(name).and_then(|entry| entry.value.as_deref());
        self.least = value("min.insync.replicas").and_then(|text| text.parse().ok());
        self.most = value("max.message.bytes").and_then(|text| text.parse().ok());
        self.compacted = value("cleanup.policy").is_some_and(|text| text.contains("compact"));
        self.unclean = value("unclean.leader.election.enable") == Some("true");
    }
}

/// The first few of these.
fn list(names: &[&str]) -> String {
    let first = names[..names.len().min(NAMED)].join(", ");
    match names.len().saturating_sub(NAMED) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(copies: usize, in_sync: usize, least: usize) -> Topic {
        Topic {
            name: "t".into(),
            what: For::Events,
            copies,
            in_sync,
            least: Some(least),
            most: Some(1 << 20),
            compacted: false,
            unclean: false,
        }
    }

    #[test]
    fn only_more_copies_than_must_be_in_sync_and_more_than_one_of_these_are_fine() {
        let words = |topic: &Topic| -> Vec<String> {
            let faults = wrong(topic, 3, Some(32 << 10));
            faults.into_iter().map(|(error, what, _)| format!("{error} {what}")).collect()
        };
        assert_eq!(words(&topic(3, 3, 2)), [""; 0]);
        for (it, says) in [
            (topic(1, 1, 1), "false one broker has the only copy"),
            (topic(3, 3, 1), "false a record counts as kept when one of 3"),
            (topic(2, 2, 2), "false nothing is taken while one broker is away"),
            (topic(2, 2, 3), "true nothing is ever taken"),
            (topic(3, 1, 2), "true nothing is taken now (1 replicas in sync, 2 needed)"),
            (Topic { unclean: true, ..topic(3, 3, 2) }, "false a broker that is behind"),
            (Topic { compacted: true, ..topic(3, 3, 2) }, "false records without a key"),
            (Topic { most: Some(60_000), ..topic(3, 3, 2) }, "false a large event may be refused"),
            (
                Topic { most: Some(60_000), what: For::Letters, ..topic(3, 3, 2) },
                "true the dead letter",
            ),
        ] {
            let said = words(&it);
            assert!(said.len() == 1 && said[0].starts_with(says), "{said:?} {says}");
        }
        let cursors =
            Topic { compacted: true, most: Some(1), what: For::Cursors, ..topic(3, 3, 2) };
        assert_eq!(words(&cursors), [""; 0]);
    }

    #[test]
    fn a_line_names_the_first_few() {
        assert_eq!(list(&["a", "b"]), "a, b");
        assert_eq!(list(&["a", "b", "c", "d", "e", "f", "g"]), "a, b, c, d, e and 2 more");
    }
}
