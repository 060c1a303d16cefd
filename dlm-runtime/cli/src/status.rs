//! Exit statuses, and failures that have one.

use std::fmt;
use std::io;
use std::process::ExitCode;

use dlm_runtime::inspect::InspectError;
use dlm_runtime::{Error, ErrorKind};

/// An exit status. The numbers are those of sysexits.h, with the meanings that flock(1) gives them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// All is well: 0.
    Good,
    /// It is not so, or is not there, or was not had in time: 1.
    Not,
    /// Wrong arguments: 64.
    Usage,
    /// There is no such lockspace, or it cannot be opened: 66.
    NoLockspace,
    /// A command cannot be run: 69.
    NoCommand,
    /// The operating system or the lock manager failed: 71.
    System,
    /// Only root may: 77.
    Denied,
}

impl Status {
    /// The number.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Good => 0,
            Self::Not => 1,
            Self::Usage => 64,
            Self::NoLockspace => 66,
            Self::NoCommand => 69,
            Self::System => 71,
            Self::Denied => 77,
        }
    }
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> Self {
        status.code().into()
    }
}

/// A status to exit with, and the line that says why.
#[derive(Debug)]
pub struct Failure {
    /// The status.
    pub status: Status,
    /// The reason.
    pub why: String,
}

impl Failure {
    pub(crate) fn new(status: Status, why: impl fmt::Display) -> Self {
        Self { status, why: why.to_string() }
    }

    /// An error of an operation; names that break the rules are the caller's fault.
    pub(crate) fn of(error: &Error, otherwise: Status) -> Self {
        let denied = [nix::libc::EPERM, nix::libc::EACCES];
        let status = match &error.kind {
            ErrorKind::Name(_) => Status::Usage,
            _ if error.is_no_lockspace() => Status::NoLockspace,
            _ if error.raw_os_error().is_some_and(|errno| denied.contains(&errno)) => {
                Status::Denied
            }
            _ => otherwise,
        };
        Self::new(status, error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

impl From<InspectError> for Failure {
    fn from(error: InspectError) -> Self {
        let status = match &error {
            error if error.is_denied() => Status::Denied,
            InspectError::NoModule | InspectError::NoDebugfs => Status::NoLockspace,
            _ => Status::System,
        };
        Self::new(status, error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::new(Status::System, error)
    }
}
