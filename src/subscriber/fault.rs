//! Why Kafka did not take a record, and whose fault that is.

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

/// Why a record was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Whose fault it is.
    pub blame: Blame,
    /// Kafka's or librdkafka's words.
    pub text: String,
}

/// Whose fault a failure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// Some record of the batch can never be stored: alone it is poison.
    Record,
    /// The topic is missing or forbidden: the record waits.
    Topic,
    /// The broker refused, and it is not known why: sent again, poison only after `patience` alone.
    Broker,
    /// It went down with another one, or with the connection: sent again.
    Circumstance,
}

/// What an error of librdkafka's says of the record that it came for.
pub fn of(error: &KafkaError) -> Fault {
    use RDKafkaErrorCode as Code;
    let Some(code) = error.rdkafka_error_code() else {
        return Fault { blame: Blame::Broker, text: error.to_string() };
    };
    let blame = match code {
        Code::MessageSizeTooLarge
        | Code::MessageBatchTooLarge
        | Code::InvalidRecord
        | Code::InvalidMessage
        | Code::InvalidMessageSize
        | Code::InvalidTimestamp
        | Code::UnsupportedForMessageFormat
        | Code::PolicyViolation => Blame::Record,
        Code::TopicAuthorizationFailed
        | Code::UnknownTopicOrPartition
        | Code::UnknownTopic
        | Code::InvalidTopic => Blame::Topic,
        Code::PurgeQueue
        | Code::PurgeInflight
        | Code::Fatal
        | Code::GaplessGuarantee
        // A topic's new partitions were listed, and this producer did not hear of them yet: the next one will.
        | Code::UnknownPartition
        | Code::MessageTimedOut
        | Code::BrokerTransportFailure
        | Code::AllBrokersDown
        | Code::OperationTimedOut
        | Code::TimedOutQueue
        | Code::BrokerDestroy
        | Code::DestroyBroker
        | Code::State
        | Code::Outdated
        | Code::Retry
        | Code::Inconsistent
        | Code::Fenced
        | Code::Authentication
        | Code::SSL
        | Code::OutOfOrderSequenceNumber
        | Code::DuplicateSequenceNumber
        | Code::InvalidProducerEpoch
        | Code::UnknownProducerId
        | Code::InvalidProducerIdMapping
        | Code::ProducerFenced
        | Code::NotLeaderForPartition
        | Code::LeaderNotAvailable
        | Code::RequestTimedOut
        | Code::BrokerNotAvailable
        | Code::ReplicaNotAvailable
        | Code::NetworkException
        | Code::NotEnoughReplicas
        | Code::NotEnoughReplicasAfterAppend
        | Code::KafkaStorageError
        | Code::FencedLeaderEpoch
        | Code::UnknownLeaderEpoch
        | Code::ThrottlingQuotaExceeded
        | Code::ClusterAuthorizationFailed => Blame::Circumstance,
        _ => Blame::Broker,
    };
    Fault { blame, text: code.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_broker_says_of_a_record_is_blamed_on_records() {
        let blame = |code| of(&KafkaError::MessageProduction(code)).blame;
        assert_eq!(blame(RDKafkaErrorCode::MessageSizeTooLarge), Blame::Record);
        assert_eq!(blame(RDKafkaErrorCode::TopicAuthorizationFailed), Blame::Topic);
        assert_eq!(blame(RDKafkaErrorCode::PurgeQueue), Blame::Circumstance);
        // The client's own list of partitions is older than the listing that counted them.
        assert_eq!(blame(RDKafkaErrorCode::UnknownPartition), Blame::Circumstance);
        assert_eq!(blame(RDKafkaErrorCode::Unknown), Blame::Broker);
    }
}
