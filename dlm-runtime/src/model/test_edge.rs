//! An edge-triggered poll: each time that the descriptor becomes readable, one dispatch is enough.

use std::sync::Arc;
use std::time::Duration;

use shuttle::thread;

use super::clock::advance;
use super::stage::{Runs, Stage, block_on, check, dispatch_at_edges};
use crate::{Lock, Lockspace, Mode};

const PATIENCE: Duration = Duration::from_secs(1);

fn start(lockspace: &Lockspace, resource: &str, runs: &Arc<Runs>) -> Lock {
    let runs = Arc::clone(runs);
    lockspace.lock(resource, Mode::Ex).start(move |_| runs.note()).unwrap()
}

/// Waits until so many callbacks have run, and ends the dispatching thread.
fn finish(stage: Stage, lockspace: Arc<Lockspace>, runs: &Runs, count: usize, work: impl FnOnce()) {
    let dispatcher = dispatch_at_edges(&lockspace);
    work();
    while runs.count() < count {
        thread::yield_now();
    }
    lockspace.close().unwrap();
    assert!(dispatcher.join().unwrap().is_closed());
    drop(lockspace);
    stage.finish(&[]);
}

/// More than one dispatch reads at least.
#[test]
fn all_that_is_due_is_run() {
    check(|| {
        let stage = Stage::new();
        let lockspace = stage.open();
        let runs = Arc::<Runs>::default();
        let locks = ["a", "b", "c", "d", "e"].map(|name| start(&lockspace, name, &runs));
        finish(stage, lockspace, &runs, locks.len(), || {});
        drop(locks);
    });
}

#[test]
fn what_comes_meanwhile_is_run() {
    check(|| {
        let stage = Stage::new();
        let lockspace = stage.open();
        let runs = Arc::<Runs>::default();
        let [mine, theirs] = [(); 2].map(|()| (Arc::clone(&lockspace), Arc::clone(&runs)));
        finish(stage, lockspace, &runs, 6, || {
            thread::scope(|scope| {
                for (names, (lockspace, runs)) in [(["a", "b"], mine), (["c", "d"], theirs)] {
                    scope.spawn(move || {
                        for name in names {
                            let lock = start(&lockspace, name, &runs);
                            // May come upon the end of it, and leaves the callback to the other.
                            lockspace.lock(name, Mode::Nl).wait().unwrap().unlock().wait().unwrap();
                            lock.leak();
                        }
                        drop(start(&lockspace, "e", &runs));
                        start(&lockspace, "f", &runs).leak();
                    });
                }
            });
            // Callbacks of the dropped ones may have run or not.
            runs.note();
            runs.note();
        });
    });
}

/// The timer of a deadline is an edge like others.
#[test]
fn a_deadline_is_kept() {
    check(|| {
        let stage = Stage::new();
        let (lockspace, other) = (stage.open(), stage.open());
        let held = other.lock("a", Mode::Ex).wait().unwrap();
        let runs = Arc::<Runs>::default();
        let locks = [1, 2].map(|at| {
            let told = Arc::clone(&runs);
            let request = lockspace.lock("a", Mode::Ex).timeout(at * PATIENCE);
            request.start(move |_| told.note()).unwrap()
        });
        let dispatcher = dispatch_at_edges(&lockspace);
        while runs.count() < locks.len() {
            advance(PATIENCE);
            thread::yield_now();
        }
        held.unlock().wait().unwrap();
        block_on(async { lockspace.lock("a", Mode::Pr).await.unwrap().unlock().await.unwrap() });
        drop(locks);
        lockspace.close().unwrap();
        assert!(dispatcher.join().unwrap().is_closed());
        drop((lockspace, other));
        stage.finish(&[]);
    });
}
