//! A thread that lives only as long as there is something for it to do.

use std::sync::Arc;

use super::signal::Signal;
use crate::threads::thread;

/// What wakes such a thread, while it runs. A mutex guards it together with what the thread is to do, so
/// that who adds something either wakes the thread or starts another one.
#[derive(Debug, Default)]
pub(super) struct ShortLived(Option<Arc<Signal>>);

impl ShortLived {
    /// Gets the thread to look again, or starts one of this name that runs `body`. `false`: there can be
    /// none.
    pub(super) fn wake_or_start(
        &mut self,
        name: &str,
        body: impl FnOnce(&Signal) + Send + 'static,
    ) -> bool {
        if self.0.is_none() {
            self.0 = Signal::new().ok().and_then(|bell| {
                let bell = Arc::new(bell);
                let theirs = Arc::clone(&bell);
                let builder = thread::Builder::new().name(name.into());
                builder.spawn(move || body(&theirs)).ok()?;
                Some(bell)
            });
            return self.0.is_some();
        }
        self.ring();
        true
    }

    /// Gets the thread to look again, if it runs.
    pub(super) fn ring(&self) {
        if let Some(bell) = &self.0 {
            bell.set();
        }
    }

    /// The thread has seen that there is nothing to do, and ends.
    pub(super) fn end(&mut self) {
        self.0 = None;
    }
}
