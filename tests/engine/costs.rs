//! What a cached lock costs: the short way nothing but instructions, the rest some memory.

use std::cell::Cell;
use std::future::IntoFuture as _;
use std::os::fd::BorrowedFd;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use dlm_runtime::Lockspace;
use dlm_runtime::backend::proto::RemoveFlags;
use dlm_runtime::backend::{
    Abi, Accepted, Backend, BackendDevice, Command, Error, LockspaceFlags, LockspaceName,
    MAX_RESULT_LEN, Minor, Status,
};
use dlm_runtime::cache::LockCache;
use dlm_runtime::engine::{Cluster, Node};

use super::allocator::{counts, paused};

thread_local! {
    /// What would be a system call.
    static CALLS: Cell<usize> = const { Cell::new(0) };
}

/// A node whose requests and results are counted, and whose memory is not.
#[derive(Debug, Clone)]
struct Counted(Node);

#[derive(Debug)]
struct CountedDevice(Box<dyn BackendDevice>);

fn call<T>(work: impl FnOnce() -> T) -> T {
    CALLS.set(CALLS.get() + 1);
    paused(work)
}

impl Backend for Counted {
    fn create(&self, name: &LockspaceName, flags: LockspaceFlags) -> Result<Minor, Error> {
        self.0.create(name, flags)
    }

    fn remove(&self, minor: Minor, flags: RemoveFlags) -> Result<(), Error> {
        self.0.remove(minor, flags)
    }

    fn find(&self, name: &LockspaceName) -> Result<Option<Minor>, Error> {
        self.0.find(name)
    }

    fn open(
        &self,
        name: &LockspaceName,
        minor: Option<Minor>,
        timeout: Duration,
    ) -> Result<Box<dyn BackendDevice>, Error> {
        Ok(Box::new(CountedDevice(self.0.open(name, minor, timeout)?)))
    }

    fn status(&self, name: &LockspaceName) -> Status {
        self.0.status(name)
    }
}

impl BackendDevice for CountedDevice {
    fn abi(&self) -> Abi {
        self.0.abi()
    }

    fn minor(&self) -> Minor {
        self.0.minor()
    }

    fn submit(&self, command: Command, request: &[u8]) -> Result<Accepted, Error> {
        call(|| self.0.submit(command, request))
    }

    fn read_result(&self, buffer: &mut [u8; MAX_RESULT_LEN]) -> Result<Option<usize>, Error> {
        call(|| self.0.read_result(buffer))
    }

    fn results(&self) -> BorrowedFd<'_> {
        self.0.results()
    }

    fn removal(&self) -> BorrowedFd<'_> {
        self.0.removal()
    }

    fn was_removed(&self) -> Result<bool, Error> {
        call(|| self.0.was_removed())
    }
}

fn cache() -> LockCache {
    let lockspace = Lockspace::create_on(Counted(Cluster::default().node(1)), "costs").unwrap();
    LockCache::builder(&lockspace).idle_time(None).start().unwrap()
}

/// Runs something that must allocate nothing and ask nobody.
fn costs_nothing(what: &str, work: impl Fn()) {
    let before = (counts(), CALLS.get());
    for _ in 0..1000 {
        work();
    }
    assert_eq!((counts(), CALLS.get()), before, "{what}");
}

#[test]
fn the_short_way_allocates_nothing_and_asks_nobody() {
    let cache = cache();
    let disk = cache.resource("disk0").unwrap();
    let before = (counts().0, CALLS.get());
    drop(disk.exclusive().wait().unwrap());
    // What is counted below does count.
    assert!(counts().0 > before.0 && CALLS.get() > before.1);
    costs_nothing("exclusive", || drop(disk.exclusive().wait().unwrap()));
    costs_nothing("shared", || {
        let guards = [(); 3].map(|()| disk.shared().wait().unwrap());
        assert!(guards.iter().all(dlm_runtime::cache::Guard::is_valid));
    });
    costs_nothing("by name", || drop(cache.lock("disk0").exclusive().wait().unwrap()));
    costs_nothing("a try", || drop(disk.try_exclusive().unwrap().unwrap()));
    costs_nothing("with a deadline", || {
        drop(disk.shared().timeout(Duration::from_secs(1)).wait().unwrap());
    });
    costs_nothing("a downgrade", || drop(disk.exclusive().wait().unwrap().downgrade()));
    costs_nothing("owned", || drop(disk.owned().exclusive().wait().unwrap()));
    costs_nothing("a future", || {
        let mut future = pin!(disk.exclusive().into_future());
        let poll = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        let Poll::Ready(Ok(guard)) = poll else { panic!("it waits") };
        drop(guard);
    });
}

#[test]
fn a_resource_takes_little_memory() {
    const COUNT: i32 = 30_000;
    let cache = cache();
    let names: Vec<_> = (0..COUNT).map(|number| format!("r{number:07}")).collect();
    let start = counts().1;
    let each = || (counts().1 - start) as f64 / f64::from(COUNT);
    for name in &names {
        cache.resource(name).unwrap();
    }
    let known = each();
    for name in &names {
        drop(cache.lock(name).exclusive().wait().unwrap());
    }
    let held = each();
    println!("{known:.0} bytes known, {held:.0} held");
    assert!(known < 200.0, "{known} bytes for a resource that is known");
    assert!(held < 720.0, "{held} bytes for a lock that is held");
    assert_eq!(cache.shrink(usize::MAX), names.len());
}
