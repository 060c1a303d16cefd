//! Values that are cached with their locks.

use std::io;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use dlm_runtime::cache::{Cached, LockCache, Store};
use dlm_runtime::{ErrorKind, Lockspace};
use dlm_tests::{PATIENCE, Place, block_on, eventually};

dlm_tests::everywhere! {
    a_value_is_loaded_once_and_written_back_when_others_want_it,
    nodes_and_threads_count_with_a_cached_value,
    a_value_is_stored_by_a_sync,
    a_value_that_cannot_be_stored_is_kept,
    a_lost_value_is_told_and_not_stored,
    a_resource_has_one_value,
    a_cache_without_value_blocks_writes_none,
}

/// What all nodes share.
#[derive(Default)]
struct Disk {
    value: Vec<u32>,
    loads: Vec<Option<u64>>,
    stores: u32,
    /// Stores that fail from now on.
    failures: u32,
    lost: Vec<Vec<u32>>,
}

#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Disk>>);

impl Shared {
    fn with<T>(&self, see: impl FnOnce(&mut Disk) -> T) -> T {
        see(&mut self.0.lock().unwrap())
    }
}

impl Store for Shared {
    type Value = Vec<u32>;

    fn load(&self, name: &[u8], version: Option<u64>) -> io::Result<Vec<u32>> {
        assert_eq!(name, b"list");
        Ok(self.with(|disk| {
            disk.loads.push(version);
            disk.value.clone()
        }))
    }

    fn store(&self, _: &[u8], value: &Vec<u32>) -> io::Result<()> {
        self.with(|disk| {
            if let Some(less) = disk.failures.checked_sub(1) {
                disk.failures = less;
                return Err(io::Error::from_raw_os_error(libc::ENOSPC));
            }
            disk.stores += 1;
            disk.value.clone_from(value);
            Ok(())
        })
    }

    fn lost(&self, _: &[u8], value: &Vec<u32>) {
        self.with(|disk| disk.lost.push(value.clone()));
    }
}

fn cache(ls: &Lockspace) -> LockCache {
    let options = LockCache::builder(ls).minimum_hold(Duration::ZERO);
    options.retry_after(Duration::from_millis(5)).start().unwrap()
}

/// Two nodes with the same value.
fn two(
    place: &Place,
    name: &str,
) -> (Lockspace, Lockspace, [LockCache; 2], [Cached<Shared>; 2], Shared) {
    let (ls, other) = place.open_twice(name);
    let disk = Shared::default();
    let caches = [cache(&ls), cache(&other)];
    let values = [&caches[0], &caches[1]].map(|cache| cache.cached("list", disk.clone()).unwrap());
    (ls, other, caches, values, disk)
}

fn finish(ls: Lockspace, other: &Lockspace, caches: &[LockCache]) {
    caches.iter().for_each(|cache| cache.close(PATIENCE).unwrap());
    other.close().unwrap();
    ls.release().unwrap();
}

fn a_value_is_loaded_once_and_written_back_when_others_want_it(place: &Place) {
    let (ls, other, caches, [one, two], disk) = two(place, "cv-way");
    for n in 0..10 {
        one.write().wait().unwrap().push(n);
        assert_eq!(one.read().wait().unwrap().len(), usize::try_from(n).unwrap() + 1);
    }
    assert_eq!(disk.with(|disk| (disk.loads.len(), disk.stores)), (1, 0));
    assert_eq!(*two.read().timeout(PATIENCE).wait().unwrap(), (0..10).collect::<Vec<_>>());
    // It was kept where it was changed, in PR.
    drop(one.read().wait().unwrap());
    assert_eq!(disk.with(|disk| (disk.loads.clone(), disk.stores)), (vec![Some(0), Some(1)], 1));
    block_on(async { two.write().timeout(PATIENCE).get().await.unwrap().clear() });
    assert!(block_on(async { one.read().timeout(PATIENCE).get().await.unwrap().is_empty() }));
    assert_eq!(disk.with(|disk| disk.loads.last().copied()), Some(Some(2)));
    // What is only looked at is not stored.
    let value = one.write().timeout(PATIENCE).wait().unwrap();
    assert!(value.is_empty() && value.guard().is_valid());
    drop(value);
    finish(ls, &other, &caches);
    assert_eq!(disk.with(|disk| disk.stores), 2);
}

fn nodes_and_threads_count_with_a_cached_value(place: &Place) {
    let (ls, other, caches, values, disk) = two(place, "cv-many");
    const EACH: usize = 50;
    thread::scope(|scope| {
        for (value, number) in values.iter().zip([0, 100]) {
            for thread in 0..3 {
                scope.spawn(move || {
                    for _ in 0..EACH {
                        value.write().timeout(PATIENCE).wait().unwrap().push(number + thread);
                        drop(value.read().timeout(PATIENCE).wait().unwrap());
                    }
                });
            }
        }
    });
    finish(ls, &other, &caches);
    disk.with(|disk| {
        for thread in [0, 1, 2, 100, 101, 102] {
            assert_eq!(disk.value.iter().filter(|of| **of == thread).count(), EACH);
        }
    });
}

fn a_value_is_stored_by_a_sync(place: &Place) {
    let (ls, other, caches, [one, two], disk) = two(place, "cv-sync");
    let mut value = one.write().wait().unwrap();
    value.push(1);
    value.sync().unwrap();
    value.sync().unwrap();
    drop(value);
    assert_eq!(disk.with(|disk| (disk.value.clone(), disk.stores)), (vec![1], 1));
    assert_eq!(*two.read().timeout(PATIENCE).wait().unwrap(), [1]);
    assert_eq!(disk.with(|disk| (disk.loads.last().copied(), disk.stores)), (Some(Some(1)), 1));
    finish(ls, &other, &caches);
}

fn a_value_that_cannot_be_stored_is_kept(place: &Place) {
    let (ls, other, caches, [one, two], disk) = two(place, "cv-fails");
    disk.with(|disk| disk.failures = 3);
    let mut value = one.write().wait().unwrap();
    value.push(7);
    assert_eq!(value.sync().unwrap_err().raw_os_error(), Some(libc::ENOSPC));
    drop(value);
    assert_eq!(*two.write().timeout(PATIENCE).wait().unwrap(), [7]);
    assert_eq!(caches[0].counters().failed_demotions, 2);
    finish(ls, &other, &caches);
}

fn a_lost_value_is_told_and_not_stored(place: &Place) {
    let (ls, other, caches, [_, two], disk) = two(place, "cv-lost");
    two.write().wait().unwrap().push(1);
    let mut value = two.write().wait().unwrap();
    other.close().unwrap();
    eventually("it is lost", || !value.guard().is_valid());
    value.push(2);
    assert_eq!(value.sync().unwrap_err().kind(), io::ErrorKind::NotConnected);
    drop(value);
    eventually("the loss is told", || disk.with(|disk| disk.lost == [vec![1, 2]]));
    assert_eq!(disk.with(|disk| disk.stores), 0);
    assert!(two.read().wait().unwrap_err().is_closed());
    caches.iter().for_each(|cache| cache.close(PATIENCE).unwrap());
    ls.release().unwrap();
}

fn a_resource_has_one_value(place: &Place) {
    let (ls, other, caches, [one, _], disk) = two(place, "cv-one");
    let refused = |result: Result<Cached<Shared>, dlm_runtime::Error>| {
        matches!(result.unwrap_err().kind, ErrorKind::Illegal(_))
    };
    assert!(refused(caches[0].cached("list", disk.clone())));
    drop(one.read().wait().unwrap());
    assert!(refused(caches[0].cached("list", disk.clone())));
    drop(caches[0].lock("other").shared().wait().unwrap());
    assert!(refused(caches[0].cached("other", disk)));
    finish(ls, &other, &caches);
}

fn a_cache_without_value_blocks_writes_none(place: &Place) {
    let (ls, other) = place.open_twice("cv-none");
    let disk = Shared::default();
    let caches = [&ls, &other].map(|ls| {
        let options = LockCache::builder(ls).minimum_hold(Duration::ZERO);
        options.value_blocks(false).start().unwrap()
    });
    let [one, two] =
        [&caches[0], &caches[1]].map(|cache| cache.cached("list", disk.clone()).unwrap());
    one.write().wait().unwrap().push(1);
    assert!(one.read().wait().unwrap().guard().value_block().is_none());
    assert_eq!(*two.read().timeout(PATIENCE).wait().unwrap(), [1]);
    assert_eq!(disk.with(|disk| disk.loads.clone()), [None, None]);
    drop((one, two));
    finish(ls, &other, &caches);
}
