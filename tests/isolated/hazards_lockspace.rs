//! Hazards of lockspaces for kernels and programs, tried through the safe interface; and
//! limits of the process: descriptors and signals.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::channel;
use std::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::thread;
use std::time::Duration;

use dlm_proto::{LockspaceFlags, Minor, NameError, RemoveFlags};
use dlm_runtime::{ErrorKind, Lockspace, LockspaceName, Mode};
use dlm_sys::{Cause, ControlDevice};
use dlm_tests::{PATIENCE, Place, Task, eventually, process, within};
use nix::sys::pthread::{pthread_kill, pthread_self};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

dlm_tests::everywhere! {
    a_release_does_not_wait_for_the_handles_of_its_own_program,
    a_foreign_device_holds_up_removals_and_creations_but_not_their_callers,
    names_that_would_hang_the_kernel_are_refused_by_every_call,
    signals_do_not_end_a_wait,
    a_creation_that_nobody_waits_for_any_more_is_taken_back,
    references_that_nobody_gives_back_can_be_dropped_at_once,
}

/// One test holds up all creations and removals on the node, and runs alone.
static QUIET: RwLock<()> = RwLock::new(());

fn together(place: &Place) -> Option<RwLockReadGuard<'static, ()>> {
    // Each engine is a node of its own.
    place.is_kernel().then(|| QUIET.read().unwrap_or_else(std::sync::PoisonError::into_inner))
}

fn alone(place: &Place) -> Option<RwLockWriteGuard<'static, ()>> {
    place.is_kernel().then(|| QUIET.write().unwrap_or_else(std::sync::PoisonError::into_inner))
}

fn minor(place: &Place, name: &str) -> Option<Minor> {
    place.backend().find(&LockspaceName::new(name.as_bytes()).unwrap()).unwrap()
}

/// Guards against #removal-under-open-devices.
fn a_release_does_not_wait_for_the_handles_of_its_own_program(place: &Place) {
    let _others = together(place);
    let ls = place.create("removal-own").unwrap();
    // All of these would keep the device open, were it theirs.
    let held = ls.lock("r", Mode::Ex).wait().unwrap();
    let waiting = ls.lock("r", Mode::Pr).start(|_| ()).unwrap();
    let delivery = ls.start_delivery().unwrap();
    within(move || ls.release()).expect("the release ends").unwrap();
    assert_eq!(minor(place, "removal-own"), None);
    assert!(matches!(held.unlock().wait().unwrap_err().error.kind, ErrorKind::Closed));
    drop((waiting, delivery));
}

/// Guards against #removal-under-open-devices.
fn a_foreign_device_holds_up_removals_and_creations_but_not_their_callers(place: &Place) {
    let _alone = alone(place);
    let soon = Duration::from_millis(200);
    let ls = place.options().close_timeout(soon).create("removal-foreign").unwrap();
    let device = place.open_foreign(ls.name());
    let error = ls.release().unwrap_err();
    assert!(matches!(error.kind, ErrorKind::TimedOut(_)), "{error}");
    // The kernel makes no lockspace as long as it removes one.
    let options = place.options().timeout(soon);
    let error = options.create("removal-late").unwrap_err();
    assert!(error.is_timed_out(), "{error}");
    let error = place.options().open("removal-late").unwrap_err();
    assert!(error.is_no_lockspace(), "{error}");
    drop(device);
    eventually("the removal has ended", || minor(place, "removal-foreign").is_none());
    // If it is made after all it is taken back, as nobody waits for it. A creation that comes
    // behind has a lockspace of its own.
    let ls = place.create("removal-late").unwrap();
    ls.lock("r", Mode::Ex).wait().unwrap().unlock().wait().unwrap();
    ls.release().unwrap();
    eventually("nothing is left", || minor(place, "removal-late").is_none());
}

fn references_that_nobody_gives_back_can_be_dropped_at_once(place: &Place) {
    let _others = together(place);
    // As programs leave them behind that are killed.
    for _ in 0..5 {
        drop(place.create("killed").unwrap());
    }
    let lockspace = place.open("killed").unwrap();
    let held = lockspace.lock("r", Mode::Ex).wait().unwrap();
    // The last one stays while there are locks.
    let error = place.options().remove_all("killed").unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EBUSY), "{error}");
    assert!(minor(place, "killed").is_some());
    drop((held, lockspace));
    drop(place.create("killed").unwrap());
    assert_eq!(place.options().remove_all("killed").unwrap(), 2);
    assert_eq!(minor(place, "killed"), None);
    let error = place.options().remove_all("killed").unwrap_err();
    assert!(error.is_no_lockspace(), "{error}");
    let error = place.options().remove_all("a/b").unwrap_err();
    assert!(matches!(error.kind, ErrorKind::Name(_)), "{error}");
}

/// Guards against #slash-in-a-name.
fn names_that_would_hang_the_kernel_are_refused_by_every_call(place: &Place) {
    let _others = together(place);
    let long = "x".repeat(65);
    for name in ["a/b", "/", "a b", "a\nb", "a\0b", "\t", "", ".", "..", &long] {
        for error in [
            place.create(name).unwrap_err(),
            place.open(name).unwrap_err(),
            place.options().open_or_create(name).unwrap_err(),
            place.remove(name).unwrap_err(),
        ] {
            assert!(matches!(error.kind, ErrorKind::Name(_)), "{name:?}: {error}");
        }
    }
    let error = place.create("a/b").unwrap_err();
    assert!(matches!(error.kind, ErrorKind::Name(NameError::BadByte { byte: b'/', at: 1 })));
    // The longest that is allowed.
    let ls = place.create("y".repeat(64)).unwrap();
    ls.lock("r", Mode::Ex).wait().unwrap().unlock().wait().unwrap();
    ls.release().unwrap();
}

/// Guards against #minor-zero.
#[test]
#[ignore = "on kernels only: the control device"]
fn minor_zero_is_never_removed() {
    let place = &Place::kernel();
    let _others = together(place);
    let ls = Lockspace::create("minor").unwrap();
    let control = ControlDevice::open().unwrap();
    for flags in [RemoveFlags::empty(), RemoveFlags::FORCEFREE] {
        let error = control.remove_lockspace(Minor(0), flags).unwrap_err();
        assert_eq!(error.cause, Cause::MinorZero);
    }
    assert_eq!(minor(place, "minor"), Some(ls.minor()));
    ls.release().unwrap();
}

/// Creates and releases one lockspace many times, in several threads.
fn create_and_release() {
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for _ in 0..10 {
                    let ls = Lockspace::create("creations").unwrap();
                    ls.lock("r", Mode::Cr).wait().unwrap().unlock().wait().unwrap();
                    ls.release().unwrap();
                }
            });
        }
    });
}

/// Guards against #creations-at-once.
#[test]
#[ignore = "on kernels only: processes that share a node"]
fn creations_from_many_processes_and_threads_leave_the_list_of_devices_whole() {
    let place = &Place::kernel();
    let _others = together(place);
    let test = dlm_tests::test_name!(
        creations_from_many_processes_and_threads_leave_the_list_of_devices_whole
    );
    if process::role().is_some() {
        create_and_release();
        return process::say("done");
    }
    let mut children: Vec<_> = (0..3).map(|_| process::spawn(test, "creator", "", None)).collect();
    create_and_release();
    children.iter_mut().for_each(|child| assert_eq!(child.line(), "done"));
    children.iter_mut().for_each(process::Child::await_end);
    // Read with a bound: a broken list has no end.
    assert_eq!(minor(place, "creations"), None);
    let list = std::fs::read_to_string("/proc/misc").unwrap();
    let mut names: Vec<_> =
        list.lines().map(|line| line.trim().split_once(' ').unwrap().1).collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count, "a device stands there twice:\n{list}");
    assert!(names.contains(&"dlm-control"));
    let ls = Lockspace::create("creations").unwrap();
    ls.lock("r", Mode::Ex).wait().unwrap().unlock().wait().unwrap();
    ls.release().unwrap();
}

#[test]
#[ignore = "on kernels only: a process of its own, and the descriptors of devices"]
fn without_descriptors_a_creation_says_so_and_gives_its_reference_back() {
    let place = &Place::kernel();
    let _others = together(place);
    let test =
        dlm_tests::test_name!(without_descriptors_a_creation_says_so_and_gives_its_reference_back);
    // The limit is that of a process.
    if process::role().is_none() {
        let mut child = process::spawn(test, "poor", "", None);
        let failures: usize = child.line().parse().unwrap();
        // Of the control device, and of the lockspace's: what else there is comes when it is
        // needed.
        assert!(failures >= 2, "{failures} descriptors too few were tried");
        child.await_end();
        assert_eq!(minor(place, "h-few"), None);
        return;
    }
    let most = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    let used = std::fs::read_dir("/proc/self/fd").unwrap().count() as u64 - 1;
    let mut failures = 0;
    loop {
        setrlimit(Resource::RLIMIT_NOFILE, used + failures, most.1).unwrap();
        let answer = Lockspace::create("h-few");
        setrlimit(Resource::RLIMIT_NOFILE, most.0, most.1).unwrap();
        match answer {
            Ok(ls) => {
                ls.release().unwrap();
                break;
            }
            Err(error) => {
                assert_eq!(error.raw_os_error(), Some(libc::EMFILE), "{error}");
                let named = matches!(error.kind, ErrorKind::Device(_) | ErrorKind::System(_));
                assert!(named, "{error}");
            }
        }
        assert_eq!(minor(place, "h-few"), None, "left behind with {failures} descriptors");
        failures += 1;
    }
    process::say(&failures.to_string());
}

static SIGNALS: AtomicUsize = AtomicUsize::new(0);

extern "C" fn count_signal(_: libc::c_int) {
    SIGNALS.fetch_add(1, SeqCst);
}

fn signals_do_not_end_a_wait(place: &Place) {
    let _others = together(place);
    let action =
        SigAction::new(SigHandler::Handler(count_signal), SaFlags::empty(), SigSet::empty());
    // SAFETY: the handler does nothing but add to an atomic number, which is allowed in one, and no
    // other test of this program uses the signal.
    unsafe { sigaction(Signal::SIGUSR1, &action) }.unwrap();
    let (ls, other) = place.open_twice("h-eintr");
    let held = ls.lock("r", Mode::Ex).wait().unwrap();
    let late = PATIENCE;
    thread::scope(|scope| {
        let (sender, tasks) = channel();
        // One of them waits at the device, and the others for it.
        let waiters: Vec<_> = [None, Some(late), None]
            .into_iter()
            .map(|timeout| {
                let (sender, other) = (sender.clone(), &other);
                scope.spawn(move || {
                    sender.send((Task::current(), pthread_self())).unwrap();
                    let mut request = other.lock("r", Mode::Ex);
                    if let Some(timeout) = timeout {
                        request = request.timeout(timeout);
                    }
                    request.wait().map(|lock| lock.unlock().wait().unwrap())
                })
            })
            .collect();
        let tasks: Vec<_> = waiters.iter().map(|_| tasks.recv().unwrap()).collect();
        for _ in 0..20 {
            for (task, thread) in &tasks {
                eventually("it sleeps", || task.state() == Some('S'));
                let before = SIGNALS.load(SeqCst);
                pthread_kill(*thread, Signal::SIGUSR1).unwrap();
                eventually("the signal is handled", || SIGNALS.load(SeqCst) > before);
            }
        }
        assert!(waiters.iter().all(|waiter| !waiter.is_finished()));
        held.unlock().wait().unwrap();
        for waiter in waiters {
            waiter.join().unwrap().unwrap();
        }
    });
    other.close().unwrap();
    ls.release().unwrap();
}

fn a_creation_that_nobody_waits_for_any_more_is_taken_back(place: &Place) {
    let _others = together(place);
    let options = place.options().timeout(Duration::ZERO);
    for _ in 0..20 {
        // In time or late: it is there with a handle, or it is not there.
        if let Ok(ls) = options.create("h-zero") {
            ls.release().unwrap();
        }
    }
    let backend = place.backend();
    let name = LockspaceName::new(b"h-zero").unwrap();
    // Those that come late come one after the other. A reference that stayed would be there for
    // good.
    let mut made = None;
    eventually("no reference is left", || {
        made = backend.create(&name, LockspaceFlags::NEWEXCL).ok();
        made.is_some()
    });
    backend.remove(made.unwrap(), RemoveFlags::empty()).unwrap();
}
