//! The words of a directive, as values, and what is wrong with them, in nginx's wording.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fmt;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::ptr::{NonNull, null_mut};

use ngx::ffi::{
    NGX_ERROR, NGX_LOG_EMERG, NGX_OK, ngx_conf_full_name, ngx_conf_log_error, ngx_conf_t,
    ngx_http_compile_complex_value, ngx_http_compile_complex_value_t, ngx_http_complex_value_t,
    ngx_int_t, ngx_parse_offset, ngx_parse_time, ngx_pcalloc, ngx_str_t, ngx_uint_t,
};
use sparkngin_core::escape::Shown;
use sparkngin_core::event::is_topic;
use sparkngin_publisher::key::{self, KeyError};

use crate::bytes;

/// Why a directive is refused. nginx adds the file and the line.
#[derive(Debug)]
pub enum ConfError {
    /// It stands there twice.
    Duplicate,
    /// A word is not what it must be.
    Value {
        /// The directive.
        name: String,
        /// The word.
        value: String,
        /// What it must be.
        must: String,
    },
    /// A sentence of its own.
    Told(String),
    /// nginx has said it already.
    Logged,
}

impl fmt::Display for ConfError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConfError::Value { name, value, must } => {
                write!(f, "invalid value \"{value}\" in \"{name}\" directive, it must be {must}")
            }
            ConfError::Told(sentence) => f.write_str(sentence),
            ConfError::Duplicate => f.write_str("directive is duplicate"),
            ConfError::Logged => Ok(()),
        }
    }
}

/// Where a directive stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The file's name.
    pub file: String,
    /// The line in it, from 1.
    pub line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// The words of the directive that nginx is reading.
pub struct Args<'a> {
    cf: &'a mut ngx_conf_t,
}

impl<'a> Args<'a> {
    /// # Safety
    ///
    /// nginx is calling with `cf`, and nobody else uses it while this lives.
    pub unsafe fn new(mut cf: NonNull<ngx_conf_t>) -> Args<'a> {
        // SAFETY: as promised.
        Args { cf: unsafe { cf.as_mut() } }
    }

    /// nginx's pointer, for what is handed back to nginx.
    pub fn cf(&mut self) -> &mut ngx_conf_t {
        self.cf
    }

    fn all(&self) -> &[ngx_str_t] {
        // SAFETY: while a directive is read, nginx has the array of its words, the name first.
        let args = unsafe { &*self.cf.args };
        // SAFETY: its elements are strings.
        unsafe { args.as_slice() }
    }

    /// The directive's name.
    pub fn name(&self) -> String {
        self.all().first().map(|name| Shown(bytes::of(name)).to_string()).unwrap_or_default()
    }

    /// The words after the name.
    pub fn words(&self) -> impl Iterator<Item = &[u8]> {
        self.all().iter().skip(1).map(bytes::of)
    }

    /// The first word. nginx has checked that there is one, from the row's `args`.
    pub fn first(&self) -> &[u8] {
        self.words().next().unwrap_or_default()
    }

    /// The directive as it stands there, for a sentence about all of it.
    pub fn text(&self) -> String {
        let words = self.all().iter().map(|word| Shown(bytes::of(word)).to_string());
        words.collect::<Vec<_>>().join(" ")
    }

    /// Where it stands.
    pub fn place(&self) -> Place {
        // SAFETY: NULL, or the file that is being read.
        let Some(conf_file) = (unsafe { self.cf.conf_file.as_ref() }) else {
            return Place::default();
        };
        let file = String::from_utf8_lossy(bytes::of(&conf_file.file.name)).into_owned();
        Place { file, line: conf_file.line }
    }

    /// `invalid value "x" in "name" directive, it must be ...`
    pub fn invalid(&self, value: &[u8], must: impl Into<String>) -> ConfError {
        ConfError::Value { name: self.name(), value: Shown(value).to_string(), must: must.into() }
    }

    /// `invalid parameter "x" in "name" directive, it must be ...`
    pub fn parameter(&self, value: &[u8], must: &str) -> ConfError {
        ConfError::Told(format!(
            "invalid parameter \"{}\" in \"{}\" directive, it must be {must}",
            Shown(value),
            self.name()
        ))
    }

    /// `on` or `off`
    pub fn flag(&self) -> Result<bool, ConfError> {
        match self.first() {
            word if word.eq_ignore_ascii_case(b"on") => Ok(true),
            word if word.eq_ignore_ascii_case(b"off") => Ok(false),
            word => Err(self.invalid(word, "\"on\" or \"off\"")),
        }
    }

    /// Whether `off` is all that it says.
    ///
    /// # Errors
    /// When `off` stands among other words: they contradict it.
    pub fn off(&self) -> Result<bool, ConfError> {
        match self.words().any(|word| word == b"off") {
            true if self.words().count() > 1 => {
                Err(ConfError::Told(format!("\"off\" in \"{}\" must stand alone", self.text())))
            }
            off => Ok(off),
        }
    }

    /// Checks that no word, or parameter `name=`, stands there twice.
    ///
    /// # Errors
    /// The first that does.
    pub fn distinct(&self) -> Result<(), ConfError> {
        let name = |word: &'_ [u8]| {
            let at = word.iter().position(|byte| *byte == b'=').filter(|_| word[0] != b'~');
            at.map_or(word.len(), |at| at + 1)
        };
        let mut seen = HashSet::new();
        match self.words().map(|word| &word[..name(word)]).find(|name| !seen.insert(*name)) {
            None => Ok(()),
            Some(name) => Err(ConfError::Told(format!(
                "duplicate parameter \"{}\" in \"{}\" directive",
                Shown(name),
                self.name()
            ))),
        }
    }

    /// A size as nginx has them, `512`, `32k` or `4m`; not 0.
    pub fn size(&self) -> Result<u64, ConfError> {
        self.size_in(self.first())
    }

    /// The same in a word, or behind its `=`.
    pub fn size_in(&self, word: &[u8]) -> Result<u64, ConfError> {
        let must = "a size like \"512k\", \"4m\" or \"1g\"";
        let mut text = borrowed(word);
        // SAFETY: nginx reads the string only.
        match unsafe { ngx_parse_offset(&raw mut text) } {
            size if size > 0 => Ok(size as u64),
            _ => Err(self.invalid(word, must)),
        }
    }

    /// A time as nginx has them, in ms; not 0.
    pub fn time(&self, word: &[u8]) -> Result<u64, ConfError> {
        self.time_from(word, 1)
    }

    /// The same, of so many ms at least.
    pub fn time_from(&self, word: &[u8], least: u64) -> Result<u64, ConfError> {
        let must = "a time like \"100ms\" or \"5s\"";
        let mut text = borrowed(word);
        // SAFETY: nginx reads the string only.
        match unsafe { ngx_parse_time(&raw mut text, 0) } {
            time if time >= 0 && time as u64 >= least => Ok(time as u64),
            _ => Err(self.invalid(word, must)),
        }
    }

    /// A number, not 0.
    pub fn number(&self) -> Result<u64, ConfError> {
        self.number_in(self.first(), u64::MAX)
    }

    /// The same in a word, or behind its `=`; at most `most`.
    pub fn number_in(&self, word: &[u8], most: u64) -> Result<u64, ConfError> {
        let text =
            std::str::from_utf8(word).ok().filter(|text| text.bytes().all(|b| b.is_ascii_digit()));
        match text.and_then(|text| text.parse().ok()) {
            Some(number) if number > 0 && number <= most => Ok(number),
            _ if most == u64::MAX => Err(self.invalid(word, "a number, 1 or more")),
            _ => Err(self.invalid(word, format!("a number from 1 to {most}"))),
        }
    }

    /// A path, completed with nginx's prefix if it is relative.
    pub fn path(&mut self, word: &[u8]) -> Result<Vec<u8>, ConfError> {
        full_name(self.cf, word, Prefix::Nginx).ok_or(ConfError::Logged)
    }

    /// What is read from a file of keys; its path is completed as those of certificates are.
    pub fn key<T>(
        &mut self,
        path: &[u8],
        read: impl FnOnce(&Path) -> Result<T, KeyError>,
    ) -> Result<T, ConfError> {
        if path.is_empty() {
            return Err(self.invalid(path, "a file with a key"));
        }
        let path = full_name(self.cf, path, Prefix::Configuration).ok_or(ConfError::Logged)?;
        let path = PathBuf::from(OsString::from_vec(path));
        let read = key::supported().and_then(|()| read(&path));
        read.map_err(|why| ConfError::Told(format!("{why}, in \"{}\" directive", self.name())))
    }

    /// The first word, the name of a topic, which may have variables in it.
    pub fn topic(&mut self) -> Result<NonNull<ngx_http_complex_value_t>, ConfError> {
        let value = self.complex(1, 0)?;
        if constant(value).is_some_and(|word| !is_topic(word)) {
            return Err(self.invalid(
                self.first(),
                "1 to 249 of a-z A-Z 0-9 . _ -, not \".\" or \"..\", and not start with \"__\"",
            ));
        }
        Ok(value)
    }

    /// A word (1 is the first behind the name) without its first `skip` bytes, which may have variables in it.
    pub fn complex(
        &mut self,
        word: usize,
        skip: usize,
    ) -> Result<NonNull<ngx_http_complex_value_t>, ConfError> {
        let whole = self.all().get(word).copied().unwrap_or(ngx_str_t::empty());
        let skip = skip.min(whole.len);
        let mut text = ngx_str_t { len: whole.len - skip, data: whole.data.wrapping_add(skip) };
        // SAFETY: the configuration's pool; zeros are a value of it.
        let made = unsafe { ngx_pcalloc(self.cf.pool, size_of::<ngx_http_complex_value_t>()) };
        let made =
            NonNull::new(made.cast::<ngx_http_complex_value_t>()).ok_or(ConfError::Logged)?;
        // SAFETY: a structure of pointers and bits, for which zeros are a value.
        let mut compile: ngx_http_compile_complex_value_t = unsafe { std::mem::zeroed() };
        compile.cf = self.cf;
        compile.value = &raw mut text;
        compile.complex_value = made.as_ptr();
        // SAFETY: all that it needs is set; it keeps no pointer to `compile` or `text`.
        match unsafe { ngx_http_compile_complex_value(&raw mut compile) } {
            rc if rc == NGX_OK as ngx_int_t => Ok(made),
            _ => Err(ConfError::Logged),
        }
    }

    /// Tells nginx's log, with the file and the line.
    pub fn emerg(&mut self, error: &ConfError) {
        if matches!(error, ConfError::Logged) {
            return;
        }
        let text = error.to_string();
        let cf: *mut ngx_conf_t = self.cf;
        // SAFETY: "%*s" takes a length and that many bytes.
        unsafe {
            ngx_conf_log_error(
                NGX_LOG_EMERG as ngx_uint_t,
                cf,
                0,
                c"%*s".as_ptr(),
                text.len(),
                text.as_ptr(),
            );
        }
    }
}

/// What a value without variables in it is; None for one with them.
pub fn constant<'a>(value: NonNull<ngx_http_complex_value_t>) -> Option<&'a [u8]> {
    // SAFETY: `complex` made it in the configuration's pool, where it lives as long as anything that knows of it.
    let value = unsafe { &*value.as_ptr() };
    value.lengths.is_null().then(|| bytes::of(&value.value))
}

/// What a relative path begins at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prefix {
    /// nginx's prefix, as for logs.
    Nginx,
    /// The directory of the configuration file, as for certificates.
    Configuration,
}

/// A path, completed if it is relative. None without memory.
pub fn full_name(cf: &mut ngx_conf_t, word: &[u8], prefix: Prefix) -> Option<Vec<u8>> {
    // nginx copies from the zero-ended string.
    let ended = [word, b"\0"].concat();
    let mut name = ngx_str_t { len: word.len(), data: ended.as_ptr().cast_mut() };
    let conf_prefix = ngx_uint_t::from(prefix == Prefix::Configuration);
    // SAFETY: the string is zero-ended and outlives the call; nginx replaces it by one in the cycle's pool, or not.
    let rc = unsafe { ngx_conf_full_name(cf.cycle, &raw mut name, conf_prefix) };
    (rc != NGX_ERROR as ngx_int_t).then(|| bytes::of(&name).to_vec())
}

/// A string that nginx only reads, during a call.
fn borrowed(word: &[u8]) -> ngx_str_t {
    ngx_str_t {
        len: word.len(),
        data: if word.is_empty() { null_mut() } else { word.as_ptr().cast_mut() },
    }
}
