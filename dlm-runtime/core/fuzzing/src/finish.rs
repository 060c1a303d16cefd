//! The end: everything is dropped, and nothing may be left.

use dlm_core::Expired;

use crate::driver::Driver;

/// More rounds than anything takes that comes to an end.
const ROUNDS: usize = 400;

impl Driver {
    pub(crate) fn finish(mut self) {
        if self.setup.ends {
            self.end();
            self.check();
        }
        for token in self.handles.clone() {
            self.release(token);
            self.check();
        }
        self.world.thaw();
        for round in 0.. {
            if !self.go_on() {
                break;
            }
            assert!(round < ROUNDS, "it does not come to an end: {:?}", self.writes);
            self.check();
        }
        let left = self.core.tokens().into_iter().filter(|&token| !self.book.is_tainted(token));
        let left: Vec<_> = left.map(|token| (token, self.core.view(token))).collect();
        assert!(left.is_empty(), "left in the core: {left:?}");
        if !self.has_ended {
            self.check_engine();
        }
        if !self.has_ended {
            self.watch.close(&self.book);
            self.world.close();
        }
        // What is left is of locks that no core could be right about.
        self.end();
        assert!(self.core.is_empty(), "{:?}", self.core.tokens());
        assert_eq!((self.book.owed(), self.book.kept()), (0, 0), "owners, faces");
    }

    /// Serves all that waits. `false`: there is nothing.
    fn go_on(&mut self) -> bool {
        let mut did = false;
        for token in self.core.tokens() {
            // Tokens that nobody wants.
            self.follow(token);
        }
        for at in (0..self.writes.len()).rev() {
            if self.writes.get(at).is_some_and(|write| write.answer.is_none()) {
                self.write(at);
            }
            if self.writes.get(at).is_some_and(|write| write.answer.is_some()) {
                self.return_at(at);
            }
            did = true;
        }
        if !self.has_ended {
            self.world.settle();
        }
        while !self.overdue.is_empty() {
            self.give_up_overdue(0);
        }
        let before = *self.core.counts();
        while self.read_one() {}
        did |= *self.core.counts() != before;
        if let Some(at) = self.core.next_alarm() {
            self.now = self.now.max(at);
            let now = self.now;
            while let Some(expired) = self.call(|core, _| core.expired(now)) {
                if let Expired::Retry(token) = expired {
                    self.follow(token);
                }
            }
            did = true;
        }
        did
    }

    /// The lockspace is no more.
    pub(crate) fn end(&mut self) {
        if self.has_ended {
            return;
        }
        self.has_ended = true;
        let ended = self.call(|core, _| core.end());
        self.book.told(ended.into_iter().map(|(_, _, owner)| owner));
        for token in self.core.tokens() {
            self.follow(token);
            self.remove(token);
        }
    }

    /// What is left when the other programs have ended, too.
    fn check_engine(&mut self) {
        let left = self.world.clear();
        let dump = self.world.dump();
        for resource in dump.resources {
            let queues = [resource.granted, resource.converting, resource.waiting];
            for lock in queues.into_iter().flatten() {
                let owner = self.watch.owner(lock.id);
                let is_left = owner.is_some_and(|token| !self.book.is_tainted(token));
                assert!(!is_left, "left in the engine: {lock:?} of {owner:?}");
            }
        }
        assert!(left == 0 || self.book.has_tainted(), "{left} left in the engine");
    }
}
