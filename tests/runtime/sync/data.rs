//! Data under a lock.

use std::thread;
use std::time::Duration;

use dlm_runtime::sync::{Error, Mutex, RwLock};
use dlm_tests::{PATIENCE, Place, WAYS, Way};

use super::Two;

dlm_tests::everywhere! {
    a_mutex_has_one_holder,
    a_mutex_is_unlocked_by_its_guard,
    readers_share_and_one_upgrades,
    of_two_upgrades_the_second_is_told,
    guards_are_not_valid_without_their_lockspace,
}

fn a_mutex_has_one_holder(place: &Place) {
    const EACH: u32 = 50;
    let spaces = Two::new(place, "sync-mutex");
    // Each owner has its own data, and both stand for the same thing.
    let [one, two] = [&spaces.one, &spaces.two].map(|space| Mutex::new(space, "m", 0));
    let inside = std::sync::Mutex::new(());
    thread::scope(|scope| {
        for (mutex, way) in [(&one, WAYS[0]), (&one, WAYS[1]), (&two, WAYS[0]), (&two, WAYS[1])] {
            let inside = &inside;
            scope.spawn(move || {
                for _ in 0..EACH {
                    let mut guard = way.of(mutex.lock()).unwrap();
                    let alone = inside.try_lock().expect("two holders");
                    *guard += 1;
                    drop(alone);
                    way.of(guard.unlock()).unwrap();
                }
            });
        }
    });
    assert_eq!((one.into_inner(), two.into_inner()), (2 * EACH, 2 * EACH));
    spaces.end();
}

fn a_mutex_is_unlocked_by_its_guard(place: &Place) {
    let spaces = Two::new(place, "sync-guard");
    let [one, two] = [&spaces.one, &spaces.two].map(|space| Mutex::new(space, "m", ()));
    for way in WAYS {
        let guard = way.of(one.lock()).unwrap();
        assert!(guard.is_valid());
        assert!(way.of(two.try_lock()).unwrap().is_none());
        let late = way.of(two.lock().timeout(Duration::from_millis(1))).unwrap_err();
        assert!(late.is_timed_out(), "{late}");
        drop(guard);
        drop(way.of(two.lock()).unwrap());
        // Guards go to other threads.
        let guard = way.of(two.lock()).unwrap();
        thread::spawn({
            let is_valid = guard.is_valid();
            move || assert!(is_valid)
        })
        .join()
        .unwrap();
        thread::scope(|scope| scope.spawn(move || drop(guard)).join().unwrap());
        drop(way.of(one.try_lock()));
    }
    drop((one, two));
    spaces.end();
}

fn readers_share_and_one_upgrades(place: &Place) {
    let spaces = Two::new(place, "sync-rwlock");
    let [one, two] = [&spaces.one, &spaces.two].map(|space| RwLock::new(space, "r", 1));
    for way in WAYS {
        let readers = [&one, &one, &two].map(|lock| way.of(lock.read()).unwrap());
        assert!(readers.iter().all(|reader| **reader == 1 && reader.is_valid()));
        assert!(way.of(two.try_write()).unwrap().is_none());
        let [first, second, third] = readers;
        let failed = way.of(first.upgrade().timeout(Duration::from_millis(1))).unwrap_err();
        assert!(failed.error.is_timed_out(), "{failed}");
        // It reads on.
        let first = failed.guard.unwrap();
        assert!(first.is_valid());
        drop((second, third));
        let mut writer = way.of(first.upgrade()).unwrap();
        *writer = 1;
        assert!(writer.is_valid());
        assert!(way.of(one.try_read()).unwrap().is_none());
        let reader = way.of(writer.downgrade()).unwrap();
        let other = way.of(one.read()).unwrap();
        way.of(other.unlock()).unwrap();
        way.of(reader.unlock()).unwrap();
        let writer = way.of(two.write()).unwrap();
        way.of(writer.unlock()).unwrap();
    }
    drop((one, two));
    spaces.end();
}

fn of_two_upgrades_the_second_is_told(place: &Place) {
    let spaces = Two::new(place, "sync-upgrade");
    let [one, two] = [&spaces.one, &spaces.two].map(|space| RwLock::new(space, "r", ()));
    for way in WAYS {
        let readers = [&one, &two].map(|lock| way.of(lock.read()).unwrap());
        // Whose conversion comes second to the lock manager is told, and lets the other one through.
        let is_told = thread::scope(|scope| {
            let upgrades = readers.map(|reader| {
                scope.spawn(move || match way.of(reader.upgrade().timeout(PATIENCE)) {
                    Ok(writer) => {
                        assert!(writer.is_valid());
                        false
                    }
                    Err(failed) => {
                        assert!(failed.error.is_deadlock(), "{failed}");
                        assert!(failed.guard.as_ref().is_some_and(|reader| reader.is_valid()));
                        true
                    }
                })
            });
            upgrades.map(|upgrade| upgrade.join().unwrap())
        });
        assert_ne!(is_told[0], is_told[1], "one of them is told");
    }
    drop((one, two));
    spaces.end();
}

fn guards_are_not_valid_without_their_lockspace(place: &Place) {
    let spaces = Two::new(place, "sync-closed");
    let mutex = Mutex::new(&spaces.two, "m", ());
    let rwlock = RwLock::new(&spaces.two, "r", ());
    let guard = mutex.lock().wait().unwrap();
    let reader = rwlock.read().wait().unwrap();
    spaces.two.close().unwrap();
    assert!(!guard.is_valid() && !reader.is_valid());
    for way in [Way::Thread, Way::Task] {
        let error = way.of(mutex.lock()).unwrap_err();
        assert!(error.is_closed(), "{error}");
        assert!(matches!(error, Error::Lock(_)));
    }
    assert!(rwlock.read().wait().unwrap_err().is_closed());
    assert!(reader.upgrade().wait().unwrap_err().error.is_closed());
    drop(guard);
    drop((mutex, rwlock));
    spaces.end();
}
