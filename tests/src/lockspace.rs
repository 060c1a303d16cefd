//! A lockspace for one test.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use dlm_proto::{LockspaceFlags, LockspaceName, Minor, RemoveFlags};
use dlm_sys::{ControlDevice, Errno, Error, LockspaceDevice};

use crate::session::Session;
use crate::wait::{PATIENCE, within};

/// The control device.
///
/// # Panics
///
/// If there is none: these tests cannot run then, and must not seem to have passed.
#[must_use]
#[track_caller]
pub fn control_device() -> ControlDevice {
    match ControlDevice::open() {
        Ok(control) => control,
        Err(error) => panic!(
            "this test needs a DLM device and root; cargo xtask test runs it in a VM\n  {error}"
        ),
    }
}

/// A lockspace of a name that nobody else uses. When dropped it is removed, whatever is left in it.
#[derive(Debug)]
pub struct Lockspace {
    control: Arc<ControlDevice>,
    name: LockspaceName,
    minor: Minor,
    /// How often it was created and not yet removed.
    references: AtomicU32,
}

impl Lockspace {
    /// Creates a lockspace, with `topic` in its name.
    ///
    /// # Panics
    ///
    /// If the kernel refuses.
    #[must_use]
    #[track_caller]
    pub fn new(topic: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Relaxed);
        Self::named(&format!("{topic}.{}.{count}", std::process::id()))
    }

    /// Creates a lockspace of exactly this name.
    ///
    /// # Panics
    ///
    /// If the kernel refuses.
    #[must_use]
    #[track_caller]
    pub fn named(name: &str) -> Self {
        let name = LockspaceName::new(name.as_bytes()).expect("the test's name is a safe one");
        let control = Arc::new(control_device());
        let minor = match control.create_lockspace(&name, LockspaceFlags::empty()) {
            Ok(minor) => minor,
            Err(error) => panic!("create lockspace {name}: {error}"),
        };
        Self { control, name, minor, references: AtomicU32::new(1) }
    }

    /// The control device through which it was created.
    #[must_use]
    pub fn control(&self) -> &ControlDevice {
        &self.control
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &LockspaceName {
        &self.name
    }

    /// The minor number of its device.
    #[must_use]
    pub fn minor(&self) -> Minor {
        self.minor
    }

    /// The node of its device.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        PathBuf::from(format!("/dev/dlm_{}", self.name))
    }

    /// Opens its device: a new owner of locks.
    ///
    /// # Panics
    ///
    /// If that fails.
    #[must_use]
    #[track_caller]
    pub fn open(&self) -> Session<'_> {
        match LockspaceDevice::open_within(&self.name, Some(self.minor), PATIENCE) {
            Ok(device) => Session::new(device),
            Err(error) => panic!("open lockspace {}: {error}", self.name),
        }
    }

    /// Counts one more creation, which the test made by other means.
    pub fn count_creation(&self) {
        self.references.fetch_add(1, Relaxed);
    }

    /// Counts one removal, which the test made by other means.
    pub fn count_removal(&self) {
        self.references.fetch_sub(1, Relaxed);
    }

    /// Removes one reference, and says what the kernel answered.
    ///
    /// # Errors
    ///
    /// The kernel's.
    ///
    /// # Panics
    ///
    /// If the kernel does not answer in time: somebody has the device open.
    #[track_caller]
    pub fn remove(&self, flags: RemoveFlags) -> Result<(), Errno> {
        // Whatever comes of it: who waits in vain has removed it, too.
        let left = self.references.fetch_sub(1, Relaxed);
        assert!(left > 0, "the test removes {} more often than it created it", self.name);
        let (control, minor) = (Arc::clone(&self.control), self.minor);
        let answer = within(move || control.remove_lockspace(minor, flags)).unwrap_or_else(|| {
            panic!("lockspace {} is not removed within {PATIENCE:?}: still open?", self.name)
        });
        answer.map_err(|error: Error| {
            self.references.fetch_add(1, Relaxed);
            error.errno().unwrap_or_else(|| panic!("not the kernel's answer: {error}"))
        })
    }

    /// Stops the lockspace, as the cluster's daemon does when the membership changes, until the
    /// returned guard is dropped.
    ///
    /// # Panics
    ///
    /// If that fails.
    #[must_use]
    #[track_caller]
    pub fn stop(&self) -> Stopped {
        stop(&self.name)
    }
}

/// Stops a lockspace by its name.
#[track_caller]
pub(crate) fn stop(name: &LockspaceName) -> Stopped {
    let control = PathBuf::from(format!("/sys/kernel/dlm/{name}/control"));
    std::fs::write(&control, "0").expect("stop the lockspace");
    Stopped { control }
}

/// A lockspace that is stopped: requests and closes block in the kernel.
#[derive(Debug)]
pub struct Stopped {
    control: PathBuf,
}

impl Drop for Stopped {
    fn drop(&mut self) {
        if let Err(error) = std::fs::write(&self.control, "1") {
            eprintln!("start the lockspace again: {error}");
        }
    }
}

impl Drop for Lockspace {
    fn drop(&mut self) {
        // A removal would block for ever, and then the end of this process, too.
        if is_open_here(&self.path()) {
            report(&format!("lockspace {} is still open in this process", self.name));
            return;
        }
        while self.references.load(Relaxed) > 0 {
            if let Err(errno) = self.remove(RemoveFlags::FORCEFREE) {
                report(&format!("lockspace {} cannot be removed: {errno}", self.name));
                return;
            }
        }
    }
}

/// Fails the test, unless it has failed already.
fn report(text: &str) {
    assert!(std::thread::panicking(), "{text}");
    eprintln!("{text}");
}

fn is_open_here(node: &Path) -> bool {
    let Ok(folder) = std::fs::read_dir("/proc/self/fd") else { return false };
    folder.flatten().any(|entry| std::fs::read_link(entry.path()).is_ok_and(|path| path == node))
}
