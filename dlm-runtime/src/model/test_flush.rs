//! Waiting until dropped locks are gone.

use std::sync::Arc;
use std::time::Duration;

use shuttle::thread;

use super::stage::{Dispatcher, Stage, block_on, check};
use crate::{Lockspace, Mode};

/// Drops locks in several states, and then has nothing left.
fn drop_some(lockspace: &Lockspace) {
    drop(lockspace.lock("a", Mode::Ex).wait().unwrap());
    drop(lockspace.lock("b", Mode::Ex).start(|_| {}).unwrap());
    drop(lockspace.lock("a", Mode::Ex).with_lvb().start(|_| {}).unwrap());
}

#[test]
fn dropped_locks_are_awaited_without_anybody_else() {
    check(|| {
        let stage = Stage::new();
        let (lockspace, other) = (stage.open(), stage.open());
        // What is not dropped is not waited for.
        let held = lockspace.lock("held", Mode::Ex).wait().unwrap();
        drop_some(&lockspace);
        lockspace.flush_drops().wait(None).unwrap();
        assert_eq!(lockspace.lock_count(), 1);
        for name in ["a", "b"] {
            other.lock(name, Mode::Ex).no_queue().wait().unwrap().unlock().wait().unwrap();
        }
        held.unlock().wait().unwrap();
        lockspace.flush_drops().wait(Some(Duration::ZERO)).unwrap();
        stage.finish(&[&lockspace, &other]);
    });
}

/// In two threads and a future at the same time.
fn settle_together(lockspace: &Arc<Lockspace>) {
    thread::scope(|scope| {
        scope.spawn(|| {
            drop_some(lockspace);
            block_on(lockspace.flush_drops()).unwrap();
        });
        scope.spawn(|| {
            drop(lockspace.lock("a", Mode::Ex).wait().unwrap());
            lockspace.flush_drops().wait(None).unwrap();
        });
        scope.spawn(|| block_on(lockspace.flush_drops()).unwrap());
    });
    block_on(lockspace.flush_drops()).unwrap();
    assert_eq!(lockspace.lock_count(), 0);
}

#[test]
fn a_delivery_thread_reads_for_those_who_await_the_end_of_dropped_locks() {
    check(|| {
        let stage = Stage::new();
        let lockspace = stage.open();
        let delivery = lockspace.start_delivery().unwrap();
        settle_together(&lockspace);
        delivery.stop(Duration::MAX).unwrap();
        stage.finish(&[&lockspace]);
    });
}

#[test]
fn locks_that_another_thread_unlocks_are_awaited() {
    check(|| {
        let stage = Stage::new();
        let lockspace = stage.open_with_writer();
        let dispatcher = Dispatcher::start(&lockspace);
        settle_together(&lockspace);
        dispatcher.stop().unwrap();
        stage.finish(&[&lockspace]);
    });
}

#[test]
fn the_wait_ends_with_the_lockspace() {
    check(|| {
        let stage = Stage::new();
        let lockspace = stage.open();
        thread::scope(|scope| {
            scope.spawn(|| {
                // Closed before or after the drop: it is gone, or nobody will tell.
                if let Ok(lock) = lockspace.lock("a", Mode::Ex).wait() {
                    drop(lock);
                }
                let ends = [block_on(lockspace.flush_drops()), lockspace.flush_drops().wait(None)];
                assert!(ends.iter().all(|end| match end {
                    Ok(()) => true,
                    Err(error) => error.is_closed(),
                }));
            });
            scope.spawn(|| lockspace.close().unwrap());
        });
        drop(lockspace);
        stage.finish(&[]);
    });
}
