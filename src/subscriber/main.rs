//! The program `sparkngin`: from nginx's ring to Kafka, and what is needed around it.
//!
//! Exit codes: 0 as asked, 1 something failed, 2 wrong configuration, 3 another subscriber of the name took over. What
//! is wrong is one line on stderr.

mod access;
mod args;
mod ask;
mod audit;
mod backlog;
mod check;
mod cluster;
mod config;
mod cursor_topic;
mod delivery;
mod doctor;
mod drain;
mod fault;
mod feed;
mod figures;
mod flight;
mod ganglia;
mod gate;
mod heartbeat;
mod http;
mod kafka;
mod keygen;
mod keys;
mod latency;
mod layers;
mod letter;
mod librdkafka;
mod log;
mod mapping;
mod metrics;
mod mock_kafka;
mod parked;
mod place;
mod places;
mod plan;
mod plugin;
mod post;
mod publish;
mod publish_settings;
mod queue;
mod report;
mod ring;
mod rooms;
mod route;
mod said;
mod service;
mod settings_file;
mod sink;
mod slab;
mod socket;
mod states;
mod subscribe;
mod tag;
mod tail;
mod top;
mod topics;
mod transaction;
mod view;
mod wake;
mod word;

use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{ArgMatches, CommandFactory, FromArgMatches};

use crate::args::{Cli, Command};
use crate::layers::Layers;
use crate::log::Form;
use crate::mapping::Mapping;
use crate::sink::End;

/// Why it ends, if not as asked.
enum Failed {
    Wrong(String),
    Fenced(String),
    Other(String),
}

fn main() -> ExitCode {
    let parsed = Cli::command().try_get_matches();
    let parsed = parsed.and_then(|line| Cli::from_arg_matches(&line).map(|cli| (cli, line)));
    let (cli, line) = match parsed {
        Ok(parsed) => parsed,
        Err(error) => return not_parsed(&error),
    };
    let ended = match &cli.command {
        // These have exit codes of their own.
        Some(Command::Check(args)) => return ExitCode::from(check::run(args)),
        Some(Command::Doctor(args)) => return ExitCode::from(doctor::run(args)),
        Some(Command::Heartbeat(args)) => match heartbeat::run(args) {
            Ok(code) => return ExitCode::from(code),
            Err(text) => Err(Failed::Wrong(text)),
        },
        _ => run(cli, &line),
    };
    let (text, code) = match ended {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Failed::Other(text)) => (text, 1),
        Err(Failed::Wrong(text)) => (text, 2),
        Err(Failed::Fenced(text)) => (text, 3),
    };
    eprintln!("sparkngin: {text}");
    ExitCode::from(code)
}

fn run(cli: Cli, line: &ArgMatches) -> Result<(), Failed> {
    if cli.version {
        let (_, kafka) = rdkafka::util::get_rdkafka_version();
        println!(
            "sparkngin {} (librdkafka {kafka}, libzmq {})",
            env!("CARGO_PKG_VERSION"),
            socket::version()
        );
        return Ok(());
    }
    match cli.command {
        None => Err(Failed::Wrong("a command is needed, see sparkngin --help".to_owned())),
        Some(Command::Subscribe(args)) => {
            let (_, line) = line.subcommand().unwrap_or(("", line));
            subscribe(&args.source, line)
        }
        Some(Command::Audit(args)) => audit::run(&args).map_err(|ended| match ended {
            audit::Ended::Wrong(text) => Failed::Wrong(text),
            audit::Ended::Failed(text) => Failed::Other(text),
        }),
        Some(Command::Tail(args)) => {
            let keys = keys::read(&args.keys, 1).map_err(|e| Failed::Wrong(e.to_string()))?;
            tail::run(&args, keys.first()).map_err(Failed::Other)
        }
        Some(Command::Publish(args)) => publish::run(&args),
        Some(Command::Check(_) | Command::Doctor(_) | Command::Heartbeat(_)) => Ok(()),
        Some(Command::Status(args)) => states::run(&args).map_err(|ended| match ended {
            states::Ended::Wrong(text) => Failed::Wrong(text),
            states::Ended::Ill(text) => Failed::Other(text),
        }),
        Some(Command::Top(args)) => top::run(&args).map_err(|ended| match ended {
            top::Ended::Wrong(text) => Failed::Wrong(text),
            top::Ended::Failed(text) => Failed::Other(text),
        }),
        Some(Command::Ganglia(args)) => ganglia::run(&args).map_err(|ended| match ended {
            ganglia::Ended::Wrong(text) => Failed::Wrong(text),
            ganglia::Ended::Failed(text) => Failed::Other(text),
        }),
        Some(Command::Keygen(args)) => keygen::run(&args).map_err(Failed::Other),
        Some(Command::Ring(args::Ring::Drain(args))) => drain::run(&args).map_err(|e| match e {
            drain::Ended::Wrong(text) => Failed::Wrong(text),
            drain::Ended::Failed(text) => Failed::Other(text),
        }),
        Some(Command::Ring(args)) => ring::run(&args).map_err(Failed::Other),
        Some(Command::MockKafka(args)) => mock_kafka::run(&args).map_err(Failed::Wrong),
    }
}

/// Tests the settings, shows them, or subscribes by them.
fn subscribe(source: &args::Source, line: &ArgMatches) -> Result<(), Failed> {
    let read = || Layers::read(line, std::env::vars_os());
    let layers = read().map_err(Failed::Wrong)?;
    let settings = layers.settings().map_err(Failed::Wrong)?;
    if source.dump_config {
        print!("{}", layers.dump());
        return Ok(());
    }
    if source.test {
        for name in &layers.ignored {
            eprintln!("sparkngin: {name} in the environment is no setting, it is ignored");
        }
        println!("{}: the settings are good", layers.file.as_deref().unwrap_or("command line"));
        return Ok(());
    }
    let form = settings.form.clone();
    let _log = log::begin(&form).map_err(|error| Failed::Other(format!("no log: {error}")))?;
    for name in &layers.ignored {
        tracing::warn!("{name} in the environment is no setting, it is ignored");
    }
    let again = || {
        let new = read()?;
        let mapping = Mapping::from(new.settings()?);
        let fixed = layers.fixed(&new);
        if !fixed.is_empty() {
            tracing::warn!("HUP: changed, but needs a new start: {}", fixed.join(", "));
        }
        Ok(mapping)
    };
    let ended = match subscribe::run(settings, &again) {
        Ok(End::Asked) => Ok(()),
        Err(text) | Ok(End::Wrong(text)) => Err(Failed::Wrong(text)),
        Ok(End::Failed(text)) => Err(Failed::Other(text)),
        Ok(End::Fenced(text)) => Err(Failed::Fenced(text)),
    };
    // On stderr it is said in any case, by `main`.
    if let (
        Err(Failed::Wrong(text) | Failed::Other(text) | Failed::Fenced(text)),
        Form::Syslog(_),
    ) = (&ended, &form)
    {
        tracing::error!("ended: {text}");
    }
    ended
}

/// The first sentence, which names the word that is wrong, and for a word that does not exist what may have been meant.
fn in_a_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let sentence: Vec<&str> =
        text.lines().take_while(|line| !line.is_empty()).map(str::trim).collect();
    let sentence = sentence.join(" ");
    let sentence = sentence.strip_prefix("error: ").unwrap_or(&sentence);
    let unknown = [ErrorKind::InvalidSubcommand, ErrorKind::UnknownArgument];
    if !unknown.contains(&error.kind()) {
        return sentence.to_owned();
    }
    let mut tips = text.lines().filter_map(|line| line.trim().strip_prefix("tip: "));
    match tips.find(|tip| tip.contains("exist")) {
        Some(tip) => format!("{sentence}; {tip}"),
        None => format!("{sentence}, see --help"),
    }
}

/// Help is printed as it is; what is wrong is one line.
fn not_parsed(error: &clap::Error) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            let _ = error.print();
            ExitCode::SUCCESS
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = error.print();
            ExitCode::from(2)
        }
        _ => {
            eprintln!("sparkngin: {}", in_a_line(error));
            // To who runs a plugin 2 is CRITICAL, and 3 that it could not look.
            let typed = |at: usize, wanted: &str| {
                std::env::args_os().nth(at).is_some_and(|word| word == wanted)
            };
            let plugin = typed(1, "check")
                || typed(1, "doctor")
                || typed(1, "heartbeat") && std::env::args_os().any(|word| word == "--check");
            ExitCode::from(if plugin { 3 } else { 2 })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(words: &[&str]) -> String {
        let words = ["sparkngin"].iter().chain(words);
        in_a_line(&Cli::command().try_get_matches_from(words).unwrap_err())
    }

    #[test]
    fn a_word_that_does_not_exist_comes_with_the_one_that_may_have_been_meant() {
        let rings = "unrecognized subcommand 'rings'; a similar subcommand exists: 'ring'";
        assert_eq!(said(&["rings"]), rings);
        let feed = "unexpected argument '--feeed' found; a similar argument exists: '--feed'";
        assert_eq!(said(&["subscribe", "--feeed", "x"]), feed);
        assert_eq!(said(&["xyzzy"]), "unrecognized subcommand 'xyzzy', see --help");
        let tail = said(&["tail", "--xyzzy"]);
        assert_eq!(tail, "unexpected argument '--xyzzy' found, see --help");
        let value = said(&["ring", "status"]);
        assert!(value.contains("<DIR>") && !value.contains("see --help"), "{value}");
    }
}
