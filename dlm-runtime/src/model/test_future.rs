//! Futures: the wake-up of the task that polled last is never lost.

use std::future::IntoFuture as _;
use std::time::Duration;

use shuttle::thread;

use super::stage::{Dispatcher, Stage, block_on, check};
use crate::{Error, Lockspace, Mode};

/// Locks, converts and unlocks.
async fn work(lockspace: &Lockspace, resource: &str) -> Result<(), Error> {
    let lock = lockspace.lock(resource, Mode::Pr).await?;
    lock.convert(Mode::Ex).await?;
    Ok(lock.unlock().await?)
}

#[test]
fn a_future_is_woken_by_a_dispatcher() {
    check(|| {
        let stage = Stage::new();
        let lockspace = stage.open();
        let dispatcher = Dispatcher::start(&lockspace);
        block_on(work(&lockspace, "a")).unwrap();
        dispatcher.stop().unwrap();
        stage.finish(&[&lockspace]);
    });
}

#[test]
fn a_future_is_woken_by_a_delivery_thread() {
    check(|| {
        let stage = Stage::new();
        let lockspace = stage.open();
        let delivery = lockspace.start_delivery().unwrap();
        block_on(work(&lockspace, "a")).unwrap();
        delivery.stop(Duration::MAX).unwrap();
        stage.finish(&[&lockspace]);
    });
}

#[test]
fn futures_and_waiters_read_for_each_other() {
    check(|| {
        let stage = Stage::new();
        let lockspace = stage.open();
        let dispatcher = Dispatcher::start(&lockspace);
        thread::scope(|scope| {
            for resource in ["a", "b"] {
                let lockspace = &lockspace;
                scope.spawn(move || block_on(work(lockspace, resource)).unwrap());
            }
            scope.spawn(|| lockspace.lock("c", Mode::Ex).wait().unwrap().unlock().wait().unwrap());
        });
        dispatcher.stop().unwrap();
        stage.finish(&[&lockspace]);
    });
}

#[test]
fn futures_whose_requests_are_written_by_a_thread_end() {
    check(|| {
        let stage = Stage::new();
        let lockspace = stage.open_with_writer();
        let dispatcher = Dispatcher::start(&lockspace);
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    block_on(async {
                        let lock = lockspace.lock("a", Mode::Ex).await.unwrap();
                        lock.unlock().await.unwrap();
                    });
                });
            }
        });
        dispatcher.stop().unwrap();
        stage.finish(&[&lockspace]);
    });
}

#[test]
fn futures_end_although_nobody_reads() {
    check(|| {
        let stage = Stage::new();
        let lockspace = stage.open();
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    let held = block_on(lockspace.lock("a", Mode::Ex).into_future()).unwrap();
                    block_on(held.unlock().into_future()).unwrap();
                });
            }
            scope.spawn(|| lockspace.lock("a", Mode::Ex).wait().unwrap().unlock().wait().unwrap());
        });
        stage.finish(&[&lockspace]);
    });
}

#[test]
fn a_future_ends_when_its_delivery_thread_stops() {
    check(|| {
        let stage = Stage::new();
        let lockspace = stage.open();
        let other = stage.open();
        let held = other.lock("a", Mode::Ex).wait().unwrap();
        let delivery = lockspace.start_delivery().unwrap();
        thread::scope(|scope| {
            scope.spawn(|| block_on(work(&lockspace, "a")).unwrap());
            scope.spawn(|| delivery.stop(Duration::MAX).unwrap());
            held.unlock().wait().unwrap();
        });
        stage.finish(&[&lockspace, &other]);
    });
}
