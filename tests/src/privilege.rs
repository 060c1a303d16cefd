//! Doing without privileges.

use std::thread;

/// The user without rights, by custom.
const NOBODY: libc::uid_t = 65534;

/// Runs `work` in a thread that belongs to nobody and has no capability. The rest of the process
/// stays as it is.
///
/// # Panics
///
/// If this process is not root, or `work` panics.
pub fn as_nobody<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    let without_rights = || {
        // SAFETY: the call takes integers and touches no memory of ours. The bare system call
        // changes this one thread, which ends below; glibc's function would change them all.
        let done = unsafe { libc::syscall(libc::SYS_setresuid, NOBODY, NOBODY, NOBODY) };
        assert_eq!(done, 0, "cannot become nobody: {}", std::io::Error::last_os_error());
        work()
    };
    thread::scope(|scope| scope.spawn(without_rights).join())
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
