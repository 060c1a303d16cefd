//! Several nodes in this process, as programs see them: what `tests/cluster` shows of real
//! ones.

use std::pin::pin;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant};

use dlm_runtime::backend::Errno;
use dlm_runtime::engine::{Cluster, ClusterOptions, Profile};
use dlm_runtime::{
    Completion, Error, ErrorKind, Lock, LockStatus, Lockspace, LockspaceName, Lvb, Mode, NodeId,
    State, ValueBlock,
};
use dlm_tests::{PATIENCE, block_on, eventually};

const OLD: ValueBlock = ValueBlock([1; 32]);
const NEW: ValueBlock = ValueBlock([2; 32]);

/// Runs a test on a cluster of three nodes that have a lockspace, of each kind and with some seeds.
fn on_three(test: impl Fn(&Cluster, [Lockspace; 3])) {
    for profile in [Profile::Linux6_1, Profile::Linux6_12] {
        for seed in 0..4 {
            let cluster = ClusterOptions::new().profile(profile).nodes(3).seed(seed).start();
            let spaces = [1, 2, 3].map(|id| create(&cluster, id));
            test(&cluster, spaces);
            assert_eq!(cluster.check(), Ok(()));
        }
    }
}

fn create(cluster: &Cluster, node: u32) -> Lockspace {
    Lockspace::create_on(cluster.node(node), "test").unwrap()
}

/// Asks for EX with its block in a thread, and returns how that ends.
fn waiter(lockspace: &Arc<Lockspace>) -> Receiver<Result<Lock, Error>> {
    let (sender, granted) = channel();
    let lockspace = Arc::clone(lockspace);
    thread::spawn(move || sender.send(lockspace.lock("r", Mode::Ex).with_lvb().wait()));
    granted
}

/// Asks for EX with its block, and returns where its end is told by `dispatch`.
fn ask(lockspace: &Lockspace) -> (Lock, Receiver<Completion>) {
    let (sender, ended) = channel();
    let request = lockspace.lock("r", Mode::Ex).with_lvb();
    (request.start(move |completion| sender.send(completion).unwrap()).unwrap(), ended)
}

fn waits(cluster: &Cluster, node: u32) -> bool {
    let queues = cluster.node(node).queues(&LockspaceName::new(b"test").unwrap());
    queues.iter().any(|resource| !resource.waiting.is_empty())
}

#[test]
fn a_lock_is_waited_for_on_another_node_and_its_block_comes_along() {
    on_three(|cluster, [one, two, three]| {
        let two = Arc::new(two);
        let held = one.lock("r", Mode::Ex).with_lvb().note_blocking().wait().unwrap();
        assert!(three.lock("r", Mode::Pr).no_queue().wait().unwrap_err().would_block());
        let granted = waiter(&two);
        eventually("node 2 waits", || waits(cluster, 2));
        one.dispatch().unwrap();
        assert_eq!(held.blocked(), Some(Mode::Ex));
        held.unlock().write_lvb(OLD).wait().unwrap();
        let lock = granted.recv().unwrap().unwrap();
        assert_eq!(lock.valid_lvb(), Some(OLD));
    });
}

#[test]
fn blocking_callbacks_and_descriptors_work_between_nodes() {
    on_three(|_cluster, [one, two, three]| {
        // Node 1 gives way in a delivery thread, node 2 waits for its descriptor, and node 3 for a
        // future.
        let delivery = one.start_delivery().unwrap();
        let cache = Arc::new(Mutex::new(None));
        let given = Arc::clone(&cache);
        let held = one
            .lock("r", Mode::Ex)
            .on_blocking(move |blocking| {
                assert_eq!(blocking.mode, Mode::Pr);
                drop(given.lock().unwrap().take());
            })
            .wait()
            .unwrap();
        *cache.lock().unwrap() = Some(held);
        let (sender, ended) = channel();
        let lock = two.lock("r", Mode::Pr);
        let lock = lock.start(move |completion| sender.send(completion).unwrap()).unwrap();
        two.dispatch_until(Some(Instant::now() + PATIENCE)).unwrap();
        assert_eq!(ended.recv().unwrap().mode, Some(Mode::Pr));
        let _delivery = three.start_delivery().unwrap();
        let read = block_on(async { three.lock("r", Mode::Pr).await }).unwrap();
        assert_eq!((lock.mode(), read.mode()), (Some(Mode::Pr), Some(Mode::Pr)));
        drop(delivery);
    });
}

#[test]
fn conversions_that_block_each_other_across_nodes_end() {
    on_three(|_cluster, [one, two, _three]| {
        let first = one.lock("r", Mode::Pr).wait().unwrap();
        let second = two.lock("r", Mode::Pr).wait().unwrap();
        let (sender, ended) = channel();
        first.convert(Mode::Ex).start(move |it| sender.send(it.status).unwrap()).unwrap();
        assert!(second.convert(Mode::Ex).wait().unwrap_err().is_deadlock());
        one.dispatch().unwrap();
        assert!(ended.try_recv().is_err());
        second.unlock().wait().unwrap();
        one.dispatch().unwrap();
        assert_eq!(ended.recv().unwrap(), LockStatus::Granted);
    });
}

/// `master`: who grants the locks at first, and dies with the holder if it is node 2.
fn the_waiter_of_a_crashed_node(
    cluster: &Cluster,
    [one, two, three]: [Lockspace; 3],
    master: usize,
) {
    let first = [&one, &two][master - 1].lock("r", Mode::Nl).wait().unwrap();
    let held = two.lock("r", Mode::Ex).with_lvb().wait().unwrap();
    held.convert(Mode::Nl).write_lvb(OLD).wait().unwrap();
    // Keeps the block as it is now.
    let keep = one.lock("r", Mode::Nl).with_lvb().wait().unwrap();
    held.convert(Mode::Ex).read_lvb().wait().unwrap();
    let (lock, granted) = ask(&three);
    let fencing = cluster.hold_recovery();
    cluster.node(2).crash();
    // Until node 2 is known to be off, everything stands still.
    for space in [&one, &three] {
        let status = space.status();
        assert_eq!(status.state, State::Stopped);
        assert_eq!(status.members, [NodeId(1), NodeId(3)]);
    }
    three.dispatch().unwrap();
    assert!(granted.try_recv().is_err());
    drop(fencing);
    three.dispatch().unwrap();
    let completion = granted.recv().unwrap();
    assert_eq!(completion.lvb, Some(Lvb { block: OLD, valid: false }));
    assert_eq!(one.status().state, State::Running);
    lock.unlock().write_lvb(NEW).wait().unwrap();
    keep.convert(Mode::Pr).read_lvb().wait().unwrap();
    assert_eq!(keep.valid_lvb(), Some(NEW));
    // The victim comes back, and can have locks as before.
    cluster.node(2).restart();
    let two = create(cluster, 2);
    assert_eq!(one.status().members.len(), 3);
    assert_eq!(two.lock("r", Mode::Pr).with_lvb().wait().unwrap().valid_lvb(), Some(NEW));
    drop((first, held));
}

/// Shows #dead-node-invalidates-the-block.
#[test]
fn the_waiter_of_a_crashed_node_is_granted_after_recovery_and_the_block_is_invalid() {
    on_three(|cluster, spaces| the_waiter_of_a_crashed_node(cluster, spaces, 1));
}

/// Shows #dead-node-invalidates-the-block.
#[test]
fn the_same_if_the_crashed_node_was_the_master() {
    on_three(|cluster, spaces| the_waiter_of_a_crashed_node(cluster, spaces, 2));
}

#[test]
fn of_two_waiters_for_a_crashed_nodes_lock_one_is_granted_and_then_the_other() {
    on_three(|cluster, [one, two, three]| {
        let keeps = [&one, &three].map(|it| it.lock("r", Mode::Nl).with_lvb().wait().unwrap());
        let held = two.lock("r", Mode::Ex).with_lvb().wait().unwrap();
        held.convert(Mode::Ex).write_lvb(OLD).wait().unwrap();
        let (sender, granted) = channel();
        let locks = [&one, &three].map(|space| {
            let sender = sender.clone();
            let request = space.lock("r", Mode::Ex).with_lvb();
            request.start(move |completion| sender.send(completion).unwrap()).unwrap()
        });
        cluster.node(2).crash();
        let dispatch = || [&one, &three].map(|space| space.dispatch().unwrap());
        dispatch();
        let first: Completion = granted.recv().unwrap();
        assert_eq!(first.lvb, Some(Lvb { block: OLD, valid: false }));
        assert!(granted.try_recv().is_err(), "two leaders");
        let (mut leader, other): (Vec<_>, Vec<_>) =
            locks.into_iter().partition(|lock| lock.mode().is_some());
        leader.remove(0).unlock().write_lvb(NEW).wait().unwrap();
        dispatch();
        assert_eq!(granted.recv().unwrap().valid_lvb(), Some(NEW));
        drop((keeps, other));
    });
}

/// Of a lock that is left the new master takes the block as the lock's last request carried it.
#[test]
fn a_conversion_that_fails_or_waits_leaves_the_block_as_it_is_if_the_master_crashes() {
    type Begin = fn(&Lock) -> Result<(), Error>;
    let fails: Begin = |lock| match lock.convert(Mode::Ex).read_lvb().no_queue().wait() {
        Err(error) if error.would_block() => Ok(()),
        answer => answer.map(|_| ()),
    };
    let waits: Begin = |lock| lock.convert(Mode::Ex).read_lvb().start(|_| {});
    for begin in [fails, waits] {
        on_three(|cluster, [one, two, three]| {
            let first = two.lock("r", Mode::Ex).with_lvb().wait().unwrap();
            first.convert(Mode::Pr).write_lvb(OLD).wait().unwrap();
            let [lock, other] =
                [&one, &three].map(|it| it.lock("r", Mode::Pr).with_lvb().wait().unwrap());
            begin(&lock).unwrap();
            other.unlock().wait().unwrap();
            cluster.node(2).crash();
            let read = three.lock("r", Mode::Cr).with_lvb();
            one.dispatch().unwrap();
            drop(lock.convert(Mode::Pr).wait());
            assert_eq!(read.wait().unwrap().valid_lvb(), Some(OLD));
            drop(first);
        });
    }
}

#[test]
fn a_block_that_only_a_crashed_node_kept_is_gone_and_nothing_says_so() {
    on_three(|cluster, [one, two, _three]| {
        let one = Arc::new(one);
        let held = two.lock("r", Mode::Ex).with_lvb().wait().unwrap();
        held.convert(Mode::Ex).write_lvb(OLD).wait().unwrap();
        let granted = waiter(&one);
        eventually("node 1 waits", || waits(cluster, 1));
        cluster.node(2).crash();
        assert_eq!(granted.recv().unwrap().unwrap().valid_lvb(), Some(ValueBlock::ZERO));
    });
}

#[test]
fn a_block_outlives_its_master_while_its_reader_becomes_a_writer() {
    on_three(|cluster, [one, two, _three]| {
        let held = one.lock("r", Mode::Ex).with_lvb().wait().unwrap();
        held.convert(Mode::Pr).write_lvb(OLD).wait().unwrap();
        let lock = two.lock("r", Mode::Pr).with_lvb().wait().unwrap();
        let (sender, ended) = channel();
        let request = lock.convert(Mode::Ex).read_lvb();
        request.start(move |completion| sender.send(completion).unwrap()).unwrap();
        cluster.node(1).crash();
        two.dispatch().unwrap();
        assert_eq!(ended.recv().unwrap().lvb, Some(Lvb::new(OLD)));
    });
}

#[test]
fn a_program_that_ends_leaves_its_lock_to_other_nodes_and_its_orphans_to_nobody() {
    on_three(|cluster, [one, two, three]| {
        let _keep = three.lock("r", Mode::Nl).with_lvb().wait().unwrap();
        let held = one.lock("r", Mode::Ex).with_lvb().wait().unwrap();
        held.convert(Mode::Ex).write_lvb(OLD).wait().unwrap();
        one.lock("orphan", Mode::Ex).wait().unwrap().persist().unwrap();
        let orphan = one.lock("orphan", Mode::Ex).wait().unwrap();
        orphan.persist().unwrap();
        one.close().unwrap();
        let lock = two.lock("r", Mode::Ex).with_lvb().wait().unwrap();
        assert_eq!(lock.lvb(), Some(Lvb { block: OLD, valid: false }));
        assert!(two.adopt("orphan", Mode::Ex).take().unwrap_err().is_no_orphan());
        assert!(two.lock("orphan", Mode::Pr).no_queue().wait().unwrap_err().would_block());
        three.purge(Some(NodeId(1)), None).unwrap();
        drop(two.lock("orphan", Mode::Pr).wait().unwrap());
        // An orphan dies with its node, too.
        let again = Lockspace::open_on(cluster.node(1), "test").unwrap();
        again.lock("orphan", Mode::Pr).wait().unwrap().persist().unwrap();
        drop((orphan, held));
    });
}

#[test]
fn everything_on_a_crashed_node_fails_and_says_that_the_lockspace_is_gone() {
    on_three(|cluster, [one, two, three]| {
        let (two, three) = (Arc::new(two), Arc::new(three));
        let _held = one.lock("r", Mode::Ex).wait().unwrap();
        let lock = two.lock("other", Mode::Ex).wait().unwrap();
        let granted = waiter(&two);
        let elsewhere = waiter(&three);
        eventually("both wait", || waits(cluster, 2) && waits(cluster, 3));
        cluster.node(2).crash();
        cluster.node(2).crash();
        assert!(!cluster.node(2).is_up() && cluster.node(1).is_up());
        let is_removed =
            |error: Error| assert!(matches!(error.kind, ErrorKind::Removed), "{error}");
        is_removed(granted.recv().unwrap().unwrap_err());
        is_removed(two.lock("r", Mode::Nl).wait().unwrap_err());
        is_removed(lock.convert(Mode::Nl).wait().unwrap_err());
        is_removed(lock.unlock().wait().unwrap_err().into());
        is_removed(two.dispatch().unwrap_err());
        is_removed(two.purge(None, None).unwrap_err());
        assert_eq!(two.status().state, State::Absent);
        let refused = Lockspace::create_on(cluster.node(2), "test").unwrap_err();
        assert_eq!(refused.raw_os_error(), Some(Errno::ENODEV.raw()));
        assert!(Lockspace::open_on(cluster.node(2), "test").unwrap_err().is_no_lockspace());
        assert!(Lockspace::create_on(cluster.node(4), "test").is_err());
        // What was open stays gone when the node is back.
        cluster.node(2).restart();
        let again = create(cluster, 2);
        is_removed(two.lock("r", Mode::Nl).wait().unwrap_err());
        assert!(again.lock("r", Mode::Pr).no_queue().wait().unwrap_err().would_block());
        drop(one);
        drop(_held);
        drop(elsewhere.recv().unwrap().unwrap());
    });
}

#[test]
fn the_first_call_after_a_crash_says_so_too() {
    type Calls = [fn(&Lockspace, Lock) -> Error; 5];
    let calls: Calls = [
        |space, _lock| space.lock("r", Mode::Nl).wait().unwrap_err(),
        |_space, lock| lock.convert(Mode::Pr).wait().unwrap_err(),
        |_space, lock| lock.unlock().wait().unwrap_err().into(),
        |space, _lock| space.dispatch_until(None).unwrap_err(),
        |space, _lock| space.purge(None, None).unwrap_err(),
    ];
    for call in calls {
        on_three(|cluster, [_one, two, _three]| {
            let lock = two.lock("r", Mode::Ex).wait().unwrap();
            cluster.node(2).crash();
            let error = call(&two, lock);
            assert!(matches!(error.kind, ErrorKind::Removed), "{error}");
        });
    }
    on_three(|cluster, [_one, two, _three]| {
        let delivery = two.start_delivery().unwrap();
        let _held = two.lock("r", Mode::Ex).wait().unwrap();
        let waiting = two.lock("r", Mode::Ex);
        let node = cluster.node(2);
        let error = block_on(async {
            let mut waiting = pin!(waiting.into_future());
            let first = std::future::poll_fn(|context| {
                Poll::Ready(waiting.as_mut().poll(context).is_pending())
            });
            assert!(first.await);
            node.crash();
            waiting.await.unwrap_err()
        });
        assert!(matches!(error.kind, ErrorKind::Removed), "{error}");
        drop(delivery);
    });
}

#[test]
fn a_node_that_stands_still_is_waited_for_unless_it_is_declared_dead() {
    on_three(|cluster, [one, two, three]| {
        let (one, three) = (Arc::new(one), Arc::new(three));
        let held = two.lock("r", Mode::Ex).with_lvb().wait().unwrap();
        let frozen = cluster.node(2).freeze();
        let granted = waiter(&three);
        assert_eq!(three.status().state, State::Running);
        assert_eq!(two.status().state, State::Stopped);
        // It cannot give way.
        thread::scope(|scope| {
            let unlock = scope.spawn(|| held.unlock().wait());
            assert!(granted.recv_timeout(Duration::from_millis(20)).is_err());
            drop(frozen);
            unlock.join().unwrap().unwrap();
        });
        granted.recv().unwrap().unwrap().unlock().wait().unwrap();
        // Nor can a recovery be done without it.
        let held = two.lock("r", Mode::Ex).wait().unwrap();
        let frozen = [cluster.node(2).freeze(), cluster.node(2).freeze()];
        let waiting = waiter(&one);
        cluster.node(3).crash();
        let status = one.status();
        assert_eq!((status.state, status.waiting_for), (State::Stopped, Some(NodeId(2))));
        assert!(waiting.try_recv().is_err());
        cluster.node(2).crash();
        drop(waiting.recv().unwrap().unwrap());
        assert_eq!(one.status().state, State::Running);
        drop((frozen, held));
    });
}

#[test]
fn a_network_that_is_divided_delays_and_loses_nothing() {
    on_three(|cluster, [one, two, three]| {
        let held = one.lock("r", Mode::Ex).wait().unwrap();
        let first = cluster.partition(&[&[1], &[2, 3]]);
        let (_lock, ended) = ask(&two);
        let other = three.lock("other", Mode::Ex);
        let cut = cluster.partition(&[&[2]]);
        drop(first);
        drop(other.wait().unwrap());
        held.unlock().wait().unwrap();
        two.dispatch().unwrap();
        assert!(ended.try_recv().is_err());
        cluster.node(3).crash();
        assert_eq!(one.status().waiting_for, Some(NodeId(2)));
        assert_eq!(two.status().waiting_for, Some(NodeId(1)));
        drop(cut);
        two.dispatch().unwrap();
        assert_eq!(ended.recv().unwrap().mode, Some(Mode::Ex));
        assert_eq!(one.status().waiting_for, None);
    });
}

#[test]
fn a_lockspace_that_is_stopped_on_one_node_does_not_answer_the_others() {
    on_three(|cluster, [one, two, three]| {
        let two = Arc::new(two);
        let name = LockspaceName::new(b"test").unwrap();
        let held = one.lock("r", Mode::Ex).wait().unwrap();
        let stopped = cluster.node(1).stop(&name).unwrap();
        let granted = waiter(&two);
        assert_eq!(two.status().state, State::Running);
        cluster.node(3).crash();
        assert_eq!(two.status().waiting_for, Some(NodeId(1)));
        drop(stopped);
        held.unlock().wait().unwrap();
        drop(granted.recv().unwrap().unwrap());
        drop(three);
    });
}
