//! What each directive sets: its words, read and kept. Each stands once in its place, but `sparkngin_subscriber`
//! and `sparkngin_field`.

use std::str::from_utf8;
use std::sync::Arc;

use ngx::ffi::{ngx_http_core_loc_conf_t, ngx_http_core_module};
use sparkngin_core::field::FieldList;
use sparkngin_core::format::{Delimiter, Format};
use sparkngin_core::ring::{Name, Overflow};
use sparkngin_publisher::key::{PublicKey, SecretKey};

use crate::args::{Args, ConfError};
use crate::conf::{Directory, Given, LARGEST_EVENT, MainConf, SMALLEST_EVENT};
use crate::cors::Cors;
use crate::fields;
use crate::level::{Ack, LEVELS, Level};
use crate::limits::Limits;
use crate::listen::{Guest, Listen};
use crate::location::{Kind, LocationConf, location_of};
use crate::privacy::Policy;
use crate::topics::Topics;
use crate::traffic::Traffic;

/// The most subscribers that can be named: a ring has so many cursors in each stream.
const MOST_SUBSCRIBERS: usize = 4;

/// Of two directives that answer requests nginx would take the last, in silence.
pub const NOT_ALONE: &str = "\"sparkngin_root_loc\" must be the only directive of its location that answers requests, \
                             without \"proxy_pass\" or one like it";

type Done = Result<(), ConfError>;

fn once<T>(place: &mut Option<T>, value: T) -> Done {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(ConfError::Duplicate),
    }
}

pub fn listen(conf: &mut MainConf, args: &mut Args<'_>) -> Done {
    once(&mut conf.listen, Listen::read(args)?)
}

pub fn buf_size(conf: &mut MainConf, args: &mut Args<'_>) -> Done {
    once(&mut conf.buf_size, Given { value: args.size()?, text: args.text(), place: args.place() })
}

pub fn buf_path(conf: &mut MainConf, args: &mut Args<'_>) -> Done {
    let word = args.first().to_vec();
    let name = match word.as_slice() {
        [] => return Err(args.invalid(&word, "a directory")),
        [name @ .., b'/'] if !name.is_empty() => args.path(name)?,
        name => args.path(name)?,
    };
    once(&mut conf.buf_path, Directory { name, place: Some(args.place()) })
}

pub fn overflow(conf: &mut MainConf, args: &mut Args<'_>) -> Done {
    let value = match args.first() {
        b"overwrite" => Overflow::Overwrite,
        b"reject" => Overflow::Reject,
        word => return Err(args.invalid(word, "\"overwrite\" or \"reject\"")),
    };
    once(&mut conf.overflow, Given { value, text: args.text(), place: args.place() })
}

pub fn subscriber(conf: &mut MainConf, args: &mut Args<'_>) -> Done {
    let word = args.first();
    let name = from_utf8(word).ok().and_then(|word| word.parse::<Name>().ok());
    let name =
        name.ok_or_else(|| args.invalid(word, "1 to 63 letters, digits, \".\", \"_\" or \"-\""))?;
    let parameter = args.words().nth(1).map(<[u8]>::to_vec);
    let key = match parameter {
        None => None,
        Some(word) => match word.strip_prefix(b"key=") {
            Some(path) => Some(args.key(path, PublicKey::read)?),
            None => return Err(args.parameter(&word, "\"key=\"")),
        },
    };
    if conf.guests.iter().any(|guest| guest.name == name) {
        return Err(ConfError::Told(format!("duplicate subscriber \"{name}\"")));
    }
    if let Some(other) = conf.guests.iter().find(|guest| key.is_some() && guest.key == key) {
        return Err(ConfError::Told(format!(
            "the key in \"{}\" is that of \"{}\", each subscriber must have one of its own",
            args.text(),
            other.name
        )));
    }
    if conf.guests.len() == MOST_SUBSCRIBERS {
        return Err(ConfError::Told(format!(
            "too many \"sparkngin_subscriber\" directives, there must be {MOST_SUBSCRIBERS} at most"
        )));
    }
    conf.guests.push(Guest { name, key, text: args.text(), place: args.place() });
    Ok(())
}

pub fn ack(conf: &mut LocationConf, args: &mut Args<'_>) -> Done {
    let word = args.first();
    let level = Level::of(word).ok_or_else(|| args.invalid(word, among(Level::Ring, "")))?;
    args.distinct()?;
    let (mut timeout, mut max) = (None, None);
    for word in args.words().skip(1) {
        if let Some(time) = word.strip_prefix(b"timeout=") {
            timeout = Some(args.time(time)?);
        } else if let Some(most) = word.strip_prefix(b"max=") {
            let given = Level::of(most).filter(|most| *most >= level);
            max = Some(given.ok_or_else(|| args.invalid(most, among(level, "max=")))?);
        } else {
            return Err(args.parameter(word, "\"timeout=\" or \"max=\""));
        }
    }
    let default = Ack::default();
    let (timeout, max) = (timeout.unwrap_or(default.timeout), max.unwrap_or(default.max));
    let value = Ack { level, timeout, max };
    once(&mut conf.ack, Given { value, text: args.text(), place: args.place() })
}

/// `"ring", "disk" or "kafka"`, from the weakest that may be.
fn among(least: Level, before: &str) -> String {
    let words = LEVELS.iter().filter(|level| **level >= least);
    let words: Vec<String> = words.map(|level| format!("\"{before}{level}\"")).collect();
    match words.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
        None => String::new(),
    }
}

pub fn max_pending(conf: &mut MainConf, args: &mut Args<'_>) -> Done {
    once(&mut conf.max_pending, usize::try_from(args.number()?).unwrap_or(usize::MAX))
}

pub fn sync_interval(conf: &mut MainConf, args: &mut Args<'_>) -> Done {
    let word = args.first();
    once(&mut conf.sync_interval, args.time(word)?)
}

pub fn gzip(conf: &mut MainConf, args: &mut Args<'_>) -> Done {
    once(&mut conf.gzip, args.flag()?)
}

pub fn format(conf: &mut MainConf, args: &mut Args<'_>) -> Done {
    let word = args.first();
    let format = from_utf8(word).ok().and_then(|word| word.parse::<Format>().ok());
    let format = format
        .ok_or_else(|| args.invalid(word, "\"json\", \"plain\", \"binary\" or \"envelope\""))?;
    let delimiter = match args.words().nth(1) {
        Some(word) if format == Format::Plain => Delimiter::parse(word).map_err(|_| {
            args.invalid(
                word,
                "1 to 16 bytes and not begin with one of \\ - x 0-9 A-F, which escapes are made of",
            )
        })?,
        _ => Delimiter::default(),
    };
    once(&mut conf.format, (format, delimiter))
}

pub fn fields(conf: &mut MainConf, args: &mut Args<'_>) -> Done {
    for word in args.words() {
        let quoted = word.len() > 2 && word.starts_with(b"%") && word.ends_with(b"%");
        if !quoted {
            return Err(args.invalid(word, "\"%name%\""));
        }
    }
    let list = FieldList::parse(args.words())
        .map_err(|error| ConfError::Told(format!("{error}, in \"sparkngin_fields\" directive")))?;
    once(&mut conf.fields, list)
}

pub fn root_loc(conf: &mut LocationConf, args: &mut Args<'_>) -> Done {
    if conf.root.is_some() {
        return Err(ConfError::Duplicate);
    }
    // SAFETY: nginx's own static, written while modules are counted, before any directive.
    let index = unsafe { ngx_http_core_module.ctx_index };
    // SAFETY: in a location nginx has made the settings of its core module.
    let core = unsafe { location_of::<ngx_http_core_loc_conf_t>(args.cf(), index) };
    let core = core.ok_or(ConfError::Logged)?;
    if core.handler.is_some() {
        return Err(ConfError::Told(NOT_ALONE.into()));
    }
    conf.root = Some(kind_of(core));
    conf.root_place = args.place();
    crate::handler::serve(core);
    Ok(())
}

fn kind_of(location: &ngx_http_core_loc_conf_t) -> Kind {
    match () {
        () if location.exact_match() != 0 => Kind::Exact,
        () if location.named() != 0 || has_regex(location) => Kind::Other,
        () => Kind::Prefix,
    }
}

#[cfg(ngx_feature = "pcre")]
fn has_regex(location: &ngx_http_core_loc_conf_t) -> bool {
    !location.regex.is_null()
}

#[cfg(not(ngx_feature = "pcre"))]
fn has_regex(_: &ngx_http_core_loc_conf_t) -> bool {
    false
}

pub fn topic(conf: &mut LocationConf, args: &mut Args<'_>) -> Done {
    once(&mut conf.topic, Given { value: args.topic()?, text: args.text(), place: args.place() })
}

pub fn topics(conf: &mut LocationConf, args: &mut Args<'_>) -> Done {
    once(&mut conf.topics, Topics::read(args)?.map(Arc::new))
}

pub fn cors(conf: &mut LocationConf, args: &mut Args<'_>) -> Done {
    once(&mut conf.cors, Cors::read(args)?.map(Arc::new))
}

pub fn field(conf: &mut LocationConf, args: &mut Args<'_>) -> Done {
    let place = conf.variables.get_or_insert_with(Arc::default);
    fields::add(Arc::make_mut(place), args)?;
    conf.variables_place = args.place();
    Ok(())
}

pub fn access(conf: &mut LocationConf, args: &mut Args<'_>) -> Done {
    conf.traffic_said = true;
    let value = Traffic::read(args)?;
    once(&mut conf.traffic, Given { value, text: args.text(), place: args.place() })
}

pub fn privacy(conf: &mut LocationConf, args: &mut Args<'_>) -> Done {
    once(&mut conf.policy, Policy::read(args)?.map(Arc::new))
}

pub fn receipt(conf: &mut LocationConf, args: &mut Args<'_>) -> Done {
    once(&mut conf.receipt, args.flag()?)
}

pub fn max_event(conf: &mut LocationConf, args: &mut Args<'_>) -> Done {
    match usize::try_from(args.size()?) {
        Ok(size) if size < SMALLEST_EVENT => Err(args.invalid(
            args.first(),
            "128 or more: an event has a time, an address and a topic at least",
        )),
        Ok(size) if size <= LARGEST_EVENT => once(&mut conf.max_event, size),
        _ => Err(args.invalid(
            args.first(),
            "2m or less: an event has to fit twice into a block, and blocks have 4m at most",
        )),
    }
}

pub fn limits(conf: &mut LocationConf, args: &mut Args<'_>) -> Done {
    once(&mut conf.limits, Limits::read(args)?)
}

pub fn curve_key(conf: &mut MainConf, args: &mut Args<'_>) -> Done {
    let path = args.first().to_vec();
    once(&mut conf.curve_key, args.key(&path, SecretKey::read)?)
}
