//! CURVE keys, and the files that hold them: 32 bytes, written as one line of 40 characters (Z85, ZeroMQ's RFC 32).
//!
//! A secret key's file is for its owner alone; who can read it can be who it stands for.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::socket;

/// Bytes of a key.
const BYTES: usize = 32;
/// Characters of it.
const CHARACTERS: usize = 40;
/// The most that is read of a file: a list of keys may have so many.
const LARGEST: u64 = 64 * 1024;
/// Z85's digits, 0 to 84.
const DIGITS: &[u8; 85] =
    b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#";

/// What others may know of somebody.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PublicKey([u8; BYTES]);

/// What only he knows. It is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretKey([u8; BYTES]);

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read.
    #[error("open() \"{}\" failed ({error})", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: Reason,
    },
    /// Others may read a secret.
    #[error(
        "others than its owner may use the secret key \"{}\": its mode is {mode:04o}, it must be 0600",
        path.display()
    )]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its mode's last nine bits.
        mode: u32,
    },
    /// The public half of a pair stands where the secret one is wanted.
    #[error("\"{}\" is a public key, and a secret one is wanted here: the other file of the pair, \"{}\"", path.display(), other.display())]
    Public {
        /// The file.
        path: PathBuf,
        /// The one that has the other half.
        other: PathBuf,
    },
    /// The secret half of a pair stands where the public one is wanted.
    #[error("\"{}\" is a secret key, and a public one is wanted here: the other file of the pair, \"{}\"", path.display(), other.display())]
    Secret {
        /// The file.
        path: PathBuf,
        /// The one that has the other half.
        other: PathBuf,
    },
    /// Something else stands there.
    #[error("\"{}\" holds no key, it must be a line of 40 characters as \"sparkngin keygen\" writes it", path.display())]
    NoKey {
        /// The file.
        path: PathBuf,
    },
    /// libzmq was built without it.
    #[error("the libzmq of this machine has no CURVE")]
    NoCurve,
}

/// The system's reason, as nginx words it: `2: No such file or directory`.
#[derive(Debug)]
pub struct Reason(io::Error);

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.to_string();
        match self.0.raw_os_error() {
            Some(number) => {
                let text = text.split(" (os error").next().unwrap_or_default();
                write!(f, "{number}: {text}")
            }
            None => f.write_str(&text),
        }
    }
}

impl std::error::Error for Reason {}

impl PublicKey {
    /// These bytes, if they are so many as a key has.
    pub fn from_bytes(bytes: &[u8]) -> Option<PublicKey> {
        bytes.try_into().ok().map(PublicKey)
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The key in a file.
    ///
    /// # Errors
    /// [`KeyError`], with the file's name.
    pub fn read(path: &Path) -> Result<PublicKey, KeyError> {
        let text = read(path, false)?;
        let key = decode(text.trim_ascii()).map(PublicKey).ok_or_else(|| no_key(path))?;
        not_secret(path, key)
    }

    /// The keys in a file, each on a line of its own; at least one.
    ///
    /// # Errors
    /// [`KeyError`], with the file's name.
    pub fn read_all(path: &Path) -> Result<Vec<PublicKey>, KeyError> {
        let text = read(path, false)?;
        let lines = text.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii);
        let keys: Option<Vec<_>> =
            lines.filter(|line| !line.is_empty()).map(|line| decode(line).map(PublicKey)).collect();
        let keys = keys.filter(|keys| !keys.is_empty()).ok_or_else(|| no_key(path))?;
        if let [key] = keys.as_slice() {
            not_secret(path, *key)?;
        }
        Ok(keys)
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&encode(&self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

impl SecretKey {
    /// The key in a file that nobody but its owner may use.
    ///
    /// # Errors
    /// [`KeyError`], with the file's name.
    pub fn read(path: &Path) -> Result<SecretKey, KeyError> {
        let text = read(path, true);
        if let (Err(KeyError::Exposed { .. }) | Ok(_), Some(other)) = (&text, is_public(path)) {
            return Err(KeyError::Public { path: path.to_owned(), other });
        }
        let text = text?;
        decode(text.trim_ascii()).map(SecretKey).ok_or_else(|| no_key(path))
    }

    /// A new pair, drawn by the system's own source of chance.
    ///
    /// # Errors
    /// [`KeyError::NoCurve`]
    pub fn draw() -> Result<(SecretKey, PublicKey), KeyError> {
        supported()?;
        let pair = zmq::CurveKeyPair::new().map_err(|_| KeyError::NoCurve)?;
        Ok((SecretKey(pair.secret_key), PublicKey(pair.public_key)))
    }

    /// The public key that belongs to it.
    ///
    /// # Errors
    /// [`KeyError::NoCurve`]
    pub fn public(&self) -> Result<PublicKey, KeyError> {
        let public = socket::curve_public(&encode(&self.0)).ok_or(KeyError::NoCurve)?;
        decode(&public).map(PublicKey).ok_or(KeyError::NoCurve)
    }

    /// Its bytes, for a socket.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Its line, for a file.
    pub fn line(&self) -> String {
        encode(&self.0)
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(...)")
    }
}

/// Whether keys are of any use here.
///
/// # Errors
/// [`KeyError::NoCurve`]
pub fn supported() -> Result<(), KeyError> {
    match zmq::has("curve") {
        Some(true) => Ok(()),
        _ => Err(KeyError::NoCurve),
    }
}

/// The file that "sparkngin keygen" wrote beside this one, and its key. None if there is none.
fn sibling(path: &Path, ending: &str) -> Option<(PathBuf, [u8; BYTES])> {
    let other = path.with_extension(ending);
    let text = read(&other, false).ok().filter(|_| other != path)?;
    Some((other, decode(text.trim_ascii())?))
}

/// The key, unless the file beside it says that it is a secret one.
fn not_secret(path: &Path, key: PublicKey) -> Result<PublicKey, KeyError> {
    match sibling(path, "pub") {
        Some((other, public)) if SecretKey(key.0).public().is_ok_and(|own| own.0 == public) => {
            Err(KeyError::Secret { path: path.to_owned(), other })
        }
        _ => Ok(key),
    }
}

/// The secret half of the pair of which this file has the public one, as the file beside it says.
fn is_public(path: &Path) -> Option<PathBuf> {
    let own = decode(read(path, false).ok()?.trim_ascii())?;
    let (other, secret) = sibling(path, "key")?;
    SecretKey(secret).public().is_ok_and(|public| public.0 == own).then_some(other)
}

fn no_key(path: &Path) -> KeyError {
    KeyError::NoKey { path: path.to_owned() }
}

fn read(path: &Path, secret: bool) -> Result<Vec<u8>, KeyError> {
    let unreadable = |error| KeyError::Unreadable { path: path.to_owned(), error: Reason(error) };
    // A pipe in its place must not let nginx wait.
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path);
    let file: File = file.map_err(unreadable)?;
    let about = file.metadata().map_err(unreadable)?;
    if !about.is_file() {
        return Err(no_key(path));
    }
    let mode = about.mode() & 0o777;
    if secret && mode & 0o077 != 0 {
        return Err(KeyError::Exposed { path: path.to_owned(), mode });
    }
    let mut text = Vec::new();
    file.take(LARGEST).read_to_end(&mut text).map_err(unreadable)?;
    Ok(text)
}

fn encode(bytes: &[u8; BYTES]) -> String {
    let digit = |word: u32, place: u32| char::from(DIGITS[(word / 85u32.pow(place) % 85) as usize]);
    let words =
        bytes.chunks_exact(4).map(|b| b.iter().fold(0, |word, &b| word << 8 | u32::from(b)));
    words.flat_map(|word| (0..5).rev().map(move |place| digit(word, place))).collect()
}

fn decode(text: &[u8]) -> Option<[u8; BYTES]> {
    if text.len() != CHARACTERS {
        return None;
    }
    let mut bytes = [0; BYTES];
    for (four, five) in bytes.chunks_exact_mut(4).zip(text.chunks_exact(5)) {
        let word = five.iter().try_fold(0u32, |word, character| {
            let digit = DIGITS.iter().position(|digit| digit == character)?;
            word.checked_mul(85)?.checked_add(digit as u32)
        });
        four.copy_from_slice(&word?.to_be_bytes());
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn keys_are_written_as_libzmq_writes_them() {
        for _ in 0..100 {
            let (secret, public) = SecretKey::draw().unwrap();
            for (bytes, text) in [(secret.0, secret.line()), (public.0, public.to_string())] {
                assert_eq!(text, zmq::z85_encode(&bytes).unwrap());
                assert_eq!(decode(text.as_bytes()), Some(bytes));
            }
            assert_eq!(secret.public().unwrap(), public);
        }
        // The test vector of RFC 32.
        assert_eq!(
            encode(&[0x86, 0x4F, 0xD2, 0x6F, 0xB5, 0x59, 0xF7, 0x5B].repeat(4).try_into().unwrap()),
            "HelloWorld".repeat(4)
        );
    }

    #[test]
    fn what_is_no_key_is_none() {
        let good = "HelloWorld".repeat(4);
        assert!(decode(good.as_bytes()).is_some());
        for bad in [
            "",
            &good[1..],
            &format!("{good}0"),
            &good.replacen('H', "~", 1),
            &good.replacen('H', "\u{e9}", 1),
            &"#".repeat(40),
        ] {
            assert_eq!(decode(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn a_key_of_a_pair_that_stands_in_the_others_place_is_told() {
        let dir = std::env::temp_dir().join(format!("sgp-{}", std::process::id()));
        fs::create_dir(&dir).unwrap();
        let (secret, public) = SecretKey::draw().unwrap();
        let (own, shared) = (dir.join("a.key"), dir.join("a.pub"));
        fs::write(&own, secret.line()).unwrap();
        fs::set_permissions(&own, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&shared, public.to_string()).unwrap();
        assert_eq!(PublicKey::read(&shared).unwrap(), public);
        assert!(SecretKey::read(&own).unwrap() == secret);
        let (a, b) = (own.display(), shared.display());
        let wanted = format!(
            "\"{a}\" is a secret key, and a public one is wanted here: the other file of the pair, \"{b}\""
        );
        assert_eq!(PublicKey::read(&own).unwrap_err().to_string(), wanted);
        assert_eq!(PublicKey::read_all(&own).unwrap_err().to_string(), wanted);
        for mode in [0o644, 0o600] {
            fs::set_permissions(&shared, fs::Permissions::from_mode(mode)).unwrap();
            let said = SecretKey::read(&shared).unwrap_err().to_string();
            let wanted = format!(
                "\"{b}\" is a public key, and a secret one is wanted here: the other file of the pair, \"{a}\""
            );
            assert_eq!(said, wanted);
        }
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn a_secret_is_not_shown_and_not_read_from_a_file_that_others_may_use() {
        let dir = std::env::temp_dir().join(format!("sgk-{}", std::process::id()));
        fs::create_dir(&dir).unwrap();
        let path = dir.join("a.key");
        let (secret, public) = SecretKey::draw().unwrap();
        assert!(!format!("{secret:?}").contains(&secret.line()));
        fs::write(&path, format!("{}\n", secret.line())).unwrap();
        for (mode, may) in
            [(0o600, true), (0o400, true), (0o640, false), (0o604, false), (0o620, false)]
        {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let read = SecretKey::read(&path);
            assert_eq!(read.is_ok_and(|read| read == secret), may, "{mode:o}");
        }
        fs::write(&path, format!("\n{public}\r\n\n{public}")).unwrap();
        assert_eq!(PublicKey::read_all(&path).unwrap(), [public, public]);
        fs::write(&path, format!("{public}\nx\n")).unwrap();
        let said = PublicKey::read_all(&path).unwrap_err().to_string();
        assert!(said.ends_with("a.key\" holds no key, it must be a line of 40 characters as \"sparkngin keygen\" writes it"), "{said}");
        let said = PublicKey::read(&dir).unwrap_err().to_string();
        assert!(said.contains("holds no key"), "{said}");
        let said = PublicKey::read(&dir.join("b")).unwrap_err().to_string();
        assert!(said.ends_with("b\" failed (2: No such file or directory)"), "{said}");
        fs::remove_dir_all(&dir).unwrap();
    }
}
