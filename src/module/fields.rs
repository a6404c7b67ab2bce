//! `sparkngin_field`: what nginx knows of a request, as fields of its event.

use std::ptr::NonNull;

use ngx::ffi::ngx_http_complex_value_t;
use sparkngin_core::event::{Form, Given, may_be_given};
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
    fields.push(Variable { name, value: args.complex(2, 0)?, form, text });
    Ok(())
}

impl Variable {
    /// The value for a request.
    pub fn given<'a>(&'a self, incoming: Incoming<'a>) -> Result<Given<'a>, NoMemory> {
        Ok(Given { name: &self.name, value: incoming.evaluate(self.value)?, form: self.form })
    }

    /// A cookie in its value that is none of these: what is named `$cookie_<key>`, or the whole header. To nginx upper and
    /// lower case are the same there.
    pub fn stray_cookie(&self, keeps: impl Fn(&[u8]) -> bool) -> Option<String> {
        let text = String::from_utf8_lossy(&self.text).to_ascii_lowercase();
        let names = text.split('$').skip(1).map(|rest| {
            let rest = rest.trim_start_matches('{');
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            &rest[..end.unwrap_or(rest.len())]
        });
        let mut stray = names.filter(|name| match name.strip_prefix("cookie_") {
            Some(key) => !keeps(key.as_bytes()),
            None => *name == "http_cookie",
        });
        stray.next().map(|name| format!("${name}"))
    }
}
