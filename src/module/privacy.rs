//! `sparkngin_privacy`: what is not stored of clients, and of whom nothing is.

use sparkngin_core::escape::Shown;
use sparkngin_core::event::{Addresses, Privacy};

use crate::args::{Args, ConfError};
use crate::request::Incoming;

const WORDS: &str = "\"off\", \"dnt\", \"gpc\", \"ip=mask\", \"ip=none\" or \"cookies=\"";

/// What the directive says.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    dnt: bool,
    gpc: bool,
    /// What is stored of the others.
    pub stored: Privacy,
}

impl Policy {
    /// Reads the words of the directive; None for `off`.
    ///
    /// # Errors
    /// The word that is wrong.
    pub fn read(args: &Args<'_>) -> Result<Option<Policy>, ConfError> {
        if args.off()? {
            return Ok(None);
        }
        args.distinct()?;
        let mut policy = Policy::default();
        for word in args.words() {
            match word {
                b"dnt" => policy.dnt = true,
                b"gpc" => policy.gpc = true,
                b"ip=mask" => policy.stored.addresses = Addresses::Masked,
                b"ip=none" => policy.stored.addresses = Addresses::None,
                _ => match word.strip_prefix(b"cookies=") {
                    Some(keys) => policy.stored.cookies = Some(listed(args, keys)?),
                    None => return Err(args.parameter(word, WORDS)),
                },
            }
        }
        Ok(Some(policy))
    }

    /// The header by which a client says that it does not want to be tracked, if that is honoured.
    pub fn objection(&self, incoming: Incoming<'_>) -> Option<&'static str> {
        let says = |name: &str| incoming.named(name.as_bytes()).is_some_and(|value| value == b"1");
        match () {
            () if self.gpc && says("sec-gpc") => Some("gpc"),
            () if self.dnt && says("dnt") => Some("dnt"),
            () => None,
        }
    }
}

/// The keys of `cookies=`; none is a list, too.
fn listed(args: &Args<'_>, keys: &[u8]) -> Result<Vec<Box<[u8]>>, ConfError> {
    let mut list: Vec<Box<[u8]>> = Vec::new();
    for key in keys.split(|byte| *byte == b',').filter(|key| !key.is_empty()) {
        if list.iter().any(|other| **other == *key) {
            let text = format!("duplicate cookie \"{}\" in \"{}\"", Shown(key), args.text());
            return Err(ConfError::Told(text));
        }
        list.push(key.into());
    }
    Ok(list)
}
