//! The delivery thread beside threads that wait: callbacks run once, and only where they belong.

use std::panic::resume_unwind;
use std::sync::Arc;
use std::time::Duration;

use shuttle::sync::mpsc::{Receiver, channel};
use shuttle::thread;

use super::stage::{Dispatcher, Runs, Stage, check};
use crate::{Completion, DeliveryThread, Lock, Lockspace, Mode};

const FOREVER: Duration = Duration::MAX;

/// Starts a request, and tells of its end.
fn start(lockspace: &Lockspace, resource: &str, runs: &Arc<Runs>) -> (Lock, Receiver<Completion>) {
    let (sender, ended) = channel();
    let runs = Arc::clone(runs);
    let told = move |completion| {
        runs.note();
        sender.send(completion).unwrap();
    };
    (lockspace.lock(resource, Mode::Ex).start(told).unwrap(), ended)
}

fn thread_of(delivery: &DeliveryThread) -> thread::ThreadId {
    delivery.thread_id().unwrap()
}

#[test]
fn a_callback_runs_once_and_in_the_delivery_thread() {
    check(|| {
        let stage = Stage::new();
        let lockspace = stage.open();
        let (delivery, runs) = (lockspace.start_delivery().unwrap(), Arc::default());
        thread::scope(|scope| {
            scope.spawn(|| lockspace.lock("b", Mode::Ex).wait().unwrap().unlock().wait().unwrap());
            scope.spawn(|| {
                let (lock, ended) = start(&lockspace, "a", &runs);
                assert!(ended.recv().unwrap().is_granted());
                lock.unlock().wait().unwrap();
            });
        });
        assert_eq!(runs.threads(), [thread_of(&delivery)]);
        delivery.stop(FOREVER).unwrap();
        stage.finish(&[&lockspace]);
    });
}

/// The thread sleeps off the device as long as nobody has started anything.
#[test]
fn a_delivery_thread_wakes_for_what_is_started() {
    check(|| {
        let stage = Stage::new();
        let lockspace = stage.open();
        let (delivery, runs) = (lockspace.start_delivery().unwrap(), Arc::default());
        for resource in ["a", "b"] {
            let (lock, ended) = start(&lockspace, resource, &runs);
            assert!(ended.recv().unwrap().is_granted());
            drop(lock);
        }
        delivery.stop(FOREVER).unwrap();
        stage.finish(&[&lockspace]);
    });
}

#[test]
fn what_was_started_before_the_delivery_thread_is_delivered() {
    check(|| {
        let stage = Stage::new();
        let lockspace = stage.open();
        let runs = Arc::<Runs>::default();
        thread::scope(|scope| {
            scope.spawn(|| {
                let (lock, ended) = start(&lockspace, "a", &runs);
                assert!(ended.recv().unwrap().is_granted());
                lock.unlock().wait().unwrap();
            });
            scope.spawn(|| {
                let delivery = lockspace.start_delivery().unwrap();
                while runs.count() == 0 {
                    thread::yield_now();
                }
                delivery.stop(FOREVER).unwrap();
            });
        });
        stage.finish(&[&lockspace]);
    });
}

#[test]
fn a_waiter_does_not_need_the_delivery_thread_that_stops() {
    check(|| {
        let stage = Stage::new();
        let lockspace = stage.open();
        let (delivery, runs) = (lockspace.start_delivery().unwrap(), Arc::<Runs>::default());
        let started = {
            let runs = Arc::clone(&runs);
            lockspace.lock("a", Mode::Ex).start(move |_| runs.note()).unwrap()
        };
        thread::scope(|scope| {
            scope.spawn(|| lockspace.lock("b", Mode::Ex).wait().unwrap().unlock().wait().unwrap());
            scope.spawn(|| delivery.stop(FOREVER).unwrap());
        });
        // What the thread has left is for others.
        while runs.count() == 0 {
            lockspace.dispatch().unwrap();
            thread::yield_now();
        }
        drop(started);
        stage.finish(&[&lockspace]);
        assert_eq!(runs.count(), 1);
    });
}

#[test]
fn a_callback_may_lock_and_unlock() {
    check(|| {
        let stage = Stage::new();
        let lockspace = stage.open();
        let delivery = lockspace.start_delivery().unwrap();
        let (sender, ended) = channel();
        let inner = Arc::clone(&lockspace);
        let told = move |_| {
            inner.lock("b", Mode::Ex).wait().unwrap().unlock().wait().unwrap();
            sender.send(()).unwrap();
        };
        let lock = lockspace.lock("a", Mode::Ex).start(told).unwrap();
        thread::scope(|scope| {
            scope.spawn(|| lockspace.lock("b", Mode::Ex).wait().unwrap().unlock().wait().unwrap());
            scope.spawn(|| ended.recv().unwrap());
        });
        lock.unlock().wait().unwrap();
        delivery.stop(FOREVER).unwrap();
        stage.finish(&[&lockspace]);
    });
}

#[test]
fn a_callback_runs_in_one_of_two_places() {
    check(|| {
        let stage = Stage::new();
        let lockspace = stage.open();
        let (delivery, runs) = (lockspace.start_delivery().unwrap(), Arc::default());
        let dispatcher = Dispatcher::start(&lockspace);
        let places = [thread_of(&delivery), dispatcher.id()];
        thread::scope(|scope| {
            for resource in ["a", "b"] {
                let (lockspace, runs) = (&lockspace, &runs);
                scope.spawn(move || {
                    let (lock, ended) = start(lockspace, resource, runs);
                    assert!(ended.recv().unwrap().is_granted());
                    let (sender, ended) = channel();
                    lock.unlock().start(move |_| sender.send(()).unwrap()).unwrap();
                    ended.recv().unwrap();
                });
            }
        });
        assert_eq!(runs.count(), 2);
        assert!(
            runs.threads().iter().all(|id| places.contains(id)),
            "a callback in a strange place"
        );
        dispatcher.stop().unwrap();
        delivery.stop(FOREVER).unwrap();
        stage.finish(&[&lockspace]);
    });
}

/// What a callback may panic with.
struct PanicsInDrop;

impl Drop for PanicsInDrop {
    fn drop(&mut self) {
        resume_unwind(Box::new(()));
    }
}

/// The callback that panics takes the thread out of its work, with another callback due or not.
#[test]
fn a_callback_that_panics_takes_no_other_with_it() {
    check(|| {
        let mut stage = Stage::new();
        stage.panics = 2;
        let lockspace = stage.open();
        let delivery = lockspace.start_delivery().unwrap();
        let started = ["a", "b"].map(|resource| {
            let (sender, ended) = channel();
            let told = move |_| {
                sender.send(()).unwrap();
                // Past the hook, which takes a panic for a failure of the scenario.
                resume_unwind(if resource == "a" { Box::new(()) } else { Box::new(PanicsInDrop) });
            };
            (lockspace.lock(resource, Mode::Ex).start(told).unwrap(), ended)
        });
        thread::scope(|scope| {
            scope.spawn(|| lockspace.lock("c", Mode::Ex).wait().unwrap().unlock().wait().unwrap());
            scope.spawn(|| {
                for (_, ended) in &started {
                    ended.recv().unwrap();
                }
            });
        });
        delivery.stop(FOREVER).unwrap();
        drop(started);
        stage.finish(&[&lockspace]);
    });
}
