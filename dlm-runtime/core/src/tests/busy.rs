//! Conversions for which the kernel finds the lock too busy, as the cancel of an earlier operation has
//! not been answered by another node.

use std::time::Duration;

use super::*;
use crate::{Expired, Failure};

impl Rig {
    /// A lock whose last conversion was granted although its cancel was sent.
    fn cancelled_too_late(&mut self) -> Token {
        let token = self.held(5);
        self.converting(token, Mode::Pr);
        assert_eq!(self.cancel(token, false), CancelStep::Write);
        assert!(!self.accept(None));
        self.ended(token, LockStatus::Granted);
        token
    }

    fn put_off(&mut self) -> bool {
        let now = self.now;
        self.call(|core, out| core.put_off(&out.ticket(), now))
    }

    fn is_due_again(&mut self, token: Token) {
        self.now = self.core.next_alarm().unwrap();
        assert_eq!(self.expired(), [Expired::Retry(token)]);
        self.follow_writes(token);
    }
}

#[test]
fn a_conversion_behind_an_unanswered_cancel_is_written_again() {
    Rig::each(|mut rig| {
        let token = rig.cancelled_too_late();
        let nl = Conversion { notices: Some(false), xid: Some(9), ..conversion(Mode::Nl, NONE) };
        assert_eq!(rig.convert_with(token, &nl), Ok(Queueing::Write));
        let (first, serial) = (rig.out.bytes().to_vec(), rig.out.ticket().serial);
        for _ in 0..3 {
            assert!(rig.put_off());
            assert!(rig.core.is_in_flight(token, serial));
            rig.follow_does_nothing(token);
            rig.is_due_again(token);
            assert_eq!((rig.out.bytes(), rig.out.ticket().serial), (&first[..], serial));
        }
        assert!(!rig.accept(None));
        let report = rig.ended(token, LockStatus::Granted);
        assert_eq!((report.serial, report.ended.mode), (serial, Some(Mode::Nl)));
        assert!(report.user.is_some());
        std::mem::forget(report.user);
        // The next one is as any other.
        assert_eq!(rig.convert(token, Mode::Cr), Ok(Queueing::Write));
        assert!(!rig.put_off());
    });
}

#[test]
fn a_block_and_persistence_are_asked_for_again() {
    let mut rig = Rig::new(Rules::Checked);
    let token = rig.held_as(5, Mode::Ex, LockFlags::VALBLK);
    rig.converting(token, Mode::Ex);
    rig.cancel(token, false);
    rig.accept(None);
    rig.ended(token, LockStatus::Granted);
    let block = ValueBlock([7; 32]);
    let write = Conversion {
        write: Some(block),
        persistent: true,
        ..conversion(Mode::Cr, LockFlags::VALBLK)
    };
    assert_eq!(rig.convert_with(token, &write), Ok(Queueing::Write));
    let first = rig.out.bytes().to_vec();
    assert!(rig.put_off());
    rig.is_due_again(token);
    assert_eq!(rig.out.bytes(), first);
}

#[test]
fn it_is_refused_after_ten_seconds() {
    Rig::each(|mut rig| {
        let token = rig.cancelled_too_late();
        rig.convert(token, Mode::Nl).unwrap();
        let start = rig.now;
        while rig.put_off() {
            rig.is_due_again(token);
        }
        assert!((10..12).contains(&(rig.now - start).as_secs()), "{:?}", rig.now);
        let refused = rig.refuse(EBUSY);
        assert!(refused.user.is_some());
        std::mem::forget(refused.user);
        assert_eq!(rig.core.mode(token), Some(Mode::Pr));
        rig.now += Duration::from_secs(1);
        rig.convert(token, Mode::Nl).unwrap();
        assert!(rig.put_off(), "another one has its own time");
    });
}

#[test]
fn nobody_waits_for_a_busy_lock_without_a_cancel() {
    Rig::each(|mut rig| {
        let token = rig.held(5);
        rig.convert(token, Mode::Nl).unwrap();
        assert!(!rig.put_off());
        assert!(rig.refuse(EBUSY).user.is_some_and(|user| {
            std::mem::forget(user);
            true
        }));
    });
}

#[test]
fn one_that_is_put_off_can_be_given_up_and_ends_with_its_lock() {
    Rig::each(|mut rig| {
        let token = rig.cancelled_too_late();
        rig.convert(token, Mode::Nl).unwrap();
        let serial = rig.out.ticket().serial;
        assert!(rig.put_off());
        assert!(rig.give_up(token, serial).is_some());
        assert_eq!(rig.core.expected(), 1, "its notices");
    });
    Rig::each(|mut rig| {
        let token = rig.cancelled_too_late();
        rig.convert(token, Mode::Nl).unwrap();
        assert!(rig.put_off());
        let released = rig.release(token);
        assert!(released.users.iter().any(Option::is_some));
        std::mem::forget(released.users);
        rig.is_due_again(token);
        rig.assert_writes(5, LockFlags::FORCEUNLOCK);
    });
}

/// A thread is told of what it waits for, whatever was made of it.
#[test]
fn one_that_cannot_be_done_any_more_is_told() {
    let mut rig = Rig::new(Rules::AsAsked);
    let token = rig.cancelled_too_late();
    rig.convert(token, Mode::Nl).unwrap();
    assert!(rig.put_off());
    let ended = rig.call(|core, _| core.end());
    assert_eq!(ended.len(), 1);
    std::mem::forget(ended);
    let follow = rig.follow(token);
    assert!(!matches!(follow, Follow::Failed { failure: Failure::Lost, .. }));
}
