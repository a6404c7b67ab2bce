//! Writes man pages and completions for shells. What they say stands elsewhere already: in the program's own arguments,
//! README.md and docs/; here it only gets its form.
//!
//! ```text
//!   pages OUTDIR DATE      below the repository's root; DATE is 2026-01-31
//!     OUTDIR/man/man1/sparkngin.1, sparkngin-subscribe.1 ...
//!     OUTDIR/man/man5/ngx_http_sparkngin_module.5, sparkngin.toml.5
//!     OUTDIR/man/man7/sparkngin-feed.7
//!     OUTDIR/completions/sparkngin.bash, _sparkngin, sparkngin.fish
//! ```

#[path = "../../src/subscriber/args.rs"]
mod args;
mod commands;
mod man;

use std::fs;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use clap::CommandFactory;
use clap_complete::Shell;

use crate::man::{Head, page};

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [out, date] = words.as_slice() else {
        eprintln!("usage: pages OUTDIR DATE");
        return ExitCode::from(2);
    };
    match write(Path::new(out), date) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("pages: {error}");
            ExitCode::FAILURE
        }
    }
}

fn write(out: &Path, date: &str) -> io::Result<()> {
    let mut command = args::Cli::command();
    command.build();
    for (name, text) in commands::pages(&command) {
        put(out, date, &name, "1", "Commands", &text)?;
    }
    let module = module(&fs::read_to_string("README.md")?)?;
    put(out, date, "ngx_http_sparkngin_module", "5", "File Formats", &module)?;
    let settings = fs::read_to_string("docs/configuration.md")?;
    let settings = format!(
        "## Name\n\nsparkngin.toml - the settings of sparkngin subscribe\n\n{}\n{}",
        without_title(&settings),
        commands::settings(&command)
    );
    put(out, date, "sparkngin.toml", "5", "File Formats", &settings)?;
    let feed = feed(&fs::read_to_string("docs/protocol.md")?)?;
    put(out, date, "sparkngin-feed", "7", "Protocols", &feed)?;
    let completions = out.join("completions");
    fs::create_dir_all(&completions)?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        clap_complete::generate_to(shell, &mut args::Cli::command(), "sparkngin", &completions)?;
    }
    Ok(())
}

fn put(
    out: &Path,
    date: &str,
    name: &str,
    section: &str,
    manual: &str,
    text: &str,
) -> io::Result<()> {
    let dir = out.join(format!("man/man{section}"));
    fs::create_dir_all(&dir)?;
    let head = Head { name, section, date, manual };
    fs::write(dir.join(format!("{name}.{section}")), page(&head, text))
}

/// What README.md says of the module.
fn module(readme: &str) -> io::Result<String> {
    let directives = part(readme, "## Directives", "## In an nginx of yours")?;
    let http = part(readme, "## HTTP", "## Directives")?;
    Ok(format!(
        "## Name\n\nngx_http_sparkngin_module - nginx as an event collector\n\n\
         ## Synopsis\n\n```\nload_module modules/ngx_http_sparkngin_module.so;\n\nhttp {{\n    sparkngin_subscriber kafka;\n    \
         server {{\n        listen 80;\n        location /sn/ {{ sparkngin_root_loc; }}\n    }}\n}}\n```\n\n\
         ## Description\n\nClients send events over HTTP; the module writes each into a file-backed ring that all workers share, and \
         answers. A publisher in one of the workers sends them over ZeroMQ, live to anybody and as an acknowledged feed to durable \
         subscribers, such as **sparkngin-subscribe**(1).\n\n{http}\n{directives}\n\
         ## See also\n\n**sparkngin**(1), **sparkngin-subscribe**(1), **sparkngin-feed**(7), **nginx**(8)\n"
    ))
}

/// What docs/protocol.md says of the feed.
fn feed(protocol: &str) -> io::Result<String> {
    let feed = part(protocol, "## Feed", "## In Kafka")?;
    let binary = part(protocol, "### binary", "### plain")?;
    Ok(format!(
        "## Name\n\nsparkngin-feed - how events come from nginx to a durable subscriber\n\n{feed}\n## Events\n\n{binary}\n\
         ## See also\n\n**sparkngin-subscribe**(1), **ngx_http_sparkngin_module**(5), **zmq_socket**(3)\n"
    ))
}

/// From one heading to the next one that is named, without it.
fn part<'a>(text: &'a str, from: &str, to: &str) -> io::Result<&'a str> {
    let at = |heading: &str, after: usize| {
        let place = text[after..].find(&format!("\n{heading}\n")).map(|at| after + at + 1);
        place.ok_or_else(|| io::Error::other(format!("the heading \"{heading}\" is not there")))
    };
    let start = at(from, 0)?;
    Ok(&text[start..at(to, start)?])
}

fn without_title(text: &str) -> &str {
    text.strip_prefix("# ").and_then(|rest| rest.split_once('\n')).map_or(text, |(_, rest)| rest)
}
