//! The exported functions, as macros: each library expands them in a crate of its own, as one
//! crate cannot export a name twice with two meanings.

/// The 21 functions that both libraries have.
#[macro_export]
macro_rules! export_common {
    ($flavour:expr) => {
        mod common {
            use $crate::ffi::*;

            const FLAVOUR: Flavour = $flavour;

            #[allow(clippy::too_many_arguments, reason = "the interface of libdlm")]
            #[unsafe(no_mangle)]
            unsafe extern "C-unwind" fn dlm_lock(
                mode: u32,
                lksb: *mut Lksb,
                flags: u32,
                name: *const c_void,
                namelen: c_uint,
                _parent: u32,
                astaddr: Option<AstRoutine>,
                astarg: *mut c_void,
                bastaddr: Option<AstRoutine>,
                range: *mut c_void,
            ) -> c_int {
                let arguments = LockArguments {
                    mode,
                    lksb,
                    flags,
                    name,
                    namelen,
                    range,
                    ast: astaddr,
                    ast_argument: astarg,
                    bast: bastaddr,
                    bast_argument: astarg,
                    xid: null(),
                    timeout: null(),
                };
                // SAFETY: the caller's pointers are as the interface says.
                unsafe { entry::lock(FLAVOUR, Space::Default, false, arguments) }
            }

            #[allow(clippy::too_many_arguments, reason = "the interface of libdlm")]
            #[unsafe(no_mangle)]
            unsafe extern "C-unwind" fn dlm_lock_wait(
                mode: u32,
                lksb: *mut Lksb,
                flags: u32,
                name: *const c_void,
                namelen: c_uint,
                _parent: u32,
                bastarg: *mut c_void,
                bastaddr: Option<AstRoutine>,
                range: *mut c_void,
            ) -> c_int {
                let arguments = LockArguments {
                    mode,
                    lksb,
                    flags,
                    name,
                    namelen,
                    range,
                    ast: None,
                    ast_argument: null_mut(),
                    bast: bastaddr,
                    bast_argument: bastarg,
                    xid: null(),
                    timeout: null(),
                };
                // SAFETY: the caller's pointers are as the interface says.
                unsafe { entry::lock(FLAVOUR, Space::Default, true, arguments) }
            }

            #[allow(clippy::too_many_arguments, reason = "the interface of libdlm")]
            #[unsafe(no_mangle)]
            unsafe extern "C-unwind" fn dlm_ls_lock(
                lockspace: Handle,
                mode: u32,
                lksb: *mut Lksb,
                flags: u32,
                name: *const c_void,
                namelen: c_uint,
                _parent: u32,
                astaddr: Option<AstRoutine>,
                astarg: *mut c_void,
                bastaddr: Option<AstRoutine>,
                range: *mut c_void,
            ) -> c_int {
                let arguments = LockArguments {
                    mode,
                    lksb,
                    flags,
                    name,
                    namelen,
                    range,
                    ast: astaddr,
                    ast_argument: astarg,
                    bast: bastaddr,
                    bast_argument: astarg,
                    xid: null(),
                    timeout: null(),
                };
                // SAFETY: the caller's pointers are as the interface says.
                unsafe { entry::lock(FLAVOUR, Space::Of(lockspace), false, arguments) }
            }

            #[allow(clippy::too_many_arguments, reason = "the interface of libdlm")]
            #[unsafe(no_mangle)]
            unsafe extern "C-unwind" fn dlm_ls_lock_wait(
                lockspace: Handle,
                mode: u32,
                lksb: *mut Lksb,
                flags: u32,
                name: *const c_void,
                namelen: c_uint,
                _parent: u32,
                bastarg: *mut c_void,
                bastaddr: Option<AstRoutine>,
                range: *mut c_void,
            ) -> c_int {
                let arguments = LockArguments {
                    mode,
                    lksb,
                    flags,
                    name,
                    namelen,
                    range,
                    ast: None,
                    ast_argument: null_mut(),
                    bast: bastaddr,
                    bast_argument: bastarg,
                    xid: null(),
                    timeout: null(),
                };
                // SAFETY: the caller's pointers are as the interface says.
                unsafe { entry::lock(FLAVOUR, Space::Of(lockspace), true, arguments) }
            }

            #[allow(clippy::too_many_arguments, reason = "the interface of libdlm")]
            #[unsafe(no_mangle)]
            unsafe extern "C-unwind" fn dlm_ls_lockx(
                lockspace: Handle,
                mode: u32,
                lksb: *mut Lksb,
                flags: u32,
                name: *const c_void,
                namelen: c_uint,
                _parent: u32,
                astaddr: Option<AstRoutine>,
                astarg: *mut c_void,
                bastaddr: Option<AstRoutine>,
                xid: *mut u64,
                timeout: *mut u64,
            ) -> c_int {
                let arguments = LockArguments {
                    mode,
                    lksb,
                    flags,
                    name,
                    namelen,
                    range: null_mut(),
                    ast: astaddr,
                    ast_argument: astarg,
                    bast: bastaddr,
                    bast_argument: astarg,
                    xid,
                    timeout,
                };
                // SAFETY: the caller's pointers are as the interface says.
                unsafe { entry::lock(FLAVOUR, Space::Of(lockspace), false, arguments) }
            }

            #[unsafe(no_mangle)]
            unsafe extern "C-unwind" fn dlm_unlock(
                lkid: u32,
                flags: u32,
                lksb: *mut Lksb,
                astarg: *mut c_void,
            ) -> c_int {
                let arguments = UnlockArguments { lkid, flags, lksb, argument: astarg };
                // SAFETY: the caller's pointers are as the interface says.
                unsafe { entry::unlock(FLAVOUR, Space::Default, false, arguments) }
            }

            #[unsafe(no_mangle)]
            unsafe extern "C-unwind" fn dlm_unlock_wait(
                lkid: u32,
                flags: u32,
                lksb: *mut Lksb,
            ) -> c_int {
                let arguments = UnlockArguments { lkid, flags, lksb, argument: null_mut() };
                // SAFETY: the caller's pointers are as the interface says.
                unsafe { entry::unlock(FLAVOUR, Space::Default, true, arguments) }
            }

            #[unsafe(no_mangle)]
            unsafe extern "C-unwind" fn dlm_ls_unlock(
                lockspace: Handle,
                lkid: u32,
                flags: u32,
                lksb: *mut Lksb,
                astarg: *mut c_void,
            ) -> c_int {
                let arguments = UnlockArguments { lkid, flags, lksb, argument: astarg };
                // SAFETY: the caller's pointers are as the interface says.
                unsafe { entry::unlock(FLAVOUR, Space::Of(lockspace), false, arguments) }
            }

            #[unsafe(no_mangle)]
            unsafe extern "C-unwind" fn dlm_ls_unlock_wait(
                lockspace: Handle,
                lkid: u32,
                flags: u32,
                lksb: *mut Lksb,
            ) -> c_int {
                let arguments = UnlockArguments { lkid, flags, lksb, argument: null_mut() };
                // SAFETY: the caller's pointers are as the interface says.
                unsafe { entry::unlock(FLAVOUR, Space::Of(lockspace), true, arguments) }
            }

            #[unsafe(no_mangle)]
            extern "C-unwind" fn dlm_ls_deadlock_cancel(
                ls: Handle,
                lkid: u32,
                flags: u32,
            ) -> c_int {
                entry::deadlock_cancel(ls, lkid, flags)
            }

            #[unsafe(no_mangle)]
            extern "C-unwind" fn dlm_ls_purge(
                lockspace: Handle,
                nodeid: c_int,
                pid: c_int,
            ) -> c_int {
                entry::purge(lockspace, nodeid, pid)
            }

            #[unsafe(no_mangle)]
            extern "C-unwind" fn dlm_get_fd() -> c_int {
                entry::descriptor(FLAVOUR, Space::Default)
            }

            #[unsafe(no_mangle)]
            extern "C-unwind" fn dlm_ls_get_fd(ls: Handle) -> c_int {
                entry::descriptor(FLAVOUR, Space::Of(ls))
            }

            #[unsafe(no_mangle)]
            extern "C-unwind" fn dlm_dispatch(fd: c_int) -> c_int {
                entry::dispatch(fd)
            }

            #[unsafe(no_mangle)]
            unsafe extern "C-unwind" fn dlm_create_lockspace(
                name: *const c_char,
                mode: mode_t,
            ) -> Handle {
                // SAFETY: the caller's pointers are as the interface says.
                unsafe { spaces::create(FLAVOUR, name, mode, 0) }
            }

            #[unsafe(no_mangle)]
            unsafe extern "C-unwind" fn dlm_new_lockspace(
                name: *const c_char,
                mode: mode_t,
                flags: u32,
            ) -> Handle {
                // SAFETY: the caller's pointers are as the interface says.
                unsafe { spaces::create(FLAVOUR, name, mode, flags) }
            }

            #[unsafe(no_mangle)]
            unsafe extern "C-unwind" fn dlm_open_lockspace(name: *const c_char) -> Handle {
                // SAFETY: the caller's pointers are as the interface says.
                unsafe { spaces::open(FLAVOUR, name) }
            }

            #[unsafe(no_mangle)]
            extern "C-unwind" fn dlm_close_lockspace(ls: Handle) -> c_int {
                spaces::close(ls)
            }

            #[unsafe(no_mangle)]
            unsafe extern "C-unwind" fn dlm_release_lockspace(
                name: *const c_char,
                ls: Handle,
                force: c_int,
            ) -> c_int {
                // SAFETY: the caller's pointers are as the interface says.
                unsafe { spaces::release(name, ls, force) }
            }

            #[unsafe(no_mangle)]
            unsafe extern "C-unwind" fn dlm_kernel_version(
                maj: *mut u32,
                min: *mut u32,
                patch: *mut u32,
            ) -> c_int {
                // SAFETY: the caller's pointers are as the interface says.
                unsafe { spaces::kernel_version(maj, min, patch) }
            }

            #[unsafe(no_mangle)]
            unsafe extern "C-unwind" fn dlm_library_version(
                maj: *mut u32,
                min: *mut u32,
                patch: *mut u32,
            ) {
                // SAFETY: the caller's pointers are as the interface says.
                unsafe { spaces::library_version(maj, min, patch) }
            }
        }
    };
}

/// The five functions that only the pthread build has.
#[macro_export]
macro_rules! export_threaded {
    () => {
        mod threaded {
            use $crate::ffi::*;

            #[unsafe(no_mangle)]
            extern "C-unwind" fn dlm_pthread_init() -> c_int {
                entry::start_thread(Space::Default)
            }

            #[unsafe(no_mangle)]
            extern "C-unwind" fn dlm_ls_pthread_init(lockspace: Handle) -> c_int {
                entry::start_thread(Space::Of(lockspace))
            }

            #[unsafe(no_mangle)]
            extern "C-unwind" fn dlm_pthread_cleanup() -> c_int {
                spaces::close_default()
            }

            #[unsafe(no_mangle)]
            unsafe extern "C-unwind" fn lock_resource(
                resource: *const c_char,
                mode: c_int,
                flags: c_int,
                lockid: *mut c_int,
            ) -> c_int {
                // SAFETY: the caller's pointers are as the interface says.
                unsafe { entry::lock_resource(resource, mode, flags, lockid) }
            }

            #[unsafe(no_mangle)]
            extern "C-unwind" fn unlock_resource(lockid: c_int) -> c_int {
                entry::unlock_resource(lockid)
            }
        }
    };
}
