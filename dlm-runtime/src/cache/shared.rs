//! What the threads that use a cache share: the cache itself, and its resources.

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Instant;

use dlm_core::Lvb;
use dlm_proto::{Token, ValueBlock};

use super::counts::Counts;
use super::flight::Flight;
use super::hooks::{CanEnd, Hooks};
use super::kept::Kept;
use super::level::Level;
use super::machine::{Action, Machine, Now};
use super::settings::Options;
use super::table::{Known, Table};
use super::waiter::Waiter;
use super::word::Word;
use super::workers::Workers;
use crate::delivery::DeliveryThread;
use crate::driver::Driver;
use crate::error::ErrorKind;
use crate::lock::Lock;
use crate::native::Native;
use crate::threads::atomic::{AtomicBool, Ordering};
use crate::threads::{Mutex, MutexGuard, lock, now};

/// A cache.
pub(super) struct Inner {
    pub(super) driver: Arc<Driver<Native>>,
    pub(super) options: Options,
    pub(super) hooks: Option<Arc<dyn Hooks>>,
    pub(super) table: Table<Entry>,
    pub(super) kept: Kept<Entry>,
    pub(super) workers: Arc<Workers<Job>>,
    pub(super) counts: Counts,
    pub(super) is_closed: AtomicBool,
    /// The thread that reads notices, unless the program has one or dispatches itself.
    pub(super) delivery: Mutex<Option<DeliveryThread>>,
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inner").field("lockspace", &self.driver.name).finish_non_exhaustive()
    }
}

impl Inner {
    pub(super) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }

    /// Lets go of a lock of which only the driver's table knows any more.
    pub(super) fn release(&self, token: Option<Token>) {
        if let Some(token) = token {
            drop(Lock::new(Arc::clone(&self.driver), token));
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.workers.end();
        let delivery = lock(&self.delivery).take();
        drop(delivery);
    }
}

/// Something for a thread of the cache to do.
pub(super) enum Job {
    /// Run a hook of a resource.
    Hook(Arc<Entry>, Action),
    /// Carry out an operation, where others must not block.
    Operate(Arc<Entry>, u32, Action),
    /// See whether it is time for something.
    Look(Arc<Entry>),
    /// The deadline of a task that waits.
    Expire(Expiry),
    /// Give back what has not been used.
    Sweep,
    /// The lockspace has ended.
    End,
}

/// The deadline of a task that waits.
pub(super) struct Expiry {
    pub(super) entry: Weak<Entry>,
    pub(super) waiter: Weak<Waiter>,
}

impl Expiry {
    pub(super) fn new(entry: &Arc<Entry>, waiter: &Arc<Waiter>) -> Self {
        Self { entry: Arc::downgrade(entry), waiter: Arc::downgrade(waiter) }
    }
}

/// A resource that the cache knows.
pub(super) struct Entry {
    pub(super) word: Word,
    /// The forks when it was made: a child's guards would exclude nobody.
    pub(super) forks: u32,
    pub(super) name: Box<[u8]>,
    pub(super) cache: Arc<Inner>,
    state: Mutex<State>,
}

/// What the mutex of a resource guards.
#[derive(Default)]
pub(super) struct State {
    /// Nothing as long as there is no lock, and none is asked for: most resources are only known.
    slow: Option<Box<Slow>>,
    /// The number of the last operation, while there is nothing.
    number: u32,
    /// It is among those that are given back when they are not used.
    pub(super) is_in_clock: bool,
}

/// What is known of a lock that is there, or is asked for.
pub(super) struct Slow {
    pub(super) machine: Machine<Arc<Waiter>>,
    /// The lock in the driver's table.
    pub(super) token: Option<Token>,
    /// The operation in flight.
    pub(super) flight: Flight,
    /// The number of the request that the lock came by, among all operations of this resource.
    pub(super) request: u32,
    /// The reason of the last refusal.
    pub(super) failure: Option<Box<ErrorKind>>,
    /// The value block that goes out with the lock.
    pub(super) written: Option<Box<ValueBlock>>,
    /// Those of a value, in place of the cache's.
    pub(super) own_hooks: Option<Arc<dyn Hooks>>,
    /// It is counted among the locks that the cache has.
    pub(super) is_counted: bool,
}

impl State {
    /// What is known of the lock, if there is any.
    pub(super) fn get(&self) -> Option<&Slow> {
        self.slow.as_deref()
    }

    /// The same, to be changed.
    pub(super) fn get_mut(&mut self) -> Option<&mut Slow> {
        self.slow.as_deref_mut()
    }

    /// The same, for a lock that may be asked for now.
    pub(super) fn wake(&mut self, cache: &Inner) -> &mut Slow {
        let number = self.number;
        self.slow.get_or_insert_with(|| Box::new(Slow::new(number, cache.hooks.is_some())))
    }

    /// Takes that out if there is no lock, and none is asked for. To be dropped when nothing is locked.
    pub(super) fn retire(&mut self) -> Option<Box<Slow>> {
        let slow = self.slow.take_if(|slow| slow.is_over())?;
        self.number = slow.flight.number();
        Some(slow)
    }
}

impl Slow {
    fn new(number: u32, has_hooks: bool) -> Self {
        let mut machine = Machine::new();
        if has_hooks {
            machine.add_hooks();
        }
        Self {
            machine,
            token: None,
            flight: Flight::after(number),
            request: 0,
            failure: None,
            written: None,
            own_hooks: None,
            is_counted: false,
        }
    }

    /// Whether there is nothing to know.
    fn is_over(&self) -> bool {
        self.machine.is_new()
            && self.own_hooks.is_none()
            && self.token.is_none()
            && !self.is_counted
            && self.flight.is_over()
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("name", &self.name.escape_ascii().to_string())
            .field("word", &self.word)
            .finish_non_exhaustive()
    }
}

impl Entry {
    pub(super) fn new(cache: Arc<Inner>, name: &[u8]) -> Self {
        let forks = dlm_sys::fork_count();
        Self {
            word: Word::new(),
            forks,
            name: name.into(),
            cache,
            state: Mutex::new(State::default()),
        }
    }

    /// A guard by the word alone.
    #[inline]
    pub(super) fn enter(&self, level: Level) -> bool {
        if self.forks != dlm_sys::known_fork_count() {
            return false;
        }
        match level {
            Level::Exclusive => self.word.enter_exclusive(),
            _ => self.word.enter_shared(),
        }
    }

    /// Whether a guard protects something.
    #[inline]
    pub(super) fn is_valid(&self) -> bool {
        !self.word.is_lost() && self.forks == dlm_sys::known_fork_count()
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// How far the lock is to give way, and since when.
    pub(super) fn wanted(&self) -> Option<(Level, Instant)> {
        self.state().get()?.machine.wanted()
    }

    /// What an event finds.
    pub(super) fn now(&self) -> Now {
        let options = &self.cache.options;
        Now { time: now(), minimum_hold: options.minimum_hold, pause: options.pause }
    }

    /// The lock value block: what a guard has set, or what came with the lock.
    pub(super) fn block(&self) -> Option<Lvb> {
        if !self.cache.options.value_blocks {
            return None;
        }
        let (written, token) = self.written_and_token();
        match written {
            Some(block) => Some(Lvb { block, valid: true }),
            None => token.and_then(|token| self.cache.driver.state().core.lvb(token)),
        }
    }

    /// The block that goes out with the lock, and the lock.
    pub(super) fn written_and_token(&self) -> (Option<ValueBlock>, Option<Token>) {
        let state = self.state();
        let known = state.get().map(|slow| (slow.written.as_deref().copied(), slow.token));
        known.unwrap_or_default()
    }
}

impl CanEnd for Entry {
    fn has_ended(&self) -> bool {
        self.word.is_lost() || self.cache.driver.slot.get().is_err()
    }
}

impl Known for Entry {
    fn name(&self) -> &[u8] {
        &self.name
    }

    fn is_blank(&self) -> bool {
        self.state().get().is_none_or(|slow| slow.machine.is_blank())
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let Some(mut slow) = self.state().slow.take() else { return };
        let (token, begun) = (slow.token.take(), slow.flight.give_up());
        // That of a request whose end nobody has read.
        let other = begun.map(|begun| begun.token).filter(|other| Some(*other) != token);
        self.cache.release(token);
        self.cache.release(other);
    }
}
