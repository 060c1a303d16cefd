//! The lockspaces and resources that all threads share.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use dlm_runtime::{DeliveryThread, ErrorKind, Lock, Lockspace, Mode};
use dlm_tests::{PATIENCE, Place};

use super::resource::Resource;
use super::tell::{self, tell};
use super::ticket::Ledger;
use super::watch::{self, Desk};

pub(crate) const NAME: &str = "stress";
pub(crate) const THREADS: usize = 8;
const RESOURCES: usize = 64;

/// An open lockspace: an owner of locks.
pub(crate) struct Owner {
    pub(crate) ls: Lockspace,
    pub(crate) label: &'static str,
    /// Without one, the threads that wait for callbacks and futures dispatch.
    delivery: Mutex<Option<DeliveryThread>>,
    pub(crate) has_delivery: bool,
    /// Its locks may go any moment: it is closed in the middle, and another one opened.
    pub(crate) is_doomed: bool,
    pub(crate) closing: AtomicBool,
    /// Blocking callbacks that ran.
    pub(crate) notices: AtomicU64,
    /// Callbacks that panicked as they should.
    pub(crate) panics: AtomicU64,
}

impl Owner {
    fn new(ls: Lockspace, label: &'static str, has_delivery: bool, is_doomed: bool) -> Arc<Self> {
        let delivery = has_delivery.then(|| ls.start_delivery().unwrap());
        Arc::new(Self {
            ls,
            label,
            delivery: Mutex::new(delivery),
            has_delivery,
            is_doomed,
            closing: AtomicBool::new(false),
            notices: AtomicU64::new(0),
            panics: AtomicU64::new(0),
        })
    }

    fn doomed(place: &Place) -> Arc<Self> {
        Self::new(place.open(NAME).unwrap(), "doomed", true, true)
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::SeqCst)
    }

    /// Closes it while others use it.
    fn close(&self) {
        self.closing.store(true, Ordering::SeqCst);
        self.ls.close().unwrap();
        let delivery = self.delivery.lock().unwrap().take();
        if let Some(delivery) = delivery {
            let error = delivery.stop(PATIENCE).unwrap_err();
            assert!(matches!(error.kind, ErrorKind::Closed), "{error}");
        }
    }

    /// Stops its delivery thread, which must have run all the time.
    fn stop(&self) {
        let delivery = self.delivery.lock().unwrap().take();
        if let Some(delivery) = delivery {
            assert!(delivery.is_running(), "the delivery thread of {} ended", self.label);
            assert_eq!(delivery.callback_panics(), self.panics.load(Ordering::SeqCst));
            delivery.stop(PATIENCE).unwrap();
        }
    }
}

pub(crate) struct World {
    place: Place,
    pub(crate) seed: u64,
    start: Instant,
    /// Operations to do: requests, conversions and unlocks.
    pub(crate) wanted: u64,
    owners: Vec<Arc<Owner>>,
    doomed: Mutex<Arc<Owner>>,
    pub(crate) closes: AtomicU64,
    pub(crate) resources: Vec<Resource>,
    /// Locks with something in flight, for others to cancel or convert.
    pub(crate) victims: Vec<Mutex<Option<Arc<Lock>>>>,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) started: AtomicU64,
    pub(crate) desks: Vec<Desk>,
    pub(crate) tally: Tally,
    keepers: Mutex<Vec<Lock>>,
}

/// What happened how often.
#[derive(Default, Debug)]
pub(crate) struct Tally {
    pub(crate) granted: AtomicU64,
    pub(crate) again: AtomicU64,
    pub(crate) timed_out: AtomicU64,
    pub(crate) cancelled: AtomicU64,
    pub(crate) deadlock: AtomicU64,
    pub(crate) closed: AtomicU64,
    pub(crate) in_flight: AtomicU64,
    pub(crate) dropped_pending: AtomicU64,
    pub(crate) dropped_futures: AtomicU64,
    pub(crate) foreign_cancels: AtomicU64,
    pub(crate) nested: AtomicU64,
    pub(crate) written: AtomicU64,
}

pub(crate) fn add(count: &AtomicU64) {
    count.fetch_add(1, Ordering::Relaxed);
}

impl World {
    pub(crate) fn new(place: &Place, seed: u64, wanted: u64) -> Self {
        let first = place.create(NAME).unwrap();
        let open = || place.open(NAME).unwrap();
        let writing = place.options().background_writes().open(NAME).unwrap();
        let resources: Vec<_> =
            (0..RESOURCES).map(|n| Resource::new(format!("resource.{n}"))).collect();
        // Keep the value blocks, which go with the last lock of a resource.
        let keepers = resources
            .iter()
            .map(|resource| first.lock(&resource.name, Mode::Nl).with_lvb().wait().unwrap())
            .collect();
        Self {
            place: place.clone(),
            seed,
            start: Instant::now(),
            wanted,
            owners: vec![
                Owner::new(first, "delivery", true, false),
                Owner::new(open(), "dispatch", false, false),
                Owner::new(writing, "background", true, false),
            ],
            doomed: Mutex::new(Owner::doomed(place)),
            closes: AtomicU64::new(0),
            resources,
            victims: (0..THREADS).map(|_| Mutex::default()).collect(),
            ledger: Arc::default(),
            started: AtomicU64::new(0),
            desks: (0..THREADS).map(|_| Desk::default()).collect(),
            tally: Tally::default(),
            keepers: Mutex::new(keepers),
        }
    }

    pub(crate) fn millis(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap()
    }

    pub(crate) fn done(&self) -> u64 {
        self.started.load(Ordering::Relaxed)
    }

    /// Owner 0 to 3; the last is the doomed one of the moment.
    pub(crate) fn owner(&self, n: usize) -> Arc<Owner> {
        self.owners.get(n).map_or_else(|| Arc::clone(&self.doomed.lock().unwrap()), Arc::clone)
    }

    /// Closes the doomed lockspace under its users and opens another one.
    pub(crate) fn replace_doomed(&self) {
        let fresh = Owner::doomed(&self.place);
        let old = std::mem::replace(&mut *self.doomed.lock().unwrap(), fresh);
        old.close();
        add(&self.closes);
    }

    /// Checks that everything is over and nothing held.
    pub(crate) fn check_end(&self) {
        for victim in &self.victims {
            assert!(victim.lock().unwrap().is_none());
        }
        self.keepers.lock().unwrap().drain(..).for_each(|lock| lock.unlock().wait().unwrap());
        self.doomed.lock().unwrap().close();
        for owner in &self.owners {
            self.eventually(&format!("{} has no lock left", owner.label), || {
                // What nobody waits for is read by whoever comes along.
                owner.ls.dispatch().unwrap();
                owner.ls.lock_count() == 0
            });
            owner.stop();
            let counters = owner.ls.counters();
            eprintln!("stress: {}: {counters:?}", owner.label);
            assert_eq!(counters.dropped_results, 0, "{}: results of no lock", owner.label);
            let ran = owner.notices.load(Ordering::SeqCst);
            assert!(ran <= counters.blocking_notices, "{}: {ran} notices ran", owner.label);
            assert!(
                counters.grants + counters.refusals <= counters.requests + counters.conversions
            );
        }
        let left = self.place.locks_of(self.owners[0].ls.name());
        assert!(left.is_empty(), "the lock manager still has locks:\n{}", left.join("\n"));
        let sections: u64 = self.resources.iter().map(Resource::check_sections).sum();
        let reads: u64 = self.resources.iter().map(|r| r.reads.load(Ordering::SeqCst)).sum();
        eprintln!("stress: {sections} sections under EX, {reads} valid value blocks read");
        assert!(sections > 0 && reads > 0);
    }

    /// Checks the accounts of callbacks, when no lockspace is left that could have kept one.
    pub(crate) fn release(self) {
        let Self { owners, doomed, ledger, .. } = self;
        drop(doomed);
        // The first has created it, and is released when no other has it open.
        for owner in owners.into_iter().rev() {
            let owner = Arc::into_inner(owner).expect("nobody uses it any more");
            if owner.label == "delivery" {
                owner.ls.release().unwrap();
            } else {
                owner.ls.close().unwrap();
            }
        }
        let get = |count: &AtomicU64| count.load(Ordering::SeqCst);
        dlm_tests::eventually("each callback ran or was dropped", || {
            get(&ledger.started) == get(&ledger.ran) + get(&ledger.dropped)
        });
        assert_eq!(ledger.lost(), 0, "callbacks that never ran");
        eprintln!("stress: {} callbacks ran, {} dropped", get(&ledger.ran), get(&ledger.dropped));
    }

    fn eventually(&self, what: &str, mut condition: impl FnMut() -> bool) {
        let start = Instant::now();
        while !condition() {
            if start.elapsed() > PATIENCE {
                self.print();
                panic!("after {PATIENCE:?} still not true: {what}");
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    }

    /// All that can be told, for a failure.
    pub(crate) fn print(&self) {
        tell(format_args!("repeat it: {}", tell::command(&self.place, self.seed, self.wanted)));
        watch::print(&self.desks);
        let doomed = self.doomed.try_lock().map(|owner| Arc::clone(&owner)).ok();
        for owner in self.owners.iter().chain(&doomed) {
            tell(format_args!("{}: {:?}", owner.label, owner.ls.counters()));
            for lock in owner.ls.locks().into_iter().filter(|l| l.mode != Some(Mode::Nl)) {
                tell(format_args!("  {lock:?}"));
            }
        }
        tell(format_args!("{:?}", self.tally));
        // In the kernel's list NL is 0, in the column before the one for what is waited for.
        let locks = self.place.locks_of(self.owners[0].ls.name());
        tell(format_args!("the lock manager's locks:\n{}", locks.join("\n")));
    }
}
