//! The properties that hold after each action.

use dlm_core::{Kind as Op, LockView};
use dlm_proto::{LockFlags, LockId, Token};

use crate::action::NAMES;
use crate::driver::Driver;

impl Driver {
    pub(crate) fn check(&self) {
        let (mut expected, mut released) = (0, 0);
        let (mut least, mut most) = (0, 0);
        let tokens = self.core.tokens();
        assert_eq!(tokens.len(), self.core.len());
        for &token in &tokens {
            let view = self.core.view(token).expect("it is in the table");
            let is_ending = view.op.is_some_and(|op| op.kind == Op::Unlock);
            expected += usize::from(view.op.is_some())
                + usize::from(view.has_queued)
                + usize::from(view.has_notices);
            let is_left_over = view.is_released && (self.is_writing(token) || !is_ending);
            // A conversion counts, too, once it was given up.
            let is_converting = view.op.is_some_and(|op| op.kind == Op::Convert);
            most += usize::from(is_left_over || is_converting);
            // With nothing in flight it is gone, or its unlock is to be written again.
            least += usize::from(is_left_over && (view.op.is_some() || self.is_writing(token)));
            released += usize::from(self.core.is_released(token));
            let key = crate::driver::key(token);
            assert_eq!(view.has_outcome, self.outcomes.iter().any(|(of, _)| *of == key));
        }
        assert_eq!(self.core.released(), released);
        if !self.has_ended {
            assert_eq!(self.core.expected(), expected);
            assert!((least..=most).contains(&self.core.left_over()), "{}", self.core.left_over());
        }
        if !self.book.has_tainted() && !self.has_ended && self.knows() {
            self.check_indices(&tokens);
        }
        if tokens.is_empty() {
            assert_eq!((self.core.expected(), self.core.left_over()), (0, 0));
        }
    }

    pub(crate) fn is_writing(&self, token: Token) -> bool {
        self.writes.iter().any(|write| write.ticket.token == token)
    }

    /// Which locks are found by their id, and which resources are known.
    fn check_indices(&self, tokens: &[Token]) {
        let of = |token: &Token| {
            let view = self.core.view(*token).expect("it is in the table");
            let is_ending = view.op.is_some_and(|op| op.kind == Op::Unlock);
            (view.id != LockId(0) && !is_ending).then_some(view)
        };
        // What is not wanted, or was cancelled, may be gone any moment.
        let is_known = |view: &LockView| {
            !view.is_released && (view.mode.is_some() || view.op.is_some() && !view.ends_by_itself)
        };
        let may_be_known = |view: &LockView| {
            let waits = view.op.is_some_and(|op| !op.flags.contains(LockFlags::NOQUEUE));
            view.mode.is_some() || view.is_released || waits
        };
        for name in NAMES {
            let is_of =
                |token: &&Token| self.core.name(**token).is_some_and(|it| **it == *name.as_bytes());
            let views: Vec<_> = tokens.iter().filter(is_of).filter_map(of).collect();
            let is_surely = views.iter().any(is_known);
            let knows = self.core.knows_resource(name.as_bytes());
            assert!(knows || !is_surely, "{name} is not known");
            assert!(!knows || views.iter().any(may_be_known), "{name} is known");
        }
        for token in tokens {
            let id = self.core.id(*token);
            let view = self.core.view(*token).expect("it is in the table");
            if view.op.is_some_and(|op| op.kind == Op::Unlock) {
                assert_ne!(self.core.by_id(id), Some(*token), "{id} is being unlocked");
            }
            if of(token).is_some_and(|view| view.mode.is_some()) {
                assert_eq!(self.core.by_id(id), Some(*token));
            }
        }
    }
}
