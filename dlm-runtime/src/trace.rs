//! Events for the `tracing` crate, with the feature of that name; nothing without it.
//!
//! A subscriber is somebody else's code, so no event is sent while anything is locked: what is to
//! be told about a result is noted under the lock and told behind it.

#[cfg(feature = "tracing")]
pub(crate) use with_tracing::{Clock, IS_ON, Note, cancelled, requested, timed_write};
#[cfg(not(feature = "tracing"))]
pub(crate) use without_tracing::{Clock, IS_ON, Note, cancelled, requested, timed_write};

#[cfg(feature = "tracing")]
mod with_tracing {
    use std::collections::HashMap;
    use std::time::{Duration, Instant};

    use dlm_proto::{Command, LockFlags, LockStatus, Mode, ResourceName};

    use crate::driver::begun::Begun;

    /// Whether ends are told.
    pub(crate) const IS_ON: bool = true;

    /// The time when the operations in flight began.
    #[derive(Debug, Default)]
    pub(crate) struct Clock(HashMap<Begun, Instant>);

    impl Clock {
        pub(crate) fn begin(&mut self, begun: Begun) {
            self.0.insert(begun, Instant::now());
        }

        /// How long an operation took; it has ended.
        pub(crate) fn end(&mut self, begun: Begun) -> Duration {
            self.0.remove(&begun).map_or(Duration::ZERO, |start| start.elapsed())
        }
    }

    /// A write that takes longer was held up by the kernel.
    const HELD_UP: Duration = Duration::from_millis(100);

    /// A note to be told when nothing is locked.
    #[derive(Debug)]
    pub(crate) struct Note {
        resource: ResourceName,
        what: What,
    }

    #[derive(Debug)]
    enum What {
        Ended(LockStatus, Option<Mode>, Duration),
        Blocking(Mode),
    }

    impl Note {
        pub(crate) fn ended(
            resource: &ResourceName,
            status: LockStatus,
            mode: Option<Mode>,
            waited: Duration,
        ) -> Option<Self> {
            let what = What::Ended(status, mode, waited);
            Some(Self { resource: *resource, what })
        }

        pub(crate) fn blocking(resource: &ResourceName, mode: Mode) -> Option<Self> {
            Some(Self { resource: *resource, what: What::Blocking(mode) })
        }

        pub(crate) fn tell(self) {
            let resource = self.resource;
            match self.what {
                What::Ended(status, mode, waited) => {
                    tracing::debug!(%resource, %status, ?mode, ?waited, "operation ended");
                }
                What::Blocking(mode) => {
                    tracing::debug!(%resource, %mode, "blocking notice");
                }
            }
        }
    }

    pub(crate) fn requested(resource: &ResourceName, mode: Mode, flags: LockFlags) {
        tracing::debug!(%resource, %mode, ?flags, "lock requested");
    }

    pub(crate) fn cancelled() {
        tracing::debug!("cancel written");
    }

    /// Runs a write, and tells if the kernel held it up.
    pub(crate) fn timed_write<T>(command: Command, write: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let answer = write();
        let took = start.elapsed();
        if took >= HELD_UP {
            tracing::warn!(?command, ?took, "the kernel held up a write: the lockspace recovered");
        }
        answer
    }
}

#[cfg(not(feature = "tracing"))]
mod without_tracing {
    use std::time::Duration;

    use dlm_proto::{Command, LockFlags, LockStatus, Mode, ResourceName};

    use crate::driver::begun::Begun;

    pub(crate) const IS_ON: bool = false;

    #[derive(Debug, Default)]
    pub(crate) struct Clock;

    #[expect(clippy::unused_self, reason = "as with tracing")]
    impl Clock {
        #[inline]
        pub(crate) const fn begin(&self, _: Begun) {}

        #[inline]
        pub(crate) const fn end(&self, _: Begun) -> Duration {
            Duration::ZERO
        }
    }

    #[derive(Debug)]
    pub(crate) struct Note;

    impl Note {
        pub(crate) const fn ended(
            _: &ResourceName,
            _: LockStatus,
            _: Option<Mode>,
            _: Duration,
        ) -> Option<Self> {
            None
        }

        pub(crate) const fn blocking(_: &ResourceName, _: Mode) -> Option<Self> {
            None
        }

        #[expect(clippy::unused_self, reason = "as with tracing")]
        pub(crate) const fn tell(self) {}
    }

    pub(crate) const fn requested(_: &ResourceName, _: Mode, _: LockFlags) {}

    pub(crate) const fn cancelled() {}

    pub(crate) fn timed_write<T>(_: Command, write: impl FnOnce() -> T) -> T {
        write()
    }
}
