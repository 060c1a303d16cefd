//! Lock value blocks after locks that ended in unusual ways: the block that was written
//! last, or one that is marked invalid, but never an old one or zeros.

use dlm_runtime::{ErrorKind, Lock, LockFlags, Lockspace, Lvb, Mode, ValueBlock};
use dlm_tests::{Place, block};

dlm_tests::everywhere! {
    a_request_that_is_dropped_after_its_grant_writes_nothing,
    a_lock_that_is_dropped_in_a_conversion_writes_nothing,
    an_old_block_is_not_written_back,
    a_block_that_was_kept_from_others_all_the_time_stays_valid,
    a_demoted_lock_that_is_the_victim_of_a_deadlock_holds_nothing,
}

/// Two owners, and a lock that keeps the resource `r` and its block, which is `block(1)`.
fn with_block(place: &Place, name: &str) -> (Lockspace, Lockspace, Lock) {
    let (ls, other) = place.open_twice(name);
    let keeper = ls.lock("r", Mode::Nl).with_lvb().wait().unwrap();
    write(&ls, block(1));
    (ls, other, keeper)
}

fn write(ls: &Lockspace, block: ValueBlock) {
    let lock = ls.lock("r", Mode::Ex).with_lvb().wait().unwrap();
    lock.unlock().write_lvb(block).wait().unwrap();
}

fn read(ls: &Lockspace) -> Lvb {
    let lock = ls.lock("r", Mode::Cr).with_lvb().wait().unwrap();
    let lvb = lock.lvb().unwrap();
    lock.unlock().wait().unwrap();
    lvb
}

fn end(ls: Lockspace, other: &Lockspace, keeper: Lock) {
    keeper.unlock().wait().unwrap();
    other.close().unwrap();
    ls.release().unwrap();
}

fn a_request_that_is_dropped_after_its_grant_writes_nothing(place: &Place) {
    let (ls, other, keeper) = with_block(place, "lvb-dropped");
    for mode in [Mode::Pw, Mode::Ex] {
        let held = ls.lock("r", Mode::Ex).with_lvb().wait().unwrap();
        let request = other.lock("r", mode).with_lvb().start(|_| panic!("dropped")).unwrap();
        // Granted now, and nobody has read that.
        held.unlock().write_lvb(block(2)).wait().unwrap();
        drop(request);
        assert_eq!(read(&ls), Lvb::new(block(2)), "{mode}");
        assert_eq!(other.lock_count(), 0);
    }
    end(ls, &other, keeper);
}

fn a_lock_that_is_dropped_in_a_conversion_writes_nothing(place: &Place) {
    let (ls, other, keeper) = with_block(place, "lvb-converting");
    for granted_first in [false, true] {
        let held = ls.lock("r", Mode::Cr).wait().unwrap();
        // It has never read the block, and would write what it carries.
        let lock = other.lock("r", Mode::Pw).wait().unwrap();
        lock.convert(Mode::Ex).read_lvb().start(|_| panic!("dropped")).unwrap();
        if granted_first {
            held.unlock().wait().unwrap();
            drop(lock);
        } else {
            drop(lock);
            held.unlock().wait().unwrap();
        }
        assert_eq!(read(&ls).block, block(1), "granted first: {granted_first}");
        while other.lock_count() > 0 {
            other.dispatch().unwrap();
        }
    }
    end(ls, &other, keeper);
}

fn an_old_block_is_not_written_back(place: &Place) {
    let (ls, other, keeper) = with_block(place, "lvb-old");
    let lock = other.lock("r", Mode::Cr).with_lvb().wait().unwrap();
    assert_eq!(lock.lvb(), Some(Lvb::new(block(1))));
    let writer = ls.lock("r", Mode::Pw).with_lvb().wait().unwrap();
    writer.unlock().write_lvb(block(2)).wait().unwrap();
    lock.convert(Mode::Pw).wait().unwrap();
    // Refused, but from here on the kernel stores what the unlock carries.
    let held = ls.lock("r", Mode::Cr).wait().unwrap();
    let refused = lock.convert(Mode::Ex).read_lvb().no_queue().wait().unwrap_err();
    assert!(refused.would_block(), "{refused}");
    lock.unlock().wait().unwrap();
    held.unlock().wait().unwrap();
    // Nothing else was possible than to mark it invalid.
    assert_eq!(read(&ls), Lvb { valid: false, ..Lvb::new(block(2)) });
    end(ls, &other, keeper);
}

fn a_block_that_was_kept_from_others_all_the_time_stays_valid(place: &Place) {
    let (ls, other, keeper) = with_block(place, "lvb-kept");
    let lock = other.lock("r", Mode::Pr).with_lvb().wait().unwrap();
    lock.convert(Mode::Pw).wait().unwrap();
    let held = ls.lock("r", Mode::Cr).wait().unwrap();
    lock.convert(Mode::Ex).read_lvb().no_queue().wait().unwrap_err();
    lock.unlock().wait().unwrap();
    assert_eq!(read(&ls), Lvb::new(block(1)));
    // So does one under a conversion that might have demoted its lock, and was cancelled.
    let lock = other.lock("r", Mode::Pw).with_lvb().wait().unwrap();
    lock.convert(Mode::Ex).flags(LockFlags::CONVDEADLK).read_lvb().start(|_| ()).unwrap();
    lock.cancel().unwrap();
    other.dispatch().unwrap();
    assert_eq!(lock.mode(), Some(Mode::Nl));
    // From what is perhaps PW these would write the block, not read it.
    for mode in [Mode::Nl, Mode::Cr, Mode::Pr, Mode::Pw] {
        let error = lock.convert(mode).read_lvb().wait().unwrap_err();
        assert!(matches!(error.kind, ErrorKind::Illegal(_)), "{error}");
    }
    lock.unlock().wait().unwrap();
    assert_eq!(read(&ls), Lvb::new(block(1)));
    held.unlock().wait().unwrap();
    end(ls, &other, keeper);
}

fn a_demoted_lock_that_is_the_victim_of_a_deadlock_holds_nothing(place: &Place) {
    let (ls, other, keeper) = with_block(place, "lvb-demoted");
    let winner = ls.lock("r", Mode::Pr).wait().unwrap();
    let loser = other.lock("r", Mode::Pr).wait().unwrap();
    winner.convert(Mode::Ex).start(|_| ()).unwrap();
    // Demoted to NL, so that the other goes on.
    loser.convert(Mode::Ex).flags(LockFlags::CONVDEADLK).start(|_| ()).unwrap();
    ls.dispatch().unwrap();
    assert_eq!(winner.mode(), Some(Mode::Ex));
    loser.cancel_as_deadlock().unwrap();
    other.dispatch().unwrap();
    assert_eq!(loser.mode(), Some(Mode::Nl), "PR beside EX");
    loser.unlock().wait().unwrap();
    winner.unlock().wait().unwrap();
    end(ls, &other, keeper);
}
