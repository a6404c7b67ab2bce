//! `sparkngin keygen`: a pair of keys, in two files of a line each.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use sparkngin_publisher::key::SecretKey;

use crate::args::Keygen;

/// Draws a pair, writes NAME.key for its owner alone and NAME.pub for everybody. What is there already stays.
///
/// # Errors
/// A sentence; then no file was left behind.
pub fn run(args: &Keygen) -> Result<(), String> {
    let (secret, public) = SecretKey::draw().map_err(|error| error.to_string())?;
    let (key, public_file) = (beside(&args.name, ".key"), beside(&args.name, ".pub"));
    write(&key, 0o600, &secret.line())?;
    if let Err(why) = write(&public_file, 0o644, &public.to_string()) {
        // Without its other half it is of no use; if it stays, the next run says so.
        let _ = fs::remove_file(&key);
        return Err(why);
    }
    println!("{}  the secret key, stays with its owner (mode 0600)", key.display());
    println!("{}  the public key, for the other side", public_file.display());
    Ok(())
}

fn beside(name: &Path, end: &str) -> PathBuf {
    let mut name = name.as_os_str().to_owned();
    name.push(end);
    PathBuf::from(name)
}

fn write(path: &Path, mode: u32, line: &str) -> Result<(), String> {
    let wrong = |error| format!("{}: {error}, nothing was written", path.display());
    let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    let mut file = file.map_err(wrong)?;
    let written = writeln!(file, "{line}").and_then(|()| file.sync_all());
    written.map_err(|error| {
        // Half a key is none.
        let _ = fs::remove_file(path);
        wrong(error)
    })
}
