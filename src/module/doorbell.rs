//! A bell of the ring among what nginx waits for: a FIFO as the read side of a connection.

use std::os::fd::{FromRawFd, IntoRawFd, OwnedFd};
use std::ptr::NonNull;

use ngx::ffi::{
    NGX_OK, ngx_close_connection, ngx_connection_t, ngx_event_t, ngx_get_connection,
    ngx_handle_read_event, ngx_int_t,
};

/// What nginx calls when it was rung; it must take all of what is there.
pub type Rung = unsafe extern "C" fn(*mut ngx_event_t);

/// The connection. Dropping it closes it.
pub struct Doorbell {
    connection: NonNull<ngx_connection_t>,
}

impl Doorbell {
    /// Has nginx call `rung`. None without a connection to spare: then somebody must look from time to time. `fifo` must
    /// be open for this alone: the kernel tells of it as long as anybody has it open.
    pub fn hang(fifo: OwnedFd, rung: Rung) -> Option<Doorbell> {
        let fd = fifo.into_raw_fd();
        // SAFETY: the descriptor is nginx's from here on, or closed; the log is the running cycle's.
        let connection = unsafe { ngx_get_connection(fd, ngx::log::ngx_cycle_log().as_ptr()) };
        let Some(mut connection) = NonNull::new(connection) else {
            // SAFETY: nobody else has it.
            drop(unsafe { OwnedFd::from_raw_fd(fd) });
            return None;
        };
        let bell = Doorbell { connection };
        // SAFETY: nginx gave it to us alone, from its table, which lives as long as the process.
        let connection = unsafe { connection.as_mut() };
        // SAFETY: each connection has its read event.
        let read = unsafe { &mut *connection.read };
        read.handler = Some(rung);
        read.log = connection.log;
        // As nginx marks the channel to its master: not a client's, so none to close, or to miss, when the worker ends.
        read.set_channel(1);
        // SAFETY: the connection has an open descriptor, and is not yet waited for.
        let added = unsafe { ngx_handle_read_event(read, 0) };
        (added == NGX_OK as ngx_int_t).then_some(bell)
    }
}

impl Drop for Doorbell {
    fn drop(&mut self) {
        // SAFETY: open, and closed by nobody else.
        unsafe { ngx_close_connection(self.connection.as_ptr()) };
    }
}
