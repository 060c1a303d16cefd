//! Cached values on clusters of several nodes, of which one is lost.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use dlm_runtime::cache::{Cached, LockCache, Store};
use dlm_runtime::engine::{ClusterOptions, Profile};
use dlm_runtime::{Error, Lockspace};
use dlm_tests::{PATIENCE, eventually};

/// How often each node counts.
const EACH: u32 = 60;

/// What all nodes share: how often each has counted.
#[derive(Default)]
struct Disk {
    counts: Mutex<Vec<u32>>,
    /// The nodes that write now, and those that are fenced off: those may not have heard of it yet.
    writers: AtomicUsize,
    fenced: AtomicUsize,
}

/// A node's way to the disk, which a node that is lost has not any more.
#[derive(Clone)]
struct Path {
    disk: Arc<Disk>,
    is_fenced: Arc<AtomicBool>,
    lost: Arc<Mutex<Option<Vec<u32>>>>,
}

impl Store for Path {
    type Value = Vec<u32>;

    fn load(&self, _: &[u8], _: Option<u64>) -> io::Result<Vec<u32>> {
        Ok(self.disk.counts.lock().unwrap().clone())
    }

    fn store(&self, _: &[u8], value: &Vec<u32>) -> io::Result<()> {
        let mut counts = self.disk.counts.lock().unwrap();
        if self.is_fenced.load(Ordering::SeqCst) {
            return Err(io::Error::from_raw_os_error(libc::EBADE));
        }
        counts.clone_from(value);
        Ok(())
    }

    fn lost(&self, _: &[u8], value: &Vec<u32>) {
        *self.lost.lock().unwrap() = Some(value.clone());
    }
}

/// Counts, and sees that nobody else does at the same time. Returns how often.
fn count(value: &Cached<Path>, path: &Path, node: usize) -> Result<u32, (u32, Error)> {
    let Disk { writers, fenced, .. } = &*path.disk;
    for n in 0..EACH {
        let mut mine = value.write().timeout(PATIENCE).wait().map_err(|error| (n, error))?;
        let others = writers.fetch_or(1 << node, Ordering::SeqCst);
        let fenced = fenced.load(Ordering::SeqCst);
        mine[node] += 1;
        thread::yield_now();
        assert!(others & !fenced == 0 || fenced & (1 << node) != 0, "two have an exclusive lock");
        assert_eq!(mine[node], n + 1, "an update is lost");
        writers.fetch_and(!(1 << node), Ordering::SeqCst);
        drop(mine);
        let seen = value.read().timeout(PATIENCE).wait().map_err(|error| (n + 1, error))?;
        assert_eq!(seen[node], n + 1, "a stale value");
    }
    Ok(EACH)
}

fn lose_one(nodes: u32, seed: u64, profile: Profile, crashes: bool) {
    let cluster = ClusterOptions::new().profile(profile).nodes(nodes).seed(seed).start();
    let disk = Arc::new(Disk::default());
    let count_of = usize::try_from(nodes).unwrap();
    *disk.counts.lock().unwrap() = vec![0; count_of];
    let all: Vec<_> = cluster
        .nodes()
        .map(|node| {
            let ls = Lockspace::create_on(node, "test").unwrap();
            let options = LockCache::builder(&ls).minimum_hold(Duration::ZERO);
            let cache = options.retry_after(Duration::from_millis(1)).start().unwrap();
            let (is_fenced, lost) = (Arc::default(), Arc::default());
            let path = Path { disk: Arc::clone(&disk), is_fenced, lost };
            let value = cache.cached("counts", path.clone()).unwrap();
            (ls, cache, value, path)
        })
        .collect();
    let counted: Vec<_> = thread::scope(|scope| {
        let each: Vec<_> = all
            .iter()
            .enumerate()
            .map(|(node, (_, _, value, path))| scope.spawn(move || count(value, path, node)))
            .collect();
        if crashes {
            let victim = &all[1].3;
            eventually("it has begun", || disk.counts.lock().unwrap()[1] > EACH / 10);
            {
                // Fencing comes before the others get its locks.
                let _disk = disk.counts.lock().unwrap();
                victim.is_fenced.store(true, Ordering::SeqCst);
                victim.disk.fenced.store(1 << 1, Ordering::SeqCst);
            }
            cluster.node(2).crash();
        }
        each.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    for (_, cache, ..) in &all {
        cache.close(PATIENCE).unwrap();
    }
    let counts = disk.counts.lock().unwrap().clone();
    for (node, ((.., path), counted)) in all.iter().zip(counted).enumerate() {
        match counted {
            Ok(counted) if !path.is_fenced.load(Ordering::SeqCst) => {
                assert_eq!(counts[node], counted, "node {node} of {counts:?}");
            }
            Ok(counted) | Err((counted, _)) => {
                assert!(path.is_fenced.load(Ordering::SeqCst));
                // What it has changed is stored, or it was told of the loss.
                let lost = path.lost.lock().unwrap().as_ref().map(|lost| lost[node]);
                let told = counts[node] == counted || lost == Some(counted);
                assert!(told, "{counted} of {counts:?}, lost {lost:?}");
            }
        }
    }
    assert_eq!(cluster.check(), Ok(()));
}

#[test]
fn nodes_count_with_a_cached_value() {
    for (seed, nodes) in [(1, 3), (2, 5), (3, 8)] {
        for profile in [Profile::Linux6_1, Profile::Linux6_12] {
            lose_one(nodes, seed, profile, false);
        }
    }
}

#[test]
fn a_node_is_lost_and_its_updates_are_stored_or_told() {
    for (seed, nodes) in [(1, 3), (2, 3), (3, 5), (4, 8)] {
        for profile in [Profile::Linux6_1, Profile::Linux6_12] {
            lose_one(nodes, seed, profile, true);
        }
    }
}
