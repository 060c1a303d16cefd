//! Turns of `dlm_dispatch` as most of them are: the plain ends of operations, and an AST for each.
//!
//! Such a turn neither sleeps nor needs anything but the lockspace, so it is no task: the outermost
//! frame has it in its own memory, and asks it for one AST after the other. As soon as anything else
//! comes, the rest of it is a task.

use std::ops::Deref;

use dlm_runtime::driver::{PlainDue, PlainStep, PlainTurn, Start};
use libc::EBADF;

use crate::errno::Errno;
use crate::face::{self, CFace, Session};
use crate::lksb::Ast;
use crate::task::Progress;

/// A turn in which an AST is due.
pub(crate) struct Turn<S: Deref<Target = Session>> {
    session: S,
    plain: PlainTurn<CFace>,
    has_ended: bool,
}

/// What the outermost frame does for a turn.
pub(crate) enum TurnStep {
    /// Call this AST, with nothing of the library locked, and ask again.
    Call(Ast),
    /// Return how many callbacks ran, or go on with a task that does. The turn is over.
    End(Progress<usize>),
}

impl<S: Deref<Target = Session>> Turn<S> {
    /// Begins a turn, and goes on up to its first AST.
    #[inline(always)]
    pub(crate) fn begin(session: S) -> Result<(Self, Ast), Progress<usize>> {
        let Some(plain) = session.begin_turn() else {
            return Err(go_on(&session, Start::default()));
        };
        let mut turn = Self { session, plain, has_ended: false };
        match turn.advance() {
            TurnStep::Call(ast) => Ok((turn, ast)),
            TurnStep::End(end) => Err(end),
        }
    }

    /// Goes on up to the next AST, or to the end.
    #[inline(always)]
    pub(crate) fn advance(&mut self) -> TurnStep {
        loop {
            match self.session.next_of_turn(&mut self.plain) {
                PlainStep::Run => {
                    let Some(plain) = self.plain.due.take() else { continue };
                    let PlainDue { token, due, is_gone } = plain;
                    if let Some(ast) = face::completion_ast(&self.session, token, &due, is_gone) {
                        return TurnStep::Call(ast);
                    }
                }
                PlainStep::End(ran) => {
                    self.has_ended = true;
                    return TurnStep::End(Progress::Ended(ran));
                }
                PlainStep::GoesOn(start) => {
                    self.has_ended = true;
                    return TurnStep::End(go_on(&self.session, start));
                }
            }
        }
    }
}

/// The rest of a turn, as a task.
#[cold]
#[inline(never)]
fn go_on(session: &Session, start: Start<CFace>) -> Progress<usize> {
    let session = session.upgrade();
    Progress::goes_on(|outer| async move {
        // Whoever dispatches has it.
        let session = session.ok_or(Errno(EBADF))?;
        Ok(session.dispatch_after(&*outer, start).await?)
    })
}

impl<S: Deref<Target = Session>> Drop for Turn<S> {
    fn drop(&mut self) {
        if !self.has_ended {
            // Its thread was left in an AST.
            self.session.leave_turn();
        }
    }
}
