//! Hazards for kernels and programs, tried through the safe interface: each hazard is
//! refused with an error that says so, or does no harm.
//!
//! The hazards are those of the page `hazards` in the manual of dlm-runtime. Those of lockspaces
//! are tried in `isolated::hazards_lockspace`.
//!
//! That the kernel has nothing to complain about is checked after each program of tests.

use std::sync::Arc;
use std::sync::mpsc::channel;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use dlm_proto::{Cookies, NameError, Request, UnlockRequest};
use dlm_runtime::future::LockFuture;
use dlm_runtime::{Error, ErrorKind, Lock, LockFlags, LockStatus, Lockspace, Mode};
use dlm_tests::{PATIENCE, Place, encode, eventually, within};

dlm_tests::everywhere! {
    what_waits_is_never_persistent_and_a_purge_finds_nothing_dangerous,
    force_on_a_request_is_refused_and_a_close_releases_everything,
    one_operation_is_cancelled_once_whoever_tries,
    quecvt_goes_only_where_the_kernel_takes_it,
    a_cancelled_request_is_dropped_without_touching_who_has_its_id_now,
    a_handle_whose_request_failed_can_do_nothing_to_who_has_its_id_now,
    a_lock_that_a_foreign_program_has_unlocked_is_unlocked_once,
    a_holder_that_never_reads_still_hears_of_its_own_operations,
    resource_names_are_taken_whole_or_not_at_all,
    a_future_ends_at_its_deadline_while_its_write_is_held_up,
    cancels_that_meet_the_beginning_or_the_end_of_a_conversion_are_not_lost,
}

fn is_illegal<T>(answer: Result<T, Error>) -> bool {
    matches!(answer.map(|_| ()), Err(Error { kind: ErrorKind::Illegal(_), .. }))
}

/// Whether this resource is free for EX.
fn is_free(ls: &Lockspace, resource: &str) -> bool {
    match ls.lock(resource, Mode::Ex).no_queue().wait() {
        Ok(lock) => lock.unlock().wait().is_ok(),
        Err(error) => {
            assert!(error.would_block(), "{error}");
            false
        }
    }
}

/// Starts a request that nobody waits for.
fn pending(ls: &Lockspace, resource: &str, mode: Mode) -> Lock {
    ls.lock(resource, mode).start(|_| ()).unwrap()
}

/// Closes what the tests open, and checks that the lock manager has nothing left.
fn end(place: &Place, ls: Lockspace, other: &Lockspace) {
    other.close().unwrap();
    while ls.lock_count() > 0 {
        ls.dispatch().unwrap();
    }
    assert_eq!(place.locks_of(ls.name()), [""; 0]);
    assert_eq!(ls.dropped_results(), 0);
    ls.release().unwrap();
}

/// Guards against #waiting-persistent-orphan.
fn what_waits_is_never_persistent_and_a_purge_finds_nothing_dangerous(place: &Place) {
    let (ls, other) = place.open_twice("orphan");
    let held = ls.lock("r", Mode::Pr).wait().unwrap();
    for flags in [LockFlags::empty(), LockFlags::NOQUEUE] {
        let flags = flags | LockFlags::PERSISTENT;
        assert!(is_illegal(other.lock("r", Mode::Ex).flags(flags).wait()));
        assert!(is_illegal(other.lock("r", Mode::Ex).flags(flags).start(|_| ())));
    }
    let lock = other.lock("r", Mode::Pr).wait().unwrap();
    assert!(is_illegal(lock.convert(Mode::Ex).flags(LockFlags::PERSISTENT).wait()));
    // Persistent after its grant, it waits in a conversion when its owner goes.
    lock.persist().unwrap();
    lock.convert(Mode::Ex).start(|_| ()).unwrap();
    lock.leak();
    let request = other.lock("r", Mode::Ex).start(|_| ()).unwrap();
    let error = request.persist().unwrap_err();
    assert!(matches!(error.kind, ErrorKind::LockGone), "{error}");
    request.leak();
    other.close().unwrap();
    ls.purge(None, None).unwrap();
    // The orphan is gone, and the kernel well.
    held.unlock().wait().unwrap();
    assert!(is_free(&ls, "r"));
    end(place, ls, &other);
}

/// Guards against #force-on-a-request.
fn force_on_a_request_is_refused_and_a_close_releases_everything(place: &Place) {
    let (ls, other) = place.open_twice("force");
    let force = LockFlags::FORCEUNLOCK;
    assert!(is_illegal(other.lock("r", Mode::Ex).flags(force).wait()));
    assert!(is_illegal(other.lock("r", Mode::Ex).flags(force).no_queue().start(|_| ())));
    let lock = other.lock("r", Mode::Ex).wait().unwrap();
    assert!(is_illegal(lock.convert(Mode::Pr).flags(force).wait()));
    assert_eq!(lock.mode(), Some(Mode::Ex));
    assert!(!is_free(&ls, "r"));
    other.close().unwrap();
    assert!(is_free(&ls, "r"));
    drop(lock);
    end(place, ls, &other);
}

/// Guards against #refused-with-a-warning.
fn one_operation_is_cancelled_once_whoever_tries(place: &Place) {
    let (ls, other) = place.open_twice("twice-cancel");
    let held = ls.lock("r", Mode::Pr).wait().unwrap();
    let lock = other.lock("r", Mode::Pr).wait().unwrap();
    let nothing = |answer: Result<(), Error>| {
        matches!(answer, Err(Error { kind: ErrorKind::NothingToCancel, .. }))
    };
    assert!(nothing(lock.cancel()));
    assert!(nothing(lock.cancel_as_deadlock()));
    for _ in 0..20 {
        let (sender, ended) = channel();
        lock.convert(Mode::Ex).start(move |end| sender.send(end.status).unwrap()).unwrap();
        let cancelled = thread::scope(|scope| {
            let cancels: Vec<_> = (0..8).map(|_| scope.spawn(|| lock.cancel())).collect();
            cancels.into_iter().map(|cancel| cancel.join().unwrap()).filter(Result::is_ok).count()
        });
        assert_eq!(cancelled, 1);
        assert!(nothing(lock.cancel_as_deadlock()));
        other.dispatch().unwrap();
        assert_eq!(ended.try_recv(), Ok(LockStatus::Cancelled));
        assert!(nothing(lock.cancel()));
    }
    // A request that ends by itself is not cancelled at all.
    let request = other.lock("r", Mode::Ex).no_queue().start(|_| ()).unwrap();
    assert!(nothing(request.cancel()));
    drop(request);
    lock.unlock().wait().unwrap();
    held.unlock().wait().unwrap();
    end(place, ls, &other);
}

/// Guards against #refused-with-a-warning.
fn quecvt_goes_only_where_the_kernel_takes_it(place: &Place) {
    let (ls, other) = place.open_twice("twice-quecvt");
    for from in Mode::ALL {
        for to in Mode::ALL {
            let lock = ls.lock("r", from).wait().unwrap();
            let answer = lock.convert(to).flags(LockFlags::QUECVT).wait();
            if from.allows_quecvt(to) {
                assert_eq!(answer.unwrap().mode, Some(to));
            } else {
                assert!(is_illegal(answer), "{from} to {to}");
            }
            lock.unlock().wait().unwrap();
        }
    }
    // After this one the mode is PR or NL, and from PR to PR it would be refused with a warning.
    let (lock, held) =
        (ls.lock("r", Mode::Pr).wait().unwrap(), other.lock("r", Mode::Cr).wait().unwrap());
    lock.convert(Mode::Ex).flags(LockFlags::CONVDEADLK).start(|_| ()).unwrap();
    lock.cancel().unwrap();
    ls.dispatch().unwrap();
    assert_eq!(lock.mode(), Some(Mode::Nl));
    assert!(is_illegal(lock.convert(Mode::Pr).flags(LockFlags::QUECVT).wait()));
    lock.convert(Mode::Pr).wait().unwrap();
    lock.convert(Mode::Cw).flags(LockFlags::QUECVT).wait().unwrap();
    lock.unlock().wait().unwrap();
    held.unlock().wait().unwrap();
    end(place, ls, &other);
}

/// Guards against #stale-id.
fn a_cancelled_request_is_dropped_without_touching_who_has_its_id_now(place: &Place) {
    let (ls, other) = place.open_twice("stale-cancelled");
    let held = ls.lock("r", Mode::Ex).wait().unwrap();
    let request = other.lock("r", Mode::Ex).start(|_| panic!("dropped, it is not run")).unwrap();
    request.cancel().unwrap();
    // The kernel (6.12) gives the id of the cancelled request to the next ones.
    let bystanders: Vec<_> =
        (0..4).map(|n| ls.lock(format!("s{n}"), Mode::Ex).wait().unwrap()).collect();
    drop(request);
    for n in 0..4 {
        assert!(!is_free(&other, &format!("s{n}")), "bystander {n} has lost its lock");
    }
    eventually("nothing of it is left", || {
        other.dispatch().unwrap();
        other.lock_count() == 0
    });
    bystanders.into_iter().for_each(|lock| lock.unlock().wait().unwrap());
    held.unlock().wait().unwrap();
    end(place, ls, &other);
}

/// Guards against #stale-id.
fn a_handle_whose_request_failed_can_do_nothing_to_who_has_its_id_now(place: &Place) {
    let (ls, other) = place.open_twice("stale-failed");
    let held = ls.lock("r", Mode::Ex).wait().unwrap();
    let failed = other.lock("r", Mode::Ex).no_queue().start(|_| ()).unwrap();
    other.dispatch().unwrap();
    assert_eq!(failed.mode(), None);
    let bystanders: Vec<_> =
        (0..4).map(|n| ls.lock(format!("s{n}"), Mode::Ex).wait().unwrap()).collect();
    let gone = |kind: &ErrorKind| matches!(kind, ErrorKind::LockGone);
    assert!(gone(&failed.cancel().unwrap_err().kind));
    assert!(gone(&failed.convert(Mode::Nl).wait().unwrap_err().kind));
    assert!(gone(&failed.persist().unwrap_err().kind));
    let error = failed.unlock().wait().unwrap_err();
    assert!(gone(&error.error.kind));
    drop(error);
    for n in 0..4 {
        assert!(!is_free(&other, &format!("s{n}")), "bystander {n} has lost its lock");
    }
    bystanders.into_iter().for_each(|lock| lock.unlock().wait().unwrap());
    held.unlock().wait().unwrap();
    end(place, ls, &other);
}

/// Guards against #stale-id.
fn a_lock_that_a_foreign_program_has_unlocked_is_unlocked_once(place: &Place) {
    let (ls, other) = place.open_twice("stale-foreign");
    let lock = ls.lock("r", Mode::Ex).wait().unwrap();
    let id = lock.id().unwrap();
    // No command of the kernel checks whose lock it is. The words are not those of this handle.
    let foreign = place.open_foreign(ls.name());
    let forged = Cookies { completion_param: 0xdead_beef, ..dlm_tests::cookies(1) };
    let request = Request::Unlock(UnlockRequest::new(id, forged));
    foreign.submit(request.command(), &encode(&request)).unwrap();
    drop(foreign);
    assert_eq!(ls.dispatch().unwrap(), 0);
    assert_eq!(ls.dropped_results(), 1, "the forged result is counted and dropped");
    let failed = lock.unlock().wait().unwrap_err();
    assert_eq!(failed.error.raw_os_error(), Some(libc::ENOENT), "{failed}");
    let bystanders: Vec<_> =
        (0..4).map(|n| other.lock(format!("s{n}"), Mode::Ex).wait().unwrap()).collect();
    assert!(bystanders.iter().any(|lock| lock.id() == Some(id)), "the id was used anew");
    // The handle must not try again.
    drop(failed);
    for n in 0..4 {
        assert!(!is_free(&ls, &format!("s{n}")), "bystander {n} has lost its lock");
    }
    assert_eq!(ls.lock_count(), 0);
    bystanders.into_iter().for_each(|lock| lock.unlock().wait().unwrap());
    other.close().unwrap();
    ls.release().unwrap();
}

/// Guards against #seventh-unread-result.
fn a_holder_that_never_reads_still_hears_of_its_own_operations(place: &Place) {
    let (ls, other) = place.open_twice("unread");
    // All the modes that can be waited for, weakest first, as each notice is sent once per grant.
    for from in [Mode::Ex, Mode::Pw, Mode::Pr, Mode::Cw, Mode::Cr] {
        let lock = ls.lock("r", from).on_blocking(|_| ()).wait().unwrap();
        let bystander = ls.lock("s", Mode::Ex).wait().unwrap();
        for round in 0..3 {
            for mode in Mode::ALL.into_iter().chain([Mode::Cw, Mode::Pr, Mode::Cw, Mode::Ex]) {
                if !mode.is_compatible_with(from) {
                    let waiter = pending(&other, "r", mode);
                    waiter.cancel().unwrap();
                    drop(waiter);
                }
                let flags = LockFlags::NOQUEUE | LockFlags::NOQUEUEBAST;
                drop(other.lock("r", mode).flags(flags).wait());
            }
            // A lost completion would be a wait without an end: six are kept on 6.1.
            let lock = &lock;
            thread::scope(|scope| {
                let done = scope.spawn(move || lock.convert(from).wait().map(|end| end.mode));
                eventually("the conversion ends", || done.is_finished());
                assert_eq!(done.join().unwrap().unwrap(), Some(from), "{from}, round {round}");
            });
        }
        other.dispatch().unwrap();
        within(move || lock.unlock().wait()).expect("the unlock ends").unwrap();
        bystander.unlock().wait().unwrap();
        while ls.dispatch().unwrap() > 0 {}
    }
    end(place, ls, &other);
}

/// Guards against #unchecked-lengths.
fn resource_names_are_taken_whole_or_not_at_all(place: &Place) {
    let (ls, other) = place.open_twice("names");
    let longest = [b'n'; 64];
    let mut sibling = longest;
    sibling[63] = b'm';
    let names: [&[u8]; 6] = [b"", b"a", b"a\0b", b"a\0c", &longest, &sibling];
    let locks: Vec<_> = names.map(|name| ls.lock(name, Mode::Ex).wait().unwrap()).into();
    for name in names {
        assert!(other.lock(name, Mode::Cr).no_queue().wait().unwrap_err().would_block());
    }
    for len in [65, 255, 256, 320] {
        let error = ls.lock(vec![b'n'; len], Mode::Ex).wait().unwrap_err();
        let ErrorKind::Name(why) = error.kind else { panic!("{error}") };
        assert_eq!(why, NameError::TooLong(len));
        let error = ls.adopt(vec![b'n'; len], Mode::Ex).take().unwrap_err();
        assert!(matches!(error.kind, ErrorKind::Name(_)), "{error}");
    }
    // Kernels since 6.10 compare names with NULs behind them.
    let answer = other.lock(b"a\0", Mode::Ex).no_queue().wait().map_err(|error| error.status());
    let wanted = place.pick(Ok(()), Err(Some(LockStatus::Again)));
    assert_eq!(answer.map(|lock| lock.unlock().wait().unwrap()), wanted);
    locks.into_iter().for_each(|lock| lock.unlock().wait().unwrap());
    end(place, ls, &other);
}

/// Guards against #completion-that-never-comes.
fn a_future_ends_at_its_deadline_while_its_write_is_held_up(place: &Place) {
    let ls = place.create("waits").unwrap();
    let other = place.options().background_writes().open("waits").unwrap();
    let delivery = other.start_delivery().unwrap();
    let held = ls.lock("r", Mode::Ex).wait().unwrap();
    let lock = other.lock("s", Mode::Pr).wait().unwrap();
    let stopped = place.stop(ls.name());
    let mut context = Context::from_waker(Waker::noop());
    let mut request = other.lock("r", Mode::Ex).timeout(Duration::from_millis(10)).into_future();
    let mut poll = |request: &mut LockFuture<'_>| {
        std::pin::Pin::<&mut LockFuture<'_>>::new(request).poll(&mut context)
    };
    assert!(poll(&mut request).is_pending());
    let mut answer = None;
    eventually("it ends", || {
        if let Poll::Ready(ready) = poll(&mut request) {
            answer = Some(ready);
        }
        answer.is_some()
    });
    let error = answer.unwrap().unwrap_err();
    assert!(matches!(error.kind, ErrorKind::TimedOut(_)), "{error}");
    drop(request);
    drop(stopped);
    // What was written late is taken back.
    eventually("the request is gone", || other.lock_count() == 1);
    // A future of an unlock that nobody polls again leaves nothing, either.
    let mut unlock = lock.unlock().into_future();
    let _ = std::pin::Pin::new(&mut unlock).poll(&mut Context::from_waker(Waker::noop()));
    drop(unlock);
    eventually("nothing is left", || {
        other.dispatch().unwrap();
        other.lock_count() == 0
    });
    held.unlock().wait().unwrap();
    delivery.stop(PATIENCE).unwrap();
    other.close().unwrap();
    ls.release().unwrap();
}

/// Guards against #completion-that-never-comes.
fn cancels_that_meet_the_beginning_or_the_end_of_a_conversion_are_not_lost(place: &Place) {
    let (ls, other) = place.open_twice("waits-race");
    let held = ls.lock("r", Mode::Pr).wait().unwrap();
    let lock = Arc::new(other.lock("r", Mode::Pr).wait().unwrap());
    let (mut cancelled, rounds) = (0, 300);
    for _ in 0..rounds {
        let theirs = Arc::clone(&lock);
        // Without a deadline: only the cancel ends it.
        let waiter = thread::spawn(move || theirs.convert(Mode::Ex).wait().map(|_| ()));
        let start = Instant::now();
        while lock.cancel().is_err() {
            assert!(start.elapsed() < PATIENCE, "no conversion comes");
            std::hint::spin_loop();
        }
        let answer = within(move || waiter.join().unwrap()).expect("the cancel was lost");
        assert_eq!(answer.unwrap_err().status(), Some(LockStatus::Cancelled));
        cancelled += 1;
    }
    assert_eq!(cancelled, rounds);
    Arc::into_inner(lock).unwrap().unlock().wait().unwrap();
    held.unlock().wait().unwrap();
    end(place, ls, &other);
}
