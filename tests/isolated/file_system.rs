//! A lockspace that a file system has made, and programs beside it: ocfs2 on the kernel's DLM, mounted
//! without dlm_controld. `cargo xtask test` puts its tools and modules into the machine.

use std::fs::{self, File};
use std::io::Write as _;
use std::process::{Command, Output};
use std::sync::Once;

use dlm_runtime::inspect::{Snapshot, meaning, merge};
use dlm_runtime::{ErrorKind, Lockspace, LockspaceOptions, Mode};
use dlm_tests::{PATIENCE, block, eventually};

/// The tool and the modules.
const TOOLS: &str = "/ocfs2";
const CLUSTER: &str = "/sys/kernel/config/dlm/cluster";

/// A file system in a file. Its lockspace has its UUID for a name.
struct FileSystem {
    name: String,
    device: String,
    folder: String,
}

fn run(program: &str, arguments: &[&str]) -> Output {
    Command::new(program).args(arguments).output().unwrap()
}

#[track_caller]
fn must(program: &str, arguments: &[&str]) {
    let output = run(program, arguments);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {} {said}", output.status);
}

fn prepare() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        for name in fs::read_to_string(format!("{TOOLS}/modules")).unwrap().lines() {
            if !fs::exists(format!("/sys/module/{name}")).unwrap() {
                must("insmod", &[&format!("{TOOLS}/{name}.ko")]);
            }
        }
        std::os::unix::fs::symlink("/proc/mounts", "/etc/mtab").unwrap();
        fs::write("/sys/fs/ocfs2/cluster_stack", "pcmk").unwrap();
        // As dlm_controld does: the kernel itself calls the file system when a node is lost.
        fs::write(format!("{CLUSTER}/recover_callbacks"), "1").unwrap();
        fs::write(format!("{CLUSTER}/cluster_name"), "dlm").unwrap();
    });
}

impl FileSystem {
    /// A new one, with a number of its own. It is not mounted.
    fn new(number: u8) -> Self {
        prepare();
        let name = format!("D1A{number:029X}");
        let (device, folder) = (format!("/dev/loop{number}"), format!("/mnt{number}"));
        let file = format!("/tmp/disk{number}");
        File::create(&file).unwrap().set_len(60 << 20).unwrap();
        must("losetup", &[&device, &file]);
        let tool = format!("{TOOLS}/mkfs.ocfs2");
        let size = ["-N", "2", "-J", "size=4M", "-b", "4K", "-C", "4K"];
        let cluster = ["--cluster-stack=pcmk", "--cluster-name=dlm"];
        must(&tool, &[&["-x", "-F", "-U", &name, &device], &size[..], &cluster].concat());
        fs::create_dir(&folder).unwrap();
        Self { name, device, folder }
    }

    fn try_to_mount(&self) -> bool {
        let Self { device, folder, .. } = self;
        let arguments = ["-t", "ocfs2", "-o", "cluster_stack=pcmk", device, folder];
        run("mount", &arguments).status.success()
    }

    #[track_caller]
    fn mount(&self) {
        assert!(self.try_to_mount(), "{}", fs::read_to_string("/proc/mounts").unwrap());
        self.works();
    }

    /// That files can be made, written and removed, which takes locks.
    #[track_caller]
    fn works(&self) {
        let path = format!("{}/file", self.folder);
        let mut file = File::create(&path).unwrap();
        file.write_all(b"content").unwrap();
        file.sync_all().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"content");
        fs::remove_file(&path).unwrap();
        assert!(self.has_lockspace());
    }

    #[track_caller]
    fn unmount(&self) {
        must("umount", &[&self.folder]);
    }

    /// Whether the kernel has its lockspace.
    fn has_lockspace(&self) -> bool {
        fs::exists(format!("/sys/kernel/dlm/{}", self.name)).unwrap()
    }
}

/// That two handles exclude each other.
#[track_caller]
fn lock_in(ls: &Lockspace, other: &Lockspace) {
    let held = ls.lock("ours", Mode::Ex).wait().unwrap();
    let refused = other.lock("ours", Mode::Ex).no_queue().wait();
    assert!(refused.unwrap_err().would_block());
    held.unlock().wait().unwrap();
    other.lock("ours", Mode::Ex).no_queue().wait().unwrap().unlock().wait().unwrap();
}

#[test]
#[ignore = "needs a DLM device and ocfs2: cargo xtask test runs it in a VM"]
fn the_lockspace_of_a_mounted_file_system_is_shared_and_given_back() {
    let mounted = FileSystem::new(1);
    let name = &mounted.name;
    mounted.mount();
    // Without a device nobody can open it.
    assert!(Lockspace::open(name).unwrap_err().is_no_lockspace());
    let refused = LockspaceOptions::new().exclusive().create(name).unwrap_err();
    assert_eq!(refused.raw_os_error(), Some(libc::EEXIST), "{refused}");
    let ls = Lockspace::create(name).unwrap();
    let other = Lockspace::open(name).unwrap();
    lock_in(&ls, &other);
    mounted.works();
    // A reference is given back, with force and without, and not the file system's.
    let second = Lockspace::create(name).unwrap();
    second.force_release().unwrap();
    mounted.works();
    lock_in(&ls, &other);
    other.close().unwrap();
    ls.release().unwrap();
    mounted.works();
    // Nor with those of killed programs.
    drop(Lockspace::create(name).unwrap());
    let error = LockspaceOptions::new().remove_all(name).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EBUSY), "{error}");
    mounted.works();
    mounted.unmount();
    assert!(!mounted.has_lockspace(), "a reference is left");
    mounted.mount();
    mounted.unmount();
}

#[test]
#[ignore = "needs a DLM device and ocfs2: cargo xtask test runs it in a VM"]
fn the_locks_of_a_file_system_are_shown_with_their_meaning() {
    let mounted = FileSystem::new(6);
    mounted.mount();
    let snapshot = Snapshot::of_kernel_with(&mounted.name).unwrap();
    let space = snapshot.lockspace(&mounted.name).unwrap();
    assert_eq!((space.minor, space.is_left_behind()), (None, Some(false)), "it has no device");
    let locks = merge(&[snapshot]);
    let meanings: Vec<String> =
        locks.iter().filter_map(|resource| meaning(&resource.lockspace, &resource.name)).collect();
    for wanted in ["OCFS2: superblock", "OCFS2: metadata of inode "] {
        assert!(meanings.iter().any(|it| it.starts_with(wanted)), "{wanted}: {locks:?}");
    }
    mounted.unmount();
}

/// Shows #value-blocks-of-a-file-system. Only stores: a fetch would write into the kernel's memory.
#[test]
#[ignore = "needs a DLM device and ocfs2: cargo xtask test runs it in a VM"]
fn a_value_block_beside_ocfs2_is_stored_with_32_bytes_of_the_kernel() {
    let mounted = FileSystem::new(5);
    mounted.mount();
    let ls = Lockspace::create(&mounted.name).unwrap();
    let lock = ls.lock("block", Mode::Ex).wait().unwrap();
    let _ = lock.convert(Mode::Nl).write_lvb(block(b'A')).wait().unwrap();
    let list = fs::read_to_string(format!("/sys/kernel/debug/dlm/{}_all", mounted.name)).unwrap();
    let ours = format!("lvb 1 64{} ", " 41".repeat(32));
    assert!(list.lines().any(|line| line.starts_with(&ours)), "{list}");
    lock.unlock().wait().unwrap();
    ls.release().unwrap();
    mounted.unmount();
}

#[test]
#[ignore = "needs a DLM device and ocfs2: cargo xtask test runs it in a VM"]
fn a_lockspace_outlives_its_file_system_as_long_as_a_program_has_a_reference() {
    let mounted = FileSystem::new(2);
    mounted.mount();
    let ls = Lockspace::create(&mounted.name).unwrap();
    let other = Lockspace::open(&mounted.name).unwrap();
    let held = ls.lock("held", Mode::Ex).wait().unwrap();
    mounted.unmount();
    assert_eq!(held.mode(), Some(Mode::Ex));
    lock_in(&ls, &other);
    // As long as it is there the file system cannot have it.
    assert!(!mounted.try_to_mount());
    held.unlock().wait().unwrap();
    other.close().unwrap();
    ls.release().unwrap();
    assert!(!mounted.has_lockspace());
    mounted.mount();
    mounted.unmount();
}

#[test]
#[ignore = "needs a DLM device and ocfs2: cargo xtask test runs it in a VM"]
fn a_file_system_is_unmounted_under_an_open_handle() {
    let mounted = FileSystem::new(3);
    mounted.mount();
    let ls = Lockspace::create(&mounted.name).unwrap();
    let other = Lockspace::open(&mounted.name).unwrap();
    let delivery = other.start_delivery().unwrap();
    ls.release().unwrap();
    let held = other.lock("held", Mode::Ex).wait().unwrap();
    // The kernel's end of the lockspace waits until the handle is closed, which the thread sees to.
    mounted.unmount();
    eventually("the thread has told of it", || !other.is_open());
    let error = other.lock("r", Mode::Ex).wait().unwrap_err();
    assert!(matches!(error.kind, ErrorKind::Removed), "{error}");
    assert_eq!(held.mode(), None);
    assert!(delivery.stop(PATIENCE).is_err());
    assert!(!mounted.has_lockspace());
}

#[test]
#[ignore = "needs a DLM device and ocfs2: cargo xtask test runs it in a VM"]
fn a_program_that_was_first_keeps_its_lockspace_from_the_file_system() {
    let mounted = FileSystem::new(4);
    let ls = Lockspace::create(&mounted.name).unwrap();
    let other = Lockspace::open(&mounted.name).unwrap();
    let held = ls.lock("held", Mode::Ex).wait().unwrap();
    assert!(!mounted.try_to_mount());
    assert_eq!(held.mode(), Some(Mode::Ex));
    lock_in(&ls, &other);
    held.unlock().wait().unwrap();
    other.close().unwrap();
    ls.release().unwrap();
    assert!(!mounted.has_lockspace());
    mounted.mount();
    mounted.unmount();
}
