//! What holds after each action.

use dlm_core::Kind as Op;
use dlm_proto::{LockId, Token};

use crate::action::NAMES;
use crate::driver::Driver;

impl Driver {
    pub(crate) fn check(&self) {
        let mut expected = 0;
        let mut left_over = 0;
        let tokens = self.core.tokens();
        assert_eq!(tokens.len(), self.core.len());
        for &token in &tokens {
            let view = self.core.view(token).expect("it is in the table");
            let is_ending = view.op.is_some_and(|op| op.kind == Op::Unlock);
            expected += usize::from(view.op.is_some())
                + usize::from(view.has_queued)
                + usize::from(view.has_notices);
            left_over += usize::from(view.is_released && (self.is_writing(token) || !is_ending));
            assert_eq!(view.has_outcome, self.outcomes.contains(&crate::driver::key(token)));
        }
        if !self.has_ended {
            assert_eq!((self.core.expected(), self.core.left_over()), (expected, left_over));
        }
        if !self.book.has_tainted() && !self.has_ended {
            self.check_indices(&tokens);
        }
        if tokens.is_empty() {
            assert_eq!((self.core.expected(), self.core.left_over()), (0, 0));
        }
    }

    pub(crate) fn is_writing(&self, token: Token) -> bool {
        self.writes.iter().any(|write| write.ticket.token == token)
    }

    /// Which locks are found by their id, and which names are known.
    fn check_indices(&self, tokens: &[Token]) {
        let is_held = |token: &Token| {
            let view = self.core.view(*token).expect("it is in the table");
            let is_ending = view.op.is_some_and(|op| op.kind == Op::Unlock);
            // An adoption is not until its write has returned.
            view.mode.is_some() && !is_ending && view.id != LockId(0)
        };
        for name in NAMES {
            let is_of =
                |token: &&Token| self.core.name(**token).is_some_and(|it| **it == *name.as_bytes());
            let has_granted = tokens.iter().filter(is_of).any(is_held);
            assert_eq!(self.core.has_granted(name.as_bytes()), has_granted, "{name}");
        }
        for token in tokens.iter().filter(|token| is_held(token)) {
            assert_eq!(self.core.by_id(self.core.id(*token)), Some(*token));
        }
    }
}
