//! `sparkngin_field`: what nginx knows of a request, as fields of its event.

use std::ptr::NonNull;

use ngx::ffi::ngx_http_complex_value_t;
use sparkngin_core::event::{Form, Given, Tells, may_be_given, tells_address};
use sparkngin_core::field::FieldName;

use crate::args::{Args, ConfError};
use crate::request::{Incoming, NoMemory};

/// The most of these in one place: each costs every request something.
const MOST: usize = 64;

/// One directive.
#[derive(Clone, Debug)]
pub struct Variable {
    name: FieldName,
    value: NonNull<ngx_http_complex_value_t>,
    form: Form,
    tells: Tells,
    /// The value's text in the configuration.
    text: Vec<u8>,
}

/// The directives of one place. As with `add_header`, those of the place around hold only where there is none.
pub type Variables = Vec<Variable>;

/// Reads one directive.
///
/// # Errors
/// The word that is wrong, or a name that stands there twice.
pub fn add(fields: &mut Variables, args: &mut Args<'_>) -> Result<(), ConfError> {
    let word = args.first();
    let name = FieldName::parse(word).ok().filter(may_be_given);
    let name = name.ok_or_else(|| {
        args.invalid(
            word,
            "a field that the server may set, not an address, a time, the topic or the data",
        )
    })?;
    let form = match args.words().nth(2) {
        None | Some(b"type=string") => Form::String,
        Some(b"type=number") => Form::Number,
        Some(b"type=json") => Form::Json,
        Some(word) => {
            let must = "\"type=string\", \"type=number\" or \"type=json\"";
            return Err(args.parameter(word, must));
        }
    };
    if fields.iter().any(|field| field.name == name) {
        return Err(ConfError::Told(format!("duplicate field \"{name}\" in \"{}\"", args.text())));
    }
    if fields.len() == MOST {
        let text = format!("too many \"sparkngin_field\" directives, there must be {MOST} at most");
        return Err(ConfError::Told(text));
    }
    let text = args.words().nth(1).unwrap_or_default().to_vec();
    let tells = tells(&text);
    fields.push(Variable { name, value: args.complex(2, 0)?, form, tells, text });
    Ok(())
}

impl Variable {
    /// The value for a request.
    pub fn given<'a>(&'a self, incoming: Incoming<'a>) -> Result<Given<'a>, NoMemory> {
        let (value, form, tells) = (incoming.evaluate(self.value)?, self.form, self.tells);
        Ok(Given { name: &self.name, value, form, tells })
    }

    /// A variable in its value that hides an address from whoever would mask it.
    pub fn hidden_address(&self) -> Option<&'static str> {
        let mut names = names_in(&self.text);
        names.any(|name| name == "binary_remote_addr").then_some("$binary_remote_addr")
    }

    /// A cookie in its value that is none of these: what is named `$cookie_<key>`, or the whole header. To nginx upper and
    /// lower case are the same there.
    pub fn stray_cookie(&self, keeps: impl Fn(&[u8]) -> bool) -> Option<String> {
        let mut stray = names_in(&self.text).filter(|name| match name.strip_prefix("cookie_") {
            Some(key) => !keeps(key.as_bytes()),
            None => name == "http_cookie",
        });
        stray.next().map(|name| format!("${name}"))
    }
}

/// The variables that a value's text names, in lower case, as nginx looks for them.
fn names_in(text: &[u8]) -> impl Iterator<Item = String> {
    let text = String::from_utf8_lossy(text).to_ascii_lowercase();
    let names = text.split('$').skip(1).map(|rest| {
        let rest = rest.trim_start_matches('{');
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        rest[..end.unwrap_or(rest.len())].to_owned()
    });
    names.collect::<Vec<_>>().into_iter()
}

/// Whose addresses a value has. What is not known may have a client's.
fn tells(text: &[u8]) -> Tells {
    const CLIENT: [&str; 4] =
        ["remote_addr", "realip_remote_addr", "proxy_protocol_addr", "proxy_add_x_forwarded_for"];
    const SERVER: [&str; 6] =
        ["host", "hostname", "http_host", "proxy_host", "uri", "document_uri"];
    let names: Vec<String> = names_in(text).collect();
    let client = |name: &str| {
        let header = name.strip_prefix("http_").unwrap_or_default();
        CLIENT.contains(&name)
            || (header.contains('_') && tells_address(header.as_bytes()))
            || header == "forwarded"
    };
    let server = |name: &String| {
        let begins = |with: &str| name.starts_with(with);
        SERVER.contains(&name.as_str()) || begins("server_") || begins("upstream_")
    };
    match names.as_slice() {
        // Alone: `$name`, or `${name}`.
        [name] if client(name) && [1, 3].contains(&(text.len() - name.len())) => Tells::Client,
        names if names.iter().all(server) => Tells::Server,
        _ => Tells::Anything,
    }
}
