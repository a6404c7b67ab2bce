//! The subscriber's settings, as `sparkngin subscribe` reads them, and whether it runs.

use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use crate::args::Doctor;
use crate::args::doctor::Area;
use crate::ask::Url;
use crate::config::Settings;
use crate::layers::Layers;
use crate::said::command;

use super::finding::Findings;
use super::is_open;
use super::nginx::Nginx;

const AREA: Area = Area::Subscriber;
/// Where the packages have them.
const USUAL: &str = "/etc/sparkngin/subscribe.toml";
const PATIENCE: Duration = Duration::from_secs(10);

/// Settings that are good.
#[derive(Debug)]
pub struct Read {
    /// What they mean.
    pub settings: Settings,
    /// Who said what.
    layers: Layers,
}

/// Reads them. None if there are none, or they are wrong.
pub fn settings(args: &Doctor, findings: &mut Findings) -> Option<Read> {
    let mut words = args.subscribe.clone();
    let named = |word: &String| word == "-c" || word.starts_with("--config");
    let environment = std::env::var_os("SPARKNGIN_CONFIG").is_some();
    let file = args.config.clone().or_else(|| {
        let nobody = words.is_empty() && !environment && Path::new(USUAL).exists();
        nobody.then(|| USUAL.to_owned())
    });
    if let Some(file) = file.filter(|_| !words.iter().any(named)) {
        words.extend(["--config".to_owned(), file]);
    } else if words.is_empty() && !environment {
        let found = "no settings of a subscriber are named: neither it nor Kafka was looked at";
        findings.warn(AREA, found, "name them by --config, or --skip subscriber --skip kafka");
        return None;
    }
    let read = || {
        let line = command()
            .try_get_matches_from(&words)
            .map_err(|error| error.to_string().lines().next().unwrap_or_default().to_owned())?;
        let layers = Layers::read(&line, std::env::vars_os())?;
        Ok::<_, String>(Read { settings: layers.settings()?, layers })
    };
    match read() {
        Ok(read) => Some(read),
        Err(why) => {
            let found = format!("the settings are wrong: {why}");
            findings.error(AREA, found, "correct it; `sparkngin subscribe -t` tries it again");
            None
        }
    }
}

/// Looks at who has them.
pub fn look(read: &Read, nginx: Option<&Nginx>, findings: &mut Findings) {
    let Read { settings, layers } = read;
    for (property, file) in layers.secrets() {
        if is_open(Path::new(file)) {
            let found = format!("everybody may read {file}, which has {property}");
            findings.error(
                Area::Doors,
                found,
                "keep it in a file of mode 0600 of the subscriber's user, as `{ file = \"...\" }`",
            );
        }
    }
    if let Some(http) = settings.http.as_ref().filter(|http| !http.value.ip().is_loopback()) {
        let found =
            format!("whoever reaches {} sees the subscriber's figures and endpoints", http.value);
        findings.warn(
            Area::Doors,
            found,
            "set http to an address on 127.0.0.1, or put a firewall before it",
        );
    }
    for feed in &settings.feeds {
        let socket = feed.value.strip_prefix("ipc://").map(Path::new);
        let Some(error) = socket.and_then(|path| path.metadata().err()) else { continue };
        let (found, remedy) = match error.kind() {
            ErrorKind::PermissionDenied => {
                (format!("{} cannot be looked at: {error}", feed.value), "run the doctor as root")
            }
            _ => (
                format!("there is no feed at {}", feed.value),
                "start nginx, or name feed.sock in the directory of sparkngin_buf_path",
            ),
        };
        findings.error(AREA, found, remedy);
    }
    let name = settings.name.as_str();
    let guests = nginx.map(|nginx| nginx.conf.all("sparkngin_subscriber")).unwrap_or_default();
    let names: Vec<&str> =
        guests.iter().filter_map(|guest| guest.words.first()).map(String::as_str).collect();
    if nginx.is_some() && !names.contains(&name) {
        let known = if names.is_empty() { "nobody".to_owned() } else { names.join(", ") };
        let found = format!("the subscriber is \"{name}\", and nginx keeps events for {known}");
        findings.error(
            AREA,
            found,
            format!("set sparkngin_subscriber {name}, or the subscriber's name"),
        );
    }
    runs(settings, findings);
}

/// Whether it runs, and events get through.
fn runs(settings: &Settings, findings: &mut Findings) {
    let Some(http) = &settings.http else {
        findings.warn(
            AREA,
            "http is off: nobody can ask the subscriber how it is",
            "set http = \"127.0.0.1:7010\"",
        );
        return;
    };
    let url = format!("http://{}/", http.value);
    let asked = Url::read(&url).map_err(str::to_owned);
    let answer = asked.and_then(|url| url.get("readyz", PATIENCE).map_err(|e| e.to_string()));
    match answer {
        Ok(answer) if answer.status == 200 => {
            findings
                .ok(AREA, format!("\"{}\" runs, and events get through", settings.name.as_str()));
        }
        Ok(answer) => {
            let found = format!("events do not get through: {}", answer.body.trim());
            findings.error(AREA, found, "its log says more");
        }
        Err(why) => {
            let found = format!("no subscriber answers at {url}: {why}");
            findings.error(AREA, found, "start it: systemctl enable --now sparkngin");
        }
    }
}
