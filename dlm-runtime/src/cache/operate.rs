//! What a resource does at the lock manager, and the way of the results back.

use std::sync::Arc;

use dlm_proto::{LockFlags, LockStatus, Mode};

use super::entry::Todo;
use super::flight::Landed;
use super::level::Level;
use super::machine::{Action, Now, Raised, Turn};
use super::shared::{Entry, Job, Slow};
use super::trace::Note;
use super::waiter::Waiter;
use super::word::Word;
use crate::callbacks;
use crate::driver::read::{Read, Role};
use crate::driver::{Begun, Driver, Due, Notify};
use crate::error::ErrorKind;
use crate::event::{Blocking, Completion, CompletionCallback};
use crate::lock::Lock;
use crate::native::Native;
use crate::request::LockRequest;

/// Results read by a thread that looks for the end of its own operation.
const READ_BUDGET: usize = 16;

impl Entry {
    /// Does what is left to do. Nothing is locked.
    pub(super) fn carry_out(self: &Arc<Self>, mut todo: Todo) {
        loop {
            let cache = &self.cache;
            if todo.is_new || todo.is_gone {
                cache.count_lock(self, todo.is_new);
            }
            for waker in todo.wakers.drain(..) {
                cache.driver.guarded(|| waker.wake());
            }
            cache.release(todo.stray.take());
            drop(todo.retired.take());
            if let Some(note) = todo.note.take() {
                note.tell(&self.name);
            }
            if let Some(at) = todo.look_at.take() {
                cache.workers.at(at, Job::Look(Arc::clone(self)));
            }
            let Some((number, action)) = todo.action.take() else { return };
            match action {
                Action::Load { .. } | Action::Flush { .. } => {
                    return cache.workers.run(Job::Hook(Arc::clone(self), action));
                }
                _ if cache.driver.has_writer() => {
                    return cache.workers.run(Job::Operate(Arc::clone(self), number, action));
                }
                _ => match self.operate(number, action) {
                    Some(next) => todo = next,
                    None => return,
                },
            }
        }
    }

    /// Carries out an operation of the lock manager. It may have ended when this returns.
    pub(super) fn operate(self: &Arc<Self>, number: u32, action: Action) -> Option<Todo> {
        if action == Action::Cancel {
            let begun = self.state().get_mut().and_then(|slow| slow.flight.cancel());
            self.cancel(begun);
            return None;
        }
        match self.begin(number, action) {
            Ok(begun) => {
                let end = self.read_own(begun);
                self.landed(number, begun, end)
            }
            Err(why) => self.step(|slow| slow.flight.failed(number, why)),
        }
    }

    fn begin(self: &Arc<Self>, number: u32, action: Action) -> Result<Begun, ErrorKind> {
        let driver = &self.cache.driver;
        let weak = Arc::downgrade(self);
        let notify = Notify::Callback(CompletionCallback::Once(Box::new(move |end| {
            if let Some(entry) = weak.upgrade() {
                if let Some(todo) = entry.ended(number, end) {
                    entry.carry_out(todo);
                }
            }
        })));
        let (written, token) = self.written_and_token();
        let lent = || {
            let token = token.ok_or(ErrorKind::LockGone)?;
            Ok::<_, ErrorKind>(Lock::lent(Arc::clone(driver), token))
        };
        match action {
            Action::Raise { from: Level::None, to, no_queue } => {
                let weak = Arc::downgrade(self);
                let request = LockRequest::new(driver, &self.name, to.mode().unwrap_or(Mode::Ex))
                    .flags(self.flags(no_queue))
                    .on_blocking(move |notice| {
                        if let Some(entry) = weak.upgrade() {
                            entry.noticed(number, notice);
                        }
                    });
                let (lock, begun) = request.begin(notify).map_err(|error| error.kind)?;
                // The cache looks after it by its token.
                lock.leak();
                Ok(begun)
            }
            Action::Raise { to, no_queue, .. } => {
                let lock = lent()?;
                let request = lock.convert(to.mode().unwrap_or(Mode::Ex));
                let request = request.flags(self.flags(no_queue));
                request.begin(notify).map(|(_, begun)| begun).map_err(|error| error.kind)
            }
            Action::Lower { from, to, .. } => {
                let lock = lent()?;
                let carries = self.cache.options.value_blocks && from == Level::Exclusive;
                let written = written.filter(|_| carries);
                match to.mode() {
                    Some(mode) => {
                        let request = lock.convert(mode);
                        let request = match written {
                            Some(block) => request.write_lvb(block),
                            None => request,
                        };
                        request.begin(notify).map(|(_, begun)| begun).map_err(|error| error.kind)
                    }
                    None => {
                        let request = match written {
                            Some(block) => lock.unlock().write_lvb(block),
                            None => lock.unlock(),
                        };
                        let begun = request.begin(notify);
                        begun.map(|(_, begun)| begun).map_err(|failed| failed.error.kind)
                    }
                }
            }
            Action::Cancel | Action::Load { .. } | Action::Flush { .. } => Err(ErrorKind::LockGone),
        }
    }

    /// The flags of a request or conversion to more.
    fn flags(&self, no_queue: bool) -> LockFlags {
        let mut flags = LockFlags::empty();
        if self.cache.options.value_blocks {
            flags |= LockFlags::VALBLK;
        }
        if no_queue {
            // Caches elsewhere are told all the same, so that the next try finds it free.
            flags |= LockFlags::NOQUEUE | LockFlags::NOQUEUEBAST;
        }
        flags
    }

    /// Looks for the end of an operation that has just begun: it is there already, as a rule.
    fn read_own(&self, begun: Begun) -> Option<Completion> {
        let driver = &self.cache.driver;
        let role = Role::Waiter(begun.token, begun.serial);
        for _ in 0..READ_BUDGET {
            match driver.read(role) {
                Ok(Read::Mine(completion, _left)) => return Some(completion),
                Ok(Read::Due(due)) => leave(driver, due, begun),
                Ok(Read::Effects(mut effects)) => {
                    let due = effects.due.take();
                    driver.apply(*effects, false);
                    if let Some(due) = due {
                        leave(driver, due, begun);
                    }
                }
                Ok(Read::Handled) => {}
                Ok(Read::Empty) | Err(_) => break,
            }
        }
        None
    }

    /// The call that began an operation has returned, and has found the end, or has not.
    fn landed(
        self: &Arc<Self>,
        number: u32,
        begun: Begun,
        end: Option<Completion>,
    ) -> Option<Todo> {
        let (mut is_stray, mut cancel) = (false, None);
        let todo = self.step(|slow| {
            if !slow.flight.begun(number, begun) {
                // The lockspace ended meanwhile. What was requested is nobody's.
                is_stray = slow.token != Some(begun.token);
                return None;
            }
            if let Some(end) = end {
                slow.flight.ended(number, end);
            }
            let landed = slow.flight.land();
            cancel = slow.flight.take_cancel();
            landed
        });
        if is_stray {
            self.cache.release(Some(begun.token));
        }
        self.cancel(cancel);
        todo
    }

    /// The end of an operation was read by somebody else.
    fn ended(self: &Arc<Self>, number: u32, end: Completion) -> Option<Todo> {
        self.step(|slow| {
            slow.flight.ended(number, end);
            slow.flight.land()
        })
    }

    /// Tells the machine of an operation that is over.
    fn step(self: &Arc<Self>, event: impl FnOnce(&mut Slow) -> Option<Landed>) -> Option<Todo> {
        let now = self.now();
        let mut state = self.state();
        // What ends is that of a lock which is there, or else a late end, which changes nothing.
        let slow = state.wake(&self.cache);
        let todo = event(slow).map(|landed| {
            let mut turn = Turn::default();
            let note = slow.land(self, now, landed, &mut turn);
            Todo { note, ..slow.settle(self, turn) }
        });
        let retired = state.retire();
        drop(state);
        Some(Todo { retired, ..todo? })
    }

    fn cancel(&self, begun: Option<Begun>) {
        if let Some(begun) = begun {
            // It may have ended by now, which is as good.
            let _ = Lock::lent(Arc::clone(&self.cache.driver), begun.token).cancel();
        }
    }

    /// Somebody else waits for the lock.
    fn noticed(self: &Arc<Self>, request: u32, notice: Blocking) {
        let left = Level::beside(notice.mode);
        // Late, if there is nothing any more.
        let is_there = self.state().get().is_some();
        let is_current = is_there
            && self.tell(|slow, word, now, turn| {
                let is_its = slow.request == request || slow.token.is_none();
                is_its && slow.machine.noticed(word, now, (notice.grant, left), turn)
            });
        self.cache.counts.note_notice(is_current);
    }
}

/// Leaves a callback to those who run callbacks, unless it is that of the operation.
fn leave(driver: &Driver<Native>, due: Due<Native>, begun: Begun) {
    match due {
        Due::Completion(token, _) | Due::Now(token, _) if token == begun.token => {
            callbacks::run(driver, due);
        }
        due => driver.leave_due(due),
    }
}

impl Slow {
    /// Tells the machine of an operation that is over.
    fn land(
        &mut self,
        entry: &Entry,
        now: Now,
        landed: Landed,
        turn: &mut Turn<Arc<Waiter>>,
    ) -> Option<Note> {
        let Landed { action, how } = landed;
        let word = &entry.word;
        match action {
            Action::Raise { from, to, .. } => {
                let raised = self.raised(entry, (from, to), how);
                self.machine.raised(word, now, raised, turn);
                Some(match raised {
                    Raised::Granted(_) => Note::Granted { from, to },
                    _ => Note::Refused { to },
                })
            }
            Action::Lower { from, to, cause } => {
                let lowered = self.lowered((from, to), &how);
                let mut held = None;
                if lowered.is_some() {
                    if from >= Level::Shared || to == Level::None {
                        entry.cache.counts.note_demotion(cause);
                    }
                    if from >= Level::Shared && to <= Level::Null {
                        let since = self.machine.since();
                        let hold = since.map(|at| now.time.saturating_duration_since(at));
                        entry.cache.counts.note_hold(hold.unwrap_or_default());
                        held = hold;
                    }
                }
                self.machine.lowered(word, now, lowered, turn);
                lowered.map(|_| Note::GaveWay { from, to, cause, held })
            }
            Action::Cancel | Action::Load { .. } | Action::Flush { .. } => None,
        }
    }

    fn raised(
        &mut self,
        entry: &Entry,
        (from, to): (Level, Level),
        how: Result<(Begun, Completion), ErrorKind>,
    ) -> Raised {
        let counts = &entry.cache.counts;
        match how {
            Ok((begun, end)) if end.is_granted() => {
                self.token = Some(begun.token);
                if from == Level::None {
                    self.request = self.flight.number();
                }
                counts.note_grant(from, to);
                Raised::Granted(begun.serial)
            }
            Ok((_, end)) => match end.status {
                LockStatus::Again => Raised::Again,
                LockStatus::Deadlock => {
                    counts.deadlocks.add();
                    self.failure = Some(Box::new(ErrorKind::Status(end.status)));
                    Raised::Deadlock
                }
                LockStatus::Cancelled => Raised::Cancelled,
                status => {
                    let why = entry.cache.driver.end_or(ErrorKind::Status(status));
                    self.failure = Some(Box::new(why));
                    Raised::Failed
                }
            },
            Err(why) => {
                self.failure = Some(Box::new(why));
                Raised::Failed
            }
        }
    }

    fn lowered(
        &mut self,
        (from, to): (Level, Level),
        how: &Result<(Begun, Completion), ErrorKind>,
    ) -> Option<u64> {
        let grant = match how {
            Ok((begun, end)) if end.is_granted() || end.status == LockStatus::Unlocked => {
                begun.serial
            }
            // It is no longer there, which is what was wanted.
            Err(ErrorKind::LockGone) if to == Level::None => 0,
            Ok(_) | Err(_) => return None,
        };
        if from == Level::Exclusive {
            self.written = None;
        }
        if to == Level::None {
            self.token = None;
        }
        Some(grant)
    }

    /// The lockspace has ended. The lock that is left in the table, if there is one.
    pub(super) fn lose(
        &mut self,
        word: &Word,
        now: Now,
        turn: &mut Turn<Arc<Waiter>>,
    ) -> [Option<Begun>; 2] {
        self.machine.lose(word, now, turn);
        self.written = None;
        let begun = self.flight.give_up();
        let token = self.token.take();
        let held = token.map(|token| Begun { token, serial: 0 });
        let other = begun.filter(|begun| Some(begun.token) != token);
        [held, other]
    }
}
