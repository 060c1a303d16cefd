//! What tests of `dlm_runtime::sync` share: both ways to wait, and a record in this process.

use std::io;
use std::sync::{Mutex, PoisonError};

use dlm_runtime::sync::{Record, Request};

use crate::wait::block_on;

/// How an operation is awaited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// In a thread.
    Thread,
    /// In a task. Somebody must read results.
    Task,
}

/// Both ways.
pub const WAYS: [Way; 2] = [Way::Thread, Way::Task];

impl Way {
    /// Waits for an operation.
    ///
    /// # Errors
    ///
    /// Those of the operation.
    pub fn of<T, E>(self, request: Request<'_, T, E>) -> Result<T, E> {
        match self {
            Self::Thread => request.wait(),
            Self::Task => block_on(request),
        }
    }
}

/// A record in this process, with all that was recorded.
#[derive(Debug, Default)]
pub struct Kept(Mutex<Vec<u64>>);

impl Kept {
    /// What was recorded.
    #[must_use]
    pub fn all(&self) -> Vec<u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Record for Kept {
    fn last(&self) -> io::Result<u64> {
        Ok(self.all().last().copied().unwrap_or(0))
    }

    fn record(&self, number: u64) -> io::Result<()> {
        let all = self.all();
        assert!(all.last().is_none_or(|last| *last < number), "{number} after {all:?}");
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(number);
        Ok(())
    }
}
