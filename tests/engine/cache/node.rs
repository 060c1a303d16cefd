//! A node, and what its threads do.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use dlm_random::Random;
use dlm_runtime::cache::{Cached, LockCache};
use dlm_runtime::engine::Cluster;
use dlm_runtime::{Error, Lockspace};
use dlm_tests::{PATIENCE, block_on};

use super::disk::{Disk, Path};
use super::pacer::Pace;
use super::round::Tally;

/// A node with a cache.
pub(super) struct Node {
    number: usize,
    pub(super) path: Path,
    value: Cached<Path>,
    cache: LockCache,
    // The last to go.
    _lockspace: Lockspace,
}

impl Node {
    pub(super) fn new(cluster: &Cluster, disk: &Arc<Disk>, number: usize) -> Self {
        let id = u32::try_from(number + 1).unwrap();
        let lockspace = Lockspace::create_on(cluster.node(id), "test").unwrap();
        let options = LockCache::builder(&lockspace).minimum_hold(Duration::ZERO);
        let cache = options.retry_after(Duration::from_millis(1)).start().unwrap();
        let path = Path::new(disk, number);
        let value = cache.cached("counts", path.clone()).unwrap();
        Self { number, path, value, cache, _lockspace: lockspace }
    }

    /// Counts and reads in turn, as chance has it.
    pub(super) fn work(&self, pace: &Pace, slot: usize, times: u32, random: &mut Random) -> Tally {
        let mut tally = Tally::default();
        for _ in 0..times {
            if random.below(3) == 0 {
                let got = timed(pace, self.value.read().get(), &mut tally);
                let Some(value) = self.unless_lost(got) else { return tally };
                pace.uses(|| drop(self.path.disk.enter(self.number, false, &value)));
            } else {
                let got = timed(pace, self.value.write().get(), &mut tally);
                let Some(mut value) = self.unless_lost(got) else { return tally };
                pace.uses(|| {
                    let _user = self.path.disk.enter(self.number, true, &value);
                    value[slot] += 1;
                    self.path.disk.note_count(slot);
                });
            }
        }
        tally
    }

    /// Nothing fails but on a node that is lost.
    fn unless_lost<T>(&self, got: Result<T, Error>) -> Option<T> {
        match got {
            Ok(value) => Some(value),
            Err(error) => {
                assert!(self.path.disk.is_fenced(self.number), "{error}");
                None
            }
        }
    }

    pub(super) fn close(&self) {
        self.cache.close(PATIENCE).unwrap();
    }

    /// What is stored is what this thread has counted, or else it was told of the loss.
    pub(super) fn check(&self, slot: usize) {
        let disk = &self.path.disk;
        let (stored, counted) = (disk.stored()[slot], disk.counted()[slot]);
        let lost = self.path.lost().map(|lost| lost[slot]);
        let is_told = disk.is_fenced(self.number) && lost == Some(counted);
        assert!(stored == counted || is_told, "slot {slot}: {stored} of {counted}, lost {lost:?}");
    }
}

/// Tally, and notes how long that took in the time of the cluster: from when it was asked for.
fn timed<T>(pace: &Pace, future: impl Future<Output = T>, tally: &mut Tally) -> T {
    let mut future = pin!(future);
    let mut begin = None;
    let got = block_on(poll_fn(|cx| {
        let poll = future.as_mut().poll(cx);
        if poll.is_pending() && begin.is_none() {
            begin = Some(pace.cluster.now());
        }
        poll
    }));
    tally.note(begin.map(|begin| pace.cluster.now().saturating_sub(begin)));
    got
}
