//! What a program decides by.

use dlm_proto::Command;

use super::{Call, Cause, Error};
use crate::errno::Errno;

impl Error {
    const fn is_answer(&self, wanted: &[Errno]) -> bool {
        let Cause::Os(errno) = self.cause else { return false };
        let mut at = 0;
        while at < wanted.len() {
            #[expect(clippy::indexing_slicing, reason = "an iterator cannot be used in const")]
            if wanted[at].raw() == errno.raw() {
                return true;
            }
            at += 1;
        }
        false
    }

    /// Whether the kernel's DLM is not there: the module is not loaded.
    #[must_use]
    pub const fn is_no_module(&self) -> bool {
        matches!(self.call, Call::OpenControl) && self.is_answer(&[Errno::ENOENT, Errno::ENODEV])
    }

    /// Whether this node is not configured as a member of a cluster, or its daemon has died.
    #[must_use]
    pub const fn is_not_configured(&self) -> bool {
        matches!(self.call, Call::Submit(Command::CreateLockspace))
            && self.is_answer(&[Errno::ENOTCONN, Errno::EUNATCH])
    }

    /// Whether permission is missing: for a device node, or CAP_SYS_ADMIN.
    #[must_use]
    pub const fn is_permission_denied(&self) -> bool {
        self.is_answer(&[Errno::EACCES, Errno::EPERM])
    }

    /// Whether there is no such lockspace on this node.
    #[must_use]
    pub const fn is_no_lockspace(&self) -> bool {
        matches!(self.cause, Cause::NoLockspace)
            || matches!(self.call, Call::OpenLockspace)
                && self.is_answer(&[Errno::ENOENT, Errno::ENODEV])
    }

    /// Whether the lockspace exists on this node already.
    #[must_use]
    pub const fn is_existing_lockspace(&self) -> bool {
        matches!(self.call, Call::Submit(Command::CreateLockspace))
            && self.is_answer(&[Errno::EEXIST])
    }

    /// Whether a lockspace cannot be removed because there are locks or orphans in it.
    #[must_use]
    pub const fn is_in_use(&self) -> bool {
        matches!(self.call, Call::Submit(Command::RemoveLockspace))
            && self.is_answer(&[Errno::EBUSY])
    }

    /// Whether something was awaited for as long as there was patience.
    #[must_use]
    pub const fn is_timed_out(&self) -> bool {
        matches!(self.cause, Cause::Held(_) | Cause::NodeTimeout)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_has_its_question() {
        let questions: [fn(&Error) -> bool; 7] = [
            Error::is_no_module,
            Error::is_not_configured,
            Error::is_permission_denied,
            Error::is_no_lockspace,
            Error::is_existing_lockspace,
            Error::is_in_use,
            Error::is_timed_out,
        ];
        let create = Call::Submit(Command::CreateLockspace);
        let remove = Call::Submit(Command::RemoveLockspace);
        for (call, cause, wanted) in [
            (Call::OpenControl, Cause::Os(Errno::ENOENT), Some(0)),
            (create, Cause::Os(Errno::ENOTCONN), Some(1)),
            (create, Cause::Os(Errno::EPERM), Some(2)),
            (Call::OpenLockspace, Cause::Os(Errno::EACCES), Some(2)),
            (Call::OpenLockspace, Cause::Os(Errno::ENOENT), Some(3)),
            (remove, Cause::NoLockspace, Some(3)),
            (create, Cause::Os(Errno::EEXIST), Some(4)),
            (remove, Cause::Os(Errno::EBUSY), Some(5)),
            (Call::WatchNode, Cause::NodeTimeout, Some(6)),
            (create, Cause::Os(Errno::EBUSY), None),
            (Call::ReadResult, Cause::Os(Errno::ENOENT), None),
        ] {
            let error = Error::new(call, cause);
            let yes: Vec<_> = (0..7).filter(|&at| questions[at](&error)).collect();
            assert_eq!(yes, Vec::from_iter(wanted), "{error}");
        }
    }
}
