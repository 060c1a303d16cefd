//! Blocking notices: who gets one, for which mode, and how often.

use dlm_proto::{Cookies, LockFlags, LockRequest, LockStatus, Mode, Request};
use dlm_tests::{Kernel, Lockspace, cookies};

const NONE: LockFlags = LockFlags::empty();

/// Shows #noqueuebast-notifies-holders.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn a_failing_request_notifies_the_holder_only_if_asked() {
    let space = Lockspace::new("blocking");
    let (holder, other) = (space.open(), space.open());
    holder.granted("r", Mode::Ex, NONE, 1);
    other.lock("r", Mode::Pr, LockFlags::NOQUEUE, 2);
    other.next().completes(2, LockStatus::Again);
    holder.none();
    other.lock("r", Mode::Pr, LockFlags::NOQUEUE | LockFlags::NOQUEUEBAST, 3);
    other.next().completes(3, LockStatus::Again);
    holder.next().blocks(1, Mode::Pr);
    holder.none();
}

/// Shows #only-a-higher-mode-notifies-again.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn only_a_higher_mode_notifies_again() {
    let space = Lockspace::new("blocking");
    let (holder, other) = (space.open(), space.open());
    holder.granted("r", Mode::Ex, NONE, 1);
    let fail = |mode| {
        other.lock("r", mode, LockFlags::NOQUEUE | LockFlags::NOQUEUEBAST, 2);
        other.next().completes(2, LockStatus::Again);
    };
    fail(Mode::Pr);
    holder.next().blocks(1, Mode::Pr);
    fail(Mode::Pr);
    fail(Mode::Cr);
    holder.none();
    fail(Mode::Pw);
    holder.next().blocks(1, Mode::Pw);
    fail(Mode::Ex);
    holder.next().blocks(1, Mode::Ex);
    fail(Mode::Ex);
    holder.none();
}

/// Shows #waiters-notify-holders.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn waiters_notify_the_holder_of_rising_modes() {
    let space = Lockspace::new("blocking");
    let (holder, other) = (space.open(), space.open());
    holder.granted("r", Mode::Ex, NONE, 1);
    other.waiting("r", Mode::Pr, NONE, 2);
    holder.next().blocks(1, Mode::Pr);
    other.waiting("r", Mode::Ex, NONE, 3);
    holder.next().blocks(1, Mode::Ex);
    other.waiting("r", Mode::Cr, NONE, 4);
    holder.none();
}

/// Shows #waiters-notify-holders.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn every_holder_in_the_way_is_notified_and_no_other() {
    let space = Lockspace::new("blocking");
    let (first, second, null, other) = (space.open(), space.open(), space.open(), space.open());
    first.granted("r", Mode::Pr, NONE, 1);
    second.granted("r", Mode::Cr, NONE, 2);
    null.granted("r", Mode::Nl, NONE, 3);
    other.waiting("r", Mode::Pw, NONE, 4);
    first.next().blocks(1, Mode::Pw);
    second.none();
    null.none();
}

/// Shows #notice-before-the-unlock.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn an_unread_notice_comes_before_the_unlocks_completion() {
    let space = Lockspace::new("blocking");
    let (holder, other) = (space.open(), space.open());
    let lock = holder.granted("r", Mode::Ex, NONE, 1);
    other.waiting("r", Mode::Pr, NONE, 2);
    holder.unlock(lock, 1);
    holder.next().blocks(1, Mode::Pr);
    holder.next().completes(1, LockStatus::Unlocked);
    holder.none();
    other.next().completes(2, LockStatus::Granted);
}

/// Shows #notice-before-the-conversion.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn an_unread_notice_comes_before_the_conversion_that_heeds_it() {
    let space = Lockspace::new("blocking");
    let (holder, other) = (space.open(), space.open());
    let lock = holder.granted("r", Mode::Ex, NONE, 1);
    other.waiting("r", Mode::Pr, NONE, 2);
    holder.convert(lock, Mode::Pr, NONE, 1);
    other.next().completes(2, LockStatus::Granted);
    holder.next().blocks(1, Mode::Pr);
    holder.next().completes(1, LockStatus::Granted);
    holder.none();
}

/// Shows #no-address-no-notices.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn a_lock_without_address_gets_no_notice_until_it_is_converted_with_one() {
    let space = Lockspace::new("blocking");
    let (holder, other) = (space.open(), space.open());
    let words = Cookies { blocking_addr: 0, ..cookies(1) };
    holder.send(&Request::Lock(LockRequest::new(b"r", Mode::Ex, words))).unwrap();
    let lock = holder.next().completes(1, LockStatus::Granted).lock;
    other.waiting("r", Mode::Pr, NONE, 2);
    holder.none();
    holder.converted(lock, Mode::Ex, NONE, 3);
    holder.next().blocks(3, Mode::Pr);
    holder.none();
}

/// Shows #waiter-that-comes-back.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn a_waiter_that_returns_notifies_again_only_after_the_holder_was_granted_anew() {
    let space = Lockspace::new("blocking");
    let (holder, other) = (space.open(), space.open());
    let lock = holder.granted("r", Mode::Ex, NONE, 1);
    for n in [2, 3, 4] {
        let waiting = other.waiting("r", Mode::Ex, NONE, n);
        if n == 2 {
            holder.next().blocks(1, Mode::Ex);
        }
        holder.none();
        other.cancel(waiting, n);
        other.next().completes(n, LockStatus::Cancelled);
    }
    other.waiting("r", Mode::Ex, NONE, 5);
    holder.none();
    holder.converted(lock, Mode::Ex, NONE, 1);
    holder.next().blocks(1, Mode::Ex);
    holder.none();
}

/// Shows #waiter-that-comes-back.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn a_returning_cw_waiter_notifies_a_pr_holder_again_on_6_1_and_not_on_6_12() {
    let space = Lockspace::new("blocking");
    let (holder, other) = (space.open(), space.open());
    holder.granted("r", Mode::Pr, NONE, 1);
    let waiting = other.waiting("r", Mode::Cw, NONE, 2);
    holder.next().blocks(1, Mode::Cw);
    other.cancel(waiting, 2);
    other.next().completes(2, LockStatus::Cancelled);
    other.waiting("r", Mode::Cw, NONE, 3);
    match Kernel::running() {
        Kernel::V6_1 => {
            holder.next().blocks(1, Mode::Cw);
        }
        Kernel::V6_12 => {}
    }
    holder.none();
}

/// Shows #status-of-a-notice.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn a_notice_has_the_last_status_that_was_read_on_6_1_and_0_on_6_12() {
    let space = Lockspace::new("blocking");
    let (holder, other) = (space.open(), space.open());
    let lock = holder.granted("r", Mode::Pr, NONE, 1);
    let shared = other.granted("r", Mode::Pr, NONE, 2);
    holder.convert(lock, Mode::Ex, LockFlags::NOQUEUE, 1);
    holder.next().completes(1, LockStatus::Again);
    other.convert(shared, Mode::Ex, NONE, 2);
    let wanted = Kernel::pick(LockStatus::Again, LockStatus::Granted);
    assert_eq!(holder.next().blocks(1, Mode::Ex).status, wanted);
}
