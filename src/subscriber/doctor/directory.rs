//! The ring's directory: whose it is, on what it lies, and whether a second file has room.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use sparkngin_core::ring::{Ground, Tenant};
use sparkngin_publisher::words::bytes;

use crate::args::doctor::Area;

use super::finding::Findings;
use super::nginx::Nginx;

const AREA: Area = Area::Directory;

/// Looks.
pub fn look(nginx: &Nginx, findings: &mut Findings) {
    let dir = nginx.directory();
    let shown = dir.display();
    let about = match fs::metadata(&dir) {
        Ok(about) if about.is_dir() => about,
        Ok(_) => {
            let found = format!("{shown} is no directory");
            findings.error(AREA, found, "move it away, nginx makes a directory there");
            return;
        }
        Err(error) => {
            let found = format!("{shown} cannot be looked at: {error}");
            findings.error(AREA, found, to_reach(&error));
            return;
        }
    };
    owner(nginx, &dir, about.uid(), findings);
    if about.mode() & 0o077 != 0 {
        let found = format!("others may enter {shown}: its mode is {:04o}", about.mode() & 0o777);
        findings.warn(AREA, found, format!("chmod 0700 {shown}"));
    }
    tenants(&dir, findings);
    let ground = match Ground::look(&dir) {
        Ok(ground) => ground,
        Err(error) => {
            let remedy =
                "set sparkngin_buf_path to a directory on a local file system, and reload nginx";
            findings.error(AREA, error.to_string(), remedy);
            return;
        }
    };
    if ground.in_memory {
        let found = format!(
            "{shown} lies in memory (tmpfs): a power loss or a reboot takes what is not in Kafka yet"
        );
        findings.warn(
            AREA,
            found,
            "set sparkngin_buf_path to a directory on a disk, unless that is meant",
        );
    }
    let largest = rings(&dir).map(|(_, about)| about.len()).max();
    let Some(largest) = largest else {
        findings.ok(AREA, format!("{shown} has room for {}, and no ring yet", bytes(ground.room)));
        return;
    };
    let left = bytes(ground.room);
    if ground.room < largest {
        let found = format!(
            "{shown} has {left} left, and a ring's file takes {}: after a reboot, a change of its size or a failed sync there is no room for a second one",
            bytes(largest)
        );
        findings.warn(AREA, found, "make room there, or set a smaller sparkngin_buf_size");
    } else {
        findings.ok(AREA, format!("{shown} has {left} left, for ring files of {}", bytes(largest)));
    }
}

/// More than one nginx.
fn tenants(dir: &Path, findings: &mut Findings) {
    let all = Tenant::all(dir).unwrap_or_default();
    if all.len() > 1 {
        let names: Vec<String> = all.iter().map(ToString::to_string).collect();
        let (shown, names) = (dir.display(), names.join(" and "));
        let found = format!(
            "more than one nginx uses {shown}, {names}: each replaces the other's subscribers and overflow policy"
        );
        findings.error(AREA, found, "give each a sparkngin_buf_path of its own, and reload them");
    }
}

/// What to do about a directory that cannot be looked at.
fn to_reach(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => "run the doctor as root",
        io::ErrorKind::NotFound => {
            "start nginx, which makes it, or set sparkngin_buf_path to a directory whose parent exists"
        }
        _ => "set sparkngin_buf_path to a directory on a local file system, and reload nginx",
    }
}

/// Files in it that are named as rings are.
fn rings(dir: &Path) -> impl Iterator<Item = (String, fs::Metadata)> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        let digits = name.strip_prefix("ring.")?;
        let is_ring = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        is_ring.then_some(())?;
        Some((name, fs::symlink_metadata(entry.path()).ok()?))
    })
}

/// Workers run as nginx's `user`, if its master is root's; nobody else may use the ring.
fn owner(nginx: &Nginx, dir: &Path, uid: u32, findings: &mut Findings) {
    let shown = dir.display();
    let named = nginx.conf.word("user").or_else(|| nginx.option("user")).unwrap_or("nobody");
    let Some(wanted) = user(named) else { return };
    // Without root nginx ignores `user`.
    let own = nginx.master().and_then(|master| fs::metadata(format!("/proc/{master}")).ok());
    let wanted = match own.map(|about| about.uid()) {
        Some(master) if master != 0 => master,
        _ => wanted,
    };
    let remedy = format!("chown -R {named} {shown}, and reload nginx");
    if uid != wanted {
        let found =
            format!("{shown} is of user {uid}, and nginx's workers are of {wanted} ({named})");
        findings.error(AREA, found, remedy);
        return;
    }
    let strange: Vec<String> =
        rings(dir).filter(|(_, about)| about.uid() != wanted).map(|(name, _)| name).collect();
    if !strange.is_empty() {
        let found = format!(
            "{} in {shown} is not of nginx's user {named}: it is left alone",
            strange.join(", ")
        );
        findings.error(AREA, found, remedy);
    }
}

/// A user's number.
fn user(name: &str) -> Option<u32> {
    let all = fs::read_to_string("/etc/passwd").ok()?;
    all.lines().find_map(|line| {
        let mut parts = line.split(':');
        (parts.next() == Some(name)).then(|| parts.nth(1)?.parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_helps_is_what_is_to_be_done() {
        let to_do = |kind: io::ErrorKind| to_reach(&kind.into());
        assert_eq!(to_do(io::ErrorKind::PermissionDenied), "run the doctor as root");
        assert!(to_do(io::ErrorKind::NotFound).starts_with("start nginx"));
        assert!(to_do(io::ErrorKind::NotADirectory).starts_with("set sparkngin_buf_path"));
    }
}
