//! Creations and removals of lockspaces on a node, which are kept apart.

use std::fs::{self, File, OpenOptions, Permissions};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, symlink};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use dlm_proto::{LockspaceFlags, LockspaceName, RemoveFlags};
use dlm_runtime::LockspaceOptions;
use dlm_sys::{Call, Cause, Errno, Error, LOCK_FILE, find_lockspace};
use dlm_tests::{Kernel, PATIENCE, as_nobody, control_device};
use nix::fcntl::{Flock, FlockArg};

const SHORT: Duration = Duration::from_millis(100);

/// The tests of this program change what the others use.
fn one_at_a_time() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Creates and removes a lockspace, with little patience for others.
fn create_and_remove(name: &str) -> Result<(), Error> {
    let control = control_device().patience(SHORT);
    let name = LockspaceName::new(name.as_bytes()).unwrap();
    let minor = control.create_lockspace(&name, LockspaceFlags::NEWEXCL)?;
    control.remove_lockspace(minor, RemoveFlags::empty())
}

fn locked(file: File) -> Flock<File> {
    Flock::lock(file, FlockArg::LockExclusiveNonblock)
        .unwrap_or_else(|(_, errno)| panic!("{errno}"))
}

fn path() -> &'static str {
    LOCK_FILE.to_str().unwrap()
}

#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn a_stranger_who_locks_the_control_device_holds_nobody_up() {
    let _turn = one_at_a_time();
    // As the rules for udev make it, for everybody to ask for the version.
    fs::set_permissions("/dev/dlm-control", Permissions::from_mode(0o666)).unwrap();
    let stranger = as_nobody(|| locked(File::open("/dev/dlm-control").unwrap()));
    let start = Instant::now();
    create_and_remove("creation-stranger").unwrap();
    assert!(start.elapsed() < PATIENCE);
    drop(stranger);
}

#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn only_root_can_lock_the_file() {
    let _turn = one_at_a_time();
    create_and_remove("creation-file").unwrap();
    let file = fs::symlink_metadata(path()).unwrap();
    assert!(file.is_file());
    assert_eq!((file.uid(), file.mode() & 0o7777), (0, 0o600));
    let refused = as_nobody(|| File::open(path()).map(drop).unwrap_err());
    assert_eq!(refused.raw_os_error(), Some(libc::EACCES));
}

/// Guards against #creations-at-once and #minor-used-again.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn creations_and_removals_wait_for_each_other_but_not_for_ever() {
    let _turn = one_at_a_time();
    create_and_remove("creation-wait").unwrap();
    let name = LockspaceName::new(b"creation-wait").unwrap();
    let open = || OpenOptions::new().read(true).write(true).open(path()).unwrap();
    let held = Error::new(Call::SerialiseCreate, Cause::Held(LOCK_FILE));

    let other = locked(open());
    let start = Instant::now();
    assert_eq!(create_and_remove("creation-wait"), Err(held));
    assert!(start.elapsed() >= SHORT && start.elapsed() < PATIENCE);
    assert_eq!(find_lockspace(&name).unwrap(), None);
    drop(other);

    let control = control_device().patience(SHORT);
    let minor = control.create_lockspace(&name, LockspaceFlags::NEWEXCL).unwrap();
    let other = locked(open());
    assert_eq!(control.remove_lockspace(minor, RemoveFlags::empty()), Err(held));
    assert_eq!(find_lockspace(&name).unwrap(), Some(minor));
    std::thread::scope(|scope| {
        let control = control_device();
        let removal = scope.spawn(move || control.remove_lockspace(minor, RemoveFlags::empty()));
        std::thread::sleep(SHORT);
        assert!(!removal.is_finished());
        drop(other);
        removal.join().unwrap().unwrap();
    });
}

#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn without_the_file_there_is_one_of_the_module() {
    let _turn = one_at_a_time();
    let of_module = c"/sys/module/dlm/sections/.text";
    let target = "/tmp/creation-target";
    let _ = fs::remove_file(path());
    // Links are not followed, and a file that others may open is none.
    symlink(target, path()).unwrap();
    create_and_remove("creation-link").unwrap();
    assert!(!fs::exists(target).unwrap());
    fs::remove_file(path()).unwrap();
    OpenOptions::new().write(true).create(true).truncate(false).mode(0o666).open(path()).unwrap();
    fs::set_permissions(path(), Permissions::from_mode(0o666)).unwrap();
    let stranger = as_nobody(|| locked(File::open(path()).unwrap()));
    create_and_remove("creation-loose").unwrap();

    let other = locked(File::open(of_module.to_str().unwrap()).unwrap());
    let held = Error::new(Call::SerialiseCreate, Cause::Held(of_module));
    assert_eq!(create_and_remove("creation-module"), Err(held));
    drop((other, stranger));
    create_and_remove("creation-module").unwrap();
    fs::remove_file(path()).unwrap();
}

/// Shows #no-minor-left.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn when_no_minor_number_is_left_the_error_says_so() {
    let _turn = one_at_a_time();
    let control = control_device();
    let name = |count: usize| LockspaceName::new(format!("many{count}").as_bytes()).unwrap();
    let make = |count, flags| dlm_sys::create_lockspace(&name(count), flags, PATIENCE);
    let mut minors = Vec::new();
    // More than 6.1 has numbers for; later kernels have a million.
    let error = (0..200).find_map(|count| match make(count, LockspaceFlags::empty()) {
        Ok(minor) => {
            minors.push(minor);
            None
        }
        Err(error) => Some(error),
    });
    if let Some(error) = error {
        assert_eq!(error.cause, Cause::NoMinorLeft);
        assert!(error.to_string().contains("no minor number is left"), "{error}");
        let again = make(minors.len(), LockspaceFlags::NEWEXCL).unwrap_err();
        assert_eq!(again.cause, Cause::NoMinorLeft);
        // That there is one of this name is another matter.
        let exists = make(0, LockspaceFlags::NEWEXCL).unwrap_err();
        assert_eq!(exists.errno(), Some(Errno::EEXIST));
        let error = LockspaceOptions::new().open_or_create("many-more").unwrap_err();
        assert!(error.to_string().contains("no minor number is left"), "{error}");
    }
    assert_eq!(error.is_some(), Kernel::pick(true, false));
    for minor in minors {
        control.remove_lockspace(minor, RemoveFlags::empty()).unwrap();
    }
    create_and_remove("many0").unwrap();
}

#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn flags_that_do_nothing_for_a_program_are_not_sent() {
    let _turn = one_at_a_time();
    let control = control_device();
    let name = LockspaceName::new(b"flags").unwrap();
    // Kernels since 6.11 refuse 0x10 from programs, so it has not got there.
    let flags = LockspaceFlags::from_bits_retain(0x16 | 1 << 30);
    let minor = control.create_lockspace(&name, flags).unwrap();
    let again = control.create_lockspace(&name, flags | LockspaceFlags::NEWEXCL);
    assert_eq!(again.unwrap_err().errno(), Some(Errno::EEXIST));
    control.remove_lockspace(minor, RemoveFlags::empty()).unwrap();
}
