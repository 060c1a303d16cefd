//! Results: order, merging, words, blocks.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod support;

use dlm_engine::Errno;
use dlm_proto::{
    Cookies, LockFlags, LockRequest, LockStatus, LvbTransfer, Mode, Request, StatusFlags,
    UnlockRequest, ValueBlock,
};
use support::{NONE, World, cookies};

#[test]
fn of_13_unread_completions_6_1_keeps_six() {
    World::each(|world| {
        let session = world.open();
        let lock = session.lock("r", Mode::Ex, NONE, 0);
        for n in 1..13 {
            session.convert(lock, Mode::Ex, NONE, n);
        }
        assert_eq!(session.all().len(), world.pick(6, 13));
        session.converted(lock, Mode::Nl, NONE, 1);
        session.unlocked(lock, 1);
    });
}

#[test]
fn a_lock_whose_last_completion_was_dropped_is_kept_until_the_close() {
    World::each(|world| {
        let session = world.open();
        let lock = session.lock("r", Mode::Ex, NONE, 0);
        for n in 1..6 {
            session.convert(lock, Mode::Ex, NONE, n);
        }
        session.unlock(lock, 6);
        assert_eq!(session.all().len(), world.pick(6, 7));
        let reused = session.granted("s", Mode::Ex, NONE, 1) == lock;
        assert_eq!(reused, world.pick(false, true));
        session.close();
        assert_eq!(world.engine.borrow().size(), 1);
    });
}

#[test]
fn results_of_two_locks_are_grouped_on_6_1_and_have_its_last_words() {
    World::each(|world| {
        let session = world.open();
        let a = session.lock("a", Mode::Ex, NONE, 1);
        let b = session.lock("b", Mode::Ex, NONE, 2);
        session.convert(a, Mode::Nl, NONE, 3);
        session.convert(b, Mode::Nl, NONE, 4);
        session.unlock(a, 5);
        let read: Vec<_> = session.all().iter().map(|it| (it.lock, it.param & 0xff)).collect();
        let old = vec![(a, 5), (a, 5), (a, 5), (b, 4), (b, 4)];
        let new = vec![(a, 1), (b, 2), (a, 3), (b, 4), (a, 5)];
        assert_eq!(read, world.pick(old, new));
    });
}

#[test]
fn an_id_is_reused_before_its_last_result_is_read_on_6_12_only() {
    World::each(|world| {
        let session = world.open();
        let first = session.granted("r", Mode::Ex, NONE, 1);
        session.unlock(first, 1);
        let second = session.lock("s", Mode::Ex, NONE, 2);
        assert_eq!(second == first, world.pick(false, true));
        session.next().completes(1, LockStatus::Unlocked);
        session.next().completes(2, LockStatus::Granted);
        session.unlocked(second, 2);
        assert_eq!(session.granted("t", Mode::Ex, NONE, 3), first);
    });
}

#[test]
fn a_notice_comes_once_for_a_mode_until_the_holder_is_granted_anew() {
    World::each(|world| {
        let (holder, other) = (world.open(), world.open());
        let held = holder.granted("r", Mode::Ex, NONE, 1);
        let flags = LockFlags::NOQUEUE | LockFlags::NOQUEUEBAST;
        other.lock("r", Mode::Pr, flags, 2);
        holder.next().blocks(1, Mode::Pr);
        other.lock("r", Mode::Pr, flags, 2);
        holder.none();
        other.lock("r", Mode::Ex, flags, 2);
        holder.next().blocks(1, Mode::Ex);
        other.all();
        let waiting = other.waiting("r", Mode::Ex, NONE, 3);
        assert_eq!(other.try_cancel(waiting, 3), Ok(()));
        other.next();
        other.waiting("r", Mode::Ex, NONE, 4);
        holder.none();
        holder.converted(held, Mode::Ex, NONE, 1);
        holder.next().blocks(1, Mode::Ex);
    });
}

#[test]
fn a_cw_waiter_that_returns_is_told_of_again_on_6_1_only() {
    World::each(|world| {
        let (holder, other) = (world.open(), world.open());
        holder.granted("r", Mode::Pr, NONE, 1);
        for round in 0..2 {
            let waiting = other.waiting("r", Mode::Cw, NONE, 2);
            if round == 0 || world.is_6_1() {
                holder.next().blocks(1, Mode::Cw);
            }
            holder.none();
            assert_eq!(other.try_cancel(waiting, 2), Ok(()));
            other.next().completes(2, LockStatus::Cancelled);
        }
    });
}

#[test]
fn a_lock_without_a_notice_address_gets_none_until_it_is_granted_anew() {
    World::each(|world| {
        let (holder, other) = (world.open(), world.open());
        let words = Cookies { blocking_addr: 0, ..cookies(1) };
        let request = LockRequest::new(b"r", Mode::Ex, words);
        assert_eq!(holder.send(&Request::Lock(request)), Ok(1));
        holder.next();
        other.waiting("r", Mode::Ex, NONE, 2);
        holder.none();
        holder.converted(dlm_proto::LockId(1), Mode::Ex, NONE, 1);
        holder.next().blocks(1, Mode::Ex);
    });
}

#[test]
fn a_notice_says_an_older_status_on_6_1() {
    World::each(|world| {
        let (holder, other) = (world.open(), world.open());
        let held = holder.granted("r", Mode::Pr, NONE, 1);
        let shared = other.granted("r", Mode::Pr, NONE, 2);
        holder.convert(held, Mode::Ex, LockFlags::NOQUEUE, 1);
        holder.next().completes(1, LockStatus::Again);
        other.unlocked(shared, 2);
        other.waiting("r", Mode::Ex, NONE, 3);
        let notice = holder.next().blocks(1, Mode::Ex);
        assert_eq!(notice.status, world.pick(LockStatus::Again, LockStatus::Granted));
    });
}

#[test]
fn a_notice_before_an_unlock_is_still_read() {
    World::each(|world| {
        let (holder, other) = (world.open(), world.open());
        let held = holder.granted("r", Mode::Ex, NONE, 1);
        other.waiting("r", Mode::Ex, NONE, 2);
        holder.convert(held, Mode::Nl, NONE, 1);
        holder.unlock(held, 1);
        holder.next().blocks(1, Mode::Ex);
        holder.next().completes(1, LockStatus::Granted);
        holder.next().completes(1, LockStatus::Unlocked);
    });
}

#[test]
fn all_conversions_move_the_block_as_the_table_says() {
    World::each(|world| {
        let (mine, theirs) = (ValueBlock([7; 32]), ValueBlock([9; 32]));
        for from in Mode::ALL {
            for to in Mode::ALL {
                let session = world.open();
                let keeper = session.granted("r", Mode::Nl, LockFlags::VALBLK, 1);
                session.convert_block(keeper, Mode::Ex, 1, &ValueBlock::ZERO);
                session.convert_block(keeper, Mode::Nl, 1, &theirs);
                let lock = session.granted("r", from, LockFlags::VALBLK, 2);
                let outcome = session.convert_block(lock, to, 2, &mine);
                let transfer = from.lvb_transfer(to);
                let seen = match transfer {
                    LvbTransfer::Read => Some(theirs),
                    LvbTransfer::Write => None,
                    LvbTransfer::None => Some(mine),
                };
                assert_eq!(outcome.lvb, seen, "{from} to {to}");
                let kept = if transfer == LvbTransfer::Write { mine } else { theirs };
                assert_eq!(world.dump().resources[0].lvb, Some(kept), "{from} to {to}");
                session.close();
            }
        }
    });
}

#[test]
fn an_unlock_writes_the_block_by_the_flags_of_the_last_operation_too() {
    World::each(|world| {
        let mine = ValueBlock([7; 32]);
        for (at_lock, at_unlock, lvb, invalid) in [
            (NONE, NONE, None, false),
            // Without a block of its own the lock has nothing to write.
            (NONE, LockFlags::VALBLK, None, false),
            (NONE, LockFlags::IVVALBLK, None, true),
            (LockFlags::VALBLK, NONE, Some(mine), false),
            (LockFlags::VALBLK, LockFlags::VALBLK, Some(mine), false),
            (LockFlags::VALBLK, LockFlags::IVVALBLK, None, true),
            (LockFlags::IVVALBLK, NONE, None, true),
        ] {
            for mode in Mode::ALL {
                // A mark of an invalid block would outlive the resource.
                let name = &std::format!("{mode} {at_lock:?} {at_unlock:?}");
                let session = world.open();
                session.granted(name, Mode::Nl, NONE, 1);
                let lock = session.granted(name, mode, at_lock, 2);
                let mut request = UnlockRequest::new(lock, cookies(2)).with(at_unlock);
                request.lvb = &mine;
                assert_eq!(session.send(&Request::Unlock(request)), Ok(0));
                let dump = world.dump();
                let wanted = if mode < Mode::Pw { (None, false) } else { (lvb, invalid) };
                let resource = &dump.resources[0];
                assert_eq!((resource.lvb, resource.lvb_invalid), wanted, "{mode}");
                session.close();
            }
        }
    });
}

#[test]
fn an_invalid_block_is_reported_until_it_is_written() {
    World::each(|world| {
        let session = world.open();
        let keeper = session.granted("r", Mode::Nl, LockFlags::VALBLK, 1);
        session.convert_block(keeper, Mode::Ex, 1, &ValueBlock::ZERO);
        let block = ValueBlock([3; 32]);
        session.convert_block(keeper, Mode::Nl, 1, &block);
        let other = world.open();
        other.granted("r", Mode::Pw, NONE, 2);
        other.close();
        let read = session.convert_block(keeper, Mode::Pr, 1, &ValueBlock::ZERO);
        assert_eq!((read.flags, read.lvb), (StatusFlags::VALNOTVALID, Some(block)));
        let down = session.converted(keeper, Mode::Nl, NONE, 1);
        assert_eq!(down.flags, StatusFlags::VALNOTVALID);
        session.convert_block(keeper, Mode::Ex, 1, &ValueBlock::ZERO);
        let written = session.convert_block(keeper, Mode::Nl, 1, &block);
        assert_eq!(written.flags, StatusFlags::empty());
        assert_eq!(session.converted(keeper, Mode::Nl, NONE, 1).flags, StatusFlags::empty());
    });
}

#[test]
fn the_block_goes_with_the_last_lock() {
    World::each(|world| {
        let session = world.open();
        let lock = session.granted("r", Mode::Ex, LockFlags::VALBLK, 1);
        session.convert_block(lock, Mode::Nl, 1, &ValueBlock([5; 32]));
        session.unlocked(lock, 1);
        let request = LockRequest::new(b"r", Mode::Nl, cookies(2)).with(LockFlags::VALBLK);
        session.send(&Request::Lock(request)).unwrap();
        assert_eq!(session.next().lvb, Some(ValueBlock::ZERO));
    });
}

#[test]
fn a_refused_conversion_makes_a_block_that_no_operation_uses() {
    World::each(|world| {
        let (a, b) = (world.open(), world.open());
        let held = a.granted("r", Mode::Ex, NONE, 1);
        let waiting = b.waiting("r", Mode::Ex, NONE, 2);
        assert_eq!(b.try_convert(waiting, Mode::Ex, LockFlags::VALBLK, 2), Err(Errno::EBUSY));
        a.next().blocks(1, Mode::Ex);
        a.granted("r", Mode::Nl, LockFlags::EXPEDITE, 3);
        a.unlock(held, 1);
        assert_eq!(b.next().lvb, Some(ValueBlock::ZERO));
        let request = UnlockRequest::new(waiting, cookies(2)).with_lvb(&ValueBlock([1; 32]));
        b.send(&Request::Unlock(request)).unwrap();
        assert_eq!(world.dump().resources[0].lvb, None);
    });
}

#[test]
fn the_host_is_told_once_of_each_session_that_becomes_readable() {
    World::each(|world| {
        let session = world.open();
        let told = || world.engine.borrow_mut().take_readable().collect::<Vec<_>>();
        let lock = session.lock("r", Mode::Ex, NONE, 1);
        session.convert(lock, Mode::Nl, NONE, 1);
        assert_eq!(told(), [session.id]);
        assert!(world.engine.borrow().is_readable(session.id));
        session.next();
        session.convert(lock, Mode::Nl, NONE, 1);
        assert_eq!(told(), []);
        assert_eq!(session.all().len(), 2);
        assert!(!world.engine.borrow().is_readable(session.id));
        session.convert(lock, Mode::Nl, NONE, 1);
        assert_eq!(told(), [session.id]);
    });
}
