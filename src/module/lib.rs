//! What nginx asks a module for by symbol, and nothing else: the table of modules, and our module's two contexts.

use std::ffi::c_char;
use std::ptr::null;

use ngx::ffi::{NGX_HTTP_MODULE, ngx_command_t, ngx_http_module_t, ngx_module_t};

static mut COMMANDS: [ngx_command_t; 1] = [ngx_command_t::empty()];

static CONTEXT: ngx_http_module_t = ngx_http_module_t {
    preconfiguration: None,
    postconfiguration: None,
    create_main_conf: None,
    init_main_conf: None,
    create_srv_conf: None,
    merge_srv_conf: None,
    create_loc_conf: None,
    merge_loc_conf: None,
};

/// The module, as nginx knows it.
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals)]
pub static mut ngx_http_sparkngin_module: ngx_module_t = ngx_module_t {
    ctx: (&raw const CONTEXT).cast_mut().cast(),
    commands: (&raw mut COMMANDS).cast(),
    type_: NGX_HTTP_MODULE as _,
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
pub static ngx_modules: Table<ngx_module_t, 2> =
    Table([(&raw const ngx_http_sparkngin_module), null()]);

/// Their names, in the same order.
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals)]
pub static ngx_module_names: Table<c_char, 2> =
    Table([c"ngx_http_sparkngin_module".as_ptr(), null()]);

/// No wish about the order among other modules.
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals)]
pub static ngx_module_order: Table<c_char, 1> = Table([null()]);
