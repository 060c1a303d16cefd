//! A C library with the interface of libdlm_lt, loaded beside others into this process.

use std::ffi::{CStr, CString, c_int, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr::null_mut;

use dlm_runtime::{LockStatus, Mode};
use nix::libc;

use crate::Result;

/// `struct dlm_lksb` of libdlm.h.
#[repr(C)]
struct StatusBlock {
    status: c_int,
    id: u32,
    flags: u8,
    value_block: *mut u8,
}

/// `dlm_lshandle_t`.
type Handle = *mut c_void;
type Open = unsafe extern "C" fn(*const libc::c_char) -> Handle;
type Close = unsafe extern "C" fn(Handle) -> c_int;
type LockWait = unsafe extern "C" fn(
    Handle,
    u32,
    *mut StatusBlock,
    u32,
    *const c_void,
    u32,
    u32,
    *mut c_void,
    *mut c_void,
    *mut c_void,
) -> c_int;
type UnlockWait = unsafe extern "C" fn(Handle, u32, u32, *mut StatusBlock) -> c_int;

/// A lockspace that is open in a library.
pub(crate) struct CLockspace {
    handle: Handle,
    close: Close,
    lock_wait: LockWait,
    unlock_wait: UnlockWait,
    block: StatusBlock,
}

impl CLockspace {
    /// Loads the library and opens the lockspace in it. It stays loaded.
    pub(crate) fn open(library: &Path, lockspace: &str) -> Result<Self> {
        let path = CString::new(library.as_os_str().as_bytes())?;
        // SAFETY: the path ends with a NUL and lives across the call. What the library does when it
        // is loaded is harmless: it is libdlm_lt, or ours of that name.
        let loaded = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        if loaded.is_null() {
            return Err(format!("cannot load {}", library.display()).into());
        }
        // SAFETY: this is the function's type in libdlm.h.
        let open: Open = unsafe { function(loaded, c"dlm_open_lockspace") }?;
        // SAFETY: as above.
        let close: Close = unsafe { function(loaded, c"dlm_close_lockspace") }?;
        // SAFETY: as above.
        let lock_wait: LockWait = unsafe { function(loaded, c"dlm_ls_lock_wait") }?;
        // SAFETY: as above.
        let unlock_wait: UnlockWait = unsafe { function(loaded, c"dlm_ls_unlock_wait") }?;
        let name = CString::new(lockspace)?;
        // SAFETY: the name ends with a NUL and lives across the call.
        let handle = unsafe { open(name.as_ptr()) };
        if handle.is_null() {
            return Err(format!("{}: no lockspace", library.display()).into());
        }
        let block = StatusBlock { status: 0, id: 0, flags: 0, value_block: null_mut() };
        Ok(Self { handle, close, lock_wait, unlock_wait, block })
    }

    /// Takes an EX lock. What the call returns differs between the libraries; the status does not.
    pub(crate) fn lock(&mut self, name: &[u8]) -> Result<()> {
        let (mode, len) = (Mode::Ex as u32, u32::try_from(name.len())?);
        let (block, none) = (&raw mut self.block, null_mut());
        let name = name.as_ptr().cast();
        // SAFETY: the handle is open. The status block stays where it is, borrowed by nobody else,
        // until the call returns, and libdlm_lt forgets it then: the operation has ended. The name
        // is read during the call. There is no blocking AST and no range.
        unsafe { (self.lock_wait)(self.handle, mode, block, 0, name, len, 0, none, none, none) };
        self.expect(0)
    }

    /// Releases it.
    pub(crate) fn unlock(&mut self) -> Result<()> {
        let block = &raw mut self.block;
        // SAFETY: as above; the id is that of the lock.
        unsafe { (self.unlock_wait)(self.handle, self.block.id, 0, block) };
        self.expect(-LockStatus::Unlocked.to_raw())
    }

    fn expect(&self, status: c_int) -> Result<()> {
        let found = self.block.status;
        if found == status { Ok(()) } else { Err(format!("status {found}").into()) }
    }

    pub(crate) fn close(self) -> Result<()> {
        // SAFETY: the handle is open, and gone with this value.
        match unsafe { (self.close)(self.handle) } {
            0 => Ok(()),
            _ => Err("the lockspace cannot be closed".into()),
        }
    }
}

/// A function of a library that is never unloaded.
///
/// # Safety
///
/// `F` is the type of a pointer to the function of this name.
unsafe fn function<F: Copy>(library: *mut c_void, name: &CStr) -> Result<F> {
    const { assert!(size_of::<F>() == size_of::<*mut c_void>()) };
    // SAFETY: the library is loaded, and the name ends with a NUL.
    let found = unsafe { libc::dlsym(library, name.as_ptr()) };
    if found.is_null() {
        return Err(format!("no {}", name.to_string_lossy()).into());
    }
    // SAFETY: the caller vouches for the type; its size is that of a pointer.
    Ok(unsafe { std::mem::transmute_copy(&found) })
}
