//! What the service manager is told (sd_notify): ready, alive, reading again, leaving, and how it goes in a sentence.
//! Where there is no manager nobody is told anything.

use std::time::{Duration, Instant};

use sd_notify::NotifyState;

/// A new sentence at most this often.
const STATUS: Duration = Duration::from_secs(1);

/// The manager, if there is one.
#[derive(Debug)]
pub struct Service {
    /// How often it is told that we live, and when that is due.
    beat: Option<(Duration, Instant)>,
    said: String,
    say: Instant,
}

impl Service {
    /// Asks the environment how often the manager wants to hear something.
    pub fn new(now: Instant) -> Service {
        // Twice in its time would do; four times bears a machine that is busy.
        let beat = sd_notify::watchdog_enabled().map(|time| (time / 4, now));
        Service { beat, said: String::new(), say: now }
    }

    /// The settings are good, and the loop turns. Kafka and nginx need not be there: they may come later.
    pub fn ready(&self) {
        tell(&[NotifyState::Ready]);
    }

    /// The loop turned. Gives the time at which it must have turned again.
    pub fn alive(&mut self, now: Instant) -> Option<Instant> {
        let (time, due) = self.beat.as_mut()?;
        if now >= *due {
            tell(&[NotifyState::Watchdog]);
            *due = now + *time;
        }
        Some(*due)
    }

    /// How it goes.
    pub fn status(&mut self, text: &str, now: Instant) {
        if now >= self.say && text != self.said {
            tell(&[NotifyState::Status(text)]);
            self.said = text.to_owned();
            self.say = now + STATUS;
        }
    }

    /// The settings are read again; [`Service::ready`] says that they were.
    pub fn reloading(&self) {
        if let Ok(time) = NotifyState::monotonic_usec_now() {
            tell(&[NotifyState::Reloading, time]);
        }
    }

    /// It leaves, for as long as it takes to hear what Kafka has.
    pub fn leaving(&self) {
        tell(&[NotifyState::Stopping]);
    }
}

/// A manager that does not listen is none: there is nobody who could be told of it.
fn tell(state: &[NotifyState<'_>]) {
    let _ = sd_notify::notify(state);
}
