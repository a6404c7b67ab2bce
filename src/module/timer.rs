//! A timer of nginx's that belongs to the worker, not to a request.

use std::cell::UnsafeCell;
use std::mem::zeroed;

use ngx::ffi::{ngx_add_timer, ngx_connection_t, ngx_del_timer, ngx_event_t, ngx_msec_t};

/// What nginx calls when the time has come.
pub type Expired = unsafe extern "C" fn(*mut ngx_event_t);

/// A timer and the connection that nginx believes to serve: one that debugs reads its descriptor.
pub struct Timer {
    parts: UnsafeCell<Option<(ngx_event_t, ngx_connection_t)>>,
    expired: Expired,
    cancelable: bool,
}

// SAFETY: only nginx's own thread touches it.
unsafe impl Sync for Timer {}

impl Timer {
    /// One that is not armed. While one that is not `cancelable` is armed, nginx does not let the worker end.
    pub const fn new(expired: Expired, cancelable: bool) -> Timer {
        Timer { parts: UnsafeCell::new(None), expired, cancelable }
    }

    /// Asks nginx to call once, after so many ms. Armed already it is set anew.
    pub fn arm(&'static self, after: u64) {
        // SAFETY: one thread, and nobody holds a reference over a call of this function.
        let (event, connection) = unsafe { &mut *self.parts.get() }.get_or_insert_with(|| {
            // SAFETY: zeros are a value of it.
            let event = unsafe { zeroed() };
            // SAFETY: as above.
            (event, unsafe { zeroed() })
        });
        connection.fd = -1;
        event.data = (&raw mut *connection).cast();
        event.handler = Some(self.expired);
        event.log = ngx::log::ngx_cycle_log().as_ptr();
        event.set_cancelable(u32::from(self.cancelable));
        if event.timer_set() != 0 {
            // SAFETY: it is armed, so it is in nginx's tree. Else nginx would keep a time that is near enough for it.
            unsafe { ngx_del_timer(event) };
        }
        // SAFETY: the event is in a static, so it lives as long as nginx's tree of timers.
        unsafe { ngx_add_timer(event, after as ngx_msec_t) };
    }

    /// Takes it back.
    pub fn disarm(&'static self) {
        // SAFETY: one thread, and nobody holds a reference over a call of this function.
        let parts = unsafe { &mut *self.parts.get() };
        let Some((event, _)) = parts.as_mut().filter(|(event, _)| event.timer_set() != 0) else {
            return;
        };
        // SAFETY: it is armed, so it is in nginx's tree.
        unsafe { ngx_del_timer(event) };
    }
}
