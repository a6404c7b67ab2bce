//! What nginx calls while it reads a configuration, and when a process begins and ends. In the master, and under
//! `nginx -t`, all of this is checking; only nginx itself makes the ring's directory, as it makes those for temporary files.

use std::ffi::{c_char, c_void};
use std::ptr::{NonNull, null_mut};

use ngx::core::{NGX_CONF_ERROR, NGX_CONF_OK};
use ngx::ffi::{
    NGX_ERROR, NGX_OK, NGX_PROCESS_SINGLE, NGX_PROCESS_WORKER, ngx_add_path, ngx_conf_t,
    ngx_core_conf_t, ngx_core_module, ngx_cycle_t, ngx_http_conf_ctx_t, ngx_http_core_loc_conf_t,
    ngx_http_core_module, ngx_http_module, ngx_int_t, ngx_log_t, ngx_path_t, ngx_pcalloc,
    ngx_pool_cleanup_add, ngx_pool_t, ngx_process, ngx_str_t,
};

use sparkngin_core::ring::{Replaced, Server};

use crate::args::{Place, Prefix, full_name};
use crate::bytes::{self, kept};
use crate::conf::{Directory, MainConf, main_of};
use crate::guard::guard;
use crate::location::{LocationConf, location_of};
use crate::log::{self, Level};
use crate::set::NOT_ALONE;
use crate::{handler, traffic, variables, worker};

const OK: ngx_int_t = NGX_OK as ngx_int_t;
const ERROR: ngx_int_t = NGX_ERROR as ngx_int_t;

pub unsafe extern "C" fn preconfiguration(cf: *mut ngx_conf_t) -> ngx_int_t {
    guard("preconfiguration", ERROR, || variables::register(cf))
}

pub unsafe extern "C" fn create_main_conf(cf: *mut ngx_conf_t) -> *mut c_void {
    guard("create_main_conf", null_mut(), || keep(cf, MainConf::new()))
}

pub unsafe extern "C" fn create_loc_conf(cf: *mut ngx_conf_t) -> *mut c_void {
    guard("create_loc_conf", null_mut(), || keep(cf, LocationConf::default()))
}

/// Puts a value where it lives as long as the configuration. NULL if there is no memory.
fn keep<T>(cf: *mut ngx_conf_t, value: T) -> *mut c_void {
    unsafe extern "C" fn drop_it<T>(data: *mut c_void) {
        guard("a cleanup", (), || {
            // SAFETY: `keep` made it, and nginx calls a cleanup once, when nothing of the configuration is in use.
            drop(unsafe { Box::from_raw(data.cast::<T>()) });
        });
    }
    // SAFETY: nginx's, while it reads a configuration.
    let pool: *mut ngx_pool_t = unsafe { (*cf).pool };
    // SAFETY: the configuration's pool; 0 asks for no memory of its own.
    let cleanup = unsafe { ngx_pool_cleanup_add(pool, 0) };
    // SAFETY: NULL, or a place in the pool for us to fill in.
    let Some(cleanup) = (unsafe { cleanup.as_mut() }) else { return null_mut() };
    cleanup.data = Box::into_raw(Box::new(value)).cast();
    cleanup.handler = Some(drop_it::<T>);
    cleanup.data
}

pub unsafe extern "C" fn merge_loc_conf(
    cf: *mut ngx_conf_t,
    outer: *mut c_void,
    inner: *mut c_void,
) -> *mut c_char {
    guard("merge_loc_conf", NGX_CONF_ERROR, || {
        // SAFETY: what `create_loc_conf` returned, for the place around and the place inside.
        let outer = unsafe { outer.cast::<LocationConf>().as_ref() };
        // SAFETY: as above; they are two.
        let inner = unsafe { inner.cast::<LocationConf>().as_mut() };
        // SAFETY: nginx's, while it merges.
        let cf = unsafe { cf.as_mut() };
        let (Some(outer), Some(inner), Some(cf)) = (outer, inner, cf) else {
            return NGX_CONF_ERROR;
        };
        merge(cf, outer, inner).map_or(NGX_CONF_ERROR, |()| NGX_CONF_OK)
    })
}

fn merge(cf: &mut ngx_conf_t, outer: &LocationConf, inner: &mut LocationConf) -> Option<()> {
    inner.merge(outer);
    // SAFETY: nginx's own static, written while modules are counted.
    let index = unsafe { ngx_http_core_module.ctx_index };
    // SAFETY: the core module's settings for the place that is merged.
    let core: &mut ngx_http_core_loc_conf_t = unsafe { location_of(cf, index) }?;
    // `if` and `limit_except` are places of their own, with the location's name, and serve what it serves.
    if core.noname() != 0 && outer.root.is_some() && core.handler.is_none() {
        inner.root = outer.root;
        inner.traffic_said |= outer.traffic_said;
        handler::serve(core);
    }
    if inner.root.is_some() || inner.has_traffic() {
        if let Err((text, place)) = inner.agrees() {
            emerg(cf.log, &text, &place);
            return None;
        }
        // SAFETY: nobody else uses them during a merge.
        let main = unsafe { main_of(cf.ctx) }?;
        main.used = true;
        main.traffic |= inner.has_traffic();
        main.largest_event = main.largest_event.max(inner.max_event());
    }
    if inner.root.is_some() {
        if !handler::serves(core) {
            emerg(cf.log, NOT_ALONE, &inner.root_place);
            return None;
        }
        // SAFETY: nobody else uses them during a merge.
        let main = unsafe { main_of(cf.ctx) }?;
        if let Err((text, place)) = inner.fits(main) {
            emerg(cf.log, &text, &place);
            return None;
        }
        if main.disk.is_none() {
            main.disk = inner.disk();
        }
    }
    Some(())
}

pub unsafe extern "C" fn postconfiguration(cf: *mut ngx_conf_t) -> ngx_int_t {
    guard("postconfiguration", ERROR, || {
        // SAFETY: nginx's, at the end of http.
        let Some(cf) = (unsafe { cf.as_mut() }) else { return ERROR };
        // SAFETY: nobody else uses them here.
        let Some(main) = (unsafe { main_of(cf.ctx) }) else { return ERROR };
        if let Err((text, place)) = main.complete(|name| full_name(cf, name, Prefix::Nginx)) {
            emerg(cf.log, &text, &place);
            return ERROR;
        }
        if main.traffic && watch_traffic(cf, main).is_none() {
            return ERROR;
        }
        let Some(directory) = main.buf_path.as_ref().filter(|_| main.used) else { return OK };
        if let Err(text) = directory.check() {
            emerg(cf.log, &text, &directory.place.clone().unwrap_or_default());
            return ERROR;
        }
        register(cf, directory).unwrap_or(ERROR)
    })
}

/// Has nginx call us behind each request. None if there is no memory.
fn watch_traffic(cf: &mut ngx_conf_t, main: &mut MainConf) -> Option<()> {
    // SAFETY: inside http, nginx's context is of this type.
    let context = unsafe { cf.ctx.cast::<ngx_http_conf_ctx_t>().as_ref() }?;
    // SAFETY: what the core module keeps for http; nobody else uses it here.
    let core = unsafe { kept(context.main_conf, traffic::core_index()) }?;
    traffic::register(cf, main, core)
}

/// Has nginx make the directory, before the workers start, for the user that they run as. None if there is no memory.
fn register(cf: &mut ngx_conf_t, directory: &Directory) -> Option<ngx_int_t> {
    // SAFETY: the configuration's pool; zeros are a value of it.
    let path = unsafe { ngx_pcalloc(cf.pool, size_of::<ngx_path_t>()) };
    let mut path = NonNull::new(path.cast::<ngx_path_t>())?;
    // SAFETY: just made for us alone.
    let slot = unsafe { path.as_mut() };
    slot.name = ended(cf, &directory.name)?;
    if let Some(place) = &directory.place {
        slot.conf_file = ended(cf, place.file.as_bytes())?.data;
        slot.line = place.line;
    }
    let mut path = path.as_ptr();
    // SAFETY: it lives as long as the configuration, as nginx's list of paths does.
    Some(unsafe { ngx_add_path(cf, &raw mut path) })
}

/// A string in the configuration's pool, with a zero behind it as the system's calls need.
fn ended(cf: &ngx_conf_t, text: &[u8]) -> Option<ngx_str_t> {
    // SAFETY: the configuration's pool; all zeros.
    let data = unsafe { ngx_pcalloc(cf.pool, text.len() + 1) };
    let data = NonNull::new(data.cast::<u8>())?;
    // SAFETY: room for it and a zero was just made.
    unsafe { text.as_ptr().copy_to_nonoverlapping(data.as_ptr(), text.len()) };
    Some(ngx_str_t { len: text.len(), data: data.as_ptr() })
}

/// Tells what is wrong with the configuration as a whole, where the directive stands that is at fault.
fn emerg(log: *mut ngx_log_t, text: &str, place: &Place) {
    let Some(log) = NonNull::new(log) else { return };
    log::write(Level::Emerg, log, &placed(text, place));
}

fn placed(text: &str, place: &Place) -> String {
    match place == &Place::default() {
        true => text.to_owned(),
        false => format!("{text} in {place}"),
    }
}

/// The core module's turn: all of the configuration is read, `worker_processes` as well.
pub unsafe extern "C" fn init_conf(cycle: *mut ngx_cycle_t, _: *mut c_void) -> *mut c_char {
    guard("init_conf", NGX_CONF_ERROR, || {
        let Some(cycle) = NonNull::new(cycle) else { return NGX_CONF_ERROR };
        // SAFETY: the cycle that is made now, by this thread.
        let Some(main) = (unsafe { main_in(cycle) }) else { return NGX_CONF_OK };
        main.workers = worker_processes(cycle);
        // SAFETY: as above.
        let log = unsafe { cycle.as_ref() }.log;
        if let Err((text, place)) = main.fits() {
            emerg(log, &text, &place);
            return NGX_CONF_ERROR;
        }
        let replaced = if main.used { Replaced::by(&main.wanted()) } else { None };
        let in_vain = main.in_vain().map(|(text, place)| placed(&text, &place));
        let crowded = if main.used { main.wanted().no_room() } else { None };
        let replaced = replaced.map(|replaced| replaced.to_string());
        let texts = [main.narrow(), in_vain, replaced, crowded];
        if let Some(log) = NonNull::new(log) {
            texts.iter().flatten().for_each(|text| log::write(Level::Warn, log, text));
        }
        NGX_CONF_OK
    })
}

/// Our settings of a cycle; None without an `http` in its configuration.
///
/// # Safety
///
/// The cycle is alive, and nobody else uses the settings while the result lives.
unsafe fn main_in<'a>(cycle: NonNull<ngx_cycle_t>) -> Option<&'a mut MainConf> {
    // SAFETY: nginx's own static, written while modules are counted.
    let index = unsafe { ngx_http_module.index };
    // SAFETY: as the caller says.
    let place = unsafe { cycle.as_ref() }.conf_ctx.wrapping_add(index);
    // SAFETY: there is a pointer for each module.
    let context = unsafe { *place };
    // SAFETY: http's is NULL without http, else nginx's context of it.
    unsafe { main_of(context.cast()) }
}

fn worker_processes(cycle: NonNull<ngx_cycle_t>) -> u64 {
    core_in(cycle).map_or(1, |conf| u64::try_from(conf.worker_processes).unwrap_or(1).max(1))
}

/// Who this nginx is, among those that may use the ring's directory.
fn server(cycle: NonNull<ngx_cycle_t>) -> Server {
    // SAFETY: the cycle that this process runs.
    let file = bytes::of(unsafe { &cycle.as_ref().conf_file });
    Server::new(file, core_in(cycle).map_or(b"", |conf| bytes::of(&conf.pid)))
}

/// The core module's settings.
fn core_in<'a>(cycle: NonNull<ngx_cycle_t>) -> Option<&'a mut ngx_core_conf_t> {
    // SAFETY: nginx's own static, written while modules are counted.
    let index = unsafe { ngx_core_module.index };
    // SAFETY: the cycle that is made now, by this thread.
    let conf_ctx = unsafe { cycle.as_ref() }.conf_ctx;
    // SAFETY: nginx's core module makes its settings for every cycle, and has filled in its defaults before us.
    unsafe { kept(conf_ctx.cast(), index) }
}

/// A process begins. Never an error: nginx would not start another worker in its place.
pub unsafe extern "C" fn init_process(cycle: *mut ngx_cycle_t) -> ngx_int_t {
    guard("init_process", OK, || {
        // SAFETY: nginx has set it before, and keeps it. The cache's manager and loader are called, too.
        let kind = unsafe { ngx_process } as u32;
        let Some(cycle) =
            NonNull::new(cycle).filter(|_| matches!(kind, NGX_PROCESS_WORKER | NGX_PROCESS_SINGLE))
        else {
            return OK;
        };
        // SAFETY: the cycle that this process runs; nothing is served yet.
        if let Some(main) = unsafe { main_in(cycle) }
            && main.used
        {
            worker::start(main, server(cycle));
        }
        OK
    })
}

pub unsafe extern "C" fn exit_process(_: *mut ngx_cycle_t) {
    guard("exit_process", (), worker::stop);
}
