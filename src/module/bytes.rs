//! What nginx calls a string, as the bytes that it is, and back.

use std::ffi::c_void;
use std::slice::from_raw_parts;

use ngx::ffi::ngx_str_t;

/// The bytes of a string that nginx filled in; of an empty one there may be no address.
pub fn of(string: &ngx_str_t) -> &[u8] {
    if string.len == 0 || string.data.is_null() {
        return &[];
    }
    // SAFETY: nginx keeps `len` bytes at `data`, in the pool that holds the string itself, so for as long as that.
    unsafe { from_raw_parts(string.data, string.len) }
}

/// What a module keeps in one of nginx's arrays of pointers, one for each module. None for NULL.
///
/// # Safety
///
/// `array` has more than `index` pointers, the one there is NULL or leads to a `T`, and nobody else uses that as long as
/// the result lives.
pub unsafe fn kept<'a, T>(array: *mut *mut c_void, index: usize) -> Option<&'a mut T> {
    let place = array.wrapping_add(index);
    // SAFETY: as the caller says, it is one of the array.
    let pointer = unsafe { *place };
    // SAFETY: as the caller says.
    unsafe { pointer.cast::<T>().as_mut() }
}

/// A string of nginx that is a constant of ours. nginx writes to no string that it did not make itself.
pub const fn constant(text: &'static str) -> ngx_str_t {
    ngx_str_t { len: text.len(), data: text.as_ptr().cast_mut() }
}
