//! Futures that are dropped before they are ready.

use std::future::{Future, IntoFuture};
use std::num::{NonZeroU16, NonZeroU64};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use dlm_runtime::sync::{Election, Mutex, RwLock, Semaphore, Sequence};
use dlm_tests::{Kept, PATIENCE, Place};

use super::Two;

dlm_tests::everywhere! {
    what_is_dropped_while_it_waits_is_in_nobodys_way,
}

/// It waits after the first poll, and is dropped.
fn give_up(request: impl IntoFuture) {
    let future = pin!(request.into_future());
    let polled = future.poll(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(polled, Poll::Pending));
}

fn what_is_dropped_while_it_waits_is_in_nobodys_way(place: &Place) {
    let spaces = Two::new(place, "sync-given-up");
    let (one, two) = (&spaces.one, &spaces.two);
    let mutexes = [one, two].map(|space| Mutex::new(space, "m", ()));
    let held = mutexes[0].lock().wait().unwrap();
    give_up(mutexes[1].lock());
    drop(held);
    drop(mutexes[0].lock().timeout(PATIENCE).wait().unwrap());

    let rwlocks = [one, two].map(|space| RwLock::new(space, "r", ()));
    let [first, second] = [0, 1].map(|index| rwlocks[index].read().wait().unwrap());
    give_up(second.upgrade());
    // The reader that it was went with it.
    drop(first.upgrade().timeout(PATIENCE).wait().unwrap());

    let permit = NonZeroU16::MIN;
    let semaphores = [one, two].map(|space| Semaphore::open(space, "s", permit).wait().unwrap());
    let held = semaphores[0].acquire().wait().unwrap();
    give_up(semaphores[1].acquire());
    drop(held);
    drop(semaphores[0].acquire().timeout(PATIENCE).wait().unwrap());

    let elections =
        [one, two].map(|space| Election::open(space, "e", Kept::default()).wait().unwrap());
    let leadership = elections[0].campaign().wait().unwrap();
    give_up(leadership.challenged());
    give_up(elections[1].campaign());
    drop(leadership);
    drop(elections[0].campaign().timeout(PATIENCE).wait().unwrap());

    let batch = NonZeroU64::MIN;
    let sequences =
        [one, two].map(|space| Sequence::open(space, "n", batch, Kept::default()).wait().unwrap());
    let held = one.lock("n", dlm_runtime::Mode::Ex).wait().unwrap();
    give_up(sequences[1].next());
    drop(held);
    assert_eq!(sequences[0].next().timeout(PATIENCE).wait().unwrap(), 1);
    drop((mutexes, rwlocks, semaphores, elections, sequences));
    spaces.end();
}
