//! Cached locks: local use, giving way, hooks, value blocks, upgrades, limits, and the end.

use std::io;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use dlm_runtime::cache::{Acquired, Cause, Demotion, Hooks, Level, LockCache, Upgrade};
use dlm_runtime::{ErrorKind, Lockspace, Mode, ValueBlock};
use dlm_tests::{PATIENCE, Place, block_on, eventually};

dlm_tests::everywhere! {
    a_cached_lock_costs_no_operation,
    readers_share_and_a_writer_is_alone,
    another_node_gets_what_is_cached,
    a_reader_elsewhere_leaves_the_lock_in_pr,
    a_lock_is_kept_for_the_minimum_hold_and_local_users_come_in,
    a_guard_that_others_wait_for_is_overdue,
    a_try_waits_for_nobody_and_is_told_to_the_cache_elsewhere,
    time_runs_out_for_threads_and_tasks,
    a_task_that_gives_up_holds_nothing,
    value_blocks_go_with_the_lock,
    hooks_load_and_write_back,
    a_hook_that_fails_keeps_the_lock,
    a_hook_that_cannot_load_is_told_to_who_waits,
    a_slow_hook_holds_up_no_other_lock,
    two_upgrades_both_get_there_and_one_has_lost,
    an_upgrade_on_two_nodes_is_lost_on_one,
    a_downgrade_lets_readers_in,
    too_many_locks_are_given_back,
    idle_locks_are_given_back,
    shrinking_gives_back_what_is_not_used,
    a_closed_cache_gives_everything_back,
    the_end_of_the_lockspace_is_told,
    many_threads_count_on_many_nodes,
}

/// Caches that give way at once.
fn cache(ls: &Lockspace) -> LockCache {
    LockCache::builder(ls).minimum_hold(Duration::ZERO).start().unwrap()
}

fn two_caches(place: &Place, name: &str) -> (Lockspace, Lockspace, LockCache, LockCache) {
    let (ls, other) = place.open_twice(name);
    let caches = (cache(&ls), cache(&other));
    (ls, other, caches.0, caches.1)
}

fn finish(ls: Lockspace, other: &Lockspace, caches: &[&LockCache]) {
    for cache in caches {
        cache.close(PATIENCE).unwrap();
    }
    other.close().unwrap();
    ls.release().unwrap();
}

fn a_cached_lock_costs_no_operation(place: &Place) {
    let (ls, other, mine, _theirs) = two_caches(place, "ca-hit");
    let r = mine.resource("r").unwrap();
    assert_eq!(r.name(), b"r");
    for _ in 0..100 {
        let guard = r.exclusive().wait().unwrap();
        assert!(guard.is_valid() && !guard.is_overdue() && guard.wanted().is_none());
        drop(guard);
        drop(r.shared().wait().unwrap());
        drop(mine.lock("r").shared().wait().unwrap());
        drop(block_on(async { r.owned().exclusive().await }).unwrap());
    }
    assert_eq!((ls.counters().requests, ls.counters().conversions), (1, 0));
    let counts = mine.counters();
    assert_eq!((counts.hits, counts.grants, counts.locks, mine.known()), (399, 1, 1, 1));
    assert!(matches!(mine.resource([0; 65]).unwrap_err().kind, ErrorKind::Name(_)));
    finish(ls, &other, &[&mine]);
}

fn readers_share_and_a_writer_is_alone(place: &Place) {
    let (ls, other, mine, _theirs) = two_caches(place, "ca-local");
    let r = mine.resource("r").unwrap();
    let readers = [r.shared().wait().unwrap(), r.shared().wait().unwrap()];
    assert!(r.try_exclusive().unwrap().is_none());
    assert_eq!(r.try_shared().unwrap().map(|guard| guard.is_valid()), Some(true));
    thread::scope(|scope| {
        let writer = scope.spawn(|| r.exclusive().wait().unwrap().is_valid());
        eventually("the writer waits", || r.try_shared().unwrap().is_none());
        drop(readers);
        assert!(writer.join().unwrap());
    });
    let writer = r.exclusive().wait().unwrap();
    assert!(r.try_shared().unwrap().is_none());
    // Sent to another thread and dropped there.
    thread::scope(|scope| _ = scope.spawn(move || drop(writer)));
    assert!(r.try_shared().unwrap().is_some());
    finish(ls, &other, &[&mine]);
}

fn another_node_gets_what_is_cached(place: &Place) {
    let (ls, other, mine, theirs) = two_caches(place, "ca-way");
    let (a, b) = (mine.resource("r").unwrap(), theirs.resource("r").unwrap());
    for _ in 0..20 {
        drop(a.exclusive().wait().unwrap());
        drop(b.exclusive().timeout(PATIENCE).wait().unwrap());
    }
    eventually("all are counted", || mine.counters().demotions_wanted == 20);
    // A guard is waited for, and whoever comes meanwhile waits behind.
    let guard = a.exclusive().timeout(PATIENCE).wait().unwrap();
    thread::scope(|scope| {
        let remote = scope.spawn(|| drop(b.exclusive().timeout(PATIENCE).wait().unwrap()));
        eventually("it is wanted", || guard.wanted() == Some(Level::Null));
        let local = scope.spawn(|| drop(a.shared().timeout(PATIENCE).wait().unwrap()));
        drop(guard);
        remote.join().unwrap();
        local.join().unwrap();
    });
    // One of another program, without a cache.
    let lock = other.lock("r", Mode::Ex).timeout(PATIENCE).wait().unwrap();
    assert!(a.try_shared().unwrap().is_none());
    lock.unlock().wait().unwrap();
    drop(a.shared().wait().unwrap());
    finish(ls, &other, &[&mine, &theirs]);
}

fn a_reader_elsewhere_leaves_the_lock_in_pr(place: &Place) {
    let (ls, other, mine, theirs) = two_caches(place, "ca-pr");
    let (a, b) = (mine.resource("r").unwrap(), theirs.resource("r").unwrap());
    drop(a.exclusive().wait().unwrap());
    let reader = b.shared().timeout(PATIENCE).wait().unwrap();
    drop(a.shared().wait().unwrap());
    assert_eq!(mine.counters().grants, 1, "it was kept in PR");
    drop(reader);
    drop(a.exclusive().timeout(PATIENCE).wait().unwrap());
    finish(ls, &other, &[&mine, &theirs]);
}

fn a_lock_is_kept_for_the_minimum_hold_and_local_users_come_in(place: &Place) {
    let (ls, other) = place.open_twice("ca-hold");
    let hold = Duration::from_millis(300);
    let mine = LockCache::builder(&ls).minimum_hold(hold).start().unwrap();
    let a = mine.resource("r").unwrap();
    let start = Instant::now();
    drop(a.exclusive().wait().unwrap());
    let (sender, told) = channel();
    let waits = other.lock("r", Mode::Ex).start(move |_| sender.send(()).unwrap()).unwrap();
    let delivery = other.start_delivery().unwrap();
    eventually("it is wanted, or was", || {
        let notices = mine.counters().notices;
        notices == 1
    });
    if let Some(guard) = a.try_exclusive().unwrap() {
        assert_eq!(guard.wanted(), Some(Level::Null));
    }
    told.recv_timeout(PATIENCE).unwrap();
    assert!(start.elapsed() >= hold);
    waits.unlock().wait().unwrap();
    delivery.stop(PATIENCE).unwrap();
    finish(ls, &other, &[&mine]);
}

fn a_guard_that_others_wait_for_is_overdue(place: &Place) {
    let (ls, other) = place.open_twice("ca-overdue");
    let options = LockCache::builder(&ls).minimum_hold(Duration::ZERO);
    let mine = options.longest_hold(Duration::from_millis(20)).start().unwrap();
    let a = mine.resource("r").unwrap();
    let guard = a.exclusive().wait().unwrap();
    let waits = other.lock("r", Mode::Pr).start(|_| {}).unwrap();
    eventually("it is overdue", || guard.is_overdue());
    assert_eq!(guard.wanted(), Some(Level::Shared));
    drop(guard);
    eventually("it is granted", || {
        other.dispatch().unwrap();
        waits.is_held()
    });
    waits.unlock().wait().unwrap();
    finish(ls, &other, &[&mine]);
}

fn a_try_waits_for_nobody_and_is_told_to_the_cache_elsewhere(place: &Place) {
    let (ls, other, mine, theirs) = two_caches(place, "ca-try");
    let (a, b) = (mine.resource("r").unwrap(), theirs.resource("r").unwrap());
    let guard = a.exclusive().wait().unwrap();
    assert!(b.try_exclusive().unwrap().is_none());
    let error = b.shared().no_queue().wait().unwrap_err();
    assert!(error.would_block(), "{error}");
    drop(guard);
    // It is only cached there now, and gives way although nobody waits.
    eventually("a try succeeds", || b.try_exclusive().unwrap().is_some());
    finish(ls, &other, &[&mine, &theirs]);
}

fn time_runs_out_for_threads_and_tasks(place: &Place) {
    let (ls, other, mine, theirs) = two_caches(place, "ca-time");
    let (a, b) = (mine.resource("r").unwrap(), theirs.resource("r").unwrap());
    let short = Duration::from_millis(20);
    let guard = a.exclusive().wait().unwrap();
    for r in [&a, &b] {
        let error = r.exclusive().timeout(short).wait().unwrap_err();
        assert!(error.is_timed_out(), "{error}");
        let error = block_on(async { r.shared().timeout(short).await }).unwrap_err();
        assert!(error.is_timed_out(), "{error}");
    }
    // What was asked for elsewhere is taken back: nobody waits for this lock any more.
    eventually("nothing is in flight", || other.locks().iter().all(|lock| !lock.is_in_flight));
    drop(guard);
    drop(a.exclusive().wait().unwrap());
    drop(b.exclusive().timeout(PATIENCE).wait().unwrap());
    finish(ls, &other, &[&mine, &theirs]);
}

fn a_task_that_gives_up_holds_nothing(place: &Place) {
    let (ls, other, mine, theirs) = two_caches(place, "ca-cancel");
    let (a, b) = (mine.resource("r").unwrap(), theirs.resource("r").unwrap());
    let guard = a.exclusive().wait().unwrap();
    for r in [&a, &b] {
        let mut futures: Vec<_> =
            (0..3).map(|_| Box::pin(async { r.exclusive().await.map(drop) })).collect();
        for future in &mut futures {
            let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
            assert!(future.as_mut().poll(&mut cx).is_pending());
        }
        drop(futures);
    }
    drop(guard);
    drop(a.exclusive().timeout(PATIENCE).wait().unwrap());
    drop(b.exclusive().timeout(PATIENCE).wait().unwrap());
    drop(a.shared().timeout(PATIENCE).wait().unwrap());
    finish(ls, &other, &[&mine, &theirs]);
}

fn value_blocks_go_with_the_lock(place: &Place) {
    let (ls, other, mine, theirs) = two_caches(place, "ca-block");
    let (a, b) = (mine.resource("r").unwrap(), theirs.resource("r").unwrap());
    let value = |n: u8| ValueBlock([n; 32]);
    let mut guard = a.exclusive().wait().unwrap();
    assert_eq!(guard.value_block().map(|lvb| (lvb.block, lvb.valid)), Some((value(0), true)));
    guard.set_value_block(value(1));
    drop(guard);
    let seen = a.shared().wait().unwrap().value_block().unwrap();
    assert_eq!(seen.if_valid(), Some(value(1)), "what was set here");
    for n in 1..10 {
        for r in [&b, &a] {
            let guard = r.shared().timeout(PATIENCE).wait().unwrap();
            assert_eq!(guard.value_block().unwrap().if_valid(), Some(value(n)));
        }
        let writer = if n % 2 == 0 { &a } else { &b };
        let mut guard = writer.exclusive().timeout(PATIENCE).wait().unwrap();
        assert_eq!(guard.value_block().unwrap().if_valid(), Some(value(n)));
        guard.set_value_block(value(n + 1));
    }
    finish(ls, &other, &[&mine, &theirs]);
}

/// Something on a disk that all nodes share, cached by each.
#[derive(Default)]
struct Disk {
    value: AtomicU64,
    writes: AtomicU32,
}

/// The hooks of one node.
struct Store {
    disk: Arc<Disk>,
    cached: Arc<Mutex<Option<u64>>>,
    told: Arc<Mutex<Vec<(Level, Level, Cause)>>>,
}

impl Hooks for Store {
    fn on_acquire(&self, acquired: &Acquired<'_>) -> io::Result<()> {
        if acquired.from <= Level::Null {
            let old = self.cached.lock().unwrap().replace(self.disk.value.load(Ordering::SeqCst));
            assert_eq!(old, None, "it was not dropped");
        }
        Ok(())
    }

    fn on_demote(&self, demotion: &mut Demotion<'_>) -> io::Result<()> {
        let mut cached = self.cached.lock().unwrap();
        self.told.lock().unwrap().push((demotion.from, demotion.left, demotion.cause));
        if demotion.is_lost() {
            *cached = None;
            return Ok(());
        }
        if demotion.from == Level::Exclusive {
            self.disk.value.store(cached.unwrap(), Ordering::SeqCst);
            self.disk.writes.fetch_add(1, Ordering::SeqCst);
            demotion.set_block(ValueBlock([7; 32]));
        }
        if demotion.left <= Level::Null {
            *cached = None;
        }
        Ok(())
    }
}

type Told = Arc<Mutex<Vec<(Level, Level, Cause)>>>;

fn storing(ls: &Lockspace, disk: &Arc<Disk>) -> (LockCache, Arc<Mutex<Option<u64>>>, Told) {
    let (cached, told) = (Arc::default(), Arc::default());
    let disk = Arc::clone(disk);
    let store = Store { disk, cached: Arc::clone(&cached), told: Arc::clone(&told) };
    let options = LockCache::builder(ls).minimum_hold(Duration::ZERO).hooks(store);
    (options.start().unwrap(), cached, told)
}

fn hooks_load_and_write_back(place: &Place) {
    let (ls, other) = place.open_twice("ca-hooks");
    let disk = Arc::<Disk>::default();
    let (mine, cached, told) = storing(&ls, &disk);
    let (theirs, their_cached, _) = storing(&other, &disk);
    let (a, b) = (mine.resource("r").unwrap(), theirs.resource("r").unwrap());
    for n in 1..=10 {
        for (r, cached) in [(&a, &cached), (&b, &their_cached)] {
            for _ in 0..3 {
                let _guard = r.exclusive().timeout(PATIENCE).wait().unwrap();
                *cached.lock().unwrap().as_mut().unwrap() += 1;
            }
        }
        let _guard = a.shared().timeout(PATIENCE).wait().unwrap();
        assert_eq!(*cached.lock().unwrap(), Some(6 * n));
    }
    let guard = b.shared().timeout(PATIENCE).wait().unwrap();
    assert_eq!(guard.value_block().unwrap().if_valid(), Some(ValueBlock([7; 32])));
    drop(guard);
    assert_eq!(disk.writes.load(Ordering::SeqCst), 20);
    let told = told.lock().unwrap().clone();
    let wanted = Cause::Wanted(Level::Null);
    assert_eq!(told.first(), Some(&(Level::Exclusive, Level::Null, wanted)));
    finish(ls, &other, &[&mine, &theirs]);
    assert_eq!(*cached.lock().unwrap(), None);
}

/// Hooks that fail as often as they are told.
struct Fails {
    loads: AtomicU32,
    demotions: AtomicU32,
    attempts: Arc<Mutex<Vec<u32>>>,
}

fn once_more(count: &AtomicU32) -> io::Result<()> {
    let less = |count: u32| count.checked_sub(1);
    match count.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less) {
        Ok(_) => Err(io::Error::from_raw_os_error(libc::EIO)),
        Err(_) => Ok(()),
    }
}

impl Hooks for Fails {
    fn on_acquire(&self, _: &Acquired<'_>) -> io::Result<()> {
        once_more(&self.loads)
    }

    fn on_demote(&self, demotion: &mut Demotion<'_>) -> io::Result<()> {
        self.attempts.lock().unwrap().push(demotion.attempt);
        once_more(&self.demotions)
    }
}

fn failing(ls: &Lockspace, loads: u32, demotions: u32) -> (LockCache, Arc<Mutex<Vec<u32>>>) {
    let attempts = Arc::default();
    let (loads, demotions) = (AtomicU32::new(loads), AtomicU32::new(demotions));
    let hooks = Fails { loads, demotions, attempts: Arc::clone(&attempts) };
    let options = LockCache::builder(ls).hooks(hooks).minimum_hold(Duration::ZERO);
    (options.retry_after(Duration::from_millis(5)).start().unwrap(), attempts)
}

fn a_hook_that_fails_keeps_the_lock(place: &Place) {
    let (ls, other) = place.open_twice("ca-fails");
    let (mine, attempts) = failing(&ls, 0, 3);
    let theirs = cache(&other);
    let (a, b) = (mine.resource("r").unwrap(), theirs.resource("r").unwrap());
    drop(a.exclusive().wait().unwrap());
    drop(b.exclusive().timeout(PATIENCE).wait().unwrap());
    assert_eq!(*attempts.lock().unwrap(), [0, 1, 2, 3]);
    assert_eq!(mine.counters().failed_demotions, 3);
    finish(ls, &other, &[&mine, &theirs]);
}

fn a_hook_that_cannot_load_is_told_to_who_waits(place: &Place) {
    let (ls, other) = place.open_twice("ca-load");
    let (mine, _) = failing(&ls, 1, 0);
    let a = mine.resource("r").unwrap();
    let error = a.exclusive().wait().unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EIO), "{error}");
    assert_eq!(mine.counters().failed_loads, 1);
    // It has given way.
    other.lock("r", Mode::Ex).timeout(PATIENCE).wait().unwrap().unlock().wait().unwrap();
    drop(a.exclusive().wait().unwrap());
    finish(ls, &other, &[&mine]);
}

/// Hooks that stand still until they are let go.
struct Slow(Mutex<std::sync::mpsc::Receiver<()>>);

impl Hooks for Slow {
    fn on_demote(&self, demotion: &mut Demotion<'_>) -> io::Result<()> {
        if demotion.name == b"slow" {
            let _ = self.0.lock().unwrap().recv_timeout(PATIENCE);
        }
        Ok(())
    }
}

fn a_slow_hook_holds_up_no_other_lock(place: &Place) {
    let (ls, other) = place.open_twice("ca-slow");
    let (let_go, receiver) = channel();
    let options = LockCache::builder(&ls).minimum_hold(Duration::ZERO);
    let mine = options.hooks(Slow(Mutex::new(receiver))).start().unwrap();
    let theirs = cache(&other);
    for name in ["slow", "fast"] {
        drop(mine.lock(name).exclusive().wait().unwrap());
    }
    thread::scope(|scope| {
        let slow = scope.spawn(|| theirs.lock("slow").exclusive().timeout(PATIENCE).wait());
        eventually("it is wanted", || mine.counters().notices == 1);
        for _ in 0..3 {
            drop(theirs.lock("fast").exclusive().timeout(PATIENCE).wait().unwrap());
            drop(mine.lock("fast").exclusive().timeout(PATIENCE).wait().unwrap());
        }
        let_go.send(()).unwrap();
        drop(slow.join().unwrap().unwrap());
    });
    finish(ls, &other, &[&mine, &theirs]);
}

fn two_upgrades_both_get_there_and_one_has_lost(place: &Place) {
    let (ls, other, mine, _theirs) = two_caches(place, "ca-up");
    let a = mine.resource("r").unwrap();
    let count = AtomicU32::new(0);
    let guard = a.shared().wait().unwrap();
    assert!(matches!(guard.upgrade().wait().unwrap(), Upgrade::Kept(_)));
    thread::scope(|scope| {
        let guards = [a.shared().wait().unwrap(), a.shared().wait().unwrap()];
        let seen = count.load(Ordering::SeqCst);
        let each = guards.map(|guard| {
            let count = &count;
            scope.spawn(move || {
                let upgrade = guard.upgrade().timeout(PATIENCE).wait().unwrap();
                assert_eq!(upgrade.is_lost(), count.load(Ordering::SeqCst) != seen);
                count.fetch_add(1, Ordering::SeqCst);
                upgrade.is_lost()
            })
        });
        let mut lost = each.map(|thread| thread.join().unwrap());
        lost.sort_unstable();
        assert_eq!(lost, [false, true]);
    });
    finish(ls, &other, &[&mine]);
}

fn an_upgrade_on_two_nodes_is_lost_on_one(place: &Place) {
    let (ls, other, mine, theirs) = two_caches(place, "ca-up2");
    let count = AtomicU32::new(0);
    for _ in 0..10 {
        let barrier = std::sync::Barrier::new(2);
        let lost: Vec<bool> = thread::scope(|scope| {
            let each = [&mine, &theirs].map(|cache| {
                let (count, barrier) = (&count, &barrier);
                scope.spawn(move || {
                    let r = cache.resource("r").unwrap();
                    let guard = r.shared().timeout(PATIENCE).wait().unwrap();
                    let seen = count.load(Ordering::SeqCst);
                    barrier.wait();
                    let upgrade = guard.upgrade().timeout(PATIENCE).wait().unwrap();
                    let is_changed = count.load(Ordering::SeqCst) != seen;
                    assert!(upgrade.is_lost() || !is_changed, "a stale read was not told");
                    count.fetch_add(1, Ordering::SeqCst);
                    upgrade.is_lost()
                })
            });
            each.map(|thread| thread.join().unwrap()).into()
        });
        assert!(lost.contains(&true), "{lost:?}");
    }
    finish(ls, &other, &[&mine, &theirs]);
}

fn a_downgrade_lets_readers_in(place: &Place) {
    let (ls, other, mine, theirs) = two_caches(place, "ca-down");
    let (a, b) = (mine.resource("r").unwrap(), theirs.resource("r").unwrap());
    let writer = a.exclusive().wait().unwrap();
    thread::scope(|scope| {
        let local = scope.spawn(|| a.shared().timeout(PATIENCE).wait().unwrap().is_valid());
        let remote = scope.spawn(|| b.shared().timeout(PATIENCE).wait().unwrap().is_valid());
        eventually("both wait", || {
            writer.wanted() == Some(Level::Shared) && a.try_shared().unwrap().is_none()
        });
        let reader = writer.downgrade();
        assert!(local.join().unwrap() && remote.join().unwrap());
        drop(reader);
    });
    finish(ls, &other, &[&mine, &theirs]);
}

fn too_many_locks_are_given_back(place: &Place) {
    let (ls, other) = place.open_twice("ca-capacity");
    let mine = LockCache::builder(&ls).capacity(20).start().unwrap();
    let kept = mine.resource("used").unwrap();
    let guard = kept.exclusive().wait().unwrap();
    for n in 0..200_u32 {
        drop(mine.lock(n.to_ne_bytes()).exclusive().wait().unwrap());
    }
    eventually("they are given back", || ls.lock_count() <= 21);
    assert!(guard.is_valid() && other.lock("used", Mode::Pr).no_queue().wait().is_err());
    let counts = mine.counters();
    assert!(counts.demotions_unused >= 150 && counts.locks <= 51, "{counts:?}");
    assert!(mine.known() < 100, "resources without a handle are forgotten: {}", mine.known());
    drop(guard);
    finish(ls, &other, &[&mine]);
}

fn idle_locks_are_given_back(place: &Place) {
    let (ls, other) = place.open_twice("ca-idle");
    let idle = Duration::from_millis(50);
    let mine = LockCache::builder(&ls).idle_time(Some(idle)).start().unwrap();
    let used = mine.resource("used").unwrap();
    for n in 0..50_u32 {
        drop(mine.lock(n.to_ne_bytes()).shared().wait().unwrap());
    }
    let guard = used.shared().wait().unwrap();
    eventually("they are given back", || ls.lock_count() == 1 && mine.known() == 1);
    drop(guard);
    eventually("the last one, too", || ls.lock_count() == 0);
    drop(used.shared().wait().unwrap());
    finish(ls, &other, &[&mine]);
}

fn shrinking_gives_back_what_is_not_used(place: &Place) {
    let (ls, other, mine, _theirs) = two_caches(place, "ca-shrink");
    let used = mine.resource("used").unwrap();
    for n in 0..50_u32 {
        drop(mine.lock(n.to_ne_bytes()).shared().wait().unwrap());
    }
    let guard = used.shared().wait().unwrap();
    assert_eq!(mine.shrink(10), 10);
    eventually("they are unlocked", || ls.lock_count() == 41);
    assert_eq!(mine.shrink(usize::MAX), 40);
    eventually("they are forgotten", || {
        mine.shrink(usize::MAX);
        (ls.lock_count(), mine.known()) == (1, 1)
    });
    drop(guard);
    finish(ls, &other, &[&mine]);
}

fn a_closed_cache_gives_everything_back(place: &Place) {
    let (ls, other, mine, _theirs) = two_caches(place, "ca-close");
    let r = mine.resource("r").unwrap();
    let guard = r.exclusive().wait().unwrap();
    drop(mine.lock("s").shared().wait().unwrap());
    let error = mine.close(Duration::from_millis(20)).unwrap_err();
    assert!(error.is_timed_out(), "{error}");
    assert!(guard.is_valid());
    assert!(r.shared().wait().unwrap_err().is_closed());
    assert!(mine.resource("t").unwrap_err().is_closed());
    drop(guard);
    mine.close(PATIENCE).unwrap();
    assert_eq!(ls.lock_count(), 0);
    // Without a call, too.
    let again = cache(&ls);
    drop(again.lock("r").exclusive().wait().unwrap());
    drop(again);
    eventually("it is given back", || ls.lock_count() == 0);
    finish(ls, &other, &[]);
}

fn the_end_of_the_lockspace_is_told(place: &Place) {
    let (ls, other) = place.open_twice("ca-end");
    let disk = Arc::<Disk>::default();
    let (mine, cached, told) = storing(&other, &disk);
    let a = mine.resource("r").unwrap();
    let guard = a.exclusive().wait().unwrap();
    *cached.lock().unwrap() = Some(5);
    thread::scope(|scope| {
        let waiter = scope.spawn(|| a.shared().wait().map(drop));
        eventually("it waits", || a.try_shared().is_ok_and(|guard| guard.is_none()));
        other.close().unwrap();
        let error = waiter.join().unwrap().unwrap_err();
        assert!(error.is_closed(), "{error}");
    });
    eventually("the guard can tell", || !guard.is_valid());
    drop(guard);
    eventually("the hooks are told", || {
        told.lock().unwrap().contains(&(Level::Exclusive, Level::None, Cause::Lost))
    });
    assert_eq!((*cached.lock().unwrap(), disk.writes.load(Ordering::SeqCst)), (None, 0));
    assert!(a.shared().wait().unwrap_err().is_closed());
    mine.close(PATIENCE).unwrap();
    ls.release().unwrap();
}

fn many_threads_count_on_many_nodes(place: &Place) {
    let (ls, other) = place.open_twice("ca-many");
    let disk = Arc::<Disk>::default();
    let nodes = [storing(&ls, &disk), storing(&other, &disk)];
    const EACH: u64 = 100;
    thread::scope(|scope| {
        for (cache, cached, _) in &nodes {
            for number in 0..3 {
                scope.spawn(move || {
                    let r = cache.resource("r").unwrap();
                    for n in 0..EACH {
                        if n % 3 == number {
                            let guard = r.shared().timeout(PATIENCE).wait().unwrap();
                            let _guard = guard.upgrade().timeout(PATIENCE).wait().unwrap();
                            *cached.lock().unwrap().as_mut().unwrap() += 1;
                        } else {
                            let _guard = r.exclusive().timeout(PATIENCE).wait().unwrap();
                            *cached.lock().unwrap().as_mut().unwrap() += 1;
                        }
                    }
                });
            }
        }
    });
    let [mine, theirs] = &nodes;
    finish(ls, &other, &[&mine.0, &theirs.0]);
    assert_eq!(disk.value.load(Ordering::SeqCst), 6 * EACH);
}
