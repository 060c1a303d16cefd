//! Errors of devices as errors of input and output.

use std::io;

use super::{Cause, Error};

impl Error {
    /// The kind of `std::io` that says the same.
    #[must_use]
    pub fn io_kind(&self) -> io::ErrorKind {
        match self.cause {
            Cause::Os(errno) => io::Error::from(errno).kind(),
            Cause::NoLockspace => io::ErrorKind::NotFound,
            Cause::NodeTimeout | Cause::Held(_) => io::ErrorKind::TimedOut,
            Cause::Name(_) | Cause::Encode(_) | Cause::MinorZero => io::ErrorKind::InvalidInput,
            Cause::Version(_) => io::ErrorKind::Unsupported,
            Cause::NoMinorLeft => io::ErrorKind::QuotaExceeded,
            Cause::WrongDevice | Cause::Decode(_) | Cause::Return(_) | Cause::EndlessList => {
                io::ErrorKind::InvalidData
            }
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
    use crate::{Call, Errno};

    #[test]
    fn an_error_of_io_has_the_kind_and_the_whole_text() {
        let ours = Error::os(Call::OpenControl, Errno::ENOENT);
        let error = io::Error::from(ours);
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert_eq!(error.to_string(), ours.to_string());
        assert_eq!(error.downcast::<Error>().ok(), Some(ours));
    }
}
