//! What nginx asks for by symbol, and nothing else: the table of modules, and of each what nginx calls.
//!
//! There are two. The http module has the directives and serves requests. A small core module comes last when the
//! configuration is read, when all of it is known, also what stands after `http`; it checks what depends on that.

#![deny(clippy::unwrap_used, clippy::expect_used)]

mod answer;
mod args;
mod body;
mod bytes;
mod conf;
mod cors;
mod directive;
mod doorbell;
mod fields;
mod guard;
mod handler;
mod health;
mod hooks;
mod intake;
mod kept;
mod lead;
mod leave;
mod level;
mod limits;
mod line;
mod listen;
mod location;
mod log;
mod neighbours;
mod privacy;
mod refusal;
mod request;
mod set;
mod stage;
mod store;
mod syncing;
mod timer;
mod topics;
mod traffic;
mod unpack;
mod variables;
mod waiting;
mod worker;

use std::ffi::c_char;
use std::ptr::{null, null_mut};

use ngx::ffi::{
    NGX_CORE_MODULE, NGX_HTTP_MODULE, ngx_core_module_t, ngx_http_module_t, ngx_module_t, ngx_str_t,
};

static CONTEXT: ngx_http_module_t = ngx_http_module_t {
    preconfiguration: Some(hooks::preconfiguration),
    postconfiguration: Some(hooks::postconfiguration),
    create_main_conf: Some(hooks::create_main_conf),
    init_main_conf: None,
    create_srv_conf: None,
    merge_srv_conf: None,
    create_loc_conf: Some(hooks::create_loc_conf),
    merge_loc_conf: Some(hooks::merge_loc_conf),
};

/// A context that nginx reads only: it holds a name and addresses of functions.
#[repr(transparent)]
struct CoreContext(ngx_core_module_t);

// SAFETY: the name is a constant, and nobody writes to it.
unsafe impl Sync for CoreContext {}

static CORE_CONTEXT: CoreContext = CoreContext(ngx_core_module_t {
    name: ngx_str_t { len: 9, data: c"sparkngin".as_ptr().cast_mut().cast() },
    create_conf: None,
    init_conf: Some(hooks::init_conf),
});

/// The module with the directives and the handler. nginx writes its numbers into it.
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals)]
pub static mut ngx_http_sparkngin_module: ngx_module_t = ngx_module_t {
    ctx: (&raw const CONTEXT).cast_mut().cast(),
    commands: (&raw mut directive::COMMANDS).cast(),
    type_: NGX_HTTP_MODULE as _,
    init_process: Some(hooks::init_process),
    exit_process: Some(hooks::exit_process),
    ..ngx_module_t::default()
};

/// The module that comes last.
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals)]
pub static mut ngx_sparkngin_module: ngx_module_t = ngx_module_t {
    ctx: (&raw const CORE_CONTEXT).cast_mut().cast(),
    commands: null_mut(),
    type_: NGX_CORE_MODULE as _,
    ..ngx_module_t::default()
};

/// A table that nginx reads by its symbol: pointers to what lives as long as the library.
#[repr(transparent)]
pub struct Table<T, const N: usize>([*const T; N]);

// SAFETY: the pointers are to statics, and nginx reads them in one thread, while it loads the library.
unsafe impl<T, const N: usize> Sync for Table<T, N> {}

/// The modules of this library, for `load_module`.
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals)]
pub static ngx_modules: Table<ngx_module_t, 3> =
    Table([&raw const ngx_http_sparkngin_module, &raw const ngx_sparkngin_module, null()]);

/// Their names, in the same order.
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals)]
pub static ngx_module_names: Table<c_char, 3> =
    Table([c"ngx_http_sparkngin_module".as_ptr(), c"ngx_sparkngin_module".as_ptr(), null()]);

/// No wish about the order among other modules.
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals)]
pub static ngx_module_order: Table<c_char, 1> = Table([null()]);

/// Our place among the http modules: where requests and locations keep what is ours.
fn context_index() -> usize {
    // SAFETY: nginx writes it while it counts modules, before anything of ours is called.
    unsafe { ngx_http_sparkngin_module.ctx_index }
}
