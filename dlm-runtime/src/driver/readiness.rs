//! The descriptor that a user polls: one for all that a lockspace has to report. Its parts are made
//! when they are first needed.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use super::device::Slot;
use super::lazy_signal::LazySignal;
use super::signal::{AsFd, PollSet, Source, Timer};
use crate::error::ErrorKind;
use crate::threads::atomic::{AtomicBool, AtomicUsize, Ordering};
use crate::threads::{Mutex, MutexGuard, lock, time_left};

#[derive(Debug, Default)]
struct State {
    /// Something is there for whoever dispatches that the device does not show.
    has_work: bool,
    watches_device: bool,
    /// What was there when the set began to watch the device.
    shows_all: bool,
    /// The signal is in the set.
    watches_work: bool,
    watches_timer: bool,
    /// The time when the timer goes off, or has gone off.
    timer_at: Option<Instant>,
    failure: Option<ErrorKind>,
}

/// A descriptor that is readable while a lockspace has something to report.
#[derive(Debug, Default)]
pub(crate) struct Readiness {
    state: Mutex<State>,
    /// There is work, an alarm or a failure. Saves the look at those.
    is_busy: AtomicBool,
    set: OnceLock<Arc<PollSet>>,
    /// The set is there and shows all that it ever will. Saves the look at that.
    is_shown: AtomicBool,
    /// Readable while there is work.
    work: LazySignal,
    timer: OnceLock<Timer>,
    /// Threads that sleep until there is work.
    pub(crate) sleepers: AtomicUsize,
}

/// The state, while it is locked.
struct Locked<'a> {
    state: MutexGuard<'a, State>,
    is_busy: &'a AtomicBool,
}

impl std::ops::Deref for Locked<'_> {
    type Target = State;

    fn deref(&self) -> &State {
        &self.state
    }
}

impl std::ops::DerefMut for Locked<'_> {
    fn deref_mut(&mut self) -> &mut State {
        &mut self.state
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        let State { has_work, timer_at, failure, .. } = &*self.state;
        let is_busy = *has_work || timer_at.is_some() || failure.is_some();
        self.is_busy.store(is_busy, Ordering::SeqCst);
    }
}

impl Readiness {
    fn lock(&self) -> Locked<'_> {
        Locked { state: lock(&self.state), is_busy: &self.is_busy }
    }

    /// Uses this set, which somebody has made already.
    pub(crate) fn use_set(&self, set: &Arc<PollSet>) {
        let _ = self.set.set(Arc::clone(set));
    }

    /// That of a forked child: the same number, and nothing of the parent's behind it.
    #[cfg(not(dlm_model))]
    pub(crate) fn in_child(&self) -> Self {
        let new = Self::default();
        if let Some(set) = self.set.get().filter(|set| set.renew().is_ok()) {
            new.use_set(set);
        }
        new
    }

    /// The descriptor to poll. It is made now if it was not before.
    ///
    /// What it shows is added at the first call: being looked at costs the kernel some work for
    /// each result, which those who only make blocking calls need not pay.
    #[inline]
    pub(crate) fn source(
        &self,
        slot: &Slot,
        next: impl FnOnce() -> Option<Instant>,
    ) -> Result<Source<'_>, ErrorKind> {
        self.shown().map_or_else(|| self.show(slot, next), Ok)
    }

    /// The same, if [`Readiness::source`] was called before.
    #[inline]
    pub(crate) fn shown(&self) -> Option<Source<'_>> {
        let set = self.set.get().filter(|_| self.is_shown.load(Ordering::SeqCst))?;
        Some(set.as_fd())
    }

    #[inline(never)]
    fn show(
        &self,
        slot: &Slot,
        next: impl FnOnce() -> Option<Instant>,
    ) -> Result<Source<'_>, ErrorKind> {
        let mut state = self.lock();
        if !state.watches_device {
            if let Some(set) = self.set.get() {
                show_device(set, slot)?;
            } else {
                // Kept when it shows the device: a call that fails leaves none.
                let set = PollSet::new(&[])?;
                show_device(&set, slot)?;
                let _ = self.set.set(Arc::new(set));
            }
            state.watches_device = true;
        }
        if !state.shows_all {
            if state.has_work {
                self.show_work(&mut state)?;
            }
            self.set_timer(&mut state, next())?;
            state.shows_all = true;
        }
        let Some(set) = self.set.get() else { return Err(ErrorKind::Closed) };
        self.is_shown.store(true, Ordering::SeqCst);
        Ok(set.as_fd())
    }

    /// The descriptor, if it was made.
    #[cfg(not(dlm_model))]
    pub(crate) fn made(&self) -> Option<Source<'_>> {
        self.set.get().map(|set| set.as_fd())
    }

    /// As [`Readiness::source`], for who has the set. An error is told by the next dispatch.
    #[cfg(not(dlm_model))]
    pub(crate) fn watch(&self, slot: &Slot, next: impl FnOnce() -> Option<Instant>) {
        if let Err(kind) = self.source(slot, next) {
            // Whoever polls is told of it when he dispatches.
            self.lock().failure = Some(kind);
            self.raise();
        }
    }

    /// Readable while there is work for whoever dispatches: for threads that sleep at the device
    /// too.
    pub(crate) fn work(&self) -> Result<Source<'_>, ErrorKind> {
        let mut state = self.lock();
        let work = self.work.get()?;
        if state.has_work {
            work.set();
        }
        self.watch_work(&mut state)?;
        Ok(work.as_fd())
    }

    /// There is work.
    pub(crate) fn raise(&self) {
        let mut state = self.lock();
        state.has_work = true;
        if let Err(errno) = self.show_work(&mut state) {
            state.failure = Some(errno.into());
        }
    }

    /// There may be more work than was done: whoever waits for an edge sees one.
    pub(crate) fn raise_again(&self) {
        self.raise();
    }

    fn show_work(&self, state: &mut State) -> nix::Result<()> {
        // Who sees the descriptor is to wait for this lock, rather than to find nothing over and over.
        self.is_busy.store(true, Ordering::SeqCst);
        if self.set.get().is_some() {
            self.work.get()?.set();
            return self.watch_work(state);
        }
        self.work.set();
        Ok(())
    }

    fn watch_work(&self, state: &mut State) -> nix::Result<()> {
        if let Some(set) = self.set.get().filter(|_| !state.watches_work) {
            set.add(&self.work.get()?.as_fd())?;
            state.watches_work = true;
        }
        Ok(())
    }

    /// There is no more work, unless `is_there` says otherwise. `next`: the next alarm, if the last
    /// one was seen to.
    pub(crate) fn lower(
        &self,
        is_there: impl FnOnce() -> bool,
        next: impl FnOnce() -> Option<Instant>,
    ) {
        if !self.is_busy.load(Ordering::SeqCst) {
            return;
        }
        let mut state = self.lock();
        if state.timer_at.is_some_and(|at| time_left(at).is_zero()) {
            // Another thread has seen to the alarm, and has not come to this yet.
            if let Err(errno) = self.set_timer(&mut state, next()) {
                state.failure = Some(errno.into());
            }
        }
        if !state.has_work {
            return;
        }
        if is_there() {
            // Whoever waits for an edge has had his.
            if let Err(errno) = self.show_work(&mut state) {
                state.failure = Some(errno.into());
            }
        } else {
            state.has_work = false;
            self.work.clear();
        }
    }

    /// Sets the time at which the descriptor becomes readable to what `next` says under the lock:
    /// who sets it last has seen what the others have done.
    pub(crate) fn set_alarm(&self, next: impl FnOnce() -> Option<Instant>) {
        let mut state = self.lock();
        if self.set.get().is_some() {
            if let Err(errno) = self.set_timer(&mut state, next()) {
                state.failure = Some(errno.into());
            }
        }
    }

    fn set_timer(&self, state: &mut State, next: Option<Instant>) -> nix::Result<()> {
        let Some(set) = self.set.get() else { return Ok(()) };
        let timer = match self.timer.get() {
            Some(timer) => timer,
            None if next.is_none() => return Ok(()),
            None => {
                let timer = Timer::new()?;
                self.timer.get_or_init(|| timer)
            }
        };
        if next.is_some() {
            // As for work.
            self.is_busy.store(true, Ordering::SeqCst);
        }
        timer.set(next)?;
        state.timer_at = next;
        if !state.watches_timer {
            set.add(&timer.as_fd())?;
            state.watches_timer = true;
        }
        Ok(())
    }

    /// Gets threads that sleep at the device, beside the leader, to look again.
    pub(crate) fn stir(&self) {
        if self.sleepers.load(Ordering::SeqCst) > 0 {
            self.raise();
        }
    }

    /// Whether there is work, an alarm or a failure.
    #[inline]
    pub(crate) fn is_busy(&self) -> bool {
        self.is_busy.load(Ordering::SeqCst)
    }

    /// Whether the descriptor shows what it should. An error is told once.
    #[inline]
    pub(crate) fn check(&self) -> Result<(), ErrorKind> {
        if !self.is_busy.load(Ordering::SeqCst) {
            return Ok(());
        }
        self.check_now()
    }

    fn check_now(&self) -> Result<(), ErrorKind> {
        self.lock().failure.take().map_or(Ok(()), Err)
    }
}

/// Has the set show what the device has to say. Without a device it is readable because of that.
fn show_device(set: &PollSet, slot: &Slot) -> Result<(), ErrorKind> {
    if let Ok(device) = slot.get() {
        set.add(&device.removal()?)?;
        set.add(&device.results())?;
    }
    Ok(())
}
