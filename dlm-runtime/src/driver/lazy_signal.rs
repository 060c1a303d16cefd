//! A signal that is made when somebody first sleeps on it.

use std::sync::OnceLock;

use super::signal::Signal;

/// A signal that is made when somebody first sleeps on it.
#[derive(Debug, Default)]
pub(crate) struct LazySignal(OnceLock<Signal>);

impl LazySignal {
    /// The signal. It is made now if it was not before.
    pub(crate) fn get(&self) -> nix::Result<&Signal> {
        if let Some(signal) = self.0.get() {
            return Ok(signal);
        }
        let signal = Signal::new()?;
        Ok(self.0.get_or_init(|| signal))
    }

    /// Sets it, if somebody may sleep on it.
    pub(crate) fn set(&self) {
        if let Some(signal) = self.0.get() {
            signal.set();
        }
    }

    /// Clears it.
    pub(crate) fn clear(&self) {
        if let Some(signal) = self.0.get() {
            signal.clear();
        }
    }
}
