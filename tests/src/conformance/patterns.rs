//! A few steps in a row that lead to what single random steps seldom reach.

use dlm_proto::{LockFlags, Mode, ValueBlock};

use super::generate::Script;
use super::requests;
use crate::scenario::{Body, LockRef, What};

impl Script {
    /// Two sessions hold the same mode and both want more.
    pub(super) fn clash(&mut self, first: &str, second: &str) {
        let resource = self.resource();
        let held = *self.rng.pick(&[Mode::Pr, Mode::Pr, Mode::Cw, Mode::Cr]);
        let mut locks = Vec::new();
        for session in [first, second] {
            let mut body = self.quiet(held);
            body.flags |= LockFlags::NOORDER;
            let lock = self.next_lock();
            let what = What::Lock { lock: lock.clone(), resource: resource.clone(), body };
            self.ask(session, what);
            locks.push((session, lock));
        }
        let loose = [
            LockFlags::CONVDEADLK,
            LockFlags::CONVDEADLK | LockFlags::VALBLK,
            LockFlags::NODLCKWT,
            LockFlags::NOQUEUE,
            LockFlags::empty(),
        ];
        for (session, lock) in locks {
            let mut body = requests::conversion(self);
            if self.rng.percent(70) {
                let mode = *self.rng.pick(&[Mode::Ex, Mode::Ex, Mode::Pw]);
                body = self.quiet(mode);
                body.flags |= *self.rng.pick(&loose);
            }
            let lock = LockRef::Named(lock);
            self.ask(session, What::Convert { lock, body });
        }
    }

    /// One session keeps a value block alive, and the other writes it or spoils it.
    pub(super) fn block(&mut self, first: &str, second: &str) {
        let resource = self.resource();
        let mut body = self.quiet(Mode::Nl);
        body.flags |= LockFlags::VALBLK | LockFlags::EXPEDITE;
        let keeper = self.next_lock();
        let what = What::Lock { lock: keeper.clone(), resource: resource.clone(), body };
        self.ask(first, what);
        let mode = *self.rng.pick(&[Mode::Ex, Mode::Pw]);
        let mut body = self.quiet(mode);
        body.flags |= LockFlags::VALBLK | LockFlags::NOORDER;
        let writer = self.next_lock();
        self.ask(second, What::Lock { lock: writer.clone(), resource, body });
        let named = |name: &String| LockRef::Named(name.clone());
        match self.rng.index(4) {
            0 => {
                let body = requests::unlock(self);
                self.ask(second, What::Unlock { lock: named(&writer), body });
            }
            1 => self.close(second),
            _ => {
                let body = requests::conversion(self);
                self.ask(second, What::Convert { lock: named(&writer), body });
            }
        }
        let mut body = requests::conversion(self);
        body.flags |= LockFlags::VALBLK;
        self.ask(first, What::Convert { lock: named(&keeper), body });
    }

    /// A session leaves orphans, and another one takes them or clears them away.
    pub(super) fn orphan(&mut self, first: &str, second: &str) {
        let resource = self.resource();
        let mode = self.mode();
        let mut body = self.quiet(mode);
        body.flags |= LockFlags::PERSISTENT | LockFlags::NOQUEUE;
        let lock = self.next_lock();
        self.ask(first, What::Lock { lock, resource, body });
        if self.rng.percent(30) {
            self.convert(first);
        }
        self.close(first);
        for _ in 0..self.rng.index(3) {
            self.step();
        }
        for _ in 0..1 + self.rng.index(2) {
            self.adopt(second);
        }
    }

    /// A request without surprises.
    fn quiet(&mut self, mode: Mode) -> Body {
        let mut body = Body::new(mode as u8);
        if self.rng.percent(40) {
            body.flags |= LockFlags::VALBLK;
            let byte = u8::try_from(1 + self.rng.index(250)).unwrap_or(1);
            body.lvb = ValueBlock([byte; 32]);
        }
        body
    }
}
