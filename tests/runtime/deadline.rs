//! Deadlines of dlm-runtime. Kernels since 6.2 have none.

use std::os::fd::AsFd;
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use dlm_runtime::{ErrorKind, LockStatus, Lockspace, Mode};
use dlm_tests::{PATIENCE, PROMPT, Place};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

dlm_tests::everywhere! {
    a_request_that_is_not_granted_in_time_leaves_nothing_behind,
    a_conversion_that_is_not_granted_in_time_keeps_its_mode,
    dispatch_keeps_the_deadline_of_what_was_started,
    the_delivery_thread_keeps_deadlines_in_their_order,
    a_grant_that_races_with_the_deadline_is_either_a_lock_or_an_error,
    threads_that_follow_keep_their_own_deadlines,
}

const SHORT: Duration = Duration::from_millis(30);
const MICROSECOND: Duration = Duration::from_micros(1);

fn is_late(error: &dlm_runtime::Error) -> bool {
    matches!(error.kind, ErrorKind::TimedOut(_))
}

fn a_request_that_is_not_granted_in_time_leaves_nothing_behind(place: &Place) {
    let (ls, other) = place.open_twice("to-request");
    let held = ls.lock("r", Mode::Ex).wait().unwrap();
    let start = Instant::now();
    let error = other.lock("r", Mode::Ex).timeout(SHORT).wait().unwrap_err();
    assert!(is_late(&error), "{error}");
    assert!(start.elapsed() >= SHORT);
    assert_eq!(other.lock_count(), 0);
    held.unlock().wait().unwrap();
    // Nobody stands in line.
    ls.lock("r", Mode::Ex).no_queue().wait().unwrap().unlock().wait().unwrap();
    // A deadline that has passed already is no reason to refuse what is free.
    let lock = other.lock("r", Mode::Ex).deadline(Instant::now()).wait().unwrap();
    lock.unlock().wait().unwrap();
    other.close().unwrap();
    ls.release().unwrap();
}

fn a_conversion_that_is_not_granted_in_time_keeps_its_mode(place: &Place) {
    let (ls, other) = place.open_twice("to-convert");
    let held = ls.lock("r", Mode::Pr).wait().unwrap();
    let lock = other.lock("r", Mode::Pr).wait().unwrap();
    for _ in 0..3 {
        let error = lock.convert(Mode::Ex).timeout(SHORT).wait().unwrap_err();
        assert!(is_late(&error), "{error}");
        assert_eq!(lock.mode(), Some(Mode::Pr));
    }
    held.unlock().wait().unwrap();
    assert_eq!(lock.convert(Mode::Ex).timeout(SHORT).wait().unwrap().mode, Some(Mode::Ex));
    lock.unlock().wait().unwrap();
    other.close().unwrap();
    ls.release().unwrap();
}

fn dispatch_keeps_the_deadline_of_what_was_started(place: &Place) {
    let (ls, other) = place.open_twice("to-dispatch");
    let held = ls.lock("r", Mode::Ex).wait().unwrap();
    let (sender, done) = channel();
    let lock = other
        .lock("r", Mode::Ex)
        .timeout(SHORT)
        .start(move |completion| sender.send(completion).unwrap())
        .unwrap();
    let completion = loop {
        if let Ok(completion) = done.try_recv() {
            break completion;
        }
        // The descriptor becomes readable when the time has come.
        let mut fds = [PollFd::new(other.as_fd(), PollFlags::POLLIN)];
        let patience = PollTimeout::try_from(PATIENCE).unwrap();
        assert_eq!(poll(&mut fds, patience).unwrap(), 1, "nothing became readable");
        other.dispatch().unwrap();
    };
    assert_eq!((completion.status, completion.mode), (LockStatus::TimedOut, None));
    assert_eq!((lock.mode(), other.lock_count()), (None, 0));
    let mut fds = [PollFd::new(other.as_fd(), PollFlags::POLLIN)];
    assert_eq!(poll(&mut fds, PollTimeout::ZERO).unwrap(), 0, "nothing is left to do");
    held.unlock().wait().unwrap();
    other.close().unwrap();
    ls.release().unwrap();
}

fn the_delivery_thread_keeps_deadlines_in_their_order(place: &Place) {
    let (ls, other) = place.open_twice("to-thread");
    let held = ls.lock("r", Mode::Ex).wait().unwrap();
    let delivery = other.start_delivery().unwrap();
    // Until all are under way before the first of them is due: the machine may be busy.
    let (locks, done) = loop {
        let (sender, done) = channel();
        let start = Instant::now() + 10 * SHORT;
        let locks: Vec<_> = [3, 1, 2]
            .into_iter()
            .map(|n: u32| {
                let sender = sender.clone();
                let request = other.lock("r", Mode::Ex).deadline(start + SHORT * n);
                // Nobody listens to those of another round.
                request.start(move |done| _ = sender.send((n, done.status))).unwrap()
            })
            .collect();
        if Instant::now() < start {
            break (locks, done);
        }
    };
    for n in 1..=3 {
        assert_eq!(done.recv_timeout(PATIENCE).unwrap(), (n, LockStatus::TimedOut));
    }
    // One that ends in time is not touched.
    let free = other.lock("s", Mode::Ex).timeout(SHORT).start(|_| ()).unwrap();
    thread::sleep(2 * SHORT);
    assert_eq!(free.mode(), Some(Mode::Ex));
    drop((locks, free));
    delivery.stop(PATIENCE).unwrap();
    held.unlock().wait().unwrap();
    other.close().unwrap();
    ls.release().unwrap();
}

fn a_grant_that_races_with_the_deadline_is_either_a_lock_or_an_error(place: &Place) {
    let (ls, other) = place.open_twice("to-race");
    let (mut granted, mut late) = (0, 0);
    for n in 0..200_u32 {
        let held = ls.lock("r", Mode::Ex).wait().unwrap();
        // Around the two milliseconds after which it is free, and enough for a busy machine.
        let time = if n < 190 { 20 * MICROSECOND * n } else { PROMPT };
        let answer = thread::scope(|scope| {
            let waiter = scope.spawn(|| other.lock("r", Mode::Ex).timeout(time).wait());
            let start = Instant::now();
            while start.elapsed() < Duration::from_millis(2) && !waiter.is_finished() {
                // The waiter may need this processor.
                thread::yield_now();
            }
            held.unlock().wait().unwrap();
            waiter.join().unwrap()
        });
        match answer {
            Ok(lock) => {
                granted += 1;
                assert_eq!(lock.mode(), Some(Mode::Ex));
                let refused = ls.lock("r", Mode::Nl).no_queue().wait();
                refused.unwrap().unlock().wait().unwrap();
                lock.unlock().wait().unwrap();
            }
            Err(error) => {
                late += 1;
                assert!(is_late(&error), "{error}");
            }
        }
        assert_eq!(other.lock_count(), 0);
    }
    assert!(granted > 0 && late > 0, "{granted} granted, {late} late: no race was tried");
    ls.lock("r", Mode::Ex).no_queue().wait().unwrap().unlock().wait().unwrap();
    assert_eq!(other.dropped_results(), 0);
    other.close().unwrap();
    ls.release().unwrap();
}

fn threads_that_follow_keep_their_own_deadlines(place: &Place) {
    let (ls, other) = place.open_twice("to-follow");
    let held = ls.lock("r", Mode::Ex).wait().unwrap();
    let wait = |other: &Lockspace, n: u32| {
        let start = Instant::now();
        let error = other.lock("r", Mode::Ex).timeout(SHORT * n).wait().unwrap_err();
        assert!(is_late(&error), "{error}");
        start.elapsed() >= SHORT * n
    };
    let all = thread::scope(|scope| {
        let waiters: Vec<_> = (1..=6)
            .rev()
            .map(|n| {
                scope.spawn({
                    let other = &other;
                    move || wait(other, n)
                })
            })
            .collect();
        waiters.into_iter().map(|waiter| waiter.join().unwrap()).collect::<Vec<_>>()
    });
    assert_eq!(all, [true; 6]);
    held.unlock().wait().unwrap();
    assert_eq!(other.lock_count(), 0);
    other.close().unwrap();
    ls.release().unwrap();
}
