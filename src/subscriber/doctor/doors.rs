//! Who reaches events, and who can read keys. What nginx itself refuses is not asked again: its configuration is good.

use std::fs;
use std::os::unix::fs::MetadataExt;

use sparkngin_publisher::address::tcp;

use crate::args::doctor::Area;

use super::finding::Findings;
use super::nginx::Nginx;

const AREA: Area = Area::Doors;

/// Looks.
pub fn look(nginx: &Nginx, findings: &mut Findings) {
    let before = findings.worst();
    let curve = nginx.conf.word("sparkngin_curve_key");
    let listens = nginx.conf.all("sparkngin_listen");
    let words = listens.first().map_or(&[][..], |it| it.words.as_slice());
    let live = words.first().map_or("127.0.0.1:7000", String::as_str);
    let mut closed = true;
    if curve.is_none() && tcp(live.as_bytes()).is_some_and(|(_, open)| open) {
        let found = format!("whoever reaches {live} reads every event: it has no key");
        let remedy =
            "set sparkngin_curve_key (`sparkngin keygen` makes one), or listen on 127.0.0.1";
        findings.warn(AREA, found, remedy);
        closed = false;
    }
    let feed = words.iter().find_map(|word| word.strip_prefix("feed="));
    if let Some(feed) = feed.filter(|feed| !feed.starts_with("unix:")) {
        for guest in nginx.conf.all("sparkngin_subscriber") {
            if guest.words.iter().any(|word| word.starts_with("key=")) {
                continue;
            }
            let name = guest.words.first().map_or("", String::as_str);
            let found = format!(
                "whoever reaches the feed {feed} acknowledges the events of \"{name}\": it has no key"
            );
            findings.warn(
                AREA,
                found,
                format!("set sparkngin_subscriber {name} key=FILE, or a feed at unix:"),
            );
            closed = false;
        }
    }
    if let Some(key) = curve.map(|word| nginx.key(word)) {
        closed &= own(&key, findings);
    }
    if closed && findings.worst() <= before {
        let how = if curve.is_some() { "with keys" } else { "to this machine alone" };
        findings.ok(AREA, format!("live ({live}) and the feed are open {how}"));
    }
}

/// Whether nobody but its owner and root can change or replace a secret key.
fn own(key: &std::path::Path, findings: &mut Findings) -> bool {
    let Some(dir) = key.parent() else { return true };
    let open = fs::metadata(dir).is_ok_and(|about| about.mode() & 0o1002 == 0o002);
    if open {
        let found =
            format!("everybody may replace the key {}: its directory is open", key.display());
        findings.error(AREA, found, format!("chmod o-w {}", dir.display()));
    }
    !open
}
