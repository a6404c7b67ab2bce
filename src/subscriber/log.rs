//! Where log lines go, and how they are written there: stderr for people, machines or the journal, or a syslog server.

mod line;
mod syslog;

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;

use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, fmt, registry};

use line::Line;
use syslog::{Place, Syslog};

/// What it must be.
const MUST: &str = "it must be auto, text, json, journald, syslog or syslog:ADDRESS (unix:PATH, udp:HOST:PORT or tcp:HOST:PORT)";
/// Where a machine's own syslog listens.
const OWN: &str = "/dev/log";

/// Where lines go, and how they are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Form {
    /// A progress line and short text, on stderr.
    Terminal,
    /// A line of text for each event, on stderr.
    Text,
    /// A JSON object for each event, on stderr.
    Json,
    /// On stderr, which systemd reads: a line for each event with its priority before it.
    Journal,
    /// To a syslog server, as RFC 5424 has it.
    Syslog(Place),
}

impl Form {
    /// `auto`, `text`, `json`, `journald`, `syslog` or `syslog:ADDRESS`.
    ///
    /// # Errors
    /// What it must be.
    pub fn read(word: &str) -> Result<Form, &'static str> {
        match word.split_once(':') {
            Some(("syslog", place)) => Place::read(place).map(Form::Syslog).ok_or(MUST),
            Some(_) => Err(MUST),
            None => match word {
                "auto" if io::stderr().is_terminal() => Ok(Form::Terminal),
                "auto" if is_journal() => Ok(Form::Journal),
                "auto" | "text" => Ok(Form::Text),
                "json" => Ok(Form::Json),
                "journald" => Ok(Form::Journal),
                "syslog" => Ok(Form::Syslog(Place::Unix(OWN.into()))),
                _ => Err(MUST),
            },
        }
    }
}

/// Whether stderr leads to the journal: systemd says which file that is.
fn is_journal() -> bool {
    let Ok(said) = std::env::var("JOURNAL_STREAM") else { return false };
    let own = io::stderr().as_fd().try_clone_to_owned().map(File::from);
    own.and_then(|file| file.metadata())
        .is_ok_and(|it| said == format!("{}:{}", it.dev(), it.ino()))
}

/// What must be done before the program ends: lines that wait are sent, for 2 s at most.
#[derive(Debug)]
#[must_use]
pub struct Log(Option<Syslog>);

impl Drop for Log {
    fn drop(&mut self) {
        if let Some(syslog) = &self.0 {
            syslog.flush();
        }
    }
}

/// Begins to log. `RUST_LOG` chooses what, as usual.
///
/// # Errors
/// The system has no thread for it.
pub fn begin(form: &Form) -> io::Result<Log> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let mut kept = None;
    // A second start within one process, as in tests, keeps the first log.
    let _ = match form {
        Form::Terminal => fmt()
            .with_env_filter(filter)
            .with_target(false)
            .with_writer(Cleared::new)
            .without_time()
            .try_init()
            .is_ok(),
        Form::Text => fmt()
            .with_env_filter(filter)
            .with_target(false)
            .with_writer(io::stderr)
            .with_ansi(false)
            .try_init()
            .is_ok(),
        Form::Json => fmt()
            .with_env_filter(filter)
            .with_target(false)
            .with_writer(io::stderr)
            .json()
            .flatten_event(true)
            .try_init()
            .is_ok(),
        Form::Journal => registry().with(filter).with(Out::Journal).try_init().is_ok(),
        Form::Syslog(place) => {
            let syslog = Syslog::start(place.clone())?;
            kept = Some(syslog.clone());
            registry().with(filter).with(Out::Syslog(syslog)).try_init().is_ok()
        }
    };
    Ok(Log(kept))
}

/// Where whole lines go.
enum Out {
    Journal,
    Syslog(Syslog),
}

impl<S: Subscriber> Layer<S> for Out {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let line = Line::new(event);
        match self {
            // One call, so that no other thread's line gets between; who cannot log cannot say so either.
            Out::Journal => drop(io::stderr().write_all(line.journal().as_bytes())),
            Out::Syslog(syslog) => syslog.send(&line),
        }
    }
}

/// Stderr, where a log line first clears the progress line.
struct Cleared;

impl Cleared {
    fn new() -> Cleared {
        let _ = io::stderr().write_all(b"\r\x1b[K");
        Cleared
    }
}

impl Write for Cleared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        io::stderr().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_read_and_what_is_none_is_not() {
        let at = |place| Ok(Form::Syslog(place));
        assert_eq!(Form::read("json"), Ok(Form::Json));
        assert_eq!(Form::read("journald"), Ok(Form::Journal));
        assert_eq!(Form::read("syslog"), at(Place::Unix("/dev/log".into())));
        assert_eq!(Form::read("syslog:unix:/run/s"), at(Place::Unix("/run/s".into())));
        assert_eq!(Form::read("syslog:udp:h:514"), at(Place::Udp("h:514".into())));
        assert_eq!(Form::read("syslog:tcp:[::1]:6514"), at(Place::Tcp("[::1]:6514".into())));
        for none in [
            "",
            "xml",
            "syslog:",
            "syslog:h:514",
            "syslog:udp:h",
            "syslog:tcp::1",
            "syslog:unix:",
            "text:x",
        ] {
            assert_eq!(Form::read(none), Err(MUST), "{none}");
        }
    }
}
