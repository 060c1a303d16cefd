//! Turns of requests for new locks: one at a time among threads and open devices.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use dlm_proto::{LockStatus, LockspaceName};
use shuttle::sync::mpsc::channel;
use shuttle::thread;

use super::clock::while_time_passes;
use super::stage::{Dispatcher, Stage, block_on, check, finish_writer, is_timeout, poll_once};
use crate::driver::device::{Device, LockspaceDevice};
use crate::driver::first::{FirstRequests, KeepApart};
use crate::threads::atomic::{AtomicBool, Ordering};
use crate::threads::now;
use crate::{ErrorKind, Lockspace, LockspaceOptions, Mode};

fn open(name: &LockspaceName) -> (Device, FirstRequests) {
    let device = LockspaceDevice::open_within(name, None, Duration::ZERO).unwrap();
    let device = Device::of_kernel(device);
    let first = FirstRequests::new(KeepApart::Always, &device);
    (device, first)
}

#[test]
fn one_request_at_a_time_has_its_turn_and_a_deadline_ends_the_wait() {
    check(|| {
        let stage = Stage::new();
        let name = LockspaceName::new(b"model").unwrap();
        let opens = [open(&name), open(&name)];
        let is_writing = Arc::new(AtomicBool::new(false));
        let write = |at: usize, deadline| {
            let (device, first) = &opens[at];
            let turn = first.enter(device, &name, deadline, || Ok(()))?;
            assert!(!is_writing.swap(true, Ordering::SeqCst), "two have their turn");
            thread::yield_now();
            is_writing.store(false, Ordering::SeqCst);
            drop(turn);
            Ok(())
        };
        thread::scope(|scope| {
            scope.spawn(|| write(0, None).unwrap());
            scope.spawn(|| write(1, None).unwrap());
            scope.spawn(|| match write(0, Some(now() + Duration::from_millis(1))) {
                Ok(()) | Err(ErrorKind::TimedOut(_)) => {}
                Err(kind) => panic!("{kind}"),
            });
        });
        // Whoever gave up has left nothing behind.
        (0..opens.len()).for_each(|at| write(at, Some(now())).unwrap());
        drop(opens);
        stage.finish(&[]);
    });
}

/// The monitor sees to it. A lock that is granted keeps its resource there, and needs no turns.
#[test]
fn first_requests_of_an_open_lockspace_are_kept_apart() {
    check(|| {
        let stage = Stage::new();
        stage.space.watch_first_requests();
        let options = LockspaceOptions::new().serialize_new_requests();
        let lockspace = Arc::new(options.background_writes().open("model").unwrap());
        let dispatcher = Dispatcher::start(&lockspace);
        let (sender, kept) = channel();
        thread::scope(|scope| {
            for mode in [Mode::Pr, Mode::Cr] {
                let (lockspace, sender) = (&lockspace, sender.clone());
                scope.spawn(move || {
                    let lock = lockspace.lock("a", mode).wait().unwrap();
                    lockspace.lock("a", Mode::Cr).wait().unwrap().unlock().wait().unwrap();
                    sender.send(lock).unwrap();
                });
            }
            let (lockspace, sender) = (&lockspace, sender.clone());
            scope.spawn(move || {
                sender.send(lockspace.lock("a", Mode::Pr).start(|_| {}).unwrap()).unwrap();
                let future = lockspace.lock("a", Mode::Pr).into_future();
                sender.send(block_on(future).unwrap()).unwrap();
            });
        });
        drop(sender);
        kept.iter().for_each(drop);
        finish_writer(&lockspace);
        dispatcher.stop().unwrap();
        stage.finish(&[&lockspace]);
    });
}

/// The deadline passes, and others tell of that, before the request had its turn.
#[test]
fn who_was_told_of_a_time_out_before_his_turn_is_told_once() {
    check(|| {
        let stage = Stage::new();
        let options = LockspaceOptions::new().serialize_new_requests();
        let lockspace = Arc::new(options.open("model").unwrap());
        let dispatcher = Dispatcher::start(&lockspace);
        // Another process has the turn.
        stage.space.node_is_locked.store(true, Ordering::SeqCst);
        let request = || lockspace.lock("a", Mode::Ex).no_queue().timeout(Duration::from_millis(1));
        while_time_passes(|| {
            thread::scope(|scope| {
                scope.spawn(|| assert!(is_timeout(&block_on(request().into_future()))));
                scope.spawn(|| {
                    let (sender, told) = channel();
                    let started = request().start(move |completion| {
                        sender.send(completion.status).unwrap();
                    });
                    match started {
                        Ok(lock) => {
                            assert_eq!(told.recv(), Ok(LockStatus::TimedOut));
                            drop(lock);
                        }
                        Err(error) => {
                            assert!(is_timeout(&Err(error)));
                            assert!(told.recv().is_err(), "told by an error, too");
                        }
                    }
                });
            });
        });
        stage.space.node_is_locked.store(false, Ordering::SeqCst);
        dispatcher.stop().unwrap();
        stage.finish(&[&lockspace]);
    });
}

/// Opens a lockspace whose first requests the monitor wants apart.
fn open_watched(stage: &Stage, options: LockspaceOptions) -> Arc<Lockspace> {
    stage.space.watch_first_requests();
    Arc::new(options.serialize_new_requests().open("model").unwrap())
}

/// The one that finds the lock of another, and writes its request without a turn, is overtaken by the
/// unlock of that and by the first request of a third.
#[test]
fn a_lock_on_which_a_request_relies_is_not_unlocked_before_that_is_written() {
    check(|| {
        let stage = Stage::new();
        let lockspace = open_watched(&stage, LockspaceOptions::new());
        thread::scope(|scope| {
            for mode in [Mode::Pr, Mode::Pr, Mode::Cr] {
                let lockspace = &lockspace;
                scope.spawn(move || {
                    lockspace.lock("a", mode).wait().unwrap().unlock().wait().unwrap();
                });
            }
        });
        stage.finish(&[&lockspace]);
    });
}

#[test]
fn nor_is_it_dropped_or_cancelled() {
    check(|| {
        let stage = Stage::new();
        let lockspace = open_watched(&stage, LockspaceOptions::new().background_writes());
        let dispatcher = Dispatcher::start(&lockspace);
        thread::scope(|scope| {
            scope.spawn(|| drop(lockspace.lock("a", Mode::Ex).wait().unwrap()));
            scope.spawn(|| {
                let lock = lockspace.lock("a", Mode::Ex).start(|_| {}).unwrap();
                let _ = lock.cancel();
            });
            scope.spawn(|| {
                let mut future = pin!(lockspace.lock("a", Mode::Pr).into_future());
                let _ = poll_once(future.as_mut());
            });
            scope.spawn(|| lockspace.lock("a", Mode::Nl).wait().unwrap().unlock().wait().unwrap());
        });
        finish_writer(&lockspace);
        dispatcher.stop().unwrap();
        stage.finish(&[&lockspace]);
    });
}
