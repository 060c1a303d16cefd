//! Callbacks of dlm-runtime: by dispatch and by the delivery thread.

use std::os::fd::AsFd;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use dlm_runtime::{Blocking, Completion, ErrorKind, LockStatus, Lockspace, Mode};
use dlm_tests::{PATIENCE, Place, eventually, within};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

dlm_tests::everywhere! {
    the_descriptor_is_readable_while_a_callback_is_due_and_dispatch_runs_it_here,
    a_blocking_callback_is_told_the_mode_and_may_give_way_itself,
    a_blocked_thread_leaves_callbacks_to_those_who_may_run_them,
    several_threads_dispatch_and_every_callback_runs_once,
    the_delivery_thread_runs_callbacks_that_may_block_and_lock,
    a_panicking_callback_ends_neither_the_thread_nor_the_lock,
    stopping_waits_for_the_callback_that_runs_but_not_for_ever,
    the_thread_may_be_stopped_from_inside_a_callback,
}

fn is_readable(ls: &Lockspace) -> bool {
    let mut fds = [PollFd::new(ls.as_fd(), PollFlags::POLLIN)];
    poll(&mut fds, PollTimeout::ZERO).unwrap() == 1
}

/// Polls and dispatches in this thread until something was sent.
fn dispatch_until<T>(ls: &Lockspace, receiver: &Receiver<T>) -> T {
    loop {
        if let Ok(value) = receiver.try_recv() {
            return value;
        }
        let timeout = PollTimeout::try_from(PATIENCE).unwrap();
        let mut fds = [PollFd::new(ls.as_fd(), PollFlags::POLLIN)];
        assert_eq!(poll(&mut fds, timeout).unwrap(), 1, "nothing became readable");
        ls.dispatch().unwrap();
    }
}

fn the_descriptor_is_readable_while_a_callback_is_due_and_dispatch_runs_it_here(place: &Place) {
    let ls = place.create("dl-dispatch").unwrap();
    // The coming and going of other lockspaces makes it readable, too, until the next look.
    let is_quiet = || ls.dispatch().unwrap() == 0 && !is_readable(&ls);
    eventually("there is nothing to do", is_quiet);
    let (sender, done) = channel();
    let lock = ls
        .lock("r", Mode::Pw)
        .start(move |completion| sender.send((completion, thread::current().id())).unwrap())
        .unwrap();
    assert!(is_readable(&ls));
    assert_eq!(lock.mode(), None);
    assert_eq!(ls.dispatch().unwrap(), 1);
    let (completion, id) = done.try_recv().unwrap();
    assert_eq!((completion.status, completion.mode), (LockStatus::Granted, Some(Mode::Pw)));
    assert_eq!(id, thread::current().id());
    eventually("there is nothing to do", is_quiet);
    let (sender, done) = channel();
    lock.unlock().start(move |completion| sender.send(completion).unwrap()).unwrap();
    assert_eq!(dispatch_until(&ls, &done).status, LockStatus::Unlocked);
    assert_eq!(ls.lock_count(), 0);
    ls.release().unwrap();
}

fn a_blocking_callback_is_told_the_mode_and_may_give_way_itself(place: &Place) {
    let (ls, other) = place.open_twice("dl-blocking");
    let (sender, modes) = channel();
    let held = Arc::new(Mutex::new(None));
    let mine = Arc::clone(&held);
    let lock = ls
        .lock("r", Mode::Ex)
        .on_blocking(move |Blocking { mode, .. }| {
            sender.send(mode).unwrap();
            if mode == Mode::Ex {
                drop(mine.lock().unwrap().take());
            }
        })
        .wait()
        .unwrap();
    *held.lock().unwrap() = Some(lock);
    let pr = other.lock("r", Mode::Pr).start(|_| ()).unwrap();
    assert_eq!(dispatch_until(&ls, &modes), Mode::Pr);
    drop(pr);
    let (sender, granted) = channel();
    let ex = other.lock("r", Mode::Ex).start(move |done| sender.send(done).unwrap()).unwrap();
    assert_eq!(dispatch_until(&ls, &modes), Mode::Ex);
    assert!(dispatch_until(&other, &granted).is_granted());
    ex.unlock().wait().unwrap();
    other.close().unwrap();
    ls.release().unwrap();
}

fn a_blocked_thread_leaves_callbacks_to_those_who_may_run_them(place: &Place) {
    let (ls, other) = place.open_twice("dl-foreign");
    let ls = Arc::new(ls);
    let held = other.lock("b", Mode::Ex).wait().unwrap();
    let busy = other.lock("a", Mode::Ex).note_blocking().wait().unwrap();
    let (sender, done) = channel();
    let a = ls
        .lock("a", Mode::Ex)
        .start(move |completion: Completion| {
            sender.send((completion.is_granted(), thread::current().id())).unwrap();
        })
        .unwrap();
    let theirs = Arc::clone(&ls);
    let waiter =
        thread::spawn(move || theirs.lock("b", Mode::Ex).wait().unwrap().unlock().wait().unwrap());
    eventually("the waiter waits", || ls.lock_count() == 2);
    // Its completion may be read by the thread that waits, but must be run by us.
    busy.unlock().wait().unwrap();
    assert_eq!(dispatch_until(&ls, &done), (true, thread::current().id()));
    held.unlock().wait().unwrap();
    within(|| waiter.join().unwrap()).expect("the waiter is granted");
    a.unlock().wait().unwrap();
    other.close().unwrap();
    Arc::into_inner(ls).unwrap().release().unwrap();
}

fn several_threads_dispatch_and_every_callback_runs_once(place: &Place) {
    let ls = Arc::new(place.create("dl-many").unwrap());
    let (sender, done) = channel();
    let locks: Vec<_> = (0..200)
        .map(|n: u32| {
            let sender = sender.clone();
            ls.lock(n.to_ne_bytes(), Mode::Ex).start(move |_| sender.send(n).unwrap()).unwrap()
        })
        .collect();
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let ls = Arc::clone(&ls);
            thread::spawn(move || while ls.dispatch().unwrap() > 0 {})
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    let mut ran: Vec<_> = done.try_iter().collect();
    ran.sort_unstable();
    assert_eq!(ran, (0..200).collect::<Vec<_>>());
    drop(locks);
    while ls.lock_count() > 0 {
        ls.dispatch().unwrap();
    }
    Arc::into_inner(ls).unwrap().release().unwrap();
}

fn the_delivery_thread_runs_callbacks_that_may_block_and_lock(place: &Place) {
    let ls = Arc::new(place.create("dl-thread").unwrap());
    let delivery = ls.start_delivery().unwrap();
    assert!(matches!(ls.start_delivery().unwrap_err().kind, ErrorKind::HasThread));
    let (sender, done) = channel();
    let inner = Arc::clone(&ls);
    let lock = ls
        .lock("r", Mode::Ex)
        .start(move |_| {
            // A blocking call inside a callback, in the thread that would deliver it.
            let other = inner.lock("s", Mode::Ex).wait().unwrap();
            let mode = other.mode();
            other.unlock().wait().unwrap();
            let name = thread::current().name().map(str::to_owned);
            sender.send((mode, name)).unwrap();
        })
        .unwrap();
    let (mode, name) = done.recv_timeout(PATIENCE).unwrap();
    assert_eq!((mode, name.as_deref()), (Some(Mode::Ex), Some("dlm-delivery")));
    // And blocking calls beside it.
    lock.convert(Mode::Nl).wait().unwrap();
    lock.unlock().wait().unwrap();
    delivery.stop(PATIENCE).unwrap();
    // Stopped, it can be started again.
    ls.start_delivery().unwrap().stop(PATIENCE).unwrap();
    let ls = within(move || {
        let mut ls = ls;
        loop {
            // The callback's handle goes a moment after its message.
            match Arc::try_unwrap(ls) {
                Ok(ls) => return ls,
                Err(shared) => ls = shared,
            }
            thread::yield_now();
        }
    });
    ls.unwrap().release().unwrap();
}

fn a_panicking_callback_ends_neither_the_thread_nor_the_lock(place: &Place) {
    let (ls, other) = place.open_twice("dl-panic");
    let delivery = ls.start_delivery().unwrap();
    let (sender, modes) = channel();
    let lock = ls
        .lock("r", Mode::Ex)
        .on_blocking(move |blocking| {
            sender.send(blocking.mode).unwrap();
            assert_ne!(blocking.mode, Mode::Pr, "a callback that panics, as it should");
        })
        .wait()
        .unwrap();
    drop(other.lock("r", Mode::Pr).start(|_| ()).unwrap());
    assert_eq!(modes.recv_timeout(PATIENCE).unwrap(), Mode::Pr);
    // The callback is still there after its panic.
    let ex = other.lock("r", Mode::Ex).start(|_| ()).unwrap();
    assert_eq!(modes.recv_timeout(PATIENCE).unwrap(), Mode::Ex);
    eventually("the panic is counted", || delivery.callback_panics() == 1);
    assert!(delivery.is_running());
    assert_eq!(lock.mode(), Some(Mode::Ex));
    drop(ex);
    lock.unlock().wait().unwrap();
    delivery.stop(PATIENCE).unwrap();
    other.close().unwrap();
    ls.release().unwrap();
}

fn stopping_waits_for_the_callback_that_runs_but_not_for_ever(place: &Place) {
    let ls = place.create("dl-stop").unwrap();
    let delivery = ls.start_delivery().unwrap();
    let (entered, inside) = channel();
    let (go_on, wait) = channel::<()>();
    let (finished, end) = channel();
    let lock = ls
        .lock("r", Mode::Ex)
        .start(move |_| {
            entered.send(()).unwrap();
            wait.recv().unwrap();
            finished.send(()).unwrap();
        })
        .unwrap();
    inside.recv_timeout(PATIENCE).unwrap();
    let error = delivery.stop(Duration::from_millis(20)).unwrap_err();
    assert!(matches!(error.kind, ErrorKind::TimedOut(_)), "{error}");
    go_on.send(()).unwrap();
    // It was not interrupted.
    end.recv_timeout(PATIENCE).unwrap();
    lock.unlock().wait().unwrap();
    ls.release().unwrap();
}

fn the_thread_may_be_stopped_from_inside_a_callback(place: &Place) {
    let ls = place.create("dl-self").unwrap();
    let delivery = ls.start_delivery().unwrap();
    let (sender, done) = channel();
    let slot = Arc::new(Mutex::new(Some(delivery)));
    let lock = ls
        .lock("r", Mode::Ex)
        .start(move |_| {
            let delivery = slot.lock().unwrap().take().unwrap();
            sender.send(delivery.stop(PATIENCE).is_ok()).unwrap();
        })
        .unwrap();
    assert!(done.recv_timeout(PATIENCE).unwrap());
    lock.unlock().wait().unwrap();
    eventually("a new thread can be started", || match ls.start_delivery() {
        Ok(delivery) => delivery.stop(PATIENCE).is_ok(),
        Err(_) => false,
    });
    ls.release().unwrap();
}
