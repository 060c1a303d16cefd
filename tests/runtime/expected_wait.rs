//! Operations that have to wait, as where the master of the resource is another node: what a thread
//! does until it sleeps.

use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use dlm_runtime::backend::{
    Abi, Accepted, Backend, BackendDevice, Command, Error, LockspaceFlags, LockspaceName,
    MAX_RESULT_LEN, Minor, RemoveFlags,
};
use dlm_runtime::{LockspaceOptions, Mode};
use dlm_tests::Place;

dlm_tests::everywhere! {
    a_thread_looks_once_before_it_sleeps,
}

const PAIRS: usize = 50;

/// What a device does, and has done.
#[derive(Debug, Default)]
struct Looks {
    /// The next look is the first after a request, and finds nothing.
    is_first: AtomicBool,
    found_nothing: AtomicUsize,
}

#[derive(Debug)]
struct Watched {
    inner: Arc<dyn Backend>,
    looks: Arc<Looks>,
}

#[derive(Debug)]
struct WatchedDevice {
    inner: Box<dyn BackendDevice>,
    looks: Arc<Looks>,
}

impl Backend for Watched {
    fn create(&self, name: &LockspaceName, flags: LockspaceFlags) -> Result<Minor, Error> {
        self.inner.create(name, flags)
    }

    fn remove(&self, minor: Minor, flags: RemoveFlags) -> Result<(), Error> {
        self.inner.remove(minor, flags)
    }

    fn find(&self, name: &LockspaceName) -> Result<Option<Minor>, Error> {
        self.inner.find(name)
    }

    fn open(
        &self,
        name: &LockspaceName,
        minor: Option<Minor>,
        timeout: Duration,
    ) -> Result<Box<dyn BackendDevice>, Error> {
        let inner = self.inner.open(name, minor, timeout)?;
        Ok(Box::new(WatchedDevice { inner, looks: Arc::clone(&self.looks) }))
    }
}

impl BackendDevice for WatchedDevice {
    fn abi(&self) -> Abi {
        self.inner.abi()
    }

    fn minor(&self) -> Minor {
        self.inner.minor()
    }

    fn submit(&self, command: Command, request: &[u8]) -> Result<Accepted, Error> {
        self.looks.is_first.store(true, SeqCst);
        self.inner.submit(command, request)
    }

    fn read_result(&self, buffer: &mut [u8; MAX_RESULT_LEN]) -> Result<Option<usize>, Error> {
        let hides = self.looks.is_first.swap(false, SeqCst);
        let read = if hides { Ok(None) } else { self.inner.read_result(buffer) };
        if matches!(read, Ok(None)) {
            self.looks.found_nothing.fetch_add(1, SeqCst);
        }
        read
    }

    fn results(&self) -> BorrowedFd<'_> {
        self.inner.results()
    }

    fn removal(&self) -> BorrowedFd<'_> {
        self.inner.removal()
    }

    fn was_removed(&self) -> Result<bool, Error> {
        self.inner.was_removed()
    }
}

fn a_thread_looks_once_before_it_sleeps(place: &Place) {
    let looks = Arc::new(Looks::default());
    let backend = Watched { inner: place.backend(), looks: Arc::clone(&looks) };
    let ls = LockspaceOptions::new().backend(backend).create("expected-wait").unwrap();
    for _ in 0..PAIRS {
        ls.lock("r", Mode::Ex).wait().unwrap().unlock().wait().unwrap();
    }
    assert_eq!(looks.found_nothing.load(SeqCst), 2 * PAIRS);
    ls.release().unwrap();
}
