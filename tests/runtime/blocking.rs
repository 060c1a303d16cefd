//! Blocking calls of dlm-runtime, without a delivery thread.

use std::sync::Arc;
use std::thread;

use dlm_runtime::{ErrorKind, LockFlags, LockStatus, Lockspace, Lvb, Mode, ValueBlock};
use dlm_tests::{Place, eventually, within};

dlm_tests::everywhere! {
    a_lock_goes_through_its_modes_and_is_gone_after_the_unlock,
    a_waiting_thread_is_granted_when_the_holder_unlocks,
    threads_that_wait_on_one_lockspace_hand_the_lead_on,
    without_queueing_a_taken_lock_would_block_and_a_conversion_keeps_its_mode,
    the_value_block_is_written_kept_and_read,
    an_invalid_value_block_stays_invalid_until_somebody_writes_it,
    a_dropped_lock_is_unlocked_and_a_dropped_request_taken_back,
    a_cancel_from_another_thread_ends_a_waiting_conversion,
    what_the_kernel_would_refuse_or_choke_on_is_refused_with_a_reason,
    a_conversion_deadlock_ends_one_of_the_two_waits,
}

const ONE: ValueBlock = ValueBlock([1; 32]);
const TWO: ValueBlock = ValueBlock([2; 32]);

fn a_lock_goes_through_its_modes_and_is_gone_after_the_unlock(place: &Place) {
    let ls = place.create("rt-modes").unwrap();
    let lock = ls.lock("r", Mode::Nl).wait().unwrap();
    for mode in Mode::ALL.into_iter().chain(Mode::ALL.into_iter().rev()) {
        assert_eq!(lock.convert(mode).wait().unwrap().mode, Some(mode));
        assert_eq!(lock.mode(), Some(mode));
    }
    assert_eq!(ls.lock_count(), 1);
    lock.unlock().wait().unwrap();
    assert_eq!((ls.lock_count(), ls.dropped_results()), (0, 0));
    ls.release().unwrap();
}

fn a_waiting_thread_is_granted_when_the_holder_unlocks(place: &Place) {
    let (ls, other) = place.open_twice("rt-wait");
    let held = ls.lock("r", Mode::Ex).note_blocking().wait().unwrap();
    let waiter = thread::spawn(move || {
        let lock = other.lock("r", Mode::Pr).wait().unwrap();
        (lock.mode(), other)
    });
    eventually("the holder is told of the waiter", || {
        ls.dispatch().unwrap();
        held.blocked() == Some(Mode::Pr)
    });
    held.unlock().wait().unwrap();
    let (mode, other) = waiter.join().unwrap();
    assert_eq!(mode, Some(Mode::Pr));
    other.close().unwrap();
    ls.release().unwrap();
}

fn threads_that_wait_on_one_lockspace_hand_the_lead_on(place: &Place) {
    let ls = Arc::new(place.create("rt-lead").unwrap());
    let names: Vec<_> = (0..8).map(|n| format!("r{n}")).collect();
    let holder = place.open("rt-lead").unwrap();
    let held: Vec<_> = names
        .iter()
        .map(|name| holder.lock(name, Mode::Ex).note_blocking().wait().unwrap())
        .collect();
    let waiters: Vec<_> = names
        .iter()
        .map(|name| {
            let (ls, name) = (Arc::clone(&ls), name.clone());
            thread::spawn(move || ls.lock(&name, Mode::Ex).wait().unwrap().unlock().wait().unwrap())
        })
        .collect();
    eventually("each holder is told of its waiter", || {
        holder.dispatch().unwrap();
        held.iter().all(|lock| lock.blocked().is_some())
    });
    // The grants come in another order than the waits began.
    for lock in held.into_iter().rev() {
        lock.unlock().wait().unwrap();
    }
    let all = within(|| waiters.into_iter().map(|w| w.join().is_ok()).collect::<Vec<_>>());
    assert_eq!(all, Some(vec![true; 8]));
    assert_eq!((ls.lock_count(), ls.dropped_results()), (0, 0));
    holder.close().unwrap();
    Arc::into_inner(ls).unwrap().release().unwrap();
}

fn without_queueing_a_taken_lock_would_block_and_a_conversion_keeps_its_mode(place: &Place) {
    let (ls, other) = place.open_twice("rt-noqueue");
    let held = ls.lock("r", Mode::Pr).wait().unwrap();
    let error = other.lock("r", Mode::Ex).no_queue().wait().unwrap_err();
    assert!(error.would_block(), "{error}");
    assert_eq!(error.raw_os_error(), Some(11));
    let mine = other.lock("r", Mode::Pr).no_queue().wait().unwrap();
    let error = mine.convert(Mode::Ex).no_queue().wait().unwrap_err();
    assert!(error.would_block(), "{error}");
    assert_eq!(mine.mode(), Some(Mode::Pr));
    held.unlock().wait().unwrap();
    assert_eq!(mine.convert(Mode::Ex).no_queue().wait().unwrap().mode, Some(Mode::Ex));
    mine.unlock().wait().unwrap();
    other.close().unwrap();
    ls.release().unwrap();
}

fn the_value_block_is_written_kept_and_read(place: &Place) {
    let (ls, other) = place.open_twice("rt-lvb");
    // Keeps the resource, and with it the block.
    let null = ls.lock("r", Mode::Nl).wait().unwrap();
    let lock = other.lock("r", Mode::Ex).with_lvb().wait().unwrap();
    assert_eq!(lock.lvb(), Some(Lvb::new(ValueBlock::ZERO)));
    let done = lock.convert(Mode::Pr).write_lvb(ONE).wait().unwrap();
    assert_eq!(done.lvb, Some(Lvb::new(ONE)));
    let done = lock.convert(Mode::Ex).read_lvb().wait().unwrap();
    assert_eq!(done.lvb, Some(Lvb::new(ONE)));
    // The kernel writes at this unlock, asked to or not: it must write what is there.
    lock.unlock().wait().unwrap();
    let lock = other.lock("r", Mode::Pw).with_lvb().wait().unwrap();
    assert_eq!(lock.lvb(), Some(Lvb::new(ONE)));
    lock.unlock().write_lvb(TWO).wait().unwrap();
    let lock = other.lock("r", Mode::Pr).with_lvb().wait().unwrap();
    assert_eq!(lock.lvb(), Some(Lvb::new(TWO)));
    lock.unlock().wait().unwrap();
    other.close().unwrap();
    null.unlock().wait().unwrap();
    ls.release().unwrap();
}

fn an_invalid_value_block_stays_invalid_until_somebody_writes_it(place: &Place) {
    let (ls, other) = place.open_twice("rt-invalid");
    let null = ls.lock("r", Mode::Nl).wait().unwrap();
    let read = |ls: &Lockspace| {
        let lock = ls.lock("r", Mode::Ex).with_lvb().wait().unwrap();
        let lvb = lock.lvb().unwrap();
        lock.unlock().wait().unwrap();
        lvb
    };
    let lock = other.lock("r", Mode::Ex).with_lvb().wait().unwrap();
    lock.unlock().write_lvb(ONE).wait().unwrap();
    let lock = other.lock("r", Mode::Ex).wait().unwrap();
    lock.unlock().invalidate_lvb().wait().unwrap();
    // Two readers in a row: the first one's unlock must not make the block valid.
    assert_eq!(read(&ls), Lvb { block: ONE, valid: false });
    assert_eq!(read(&other), Lvb { block: ONE, valid: false });
    let lock = other.lock("r", Mode::Ex).wait().unwrap();
    // The kernel would ignore it on a lock that has never had a block.
    let failed = lock.unlock().write_lvb(TWO).wait().unwrap_err();
    assert!(matches!(failed.error.kind, ErrorKind::Illegal(_)), "{failed}");
    failed.lock.convert(Mode::Ex).write_lvb(TWO).wait().unwrap();
    failed.lock.unlock().wait().unwrap();
    assert_eq!(read(&ls), Lvb::new(TWO));
    null.unlock().wait().unwrap();
    other.close().unwrap();
    ls.release().unwrap();
}

fn a_dropped_lock_is_unlocked_and_a_dropped_request_taken_back(place: &Place) {
    let (ls, other) = place.open_twice("rt-drop");
    let held = ls.lock("r", Mode::Ex).wait().unwrap();
    let pending = other.lock("r", Mode::Ex).start(|_| panic!("not run after the drop")).unwrap();
    assert!(pending.is_in_flight());
    drop(pending);
    drop(held);
    // Granted only if neither is in the way.
    let lock = other.lock("r", Mode::Ex).no_queue().wait().unwrap();
    // A conversion in flight goes with its lock, too.
    let third = place.open("rt-drop").unwrap();
    let shared = ls.lock("s", Mode::Pr).wait().unwrap();
    let blocker = third.lock("s", Mode::Pr).wait().unwrap();
    shared.convert(Mode::Ex).start(|_| panic!("not run after the drop")).unwrap();
    drop(shared);
    assert_eq!(blocker.convert(Mode::Ex).no_queue().wait().unwrap().mode, Some(Mode::Ex));
    lock.unlock().wait().unwrap();
    blocker.unlock().wait().unwrap();
    for ls in [&ls, &other, &third] {
        while ls.dispatch().unwrap() > 0 {}
        assert_eq!((ls.lock_count(), ls.dropped_results()), (0, 0));
    }
    third.close().unwrap();
    other.close().unwrap();
    ls.release().unwrap();
}

fn a_cancel_from_another_thread_ends_a_waiting_conversion(place: &Place) {
    let (ls, other) = place.open_twice("rt-cancel");
    let held = ls.lock("r", Mode::Pr).note_blocking().wait().unwrap();
    let lock = Arc::new(other.lock("r", Mode::Pr).wait().unwrap());
    assert!(matches!(lock.cancel().unwrap_err().kind, ErrorKind::NothingToCancel));
    let theirs = Arc::clone(&lock);
    let waiter = thread::spawn(move || theirs.convert(Mode::Ex).wait());
    eventually("the conversion waits", || {
        ls.dispatch().unwrap();
        held.blocked() == Some(Mode::Ex)
    });
    assert!(matches!(lock.convert(Mode::Nl).wait().unwrap_err().kind, ErrorKind::InFlight));
    lock.cancel().unwrap();
    let error = waiter.join().unwrap().unwrap_err();
    assert_eq!(error.status(), Some(LockStatus::Cancelled));
    assert_eq!(lock.mode(), Some(Mode::Pr));
    drop((held, lock));
    other.close().unwrap();
    ls.release().unwrap();
}

fn what_the_kernel_would_refuse_or_choke_on_is_refused_with_a_reason(place: &Place) {
    let ls = place.create("rt-illegal").unwrap();
    let illegal = |error: dlm_runtime::Error| match error.kind {
        ErrorKind::Illegal(reason) => reason,
        other => panic!("{other}"),
    };
    let lock = ls.lock("r", Mode::Ex).wait().unwrap();
    for flag in [LockFlags::FORCEUNLOCK, LockFlags::QUECVT, LockFlags::PERSISTENT] {
        illegal(ls.lock("x", Mode::Pr).flags(flag).wait().unwrap_err());
    }
    illegal(lock.convert(Mode::Pr).flags(LockFlags::QUECVT).wait().unwrap_err());
    illegal(lock.convert(Mode::Pr).read_lvb().wait().unwrap_err());
    lock.convert(Mode::Nl).wait().unwrap();
    illegal(lock.convert(Mode::Ex).write_lvb(ONE).wait().unwrap_err());
    let failed = lock.unlock().write_lvb(ONE).wait().unwrap_err();
    illegal(failed.error);
    // The lock came back with the error.
    assert_eq!(failed.lock.mode(), Some(Mode::Nl));
    failed.lock.unlock().wait().unwrap();
    let error = ls.lock([b'x'; 65], Mode::Nl).wait().unwrap_err();
    assert!(matches!(error.kind, ErrorKind::Name(_)), "{error}");
    assert_eq!(ls.lock_count(), 0);
    ls.release().unwrap();
}

fn a_conversion_deadlock_ends_one_of_the_two_waits(place: &Place) {
    let (ls, other) = place.open_twice("rt-deadlock");
    let a = ls.lock("r", Mode::Pr).note_blocking().wait().unwrap();
    let b = other.lock("r", Mode::Pr).note_blocking().wait().unwrap();
    a.convert(Mode::Ex).start(|done| assert!(done.is_granted())).unwrap();
    let error = b.convert(Mode::Ex).wait().unwrap_err();
    assert_eq!(error.status(), Some(LockStatus::Deadlock));
    assert_eq!(b.mode(), Some(Mode::Pr));
    b.unlock().wait().unwrap();
    eventually("the other conversion is granted", || {
        ls.dispatch().unwrap();
        a.mode() == Some(Mode::Ex)
    });
    a.unlock().wait().unwrap();
    other.close().unwrap();
    ls.release().unwrap();
}
