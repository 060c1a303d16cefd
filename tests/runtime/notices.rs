//! Waiting for blocking notices in a call, callbacks that are lent their lock, and waiting until
//! dropped locks are gone.

use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use dlm_runtime::{BlockedLock, ErrorKind, Mode};
use dlm_tests::{PATIENCE, Place, eventually};

use super::{are_free, drop_locks};

dlm_tests::everywhere! {
    a_notice_is_awaited_in_a_call_without_anybody_else,
    a_notice_is_awaited_beside_waiters_and_a_delivery_thread,
    waiting_for_a_notice_that_cannot_come_is_an_error,
    a_callback_gives_way_with_the_lock_that_it_is_lent,
    a_lock_that_is_dropped_while_it_is_lent_is_unlocked_afterwards,
    a_lock_moves_out_of_its_callback_to_a_worker,
    dropped_locks_are_gone_when_that_was_awaited,
}

fn a_notice_is_awaited_in_a_call_without_anybody_else(place: &Place) {
    let (ls, other) = place.open_twice("no-wait");
    let lock = ls.lock("r", Mode::Ex).note_blocking().wait().unwrap();
    let start = Instant::now();
    let short = Duration::from_millis(30);
    assert_eq!(lock.wait_blocked(Some(short)).unwrap(), None);
    assert!(start.elapsed() >= short);
    thread::scope(|scope| {
        scope.spawn(|| other.lock("r", Mode::Pr).wait().unwrap().unlock().wait().unwrap());
        assert_eq!(lock.wait_blocked(Some(PATIENCE)).unwrap(), Some(Mode::Pr));
        // Told again, until there was a grant.
        assert_eq!(lock.wait_blocked(None).unwrap(), Some(Mode::Pr));
        lock.convert(Mode::Nl).wait().unwrap();
        assert_eq!(lock.wait_blocked(Some(Duration::ZERO)).unwrap(), None);
    });
    lock.unlock().wait().unwrap();
    other.close().unwrap();
    ls.release().unwrap();
}

fn a_notice_is_awaited_beside_waiters_and_a_delivery_thread(place: &Place) {
    let (ls, other) = place.open_twice("no-beside");
    let delivery = ls.start_delivery().unwrap();
    let held = other.lock("busy", Mode::Ex).wait().unwrap();
    let (sender, modes) = channel();
    let called = ls
        .lock("called", Mode::Ex)
        .on_blocking(move |blocking| sender.send(blocking.mode).unwrap())
        .wait()
        .unwrap();
    let noted = ls.lock("noted", Mode::Ex).note_blocking().wait().unwrap();
    thread::scope(|scope| {
        // The thread that sleeps at the device as long as there is nothing for it.
        let waiter = scope.spawn(|| ls.lock("busy", Mode::Ex).timeout(PATIENCE).wait());
        for name in ["noted", "called"] {
            let other = &other;
            scope
                .spawn(move || other.lock(name, Mode::Cr).wait().unwrap().unlock().wait().unwrap());
        }
        assert_eq!(noted.wait_blocked(Some(PATIENCE)).unwrap(), Some(Mode::Cr));
        assert_eq!(called.wait_blocked(Some(PATIENCE)).unwrap(), Some(Mode::Cr));
        assert_eq!(modes.recv_timeout(PATIENCE).unwrap(), Mode::Cr);
        drop((noted, called));
        held.unlock().wait().unwrap();
        waiter.join().unwrap().unwrap().unlock().wait().unwrap();
    });
    ls.flush_drops().wait(Some(PATIENCE)).unwrap();
    delivery.stop(PATIENCE).unwrap();
    other.close().unwrap();
    ls.release().unwrap();
}

fn waiting_for_a_notice_that_cannot_come_is_an_error(place: &Place) {
    let (ls, other) = place.open_twice("no-never");
    let kind = |error: dlm_runtime::Error| error.kind;
    let silent = ls.lock("r", Mode::Ex).wait().unwrap();
    assert!(matches!(kind(silent.wait_blocked(None).unwrap_err()), ErrorKind::Illegal(_)));
    let queued = other.lock("r", Mode::Pr).note_blocking().start(|_| {}).unwrap();
    assert!(matches!(kind(queued.wait_blocked(None).unwrap_err()), ErrorKind::Illegal(_)));
    queued.cancel().unwrap();
    eventually("it is gone", || {
        other.dispatch().unwrap();
        !queued.is_in_flight()
    });
    assert!(matches!(kind(queued.wait_blocked(None).unwrap_err()), ErrorKind::LockGone));
    let noted = other.lock("s", Mode::Ex).note_blocking().wait().unwrap();
    thread::scope(|scope| {
        let waiter = scope.spawn(|| noted.wait_blocked(None));
        other.close().unwrap();
        assert!(waiter.join().unwrap().unwrap_err().is_closed());
    });
    silent.unlock().wait().unwrap();
    ls.release().unwrap();
}

fn a_callback_gives_way_with_the_lock_that_it_is_lent(place: &Place) {
    let (ls, other) = place.open_twice("no-lent");
    let delivery = ls.start_delivery().unwrap();
    let (sender, seen) = channel();
    let converts = ls
        .lock("converted", Mode::Ex)
        .on_blocking_with(move |lock| {
            let before = lock.mode();
            lock.convert(Mode::Nl).wait().unwrap();
            sender.send((lock.wanted(), before, lock.mode())).unwrap();
        })
        .wait()
        .unwrap();
    let unlocks = ls.lock("unlocked", Mode::Nl).wait().unwrap();
    let replaced = unlocks.convert(Mode::Ex).on_blocking_with(|lock| lock.unlock_wait().unwrap());
    replaced.wait().unwrap();
    for name in ["converted", "unlocked"] {
        other.lock(name, Mode::Pr).timeout(PATIENCE).wait().unwrap().unlock().wait().unwrap();
    }
    let told = seen.recv_timeout(PATIENCE).unwrap();
    assert_eq!(told, (Mode::Pr, Some(Mode::Ex), Some(Mode::Nl)));
    assert_eq!(converts.mode(), Some(Mode::Nl));
    eventually("the callback has unlocked", || unlocks.mode().is_none());
    assert!(matches!(unlocks.unlock().wait().unwrap_err().error.kind, ErrorKind::LockGone));
    converts.unlock().wait().unwrap();
    delivery.stop(PATIENCE).unwrap();
    assert_eq!(ls.lock_count(), 0);
    other.close().unwrap();
    ls.release().unwrap();
}

fn a_lock_that_is_dropped_while_it_is_lent_is_unlocked_afterwards(place: &Place) {
    for options in [place.options(), place.options().background_writes()] {
        let ls = options.create("no-drop").unwrap();
        let other = place.open("no-drop").unwrap();
        let delivery = ls.start_delivery().unwrap();
        let ((entered, inside), (go_on, wait)) = (channel(), channel::<()>());
        let (sender, end) = channel();
        let lock = ls
            .lock("r", Mode::Ex)
            .on_blocking_with(move |lock| {
                entered.send(()).unwrap();
                wait.recv().unwrap();
                sender.send((lock.mode(), lock.convert(Mode::Pr).wait().is_ok())).unwrap();
            })
            .wait()
            .unwrap();
        thread::scope(|scope| {
            scope.spawn(|| other.lock("r", Mode::Ex).wait().unwrap().unlock().wait().unwrap());
            inside.recv_timeout(PATIENCE).unwrap();
            drop(lock);
            let short = Some(Duration::from_millis(20));
            assert!(ls.flush_drops().wait(short).unwrap_err().is_timed_out());
            go_on.send(()).unwrap();
            // It was still there, and could still be converted.
            assert_eq!(end.recv_timeout(PATIENCE).unwrap(), (Some(Mode::Ex), true));
        });
        ls.flush_drops().wait(Some(PATIENCE)).unwrap();
        assert_eq!(ls.lock_count(), 0);
        delivery.stop(PATIENCE).unwrap();
        other.close().unwrap();
        ls.release().unwrap();
    }
}

fn a_lock_moves_out_of_its_callback_to_a_worker(place: &Place) {
    let (ls, other) = place.open_twice("no-worker");
    let delivery = ls.start_delivery().unwrap();
    let (sender, wanted) = channel();
    let detach = move |lock: &BlockedLock| _ = sender.send(lock.detach());
    let lock = ls.lock("r", Mode::Ex).on_blocking_with(detach).wait().unwrap();
    thread::scope(|scope| {
        let theirs = scope.spawn(|| other.lock("r", Mode::Pr).timeout(PATIENCE).wait().unwrap());
        let mine = wanted.recv_timeout(PATIENCE).unwrap();
        // The callback has returned: others run.
        let (sender, seen) = channel();
        let note = move |_: &BlockedLock| _ = sender.send(());
        let beside = ls.lock("beside", Mode::Ex).on_blocking_with(note).wait().unwrap();
        let theirs_beside = scope.spawn(|| other.lock("beside", Mode::Ex).wait().unwrap());
        seen.recv_timeout(PATIENCE).unwrap();
        beside.unlock().wait().unwrap();
        drop(theirs_beside.join().unwrap());
        assert_eq!((mine.wanted(), mine.is_late(), mine.mode()), (Mode::Pr, false, Some(Mode::Ex)));
        mine.convert(Mode::Pr).wait().unwrap();
        drop(theirs.join().unwrap());
        // As long as one is left the lock stays there.
        let copy = mine.detach();
        drop((lock, mine));
        let short = Some(Duration::from_millis(20));
        assert!(ls.flush_drops().wait(short).unwrap_err().is_timed_out());
        assert_eq!(copy.mode(), Some(Mode::Pr));
        drop(copy);
        ls.flush_drops().wait(Some(PATIENCE)).unwrap();
    });
    assert_eq!(ls.lock_count(), 0);
    delivery.stop(PATIENCE).unwrap();
    other.close().unwrap();
    ls.release().unwrap();
}

fn dropped_locks_are_gone_when_that_was_awaited(place: &Place) {
    let (ls, other) = place.open_twice("no-settled");
    ls.flush_drops().wait(Some(Duration::ZERO)).unwrap();
    let kept = ls.lock("kept", Mode::Ex).wait().unwrap();
    let drop_many = || drop_locks(&ls, 100);
    let expect_free = || {
        assert_eq!(ls.lock_count(), 1);
        are_free(&other, 100);
    };
    drop_many();
    ls.flush_drops().wait(Some(PATIENCE)).unwrap();
    expect_free();
    kept.unlock().wait().unwrap();
    other.close().unwrap();
    ls.release().unwrap();
}
