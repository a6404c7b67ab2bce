//! nginx's error.log: what the module has to say is mostly a warning, and by default nginx keeps errors alone.

use crate::args::doctor::Area;

use super::conf::Conf;
use super::finding::Findings;

/// nginx's levels, the most talkative first.
const LEVELS: [&str; 8] = ["debug", "info", "notice", "warn", "error", "crit", "alert", "emerg"];
/// What a line without a level keeps, and nginx where no line is.
const DEFAULT: &str = "error";

/// Looks.
pub fn look(conf: &Conf, findings: &mut Findings) {
    let area = Area::Nginx;
    let level = kept(conf);
    if place(level) <= place("warn") {
        findings.ok(area, format!("error_log keeps lines from \"{level}\" on"));
        return;
    }
    let found = format!(
        "error_log keeps lines from \"{level}\" on: of the module's warnings, such as events that are refused, it has none"
    );
    let remedy = "say `error_log FILE warn;` in the main context, and reload nginx";
    findings.warn(area, found, remedy);
}

/// The most talkative level of the main context: what the workers' own lines go by.
fn kept(conf: &Conf) -> &str {
    let lines = conf.main.iter().filter(|directive| directive.name == "error_log");
    let levels = lines.map(|line| {
        let words = line.words.iter().skip(1).map(String::as_str);
        // Several words are kinds of debugging.
        words.min_by_key(|word| place(word)).unwrap_or(DEFAULT)
    });
    levels.min_by_key(|level| place(level)).unwrap_or(DEFAULT)
}

/// How far behind in [`LEVELS`]; a kind of debugging, such as `debug_http`, stands first.
fn place(level: &str) -> usize {
    LEVELS.iter().position(|known| *known == level).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(lines: &str) -> String {
        let dump = format!("# configuration file /etc/nginx/nginx.conf:\n{lines}\nevents {{}}\n");
        kept(&Conf::read(&dump).expect("a file")).to_owned()
    }

    #[test]
    fn the_most_talkative_line_of_the_main_context_counts() {
        assert_eq!(of(""), "error");
        assert_eq!(of("error_log /var/log/nginx/error.log;"), "error");
        assert_eq!(of("error_log a; error_log stderr warn;"), "warn");
        assert_eq!(of("error_log a notice; error_log b crit;"), "notice");
        assert_eq!(of("error_log a debug_http debug_event;"), "debug_http");
        assert_eq!(of("http { error_log a info; }"), "error");
    }
}
