//! Errors of operations as errors of input and output.

use std::io;

use dlm_proto::LockStatus;

use super::{Error, ErrorKind};

impl Error {
    /// The kind of `std::io` that says the same. It is never `Interrupted`, after which much of the
    /// standard library tries again.
    #[must_use]
    pub fn io_kind(&self) -> io::ErrorKind {
        match &self.kind {
            ErrorKind::Device(error) => error.io_kind(),
            ErrorKind::System(error) => error.kind(),
            ErrorKind::Name(_) | ErrorKind::Encode(_) | ErrorKind::Illegal(_) => {
                io::ErrorKind::InvalidInput
            }
            ErrorKind::Status(LockStatus::Again) => io::ErrorKind::WouldBlock,
            ErrorKind::Status(LockStatus::Deadlock) => io::ErrorKind::Deadlock,
            ErrorKind::Status(LockStatus::TimedOut) | ErrorKind::TimedOut(_) => {
                io::ErrorKind::TimedOut
            }
            ErrorKind::LockGone | ErrorKind::NothingToCancel | ErrorKind::NoOrphan { .. } => {
                io::ErrorKind::NotFound
            }
            ErrorKind::InFlight => io::ErrorKind::ResourceBusy,
            ErrorKind::TooManyLocks => io::ErrorKind::QuotaExceeded,
            ErrorKind::Closed => io::ErrorKind::NotConnected,
            ErrorKind::Removed => io::ErrorKind::ConnectionAborted,
            ErrorKind::HasThread => io::ErrorKind::AlreadyExists,
            ErrorKind::Status(_) | ErrorKind::Forked => io::ErrorKind::Other,
        }
    }
}

/// The error keeps its text, and can be got back by [`io::Error::downcast`].
impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        Self::new(error.io_kind(), error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Operation;
    use dlm_sys::{Call, Errno};

    #[test]
    fn an_error_of_io_has_the_kind_and_the_whole_text() {
        let device = dlm_sys::Error::os(Call::OpenControl, Errno::EACCES);
        for (kind, wanted) in [
            (ErrorKind::Device(device), io::ErrorKind::PermissionDenied),
            (ErrorKind::Status(LockStatus::Again), io::ErrorKind::WouldBlock),
            (ErrorKind::Status(LockStatus::Deadlock), io::ErrorKind::Deadlock),
            (ErrorKind::Status(LockStatus::Cancelled), io::ErrorKind::Other),
            (ErrorKind::TimedOut("it was not granted"), io::ErrorKind::TimedOut),
            (ErrorKind::Illegal("no"), io::ErrorKind::InvalidInput),
            (ErrorKind::Closed, io::ErrorKind::NotConnected),
        ] {
            let ours = Error::new(Operation::Lock, kind);
            let text = ours.to_string();
            let error = io::Error::from(ours);
            assert_eq!((error.kind(), error.to_string()), (wanted, text.clone()));
            assert_eq!(error.downcast::<Error>().unwrap().to_string(), text);
        }
    }
}
