//! Code of users that runs inside this library: callbacks, wakers and drops may wait for locks of
//! the same lockspace, may take their time, and may panic, at nobody else's cost.

use std::future::{Future as _, IntoFuture as _};
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;

use dlm_runtime::{Lock, LockInfo, Lockspace, Mode};
use dlm_tests::{PATIENCE, Place, eventually};

dlm_tests::everywhere! {
    a_waker_may_wait_for_a_lock_while_another_thread_waits,
    a_completion_callback_may_wait_for_a_lock_while_another_thread_waits,
    a_blocking_callback_may_wait_for_a_lock_while_another_thread_waits,
    a_dropped_value_may_wait_for_a_lock,
    a_lock_that_is_dropped_while_its_callback_unlocks_it_is_settled,
    a_slow_callback_delays_no_other_grant,
    a_slow_waker_delays_no_thread_that_waits,
    a_waker_that_panics_loses_nobody_elses_wake_up,
    a_waker_that_panics_at_the_close_loses_nobody_elses_wake_up,
    a_panic_whose_payload_panics_when_dropped_ends_no_thread,
}

/// A waker that calls a function.
struct Call<F>(F);

impl<F: Fn() + Send + Sync + 'static> Wake for Call<F> {
    fn wake(self: Arc<Self>) {
        (self.0)();
    }
}

fn waker(call: impl Fn() + Send + Sync + 'static) -> Waker {
    Waker::from(Arc::new(Call(call)))
}

pub(super) fn counting_waker() -> (Arc<AtomicUsize>, Waker) {
    let count = Arc::new(AtomicUsize::new(0));
    let theirs = Arc::clone(&count);
    (count, waker(move || _ = theirs.fetch_add(1, SeqCst)))
}

/// Three locks of another owner, and the lockspace that wants them.
struct Nest {
    ls: Arc<Lockspace>,
    other: Lockspace,
    held: [Lock; 3],
    /// Tells that the inner wait has begun.
    begun: (Sender<()>, Receiver<()>),
}

impl Nest {
    fn new(place: &Place, name: &str) -> Self {
        let (other, ls) = place.open_twice(name);
        let held = ["a", "b", "c"].map(|name| other.lock(name, Mode::Ex).wait().unwrap());
        Self { ls: Arc::new(ls), other, held, begun: channel() }
    }

    /// What runs inside: it waits for "c".
    fn inner(&self) -> impl Fn() + Clone + Send + 'static {
        let (ls, begun) = (Arc::clone(&self.ls), self.begun.0.clone());
        move || {
            begun.send(()).unwrap();
            ls.lock("c", Mode::Ex).timeout(PATIENCE).wait().unwrap().unlock().wait().unwrap();
        }
    }

    /// A thread waits for "a". "b" is given up, which runs the inner wait; then "c" must reach the
    /// inner wait, and "a" the thread.
    #[track_caller]
    fn run(self) {
        self.run_beside().release().unwrap();
    }

    /// The same where another open lockspace must be closed before the release.
    fn run_beside(self) -> Lockspace {
        let Self { ls, other, held: [a, b, c], begun: (_, begun) } = self;
        let before = ls.lock_count();
        let theirs = Arc::clone(&ls);
        let waiter = thread::spawn(move || {
            theirs
                .lock("a", Mode::Ex)
                .timeout(PATIENCE)
                .wait()
                .map(|lock| lock.unlock().wait().unwrap())
        });
        eventually("the thread waits", || ls.lock_count() > before);
        let delivery = ls.start_delivery().unwrap();
        b.unlock().wait().unwrap();
        begun.recv_timeout(PATIENCE).expect("the inner wait begins");
        eventually("the inner wait is there", || ls.locks().iter().any(|it| *it.resource == *b"c"));
        // The thread that waits may be the one that runs it; others are not held up.
        ls.lock("free", Mode::Ex).timeout(PATIENCE).wait().unwrap().unlock().wait().unwrap();
        c.unlock().wait().unwrap();
        eventually("the inner wait has ended", || {
            !ls.locks().iter().any(|it| *it.resource == *b"c")
        });
        assert!(!waiter.is_finished());
        a.unlock().wait().unwrap();
        eventually("the outer wait has ended", || waiter.is_finished());
        waiter.join().unwrap().unwrap();
        assert_eq!(delivery.callback_panics(), 0);
        delivery.stop(PATIENCE).unwrap();
        ls.close().unwrap();
        other
    }
}

fn a_waker_may_wait_for_a_lock_while_another_thread_waits(place: &Place) {
    let nest = Nest::new(place, "fc-waker");
    let ls = Arc::clone(&nest.ls);
    let waker = waker(nest.inner());
    let mut future = pin!(ls.lock("b", Mode::Ex).into_future());
    assert!(future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    nest.run();
}

fn a_completion_callback_may_wait_for_a_lock_while_another_thread_waits(place: &Place) {
    let nest = Nest::new(place, "fc-completion");
    let inner = nest.inner();
    let _lock = nest.ls.lock("b", Mode::Ex).start(move |_| inner()).unwrap();
    nest.run();
}

fn a_blocking_callback_may_wait_for_a_lock_while_another_thread_waits(place: &Place) {
    let mut nest = Nest::new(place, "fc-blocking");
    // "b" changes hands: its holder is asked for it when the other owner's request begins.
    let inner = nest.inner();
    let [a, b, c] = nest.held;
    b.unlock().wait().unwrap();
    let lock = nest.ls.lock("b", Mode::Ex).on_blocking(move |_| inner()).wait().unwrap();
    let unused = nest.other.lock("unused", Mode::Nl).wait().unwrap();
    nest.held = [a, unused, c];
    let third = place.open("fc-blocking").unwrap();
    let asking = third.lock("b", Mode::Ex).start(|_| ()).unwrap();
    let other = nest.run_beside();
    drop((lock, asking));
    third.close().unwrap();
    other.release().unwrap();
}

fn a_dropped_value_may_wait_for_a_lock(place: &Place) {
    struct Waits(Arc<Lockspace>, Sender<bool>);
    impl Drop for Waits {
        fn drop(&mut self) {
            let answer = self.0.lock("s", Mode::Ex).timeout(PATIENCE).wait();
            self.1.send(answer.is_ok_and(|lock| lock.unlock().wait().is_ok())).unwrap();
        }
    }
    let (other, ls) = place.open_twice("fc-drop");
    let ls = Arc::new(ls);
    let held = other.lock("r", Mode::Ex).wait().unwrap();
    let (sender, dropped) = channel();
    let value = Waits(Arc::clone(&ls), sender.clone());
    let pending = ls.lock("r", Mode::Ex).start(move |_| drop(value)).unwrap();
    // With its request.
    drop(pending);
    ls.flush_drops().wait(Some(PATIENCE)).unwrap();
    assert_eq!(dropped.recv_timeout(PATIENCE), Ok(true));
    // And with the blocking callback of a lock.
    let value = Waits(Arc::clone(&ls), sender);
    let lock = ls.lock("t", Mode::Ex).on_blocking(move |_| _ = &value).wait().unwrap();
    lock.unlock().wait().unwrap();
    assert_eq!(dropped.recv_timeout(PATIENCE), Ok(true));
    held.unlock().wait().unwrap();
    ls.close().unwrap();
    other.release().unwrap();
}

fn a_lock_that_is_dropped_while_its_callback_unlocks_it_is_settled(place: &Place) {
    let (other, ls) = place.open_twice("fc-used");
    let delivery = ls.start_delivery().unwrap();
    let (begins, begun) = channel();
    let (goes_on, may_go_on) = channel();
    let (ends, ended) = channel();
    let give_way = move |lock: &dlm_runtime::BlockedLock| {
        begins.send(()).unwrap();
        may_go_on.recv_timeout(PATIENCE).unwrap();
        ends.send(lock.unlock_wait().is_ok()).unwrap();
    };
    let lock = ls.lock("r", Mode::Ex).on_blocking_with(give_way).wait().unwrap();
    let wanted = other.lock("r", Mode::Ex).start(|_| ()).unwrap();
    begun.recv_timeout(PATIENCE).expect("the callback runs");
    drop(lock);
    goes_on.send(()).unwrap();
    assert_eq!(ended.recv_timeout(PATIENCE), Ok(true));
    ls.flush_drops().wait(Some(PATIENCE)).unwrap();
    assert_eq!(ls.lock_count(), 0);
    delivery.stop(PATIENCE).unwrap();
    drop(wanted);
    ls.close().unwrap();
    other.release().unwrap();
}

fn a_slow_callback_delays_no_other_grant(place: &Place) {
    let (other, ls) = place.open_twice("fc-slow");
    let held = other.lock("a", Mode::Ex).wait().unwrap();
    let (begins, begun) = channel();
    let (ends, end) = channel::<()>();
    let slow = move |_| {
        begins.send(()).unwrap();
        let _ = end.recv_timeout(PATIENCE);
    };
    let lock = ls.lock("b", Mode::Ex).start(slow).unwrap();
    thread::scope(|scope| {
        let dispatching = scope.spawn(|| ls.dispatch_until(None));
        begun.recv_timeout(PATIENCE).expect("the slow callback runs");
        let waiter = scope.spawn(|| ls.lock("a", Mode::Ex).timeout(PATIENCE).wait());
        eventually("it waits", || ls.lock_count() == 2);
        held.unlock().wait().unwrap();
        eventually("it is granted", || waiter.is_finished());
        assert!(!dispatching.is_finished());
        waiter.join().unwrap().unwrap().unlock().wait().unwrap();
        ends.send(()).unwrap();
        assert_eq!(dispatching.join().unwrap().unwrap(), 1);
    });
    lock.unlock().wait().unwrap();
    ls.close().unwrap();
    other.release().unwrap();
}

fn a_slow_waker_delays_no_thread_that_waits(place: &Place) {
    let (other, ls) = place.open_twice("fc-waker-slow");
    let [a, b] = ["a", "b"].map(|name| other.lock(name, Mode::Ex).wait().unwrap());
    let (begins, begun) = channel();
    let (ends, end) = channel::<()>();
    let end = Mutex::new(end);
    let slow = waker(move || {
        begins.send(()).unwrap();
        let _ = end.lock().unwrap().recv_timeout(PATIENCE);
    });
    // A program that dispatches wakes its tasks there, and has no thread started for them.
    assert_eq!(ls.dispatch().unwrap(), 0);
    let mut future = pin!(ls.lock("b", Mode::Ex).into_future());
    assert!(future.as_mut().poll(&mut Context::from_waker(&slow)).is_pending());
    thread::scope(|scope| {
        let waiter = scope.spawn(|| ls.lock("a", Mode::Ex).timeout(PATIENCE).wait());
        eventually("it waits", || ls.lock_count() == 2);
        b.unlock().wait().unwrap();
        // The thread that waits reads that.
        let is_granted = |it: &LockInfo| *it.resource == *b"b" && it.mode == Some(Mode::Ex);
        eventually("the task's lock is granted", || ls.locks().iter().any(is_granted));
        a.unlock().wait().unwrap();
        eventually("the thread's lock is granted", || waiter.is_finished());
        assert!(begun.try_recv().is_err(), "it has woken the task itself");
        waiter.join().unwrap().unwrap().unlock().wait().unwrap();
        let dispatching = scope.spawn(|| ls.dispatch());
        begun.recv_timeout(PATIENCE).expect("the task is woken");
        ends.send(()).unwrap();
        assert_eq!(dispatching.join().unwrap().unwrap(), 0, "it is no callback");
    });
    let polled = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    let Poll::Ready(Ok(lock)) = polled else { panic!("it is granted") };
    lock.unlock().wait().unwrap();
    ls.close().unwrap();
    other.release().unwrap();
}

/// A future of a lock that is waited for.
fn begin<'a>(
    ls: &'a Lockspace,
    mode: Mode,
    waker: &Waker,
) -> Pin<Box<dlm_runtime::future::LockFuture<'a>>> {
    let mut future = Box::pin(ls.lock("a", mode).into_future());
    assert!(future.as_mut().poll(&mut Context::from_waker(waker)).is_pending());
    future
}

fn a_waker_that_panics_loses_nobody_elses_wake_up(place: &Place) {
    let (other, ls) = place.open_twice("fc-panic");
    let held = other.lock("a", Mode::Ex).wait().unwrap();
    let bad = waker(|| panic!("a bad waker"));
    let (count, good) = counting_waker();
    let mut first = begin(&ls, Mode::Pr, &bad);
    let mut second = begin(&ls, Mode::Pr, &good);
    let delivery = ls.start_delivery().unwrap();
    held.unlock().wait().unwrap();
    eventually("the other is woken", || count.load(SeqCst) > 0);
    for future in [&mut first, &mut second] {
        let polled = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(polled, Poll::Ready(Ok(_))));
    }
    assert!(delivery.is_running());
    // Whoever read for the tasks before may be the one that has met it.
    eventually("the panic is counted", || delivery.callback_panics() == 1);
    delivery.stop(PATIENCE).unwrap();
    ls.close().unwrap();
    other.release().unwrap();
}

fn a_waker_that_panics_at_the_close_loses_nobody_elses_wake_up(place: &Place) {
    let (other, ls) = place.open_twice("fc-close");
    let held = other.lock("a", Mode::Ex).wait().unwrap();
    let bad = waker(|| panic!("a bad waker"));
    let (count, good) = counting_waker();
    let first = begin(&ls, Mode::Ex, &bad);
    let second = begin(&ls, Mode::Ex, &good);
    let third = begin(&ls, Mode::Ex, &bad);
    let closed = catch_unwind(AssertUnwindSafe(|| ls.close()));
    closed.expect("it does not reach who closes").unwrap();
    assert_eq!(count.load(SeqCst), 1);
    drop((first, second, third));
    held.unlock().wait().unwrap();
    other.release().unwrap();
}

fn a_panic_whose_payload_panics_when_dropped_ends_no_thread(place: &Place) {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("the payload's drop");
        }
    }
    let ls = place.create("fc-payload").unwrap();
    let delivery = ls.start_delivery().unwrap();
    let first = ls.lock("a", Mode::Ex).start(|_| panic_any(Bomb)).unwrap();
    eventually("it has panicked", || delivery.callback_panics() == 1);
    let (sender, ended) = channel();
    let second = ls.lock("b", Mode::Ex).start(move |end| sender.send(end.mode).unwrap()).unwrap();
    assert_eq!(ended.recv_timeout(PATIENCE), Ok(Some(Mode::Ex)));
    assert!(delivery.is_running());
    delivery.stop(PATIENCE).unwrap();
    // Nothing is left marked as running.
    ls.start_delivery().unwrap().stop(PATIENCE).unwrap();
    first.unlock().wait().unwrap();
    second.unlock().wait().unwrap();
    ls.release().unwrap();
}
