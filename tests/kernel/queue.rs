//! The order in which waiting requests are granted.

use dlm_proto::{LockFlags, LockStatus, Mode, StatusFlags};
use dlm_tests::Lockspace;

const NONE: LockFlags = LockFlags::empty();

#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn modes_are_granted_beside_each_other_as_the_table_says() {
    let space = Lockspace::new("modes");
    let (holder, other) = (space.open(), space.open());
    for held in Mode::ALL {
        let lock = holder.granted("r", held, NONE, 1);
        for wanted in Mode::ALL {
            let id = other.lock("r", wanted, LockFlags::NOQUEUE, 2);
            if wanted.is_compatible_with(held) {
                other.next().completes(2, LockStatus::Granted);
                other.unlocked(id, 2);
            } else {
                other.next().completes(2, LockStatus::Again);
            }
        }
        holder.unlocked(lock, 1);
    }
}

/// Shows #waiters-are-granted-in-order.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn the_holders_unlock_grants_the_waiters_in_order_on_their_own_devices() {
    let space = Lockspace::new("queue");
    let (holder, first, second) = (space.open(), space.open(), space.open());
    let held = holder.granted("r", Mode::Ex, NONE, 1);
    let a = first.waiting("r", Mode::Ex, NONE, 2);
    let b = second.waiting("r", Mode::Ex, NONE, 3);
    holder.next().blocks(1, Mode::Ex);
    holder.unlocked(held, 1);
    assert_eq!(first.next().completes(2, LockStatus::Granted).lock, a);
    second.none();
    first.next().blocks(2, Mode::Ex);
    first.unlocked(a, 2);
    assert_eq!(second.next().completes(3, LockStatus::Granted).lock, b);
}

/// Shows #waiters-are-granted-in-order.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn compatible_waiters_are_granted_together() {
    let space = Lockspace::new("queue");
    let (holder, first, second, last) = (space.open(), space.open(), space.open(), space.open());
    let held = holder.granted("r", Mode::Ex, NONE, 1);
    first.waiting("r", Mode::Pr, NONE, 2);
    second.waiting("r", Mode::Pr, NONE, 3);
    last.waiting("r", Mode::Ex, NONE, 4);
    last.waiting("r", Mode::Pr, NONE, 5);
    holder.unlock(held, 1);
    for (reader, n) in [(&first, 2), (&second, 3)] {
        reader.next().completes(n, LockStatus::Granted);
        // The EX request behind them notifies both, and keeps the last PR waiting.
        reader.next().blocks(n, Mode::Ex);
        reader.none();
    }
    last.none();
}

/// Shows #null-requests-wait-too.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn a_null_lock_waits_behind_an_ex_waiter_unless_expedited() {
    let space = Lockspace::new("queue");
    let (holder, waiter, other) = (space.open(), space.open(), space.open());
    let held = holder.granted("r", Mode::Pr, NONE, 1);
    let first = waiter.waiting("r", Mode::Ex, NONE, 2);
    other.waiting("r", Mode::Nl, NONE, 3);
    other.granted("r", Mode::Nl, LockFlags::EXPEDITE, 4);
    holder.next().blocks(1, Mode::Ex);
    holder.unlocked(held, 1);
    assert_eq!(waiter.next().completes(2, LockStatus::Granted).lock, first);
    other.next().completes(3, LockStatus::Granted);
}

/// Shows #noorder-overtakes.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn noorder_overtakes_a_waiter_and_noqueue_does_not() {
    let space = Lockspace::new("queue");
    let (holder, waiter, other) = (space.open(), space.open(), space.open());
    holder.granted("r", Mode::Pr, NONE, 1);
    waiter.waiting("r", Mode::Ex, NONE, 2);
    other.lock("r", Mode::Pr, LockFlags::NOQUEUE, 3);
    other.next().completes(3, LockStatus::Again);
    other.granted("r", Mode::Pr, LockFlags::NOORDER, 4);
    waiter.none();
}

/// Shows #headque-goes-first.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn a_headque_waiter_is_granted_before_an_earlier_one() {
    let space = Lockspace::new("queue");
    let (holder, early, late) = (space.open(), space.open(), space.open());
    let held = holder.granted("r", Mode::Ex, NONE, 1);
    early.waiting("r", Mode::Ex, NONE, 2);
    let first = late.waiting("r", Mode::Ex, LockFlags::HEADQUE, 3);
    holder.unlock(held, 1);
    late.next().completes(3, LockStatus::Granted);
    early.none();
    late.unlock(first, 3);
    early.next().completes(2, LockStatus::Granted);
}

/// Shows #alternate-modes.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn an_alternate_mode_is_granted_where_the_wanted_one_is_not() {
    let space = Lockspace::new("queue");
    let (holder, other, third) = (space.open(), space.open(), space.open());
    holder.granted("r", Mode::Pr, NONE, 1);
    for flags in [LockFlags::ALTPR, LockFlags::ALTPR | LockFlags::NOQUEUE] {
        let lock = other.lock("r", Mode::Ex, flags, 2);
        let result = other.next().completes(2, LockStatus::Granted);
        assert_eq!(result.flags, StatusFlags::ALTMODE, "{flags:?}");
        assert_eq!(third.mode_on("r"), Mode::Pr);
        other.unlocked(lock, 2);
    }
    other.lock("r", Mode::Ex, LockFlags::ALTCW | LockFlags::NOQUEUE, 3);
    other.next().completes(3, LockStatus::Again);
    other.none();
}

/// Shows #alternate-modes.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn the_wanted_mode_is_preferred_to_the_alternate_one() {
    let space = Lockspace::new("queue");
    let (holder, other) = (space.open(), space.open());
    let lock = holder.granted("r", Mode::Ex, LockFlags::ALTPR | LockFlags::ALTCW, 1);
    assert_eq!(other.mode_on("r"), Mode::Ex);
    holder.unlocked(lock, 1);
    holder.granted("r", Mode::Cw, NONE, 2);
    other.lock("r", Mode::Ex, LockFlags::ALTCW, 3);
    other.next().completes(3, LockStatus::Granted).with_flags(StatusFlags::ALTMODE);
    // With both flags only PR is tried.
    let both = LockFlags::ALTPR | LockFlags::ALTCW | LockFlags::NOQUEUE;
    other.lock("r", Mode::Ex, both, 4);
    other.next().completes(4, LockStatus::Again);
}
