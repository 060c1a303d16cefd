//! Deadlines while nobody answers: a lock's master is frozen. The call returns at its time, and what
//! is granted afterwards is unlocked although nobody calls anything.

use std::future::IntoFuture as _;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use dlm_runtime::backend::{Command, Faulty, RequestFault, on_requests};
use dlm_runtime::engine::{Cluster, ClusterOptions, Profile};
use dlm_runtime::{Error, Lock, LockStatus, Lockspace, LockspaceOptions, Mode};
use dlm_tests::{PATIENCE, PROMPT, eventually};

const SHORT: Duration = Duration::from_millis(100);

/// Node 2 is the master of "r", and node 1 wants it.
struct Pair {
    cluster: Cluster,
    one: Lockspace,
    two: Lockspace,
    master: Lock,
}

impl Pair {
    fn new(profile: Profile) -> Self {
        let cluster = ClusterOptions::new().profile(profile).nodes(2).start();
        let one = Lockspace::create_on(cluster.node(1), "late").unwrap();
        let two = Lockspace::create_on(cluster.node(2), "late").unwrap();
        let master = two.lock("r", Mode::Nl).wait().unwrap();
        Self { cluster, one, two, master }
    }

    /// Nothing is left behind on the first node, which nobody asks for anything.
    fn end(self) {
        let Self { cluster, one, two, master } = self;
        eventually("the other node gets the lock", || {
            match two.lock("r", Mode::Ex).no_queue().wait() {
                Ok(lock) => lock.unlock().wait().is_ok(),
                Err(error) => !error.would_block(),
            }
        });
        // What is left are results that nobody has read.
        one.flush_drops().wait(Some(PATIENCE)).unwrap();
        assert_eq!(one.lock_count(), 0);
        master.unlock().wait().unwrap();
        cluster.settle();
        one.close().unwrap();
        two.close().unwrap();
    }
}

fn profiles(test: impl Fn(Profile)) {
    [Profile::Linux6_1, Profile::Linux6_12].into_iter().for_each(test);
}

/// Checks that this ends at its deadline.
#[track_caller]
fn assert_late<T>(call: impl FnOnce() -> Result<T, Error>) {
    let start = Instant::now();
    let error = call().map(|_| ()).unwrap_err();
    let time = start.elapsed();
    assert!(error.is_timed_out(), "{error}");
    assert!(time >= SHORT && time < PROMPT, "{time:?}");
}

#[test]
fn a_request_ends_at_its_time_and_its_late_grant_is_unlocked() {
    profiles(|profile| {
        let pair = Pair::new(profile);
        let frozen = pair.cluster.node(2).freeze();
        assert_late(|| pair.one.lock("r", Mode::Ex).timeout(SHORT).wait());
        drop(frozen);
        pair.end();
    });
}

#[test]
fn a_callback_is_told_in_time_and_its_late_grant_is_unlocked() {
    profiles(|profile| {
        let pair = Pair::new(profile);
        let delivery = pair.one.start_delivery().unwrap();
        let frozen = pair.cluster.node(2).freeze();
        let (sender, ended) = channel();
        let start = Instant::now();
        let request = pair.one.lock("r", Mode::Ex).timeout(SHORT);
        let lock = request.start(move |end| sender.send(end.status).unwrap()).unwrap();
        assert_eq!(ended.recv_timeout(PATIENCE), Ok(LockStatus::TimedOut));
        assert!(start.elapsed() < PROMPT, "{:?}", start.elapsed());
        assert_eq!(lock.mode(), None);
        drop(frozen);
        // The thread is not needed for what is left.
        delivery.stop(PATIENCE).unwrap();
        drop(lock);
        pair.end();
    });
}

#[test]
fn a_conversion_ends_at_its_time_and_its_lock_can_be_unlocked() {
    profiles(|profile| {
        let pair = Pair::new(profile);
        let lock = pair.one.lock("r", Mode::Nl).wait().unwrap();
        let frozen = pair.cluster.node(2).freeze();
        assert_late(|| lock.convert(Mode::Ex).timeout(SHORT).wait());
        drop(frozen);
        pair.cluster.settle();
        drop(lock);
        pair.end();
    });
}

#[test]
fn an_unlock_ends_at_its_time_and_goes_on_by_itself() {
    profiles(|profile| {
        let pair = Pair::new(profile);
        let lock = pair.one.lock("r", Mode::Ex).wait().unwrap();
        let frozen = pair.cluster.node(2).freeze();
        assert_late(|| lock.unlock().timeout(SHORT).wait().map_err(|failed| failed.error));
        drop(frozen);
        pair.end();
    });
}

#[test]
fn dropped_locks_are_not_waited_for_beyond_the_time() {
    profiles(|profile| {
        let pair = Pair::new(profile);
        let lock = pair.one.lock("r", Mode::Ex).wait().unwrap();
        let frozen = pair.cluster.node(2).freeze();
        drop(lock);
        assert_late(|| pair.one.flush_drops().wait(Some(SHORT)));
        drop(frozen);
        pair.one.flush_drops().wait(Some(PATIENCE)).unwrap();
        pair.end();
    });
}

#[test]
fn a_future_ends_at_its_time_while_its_write_is_held_up() {
    let plan = on_requests(|command, _| {
        (command == Command::Lock).then_some(RequestFault::Delay(PROMPT + SHORT))
    });
    let node = Cluster::default().node(1);
    let faulty = Faulty::new(node.clone(), plan);
    let options = LockspaceOptions::new().backend(faulty.clone()).background_writes();
    let ls = options.create("held-up").unwrap();
    let other = LockspaceOptions::new().backend(node).open("held-up").unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let driver = tokio::spawn(ls.drive_tokio().unwrap());
        let start = Instant::now();
        let error = ls.lock("r", Mode::Ex).timeout(SHORT).into_future().await.unwrap_err();
        assert!(error.is_timed_out(), "{error}");
        assert!(start.elapsed() < PROMPT, "{:?}", start.elapsed());
        driver.abort();
    });
    drop(runtime);
    assert_eq!(faulty.injected(), 1);
    // It is written after all, and granted: nobody has it.
    ls.flush_drops().wait(Some(PATIENCE)).unwrap();
    eventually("nothing is left", || ls.lock_count() == 0);
    other.lock("r", Mode::Ex).timeout(PATIENCE).wait().unwrap().unlock().wait().unwrap();
    other.close().unwrap();
    ls.close().unwrap();
}
