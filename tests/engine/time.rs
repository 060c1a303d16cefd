//! Several nodes in this process while time stands still.

use std::sync::mpsc::channel;
use std::time::Duration;

use dlm_runtime::engine::{Cluster, ClusterOptions};
use dlm_runtime::{LockStatus, Lockspace, Mode, State};

fn create(cluster: &Cluster, node: u32) -> Lockspace {
    Lockspace::create_on(cluster.node(node), "test").unwrap()
}

#[test]
fn with_manual_time_nothing_arrives_before_time_passes() {
    let cluster = ClusterOptions::new().nodes(2).seed(3).manual_time().start();
    let [one, two] = [1, 2].map(|id| create(&cluster, id));
    let _master = one.lock("r", Mode::Nl).wait().unwrap();
    let (sender, ended) = channel();
    let request = two.lock("r", Mode::Ex);
    let lock = request.start(move |it| sender.send(it.status).unwrap()).unwrap();
    two.dispatch().unwrap();
    assert!(ended.try_recv().is_err());
    // To the master and back.
    assert!(cluster.next_event() > Some(cluster.now()));
    assert!(cluster.step() && cluster.step() && !cluster.step());
    assert!(cluster.now() >= Duration::from_micros(100));
    two.dispatch().unwrap();
    assert_eq!(ended.recv().unwrap(), LockStatus::Granted);
    // A crash is noticed at once, and takes until the recovery.
    let waiting = one.lock("r", Mode::Ex).start(|_| {}).unwrap();
    cluster.settle();
    cluster.node(2).crash();
    cluster.advance(Duration::from_millis(9));
    assert_eq!((one.status().state, waiting.mode()), (State::Stopped, None));
    cluster.advance(Duration::from_millis(50));
    one.dispatch().unwrap();
    assert_eq!((one.status().state, waiting.mode()), (State::Running, Some(Mode::Ex)));
    drop(lock);
}

#[test]
fn a_run_repeats_from_its_seed() {
    let run = |seed| {
        let cluster = ClusterOptions::new().nodes(3).seed(seed).manual_time().start();
        let spaces = [1, 2, 3].map(|id| create(&cluster, id));
        let (sender, ended) = channel();
        let locks: Vec<_> = (0..30)
            .map(|n| {
                let sender = sender.clone();
                let request = spaces[n % 3].lock(["a", "b"][n % 2], Mode::Ex);
                request.start(move |it| sender.send((n, it.status)).unwrap()).unwrap()
            })
            .collect();
        cluster.advance(Duration::from_micros(400));
        cluster.node(1).crash();
        let mut times = Vec::new();
        while cluster.step() {
            times.push(cluster.now());
            for space in &spaces[1..] {
                space.dispatch().unwrap();
            }
        }
        drop(locks);
        (times, ended.try_iter().collect::<Vec<_>>())
    };
    assert_eq!(run(5), run(5));
    assert_ne!(run(5).0, run(6).0);
}
