//! A process that has no descriptor left. In a program of its own, whose children have the limit.

use std::fs::{self, File};
use std::os::fd::{AsFd, AsRawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::channel;
use std::time::Duration;

use dlm_runtime::{Error, Lockspace, Mode};
use dlm_tests::{PATIENCE, Place, process};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

dlm_tests::everywhere! {
    what_needs_a_descriptor_says_so_and_leaves_nothing_behind,
}

fn what_needs_a_descriptor_says_so_and_leaves_nothing_behind(place: &Place) {
    if process::role().is_some() {
        // Nobody listens to a panic.
        let told = catch_unwind(AssertUnwindSafe(|| without_descriptors(place)));
        process::say(if told.is_ok() { "done" } else { "panicked" });
        return;
    }
    let module =
        if place.is_kernel() { "on_kernel" } else { place.pick("on_engine_6_1", "on_engine_6_12") };
    let test = format!(
        "no_descriptors::{module}::what_needs_a_descriptor_says_so_and_leaves_nothing_behind"
    );
    let mut child = process::spawn(&test, "without descriptors", "", None);
    assert_eq!(child.line(), "done");
}

fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Calls with room for so many more descriptors.
fn with_room_for<T>(count: usize, call: impl FnOnce() -> T) -> T {
    let (few, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    // Those that are open may not be the lowest ones: the limit is the number of the first that is one
    // too many.
    let taken: Vec<_> = (0..=count).map(|_| File::open("/dev/null").unwrap()).collect();
    let limit = taken.last().unwrap().as_raw_fd();
    drop(taken);
    setrlimit(Resource::RLIMIT_NOFILE, limit.try_into().unwrap(), most).unwrap();
    let answer = call();
    setrlimit(Resource::RLIMIT_NOFILE, few, most).unwrap();
    answer
}

/// Repeats a call with room for ever more descriptors until it succeeds. Returns how many that took.
#[track_caller]
fn step<T>(call: impl Fn() -> Result<T, Error>, check: impl Fn()) -> (T, usize) {
    let before = descriptors();
    for room in 0..16 {
        match with_room_for(room, &call) {
            Ok(answer) => return (answer, room),
            Err(error) => assert_eq!(error.raw_os_error(), Some(libc::EMFILE), "{room}: {error}"),
        }
        assert_eq!(descriptors(), before, "with room for {room}");
        check();
    }
    panic!("it needs more than 16 descriptors");
}

fn without_descriptors(place: &Place) {
    let name = "no-descriptors";
    let is_gone = || assert!(place.open(name).unwrap_err().is_no_lockspace());
    // What the library keeps for good it has from here on.
    place.create(name).unwrap().release().unwrap();
    let (ls, room) = step(|| place.create(name), is_gone);
    assert!(room >= if place.is_kernel() { 3 } else { 1 }, "{room}");
    let (other, _) = step(|| place.create(name), || ());
    other.release().unwrap();
    let (other, _) = step(|| place.options().open_or_create(name), || ());
    let (third, _) = step(|| place.open(name), || ());
    third.close().unwrap();
    drop(third);
    waits_need_none(&ls, &other);
    polling_tells_of_it(&other);
    let (delivery, _) = step(|| ls.start_delivery(), || ());
    let (sender, ended) = channel();
    let lock = with_room_for(0, || {
        let request = ls.lock("r", Mode::Ex);
        let lock = request.start(move |end| sender.send(end.mode).unwrap()).unwrap();
        assert_eq!(ended.recv_timeout(PATIENCE).unwrap(), Some(Mode::Ex));
        lock
    });
    lock.unlock().wait().unwrap();
    delivery.stop(PATIENCE).unwrap();
    other.close().unwrap();
    drop(other);
    // There is one reference.
    ls.release().unwrap();
    is_gone();
}

fn waits_need_none(ls: &Lockspace, other: &Lockspace) {
    with_room_for(0, || {
        let held = ls.lock("r", Mode::Ex).wait().unwrap();
        let late = other.lock("r", Mode::Ex).timeout(Duration::from_millis(50)).wait();
        assert!(late.unwrap_err().is_timed_out());
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| other.lock("r", Mode::Ex).wait().unwrap().unlock().wait());
            held.unlock().wait().unwrap();
            waiter.join().unwrap().unwrap();
        });
    });
}

/// Whoever polls is told when he dispatches, and then it is as if nothing had been.
fn polling_tells_of_it(ls: &Lockspace) {
    let before = descriptors();
    let told = with_room_for(0, || {
        let _ = ls.as_fd();
        ls.dispatch()
    });
    match told {
        Ok(ran) => assert_eq!(ran, 0, "what is needed was there"),
        Err(error) => assert_eq!(error.raw_os_error(), Some(libc::EMFILE), "{error}"),
    }
    assert_eq!(descriptors(), before);
    let (sender, ended) = channel();
    let request = ls.lock("polled", Mode::Ex);
    let lock = request.start(move |end| sender.send(end.mode).unwrap()).unwrap();
    let mut fds = [PollFd::new(ls.as_fd(), PollFlags::POLLIN)];
    assert_eq!(poll(&mut fds, PollTimeout::try_from(PATIENCE).unwrap()).unwrap(), 1);
    while ended.try_recv().is_err() {
        ls.dispatch().unwrap();
    }
    lock.unlock().wait().unwrap();
}
