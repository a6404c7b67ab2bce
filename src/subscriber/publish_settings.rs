//! Words of `sparkngin publish` -> what a publisher is told: the flags mirror nginx's directives, their defaults and rules.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, absolute};
use std::time::{SystemTime, UNIX_EPOCH};

use sparkngin_core::field::FieldList;
use sparkngin_core::format::Fields;
use sparkngin_core::ring::{Configuration, NAMES, Name, Overflow};
use sparkngin_publisher::address::{LONGEST_SOCKET, Unlocked, tcp, unix, unlocked};
use sparkngin_publisher::key::{PublicKey, SecretKey, supported};
use sparkngin_publisher::{Curve, Settings};

use crate::args::Publish;
use crate::config;
use crate::word::Wrong;

/// What a publisher of this directory is told.
///
/// # Errors
/// [`Wrong`]: the first word that cannot be, or what others reach and nothing locks.
pub fn read(args: &Publish) -> Result<Settings, Wrong> {
    let live_word = args.live.as_deref().unwrap_or("127.0.0.1:7000");
    let (live, open) = address("--live", live_word)?;
    let beside = format!("unix:{}", args.dir.join("feed.sock").display());
    let feed_word = args.feed.as_deref().unwrap_or(&beside);
    let (feed, _) = address("--feed", feed_word)?;
    if feed == live {
        return Err(Wrong::flag("--feed", feed_word, "it must be elsewhere than live"));
    }
    let guests = guests(&args.subscriber)?;
    let curve = curve(args, &guests)?;
    let keyed = guests.iter().map(|(name, key)| (name, key.is_some()));
    let open = unlocked(open, curve.is_some(), Some(&feed), keyed);
    match open.filter(|_| !args.insecure) {
        None => {}
        Some(Unlocked::Live) => {
            let why =
                "it needs --curve-key or --insecure: who reaches the port can read every event";
            return Err(Wrong::flag("--live", live_word, why));
        }
        Some(Unlocked::Feed(name)) => {
            let why = format!(
                "it needs --subscriber {name}=FILE with a key, or --insecure: who reaches the port can acknowledge its events"
            );
            return Err(Wrong::flag("--feed", feed_word, why));
        }
    }
    let policy = policy(args)?;
    let subscribers = guests.into_iter().map(|(name, _)| name).collect();
    let default = ("plain", Fields::Listed(FieldList::default_live()));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(Settings {
        live,
        feed,
        curve,
        rendering: config::rendering(&args.rendering, default)?,
        gzip: args.gzip,
        configuration: Configuration { policy, subscribers, configured_at: now.as_nanos() as u64 },
    })
}

/// An endpoint, and whether other machines reach it.
fn address(flag: &'static str, word: &str) -> Result<(String, bool), Wrong> {
    let must = "it must be address:port or unix:path";
    match word.strip_prefix("unix:") {
        Some("") => Err(Wrong::flag(flag, word, must)),
        Some(path) => {
            let path = absolute(path).map_err(|error| Wrong::flag(flag, word, error))?;
            let endpoint = unix(path.as_os_str().as_bytes()).ok_or_else(|| {
                let why = format!("its path must have {LONGEST_SOCKET} bytes of UTF-8 at most");
                Wrong::flag(flag, word, why)
            })?;
            Ok((endpoint, false))
        }
        None => tcp(word.as_bytes()).ok_or_else(|| Wrong::flag(flag, word, must)),
    }
}

/// Names, and the keys of those that have one.
fn guests(words: &[String]) -> Result<Vec<(Name, Option<PublicKey>)>, Wrong> {
    let mut guests: Vec<(Name, Option<PublicKey>)> = Vec::new();
    for word in words {
        let wrong = |why: String| Wrong::flag("--subscriber", word, why);
        let (name, file) =
            word.split_once('=').map_or((word.as_str(), None), |(n, f)| (n, Some(f)));
        let name: Name = name.parse().map_err(|why| wrong(format!("{why}")))?;
        let key =
            file.map(|file| PublicKey::read(Path::new(file)).map_err(|why| wrong(why.to_string())));
        let key = key.transpose()?;
        if guests.iter().any(|(other, _)| *other == name) {
            return Err(wrong("the name stands there twice".to_owned()));
        }
        if let Some((other, _)) = guests.iter().find(|(_, other)| key.is_some() && *other == key) {
            return Err(wrong(format!("its key is that of \"{other}\"")));
        }
        guests.push((name, key));
    }
    match words.get(NAMES) {
        Some(word) => {
            Err(Wrong::flag("--subscriber", word, format!("there must be {NAMES} at most")))
        }
        None => Ok(guests),
    }
}

fn curve(args: &Publish, guests: &[(Name, Option<PublicKey>)]) -> Result<Option<Curve>, Wrong> {
    let Some(file) = &args.curve_key else {
        let keyed = args.subscriber.iter().find(|word| word.contains('='));
        return match (keyed, &args.readers) {
            (Some(word), _) => Err(Wrong::flag("--subscriber", word, "its key needs --curve-key")),
            (_, Some(word)) => Err(Wrong::flag("--readers", word, "it needs --curve-key")),
            (None, None) => Ok(None),
        };
    };
    let secret = supported().and_then(|()| SecretKey::read(Path::new(file)));
    let secret = secret.map_err(|why| Wrong::flag("--curve-key", file, why))?;
    let readers = args.readers.as_ref().map(|file| {
        PublicKey::read_all(Path::new(file)).map_err(|why| Wrong::flag("--readers", file, why))
    });
    let subscribers = guests.iter().map(|(_, key)| *key).collect();
    Ok(Some(Curve { secret, subscribers, readers: readers.transpose()? }))
}

fn policy(args: &Publish) -> Result<Overflow, Wrong> {
    let nobody = args.subscriber.is_empty();
    match args.overflow.as_deref() {
        None if nobody => Ok(Overflow::Overwrite),
        None => Ok(Overflow::Reject),
        Some("overwrite") => Ok(Overflow::Overwrite),
        Some(word @ "reject") if nobody => {
            let why = "it needs a --subscriber: without one nothing ever frees a block";
            Err(Wrong::flag("--overflow", word, why))
        }
        Some("reject") => Ok(Overflow::Reject),
        Some(word) => Err(Wrong::flag("--overflow", word, "it must be overwrite or reject")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(change: impl FnOnce(&mut Publish)) -> Publish {
        let mut args = Publish { dir: "/run/sn".into(), ..Publish::default() };
        change(&mut args);
        args
    }

    #[test]
    fn the_defaults_are_those_of_nginx() {
        let settings = read(&args(|_| {})).unwrap();
        assert_eq!(settings.live, "tcp://127.0.0.1:7000");
        assert_eq!(settings.feed, "ipc:///run/sn/feed.sock");
        assert_eq!(settings.configuration.policy, Overflow::Overwrite);
        let settings = read(&args(|a| a.subscriber = vec!["kafka".into()])).unwrap();
        assert_eq!(settings.configuration.policy, Overflow::Reject);
        assert_eq!(settings.curve, None);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_flag_and_its_twin_is_read() {
        type Change = fn(&mut Publish);
        let rows: &[(&str, Change, Change)] = &[
            ("--live", |a| a.live = Some("x".into()), |a| a.live = Some("7001".into())),
            (
                "--live",
                |a| a.live = Some("*:7001".into()),
                |a| {
                    a.live = Some("*:7001".into());
                    a.insecure = true;
                },
            ),
            ("--feed", |a| a.feed = Some("unix:".into()), |a| a.feed = Some("unix:f".into())),
            (
                "--feed",
                |a| a.feed = Some("127.0.0.1:7000".into()),
                |a| {
                    a.feed = Some("127.0.0.1:7001".into());
                },
            ),
            (
                "--feed",
                |a| {
                    a.feed = Some("127.0.0.1:7001".into());
                    a.subscriber = vec!["kafka".into()];
                },
                |a| {
                    a.feed = Some("127.0.0.1:7001".into());
                    a.subscriber = vec!["kafka".into()];
                    a.insecure = true;
                },
            ),
            (
                "--subscriber",
                |a| a.subscriber = vec!["a b".into()],
                |a| {
                    a.subscriber = vec!["a".into(), "b".into()];
                },
            ),
            ("--subscriber", |a| a.subscriber = vec!["a".into(), "a".into()], |_| {}),
            ("--subscriber", |a| a.subscriber = vec!["a=/nowhere".into()], |_| {}),
            (
                "--subscriber",
                |a| a.subscriber = "a b c d e".split(' ').map(Into::into).collect(),
                |a| {
                    a.subscriber = "a b c d".split(' ').map(Into::into).collect();
                },
            ),
            ("--readers", |a| a.readers = Some("/nowhere".into()), |_| {}),
            ("--curve-key", |a| a.curve_key = Some("/nowhere".into()), |_| {}),
            (
                "--overflow",
                |a| a.overflow = Some("reject".into()),
                |a| {
                    a.overflow = Some("overwrite".into());
                },
            ),
            ("--overflow", |a| a.overflow = Some("drop".into()), |_| {}),
            (
                "--format",
                |a| a.rendering.format = Some("xml".into()),
                |a| a.rendering.format = Some("json".into()),
            ),
            (
                "--fields",
                |a| a.rendering.fields = Some("%ip% %ip%".into()),
                |a| a.rendering.fields = Some("%ip%".into()),
            ),
        ];
        for (flag, wrong, right) in rows {
            let said = read(&args(wrong)).unwrap_err().to_string();
            assert!(said.starts_with(flag) && !said.contains('\n'), "{flag}: {said}");
            assert!(read(&args(right)).is_ok(), "{flag}: its twin");
        }
    }
}
