//! Requests that rely on another lock for their resource (H-15): until their write has returned, that
//! lock does not end.

use super::*;

impl Rig {
    /// A request that relies on a lock and is being written.
    fn relying(&mut self, on: Token) -> (Token, crate::Ticket) {
        let token = self.lock_with(Mode::Nl, NONE);
        assert!(self.call(|core, out| core.rely(out.ticket_mut())));
        assert_eq!(self.out.ticket().relies_on(), Some(on));
        (token, self.out.ticket())
    }

    /// The write of such a request returns. Tells which lock has something to do then.
    fn returns(&mut self, ticket: crate::Ticket, is_accepted: bool) -> Option<Token> {
        let now = self.now;
        self.call(|core, _| {
            if is_accepted {
                return core.accepted(&ticket, Some(LockId(99))).freed;
            }
            let refused = core.refused(&ticket, Refusal::Later, now);
            assert!(refused.user.is_some());
            std::mem::forget(refused.user);
            refused.freed
        })
    }
}

#[test]
fn who_finds_no_lock_on_the_resource_relies_on_none() {
    Rig::each(|mut rig| {
        rig.lock();
        let first = rig.out.clone();
        assert!(!rig.call(|core, out| core.rely(out.ticket_mut())));
        assert_eq!(rig.out.ticket().relies_on(), None);
        // Nor on one that is being written, or that may have failed.
        rig.lock_with(Mode::Ex, LockFlags::NOQUEUE);
        assert!(!rig.accept(Some(4)));
        rig.lock();
        assert!(!rig.call(|core, out| core.rely(out.ticket_mut())));
        rig.out = first;
        assert!(!rig.accept(Some(5)));
        rig.lock();
        assert!(rig.call(|core, out| core.rely(out.ticket_mut())));
    });
}

#[test]
fn an_unlock_waits_for_the_write_of_a_request_that_relies_on_the_lock() {
    for is_accepted in [true, false] {
        Rig::each(|mut rig| {
            let keeper = rig.held(5);
            let (_, first) = rig.relying(keeper);
            let (_, second) = rig.relying(keeper);
            assert_eq!(rig.unlock(keeper), Ok(Queueing::Queued { serial: 1 }));
            assert!(rig.core.knows_resource(b"disk0"));
            assert_eq!(rig.unlock(keeper), Err(Rejected::InFlight));
            assert_eq!(rig.returns(first, is_accepted), None);
            rig.follow_does_nothing(keeper);
            assert_eq!(rig.returns(second, is_accepted), Some(keeper));
            rig.follow_writes(keeper);
            rig.assert_writes(5, NONE);
            assert!(!rig.accept(None));
            assert_eq!(rig.ended(keeper, LockStatus::Unlocked).serial, 1);
        });
    }
}

#[test]
fn a_dropped_lock_stays_until_nothing_relies_on_it() {
    Rig::each(|mut rig| {
        let keeper = rig.held(5);
        let (_, request) = rig.relying(keeper);
        let released = rig.release(keeper);
        assert!(matches!(released.follow, Follow::Nothing));
        assert_eq!(rig.core.left_over(), 1);
        assert_eq!(rig.returns(request, true), Some(keeper));
        rig.follow_writes(keeper);
        rig.assert_writes(5, NONE);
    });
}

#[test]
fn a_request_is_not_cancelled_while_another_one_relies_on_it() {
    Rig::each(|mut rig| {
        let keeper = rig.waiting(5);
        let (_, request) = rig.relying(keeper);
        assert_eq!(rig.cancel(keeper, false), CancelStep::Left);
        rig.follow_does_nothing(keeper);
        assert_eq!(rig.returns(request, true), Some(keeper));
        rig.follow_writes(keeper);
        rig.assert_writes(5, LockFlags::CANCEL);
        assert!(!rig.accept(None));
    });
}

#[test]
fn a_conversion_of_it_is_not_held_up() {
    Rig::each(|mut rig| {
        let keeper = rig.held(5);
        let (_, request) = rig.relying(keeper);
        rig.converting(keeper, Mode::Cr);
        assert_eq!(rig.cancel(keeper, false), CancelStep::Write);
        assert!(!rig.accept(None));
        assert_eq!(rig.returns(request, true), None);
        rig.ended(keeper, LockStatus::Cancelled);
    });
}

/// It may be gone any moment.
#[test]
fn nobody_relies_on_a_request_that_is_being_cancelled() {
    Rig::each(|mut rig| {
        let keeper = rig.waiting(5);
        assert_eq!(rig.cancel(keeper, false), CancelStep::Write);
        assert!(!rig.core.knows_resource(b"disk0"));
        let cancel = rig.out.clone();
        rig.lock();
        assert!(!rig.call(|core, out| core.rely(out.ticket_mut())));
        // It was not cancelled after all.
        rig.out = cancel;
        rig.refuse(ENOMEM);
        assert!(rig.core.knows_resource(b"disk0"));
    });
}

#[test]
fn a_lock_that_ends_all_the_same_is_not_missed() {
    Rig::each(|mut rig| {
        let keeper = rig.held(5);
        let (_, request) = rig.relying(keeper);
        assert!(rig.call(|core, _| core.end()).into_iter().all(|(.., owner)| {
            std::mem::forget(owner);
            true
        }));
        assert_eq!(rig.settle(keeper).map(std::mem::forget), Some(()));
        assert_eq!(rig.returns(request, true), None);
    });
}

#[test]
fn a_child_does_not_wait_for_what_its_parent_writes() {
    Rig::each(|mut rig| {
        let keeper = rig.held(5);
        rig.relying(keeper);
        let (users, faces) = rig.call(|core, _| core.set_child(PROCESS + 1));
        std::mem::forget((users, faces));
        assert_eq!(rig.unlock(keeper), Ok(Queueing::Write));
    });
}
