//! The bodies of the exported functions that open, create and remove lockspaces, and tell versions.
//!
//! The contract of the pointers is that of [`crate::entry`].

use std::ffi::{CStr, c_char, c_int};
use std::ptr::null_mut;

use dlm_proto::Version;
use libc::EINVAL;

use crate::backend;
use crate::border::{guard, guard_anyway};
use crate::errno::{Errno, Told};
use crate::flavour::Flavour;
use crate::handles::{self, Handle};

/// The answer of `dlm_library_version`: the device version that C libdlm was written for.
const LIBRARY_VERSION: Version = Version { major: 6, minor: 0, patch: 2 };

/// `dlm_open_lockspace`.
///
/// # Safety
///
/// `name` is NULL or a string.
pub unsafe fn open(flavour: Flavour, name: *const c_char) -> Handle {
    // SAFETY: passed on to the caller of this function.
    guard(null_mut(), || handles::open_lockspace(flavour, unsafe { string(name) }?))
}

/// `dlm_create_lockspace` and `dlm_new_lockspace`.
///
/// # Safety
///
/// `name` is NULL or a string.
pub unsafe fn create(
    flavour: Flavour,
    name: *const c_char,
    mode: libc::mode_t,
    flags: u32,
) -> Handle {
    guard(null_mut(), || {
        // SAFETY: passed on to the caller of this function.
        let name = unsafe { string(name) }?;
        handles::create(flavour, name, mode & 0o7777, flags)
    })
}

/// `dlm_close_lockspace`.
#[must_use]
pub fn close(ls: Handle) -> c_int {
    guard(-1, || handles::close(ls).map(|()| 0))
}

/// `dlm_release_lockspace`.
///
/// # Safety
///
/// `name` is NULL or a string.
pub unsafe fn release(name: *const c_char, ls: Handle, force: c_int) -> c_int {
    guard(-1, || {
        // SAFETY: passed on to the caller of this function.
        let name = unsafe { string(name) }?;
        let is_there = handles::release(name, ls, force != 0)?;
        // With udev C libdlm looks whether the node is gone.
        Ok(if is_there { Told::from(0) } else { Told::and(0, libc::ENOENT) })
    })
}

/// `dlm_pthread_cleanup`.
#[must_use]
pub fn close_default() -> c_int {
    guard(-1, || {
        handles::close_default();
        Ok(0)
    })
}

/// `dlm_kernel_version`.
///
/// # Safety
///
/// Each pointer is NULL or leads to a number.
pub unsafe fn kernel_version(major: *mut u32, minor: *mut u32, patch: *mut u32) -> c_int {
    guard_anyway(-1, || {
        let version = backend::version()?;
        // SAFETY: passed on to the caller of this function.
        unsafe { tell(version, [major, minor, patch]) };
        Ok(0)
    })
}

/// `dlm_library_version`.
///
/// # Safety
///
/// Each pointer is NULL or leads to a number.
pub unsafe fn library_version(major: *mut u32, minor: *mut u32, patch: *mut u32) {
    // SAFETY: passed on to the caller of this function.
    unsafe { tell(LIBRARY_VERSION, [major, minor, patch]) };
}

/// # Safety
///
/// Each pointer is NULL or leads to a number, aligned or not.
unsafe fn tell(version: Version, places: [*mut u32; 3]) {
    let numbers = [version.major, version.minor, version.patch];
    for (place, number) in places.into_iter().zip(numbers) {
        if !place.is_null() {
            // SAFETY: not NULL, hence valid by this function's contract.
            unsafe { place.write_unaligned(number) };
        }
    }
}

/// # Safety
///
/// `name` is NULL or a string that lives as long as what is returned.
unsafe fn string<'a>(name: *const c_char) -> Result<&'a [u8], Errno> {
    if name.is_null() {
        return Err(Errno(EINVAL));
    }
    // SAFETY: not NULL, hence a string by this function's contract.
    Ok(unsafe { CStr::from_ptr(name) }.to_bytes())
}
