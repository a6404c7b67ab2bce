//! The directives, a row each, and what nginx calls for all of them. nginx's own table is made from the rows.

use std::ffi::{CStr, c_char, c_void};
use std::ptr::{NonNull, null_mut};

use ngx::core::{NGX_CONF_ERROR, NGX_CONF_OK};
use ngx::ffi::{
    NGX_CONF_1MORE, NGX_CONF_FLAG, NGX_CONF_NOARGS, NGX_CONF_TAKE1, NGX_CONF_TAKE12,
    NGX_CONF_TAKE23, NGX_CONF_TAKE123, NGX_CONF_TAKE1234, NGX_HTTP_LOC_CONF,
    NGX_HTTP_LOC_CONF_OFFSET, NGX_HTTP_MAIN_CONF, NGX_HTTP_MAIN_CONF_OFFSET, NGX_HTTP_SRV_CONF,
    ngx_command_t, ngx_conf_t, ngx_str_t, ngx_uint_t,
};

use crate::args::{Args, ConfError};
use crate::conf::MainConf;
use crate::guard::guard;
use crate::location::LocationConf;
use crate::set;

/// A directive: where it may stand, how many words follow it, and what it sets.
pub struct Directive {
    name: &'static CStr,
    at: u32,
    args: u32,
    set: Set,
}

/// What a directive sets: a value for all of nginx, or one for a location.
enum Set {
    Main(fn(&mut MainConf, &mut Args<'_>) -> Result<(), ConfError>),
    Location(fn(&mut LocationConf, &mut Args<'_>) -> Result<(), ConfError>),
}

use Set::{Location, Main};

const HTTP: u32 = NGX_HTTP_MAIN_CONF;
const LOCATION: u32 = NGX_HTTP_LOC_CONF;
const ALL: u32 = NGX_HTTP_MAIN_CONF | NGX_HTTP_SRV_CONF | NGX_HTTP_LOC_CONF;

const NONE: u32 = NGX_CONF_NOARGS;
const FLAG: u32 = NGX_CONF_FLAG;
const ONE: u32 = NGX_CONF_TAKE1;
const ONE_TO_TWO: u32 = NGX_CONF_TAKE12;
const TWO_TO_THREE: u32 = NGX_CONF_TAKE23;
const ONE_TO_THREE: u32 = NGX_CONF_TAKE123;
const ONE_TO_FOUR: u32 = NGX_CONF_TAKE1234;
const SOME: u32 = NGX_CONF_1MORE;

// One row, one line: the documentation is compared with them.
#[rustfmt::skip]
static DIRECTIVES: [Directive; 22] = [
    Directive { name: c"sparkngin_listen",        at: HTTP,     args: ONE_TO_FOUR,  set: Main(set::listen) },
    Directive { name: c"sparkngin_buf_size",      at: HTTP,     args: ONE,          set: Main(set::buf_size) },
    Directive { name: c"sparkngin_buf_path",      at: HTTP,     args: ONE,          set: Main(set::buf_path) },
    Directive { name: c"sparkngin_overflow",      at: HTTP,     args: ONE,          set: Main(set::overflow) },
    Directive { name: c"sparkngin_subscriber",    at: HTTP,     args: ONE_TO_TWO,   set: Main(set::subscriber) },
    Directive { name: c"sparkngin_ack",           at: ALL,      args: ONE_TO_THREE, set: Location(set::ack) },
    Directive { name: c"sparkngin_max_pending",   at: HTTP,     args: ONE,          set: Main(set::max_pending) },
    Directive { name: c"sparkngin_sync_interval", at: HTTP,     args: ONE,          set: Main(set::sync_interval) },
    Directive { name: c"sparkngin_gzip",          at: HTTP,     args: FLAG,         set: Main(set::gzip) },
    Directive { name: c"sparkngin_format",        at: HTTP,     args: ONE_TO_TWO,   set: Main(set::format) },
    Directive { name: c"sparkngin_fields",        at: HTTP,     args: SOME,         set: Main(set::fields) },
    Directive { name: c"sparkngin_root_loc",      at: LOCATION, args: NONE,         set: Location(set::root_loc) },
    Directive { name: c"sparkngin_topic",         at: ALL,      args: ONE,          set: Location(set::topic) },
    Directive { name: c"sparkngin_topics",        at: ALL,      args: SOME,         set: Location(set::topics) },
    Directive { name: c"sparkngin_field",         at: ALL,      args: TWO_TO_THREE, set: Location(set::field) },
    Directive { name: c"sparkngin_access",        at: ALL,      args: ONE_TO_TWO,   set: Location(set::access) },
    Directive { name: c"sparkngin_privacy",       at: ALL,      args: SOME,         set: Location(set::privacy) },
    Directive { name: c"sparkngin_cors",          at: ALL,      args: SOME,         set: Location(set::cors) },
    Directive { name: c"sparkngin_receipt",       at: ALL,      args: FLAG,         set: Location(set::receipt) },
    Directive { name: c"sparkngin_max_event",     at: ALL,      args: ONE,          set: Location(set::max_event) },
    Directive { name: c"sparkngin_limits",        at: ALL,      args: SOME,         set: Location(set::limits) },
    Directive { name: c"sparkngin_curve_key",     at: HTTP,     args: ONE,          set: Main(set::curve_key) },
];

/// nginx's form of the rows, and the empty one that ends them.
pub static mut COMMANDS: [ngx_command_t; 23] = {
    let mut commands = [const { ngx_command_t::empty() }; 23];
    let mut row = 0;
    while row < DIRECTIVES.len() {
        let Directive { name, at, args, ref set } = DIRECTIVES[row];
        commands[row] = ngx_command_t {
            // nginx compares with the zero that ends it.
            name: ngx_str_t { len: name.count_bytes(), data: name.as_ptr().cast_mut().cast() },
            type_: (at | args) as ngx_uint_t,
            set: Some(command),
            conf: match set {
                Main(_) => NGX_HTTP_MAIN_CONF_OFFSET,
                Location(_) => NGX_HTTP_LOC_CONF_OFFSET,
            },
            // Ours to use: which row it is.
            offset: row,
            post: null_mut(),
        };
        row += 1;
    }
    commands
};

unsafe extern "C" fn command(
    cf: *mut ngx_conf_t,
    cmd: *mut ngx_command_t,
    conf: *mut c_void,
) -> *mut c_char {
    guard("a directive", NGX_CONF_ERROR, || {
        let (Some(cf), Some(cmd), Some(conf)) =
            (NonNull::new(cf), NonNull::new(cmd), NonNull::new(conf))
        else {
            return NGX_CONF_ERROR;
        };
        // SAFETY: nginx calls with an element of COMMANDS, which nobody writes to.
        let row = unsafe { cmd.as_ref() }.offset;
        let Some(directive) = DIRECTIVES.get(row) else { return NGX_CONF_ERROR };
        // SAFETY: nginx reads this directive just now, and does nothing else until we return.
        let mut args = unsafe { Args::new(cf) };
        let done = match directive.set {
            // SAFETY: for this row's `conf`, nginx gives what `create_main_conf` returned, to us alone.
            Main(set) => set(unsafe { conf.cast().as_mut() }, &mut args),
            // SAFETY: as above, `create_loc_conf`.
            Location(set) => set(unsafe { conf.cast().as_mut() }, &mut args),
        };
        match done {
            Ok(()) => NGX_CONF_OK,
            Err(ConfError::Duplicate) => c"is duplicate".as_ptr().cast_mut(),
            Err(error) => {
                args.emerg(&error);
                NGX_CONF_ERROR
            }
        }
    })
}
