//! Error numbers, and the border that no panic crosses.

use std::ffi::c_int;
use std::panic::{AssertUnwindSafe, catch_unwind};

use dlm_runtime::ErrorKind;
use dlm_sys::Cause;

/// The value for `errno`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Errno(pub(crate) c_int);

impl From<&ErrorKind> for Errno {
    fn from(kind: &ErrorKind) -> Self {
        Self(match kind {
            ErrorKind::Device(error) => match error.cause {
                Cause::Os(errno) => errno.raw(),
                Cause::NoLockspace => libc::ENOENT,
                Cause::WrongDevice | Cause::NodeTimeout => libc::ENODEV,
                Cause::Held(_) => libc::ETIMEDOUT,
                Cause::NoMinorLeft => libc::ENOSPC,
                Cause::Version(_) => libc::ENOSYS,
                Cause::Name(_) | Cause::Encode(_) | Cause::MinorZero => libc::EINVAL,
                _ => libc::EIO,
            },
            ErrorKind::Name(_)
            | ErrorKind::Encode(_)
            | ErrorKind::Illegal(_)
            | ErrorKind::NothingToCancel => libc::EINVAL,
            ErrorKind::LockGone => libc::ENOENT,
            ErrorKind::InFlight => libc::EBUSY,
            ErrorKind::HasThread => libc::EEXIST,
            ErrorKind::TooManyLocks => libc::ENOMEM,
            ErrorKind::Closed | ErrorKind::Forked => libc::EBADF,
            ErrorKind::Removed => libc::ENODEV,
            ErrorKind::TimedOut(_) => libc::ETIMEDOUT,
            ErrorKind::System(error) => error.raw_os_error().unwrap_or(libc::EIO),
            _ => libc::EIO,
        })
    }
}

impl From<ErrorKind> for Errno {
    fn from(kind: ErrorKind) -> Self {
        Self::from(&kind)
    }
}

impl From<dlm_runtime::Error> for Errno {
    fn from(error: dlm_runtime::Error) -> Self {
        Self::from(&error.kind)
    }
}

/// Runs the body of an exported function. An error, or a panic, which is an error of this library,
/// makes it return `failure` with `errno` set; success leaves `errno` alone.
pub(crate) fn guard<T>(failure: T, body: impl FnOnce() -> Result<T, Errno>) -> T {
    let answer = catch_unwind(AssertUnwindSafe(body));
    match answer.unwrap_or(Err(Errno(libc::EIO))) {
        Ok(value) => value,
        Err(Errno(number)) => {
            nix::errno::Errno::set_raw(number);
            failure
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_and_panics_set_errno() {
        assert_eq!(guard(-1, || Err(Errno(libc::EBUSY))), -1);
        assert_eq!(nix::errno::Errno::last_raw(), libc::EBUSY);
        assert_eq!(guard(-1, || Ok(0)), 0);
        assert_eq!(nix::errno::Errno::last_raw(), libc::EBUSY);
        assert_eq!(guard(-1, || panic!("on purpose")), -1);
        assert_eq!(nix::errno::Errno::last_raw(), libc::EIO);
    }
}
