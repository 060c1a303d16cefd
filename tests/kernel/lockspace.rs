//! Creating and removing lockspaces.

use std::ffi::CString;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::mpsc::channel;
use std::thread;

use dlm_proto::{LockFlags, LockspaceFlags, LockspaceName, Minor, Mode, RemoveFlags, Request};
use dlm_sys::{Errno, LockspaceDevice, RemovalWatch, find_lockspace};
use dlm_tests::{Lockspace, PATIENCE, Task, as_nobody, control_device, encode, eventually};
use nix::fcntl::{Flock, FlockArg};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::{Mode as Permissions, SFlag, makedev, mknod};

const NONE: LockFlags = LockFlags::empty();
const PLAIN: RemoveFlags = RemoveFlags::empty();
const FORCE: RemoveFlags = RemoveFlags::FORCEFREE;

/// What the kernel answers to a creation under a name of any bytes.
fn create(name: &[u8], flags: LockspaceFlags) -> Result<isize, Errno> {
    let control = control_device();
    let mut bytes = encode(&Request::CreateLockspace { name: b"", flags });
    bytes.resize(160, 0);
    bytes[24..24 + name.len()].copy_from_slice(name);
    control.submit_raw(&bytes)
}

/// Shows #privilege-to-create.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn without_cap_sys_admin_nothing_is_created_and_removed() {
    let space = Lockspace::new("lockspace");
    let fresh = LockspaceName::new(format!("{}.more", space.name()).as_bytes()).unwrap();
    let answers = as_nobody(|| {
        [
            space.control().create_lockspace(&fresh, LockspaceFlags::empty()).unwrap_err(),
            space.control().create_lockspace(space.name(), LockspaceFlags::empty()).unwrap_err(),
            space.control().remove_lockspace(space.minor(), PLAIN).unwrap_err(),
            space.control().remove_lockspace(Minor(0x000f_fffe), FORCE).unwrap_err(),
        ]
    });
    assert_eq!(answers.map(|error| error.errno()), [Some(Errno::EPERM); 4]);
    assert_eq!(find_lockspace(&fresh).unwrap(), None);
    assert_eq!(find_lockspace(space.name()).unwrap(), Some(space.minor()));
}

#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn locks_need_the_nodes_permission_only() {
    let space = Lockspace::new("open");
    let session = space.open();
    as_nobody(|| {
        let refused = LockspaceDevice::open(space.name(), None).unwrap_err();
        assert_eq!(refused.errno(), Some(Errno::EACCES));
        let lock = session.granted("r", Mode::Ex, NONE, 1);
        session.unlocked(lock, 1);
    });
}

/// Shows #creations-are-counted.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn as_many_removals_as_creations_are_needed() {
    let space = Lockspace::new("lockspace");
    let again = space.control().create_lockspace(space.name(), LockspaceFlags::empty()).unwrap();
    space.count_creation();
    assert_eq!(again, space.minor());
    assert_eq!(space.remove(PLAIN), Ok(()));
    assert!(space.path().exists());
    assert_eq!(find_lockspace(space.name()).unwrap(), Some(space.minor()));
    assert_eq!(space.remove(PLAIN), Ok(()));
    assert!(!space.path().exists());
    assert_eq!(find_lockspace(space.name()).unwrap(), None);
    // A minor number that is surely free: its own may be another test's lockspace by now.
    let gone = Minor(0x000f_fffe);
    assert_eq!(
        space.control().remove_lockspace(gone, PLAIN).unwrap_err().errno(),
        Some(Errno::ENOENT)
    );
}

/// A node for the device of a removed lockspace, as a stale `/dev` without devtmpfs has it.
fn stale_node(name: &LockspaceName, minor: Minor) -> PathBuf {
    let path = std::env::temp_dir().join(name.to_string());
    let device = makedev(10, u64::from(minor.0));
    mknod(&path, SFlag::S_IFCHR, Permissions::S_IRUSR | Permissions::S_IWUSR, device).unwrap();
    path
}

/// Keeps everybody else from creating and removing lockspaces, as a process of this library does.
fn hold_creations(how: FlockArg) -> Flock<File> {
    let path = dlm_sys::LOCK_FILE.to_str().unwrap();
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    Flock::lock(options.open(path).unwrap(), how).unwrap_or_else(|(_, errno)| panic!("{errno}"))
}

/// While this test holds the device open, no other creates or removes a lockspace.
/// Shows #removal-waits-for-closes and #devices-after-the-removal.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn a_removal_waits_for_the_last_close_and_all_creations_behind_it() {
    let space = Lockspace::new("lockspace");
    let other = Lockspace::new("lockspace");
    let idle = space.open();
    let watch = RemovalWatch::new(idle.device()).unwrap();
    assert!(!idle.device().is_removed().unwrap());

    // Nobody may create a lockspace now: it could get the minor number of the removed one at once.
    let creations = hold_creations(FlockArg::LockExclusive);
    let (remover, removed) = start({
        let request = Request::RemoveLockspace { minor: space.minor(), flags: PLAIN };
        let bytes = encode(&request);
        move || control_device().submit_raw(&bytes)
    });
    // From here on the number is not this lockspace's, whatever comes.
    space.count_removal();
    eventually("the node is gone", || !space.path().exists());
    remover.await_stuck_in(libc::SYS_write);
    // Only a watch tells those who have it open.
    let mut fds = [PollFd::new(std::os::fd::AsFd::as_fd(&watch), PollFlags::POLLIN)];
    assert_eq!(poll(&mut fds, PollTimeout::try_from(PATIENCE).unwrap()).unwrap(), 1);
    assert!(idle.device().is_removed().unwrap());
    assert!(watch.check(idle.device()).unwrap());
    let stale = stale_node(space.name(), space.minor());
    let path = CString::new(stale.as_os_str().as_bytes()).unwrap();
    let opened = LockspaceDevice::open_path(&path, None);
    std::fs::remove_file(stale).unwrap();
    assert_eq!(opened.unwrap_err().errno(), Some(Errno::ENODEV));
    // The open device works as ever.
    let lock = idle.granted("r", Mode::Ex, NONE, 1);
    idle.unlocked(lock, 1);

    let (creator, created) = start({
        // Not by create_lockspace, which would wait for the lock held here.
        let name = other.name().clone();
        move || create(&name, LockspaceFlags::empty())
    });
    creator.await_stuck_in(libc::SYS_write);
    assert!(removed.try_recv().is_err(), "removed with the device open");
    assert!(created.try_recv().is_err(), "created during a removal");

    drop(idle);
    let answer = removed.recv_timeout(PATIENCE).expect("the removal ends with the last close");
    assert_eq!(answer, Ok(0));
    let answer = created.recv_timeout(PATIENCE).expect("the creation goes on");
    other.count_creation();
    assert_eq!(answer, Ok(isize::try_from(other.minor().0).unwrap()));
    drop(creations);
    assert_eq!(other.remove(PLAIN), Ok(()));
}

type Answers<T> = std::sync::mpsc::Receiver<T>;

/// A thread that does this, how the kernel knows it, and its answer.
fn start<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> (Task, Answers<T>) {
    let (started, task) = channel();
    let (done, answer) = channel();
    thread::spawn(move || {
        started.send(Task::current()).unwrap();
        done.send(work()).unwrap();
    });
    (task.recv_timeout(PATIENCE).unwrap(), answer)
}
