//! The choice of the lock manager: the kernel's, or one in this process.
//!
//! The variable `DLM_BACKEND` chooses, unless the program has more privileges than who started it: with
//! a lock manager of its own it would be alone with its locks.

use std::sync::{Arc, OnceLock};

use dlm_proto::Version;
use dlm_runtime::driver::Manager;
use dlm_runtime::engine::Cluster;
use libc::ENOTSUP;

use crate::environment::trusted;
use crate::errno::Errno;

const VARIABLE: &str = "DLM_BACKEND";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Choice {
    Kernel,
    Engine,
}

impl Choice {
    /// `None`: the value says nothing, and somebody who sets it does not mean the kernel.
    fn named(value: &[u8]) -> Option<Self> {
        match value {
            b"" | b"kernel" => Some(Self::Kernel),
            b"engine" => Some(Self::Engine),
            _ => None,
        }
    }

    /// The choice of the environment, if it is to be trusted.
    fn of_environment() -> Option<Self> {
        trusted(VARIABLE).map_or(Some(Self::Kernel), |value| Self::named(value.as_encoded_bytes()))
    }
}

#[derive(Debug)]
struct Backend {
    choice: Choice,
    manager: Manager,
}

impl Backend {
    fn new(choice: Choice) -> Self {
        let manager = match choice {
            Choice::Kernel => Manager::Kernel,
            Choice::Engine => Manager::Other(Arc::new(Cluster::default().node(1))),
        };
        Self { choice, manager }
    }
}

/// The variable is read once: all lockspaces of a process are on the same lock manager.
fn backend() -> Result<&'static Backend, Errno> {
    static BACKEND: OnceLock<Option<Backend>> = OnceLock::new();
    let backend = BACKEND.get_or_init(|| Choice::of_environment().map(Backend::new));
    backend.as_ref().ok_or(Errno(ENOTSUP))
}

/// The lock manager. ENOTSUP: the variable names one that is not known.
pub(crate) fn manager() -> Result<&'static Manager, Errno> {
    backend().map(|backend| &backend.manager)
}

/// The version of its interface.
pub(crate) fn version() -> Result<Version, Errno> {
    match backend()?.choice {
        Choice::Kernel => Ok(dlm_runtime::kernel_version()?),
        // That of the kernels that it does as.
        Choice::Engine => Ok(Version::new(6, 0, 2)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_is_the_default_and_what_is_not_known_is_no_choice() {
        for (value, choice) in [
            ("", Some(Choice::Kernel)),
            ("kernel", Some(Choice::Kernel)),
            ("engine", Some(Choice::Engine)),
            ("Engine", None),
            ("engine ", None),
            ("none", None),
        ] {
            assert_eq!(Choice::named(value.as_bytes()), choice, "{value:?}");
        }
    }
}
