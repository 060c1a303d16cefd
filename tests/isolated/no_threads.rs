//! A process that can make no threads. In a program of its own, whose children lose their privileges:
//! the limit is one of the user's.

use std::panic::{AssertUnwindSafe, catch_unwind};

use dlm_runtime::{ErrorKind, Mode};
use dlm_tests::{Place, process};
use nix::sys::resource::{Resource, setrlimit};

dlm_tests::everywhere! {
    what_needs_a_thread_says_so_and_everything_else_goes_on,
}

/// The user "nobody", who has threads of others to count.
const NOBODY: libc::uid_t = 65_534;

fn what_needs_a_thread_says_so_and_everything_else_goes_on(place: &Place) {
    if process::role().is_some() {
        // Nobody listens to a panic.
        let told = catch_unwind(AssertUnwindSafe(|| without_threads(place)));
        process::say(if told.is_ok() { "done" } else { "panicked" });
        return;
    }
    let module =
        if place.is_kernel() { "on_kernel" } else { place.pick("on_engine_6_1", "on_engine_6_12") };
    let test =
        format!("no_threads::{module}::what_needs_a_thread_says_so_and_everything_else_goes_on");
    let mut child = process::spawn(&test, "without threads", "", None);
    assert_eq!(child.line(), "done");
}

#[track_caller]
fn assert_no_thread<T>(answer: Result<T, dlm_runtime::Error>) {
    let error = answer.map(|_| ()).unwrap_err();
    assert!(matches!(error.kind, ErrorKind::System(_)), "{error}");
    assert_eq!(error.raw_os_error(), Some(libc::EAGAIN), "{error}");
}

fn without_threads(place: &Place) {
    let (ls, other) = place.open_twice("nothread");
    setrlimit(Resource::RLIMIT_NPROC, 1, 1).unwrap();
    // SAFETY: setresuid has no precondition.
    assert_eq!(unsafe { libc::setresuid(NOBODY, NOBODY, NOBODY) }, 0);
    assert!(std::thread::Builder::new().spawn(|| ()).is_err(), "the limit holds");
    assert_no_thread(ls.purge(None, Some(123)));
    // Nothing is marked as running by a thread that could not be made.
    for _ in 0..2 {
        assert_no_thread(ls.start_delivery());
    }
    let lock = ls.lock("r", Mode::Ex).wait().unwrap();
    let late = other.lock("r", Mode::Ex).timeout(std::time::Duration::from_millis(20)).wait();
    assert!(late.unwrap_err().is_timed_out());
    lock.unlock().wait().unwrap();
    drop(other.lock("r", Mode::Ex).no_queue().wait().unwrap());
    other.flush_drops().wait(Some(dlm_tests::PATIENCE)).unwrap();
    assert_eq!((ls.lock_count(), other.lock_count()), (0, 0));
    other.close().unwrap();
    ls.close().unwrap();
}
