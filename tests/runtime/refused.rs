//! Cancels and unlocks that the lock manager refuses, results that are lost, and reads that fail for
//! a moment: told to who asked, and tried again where nobody did.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use dlm_runtime::backend::{
    Backend, Command, Errno, Faulty, Plan, RequestFault, ResultFault, on_requests, on_results,
};
use dlm_runtime::{ErrorKind, Lock, LockStatus, Lockspace, Mode};
use dlm_tests::{PATIENCE, PROMPT, Place, eventually};

dlm_tests::everywhere! {
    a_refused_cancel_is_told_and_can_be_asked_for_again,
    a_cancel_that_the_kernel_has_noted_is_not_written_twice,
    the_cancel_of_a_deadline_that_is_refused_is_written_again,
    the_cancel_of_a_dropped_request_that_is_refused_is_written_again,
    the_unlock_of_a_dropped_lock_that_is_refused_is_written_again,
    an_unlock_whose_result_is_lost_ends_at_its_time,
    an_unlock_whose_result_is_lost_ends_without_a_time,
    a_delivery_thread_survives_a_want_of_memory,
}

const SHORT: Duration = Duration::from_millis(50);

/// How many calls of a kind are to fail from now on.
#[derive(Clone, Default)]
struct Left(Arc<AtomicUsize>);

impl Left {
    fn set(&self, count: usize) {
        self.0.store(count, SeqCst);
    }

    fn take(&self) -> bool {
        self.0.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok()
    }

    fn is_used_up(&self) -> bool {
        self.0.load(SeqCst) == 0
    }
}

/// A plan that refuses unlocks and cancels, which are one command.
fn refuse_unlocks(errno: Errno) -> (Left, impl Plan + 'static) {
    let left = Left::default();
    let theirs = left.clone();
    let plan = on_requests(move |command, _| {
        (command == Command::Unlock && theirs.take()).then_some(RequestFault::Fail(errno))
    });
    (left, plan)
}

/// A plan by which results end so.
fn spoil_results(fault: ResultFault) -> (Left, impl Plan + 'static) {
    let left = Left::default();
    let theirs = left.clone();
    (left, on_results(move |_| theirs.take().then_some(fault)))
}

/// A lockspace behind a plan, and the same without.
fn open(place: &Place, name: &str, plan: impl Plan + 'static) -> (Lockspace, Lockspace) {
    let faulty: Faulty<Arc<dyn Backend>> = Faulty::new(place.backend(), plan);
    (Lockspace::create_on(faulty, name).unwrap(), place.open(name).unwrap())
}

/// Checks that nothing is left, and releases the lockspace.
fn end(place: &Place, ls: Lockspace, other: &Lockspace) {
    ls.flush_drops().wait(Some(PATIENCE)).unwrap();
    assert_eq!((ls.lock_count(), other.lock_count()), (0, 0));
    assert_eq!(place.locks_of(ls.name()), [""; 0]);
    other.close().unwrap();
    ls.release().unwrap();
}

/// A request that waits for "r", and how it ends.
fn waiting(ls: &Lockspace) -> (Lock, Receiver<LockStatus>) {
    let (sender, ended) = channel();
    let lock = ls.lock("r", Mode::Ex).start(move |end| sender.send(end.status).unwrap()).unwrap();
    (lock, ended)
}

fn a_refused_cancel_is_told_and_can_be_asked_for_again(place: &Place) {
    let (refusals, plan) = refuse_unlocks(Errno::ENOMEM);
    let (ls, other) = open(place, "rf-cancel", plan);
    let held = other.lock("r", Mode::Ex).wait().unwrap();
    let (lock, ended) = waiting(&ls);
    refusals.set(2);
    for _ in 0..2 {
        let error = lock.cancel().unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENOMEM), "{error}");
    }
    lock.cancel().unwrap();
    eventually("it is cancelled", || {
        ls.dispatch().unwrap();
        ended.try_recv() == Ok(LockStatus::Cancelled)
    });
    drop(lock);
    held.unlock().wait().unwrap();
    end(place, ls, &other);
}

fn a_cancel_that_the_kernel_has_noted_is_not_written_twice(place: &Place) {
    let (refusals, plan) = refuse_unlocks(Errno::ENOBUFS);
    let (ls, other) = open(place, "rf-noted", plan);
    let held = other.lock("r", Mode::Ex).wait().unwrap();
    let (lock, ended) = waiting(&ls);
    refusals.set(1);
    assert_eq!(lock.cancel().unwrap_err().raw_os_error(), Some(libc::ENOBUFS));
    // The kernel would answer a second one with a warning.
    assert!(matches!(lock.cancel().unwrap_err().kind, ErrorKind::NothingToCancel));
    held.unlock().wait().unwrap();
    eventually("it is granted", || {
        ls.dispatch().unwrap();
        ended.try_recv() == Ok(LockStatus::Granted)
    });
    lock.unlock().wait().unwrap();
    end(place, ls, &other);
}

fn the_cancel_of_a_deadline_that_is_refused_is_written_again(place: &Place) {
    for has_thread in [false, true] {
        let (refusals, plan) = refuse_unlocks(Errno::ENOMEM);
        let (ls, other) = open(place, "rf-deadline", plan);
        let held = other.lock("r", Mode::Ex).wait().unwrap();
        let delivery = has_thread.then(|| ls.start_delivery().unwrap());
        refusals.set(2);
        let start = Instant::now();
        let error = ls.lock("r", Mode::Ex).timeout(SHORT).wait().unwrap_err();
        assert!(error.is_timed_out(), "{error}");
        assert!(start.elapsed() < PROMPT, "{:?}", start.elapsed());
        ls.flush_drops().wait(Some(PATIENCE)).unwrap();
        eventually("the request is gone", || place.locks_of(ls.name()).len() == 1);
        assert!(refusals.is_used_up());
        drop(delivery);
        held.unlock().wait().unwrap();
        end(place, ls, &other);
    }
}

fn the_cancel_of_a_dropped_request_that_is_refused_is_written_again(place: &Place) {
    let (refusals, plan) = refuse_unlocks(Errno::ENOMEM);
    let (ls, other) = open(place, "rf-request", plan);
    let held = other.lock("r", Mode::Ex).wait().unwrap();
    // With a value block it is not unlocked by force.
    let plain = ls.lock("r", Mode::Ex).start(|_| panic!("it was dropped")).unwrap();
    let valued = ls.lock("r", Mode::Ex).with_lvb().start(|_| panic!("it was dropped")).unwrap();
    refusals.set(4);
    drop((plain, valued));
    eventually("both requests are gone", || place.locks_of(ls.name()).len() == 1);
    assert!(refusals.is_used_up());
    held.unlock().wait().unwrap();
    end(place, ls, &other);
}

fn the_unlock_of_a_dropped_lock_that_is_refused_is_written_again(place: &Place) {
    for errno in [Errno::ENOBUFS, Errno::ENOMEM] {
        let (refusals, plan) = refuse_unlocks(errno);
        let (ls, other) = open(place, "rf-unlock", plan);
        let lock = ls.lock("r", Mode::Ex).wait().unwrap();
        refusals.set(3);
        drop(lock);
        // Nobody calls anything on the lockspace that it was dropped in.
        let lock = other.lock("r", Mode::Ex).timeout(PATIENCE).wait().unwrap();
        lock.unlock().wait().unwrap();
        assert!(refusals.is_used_up());
        end(place, ls, &other);
    }
}

fn an_unlock_whose_result_is_lost_ends_at_its_time(place: &Place) {
    let (losses, plan) = spoil_results(ResultFault::Drop);
    let (ls, other) = open(place, "rf-lost", plan);
    let lock = ls.lock("r", Mode::Ex).wait().unwrap();
    losses.set(1);
    let start = Instant::now();
    let failed = lock.unlock().timeout(SHORT).wait().unwrap_err();
    let time = start.elapsed();
    assert!(failed.error.is_timed_out(), "{failed}");
    assert!(time >= SHORT && time < PROMPT, "{time:?}");
    assert!(losses.is_used_up());
    // The kernel has unlocked it.
    other.lock("r", Mode::Ex).no_queue().wait().unwrap().unlock().wait().unwrap();
    drop(failed.lock);
    other.close().unwrap();
    ls.release().unwrap();
}

fn an_unlock_whose_result_is_lost_ends_without_a_time(place: &Place) {
    let (losses, plan) = spoil_results(ResultFault::Drop);
    let (ls, other) = open(place, "rf-endless", plan);
    let lock = ls.lock("r", Mode::Ex).wait().unwrap();
    losses.set(1);
    let failed = lock.unlock().wait().unwrap_err();
    assert!(failed.error.is_timed_out(), "{failed}");
    drop(failed.lock);
    other.close().unwrap();
    ls.release().unwrap();
}

fn a_delivery_thread_survives_a_want_of_memory(place: &Place) {
    let (failures, plan) = spoil_results(ResultFault::Fail(Errno::ENOMEM));
    let (ls, other) = open(place, "rf-memory", plan);
    let held = other.lock("r", Mode::Ex).wait().unwrap();
    let delivery = ls.start_delivery().unwrap();
    let (sender, ended) = channel();
    let request = ls.lock("r", Mode::Ex);
    let lock = request.start(move |end| sender.send(end.status).unwrap()).unwrap();
    failures.set(1);
    held.unlock().wait().unwrap();
    assert_eq!(ended.recv_timeout(PATIENCE), Ok(LockStatus::Granted));
    assert!(failures.is_used_up());
    assert!(delivery.is_running() && ls.is_open());
    // A thread that waits in a call does, too.
    failures.set(1);
    let second = ls.lock("s", Mode::Ex).wait().unwrap();
    second.unlock().wait().unwrap();
    assert!(failures.is_used_up());
    delivery.stop(PATIENCE).unwrap();
    failures.set(1);
    ls.lock("s", Mode::Ex).wait().unwrap().unlock().wait().unwrap();
    lock.unlock().wait().unwrap();
    end(place, ls, &other);
}
