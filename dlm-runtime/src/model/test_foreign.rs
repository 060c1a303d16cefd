//! Foreign code that waits in a call itself, wherever it is run: whoever runs it keeps nobody waiting.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use shuttle::sync::mpsc::{Sender, channel};
use shuttle::thread;

use super::stage::{Dispatcher, Stage, check};
use crate::{Lockspace, Mode};

fn lock_and_unlock(lockspace: &Lockspace, resource: &str) {
    lockspace.lock(resource, Mode::Ex).wait().unwrap().unlock().wait().unwrap();
}

/// Waits for a lock when it is woken, called or dropped.
struct Waits {
    lockspace: Arc<Lockspace>,
    done: Sender<()>,
}

impl Waits {
    fn wait(&self) {
        lock_and_unlock(&self.lockspace, "d");
        // Nobody may listen any more.
        let _ = self.done.send(());
    }
}

impl Wake for Waits {
    fn wake(self: Arc<Self>) {
        self.wait();
    }
}

/// Threads that wait for locks, so that one of them leads at the device.
fn two_waiters(lockspace: &Lockspace) {
    thread::scope(|scope| {
        scope.spawn(|| lock_and_unlock(lockspace, "b"));
        scope.spawn(|| lock_and_unlock(lockspace, "c"));
    });
}

#[test]
fn a_waker_waits_while_others_lead() {
    check(|| {
        let stage = Stage::new();
        let (lockspace, other) = (stage.open(), stage.open());
        let held = ["a", "b"].map(|name| other.lock(name, Mode::Ex).wait().unwrap());
        let (done, woken) = channel();
        let waker = Waker::from(Arc::new(Waits { lockspace: Arc::clone(&lockspace), done }));
        let mut future = pin!(lockspace.lock("a", Mode::Ex).into_future());
        let mut cx = Context::from_waker(&waker);
        assert!(future.as_mut().poll(&mut cx).is_pending());
        // Those who wait leave it to who runs callbacks.
        let dispatcher = Dispatcher::start(&lockspace);
        thread::scope(|scope| {
            scope.spawn(|| two_waiters(&lockspace));
            scope.spawn(|| {
                let [a, b] = held;
                a.unlock().wait().unwrap();
                // Only after that the waiting threads may end.
                woken.recv().unwrap();
                b.unlock().wait().unwrap();
            });
        });
        let Poll::Ready(lock) = future.as_mut().poll(&mut cx) else { panic!("woken too early") };
        lock.unwrap().unlock().wait().unwrap();
        dispatcher.stop().unwrap();
        stage.finish(&[&lockspace, &other]);
    });
}

#[test]
fn a_callback_waits_while_others_lead() {
    check(|| {
        let stage = Stage::new();
        let lockspace = stage.open();
        let dispatcher = Dispatcher::start(&lockspace);
        let (done, called) = channel();
        let waits = Waits { lockspace: Arc::clone(&lockspace), done };
        let lock = lockspace.lock("a", Mode::Ex).start(move |_| waits.wait()).unwrap();
        thread::scope(|scope| {
            scope.spawn(|| two_waiters(&lockspace));
            scope.spawn(|| called.recv().unwrap());
        });
        drop(lock);
        dispatcher.stop().unwrap();
        stage.finish(&[&lockspace]);
    });
}

/// A value of a user's whose drop waits.
struct WaitsInDrop(Waits);

impl Drop for WaitsInDrop {
    fn drop(&mut self) {
        self.0.wait();
    }
}

#[test]
fn a_dropped_callback_waits_while_others_lead() {
    check(|| {
        let stage = Stage::new();
        let (lockspace, other) = (stage.open(), stage.open());
        let held = other.lock("b", Mode::Ex).wait().unwrap();
        let dispatcher = Dispatcher::start(&lockspace);
        let (done, dropped) = channel();
        let value = || WaitsInDrop(Waits { lockspace: Arc::clone(&lockspace), done: done.clone() });
        let (completion, blocking) = (value(), value());
        let request = lockspace.lock("a", Mode::Ex).on_blocking(move |_| _ = &blocking);
        let lock = request.start(move |_| _ = &completion).unwrap();
        thread::scope(|scope| {
            scope.spawn(|| two_waiters(&lockspace));
            scope.spawn(|| other.lock("a", Mode::Pr).wait().unwrap().unlock().wait().unwrap());
            scope.spawn(|| {
                drop(lock);
                for _ in 0..2 {
                    dropped.recv().unwrap();
                }
                held.unlock().wait().unwrap();
            });
        });
        dispatcher.stop().unwrap();
        stage.finish(&[&lockspace, &other]);
    });
}
