//! Error numbers.

use std::ffi::c_int;

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

/// What a function returns when it has succeeded, and what `errno` becomes: as a rule it stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Told<T = c_int> {
    pub(crate) value: T,
    pub(crate) errno: Option<c_int>,
}

impl<T> From<T> for Told<T> {
    fn from(value: T) -> Self {
        Self { value, errno: None }
    }
}

impl<T> Told<T> {
    /// With this `errno`.
    pub(crate) const fn and(value: T, errno: c_int) -> Self {
        Self { value, errno: Some(errno) }
    }
}

#[cfg(test)]
#[cfg(not(dlm_model))]
mod tests {
    use super::*;
    use crate::border::guard;

    #[test]
    fn errors_and_panics_set_errno() {
        type Answer = Result<c_int, Errno>;
        let last = nix::errno::Errno::last_raw;
        assert_eq!(guard(-1, || Answer::Err(Errno(libc::EBUSY))), -1);
        assert_eq!(last(), libc::EBUSY);
        let body = || {
            nix::errno::Errno::set_raw(libc::ENOENT);
            Answer::Ok(0)
        };
        assert_eq!(guard(-1, body), 0);
        assert_eq!(last(), libc::EBUSY, "success leaves it alone");
        assert_eq!(guard(-1, || Ok(Told::and(0, libc::EAGAIN))), 0);
        assert_eq!(last(), libc::EAGAIN);
        assert_eq!(guard(-1, || -> Answer { panic!("on purpose") }), -1);
        assert_eq!(last(), libc::EIO);
    }
}
