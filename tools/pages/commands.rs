//! Commands, as clap knows them -> pages in Markdown.

use clap::{Arg, ArgAction, Command};

/// The page of a command and of each below it: name and text.
pub fn pages(command: &Command) -> Vec<(String, String)> {
    let mut pages = Vec::new();
    add(&mut pages, command, command.get_name(), &[]);
    pages
}

/// What may stand in a file, and in the environment.
pub fn settings(command: &Command) -> String {
    let mut text = "## Settings\n\n".to_owned();
    let subscribe = command.find_subcommand("subscribe");
    let flags = subscribe.into_iter().flat_map(Command::get_arguments);
    for arg in flags
        .filter(|arg| !["config", "test", "dump_config", "help"].contains(&arg.get_id().as_str()))
    {
        let Some(long) = arg.get_long() else { continue };
        let list = if matches!(arg.get_action(), ArgAction::Append) { " (a list)" } else { "" };
        define(&mut text, &format!("**{}**{list}", escaped(long)), &help(arg));
    }
    define(
        &mut text,
        "**[property]**",
        "A table: properties of librdkafka, and their values or files.",
    );
    text + "## See also\n\n**sparkngin-subscribe**(1)\n"
}

fn add(pages: &mut Vec<(String, String)>, command: &Command, name: &str, above: &[&str]) {
    let page = [above, &[name]].concat().join("-");
    let typed = page.replace('-', " ").replace("mock kafka", "mock-kafka");
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let mut text = format!("## Name\n\n{page} - {}\n\n", escaped(&lower(&about)));
    text += &format!("## Synopsis\n\n{}\n\n", synopsis(command, &typed));
    let options: Vec<&Arg> = command.get_arguments().filter(|arg| !arg.is_hide_set()).collect();
    text += &format!("## Description\n\n{}.\n\n", escaped(&about));
    let (positionals, flags): (Vec<&Arg>, Vec<&Arg>) =
        options.into_iter().partition(|arg| arg.is_positional());
    for (title, args) in [("Arguments", positionals), ("Options", flags)] {
        if !args.is_empty() {
            text += &format!("## {title}\n\n");
        }
        for arg in args {
            define(&mut text, &tag(arg), &help(arg));
        }
    }
    let below: Vec<&Command> =
        command.get_subcommands().filter(|below| below.get_name() != "help").collect();
    if !below.is_empty() {
        text += "## Commands\n\n";
    }
    for below in &below {
        let about = below.get_about().map(ToString::to_string).unwrap_or_default();
        let tag = format!("**{page}-{}**(1)", below.get_name());
        define(&mut text, &tag, &format!("{}.", escaped(&about)));
    }
    let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    after.split("\n\n").for_each(|part| text += &section(part));
    text += &see_also(&page);
    pages.push((page.clone(), text));
    for command in below {
        let above = [above, &[name]].concat();
        add(pages, command, command.get_name(), &above);
    }
}

fn see_also(page: &str) -> String {
    let others = [
        "sparkngin(1)",
        "sparkngin-subscribe(1)",
        "ngx_http_sparkngin_module(5)",
        "sparkngin.toml(5)",
        "sparkngin-feed(7)",
    ];
    let others = others.iter().filter(|other| !other.starts_with(&format!("{page}(")));
    let marked = others.map(|other| {
        other.split_once('(').map_or(String::new(), |(name, n)| format!("**{name}**({n}"))
    });
    format!("## See also\n\n{}\n", marked.collect::<Vec<_>>().join(", "))
}

fn synopsis(command: &Command, typed: &str) -> String {
    let mut text = format!("**{typed}**");
    if command.get_arguments().any(|arg| !arg.is_positional() && arg.get_id() != "help") {
        text += " \\[*option* ...\\]";
    }
    for arg in command.get_positionals() {
        let name = escaped(&value_name(arg));
        text +=
            &if arg.is_required_set() { format!(" *{name}*") } else { format!(" \\[*{name}*\\]") };
    }
    if command.has_subcommands() {
        text += " *command* ...";
    }
    text
}

/// A block of the help's end: a title with a colon, and lines below it.
fn section(block: &str) -> String {
    let block = block.trim_end();
    let Some((title, rest)) = block.split_once(':') else {
        return if block.is_empty() { String::new() } else { format!("{}\n\n", escaped(block)) };
    };
    if title.contains('\n') || title.len() > 24 {
        return format!("## Notes\n\n{}\n\n", paragraph(block));
    }
    let heading = match title {
        "Example" | "Examples" => {
            return format!("## {title}\n\n```\n{}\n```\n\n", unindented(rest));
        }
        "Exit codes" => "Exit status",
        "How it behaves" | "How it works" => "Behaviour",
        other => other,
    };
    format!("## {heading}\n\n{}\n\n", paragraph(rest))
}

fn unindented(text: &str) -> String {
    let lines = text.lines().skip_while(|line| line.trim().is_empty());
    lines.map(|line| line.strip_prefix("  ").unwrap_or(line)).collect::<Vec<_>>().join("\n")
}

fn paragraph(text: &str) -> String {
    escaped(&text.split_whitespace().collect::<Vec<_>>().join(" "))
}

fn define(text: &mut String, tag: &str, help: &str) {
    *text += &format!("{tag}\n: {help}\n\n");
}

fn tag(arg: &Arg) -> String {
    let value = match arg.get_action().takes_values() {
        true => format!("*{}*", escaped(&value_name(arg))),
        false => String::new(),
    };
    let optional = arg.get_num_args().is_some_and(|count| count.min_values() == 0);
    let long = arg.get_long().map(|long| match (value.is_empty(), optional) {
        (true, _) => format!("**\\-\\-{}**", escaped(long)),
        (false, true) => format!("**\\-\\-{}**\\[={value}\\]", escaped(long)),
        (false, false) => format!("**\\-\\-{}** {value}", escaped(long)),
    });
    let short = arg.get_short().map(|short| match long.is_none() {
        true => format!("**\\-{short}** {value}"),
        false => format!("**\\-{short}**"),
    });
    let tags: Vec<String> = short.into_iter().chain(long).collect();
    if tags.is_empty() { value } else { tags.join(", ") }
}

fn help(arg: &Arg) -> String {
    let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
    let (text, default) = match help.split_once("[default: ") {
        Some((text, default)) => (text, format!(" Default: {}.", default.trim_end_matches(']'))),
        None => (help.as_str(), String::new()),
    };
    paragraph(&format!("{}.{default}", text.trim().trim_end_matches('.')))
}

fn value_name(arg: &Arg) -> String {
    match arg.get_value_names() {
        Some([name, ..]) => name.to_string(),
        _ => arg.get_id().to_string().to_uppercase(),
    }
}

fn lower(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |first| first.to_lowercase().chain(letters).collect())
}

/// What Markdown would take for its own, but for backquotes: the help writes words as they are typed in these.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    let mut code = false;
    for letter in text.chars() {
        code ^= letter == '`';
        if !code && letter != '`' && letter.is_ascii_punctuation() {
            out.push('\\');
        }
        out.push(letter);
    }
    out
}
