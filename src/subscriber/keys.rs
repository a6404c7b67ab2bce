//! The keys of a client: words -> what a socket needs for CURVE.

use std::path::Path;

use sparkngin_publisher::key::{self, KeyError, PublicKey, SecretKey};

use crate::args;
use crate::word::Wrong;

/// What a client of CURVE has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    secret: SecretKey,
    public: PublicKey,
    server: PublicKey,
}

impl Keys {
    /// Has a socket use them. To be called before it connects.
    ///
    /// # Errors
    /// What libzmq says.
    pub fn set(&self, socket: &zmq::Socket) -> zmq::Result<()> {
        socket.set_curve_serverkey(self.server.bytes())?;
        socket.set_curve_secretkey(self.secret.bytes())?;
        socket.set_curve_publickey(self.public.bytes())
    }
}

/// The keys for each of so many servers: of one key file all of them have it, else each its own. Without `--curve-key`
/// a key is drawn for this run. Empty without any word.
///
/// # Errors
/// [`Wrong`]: a file that holds no key, or a word that is missing.
pub fn read(args: &args::Keys, servers: usize) -> Result<Vec<Keys>, Wrong> {
    let files = &args.server_key;
    let Some(first) = files.first() else {
        return match &args.curve_key {
            None => Ok(Vec::new()),
            Some(word) => {
                Err(Wrong::flag("--curve-key", word, "it needs --server-key, the publisher's"))
            }
        };
    };
    if files.len() != 1 && files.len() != servers {
        let why = "there must be one for all feeds, or one for each in their order";
        return Err(Wrong::flag("--server-key", first, why));
    }
    let own =
        |why: KeyError| Wrong::flag("--curve-key", args.curve_key.as_deref().unwrap_or(""), why);
    key::supported().map_err(own)?;
    let (secret, public) = match &args.curve_key {
        Some(word) => {
            let secret = SecretKey::read(Path::new(word)).map_err(own)?;
            let public = secret.public().map_err(own)?;
            (secret, public)
        }
        None => SecretKey::draw().map_err(own)?,
    };
    let keys = |word: &String| {
        let server = PublicKey::read(Path::new(word));
        let server = server.map_err(|why| Wrong::flag("--server-key", word, why))?;
        Ok(Keys { secret: secret.clone(), public, server })
    };
    (0..servers).map(|n| keys(files.get(n).unwrap_or(first))).collect()
}
