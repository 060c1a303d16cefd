#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::collections::BTreeMap;
use std::time::Duration;

use super::*;
use dlm_proto::{Mode, NodeId};

/// Three nodes of a cluster with kernel 6.12: node 1 holds `disk0` (EX), node 2 waits for PR, node 3
/// for EX; node 2 holds `back` (EX), of which it is the master, and node 3 waits for it.
const NODES: [&str; 3] = [
    "rsb ptr nodeid first_lkid flags !root_list_empty !recover_list_empty recover_locks_count len
rsb 00000000f7cf56cc 0 0 200 0 0 0 5 str disk0
lvb 1 4 6f 6e 65 00
lkb 1 0 0 178 0 c 0 2 5 -1 5 0 0 1 18310639756 30409512919
lkb 3 2 1 224 0 8 10000 1 -1 3 -1 0 0 0 30409063545 0
lkb 2 3 1 168 0 0 10000 1 -1 5 -1 0 0 0 30409363545 0
",
    "rsb 00000000d952f16a 0 0 200 0 0 0 4 str back
lkb 2 0 0 224 7 0 0 2 5 -1 -1 0 0 0 10085086528 0
lkb 3 3 2 168 0 0 0 1 -1 3 -1 0 0 0 10095086528 0
rsb 00000000dbcbada6 1 0 200 0 0 0 5 str disk0
lkb 1 1 3 224 7 8 0 1 -1 3 -1 0 0 0 10062539618 0
",
    "rsb 00000000354955a1 2 0 200 0 0 0 4 str back
lkb 2 2 3 168 0 0 0 1 -1 3 -1 0 0 0 31214106133 0
rsb 000000001360595f 1 0 200 0 0 0 5 str disk0
lkb 1 1 2 168 0 0 0 1 -1 5 -1 0 0 0 31201294155 0
",
];

fn snapshot(node: u32) -> Snapshot {
    let tasks = [178, 224, 168];
    let program = |task: u32| Program { pid: task, name: format!("app{node}") };
    let task = tasks[node as usize - 1];
    let mut status = Status::new(State::Running);
    status.members = vec![NodeId(1), NodeId(2), NodeId(3)];
    status.local_node = Some(NodeId(node));
    status.cluster_name = Some("c".into());
    let space = Space {
        name: "tests".into(),
        id: Some(7),
        minor: Some(dlm_proto::Minor(263)),
        status,
        condition: Some(Condition::Fencing(vec![NodeId(9)])),
        resources: Some(parse_queues("tests", NODES[node as usize - 1].as_bytes()).unwrap()),
        openers: Some(vec![Opener { program: program(task), count: 1 }]),
    };
    Snapshot {
        node: Some(NodeId(node)),
        host: format!("n{node}"),
        cluster: "c".into(),
        kernel: "6.12".into(),
        taken: Duration::from_secs(40),
        lockspaces: vec![space],
        programs: BTreeMap::from([(task, program(task))]),
    }
}

fn resource<'a>(resources: &'a [Resource], name: &[u8]) -> &'a Resource {
    resources.iter().find(|resource| *resource.name == *name).unwrap()
}

fn owners(resource: &Resource) -> Vec<String> {
    resource.locks.iter().map(|lock| lock.owner().to_string()).collect()
}

#[test]
fn the_masters_queue_is_filled_in_with_what_others_know() {
    let all = merge(&[snapshot(3), snapshot(1), snapshot(2)]);
    let disk = resource(&all, b"disk0");
    assert!(disk.is_complete && !disk.is_doubled);
    assert_eq!((disk.master, disk.locks.len()), (Some(NodeId(1)), 3));
    let wanted = ["app1[178] on node 1", "app2[224] on node 2", "app3[168] on node 3"];
    assert_eq!(owners(disk), wanted);
    assert_eq!(disk.locks[1].transaction, 7);
    assert_eq!(disk.locks[1].id.0, 1, "its id on its own node");
    assert_eq!(disk.locks[2].requested, Some(Mode::Ex));
    assert_eq!(disk.locks[0].age.unwrap().as_millis(), 21_689);
    assert_eq!(&disk.block.as_ref().unwrap().bytes[..], b"one\0");
    // The master alone does not know the programs of others, but their nodes and the order.
    let one = merge(&[snapshot(1)]);
    let wanted = ["app1[178] on node 1", "thread 224 on node 2", "thread 168 on node 3"];
    assert_eq!(owners(resource(&one, b"disk0")), wanted);
    // Another node knows its own locks, and whom to ask.
    let two = merge(&[snapshot(2)]);
    let disk = resource(&two, b"disk0");
    assert!(!disk.is_complete);
    assert_eq!((disk.master, owners(disk)), (Some(NodeId(1)), vec![wanted_of_two()]));
}

fn wanted_of_two() -> String {
    "app2[224] on node 2".into()
}

#[test]
fn a_waiting_lock_waits_for_holders_and_for_who_is_before_it() {
    let all = merge(&[snapshot(1)]);
    let disk = resource(&all, b"disk0");
    let blocker = |lock, obstacle| Blocker { lock, obstacle };
    assert_eq!(disk.blockers(0), []);
    assert_eq!(disk.blockers(1), [blocker(0, Obstacle::Holds)]);
    assert_eq!(disk.blockers(2), [blocker(0, Obstacle::Holds), blocker(1, Obstacle::Precedes)]);
    assert_eq!(disk.blockers(3), []);
}

#[test]
fn a_snapshot_is_read_as_it_was_written() {
    for node in 1..=3 {
        let snapshot = snapshot(node);
        let text = snapshot.to_string();
        assert_eq!(Snapshot::parse(text.as_bytes()).unwrap(), snapshot);
        // Cut anywhere it is refused: between lines by the missing end, else by the broken line too.
        for len in (0..text.len() - 1).step_by(7) {
            assert!(Snapshot::parse(&text.as_bytes()[..len]).is_err(), "{len}");
        }
        let later = text.replace("lockspace tests\n", "news 1\nlockspace tests\nmore 2\n");
        assert_eq!(Snapshot::parse(later.as_bytes()).unwrap(), snapshot);
    }
    for bad in ["", "dlm-dump 2\nend\n", "dlm-dump 1\nqueues 0\nend\n", "dlm-dump 1\nid 1\nend\n"] {
        assert!(Snapshot::parse(bad.as_bytes()).is_err(), "{bad:?}");
    }
    let lost = "dlm-dump 1\nlockspace a\nqueues 1\nlkb 1\nend\n";
    let error = Snapshot::parse(lost.as_bytes()).unwrap_err().to_string();
    assert!(error.contains("line 4 of the queues of a"), "{error}");
}

#[test]
fn a_circle_over_two_resources_is_found_named_and_believed_the_second_time() {
    let all = merge(&[snapshot(1), snapshot(2), snapshot(3)]);
    assert_eq!(deadlock::find(&all, Grouping::Thread), []);
    // Node 1 asks for what node 2 holds, while node 2 waits for disk0.
    let mut two = snapshot(2);
    let back = "rsb 0 0 0 200 0 0 0 4 str back
lkb 2 0 0 224 7 0 0 2 5 -1 -1 0 0 0 10085086528 0
lkb 4 1 9 178 0 0 0 1 -1 3 -1 0 0 0 11095086528 0
rsb 00000000dbcbada6 1 0 200 0 0 0 5 str disk0
lkb 1 1 3 224 7 8 0 1 -1 3 -1 0 0 0 10062539618 0
";
    two.lockspaces[0].resources = Some(parse_queues("tests", back.as_bytes()).unwrap());
    let look = merge(&[snapshot(1), two]);
    let found = deadlock::find(&look, Grouping::Thread);
    assert_eq!(found.len(), 1);
    let mut watch = deadlock::watch();
    assert_eq!(watch.look(&look), []);
    assert_eq!(watch.look(&look), found);
    assert_eq!(watch.look(&look), [], "told once");
    assert_eq!(watch.look(&all), []);
    assert_eq!(watch.look(&look), [], "a new one");
    assert_eq!(watch.look(&look).len(), 1);
    let victim = found[0].victim();
    assert_eq!((victim.node, victim.id.0), (Some(NodeId(2)), 1));
    assert!(victim.still_waits(&look));
    assert!(!victim.still_waits(&merge(&[snapshot(1)])) || victim.still_waits(&all));
    let text = found[0].to_string();
    for part in [
        "app1[178] on node 1 waits for PR on tests/back, held EX by app2[224] on node 2",
        "app2[224] on node 2 waits for PR on tests/disk0, held EX by app1[178] on node 1",
        "victim: lock 1 of app2[224] on node 2",
    ] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn two_resources_of_one_name_on_a_node_are_told() {
    let twice = "rsb 0 0 0 0 0 0 0 1 str r\nlkb 1 0 0 9 0 0 0 2 5 -1 0 0 0 0 1 0\n".repeat(2);
    let mut one = snapshot(1);
    one.lockspaces[0].resources = Some(parse_queues("tests", twice.as_bytes()).unwrap());
    let all = merge(&[one]);
    assert!(resource(&all, b"r").is_doubled);
    assert_eq!(resource(&all, b"r").locks.len(), 2);
}

#[test]
fn graphs_have_the_shortest_circle_of_each_knot() {
    // Rings of n threads, each of which holds its resource and waits for the next one's, and a
    // thread that waits for the first ring without being in it.
    let mut text = String::new();
    let mut number = 0;
    for (ring, len) in [(0_u32, 1_u32), (1, 2), (2, 5)] {
        for at in 0..len {
            let (holder, waiter) = (100 * ring + at, 100 * ring + (at + 1) % len);
            number += 2;
            text += &format!(
                "rsb 0 0 0 0 0 0 0 3 str {ring}-{at}\nlkb {:x} 0 0 {holder} 0 0 0 2 5 -1 0 0 0 0 1 \
                 0\nlkb {:x} 0 0 {waiter} 0 0 0 1 -1 5 0 0 0 0 1 0\n",
                number,
                number + 1
            );
        }
    }
    text += "lkb 999 0 0 999 0 0 0 1 -1 5 0 0 0 0 1 0\n";
    let mut one = snapshot(1);
    one.lockspaces[0].resources = Some(parse_queues("tests", text.as_bytes()).unwrap());
    let all = merge(&[one]);
    let graph = WaitGraph::new(&all, Grouping::Thread);
    let mut lens: Vec<_> = graph.cycles().iter().map(|cycle| cycle.waits.len()).collect();
    lens.sort_unstable();
    assert_eq!(lens, [1, 2, 5]);
}

/// Any bytes as a snapshot and as queues: refused, or read the same after they were written.
/// Whether they are a snapshot.
fn hold(bytes: &[u8]) -> bool {
    let _ = parse_queues("", bytes);
    let Ok(snapshot) = Snapshot::parse(bytes) else { return false };
    let again = Snapshot::parse(snapshot.to_string().as_bytes());
    assert!(again.is_ok_and(|again| again == snapshot), "{snapshot:?} is not read as written");
    let resources = merge(std::slice::from_ref(&snapshot));
    for cycle in WaitGraph::new(&resources, Grouping::Thread).cycles() {
        let agents = || cycle.waits.iter().map(|wait| wait.waiter);
        let next = agents().cycle().skip(1);
        assert!(cycle.waits.iter().zip(next).all(|(wait, next)| wait.blocker == next));
    }
    true
}

#[test]
fn texts_with_random_faults_are_refused_or_read_the_same() {
    let mut random = dlm_random::Random::new(1);
    let texts: Vec<Vec<u8>> = (1..=3).map(|node| snapshot(node).to_string().into_bytes()).collect();
    let mut read = 0;
    for round in 0..6000 {
        let mut text = texts[round % 3].clone();
        for _ in 0..=random.index(3) {
            let at = random.index(text.len());
            let len = random.index(12).min(text.len() - at);
            match random.index(4) {
                0 => text[at] = *random.pick(b"0123456789abf -\n\xff"),
                1 => drop(text.drain(at..at + len)),
                2 => {
                    let part = text[at..at + len].to_vec();
                    let to = random.index(text.len());
                    drop(text.splice(to..to, part));
                }
                _ => {
                    let other = (at + len).min(text.len() - 1);
                    text.swap(at, other);
                }
            }
        }
        read += usize::from(hold(&text));
    }
    // Both happen, or this shows nothing.
    assert!((100..5900).contains(&read), "{read} were read");
}

#[cfg(feature = "engine")]
#[test]
fn the_engine_is_looked_at_as_the_kernel_is() {
    use crate::engine::ClusterOptions;
    use crate::{LockStatus, Lockspace};
    use std::sync::mpsc::channel;

    let cluster = ClusterOptions::new().nodes(2).start();
    let one = Lockspace::create_on(cluster.node(1), "tests").unwrap();
    let two = Lockspace::create_on(cluster.node(2), "tests").unwrap();
    let a = one.lock("a", Mode::Ex).with_lvb().wait().unwrap();
    // Another thread, which is another party.
    let b = std::thread::scope(|scope| {
        scope.spawn(|| two.lock("b", Mode::Pr).wait().unwrap()).join().unwrap()
    });
    let wait = one.lock("b", Mode::Ex).start(|_| {}).unwrap();
    let all = merge(&cluster.snapshots());
    assert_eq!(deadlock::find(&all, Grouping::Thread), []);
    let (sender, ends) = channel();
    let _other = std::thread::scope(|scope| {
        let ask = || {
            let own = two.lock("c", Mode::Ex).wait().unwrap();
            let end = move |end: crate::Completion| sender.send(end.status).unwrap();
            (own, two.lock("a", Mode::Ex).start(end).unwrap())
        };
        scope.spawn(ask).join().unwrap()
    });
    // The thread that waits for `a` holds `c` only, another one of the process holds `b`.
    let all = merge(&cluster.snapshots());
    assert_eq!(deadlock::find(&all, Grouping::Thread).len(), 0);
    let alone = merge(&[cluster.node(2).snapshot()]);
    assert!(resource(&alone, b"b").is_complete && !resource(&alone, b"a").is_complete);
    let here = std::process::id();
    let found = resource(&all, b"a");
    let mine: Vec<_> = found.locks.iter().map(|lock| lock.program.as_ref().unwrap().pid).collect();
    assert_eq!(mine, [here, here]);
    // By processes there is one, and a victim is told.
    let mut watch = deadlock::watch().grouping(Grouping::Process);
    let (first, second) = (watch.look(&all), watch.look(&all));
    assert_eq!((first.len(), second.len()), (0, 1));
    let victim = second[0].victim();
    assert_eq!((victim.node, &*victim.resource), (Some(NodeId(2)), &b"a"[..]));
    deadlock::cancel(&cluster.node(2), victim).unwrap();
    two.dispatch().unwrap();
    assert_eq!(ends.recv().unwrap(), LockStatus::Deadlock);
    drop((a, b, wait));
}

#[cfg(feature = "engine")]
#[test]
fn a_lost_node_is_fenced_then_recovered_from_then_the_waiter_is_granted() {
    use crate::Lockspace;
    use crate::engine::ClusterOptions;

    let cluster = ClusterOptions::new().nodes(3).manual_time().start();
    let [one, two] = [1, 2].map(|node| Lockspace::create_on(cluster.node(node), "tests").unwrap());
    let lost = two.lock("a", Mode::Ex).start(|_| {}).unwrap();
    cluster.settle();
    let waiter = one.lock("a", Mode::Ex).start(|_| {}).unwrap();
    cluster.settle();
    let mut before = cluster.node(1).snapshot();
    let mut told = || {
        let after = cluster.node(1).snapshot();
        let found = changes(&before, &after).into_iter().map(|change| change.kind).collect();
        before = after;
        _ = one.dispatch();
        let found: Vec<ChangeKind> = found;
        (found, waiter.mode())
    };
    assert_eq!(told(), (vec![], None));

    let fencing = cluster.hold_recovery();
    cluster.node(2).crash();
    let awaits = ChangeKind::Awaits(Condition::Fencing(vec![NodeId(2)]));
    assert_eq!(told(), (vec![ChangeKind::Left(NodeId(2)), awaits], None));
    // However long it takes.
    cluster.advance(Duration::from_secs(3600));
    assert_eq!(told(), (vec![], None));

    // It recovers: the time for that has begun, and has not passed.
    drop(fencing);
    assert_eq!(told(), (vec![ChangeKind::Stopped], None));
    cluster.settle();
    assert_eq!(told(), (vec![ChangeKind::Runs], Some(Mode::Ex)));
    drop((lost, waiter));
}

#[cfg(feature = "engine")]
#[test]
fn a_transaction_is_one_party_whichever_threads_it_has() {
    use crate::Lockspace;
    use crate::engine::ClusterOptions;

    let cluster = ClusterOptions::new().nodes(2).start();
    let [one, two] = [1, 2].map(|node| Lockspace::create_on(cluster.node(node), "tests").unwrap());
    let ask = |space: &Lockspace, name: &str, transaction| {
        let ask = || space.lock(name, Mode::Ex).transaction(transaction).start(|_| {}).unwrap();
        // Each in a thread of its own.
        std::thread::scope(|scope| scope.spawn(ask).join().unwrap())
    };
    let locks = [ask(&one, "a", 7), ask(&two, "b", 8), ask(&one, "b", 7), ask(&two, "a", 9)];
    let all = merge(&cluster.snapshots());
    let numbers: Vec<_> = resource(&all, b"a").locks.iter().map(|lock| lock.transaction).collect();
    assert_eq!(numbers, [7, 9]);
    // Transaction 8 waits for nothing.
    assert_eq!(deadlock::find(&all, Grouping::Thread), []);
    let circle = ask(&two, "a", 8);
    let all = merge(&cluster.snapshots());
    let found = deadlock::find(&all, Grouping::Thread);
    assert_eq!(found.len(), 1, "{found:?}");
    drop((locks, circle));
}
