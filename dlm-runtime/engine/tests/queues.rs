//! Grant order, conversions and their flags, deadlocks.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod support;

use dlm_engine::Errno;
use dlm_proto::{LockFlags, LockStatus, Mode, StatusFlags};
use support::{NONE, World};

#[test]
fn modes_are_granted_beside_each_other_as_the_table_says() {
    World::each(|world| {
        let (holder, other) = (world.open(), world.open());
        for held in Mode::ALL {
            let lock = holder.granted("r", held, NONE, 1);
            for wanted in Mode::ALL {
                let id = other.lock("r", wanted, LockFlags::NOQUEUE, 2);
                if wanted.is_compatible_with(held) {
                    other.next().completes(2, LockStatus::Granted);
                    other.unlocked(id, 2);
                } else {
                    other.next().completes(2, LockStatus::Again);
                    assert_eq!(other.try_unlock(id, NONE, 2), Err(Errno::ENOENT));
                }
            }
            holder.unlocked(lock, 1);
        }
        assert_eq!(world.dump().resources, []);
    });
}

#[test]
fn an_unlock_grants_the_waiters_in_order() {
    World::each(|world| {
        let (holder, first, second) = (world.open(), world.open(), world.open());
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
    });
}

#[test]
fn compatible_waiters_are_granted_together_up_to_the_first_that_is_not() {
    World::each(|world| {
        let sessions: Vec<_> = (0..5).map(|_| world.open()).collect();
        let held = sessions[0].granted("r", Mode::Ex, NONE, 9);
        for (n, mode) in [(1, Mode::Pr), (2, Mode::Pr), (3, Mode::Ex), (4, Mode::Pr)] {
            sessions[n].waiting("r", mode, NONE, u8::try_from(n).unwrap());
        }
        sessions[0].unlock(held, 9);
        for n in [1, 2] {
            sessions[n].next().completes(u8::try_from(n).unwrap(), LockStatus::Granted);
            sessions[n].next().blocks(u8::try_from(n).unwrap(), Mode::Ex);
            sessions[n].none();
        }
        sessions[3].none();
        sessions[4].none();
    });
}

#[test]
fn a_null_lock_waits_behind_an_ex_waiter_unless_expedited() {
    World::each(|world| {
        let (holder, waiter, other) = (world.open(), world.open(), world.open());
        let held = holder.granted("r", Mode::Pr, NONE, 1);
        waiter.waiting("r", Mode::Ex, NONE, 2);
        other.waiting("r", Mode::Nl, NONE, 3);
        other.granted("r", Mode::Nl, LockFlags::EXPEDITE, 4);
        holder.next().blocks(1, Mode::Ex);
        holder.unlocked(held, 1);
        waiter.next().completes(2, LockStatus::Granted);
        other.next().completes(3, LockStatus::Granted);
    });
}

#[test]
fn noorder_overtakes_noqueue_does_not_and_headque_goes_first() {
    World::each(|world| {
        let (holder, early, other) = (world.open(), world.open(), world.open());
        let passer = world.open();
        let held = holder.granted("r", Mode::Pr, NONE, 1);
        early.waiting("r", Mode::Ex, NONE, 2);
        other.lock("r", Mode::Pr, LockFlags::NOQUEUE, 3);
        other.next().completes(3, LockStatus::Again);
        let passed = passer.granted("r", Mode::Pr, LockFlags::NOORDER, 4);
        other.waiting("r", Mode::Ex, LockFlags::HEADQUE, 5);
        passer.next().blocks(4, Mode::Ex);
        passer.unlock(passed, 4);
        holder.unlock(held, 1);
        other.next().completes(5, LockStatus::Granted);
        early.none();
    });
}

#[test]
fn an_alternate_mode_is_granted_where_the_wanted_one_is_not() {
    World::each(|world| {
        let (holder, other) = (world.open(), world.open());
        holder.granted("r", Mode::Pr, NONE, 1);
        for flags in [NONE, LockFlags::NOQUEUE] {
            let lock = other.lock("r", Mode::Ex, LockFlags::ALTPR | flags, 2);
            let granted = other.next().completes(2, LockStatus::Granted);
            assert_eq!(granted.flags, StatusFlags::ALTMODE);
            other.unlocked(lock, 2);
        }
        other.lock("r", Mode::Ex, LockFlags::ALTCW | LockFlags::NOQUEUE, 3);
        other.next().completes(3, LockStatus::Again);
        // With both, only PR is tried.
        let both = LockFlags::ALTCW | LockFlags::ALTPR;
        other.lock("r", Mode::Ex, both, 4);
        assert_eq!(other.next().flags, StatusFlags::ALTMODE);
    });
}

#[test]
fn an_alternate_mode_is_tried_again_while_queued() {
    World::each(|world| {
        let (cw, ex, other) = (world.open(), world.open(), world.open());
        cw.granted("r", Mode::Pr, NONE, 1);
        let first = ex.granted("r", Mode::Cr, NONE, 2);
        ex.convert(first, Mode::Pw, NONE, 2);
        cw.next().blocks(1, Mode::Pw);
        other.waiting("r", Mode::Ex, LockFlags::ALTPR, 3);
        assert_eq!(ex.try_cancel(first, 2), Ok(()));
        let granted = other.next().completes(3, LockStatus::Granted);
        assert_eq!(granted.flags, StatusFlags::ALTMODE);
    });
}

#[test]
fn a_conversion_overtakes_waiters_and_converters_unless_quecvt() {
    World::each(|world| {
        let (a, b, c) = (world.open(), world.open(), world.open());
        let up = a.granted("r", Mode::Nl, NONE, 1);
        let lock = b.granted("r", Mode::Nl, NONE, 2);
        c.granted("r", Mode::Pr, NONE, 3);
        a.convert(up, Mode::Ex, NONE, 1);
        a.none();
        b.convert(lock, Mode::Pr, LockFlags::QUECVT, 2);
        b.none();
        assert_eq!(b.try_convert(lock, Mode::Pr, NONE, 2), Err(Errno::EBUSY));
        let passer = c.lock("r", Mode::Nl, LockFlags::EXPEDITE, 5);
        c.convert(passer, Mode::Pr, NONE, 5);
        let granted: Vec<_> = c.all().into_iter().filter(|it| it.lock == passer).collect();
        assert!(granted.iter().any(|it| it.status == LockStatus::Granted));
        assert_eq!(world.dump().resources[0].granted[0].granted, Some(Mode::Pr));
        // Alone QUECVT changes nothing, and goes up only.
        let alone = b.granted("alone", Mode::Nl, NONE, 4);
        b.converted(alone, Mode::Pr, LockFlags::QUECVT, 4);
        for mode in [Mode::Nl, Mode::Pr] {
            assert_eq!(b.try_convert(alone, mode, LockFlags::QUECVT, 4), Err(Errno::EINVAL));
        }
    });
}

#[test]
fn a_failed_conversion_leaves_the_mode() {
    World::each(|world| {
        let (a, b) = (world.open(), world.open());
        let lock = a.granted("r", Mode::Pr, NONE, 1);
        b.granted("r", Mode::Pr, NONE, 2);
        a.convert(lock, Mode::Ex, LockFlags::NOQUEUE, 1);
        a.next().completes(1, LockStatus::Again);
        b.none();
        a.convert(lock, Mode::Ex, LockFlags::NOQUEUE | LockFlags::NOQUEUEBAST, 1);
        a.next().completes(1, LockStatus::Again);
        b.next().blocks(2, Mode::Ex);
        assert_eq!(world.dump().resources[0].granted.len(), 2);
        assert!(world.dump().resources[0].granted.iter().all(|it| it.granted == Some(Mode::Pr)));
    });
}

#[test]
fn a_conversion_deadlock_is_refused_demoted_or_notified() {
    World::each(|world| {
        let (a, b) = (world.open(), world.open());
        let first = a.granted("r", Mode::Pr, NONE, 1);
        let second = b.granted("r", Mode::Pr, NONE, 2);
        a.convert(first, Mode::Ex, NONE, 1);
        b.next().blocks(2, Mode::Ex);
        b.convert(second, Mode::Ex, NONE, 2);
        b.next().completes(2, LockStatus::Deadlock);
        b.convert(second, Mode::Ex, LockFlags::NOQUEUE, 2);
        b.next().completes(2, LockStatus::Again);
        a.none();
        // Demoted, it lets the other one pass.
        b.convert(second, Mode::Ex, LockFlags::CONVDEADLK, 2);
        a.next().completes(1, LockStatus::Granted);
        a.next().blocks(1, Mode::Ex);
        b.none();
        a.unlocked(first, 1);
        assert_eq!(b.next().completes(2, LockStatus::Granted).flags, StatusFlags::DEMOTED);
    });
}

#[test]
fn a_cancelled_demoted_conversion_leaves_a_null_lock() {
    World::each(|world| {
        let (a, b) = (world.open(), world.open());
        let first = a.granted("r", Mode::Pr, NONE, 1);
        let second = b.granted("r", Mode::Pr, NONE, 2);
        a.convert(first, Mode::Ex, NONE, 1);
        b.next().blocks(2, Mode::Ex);
        b.convert(second, Mode::Ex, LockFlags::CONVDEADLK, 2);
        a.next().completes(1, LockStatus::Granted);
        assert_eq!(b.try_cancel(second, 2), Ok(()));
        assert_eq!(b.next().completes(2, LockStatus::Cancelled).flags, StatusFlags::empty());
        let dump = world.dump();
        let modes: Vec<_> = dump.resources[0].granted.iter().map(|lock| lock.granted).collect();
        assert_eq!(modes, [Some(Mode::Nl), Some(Mode::Ex)]);
    });
}

#[test]
fn nodlckwt_waits_and_is_notified_of_itself_by_the_next_pass() {
    World::each(|world| {
        let (a, b, c) = (world.open(), world.open(), world.open());
        let first = a.granted("r", Mode::Pr, NONE, 1);
        let second = b.granted("r", Mode::Pr, NONE, 2);
        let third = c.granted("r", Mode::Nl, NONE, 3);
        // PW at first, so that a notice for EX is a higher one.
        a.convert(first, Mode::Pw, NONE, 1);
        b.next().blocks(2, Mode::Pw);
        b.convert(second, Mode::Ex, LockFlags::NODLCKWT, 2);
        b.none();
        c.unlocked(third, 3);
        b.next().blocks(2, Mode::Ex);
    });
}

#[test]
fn a_cancel_takes_back_what_waits_and_nothing_else() {
    World::each(|world| {
        let (a, b) = (world.open(), world.open());
        let held = a.granted("r", Mode::Pr, NONE, 1);
        assert_eq!(a.try_cancel(held, 1), Ok(()));
        assert_eq!(a.try_cancel(held, 1), Ok(()));
        a.none();
        let waiting = b.waiting("r", Mode::Ex, NONE, 2);
        a.next().blocks(1, Mode::Ex);
        assert_eq!(b.try_cancel(waiting, 2), Ok(()));
        b.next().completes(2, LockStatus::Cancelled);
        assert_eq!(b.try_cancel(waiting, 2), Err(Errno::ENOENT));
        let other = b.granted("r", Mode::Pr, NONE, 3);
        b.convert(other, Mode::Ex, NONE, 3);
        a.none();
        assert_eq!(b.try_cancel(other, 3), Ok(()));
        b.next().completes(3, LockStatus::Cancelled);
        // The mark of the cancel stays until the next conversion.
        assert_eq!(b.try_cancel(other, 3), Err(Errno::EINVAL));
        b.convert(other, Mode::Ex, NONE, 3);
        assert_eq!(b.try_cancel(other, 3), Ok(()));
    });
}

#[test]
fn deadlock_cancels_with_its_own_status_and_marks_what_is_granted() {
    World::each(|world| {
        let (a, b) = (world.open(), world.open());
        let held = a.granted("r", Mode::Pr, NONE, 1);
        let waiting = b.waiting("r", Mode::Ex, NONE, 2);
        assert_eq!(b.deadlock(waiting, LockFlags::CANCEL), Ok(()));
        b.next().completes(2, LockStatus::Deadlock);
        a.next().blocks(1, Mode::Ex);
        assert_eq!(a.deadlock(held, LockFlags::CANCEL), Ok(()));
        assert_eq!(a.deadlock(held, LockFlags::CONVERT), Err(Errno::EINVAL));
        assert_eq!(a.deadlock(dlm_proto::LockId(99), NONE), Err(Errno::ENOENT));
        a.none();
        // Without CANCEL the next real cancel is spoilt.
        assert_eq!(a.deadlock(held, NONE), Ok(()));
        b.granted("r", Mode::Pr, NONE, 3);
        a.convert(held, Mode::Ex, NONE, 1);
        assert_eq!(a.try_cancel(held, 1), Ok(()));
        a.next().completes(1, LockStatus::Deadlock);
    });
}

#[test]
fn unlocks_remove_what_waits_and_what_converts() {
    World::each(|world| {
        let (a, b) = (world.open(), world.open());
        a.granted("r", Mode::Pr, NONE, 1);
        let waiting = b.waiting("r", Mode::Ex, NONE, 2);
        b.unlocked(waiting, 2);
        b.none();
        let converting = b.granted("r", Mode::Pr, NONE, 3);
        b.convert(converting, Mode::Ex, NONE, 3);
        b.unlocked(converting, 3);
        b.none();
        assert_eq!(b.try_unlock(converting, NONE, 3), Err(Errno::ENOENT));
    });
}
