//! Cached locks: each pair of things that can happen to one of them at the same time.

use std::io;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use shuttle::rand::{Rng, thread_rng};
use shuttle::thread;

use super::clock::while_time_passes;
use super::run::check_in;
use super::stage::{Stage, block_on, poll_once};
use crate::cache::{
    Acquired, Cached, Demotion, Guard, GuardKind, Hooks, Level, LockCache, Resource, Store, Value,
    ValueMut,
};
use crate::{Error, Lockspace, Mode};

const FOREVER: Duration = Duration::MAX;

/// There are a hundred pairs: each has one in so many of the schedules of other scenarios.
const PAIRS_SHARE: usize = 3;

/// Something that all nodes share, and who uses it now.
#[derive(Default)]
struct Disk {
    value: Mutex<u64>,
    readers: AtomicUsize,
    writers: AtomicUsize,
    /// The changes that were made.
    changes: AtomicUsize,
    /// A node has lost its locks: changes may be lost with it.
    is_lossy: AtomicBool,
    /// It was told that changes are lost.
    is_told: AtomicBool,
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One node's copy of it.
struct Copy {
    disk: Arc<Disk>,
    value: Mutex<Option<u64>>,
}

/// The hooks of a node.
struct Keeper(Arc<Copy>);

impl Hooks for Keeper {
    fn on_acquire(&self, acquired: &Acquired<'_>) -> io::Result<()> {
        if acquired.from <= Level::Null {
            thread::yield_now();
            let value = *locked(&self.0.disk.value);
            let old = locked(&self.0.value).replace(value);
            assert_eq!(old, None, "what was cached was not dropped");
        }
        Ok(())
    }

    fn on_demote(&self, demotion: &mut Demotion<'_>) -> io::Result<()> {
        thread::yield_now();
        let mut value = locked(&self.0.value);
        if demotion.is_lost() {
            *value = None;
            return Ok(());
        }
        if demotion.from == Level::Exclusive {
            *locked(&self.0.disk.value) = value.expect("it was loaded");
        }
        if demotion.left <= Level::Null {
            *value = None;
        }
        Ok(())
    }
}

/// The way of a cached value.
struct Row(Arc<Disk>);

impl Store for Row {
    type Value = u64;

    fn load(&self, _: &[u8], _: Option<u64>) -> io::Result<u64> {
        thread::yield_now();
        Ok(*locked(&self.0.value))
    }

    fn store(&self, _: &[u8], value: &u64) -> io::Result<()> {
        thread::yield_now();
        *locked(&self.0.value) = *value;
        Ok(())
    }

    fn lost(&self, _: &[u8], _: &u64) {
        self.0.is_told.store(true, Ordering::Relaxed);
    }
}

/// How what the lock protects is cached.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Not at all.
    Through,
    Hooks,
    Value,
}

/// A node with a cache.
struct Node {
    lockspace: Arc<Lockspace>,
    cache: LockCache,
    r: Resource,
    copy: Arc<Copy>,
    way: Way,
    value: Option<Cached<Row>>,
}

impl Node {
    fn new(stage: &Stage, disk: &Arc<Disk>, way: Way) -> Self {
        let lockspace = stage.open();
        let copy = Arc::new(Copy { disk: Arc::clone(disk), value: Mutex::default() });
        let options = LockCache::builder(&lockspace).minimum_hold(Duration::ZERO).idle_time(None);
        let cache = if way == Way::Hooks {
            options.hooks(Keeper(Arc::clone(&copy))).start().unwrap()
        } else {
            options.start().unwrap()
        };
        let value = (way == Way::Value).then(|| cache.cached("a", Row(Arc::clone(disk))).unwrap());
        let r = cache.resource("a").unwrap();
        Self { lockspace, cache, r, copy, way, value }
    }

    /// Uses what a guard protects, and sees that nobody else does who must not.
    fn work<K: GuardKind>(&self, guard: &Guard<&Resource, K>) {
        self.use_with(guard, || match self.way {
            Way::Hooks => *locked(&self.copy.value).as_mut().expect("it is loaded") += 1,
            Way::Through => *locked(&self.copy.disk.value) += 1,
            // It cannot be had by a bare guard.
            Way::Value => _ = self.copy.disk.changes.fetch_sub(1, Ordering::Relaxed),
        });
    }

    fn use_with<K: GuardKind>(&self, guard: &Guard<&Resource, K>, change: impl FnOnce()) {
        let Disk { readers, writers, changes, .. } = &*self.copy.disk;
        let writes = K::LEVEL == Level::Exclusive;
        let mine = if writes { writers } else { readers };
        mine.fetch_add(1, Ordering::Relaxed);
        thread::yield_now();
        let others = [writers.load(Ordering::Relaxed), readers.load(Ordering::Relaxed)];
        if writes && guard.is_valid() {
            changes.fetch_add(1, Ordering::Relaxed);
            change();
        }
        // One that was lost protects nothing, and can tell.
        if guard.is_valid() && !self.is_lossy() {
            assert_eq!(others, if writes { [1, 0] } else { [0, others[1]] }, "they meet");
        }
        mine.fetch_sub(1, Ordering::Relaxed);
    }

    fn is_lossy(&self) -> bool {
        self.copy.disk.is_lossy.load(Ordering::Relaxed)
    }

    fn read_value(&self, value: &Value<'_, Row>) {
        self.use_with(value.guard(), || {});
        let changes = self.copy.disk.changes.load(Ordering::Relaxed);
        let is_valid = value.guard().is_valid() && !self.is_lossy();
        assert!(!is_valid || usize::try_from(**value) == Ok(changes), "stale: {}", **value);
    }

    fn change_value(&self, value: &mut ValueMut<'_, Row>) {
        let (old, mut new) = (**value, None);
        self.use_with(value.guard(), || new = Some(old + 1));
        if let Some(new) = new {
            **value = new;
        }
        if thread_rng().gen_bool(0.3) {
            if let Err(error) = value.sync() {
                let is_lost = error.kind() == io::ErrorKind::NotConnected;
                assert!(is_lost && self.is_lossy(), "{error}");
            }
        }
    }

    fn read(&self) -> Result<(), Error> {
        match &self.value {
            Some(value) => self.read_value(&value.read().wait()?),
            None => self.work(&self.r.shared().wait()?),
        }
        Ok(())
    }

    fn write(&self) -> Result<(), Error> {
        match &self.value {
            Some(value) => self.change_value(&mut value.write().wait()?),
            None => self.work(&self.r.exclusive().wait()?),
        }
        Ok(())
    }

    /// The same as a task.
    async fn write_and_read(&self) -> Result<(), Error> {
        if let Some(value) = &self.value {
            self.change_value(&mut value.write().get().await?);
            self.read_value(&value.read().get().await?);
        } else {
            self.work(&self.r.exclusive().await?);
            self.work(&self.r.shared().await?);
        }
        Ok(())
    }
}

/// Something that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Read,
    Write,
    Upgrade,
    Downgrade,
    Try,
    Task,
    Abandon,
    OthersRead,
    OthersWrite,
    OthersUpgrade,
    WithoutCache,
    Shrink,
    Close,
    Loss,
}

use Act::*;

/// All but the ends, which fit with everything but each other.
const ACTS: [Act; 14] = [
    Read,
    Write,
    Upgrade,
    Downgrade,
    Try,
    Task,
    Abandon,
    OthersRead,
    OthersWrite,
    OthersUpgrade,
    WithoutCache,
    Shrink,
    Close,
    Loss,
];

fn upgrade(node: &Node) -> Result<(), Error> {
    let guard = node.r.shared().wait()?;
    node.work(&guard);
    let seen = node.copy.disk.changes.load(Ordering::Relaxed);
    let upgrade = guard.upgrade().wait()?;
    let is_lost = upgrade.is_lost();
    let guard = upgrade.into_guard();
    let is_changed = node.copy.disk.changes.load(Ordering::Relaxed) != seen;
    let is_lossy = node.copy.disk.is_lossy.load(Ordering::Relaxed);
    assert!(is_lost || !is_changed || is_lossy, "what was read is old, and nobody said so");
    node.work(&guard);
    Ok(())
}

fn act(what: Act, mine: &Node, theirs: &Node) -> Result<(), Error> {
    match what {
        Read => mine.read(),
        Write => mine.write(),
        Upgrade => upgrade(mine),
        Downgrade => {
            let guard = mine.r.exclusive().wait()?;
            mine.work(&guard);
            mine.work(&guard.downgrade());
            Ok(())
        }
        Try => {
            if let Some(guard) = mine.r.try_exclusive()? {
                mine.work(&guard);
            }
            if let Some(guard) = mine.r.try_shared()? {
                mine.work(&guard);
            }
            Ok(())
        }
        Task => block_on(mine.write_and_read()),
        Abandon => {
            for _ in 0..2 {
                let future =
                    pin!(async { mine.r.exclusive().await.map(|guard| mine.work(&guard)) });
                let _ = poll_once(future);
            }
            Ok(())
        }
        OthersRead => theirs.read(),
        OthersWrite => theirs.write(),
        OthersUpgrade => upgrade(theirs),
        WithoutCache => {
            let lock = theirs.lockspace.lock("a", Mode::Ex).wait()?;
            thread::yield_now();
            lock.unlock().wait()?;
            Ok(())
        }
        Shrink => {
            mine.cache.shrink(usize::MAX);
            Ok(())
        }
        Close => mine.cache.close(FOREVER),
        Loss => {
            mine.copy.disk.is_lossy.store(true, Ordering::Relaxed);
            mine.lockspace.close()
        }
    }
}

/// Lets two things happen at the same time, of a lock that is there already in some mode.
fn together(acts: [Act; 2]) {
    println!("{acts:?}");
    check_in(PAIRS_SHARE, move || {
        let stage = Stage::new();
        let disk = Arc::<Disk>::default();
        let way = [Way::Through, Way::Hooks, Way::Value][thread_rng().gen_range(0..3)];
        let [mine, theirs] = [(); 2].map(|()| Node::new(&stage, &disk, way));
        match thread_rng().gen_range(0..3) {
            0 => {}
            1 => mine.read().unwrap(),
            _ => mine.write().unwrap(),
        }
        let do_both = || {
            thread::scope(|scope| {
                for what in acts {
                    let (mine, theirs) = (&mine, &theirs);
                    scope.spawn(move || {
                        if let Err(error) = act(what, mine, theirs) {
                            let ends = acts.contains(&Close) || acts.contains(&Loss);
                            assert!(ends && error.is_closed(), "{what:?}: {error}");
                        }
                    });
                }
            });
            for node in [&mine, &theirs] {
                node.cache.close(FOREVER).unwrap();
            }
        };
        if acts.contains(&Abandon) {
            // A conversion that meets the late cancel of a grant is written again after a while.
            while_time_passes(do_both);
        } else {
            do_both();
        }
        let is_lossy = acts.contains(&Loss);
        let value = *locked(&disk.value);
        let changes = u64::try_from(disk.changes.load(Ordering::Relaxed)).unwrap();
        assert!(value == changes || is_lossy && value < changes, "{value} of {changes}");
        let is_told = way != Way::Value || disk.is_told.load(Ordering::Relaxed);
        assert!(value == changes || is_told, "a change is lost, and nobody was told");
        let lockspaces = [mine, theirs].map(|node| {
            let Node { lockspace, cache, r, value, .. } = node;
            drop((cache, r, value));
            lockspace
        });
        stage.finish(&[&lockspaces[0], &lockspaces[1]]);
    });
}

fn with_all(what: Act) {
    let from = ACTS.iter().position(|act| *act == what).unwrap();
    for other in &ACTS[from..] {
        let ends = [Close, Loss];
        if ends.contains(&what) && ends.contains(other) {
            continue;
        }
        together([what, *other]);
    }
}

#[test]
fn a_reader_beside_everything() {
    with_all(Read);
}

#[test]
fn a_writer_beside_everything() {
    with_all(Write);
}

#[test]
fn an_upgrade_beside_everything() {
    with_all(Upgrade);
}

#[test]
fn a_downgrade_beside_everything() {
    with_all(Downgrade);
}

#[test]
fn a_try_beside_everything() {
    with_all(Try);
}

#[test]
fn a_task_beside_everything() {
    with_all(Task);
    with_all(Abandon);
}

#[test]
fn a_reader_elsewhere_beside_everything() {
    with_all(OthersRead);
}

#[test]
fn a_writer_elsewhere_beside_everything() {
    with_all(OthersWrite);
    with_all(OthersUpgrade);
}

#[test]
fn one_without_a_cache_beside_everything() {
    with_all(WithoutCache);
    with_all(Shrink);
}
