//! Who is told of each change of colour.

use std::fmt;
use std::time::Duration;

use super::pulse::Pulse;
use crate::ask::Url;

/// How long it may take to hear; no beat begins meanwhile.
const PATIENCE: Duration = Duration::from_secs(5);

/// A webhook, and the colour that it knows.
pub struct Hook {
    text: String,
    url: Url,
    told: Option<bool>,
}

impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Hook {
    /// Nothing was told yet.
    ///
    /// # Errors
    /// What the URL must be.
    pub fn new(text: &str) -> Result<Hook, &'static str> {
        Ok(Hook { text: text.to_owned(), url: Url::exact(text)?, told: None })
    }

    /// Tells the colour of now, if it is another one than was told last. What was not heard is told again at the next
    /// call, if it is still so.
    ///
    /// # Errors
    /// Why it was not heard.
    pub fn tell(&mut self, pulse: &Pulse) -> Result<(), String> {
        let green = pulse.why().is_none();
        if self.told == Some(green) {
            return Ok(());
        }
        let body = pulse.message(self.told);
        match self.url.post("", ("application/json", &body), PATIENCE) {
            Ok(answer) if (200..300).contains(&answer.status) => {
                self.told = Some(green);
                Ok(())
            }
            Ok(answer) => Err(format!("it answers {}", answer.status)),
            Err(error) => Err(error.to_string()),
        }
    }
}
