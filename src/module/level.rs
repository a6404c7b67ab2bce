//! What a success means: which level of acknowledgement a location gives, and which one a request asks for.

use std::fmt;

/// What was reached before the answer, the weakest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// The event is in the ring.
    #[default]
    Ring,
    /// And a sync that began after that has succeeded.
    Disk,
    /// And every named subscriber has acknowledged it.
    Kafka,
}

/// All of them, the weakest first.
pub const LEVELS: [Level; 3] = [Level::Ring, Level::Disk, Level::Kafka];

/// What `sparkngin_ack` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ack {
    /// What each success means at least.
    pub level: Level,
    /// How long a request waits for that, ms.
    pub timeout: u64,
    /// The strongest that a client may ask for.
    pub max: Level,
}

impl Default for Ack {
    fn default() -> Ack {
        Ack { level: Level::Ring, timeout: 5000, max: Level::Kafka }
    }
}

/// Why a level that a client asked for is not given. Nothing was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// It is none.
    Unknown,
    /// It is more than the location gives: this one.
    Beyond(Level),
    /// There is nobody who could acknowledge the event.
    Nobody,
}

impl Level {
    /// The level of this name.
    pub fn of(word: &[u8]) -> Option<Level> {
        LEVELS.into_iter().find(|level| level.as_str().as_bytes() == word)
    }

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Level::Ring => "ring",
            Level::Disk => "disk",
            Level::Kafka => "kafka",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Ack {
    /// What a request waits for that says `asked` in its headers: the strongest of these, and never less than the
    /// location gives to everybody. `named`: there is a subscriber.
    ///
    /// # Errors
    /// [`Denied`]
    pub fn wanted<'a>(
        &self,
        asked: impl Iterator<Item = &'a [u8]>,
        named: bool,
    ) -> Result<Level, Denied> {
        let mut wanted = self.level;
        for word in asked {
            wanted = wanted.max(Level::of(word).ok_or(Denied::Unknown)?);
        }
        match wanted {
            _ if wanted > self.max => Err(Denied::Beyond(self.max)),
            Level::Kafka if !named => Err(Denied::Nobody),
            _ => Ok(wanted),
        }
    }
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Denied::Unknown => {
                f.write_str("the header must be \"ring\", \"disk\" or \"kafka\"")
            }
            Denied::Beyond(max) => {
                write!(f, "the strongest level that may be asked for here is \"{max}\"")
            }
            Denied::Nobody => f.write_str(
                "the level \"kafka\" cannot be asked for here: no subscriber is named who could acknowledge the event",
            ),
        }
    }
}
