//! Reasons why something could not be looked at.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use dlm_proto::debugfs::LineError;

/// The reason why a snapshot could not be taken or read.
#[derive(Debug)]
#[non_exhaustive]
pub enum InspectError {
    /// A file of the kernel cannot be read.
    File {
        /// The file.
        path: PathBuf,
        /// The kernel's reason.
        source: io::Error,
    },
    /// The kernel's dlm module is not loaded.
    NoModule,
    /// The DLM's folder is not in debugfs.
    NoDebugfs,
    /// A line of a queue dump is not as the kernel writes it.
    Queues {
        /// The lockspace.
        lockspace: String,
        /// The number of the line, counted from 1.
        line: usize,
        /// The fault.
        error: LineError,
    },
    /// A line of a snapshot is not as [`Snapshot`](super::Snapshot) writes it.
    Dump {
        /// The number of the line, counted from 1.
        line: usize,
        /// The fault.
        fault: &'static str,
    },
}

impl InspectError {
    pub(super) fn file(path: &Path, source: io::Error) -> Self {
        Self::File { path: path.to_owned(), source }
    }

    /// Whether root could have looked, and the caller could not.
    #[must_use]
    pub fn is_denied(&self) -> bool {
        matches!(self, Self::File { source, .. } if source.kind() == io::ErrorKind::PermissionDenied)
    }
}

impl fmt::Display for InspectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, .. } if self.is_denied() => {
                write!(f, "read {}: only root may; try sudo", path.display())
            }
            Self::File { path, source } => write!(f, "read {}: {source}", path.display()),
            Self::NoModule => f.write_str("no DLM in this kernel: load it with modprobe dlm"),
            Self::NoDebugfs => f.write_str(
                "no folder /sys/kernel/debug/dlm: debugfs is not mounted; mount -t debugfs none \
                 /sys/kernel/debug",
            ),
            Self::Queues { lockspace, line, error } => {
                write!(f, "line {line} of the queues of {lockspace}: {error}")
            }
            Self::Dump { line, fault } => write!(f, "line {line} of the dump: {fault}"),
        }
    }
}

impl std::error::Error for InspectError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::File { source, .. } => Some(source),
            Self::Queues { error, .. } => Some(error),
            Self::NoModule | Self::NoDebugfs | Self::Dump { .. } => None,
        }
    }
}
