//! The removal of a lockspace, noticed by those who have its device open.

use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::mpsc::channel;
use std::thread;

use dlm_proto::RemoveFlags;
use dlm_sys::{Call, Errno, LazyRemovalWatch, LockspaceDevice, RemovalWatch};
use dlm_tests::process::{self, say};
use dlm_tests::{Lockspace, PATIENCE, control_device, eventually};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::{Mode, SFlag, makedev, mknod};

fn is_readable(watch: &RemovalWatch, timeout: PollTimeout) -> bool {
    let mut fds = [PollFd::new(watch.as_fd(), PollFlags::POLLIN)];
    poll(&mut fds, timeout).unwrap() == 1
}

/// Sleeps until the lockspace is removed, as a user of the watch does.
fn await_removal(watch: &RemovalWatch, device: &LockspaceDevice) {
    loop {
        let timeout = PollTimeout::try_from(PATIENCE).unwrap();
        assert!(is_readable(watch, timeout), "nothing became readable");
        if watch.check(device).unwrap() {
            return;
        }
    }
}

/// Removes the lockspace in a thread, watches the device until the removal is noticed, and lets it
/// go on.
fn removed_under(space: &Lockspace, watch: &RemovalWatch, device: LockspaceDevice) {
    let (done, removed) = channel();
    let minor = space.minor();
    thread::spawn(move || {
        done.send(control_device().remove_lockspace(minor, RemoveFlags::empty())).unwrap();
    });
    space.count_removal();
    await_removal(watch, &device);
    // It stays so.
    assert!(watch.check(&device).unwrap());
    drop(device);
    assert_eq!(removed.recv_timeout(PATIENCE).expect("the removal ends"), Ok(()));
}

/// A node for the lockspace's device, as those who manage `/dev` themselves make it.
struct ByHand(PathBuf);

impl ByHand {
    fn new(space: &Lockspace) -> Self {
        let path = std::env::temp_dir().join(space.name().to_string());
        let device = makedev(10, u64::from(space.minor().0));
        mknod(&path, SFlag::S_IFCHR, Mode::S_IRUSR | Mode::S_IWUSR, device).unwrap();
        Self(path)
    }

    fn open(&self) -> LockspaceDevice {
        open(&self.0)
    }
}

impl Drop for ByHand {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).unwrap();
    }
}

fn open(path: &std::path::Path) -> LockspaceDevice {
    let path = CString::new(path.as_os_str().as_bytes()).unwrap();
    LockspaceDevice::open_path(&path, None).unwrap()
}

/// Has the kernel send the message of a removal although nothing goes, as `udevadm trigger
/// --action=remove` does.
fn pretend_removal(device: &str) {
    std::fs::write(format!("/sys/devices/virtual/{device}/uevent"), "remove").unwrap();
}

#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn a_removal_is_noticed_through_a_node_made_by_hand() {
    let space = Lockspace::new("by-hand");
    let node = ByHand::new(&space);
    let device = node.open();
    let watch = RemovalWatch::new(&device).unwrap();
    assert!(!watch.check(&device).unwrap());
    removed_under(&space, &watch, device);
}

#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn a_lockspace_that_was_removed_before_cannot_be_watched() {
    let space = Lockspace::new("before");
    let device = LockspaceDevice::open_within(space.name(), None, PATIENCE).unwrap();
    let minor = space.minor();
    let remover = thread::spawn(move || {
        control_device().remove_lockspace(minor, RemoveFlags::empty()).unwrap();
    });
    space.count_removal();
    eventually("the node is gone", || device.is_removed().unwrap());
    let error = RemovalWatch::new(&device).unwrap_err();
    assert_eq!((error.call, error.errno()), (Call::WatchNode, Some(Errno::ENODEV)));
    drop(device);
    remover.join().unwrap();
}

#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn a_watch_made_late_misses_no_removal_and_is_one_for_all_threads() {
    let space = Lockspace::new("late");
    // What is removed at once is noticed without a watch, and by one that is made then; also where
    // the node says nothing.
    let node = ByHand::new(&space);
    let devices =
        [LockspaceDevice::open_within(space.name(), None, PATIENCE).unwrap(), node.open()];
    let watches = [LazyRemovalWatch::new(), LazyRemovalWatch::new()];
    for (watch, device) in watches.iter().zip(&devices) {
        assert!(!watch.check(device).unwrap());
    }
    let minor = space.minor();
    let remover = thread::spawn(move || {
        control_device().remove_lockspace(minor, RemoveFlags::empty()).unwrap();
    });
    space.count_removal();
    for (watch, device) in watches.iter().zip(&devices) {
        eventually("the removal is noticed", || watch.check(device).unwrap());
        let error = watch.get(device).unwrap_err();
        assert_eq!((error.call, error.errno()), (Call::WatchNode, Some(Errno::ENODEV)));
    }
    drop(devices);
    remover.join().unwrap();

    let space = Lockspace::new("lazy");
    let device = LockspaceDevice::open_within(space.name(), None, PATIENCE).unwrap();
    let watch = LazyRemovalWatch::new();
    let made = thread::scope(|scope| {
        let get = || watch.get(&device).unwrap().as_fd().as_raw_fd();
        [scope.spawn(get), scope.spawn(get)].map(|thread| thread.join().unwrap())
    });
    assert_eq!(made[0], made[1]);
    removed_under(&space, watch.get(&device).unwrap(), device);
}

#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn removals_of_others_and_pretended_ones_are_told_apart() {
    let (space, other) = (Lockspace::new("mine"), Lockspace::new("other"));
    let device = LockspaceDevice::open_within(space.name(), None, PATIENCE).unwrap();
    let watch = RemovalWatch::new(&device).unwrap();
    other.remove(RemoveFlags::empty()).unwrap();
    pretend_removal(&format!("misc/dlm_{}", space.name()));
    eventually("both were heard", || is_readable(&watch, PollTimeout::ZERO));
    assert!(!watch.check(&device).unwrap());
    removed_under(&space, &watch, device);
}

#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn more_messages_than_are_kept_hide_no_removal() {
    let space = Lockspace::new("flood");
    let device = LockspaceDevice::open_within(space.name(), None, PATIENCE).unwrap();
    let watch = RemovalWatch::new(&device).unwrap();
    for _ in 0..2000 {
        pretend_removal("mem/null");
    }
    let minor = space.minor();
    let remover = thread::spawn(move || {
        control_device().remove_lockspace(minor, RemoveFlags::empty()).unwrap();
    });
    space.count_removal();
    // Its message is among those that are lost.
    eventually("the node is gone", || device.is_removed().unwrap());
    await_removal(&watch, &device);
    drop(device);
    remover.join().unwrap();
}

/// Watches in another process, which `unshare` starts with these options, and removes the
/// lockspace.
fn removed_under_another(test: &str, options: &[&str], node: Option<&ByHand>, space: &Lockspace) {
    let path = node.map_or_else(|| space.path(), |node| node.0.clone());
    let launcher: Vec<_> = ["unshare"].iter().chain(options).copied().collect();
    let mut child = process::spawn_by(&launcher, test, "watch", path.to_str().unwrap());
    assert_eq!(child.line(), "watching");
    space.remove(RemoveFlags::empty()).unwrap();
    assert_eq!(child.line(), "removed");
    child.await_end();
}

/// What the other process does.
fn watch_from_elsewhere(role: &process::Role) {
    let device = open(role.argument.as_ref());
    let watch = RemovalWatch::new(&device).unwrap();
    say("watching");
    await_removal(&watch, &device);
    drop(device);
    say("removed");
}

/// The messages go into each network namespace, unless another user namespace owns it: here
/// nothing else could tell.
/// Shows #removal-is-announced.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn a_removal_is_noticed_in_another_network_namespace() {
    if let Some(role) = process::role() {
        return watch_from_elsewhere(&role);
    }
    let space = Lockspace::new("net");
    eventually("the node is there", || space.path().exists());
    let node = ByHand::new(&space);
    let test = dlm_tests::test_name!(a_removal_is_noticed_in_another_network_namespace);
    removed_under_another(test, &["-n"], Some(&node), &space);
}

/// Shows #removal-is-announced.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn a_removal_is_noticed_in_another_user_namespace() {
    if let Some(role) = process::role() {
        return watch_from_elsewhere(&role);
    }
    let space = Lockspace::new("user");
    eventually("the node is there", || space.path().exists());
    let test = dlm_tests::test_name!(a_removal_is_noticed_in_another_user_namespace);
    removed_under_another(test, &["-U", "-n"], None, &space);
}
