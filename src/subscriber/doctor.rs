//! `sparkngin doctor`: looks at the installed whole, and says what would bite later, each with its remedy.

mod clock;
mod conf;
mod directory;
mod doors;
mod error_log;
mod finding;
mod kafka;
mod limits;
mod nginx;
mod signature;
mod size;
mod subscriber;

use std::io;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::args::Doctor;
use crate::args::doctor::Area;
use crate::ask::Url;
use crate::word::{time, word};

use finding::Findings;
use nginx::Nginx;

/// The exit code of a wrong option.
const WRONG: u8 = 3;
/// For how long who is asked may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Looks, prints what was found, gives the exit code.
pub fn run(args: &Doctor) -> u8 {
    let outage = match word(&args.outage, "--outage", "10m").read(time) {
        Ok(outage) => outage,
        Err(wrong) => return say_wrong(&wrong.to_string()),
    };
    let url = args.url.as_deref().map(|url| (url, Url::read(url)));
    if let Some((url, Err(why))) = url {
        return say_wrong(&format!("--url {url}: {why}"));
    }
    let findings = look(args, outage);
    let mut out = io::stdout().lock();
    let written = match args.json {
        true => serde_json::to_writer_pretty(&mut out, &findings.json())
            .map_err(io::Error::from)
            .and_then(|()| io::Write::write_all(&mut out, b"\n")),
        false => findings.write(&mut out),
    };
    // Who reads along has had enough: `| head`. The exit code is all the same.
    drop(written);
    findings.worst() as u8
}

fn say_wrong(text: &str) -> u8 {
    eprintln!("sparkngin: {text}");
    WRONG
}

fn look(args: &Doctor, outage: Duration) -> Findings {
    let mut findings = Findings::default();
    let wanted = |area| !args.skip.contains(&area);
    let nginx = if wanted(Area::Nginx) { Nginx::look(args, &mut findings) } else { None };
    let installed = nginx.as_ref();
    if let Some(nginx) = installed {
        error_log::look(&nginx.conf, &mut findings);
    }
    if let Some(nginx) = installed.filter(|_| wanted(Area::Directory)) {
        directory::look(nginx, &mut findings);
    }
    if wanted(Area::Size) {
        let url = args.url.clone().or_else(|| installed.and_then(Nginx::url));
        if let Some(status) = status(url.as_deref(), installed.is_some(), &mut findings) {
            if let Some(nginx) = installed {
                nginx.compare(&status, &mut findings);
            }
            size::look(&status, outage, &mut findings);
        }
    }
    if let Some(nginx) = installed.filter(|_| wanted(Area::Doors)) {
        doors::look(nginx, &mut findings);
    }
    if let Some(nginx) = installed.filter(|_| wanted(Area::Limits)) {
        limits::look(nginx, &mut findings);
    }
    if wanted(Area::Subscriber) || wanted(Area::Kafka) {
        let settings = subscriber::settings(args, &mut findings);
        if let Some(settings) = settings.as_ref().filter(|_| wanted(Area::Subscriber)) {
            subscriber::look(settings, installed, &mut findings);
        }
        if let Some(settings) = settings.as_ref().filter(|_| wanted(Area::Kafka)) {
            kafka::look(
                &settings.settings.target,
                installed.map(Nginx::largest_event),
                &mut findings,
            );
        }
    }
    if wanted(Area::Clock) {
        clock::look(&mut findings);
    }
    findings
}

/// What nginx says of itself.
fn status(url: Option<&str>, installed: bool, findings: &mut Findings) -> Option<Value> {
    let area = Area::Size;
    let Some(url) = url else {
        if installed {
            let found =
                "no location with sparkngin_root_loc is found that could be asked over plain HTTP";
            findings.warn(area, found, "name one by --url");
        }
        return None;
    };
    let asked = match Url::read(url) {
        Ok(asked) => asked,
        Err(why) => {
            findings.warn(area, format!("{url} cannot be asked: {why}"), "name another by --url");
            return None;
        }
    };
    match asked.get("status", PATIENCE) {
        Err(error) => {
            let found = format!("nginx does not answer at {url}: {error}");
            findings.error(area, found, "start nginx, or name its location by --url");
            None
        }
        Ok(answer) if answer.status == 403 => {
            let found = format!("{url}status is not for this machine");
            findings.warn(
                area,
                found,
                "run the doctor beside nginx, or name an open location by --url",
            );
            None
        }
        Ok(answer) => {
            let status = serde_json::from_str::<Value>(&answer.body);
            let status = status.ok().filter(|status| status["sparkngin"].is_string());
            if status.is_none() {
                let found =
                    format!("what answers at {url}status is not Sparkngin's: {}", answer.status);
                findings.error(area, found, "reload nginx, or name the right location by --url");
            }
            status
        }
    }
}

/// Whether others than owner and group may read a file.
fn is_open(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(path).is_ok_and(|about| about.mode() & 0o004 != 0)
}
