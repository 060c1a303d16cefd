//! The end of a lockspace, which ends all waits.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::thread;

use dlm_runtime::{ErrorKind, Lockspace, LockspaceOptions, Mode};
use dlm_tests::{PATIENCE, PROMPT, Place, eventually, within};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

dlm_tests::everywhere! {
    stopping_the_delivery_thread_leaves_waiting_threads_to_themselves,
    closing_the_lockspace_ends_every_wait,
    a_forced_removal_ends_every_wait_and_lets_the_remover_go_on,
    closing_releases_locks_although_their_handles_are_kept,
    a_release_that_fails_says_so_and_keeps_the_reference,
    an_exclusive_creation_fails_when_the_lockspace_exists,
    a_poller_is_woken_by_the_removal,
    a_removal_that_somebody_holds_up_ends_the_wait_but_not_the_removal,
    those_who_open_or_create_at_the_same_time_take_one_reference,
}

/// Starts threads that wait in `lock` for ever, and returns their answers to come.
fn waiters(ls: &Arc<Lockspace>, count: usize) -> Vec<thread::JoinHandle<ErrorKind>> {
    let before = ls.lock_count();
    let waiters = (0..count)
        .map(|_| {
            let ls = Arc::clone(ls);
            thread::spawn(move || ls.lock("r", Mode::Ex).wait().unwrap_err().kind)
        })
        .collect();
    eventually("all of them wait", || ls.lock_count() == before + count);
    waiters
}

fn stopping_the_delivery_thread_leaves_waiting_threads_to_themselves(place: &Place) {
    let (ls, other) = place.open_twice("end-thread");
    let held = other.lock("r", Mode::Ex).wait().unwrap();
    let ls = Arc::new(ls);
    let delivery = ls.start_delivery().unwrap();
    // A callback keeps the thread at the device.
    let watched = ls.lock("s", Mode::Ex).on_blocking(|_| ()).wait().unwrap();
    let theirs = Arc::clone(&ls);
    let waiter = thread::spawn(move || theirs.lock("r", Mode::Ex).wait().map(|lock| lock.mode()));
    eventually("it waits", || ls.lock_count() == 2);
    delivery.stop(PATIENCE).unwrap();
    held.unlock().wait().unwrap();
    let answer = within(move || waiter.join().unwrap()).expect("the wait ends");
    assert_eq!(answer.unwrap(), Some(Mode::Ex));
    drop(watched);
    other.close().unwrap();
    Arc::into_inner(ls).unwrap().release().unwrap();
}

fn closing_the_lockspace_ends_every_wait(place: &Place) {
    let (holder, ls) = place.open_twice("end-closed");
    let held = holder.lock("r", Mode::Ex).wait().unwrap();
    let ls = Arc::new(ls);
    let waiters = waiters(&ls, 3);
    let delivery = ls.start_delivery().unwrap();
    // Handles of the lockspace are still in use by those threads.
    ls.close().unwrap();
    for waiter in waiters {
        let kind = within(move || waiter.join().unwrap());
        assert!(matches!(kind, Some(ErrorKind::Closed)), "{kind:?}");
    }
    let error = delivery.stop(PATIENCE).unwrap_err();
    assert!(matches!(error.kind, ErrorKind::Closed), "{error}");
    assert!(matches!(ls.dispatch().unwrap_err().kind, ErrorKind::Closed));
    held.unlock().wait().unwrap();
    holder.release().unwrap();
}

fn a_forced_removal_ends_every_wait_and_lets_the_remover_go_on(place: &Place) {
    let (holder, ls) = place.open_twice("end-removed");
    let held = holder.lock("r", Mode::Ex).wait().unwrap();
    let ls = Arc::new(ls);
    let waiters = waiters(&ls, 3);
    let threaded = place.open("end-removed").unwrap();
    let delivery = threaded.start_delivery().unwrap();
    let _pending = threaded.lock("r", Mode::Ex).start(|_| panic!("never granted")).unwrap();
    // Their requests are still waiting when the holder's device is closed with its lock; a grant
    // would be as good an end, so the lock goes only with the lockspace.
    let keeper = place.open_foreign(ls.name());
    let (backend, minor) = (place.backend(), ls.minor());
    let remover = thread::spawn(move || backend.remove(minor, dlm_proto::RemoveFlags::FORCEFREE));
    for waiter in waiters {
        let kind = within(move || waiter.join().unwrap());
        assert!(matches!(kind, Some(ErrorKind::Removed)), "{kind:?}");
    }
    let error = delivery.stop(PATIENCE).unwrap_err();
    assert!(matches!(error.kind, ErrorKind::Removed), "{error}");
    assert!(matches!(ls.dispatch().unwrap_err().kind, ErrorKind::Removed));
    assert!(matches!(ls.lock("r", Mode::Nl).wait().unwrap_err().kind, ErrorKind::Removed));
    // The holder has not looked yet. When it does, its device is closed as well.
    eventually("the holder learns of it", || holder.dispatch().is_err());
    assert!(!remover.is_finished());
    // The kernel ends the removal when the last device is closed.
    drop(keeper);
    within(move || remover.join().unwrap()).expect("the removal ends").unwrap();
    drop(held);
}

fn closing_releases_locks_although_their_handles_are_kept(place: &Place) {
    let (ls, other) = place.open_twice("end-handles");
    let kept = other.lock("r", Mode::Ex).wait().unwrap();
    other.close().unwrap();
    let lock = ls.lock("r", Mode::Ex).no_queue().wait().unwrap();
    assert!(matches!(kept.convert(Mode::Nl).wait().unwrap_err().kind, ErrorKind::Closed));
    let failed = kept.unlock().wait().unwrap_err();
    assert!(matches!(failed.error.kind, ErrorKind::Closed), "{failed}");
    drop(failed.lock);
    lock.unlock().wait().unwrap();
    ls.release().unwrap();
}

fn a_release_that_fails_says_so_and_keeps_the_reference(place: &Place) {
    let (ls, other) = place.open_twice("end-busy");
    let held = other.lock("r", Mode::Nl).wait().unwrap();
    let error = ls.release().unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EBUSY), "{error}");
    assert!(error.to_string().contains("force"), "{error}");
    held.unlock().wait().unwrap();
    other.close().unwrap();
    place.remove("end-busy").unwrap();
    let error = place.open("end-busy").unwrap_err();
    assert!(error.to_string().contains("no such lockspace"), "{error}");
}

fn an_exclusive_creation_fails_when_the_lockspace_exists(place: &Place) {
    let ls = place.options().exclusive().create("end-excl").unwrap();
    let error = place.options().exclusive().create("end-excl").unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EEXIST), "{error}");
    let second = place.create("end-excl").unwrap();
    assert_eq!(second.minor(), ls.minor());
    second.release().unwrap();
    ls.release().unwrap();
}

fn a_poller_is_woken_by_the_removal(place: &Place) {
    let ls = place.create("end-poll").unwrap();
    let other = place.open("end-poll").unwrap();
    let poller = thread::spawn(move || {
        // The node changes its permissions before it goes, and each of that wakes.
        loop {
            let timeout = PollTimeout::try_from(PATIENCE).unwrap();
            let mut fds = [PollFd::new(other.as_fd(), PollFlags::POLLIN)];
            assert_eq!(poll(&mut fds, timeout).unwrap(), 1, "nothing became readable");
            if let Err(error) = other.dispatch() {
                return error.kind;
            }
        }
    });
    within(move || ls.force_release()).expect("the removal ends").unwrap();
    assert!(matches!(poller.join().unwrap(), ErrorKind::Removed));
}

fn a_removal_that_somebody_holds_up_ends_the_wait_but_not_the_removal(place: &Place) {
    let ls = place.create("end-held").unwrap();
    // Not this library's handle: nobody looks after it.
    let name = dlm_runtime::LockspaceName::new(b"end-held").unwrap();
    let device = place.open_foreign(&name);
    let start = std::time::Instant::now();
    let remover = thread::spawn(move || ls.release());
    eventually("the node is gone", || device.was_removed().unwrap());
    assert!(start.elapsed() < PROMPT, "{:?}", start.elapsed());
    // The kernel's removal waits for this close.
    drop(device);
    within(move || remover.join().unwrap()).expect("the removal ends").unwrap();
}

#[test]
#[ignore = "on kernels only: the permissions of a device node"]
fn a_creation_sets_permissions_only_if_asked_to() {
    use std::os::unix::fs::PermissionsExt;

    let mode = || {
        let node = std::fs::metadata("/dev/dlm_end-mode").unwrap();
        node.permissions().mode() & 0o777
    };
    let ls = LockspaceOptions::new().permissions(0o640).create("end-mode").unwrap();
    assert_eq!(mode(), 0o640);
    let second = Lockspace::create("end-mode").unwrap();
    assert_eq!(mode(), 0o640);
    second.release().unwrap();
    ls.release().unwrap();
    let ls = LockspaceOptions::new().open_or_create("end-mode").unwrap();
    assert_eq!(mode(), 0o600);
    let second = LockspaceOptions::new().open_or_create("end-mode").unwrap();
    assert_eq!(second.minor(), ls.minor());
    // It was opened, not created: one reference, and one release.
    second.close().unwrap();
    ls.release().unwrap();
    assert!(Lockspace::open("end-mode").unwrap_err().is_no_lockspace());
    assert_eq!(dlm_runtime::kernel_version().unwrap().major, 6);
}

#[test]
#[ignore = "on kernels only: the permissions of a device node"]
fn who_may_not_open_is_told_so_soon() {
    let ls = Lockspace::create("end-denied").unwrap();
    let options = LockspaceOptions::new().timeout(10 * PATIENCE);
    let start = std::time::Instant::now();
    let error = dlm_tests::as_nobody(|| options.open("end-denied").unwrap_err());
    assert_eq!(error.raw_os_error(), Some(libc::EACCES), "{error}");
    assert!(error.to_string().contains("root"), "{error}");
    assert!(start.elapsed() < PATIENCE);
    ls.release().unwrap();
}

fn those_who_open_or_create_at_the_same_time_take_one_reference(place: &Place) {
    for _ in 0..5 {
        let opened: Vec<_> = thread::scope(|scope| {
            let open = || place.options().open_or_create("end-race").unwrap();
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(open)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        opened.iter().for_each(|ls| ls.close().unwrap());
        drop(opened);
        place.remove("end-race").unwrap();
        assert!(place.open("end-race").unwrap_err().is_no_lockspace());
    }
}
