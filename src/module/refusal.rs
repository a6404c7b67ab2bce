//! Why nothing of a request is stored: what the client gets, and what error.log says.

use sparkngin_core::event::Invalid;
use sparkngin_core::inflate::{ALWAYS, CODINGS};
use sparkngin_core::ring::{Refusals, Refused, Why};

use crate::answer::Answer;
use crate::body::Missing;
use crate::kept::Faults;
use crate::level::Denied;
use crate::stage::refusal;
use crate::unpack::Packed;
use crate::variables::Outcome;
use crate::waiting::NoPlace;

/// Why nothing is stored.
pub enum Refusal {
    /// More is asked for than is given.
    Denied(Denied),
    /// Its topic is not taken here.
    Topic(String),
    /// So many requests wait already.
    Busy(usize),
    /// It is no event.
    Invalid(Invalid),
    /// Not one of several is an event.
    None(Box<Faults>),
    /// None of several found a place, for this reason; all that are not stored.
    Unstored(Box<Refusal>, Box<Faults>),
    /// Its body is not there, or larger than this.
    Body(Missing, usize),
    /// Its body, which may hold several events, has so many bytes, and may have so many.
    Long(u64, usize),
    /// Its body is compressed, and cannot be read.
    Packed(Packed),
    /// The ring took nothing.
    Ring(Refused),
    /// Something is missing, as a client may know it.
    Away(&'static str),
}

impl From<NoPlace> for Refusal {
    fn from(none: NoPlace) -> Refusal {
        match none {
            NoPlace::Taken(limit) => Refusal::Busy(limit),
            NoPlace::Away(why) => Refusal::Away(why),
        }
    }
}

impl Refusal {
    /// As `$sparkngin_status` has it.
    pub fn outcome(&self) -> Outcome {
        match self {
            Refusal::Invalid(invalid) if invalid.status() == 413 => Outcome::Large,
            Refusal::Packed(Packed::TooLarge(_) | Packed::Steep { .. }) => Outcome::Large,
            Refusal::Invalid(_) | Refusal::Packed(_) => Outcome::Invalid,
            Refusal::None(faults) if faults.status() == 413 => Outcome::Large,
            Refusal::None(_) => Outcome::Invalid,
            Refusal::Unstored(why, _) => why.outcome(),
            Refusal::Body(Missing::TooLarge(_), _)
            | Refusal::Long(..)
            | Refusal::Ring(Refused::TooLarge { .. }) => Outcome::Large,
            Refusal::Ring(Refused::Full { .. }) => Outcome::Full,
            Refusal::Denied(Denied::Unknown) => Outcome::Invalid,
            Refusal::Denied(_) | Refusal::Topic(_) => Outcome::Denied,
            Refusal::Busy(_) => Outcome::Busy,
            Refusal::Ring(Refused::Poisoned)
            | Refusal::Away(_)
            | Refusal::Body(Missing::File(_), _) => Outcome::Away,
        }
    }

    /// Counts it: as one, unless it names each event.
    pub fn add_to(&self, refusals: &mut Refusals) {
        let why = match self.outcome() {
            Outcome::Large => Why::Large,
            Outcome::Full => Why::Full,
            Outcome::Busy => Why::Busy,
            Outcome::Away => Why::Away,
            Outcome::Denied => Why::Denied,
            _ => Why::Invalid,
        };
        match self {
            Refusal::None(faults) | Refusal::Unstored(_, faults) => faults.add_to(refusals, why),
            _ => refusals.add(why, 1),
        }
    }

    /// Status, sentence and field, as the client gets them.
    pub fn answer(&self) -> Answer {
        let field = match self {
            Refusal::None(faults) => return Answer::none(faults),
            Refusal::Unstored(why, faults) => return Answer::unstored(&why.text(), faults),
            Refusal::Packed(Packed::Unknown) => return Answer::unsupported(&self.sentence()),
            Refusal::Invalid(invalid) => invalid.field(),
            Refusal::Body(Missing::TooLarge(_), _) | Refusal::Long(..) | Refusal::Packed(_) => {
                Some("data")
            }
            Refusal::Denied(_) => Some("Sparkngin-Ack"),
            Refusal::Topic(_) => Some("topic"),
            _ => None,
        };
        let status = match self.outcome() {
            Outcome::Large => 413,
            Outcome::Full | Outcome::Busy | Outcome::Away => 503,
            Outcome::Denied => 403,
            Outcome::Invalid
            | Outcome::Stored(_)
            | Outcome::Partial(_)
            | Outcome::Late(_)
            | Outcome::Private => 400,
        };
        Answer::error(status, &self.text(), field)
    }

    /// What is wrong, as a client may know it.
    pub fn text(&self) -> String {
        match self {
            Refusal::Ring(refused @ (Refused::Full { .. } | Refused::Poisoned)) => {
                refusal(refused).into()
            }
            Refusal::Busy(_) => "too many requests wait already".into(),
            Refusal::Body(Missing::File(_), _) => "the body could not be read".into(),
            _ => self.sentence(),
        }
    }

    /// Whether nothing more can be written to this ring.
    pub fn is_poisoned(&self) -> bool {
        match self {
            Refusal::Unstored(why, _) => why.is_poisoned(),
            refusal => matches!(refusal, Refusal::Ring(Refused::Poisoned)),
        }
    }

    /// What error.log says.
    pub fn sentence(&self) -> String {
        match self {
            Refusal::Invalid(invalid) => invalid.to_string(),
            Refusal::None(faults) => faults.sentence(),
            Refusal::Unstored(why, _) => why.sentence(),
            Refusal::Packed(Packed::Unknown) => {
                format!("the header must name one coding alone: {CODINGS}")
            }
            Refusal::Packed(Packed::Bad(coding, why)) => {
                format!("the body is not whole {} data: {why}", coding.name())
            }
            Refusal::Packed(Packed::TooLarge(cap)) => {
                format!(
                    "the body has more than {cap} bytes once it is inflated, it must have {cap} at most"
                )
            }
            Refusal::Packed(Packed::Steep { cap, bytes, ratio }) => {
                format!(
                    "the body of {bytes} bytes has more than {cap} once it is inflated, it must have at most {ratio} times as \
                     many as came, or {ALWAYS}"
                )
            }
            Refusal::Long(bytes, limit) => {
                format!("the body has {bytes} bytes, it must have {limit} at most")
            }
            Refusal::Body(Missing::TooLarge(bytes), limit) => {
                format!(
                    "the body has {bytes} bytes, the event must have {limit} at most as it would be stored"
                )
            }
            Refusal::Body(Missing::File(error), _) => {
                format!("the body's temporary file cannot be read: {error}")
            }
            Refusal::Ring(refused) => refused.to_string(),
            Refusal::Denied(denied) => denied.to_string(),
            Refusal::Topic(topic) => format!("topic \"{topic}\" is not taken here"),
            Refusal::Busy(limit) => {
                format!("{limit} requests of this worker wait already, \"sparkngin_max_pending\"")
            }
            Refusal::Away(why) => (*why).into(),
        }
    }
}
