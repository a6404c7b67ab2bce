//! `sparkngin status`: how one nginx or many are, a line each.

use std::time::Duration;

use crate::args::Status;
use crate::ask::Url;
use crate::figures::Nginx;

/// Why it does not end well.
pub enum Ended {
    /// A URL is none.
    Wrong(String),
    /// So many are not well.
    Ill(String),
}

/// Asks each and prints its line.
///
/// # Errors
/// [`Ended`]: nobody was asked, or not all is well.
pub fn run(args: &Status) -> Result<(), Ended> {
    let urls = urls(&args.url).map_err(Ended::Wrong)?;
    let patience = Duration::from_secs(args.timeout.max(1));
    let mut ill = 0;
    for (text, url) in &urls {
        let (well, line) = match Nginx::ask(url, patience) {
            Ok(nginx) => (nginx.wrong.is_empty(), line(&nginx)),
            Err(why) => (false, why),
        };
        ill += usize::from(!well);
        println!("{text} {line}");
    }
    match ill {
        0 => Ok(()),
        ill => Err(Ended::Ill(format!("{ill} of {} not well", urls.len()))),
    }
}

/// Reads URLs, each beside its text.
///
/// # Errors
/// The first one that is none, and what it must be.
pub fn urls(texts: &[String]) -> Result<Vec<(String, Url)>, String> {
    let read = |text: &String| match Url::read(text) {
        Ok(url) => Ok((text.clone(), url)),
        Err(why) => Err(format!("{text}: {why}")),
    };
    texts.iter().map(read).collect()
}

fn line(nginx: &Nginx) -> String {
    let mut parts = vec![match nginx.wrong.is_empty() {
        true => "well".to_owned(),
        false => nginx.wrong.join(" "),
    }];
    parts.push(match nginx.rate {
        Some(rate) => format!("in {rate:.1}/s"),
        None => "in unknown".to_owned(),
    });
    parts.extend(nginx.percent().map(|percent| format!("ring {} %", percent.floor())));
    for held in &nginx.subscribers {
        let (name, lag, seconds) = (&held.name, held.lag, held.behind.as_secs_f64());
        parts.push(format!("{name} behind {lag} events, {seconds:.1} s"));
    }
    parts.push(format!("refused {}", nginx.refused));
    parts.push(format!("lost {}", nginx.lost));
    parts.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::Held;

    #[test]
    fn a_line_has_what_is_wrong_first() {
        let behind = Duration::from_millis(1300);
        let held = Held { name: "kafka".into(), lag: 3, behind, ..Held::default() };
        let mut nginx = Nginx {
            rate: Some(12.34),
            blocks: Some((64, 16)),
            subscribers: vec![held],
            ..Nginx::default()
        };
        let well = "well; in 12.3/s; ring 25 %; kafka behind 3 events, 1.3 s; refused 0; lost 0";
        assert_eq!(line(&nginx), well);
        nginx.wrong = vec!["Nobody publishes.".into()];
        nginx.blocks = None;
        assert!(line(&nginx).starts_with("Nobody publishes.; in 12.3/s; kafka behind"));
    }
}
