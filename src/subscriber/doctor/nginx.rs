//! The nginx that is installed: its version, its options, its configuration, and whether the module fits.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use crate::args::Doctor;
use crate::args::doctor::Area;
use crate::word::size;

use super::conf::{Conf, Directive, within};
use super::finding::Findings;
use super::signature;

/// Where nginx usually is, besides the PATH.
const USUAL: &[&str] = &["/usr/sbin", "/usr/local/sbin", "/usr/local/nginx/sbin"];
/// `sparkngin_max_event`'s default.
const MAX_EVENT: u64 = 32 << 10;
/// How the module's file is called.
const MODULE: &str = "ngx_http_sparkngin_module";

/// An nginx whose configuration is good.
#[derive(Debug)]
pub struct Nginx {
    /// As `nginx -V` says it: `nginx/1.22.1`.
    pub version: String,
    /// What relative paths of the configuration begin in.
    pub prefix: PathBuf,
    /// The configuration.
    pub conf: Conf,
    /// What `nginx -V` printed.
    built: String,
}

impl Nginx {
    /// Looks at it. None if nothing more can be said of it.
    pub fn look(args: &Doctor, findings: &mut Findings) -> Option<Nginx> {
        let area = Area::Nginx;
        let binary = args.nginx.clone().or_else(binary);
        let Some(binary) = binary else {
            findings.error(area, "nginx is not found", "name it by --nginx, or --skip nginx");
            return None;
        };
        let ran = Command::new(&binary).arg("-V").output();
        let built = match ran.map(|ran| text(&ran)) {
            Ok(text) if text.contains("nginx version: ") => text,
            Ok(_) | Err(_) => {
                let found = format!("{} is no nginx that runs", binary.display());
                findings.error(area, found, "name it by --nginx, or --skip nginx");
                return None;
            }
        };
        let version = built.split("nginx version: ").nth(1).unwrap_or_default();
        let version = version.split_whitespace().next().unwrap_or_default().to_owned();
        let prefix = args.nginx_prefix.clone();
        let prefix = prefix.or_else(|| option(&built, "prefix").map(PathBuf::from));
        let prefix = prefix.unwrap_or_else(|| "/usr/local/nginx".into());
        let mut command = Command::new(&binary);
        command.arg("-T").arg("-p").arg(format!("{}/", prefix.display()));
        if let Some(conf) = &args.nginx_conf {
            command.arg("-c").arg(conf);
        }
        let tested = command.output().ok()?;
        if !tested.status.success() {
            refused(&text(&tested), &version, &binary, findings);
            return None;
        }
        let conf = Conf::read(&String::from_utf8_lossy(&tested.stdout));
        let Some(conf) = conf else {
            findings.error(area, "nginx -T shows no configuration", "try it by hand");
            return None;
        };
        let nginx = Nginx { version, prefix, conf, built };
        nginx.module(&binary, findings);
        Some(nginx)
    }

    /// The option that nginx was configured with, such as `--pid-path`.
    pub fn option(&self, name: &str) -> Option<&str> {
        option(&self.built, name)
    }

    /// A path of the configuration, completed as nginx does.
    pub fn path(&self, word: &str) -> PathBuf {
        self.prefix.join(word)
    }

    /// The path of a key, completed as those of certificates are.
    pub fn key(&self, word: &str) -> PathBuf {
        let dir = Path::new(&self.conf.path).parent();
        self.path("").join(dir.unwrap_or(Path::new(""))).join(word)
    }

    /// The ring's directory.
    pub fn directory(&self) -> PathBuf {
        match self.conf.word("sparkngin_buf_path") {
            Some(word) => self.path(word),
            None => {
                let body = self.option("http-client-body-temp-path").unwrap_or("client_body_temp");
                self.path(body).with_file_name("sparkngin")
            }
        }
    }

    /// The largest event that any place takes, bytes.
    pub fn largest_event(&self) -> u64 {
        let said = self.conf.all("sparkngin_max_event");
        let sizes = said.iter().filter_map(|it| size(it.words.first()?).ok());
        sizes.max().unwrap_or(MAX_EVENT)
    }

    /// Where events come in, over plain HTTP.
    pub fn url(&self) -> Option<String> {
        let servers = self.conf.all("server");
        // Those of `upstream` have no braces.
        servers.into_iter().find_map(|server| {
            let location = root(&server.block)?;
            Some(format!("http://{}{location}", address(server)?))
        })
    }

    /// Compares with what runs.
    pub fn compare(&self, status: &Value, findings: &mut Findings) {
        let area = Area::Nginx;
        let runs = status["server"].as_str().unwrap_or_default();
        if !runs.is_empty() && runs != self.version && format!("nginx/{runs}") != self.version {
            let found = format!("{runs} runs, but {} is installed", self.version);
            findings.warn(area, found, "restart nginx, or upgrade it by USR2");
        }
        let module = status["sparkngin"].as_str().unwrap_or_default();
        let own = env!("CARGO_PKG_VERSION");
        if module != own {
            let found = format!("the module that runs is {module}, and this program {own}");
            findings.warn(area, found, "install the same version of both, and restart nginx");
        }
    }

    /// Whether nginx has the module without loading it: it was named when nginx was built, or nginx knows its directives.
    fn built_in(&self) -> bool {
        let mut added =
            self.built.split_whitespace().filter_map(|it| it.strip_prefix("--add-module="));
        added.any(|path| path.to_lowercase().contains("sparkngin")) || is_used(&self.conf.main)
    }

    /// Whether the module is there, is of use, and fits.
    fn module(&self, binary: &Path, findings: &mut Findings) {
        let area = Area::Nginx;
        let used = ["sparkngin_root_loc", "sparkngin_access"];
        if !used.iter().any(|name| !self.conf.all(name).is_empty()) {
            let found =
                format!("{} has neither sparkngin_root_loc nor sparkngin_access", self.conf.path);
            findings.error(area, found, "add a location with sparkngin_root_loc, and reload nginx");
        }
        let loaded = self.conf.all("load_module");
        let loaded = loaded.iter().filter_map(|it| it.words.first()).find(|it| it.contains(MODULE));
        let Some(path) = loaded.map(|word| self.path(word)) else {
            if self.built_in() {
                findings.ok(area, format!("{} has the module built in", self.version));
            } else {
                let found = format!(
                    "{} has no load_module of {MODULE}.so, and `nginx -V` does not name it",
                    self.conf.path
                );
                findings.error(area, found, format!("load_module modules/{MODULE}.so;"));
            }
            return;
        };
        match (signature::read(binary), signature::read(&path)) {
            (Ok(Some(own)), Ok(Some(its))) if own != its => {
                let found = format!("{} is built for {its}, and nginx is {own}", path.display());
                findings.error(area, found, rebuild(&self.version));
            }
            _ => findings.ok(area, format!("{} takes {}", self.version, path.display())),
        }
    }
}

/// Whether a directive of the module is among these or in their braces.
fn is_used(directives: &[Directive]) -> bool {
    directives.iter().any(|it| it.name.starts_with("sparkngin_") || is_used(&it.block))
}

/// What to do with a module that does not fit.
fn rebuild(version: &str) -> String {
    format!(
        "build the module with the source and the options of {version} (`nginx -V`), or install the package that is for it"
    )
}

/// Says why nginx refuses its configuration.
fn refused(said: &str, version: &str, binary: &Path, findings: &mut Findings) {
    let area = Area::Nginx;
    let why = said.lines().find(|line| line.contains("[emerg]")).unwrap_or(said);
    let why = why.trim_start_matches("nginx: ");
    if !why.contains("is not binary compatible") && !why.contains(" instead of ") {
        let remedy = if why.contains("Permission denied") {
            "run the doctor as root"
        } else {
            "correct it; `nginx -t` tries it again"
        };
        findings.error(area, format!("nginx refuses its configuration: {why}"), remedy);
        return;
    }
    let path = why.split('"').nth(1).unwrap_or_default();
    let signatures = match (signature::read(binary), signature::read(Path::new(path))) {
        (Ok(Some(own)), Ok(Some(its))) => format!("; its signature is {its}, and nginx's {own}"),
        _ => String::new(),
    };
    let found = format!("{version} does not take the module: {why}{signatures}");
    findings.error(area, found, rebuild(version));
}

/// All that a command printed.
fn text(ran: &Output) -> String {
    let both = [ran.stderr.as_slice(), &ran.stdout].concat();
    String::from_utf8_lossy(&both).into_owned()
}

fn binary() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs = std::env::split_paths(&path).chain(USUAL.iter().map(PathBuf::from));
    dirs.map(|dir| dir.join("nginx")).find(|file| file.is_file())
}

fn option<'a>(built: &'a str, name: &str) -> Option<&'a str> {
    built.split(&format!(" --{name}=")).nth(1)?.split_whitespace().next()
}

/// The path of the first location among these that takes events.
fn root(directives: &[Directive]) -> Option<String> {
    directives.iter().find_map(|it| {
        if it.name != "location" {
            return None;
        }
        let here = it.block.iter().any(|own| own.name == "sparkngin_root_loc");
        let path = match it.words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
            [path] | ["^~", path] if path.starts_with('/') => *path,
            ["=", path] => &path[..=path.rfind('/')?],
            _ => return root(&it.block),
        };
        if here { Some(path.to_owned()) } else { root(&it.block) }
    })
}

/// Where a server listens without TLS: `127.0.0.1:80`.
fn address(server: &Directive) -> Option<String> {
    let own: Vec<&Directive> = within(&server.block, "listen");
    let plain = |it: &&&Directive| {
        let first = it.words.first().is_some_and(|word| !word.starts_with("unix:"));
        first
            && !it
                .words
                .iter()
                .any(|word| ["ssl", "quic", "proxy_protocol"].contains(&word.as_str()))
    };
    if own.is_empty() {
        return Some("127.0.0.1:80".to_owned());
    }
    let word = own.iter().find(plain)?.words.first()?;
    let (host, port) = match word.rsplit_once(':') {
        Some((host, port)) if port.parse::<u16>().is_ok() => (host, port),
        _ if word.parse::<u16>().is_ok() => ("*", word.as_str()),
        _ => (word.as_str(), "80"),
    };
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let host = match bare.parse::<IpAddr>() {
        Ok(IpAddr::V6(ip)) if ip.is_unspecified() => format!("[{}]", Ipv6Addr::LOCALHOST),
        Ok(IpAddr::V6(ip)) => format!("[{ip}]"),
        Ok(ip) if !ip.is_unspecified() => ip.to_string(),
        Err(_) if host != "*" => host.to_owned(),
        _ => Ipv4Addr::LOCALHOST.to_string(),
    };
    Some(format!("{host}:{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nginx(conf: &str) -> Nginx {
        let conf =
            Conf::read(&format!("# configuration file /etc/nginx/nginx.conf:\n{conf}")).unwrap();
        let built = "nginx version: nginx/1.22.1\nconfigure arguments: --with-cc-opt='-g --x=y' \
            --http-client-body-temp-path=/var/lib/nginx/body --prefix=/usr/share/nginx\n";
        Nginx {
            version: "nginx/1.22.1".into(),
            prefix: "/usr/share/nginx".into(),
            conf,
            built: built.into(),
        }
    }

    #[test]
    fn the_location_for_events_is_found_where_it_can_be_asked() {
        let url = |server: &str| nginx(&format!("http {{ server {{ {server} }} }}")).url();
        let root = "location /sn/ { sparkngin_root_loc; }";
        let is = |text: &str| Some(text.to_owned());
        assert_eq!(url(root), is("http://127.0.0.1:80/sn/"));
        assert_eq!(
            url(&format!("listen 443 ssl; listen *:81; {root}")),
            is("http://127.0.0.1:81/sn/")
        );
        assert_eq!(url(&format!("listen [::]:82; {root}")), is("http://[::1]:82/sn/"));
        assert_eq!(url(&format!("listen 192.0.2.1; {root}")), is("http://192.0.2.1:80/sn/"));
        assert_eq!(
            url("location = /a/status { sparkngin_root_loc; }"),
            is("http://127.0.0.1:80/a/")
        );
        assert_eq!(
            url("location / { location /e/ { sparkngin_root_loc; } }"),
            is("http://127.0.0.1:80/e/")
        );
        assert_eq!(url(&format!("listen 443 ssl; {root}")), None);
        assert_eq!(url("location / { }"), None);
    }

    #[test]
    fn a_module_that_is_neither_loaded_nor_built_in_is_told() {
        let looked = |nginx: &Nginx| {
            let mut findings = Findings::default();
            nginx.module(Path::new("/nonexistent"), &mut findings);
            let mut text = Vec::new();
            findings.write(&mut text).unwrap();
            String::from_utf8(text).unwrap()
        };
        let mut bare = nginx("events { } http { }");
        let said = looked(&bare);
        let told = "/etc/nginx/nginx.conf has no load_module of ngx_http_sparkngin_module.so, and `nginx -V` does not \
            name it. To do: load_module modules/ngx_http_sparkngin_module.so;";
        assert!(said.contains(told) && !said.contains("built in"), "{said}");
        bare.built += " --add-dynamic-module=/src/sparkngin";
        assert!(!looked(&bare).contains("built in"));
        bare.built += " --add-module=/src/Sparkngin-0.1";
        assert!(looked(&bare).contains("nginx/1.22.1 has the module built in"));
        let used = nginx("http { server { location /sn/ { sparkngin_root_loc; } } }");
        assert!(looked(&used).contains("nginx/1.22.1 has the module built in"));
        let loaded = nginx("load_module modules/ngx_http_sparkngin_module.so;");
        assert!(looked(&loaded).contains("takes /usr/share/nginx/modules/ngx_http_sparkngin"));
    }

    #[test]
    fn paths_and_sizes_are_as_nginx_has_them() {
        let bare = nginx("");
        assert_eq!(bare.directory(), Path::new("/var/lib/nginx/sparkngin"));
        assert_eq!(bare.largest_event(), MAX_EVENT);
        let said = nginx(
            "http { sparkngin_buf_path ring; sparkngin_max_event 1k; server { sparkngin_max_event 2m; } }",
        );
        assert_eq!(said.directory(), Path::new("/usr/share/nginx/ring"));
        assert_eq!(said.key("a.key"), Path::new("/etc/nginx/a.key"));
        assert_eq!(said.largest_event(), 2 << 20);
        assert_eq!(said.option("prefix"), Some("/usr/share/nginx"));
    }
}
