//! The moment at which nginx asks a worker to leave: it then closes the connections that wait for nothing, and one of
//! them is ours, on nobody's other end. So the lease is given up at once, and nothing has to look often.

use std::fs::File;
use std::os::fd::IntoRawFd;
use std::ptr::NonNull;

use ngx::ffi::{ngx_close_connection, ngx_event_t, ngx_get_connection};

use crate::guard::guard;
use crate::log::{Level, line};
use crate::worker;

/// Has `worker::leave` called when nginx says so. Without a connection to spare the timer notices it.
pub fn notice() {
    let fd = match File::open("/dev/null") {
        Ok(file) => file.into_raw_fd(),
        Err(error) => {
            line(
                Level::Warn,
                format_args!("no descriptor to wait for the worker's end with: {error}"),
            );
            return;
        }
    };
    // SAFETY: the descriptor is nginx's from here on; the log is the running cycle's.
    let connection = unsafe { ngx_get_connection(fd, ngx::log::ngx_cycle_log().as_ptr()) };
    let Some(mut connection) = NonNull::new(connection) else { return };
    // SAFETY: nginx gave it to us alone, from its table, which lives as long as the process.
    let connection = unsafe { connection.as_mut() };
    connection.set_idle(1);
    // SAFETY: each connection has its read event.
    let read = unsafe { &mut *connection.read };
    read.handler = Some(closing);
    read.log = connection.log;
}

/// nginx closes what is idle.
unsafe extern "C" fn closing(event: *mut ngx_event_t) {
    guard("the worker's leave", (), || {
        worker::leave();
        // SAFETY: the event is the one that was set above; its data is its connection.
        let connection = unsafe { (*event).data };
        // SAFETY: still open: nginx calls once, and looks for open connections before a worker ends.
        unsafe { ngx_close_connection(connection.cast()) };
    });
}
