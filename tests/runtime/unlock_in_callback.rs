//! #ended-before-its-write-returned: an unlock that another thread writes before the `write` of its
//! lock's request has returned makes the kernel's list of locks hold freed memory. Each way in
//! which a program can be told of a grant that early, and unlock at once. It shows on a machine
//! with two processors.
//!
//! `DLM_OPERATIONS` says how many locks each test takes.

use std::future::IntoFuture as _;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use dlm_runtime::{Lock, Lockspace, Mode};
use dlm_tests::{PATIENCE, Place, block_on, eventually};

dlm_tests::everywhere! {
    a_blocking_callback_unlocks_what_was_just_granted,
    a_completion_callback_unlocks_what_was_just_granted,
    completion_callbacks_unlock_many_at_a_time,
    futures_unlock_many_at_a_time,
    a_future_unlocks_what_the_background_thread_is_still_writing,
    a_future_drops_what_the_background_thread_is_still_writing,
}

const THREADS: usize = 4;

/// How many locks a test takes.
fn operations(place: &Place) -> usize {
    let given = std::env::var("DLM_OPERATIONS").ok();
    let given = given.map(|number| number.parse().expect("DLM_OPERATIONS is a number"));
    given.unwrap_or(if place.is_kernel() { 5_000 } else { 2_000 })
}

/// Runs `work` in some threads until that many locks were taken, and checks that none is left.
fn contend(place: &Place, ls: Lockspace, work: impl Fn(&Lockspace) + Sync) {
    let (all, taken) = (operations(place), AtomicUsize::new(0));
    let start = Instant::now();
    let delivery = ls.start_delivery().unwrap();
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while taken.fetch_add(1, SeqCst) < all {
                    work(&ls);
                }
            });
        }
    });
    ls.flush_drops().wait(Some(PATIENCE)).unwrap();
    eventually("the last unlocks end", || ls.lock_count() == 0);
    eprintln!("{all} locks in {:?}", start.elapsed());
    assert_eq!(delivery.callback_panics(), 0);
    delivery.stop(PATIENCE).unwrap();
    assert_eq!(place.locks_of(ls.name()), [""; 0]);
    ls.release().unwrap();
}

/// Guards against #ended-before-its-write-returned.
fn a_blocking_callback_unlocks_what_was_just_granted(place: &Place) {
    let ls = place.create("early-blocking").unwrap();
    let given_way = AtomicUsize::new(0);
    contend(place, ls, |ls| {
        let (sender, unlocked) = channel();
        let give_way = move |lock: &dlm_runtime::BlockedLock| {
            // A late notice finds the lock gone.
            let _ = sender.send(lock.unlock_wait().is_ok());
        };
        let lock = ls.lock("r", Mode::Ex).on_blocking_with(give_way).start(|_| ()).unwrap();
        // The last holder is asked by nobody.
        if unlocked.recv_timeout(Duration::from_millis(50)).is_ok_and(|is_done| is_done) {
            given_way.fetch_add(1, SeqCst);
            assert_eq!(lock.mode(), None);
        }
    });
    assert!(given_way.into_inner() > operations(place) / 2, "most were unlocked by their callback");
}

/// Guards against #ended-before-its-write-returned.
fn a_completion_callback_unlocks_what_was_just_granted(place: &Place) {
    let ls = place.create("early-completion").unwrap();
    contend(place, ls, |ls| {
        let (sender, unlocked) = channel();
        let slot = Arc::new(Mutex::new((false, None::<Lock>)));
        let theirs = Arc::clone(&slot);
        let unlock = move |lock: Lock| {
            let sender = sender.clone();
            lock.unlock().start(move |end| _ = sender.send(end.mode)).unwrap();
        };
        let at_once = unlock.clone();
        let granted = move |_| {
            let lock = {
                let mut slot = theirs.lock().unwrap();
                slot.0 = true;
                slot.1.take()
            };
            lock.into_iter().for_each(&at_once);
        };
        let lock = ls.lock("r", Mode::Ex).start(granted).unwrap();
        let mine = {
            let mut slot = slot.lock().unwrap();
            if slot.0 {
                Some(lock)
            } else {
                slot.1 = Some(lock);
                None
            }
        };
        // The callback ran before the call returned.
        mine.into_iter().for_each(unlock);
        assert_eq!(unlocked.recv_timeout(PATIENCE), Ok(None));
    });
}

/// As fast as the machine can, with locks that nobody waits for: 512 in flight, on ten resources.
/// Guards against #ended-before-its-write-returned.
fn completion_callbacks_unlock_many_at_a_time(place: &Place) {
    let ls = place.create("early-many").unwrap();
    let (sender, unlocked) = channel();
    let unlocked = Mutex::new(unlocked);
    (0..512).for_each(|_| sender.send(None).unwrap());
    let number = AtomicUsize::new(0);
    contend(place, ls, |ls| {
        assert_eq!(unlocked.lock().unwrap().recv_timeout(PATIENCE), Ok(None));
        let sender = sender.clone();
        let slot = Arc::new(Mutex::new((false, None::<Lock>)));
        let theirs = Arc::clone(&slot);
        let unlock = move |lock: Lock| {
            let sender = sender.clone();
            lock.unlock().start(move |end| _ = sender.send(end.mode)).unwrap();
        };
        let at_once = unlock.clone();
        let granted = move |_| {
            let mut slot = theirs.lock().unwrap();
            slot.0 = true;
            let lock = slot.1.take();
            drop(slot);
            lock.into_iter().for_each(&at_once);
        };
        let name = format!("r{}", number.fetch_add(1, SeqCst) % 10);
        let lock = ls.lock(name, Mode::Cr).start(granted).unwrap();
        let mut slot = slot.lock().unwrap();
        if slot.0 {
            drop(slot);
            unlock(lock);
        } else {
            slot.1 = Some(lock);
        }
    });
}

/// The background thread is still in the `write` of the request when the task is woken.
/// Guards against #ended-before-its-write-returned.
fn futures_unlock_many_at_a_time(place: &Place) {
    let ls = place.options().background_writes().create("early-tasks").unwrap();
    let number = AtomicUsize::new(0);
    contend(place, ls, |ls| {
        let name = format!("r{}", number.fetch_add(1, SeqCst) % 10);
        let lock = block_on(ls.lock(name, Mode::Cr).into_future()).unwrap();
        block_on(lock.unlock().into_future()).unwrap();
    });
}

/// Guards against #ended-before-its-write-returned.
fn a_future_unlocks_what_the_background_thread_is_still_writing(place: &Place) {
    let ls = place.options().background_writes().create("early-unlock").unwrap();
    contend(place, ls, |ls| {
        let lock = block_on(ls.lock("r", Mode::Ex).into_future()).unwrap();
        lock.unlock().wait().unwrap();
    });
}

/// Guards against #ended-before-its-write-returned.
fn a_future_drops_what_the_background_thread_is_still_writing(place: &Place) {
    let ls = place.options().background_writes().create("early-drop").unwrap();
    contend(place, ls, |ls| {
        let lock = block_on(ls.lock("r", Mode::Ex).into_future()).unwrap();
        assert_eq!(lock.mode(), Some(Mode::Ex));
        drop(lock);
    });
}
