//! Futures of dlm-runtime, with a waker and nothing else, with tokio, and with async-io.

use std::future::{Future, IntoFuture};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use dlm_runtime::{ErrorKind, LockStatus, Lvb, Mode, ValueBlock};
use dlm_tests::{PATIENCE, Place, block_on, eventually, within};

use super::foreign_code::counting_waker;
use super::{are_free, drop_locks};

dlm_tests::everywhere! {
    the_end_of_dropped_locks_is_awaited,
    what_completes_at_once_is_ready_at_the_first_poll,
    a_future_is_woken_by_the_delivery_thread_and_by_dispatch,
    a_dropped_future_leaves_nothing_held_and_nobody_in_line,
    futures_end_with_the_deadline_and_with_the_lockspace,
    blocking_notices_come_as_a_stream,
    in_the_background_neither_polls_nor_drops_block_while_the_lockspace_is_stopped,
    tokio_drives_many_tasks,
    async_io_drives_any_executor,
}

/// Polls once.
fn poll_once<F: Future>(future: F) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

fn the_end_of_dropped_locks_is_awaited(place: &Place) {
    let (ls, other) = place.open_twice("fu-settled");
    // It has no other reason to read.
    let delivery = ls.start_delivery().unwrap();
    for _ in 0..20 {
        drop_locks(&ls, 50);
        block_on(ls.flush_drops()).unwrap();
        assert_eq!(ls.lock_count(), 0);
        are_free(&other, 50);
    }
    delivery.stop(PATIENCE).unwrap();
    other.close().unwrap();
    ls.release().unwrap();
}

fn what_completes_at_once_is_ready_at_the_first_poll(place: &Place) {
    let ls = place.create("fu-once").unwrap();
    let Poll::Ready(lock) = poll_once(ls.lock("r", Mode::Ex).with_lvb().into_future()) else {
        panic!("pending");
    };
    let lock = lock.unwrap();
    let block = ValueBlock([7; 32]);
    let converted = poll_once(lock.convert(Mode::Pr).write_lvb(block).into_future());
    let Poll::Ready(Ok(done)) = converted else { panic!("{converted:?}") };
    assert_eq!((done.mode, done.lvb), (Some(Mode::Pr), Some(Lvb::new(block))));
    assert!(matches!(poll_once(lock.unlock().into_future()), Poll::Ready(Ok(()))));
    assert_eq!((ls.lock_count(), ls.dropped_results()), (0, 0));
    ls.release().unwrap();
}

fn a_future_is_woken_by_the_delivery_thread_and_by_dispatch(place: &Place) {
    let (ls, other) = place.open_twice("fu-wake");
    for threaded in [true, false] {
        let held = ls.lock("r", Mode::Ex).wait().unwrap();
        let delivery = threaded.then(|| other.start_delivery().unwrap());
        let (count, waker) = counting_waker();
        let mut cx = Context::from_waker(&waker);
        let mut future = pin!(other.lock("r", Mode::Ex).into_future());
        assert!(future.as_mut().poll(&mut cx).is_pending());
        held.unlock().wait().unwrap();
        eventually("the task is woken", || {
            if !threaded {
                other.dispatch().unwrap();
            }
            count.load(Ordering::SeqCst) > 0
        });
        let Poll::Ready(lock) = future.as_mut().poll(&mut cx) else { panic!("pending") };
        lock.unwrap().unlock().wait().unwrap();
        if let Some(delivery) = delivery {
            delivery.stop(PATIENCE).unwrap();
        }
    }
    other.close().unwrap();
    ls.release().unwrap();
}

fn a_dropped_future_leaves_nothing_held_and_nobody_in_line(place: &Place) {
    let (ls, other) = place.open_twice("fu-drop");
    let held = ls.lock("r", Mode::Pr).wait().unwrap();
    // Never polled: never asked for.
    drop(other.lock("r", Mode::Ex).into_future());
    assert_eq!(other.counters().requests, 0);
    assert!(poll_once(other.lock("r", Mode::Ex).into_future()).is_pending());
    let lock = other.lock("r", Mode::Pr).wait().unwrap();
    assert!(poll_once(lock.convert(Mode::Ex).into_future()).is_pending());
    other.dispatch().unwrap();
    assert_eq!((lock.mode(), lock.is_in_flight()), (Some(Mode::Pr), false));
    lock.unlock().wait().unwrap();
    assert_eq!(held.convert(Mode::Ex).no_queue().wait().unwrap().mode, Some(Mode::Ex));
    held.unlock().wait().unwrap();
    while other.dispatch().unwrap() > 0 {}
    assert_eq!((other.lock_count(), other.dropped_results()), (0, 0));
    other.close().unwrap();
    ls.release().unwrap();
}

fn futures_end_with_the_deadline_and_with_the_lockspace(place: &Place) {
    let (ls, other) = place.open_twice("fu-end");
    let held = ls.lock("r", Mode::Ex).wait().unwrap();
    let other = Arc::new(other);
    let delivery = other.start_delivery().unwrap();
    let timeout = Duration::from_millis(20);
    let error = block_on(other.lock("r", Mode::Ex).timeout(timeout).into_future()).unwrap_err();
    assert!(matches!(error.kind, ErrorKind::TimedOut(_)), "{error}");
    let refused = block_on(other.lock("r", Mode::Ex).no_queue().into_future()).unwrap_err();
    assert_eq!(refused.status(), Some(LockStatus::Again));
    let theirs = Arc::clone(&other);
    let waiter =
        thread::spawn(move || block_on(theirs.lock("r", Mode::Ex).into_future()).unwrap_err().kind);
    eventually("it waits", || other.lock_count() == 1);
    other.close().unwrap();
    let kind = within(move || waiter.join().unwrap());
    assert!(matches!(kind, Some(ErrorKind::Closed)), "{kind:?}");
    drop(delivery);
    held.unlock().wait().unwrap();
    ls.release().unwrap();
}

fn blocking_notices_come_as_a_stream(place: &Place) {
    let (ls, other) = place.open_twice("fu-stream");
    let delivery = ls.start_delivery().unwrap();
    let lock = ls.lock("r", Mode::Ex).note_blocking().wait().unwrap();
    let waiting = other.lock("r", Mode::Pr).start(|_| ()).unwrap();
    let mut notices = lock.notices();
    assert_eq!(block_on(notices.next()).unwrap().mode, Mode::Pr);
    let stronger = other.lock("r", Mode::Ex).start(|_| ()).unwrap();
    assert_eq!(block_on(notices.next()).unwrap().mode, Mode::Ex);
    assert!(poll_once(notices.next()).is_pending());
    drop((waiting, stronger));
    ls.close().unwrap();
    assert!(block_on(notices.next()).is_none());
    drop(delivery);
    other.release().unwrap();
}

fn in_the_background_neither_polls_nor_drops_block_while_the_lockspace_is_stopped(place: &Place) {
    let options = place.options().background_writes();
    let ls = options.create("fu-stopped").unwrap();
    let dropped = ls.lock("d", Mode::Ex).wait().unwrap();
    let (_, waker) = counting_waker();
    let mut cx = Context::from_waker(&waker);
    let mut future = pin!(ls.lock("r", Mode::Ex).into_future());
    let stopped = place.stop(ls.name());
    // Each of these would hang here without a thread of its own.
    assert!(future.as_mut().poll(&mut cx).is_pending());
    drop(dropped);
    assert_eq!(ls.lock_count(), 2);
    drop(stopped);
    let mut answer = None;
    eventually("the lock is granted", || {
        ls.dispatch().unwrap();
        match future.as_mut().poll(&mut cx) {
            Poll::Ready(lock) => answer = Some(lock.unwrap()),
            Poll::Pending => {}
        }
        answer.is_some()
    });
    answer.unwrap().unlock().wait().unwrap();
    eventually("the dropped lock is gone", || {
        ls.dispatch().unwrap();
        ls.lock_count() == 0
    });
    ls.close().unwrap();
    place.remove("fu-stopped").unwrap();
}

fn tokio_drives_many_tasks(place: &Place) {
    let (ls, other) = place.open_twice("fu-tokio");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let ls = Arc::new(ls);
        let driver = tokio::spawn(ls.drive_tokio().unwrap());
        let held = other.lock("r", Mode::Ex).wait().unwrap();
        let inside = Arc::new(AtomicUsize::new(0));
        let tasks: Vec<_> = (0..20)
            .map(|_| {
                let (ls, inside) = (Arc::clone(&ls), Arc::clone(&inside));
                tokio::spawn(async move {
                    let lock = ls.lock("r", Mode::Ex).await.unwrap();
                    assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                    tokio::task::yield_now().await;
                    inside.fetch_sub(1, Ordering::SeqCst);
                    lock.unlock().await.unwrap();
                })
            })
            .collect();
        let late =
            tokio::time::timeout(Duration::from_millis(20), ls.lock("r", Mode::Ex).into_future());
        assert!(late.await.is_err());
        held.unlock().wait().unwrap();
        for task in tasks {
            tokio::time::timeout(PATIENCE, task).await.expect("in time").unwrap();
        }
        ls.close().unwrap();
        let end = tokio::time::timeout(PATIENCE, driver).await.expect("in time").unwrap();
        assert!(matches!(end.kind, ErrorKind::Closed), "{end}");
    });
    other.release().unwrap();
}

fn async_io_drives_any_executor(place: &Place) {
    let (ls, other) = place.open_twice("fu-async-io");
    let driver = ls.drive_async_io().unwrap();
    let driver = thread::spawn(move || block_on(driver));
    let held = other.lock("r", Mode::Ex).note_blocking().wait().unwrap();
    let ls = Arc::new(ls);
    let theirs = Arc::clone(&ls);
    let waiter = thread::spawn(move || {
        let lock = block_on(theirs.lock("r", Mode::Ex).into_future()).unwrap();
        block_on(lock.unlock().into_future()).unwrap();
    });
    eventually("it waits", || {
        other.dispatch().unwrap();
        held.blocked().is_some()
    });
    held.unlock().wait().unwrap();
    within(move || waiter.join().unwrap()).expect("the waiter is granted");
    ls.close().unwrap();
    let end = within(move || driver.join().unwrap()).expect("the driver ends");
    assert!(matches!(end.kind, ErrorKind::Closed), "{end}");
    other.release().unwrap();
}
