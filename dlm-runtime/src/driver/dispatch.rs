//! Running callbacks.

use std::time::Instant;

use super::face::{Due, Face};
use super::host::Host;
use super::read::{PlainDue, Read};
use super::shared::Driver;
use super::sleep::earliest;
use crate::error::ErrorKind;
use crate::threads::atomic::Ordering;
use crate::threads::time_left;

/// The fewest results that one turn reads if they are there. More are read as long as they can have
/// been there when the turn began; a flood of later ones leaves the caller time for other things.
const READ_BUDGET: usize = if cfg!(dlm_model) { 2 } else { 256 };

/// The most results that a turn reads which began with so many expected.
fn budget(expected: usize) -> usize {
    READ_BUDGET.max(expected.saturating_mul(2))
}

impl<F: Face> Driver<F> {
    /// Reads what is there and has the callbacks run that are due. Returns how many. If more has come
    /// meanwhile than it reads, the descriptor becomes readable again.
    ///
    /// # Errors
    ///
    /// The end of the lockspace, or a read that failed.
    #[inline]
    pub async fn dispatch_on(&self, host: &impl Host<F>) -> Result<usize, ErrorKind> {
        self.dispatch_after(host, Start::default()).await
    }

    /// The same, after a start of the turn.
    ///
    /// # Errors
    ///
    /// As [`Driver::dispatch_on`].
    pub async fn dispatch_after(
        &self,
        host: &impl Host<F>,
        start: Start<F>,
    ) -> Result<usize, ErrorKind> {
        let turn = Turn(self);
        let ran = self.turn(host, start).await;
        std::mem::forget(turn);
        ran
    }

    /// The start of a turn in a thread that runs callbacks where it is: those that are due by the plain
    /// ends of operations. Most turns need no more, and returns how many ran; otherwise
    /// [`Driver::dispatch_after`] goes on.
    #[inline(always)]
    pub(crate) fn start_turn(&self, mut run: impl FnMut(PlainDue<F>)) -> Result<usize, Start<F>> {
        let Some(mut plain) = self.begin_turn() else { return Err(Start::default()) };
        let turn = Turn(self);
        let end = loop {
            match self.next_of_turn(&mut plain) {
                PlainStep::Run => {
                    if let Some(due) = plain.due.take() {
                        run(due);
                    }
                }
                PlainStep::End(ran) => break Ok(ran),
                PlainStep::GoesOn(start) => break Err(start),
            }
        };
        std::mem::forget(turn);
        end
    }

    /// Begins a turn as most of them are, see [`PlainTurn`]. `None`: there is something else to do, and
    /// nothing has happened.
    #[inline(always)]
    pub fn begin_turn(&self) -> Option<PlainTurn<F>> {
        if self.readiness.is_busy() || self.settler.has_chores() || !self.due.is_empty() {
            return None;
        }
        let (next, expected) = {
            let state = self.state();
            (state.next_alarm(), state.core.expected())
        };
        if next.is_some() {
            return None;
        }
        Some(PlainTurn { ran: 0, expected, budget: budget(expected), due: None })
    }

    /// Goes on with it.
    #[inline(always)]
    pub fn next_of_turn(&self, turn: &mut PlainTurn<F>) -> PlainStep<F> {
        let PlainTurn { ran, budget, ref mut expected, ref mut due } = *turn;
        if ran > 0 {
            if self.check_fork().is_err() {
                // The callback has forked, and this is the child.
                return PlainStep::End(ran);
            }
            if *expected == 0 {
                return PlainStep::End(self.end_turn(ran));
            }
            if ran == budget {
                self.readiness.raise_again();
                return PlainStep::End(ran);
            }
        }
        if let Some(read) = self.read_to_run(expected, due) {
            return match read {
                Ok(Read::Empty) if ran > 0 => PlainStep::End(self.end_turn(ran)),
                read => PlainStep::GoesOn(Start { ran, first: Some(read) }),
            };
        }
        if !self.due.is_empty() {
            // Others that were read before come first.
            let first = due.take().map(|plain| Ok(Read::Due(due_of_plain(plain))));
            return PlainStep::GoesOn(Start { ran, first });
        }
        turn.ran += 1;
        PlainStep::Run
    }

    /// A turn was left before its end, by the callback that it has run. What it was about to do is left to
    /// others, who see that there is something.
    pub fn leave_turn(&self) {
        if self.check_fork().is_ok() {
            self.readiness.raise_again();
        }
    }

    #[inline]
    async fn turn(&self, host: &impl Host<F>, start: Start<F>) -> Result<usize, ErrorKind> {
        let Start { mut ran, mut first } = start;
        if first.is_none() {
            // Whatever fails here must not take a result with it that was read already. The start of
            // the turn has looked for all of this, and so does the next turn.
            if let Err(kind) = self.readiness.check() {
                // It may be that there is nothing left to watch.
                self.check_removed()?;
                return Err(kind);
            }
            if self.has_overdue() {
                self.serve_alarms()?;
            }
            self.do_chores();
        }
        let mut expected = self.state().core.expected();
        let budget = budget(expected);
        let mut turn = ran;
        while turn < budget || first.is_some() {
            if self.check_fork().is_err() {
                // A callback has forked, and this is the child.
                return Ok(ran);
            }
            if first.is_none() {
                if let Some(due) = self.due.pop() {
                    ran += usize::from(!matches!(due, Due::Wake(_)));
                    host.run(self, due).await;
                    turn += 1;
                    continue;
                }
            }
            if turn > 0 && expected == usize::MAX {
                expected = self.state().core.expected();
            }
            if turn > 0 && expected == 0 && first.is_none() {
                // Saves the read that would only say that nothing is left.
                return Ok(self.end_turn(ran));
            }
            let read = match first.take() {
                Some(read) => read,
                None => {
                    let mut plain = None;
                    let read = self.read_to_run(&mut expected, &mut plain);
                    let due = plain.map(|plain| Ok(Read::Due(due_of_plain(plain))));
                    read.or(due).unwrap_or(Ok(Read::Handled))
                }
            };
            match read {
                Ok(Read::Due(due)) if self.due.is_empty() => {
                    host.run(self, due).await;
                    ran += 1;
                }
                // Others that were read before come first.
                Ok(Read::Due(due)) => self.leave_due(due),
                Ok(Read::Effects(effects)) => {
                    if let Some(due) = self.apply(*effects, true) {
                        host.run(self, due).await;
                        ran += 1;
                    }
                }
                Ok(Read::Handled | Read::Mine(..)) => {}
                Ok(Read::Empty) => {
                    if turn == 0 {
                        self.check_removed()?;
                    }
                    return Ok(self.end_turn(ran));
                }
                // Those that were due before the end are run first.
                Err(_) if !self.due.is_empty() => {}
                // The next dispatch tells of it.
                Err(_) if ran > 0 => return Ok(self.end_turn(ran)),
                Err(kind) => return Err(kind),
            }
            turn += 1;
        }
        // There may be more, and whoever waits for an edge must see one.
        if self.check_fork().is_ok() {
            self.readiness.raise_again();
        }
        Ok(ran)
    }

    fn end_turn(&self, ran: usize) -> usize {
        let is_there = || !self.due.is_empty() || self.slot.get().is_err();
        self.readiness.lower(is_there, || self.next_alarm());
        ran
    }

    /// As [`Driver::dispatch_on`], once there is something to run.
    pub(crate) async fn dispatch_until_on(
        &self,
        host: &impl Host<F>,
        mut start: Start<F>,
        deadline: Option<Instant>,
    ) -> Result<usize, ErrorKind> {
        loop {
            let ran = self.dispatch_after(host, std::mem::take(&mut start)).await?;
            if ran > 0 || deadline.is_some_and(|at| time_left(at).is_zero()) {
                return Ok(ran);
            }
            let device = self.slot.get()?;
            self.readiness.sleepers.fetch_add(1, Ordering::SeqCst);
            let until = earliest(deadline, self.next_alarm());
            let slept = match self.readiness.work() {
                Ok(work) => self.sleep(host, &device, true, &[work], until).await,
                Err(kind) => Err(kind),
            };
            self.readiness.sleepers.fetch_sub(1, Ordering::SeqCst);
            slept?;
        }
    }
}

/// What is due by a plain end.
fn due_of_plain<F: Face>(plain: PlainDue<F>) -> Due<F> {
    let PlainDue { token, due, is_gone } = plain;
    if is_gone { Due::Gone(due) } else { Due::Now(token, due) }
}

/// A turn that meets nothing but callbacks that are due by the plain ends of operations. It comes to an
/// end of its own, or is left by [`Driver::leave_turn`].
pub struct PlainTurn<F: Face> {
    /// Callbacks that were handed out to be run.
    ran: usize,
    /// What the core expects, as far as that is known.
    expected: usize,
    budget: usize,
    /// The callback that [`PlainStep::Run`] is about, to be taken.
    pub due: Option<PlainDue<F>>,
}

/// What comes next in a turn.
pub enum PlainStep<F: Face> {
    /// The callback in [`PlainTurn::due`] is run, with nothing locked.
    Run,
    /// It has ended, and so many ran.
    End(usize),
    /// Something else has come. [`Driver::dispatch_after`] goes on, and nothing else does.
    GoesOn(Start<F>),
}

/// The start of a turn.
#[must_use]
pub struct Start<F: Face> {
    /// Callbacks that ran.
    ran: usize,
    /// A result that was read after these, and is still to be seen to.
    first: Option<Result<Read<F>, ErrorKind>>,
}

impl<F: Face> Default for Start<F> {
    fn default() -> Self {
        Self { ran: 0, first: None }
    }
}

/// A turn that a callback may leave.
struct Turn<'a, F: Face>(&'a Driver<F>);

impl<F: Face> Drop for Turn<'_, F> {
    fn drop(&mut self) {
        self.0.leave_turn();
    }
}
