//! What a program decides by when an operation has failed.

use dlm_proto::LockStatus;
use dlm_sys::Errno;

use super::{Error, ErrorKind};

impl Error {
    /// The status with which the kernel completed the operation, if that is what failed.
    #[must_use]
    pub const fn status(&self) -> Option<LockStatus> {
        match self.kind {
            ErrorKind::Status(status) => Some(status),
            _ => None,
        }
    }

    /// The failed call on a device, if that is what failed.
    #[must_use]
    pub const fn device(&self) -> Option<&dlm_sys::Error> {
        match &self.kind {
            ErrorKind::Device(error) => Some(error),
            _ => None,
        }
    }

    /// What to do about a failed call on a device, where that is known. The text of the error ends
    /// with it.
    #[must_use]
    pub fn remedy(&self) -> Option<&'static str> {
        self.device().and_then(dlm_sys::Error::remedy)
    }

    /// Whether this kernel's DLM is not there: the module is not loaded.
    #[must_use]
    pub fn is_no_module(&self) -> bool {
        self.device().is_some_and(dlm_sys::Error::is_no_module)
    }

    /// Whether this node is not configured as a member of a cluster, or its `dlm_controld` has died.
    #[must_use]
    pub fn is_not_configured(&self) -> bool {
        self.device().is_some_and(dlm_sys::Error::is_not_configured)
    }

    /// Whether permission is missing: for a device node, or CAP_SYS_ADMIN.
    #[must_use]
    pub fn is_permission_denied(&self) -> bool {
        match &self.kind {
            ErrorKind::Device(error) => error.is_permission_denied(),
            ErrorKind::System(error) => error.kind() == std::io::ErrorKind::PermissionDenied,
            _ => false,
        }
    }

    /// Whether there is no such lockspace on this node.
    #[must_use]
    pub fn is_no_lockspace(&self) -> bool {
        self.device().is_some_and(dlm_sys::Error::is_no_lockspace)
    }

    /// Whether the lockspace exists on this node, and was to be created
    /// [exclusively](crate::LockspaceOptions::exclusive).
    #[must_use]
    pub fn is_existing_lockspace(&self) -> bool {
        self.device().is_some_and(dlm_sys::Error::is_existing_lockspace)
    }

    /// Whether a lockspace was not removed because there are locks or orphans in it.
    #[must_use]
    pub fn is_in_use(&self) -> bool {
        self.device().is_some_and(dlm_sys::Error::is_in_use)
    }

    /// Whether a NOQUEUE request or conversion found the resource taken.
    #[must_use]
    pub const fn would_block(&self) -> bool {
        matches!(self.kind, ErrorKind::Status(LockStatus::Again))
    }

    /// Whether time ran out: the deadline of a request or conversion has passed, or something else
    /// that is awaited did not come in time.
    ///
    /// ```no_run
    /// use dlm_runtime::{Lockspace, Mode};
    /// use std::time::Duration;
    ///
    /// let lockspace = Lockspace::open("example")?;
    /// match lockspace.lock("disk0", Mode::Ex).timeout(Duration::from_secs(5)).wait() {
    ///     Ok(lock) => lock.unlock().wait()?,
    ///     Err(error) if error.is_timed_out() => println!("somebody else keeps it"),
    ///     Err(error) => return Err(error),
    /// }
    /// # Ok::<(), dlm_runtime::Error>(())
    /// ```
    #[must_use]
    pub const fn is_timed_out(&self) -> bool {
        match &self.kind {
            ErrorKind::TimedOut(_) | ErrorKind::Status(LockStatus::TimedOut) => true,
            ErrorKind::Device(error) => error.is_timed_out(),
            _ => false,
        }
    }

    /// Whether the request or conversion was cancelled, by this program.
    #[must_use]
    pub const fn is_cancelled(&self) -> bool {
        matches!(self.kind, ErrorKind::Status(LockStatus::Cancelled))
    }

    /// Whether the conversion would wait for a lock that waits for it, or the request or conversion
    /// was chosen to end a deadlock.
    #[must_use]
    pub const fn is_deadlock(&self) -> bool {
        matches!(self.kind, ErrorKind::Status(LockStatus::Deadlock))
    }

    /// Whether the lockspace is not open any more: closed by this program, or
    /// [removed](Self::is_removed) under it.
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        matches!(self.kind, ErrorKind::Closed | ErrorKind::Removed)
    }

    /// Whether somebody else has removed the lockspace. Its locks protect nothing any more.
    #[must_use]
    pub const fn is_removed(&self) -> bool {
        matches!(self.kind, ErrorKind::Removed)
    }

    /// Whether the lock is not held any more: it was unlocked, or its request failed.
    #[must_use]
    pub const fn is_lock_gone(&self) -> bool {
        matches!(self.kind, ErrorKind::LockGone)
    }

    /// Whether the lock has another operation in flight.
    #[must_use]
    pub const fn is_in_flight(&self) -> bool {
        matches!(self.kind, ErrorKind::InFlight)
    }

    /// Whether the handle was inherited by a fork.
    #[must_use]
    pub const fn is_forked(&self) -> bool {
        matches!(self.kind, ErrorKind::Forked)
    }

    /// Whether this node has no orphan such as was to be adopted.
    #[must_use]
    pub const fn is_no_orphan(&self) -> bool {
        matches!(self.kind, ErrorKind::NoOrphan { .. })
    }

    /// Whether this node has an orphan of that name, in another mode than was to be adopted.
    #[must_use]
    pub const fn is_orphan_in_other_mode(&self) -> bool {
        matches!(self.kind, ErrorKind::NoOrphan { other_mode: true, .. })
    }

    /// The error number that the operating system gave, or that C libdlm would have set, where there
    /// is one. A deadline of this library has none.
    #[must_use]
    pub fn raw_os_error(&self) -> Option<i32> {
        match &self.kind {
            // What opening the node of a lockspace that is not there answers.
            ErrorKind::Device(error) if matches!(error.cause, dlm_sys::Cause::NoLockspace) => {
                Some(Errno::ENOENT.raw())
            }
            ErrorKind::Device(error) => error.errno().map(Errno::raw),
            ErrorKind::Status(status) => Some(status.to_raw().saturating_neg()),
            ErrorKind::System(error) => error.raw_os_error(),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Operation;
    use dlm_sys::{Call, Cause};

    fn status(status: LockStatus) -> Error {
        Error::new(Operation::Lock, ErrorKind::Status(status))
    }

    #[test]
    fn errors_can_be_told_apart_without_a_match() {
        let ways: [fn(&Error) -> bool; 6] = [
            Error::would_block,
            Error::is_timed_out,
            Error::is_cancelled,
            Error::is_deadlock,
            Error::is_closed,
            Error::is_no_orphan,
        ];
        let which = |error: &Error| ways.map(|is| is(error)).iter().position(|&is| is);
        let of = |kind: ErrorKind| Error::new(Operation::Lock, kind);
        for (error, wanted) in [
            (status(LockStatus::Again), Some(0)),
            (of(ErrorKind::TimedOut("x")), Some(1)),
            (status(LockStatus::TimedOut), Some(1)),
            (status(LockStatus::Cancelled), Some(2)),
            (status(LockStatus::Deadlock), Some(3)),
            (of(ErrorKind::Closed), Some(4)),
            (of(ErrorKind::Removed), Some(4)),
            (of(ErrorKind::NoOrphan { other_mode: true }), Some(5)),
            (of(ErrorKind::InFlight), None),
        ] {
            assert_eq!(which(&error), wanted, "{error}");
            assert!(ways.iter().filter(|is| is(&error)).count() <= 1, "{error}");
        }
    }

    #[test]
    fn what_main_prints_tells_the_cause_and_the_remedy() {
        let call = Call::Submit(dlm_proto::Command::CreateLockspace);
        let refused = |errno| Error::new(Operation::Create, dlm_sys::Error::os(call, errno));
        let error = refused(Errno::EPERM);
        let text = format!("{error:?}");
        assert!(text.contains("(EPERM)") && text.ends_with(error.remedy().unwrap()), "{text}");
        assert_eq!(text, error.to_string());
        assert!(std::error::Error::source(&error).is_none());
        let fields = format!("{error:#?}");
        assert!(fields.contains("operation: Create") && fields.contains("EPERM"), "{fields}");
        assert!(error.is_permission_denied() && !error.is_not_configured());
        assert!(refused(Errno::ENOTCONN).is_not_configured());
        assert!(refused(Errno::EEXIST).is_existing_lockspace());
    }

    #[test]
    fn a_lockspace_that_is_not_there_has_the_number_that_c_has() {
        let call = Call::OpenLockspace;
        for cause in [Cause::NoLockspace, Cause::Os(Errno::ENOENT)] {
            let error = Error::new(Operation::Open, dlm_sys::Error::new(call, cause));
            assert_eq!(error.raw_os_error(), Some(Errno::ENOENT.raw()));
            assert!(error.is_no_lockspace());
        }
        let error = Error::new(Operation::Open, dlm_sys::Error::new(call, Cause::WrongDevice));
        assert_eq!(error.raw_os_error(), None);
        assert_eq!(status(LockStatus::Again).raw_os_error(), Some(Errno::EAGAIN.raw()));
    }
}
