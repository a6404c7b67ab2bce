//! Where the publisher binds: the words of `sparkngin_listen`, as endpoints of ZeroMQ.

use sparkngin_core::ring::Name;
use sparkngin_publisher::address::{LONGEST_SOCKET, Unlocked, tcp, unix, unlocked};
use sparkngin_publisher::key::PublicKey;

use crate::args::{Args, ConfError, Place};

const ADDRESS: &str = "\"port\", \"address:port\", \"unix:path\" or \"off\"";

/// What `sparkngin_listen` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// nginx does not publish: `sparkngin publish` does.
    pub off: bool,
    /// Where live messages are published.
    pub live: String,
    /// Where durable subscribers connect; None is `feed.sock` in the ring's directory.
    pub feed: Option<String>,
    /// Who may read live; None is whoever knows the publisher's key.
    pub readers: Option<Vec<PublicKey>>,
    /// Others than this machine reach live.
    open: bool,
    /// That it may be open, and the feed, too.
    insecure: bool,
    /// The directive as it stands there.
    text: String,
    /// Where.
    place: Place,
}

/// A named subscriber.
#[derive(Clone, Debug)]
pub struct Guest {
    /// Its name.
    pub name: Name,
    /// Its public key.
    pub key: Option<PublicKey>,
    /// The directive as it stands there.
    pub text: String,
    /// Where.
    pub place: Place,
}

impl Default for Listen {
    /// 127.0.0.1:7000, and the feed in the ring's directory.
    fn default() -> Listen {
        Listen {
            off: false,
            live: "tcp://127.0.0.1:7000".into(),
            feed: None,
            readers: None,
            open: false,
            insecure: false,
            text: String::new(),
            place: Place::default(),
        }
    }
}

impl Listen {
    /// Reads the directive's words.
    ///
    /// # Errors
    /// A word that is no address or no parameter; a file without keys.
    pub fn read(args: &mut Args<'_>) -> Result<Listen, ConfError> {
        let words: Vec<Vec<u8>> = args.words().map(<[u8]>::to_vec).collect();
        let (address, parameters) = words.split_first().ok_or(ConfError::Logged)?;
        if address == b"off" {
            if let Some(word) = parameters.first() {
                return Err(args.parameter(word, "nothing behind \"off\""));
            }
            let (text, place) = (args.text(), args.place());
            return Ok(Listen { off: true, text, place, ..Listen::default() });
        }
        args.distinct()?;
        let mut feed = None;
        let (mut readers, mut insecure) = (None, false);
        for word in parameters {
            if let Some(address) = word.strip_prefix(b"feed=") {
                feed = Some(feed_at(args, address)?);
            } else if let Some(path) = word.strip_prefix(b"readers=") {
                readers = Some(args.key(path, PublicKey::read_all)?);
            } else if word == b"insecure" {
                insecure = true;
            } else {
                return Err(args.parameter(word, "\"feed=\", \"readers=\" or \"insecure\""));
            }
        }
        let (live, open) = match address.strip_prefix(b"unix:") {
            Some(path) => (socket(args, path)?, false),
            None => tcp(address).ok_or_else(|| args.invalid(address, ADDRESS))?,
        };
        if feed.as_ref() == Some(&live) {
            return Err(ConfError::Told(format!(
                "the feed must be elsewhere than live in \"{}\"",
                args.text()
            )));
        }
        Ok(Listen {
            off: false,
            live,
            feed,
            readers,
            open,
            insecure,
            text: args.text(),
            place: args.place(),
        })
    }

    /// Checks that nothing is said here which only a publisher could heed, if there is none.
    ///
    /// # Errors
    /// As [`Listen::locked`].
    pub fn heeded(&self, given: &[(bool, &str)]) -> Result<(), (String, Place)> {
        match given.iter().find(|(there, _)| self.off && *there) {
            None => Ok(()),
            Some((_, name)) => Err((
                format!(
                    "\"{}\" leaves \"{name}\" to \"sparkngin publish\", it must not stand here",
                    self.text
                ),
                self.place.clone(),
            )),
        }
    }

    /// Checks that what others reach is locked, or said to be `insecure`.
    ///
    /// # Errors
    /// A sentence, and where the directive stands.
    pub fn locked(&self, curve: bool, guests: &[Guest]) -> Result<(), (String, Place)> {
        let text = &self.text;
        let told = |what: String| Err((what, self.place.clone()));
        if self.readers.is_some() && !curve {
            return told(format!("\"readers=\" in \"{text}\" needs \"sparkngin_curve_key\""));
        }
        let guests = guests.iter().map(|guest| (&guest.name, guest.key.is_some()));
        let open = unlocked(self.open, curve, self.feed.as_deref(), guests);
        match open.filter(|_| !self.insecure) {
            None => Ok(()),
            Some(Unlocked::Live) => told(format!(
                "\"{text}\" needs \"sparkngin_curve_key\" or \"insecure\": who reaches the port can read every event"
            )),
            Some(Unlocked::Feed(name)) => told(format!(
                "\"{text}\" needs \"key=\" in \"sparkngin_subscriber {name}\", or \"insecure\": who reaches the port can \
                 acknowledge its events"
            )),
        }
    }
}

fn feed_at(args: &mut Args<'_>, address: &[u8]) -> Result<String, ConfError> {
    match address.strip_prefix(b"unix:") {
        Some(path) => socket(args, path),
        None => match tcp(address).filter(|_| address.contains(&b':')) {
            Some((endpoint, _)) => Ok(endpoint),
            None => Err(args.invalid(address, "\"feed=address:port\" or \"feed=unix:path\"")),
        },
    }
}

/// The endpoint of a unix socket.
fn socket(args: &mut Args<'_>, path: &[u8]) -> Result<String, ConfError> {
    if path.is_empty() {
        return Err(args.invalid(b"unix:", ADDRESS));
    }
    let full = args.path(path)?;
    unix(&full).ok_or_else(|| {
        args.invalid(
            path,
            format!("a path of at most {LONGEST_SOCKET} bytes of UTF-8, as sockets need"),
        )
    })
}
