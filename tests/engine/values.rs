//! Lock value blocks that are lost between nodes while nothing says so: what the rounds of chaos on
//! the engine have shown. The engine follows the kernel's source here.

use dlm_runtime::engine::{Cluster, ClusterOptions, Profile};
use dlm_runtime::{Lockspace, Lvb, Mode, ValueBlock};

const OLD: ValueBlock = ValueBlock([1; 32]);
const NEW: ValueBlock = ValueBlock([2; 32]);

/// Three nodes whose time stands still, of each kind.
fn on_three(test: impl Fn(&Cluster, [Lockspace; 3])) {
    for profile in [Profile::Linux6_1, Profile::Linux6_12] {
        for seed in 0..4 {
            let options = ClusterOptions::new().profile(profile).nodes(3).seed(seed);
            let cluster = options.manual_time().start();
            let create = |id| Lockspace::create_on(cluster.node(id), "test").unwrap();
            test(&cluster, [1, 2, 3].map(create));
            assert_eq!(cluster.check(), Ok(()));
        }
    }
}

/// Asks for a lock with its block and lets time pass until it is granted.
fn lock(cluster: &Cluster, space: &Lockspace, mode: Mode) -> dlm_runtime::Lock {
    let lock = space.lock("r", mode).with_lvb().start(|_| {}).unwrap();
    cluster.settle();
    space.dispatch().unwrap();
    assert_eq!(lock.mode(), Some(mode));
    lock
}

/// Shows #mark-is-lost-with-the-master.
#[test]
fn a_block_that_a_reader_has_counts_as_valid_for_a_new_master_even_if_it_is_not() {
    on_three(|cluster, [one, two, three]| {
        let _master = lock(cluster, &two, Mode::Nl);
        let writer = lock(cluster, &three, Mode::Ex);
        writer.convert(Mode::Ex).write_lvb(OLD).start(|_| {}).unwrap();
        cluster.settle();
        let _keeper = lock(cluster, &one, Mode::Nl);
        cluster.node(3).crash();
        cluster.settle();
        let reader = lock(cluster, &one, Mode::Pr);
        assert_eq!(reader.lvb(), Some(Lvb { block: OLD, valid: false }));
        cluster.node(2).crash();
        cluster.settle();
        // Without the reader it would be marked again.
        assert_eq!(lock(cluster, &one, Mode::Cr).lvb(), Some(Lvb { block: OLD, valid: true }));
    });
}

/// Shows #request-on-its-way-leaves-zeros.
#[test]
fn a_program_that_dies_with_a_request_on_its_way_can_leave_zeros() {
    on_three(|cluster, [one, two, _three]| {
        let _keeper = lock(cluster, &one, Mode::Nl);
        let holder = lock(cluster, &one, Mode::Ex);
        let _waiting = two.lock("r", Mode::Ex).with_lvb().start(|_| {}).unwrap();
        // The request arrives and waits, and that is not known on node 2.
        assert!(cluster.step());
        two.close().unwrap();
        holder.unlock().write_lvb(OLD).start(|_| {}).unwrap();
        // It was granted to a lock that is unlocked then, with the block that it never had.
        let read = lock(cluster, &one, Mode::Pr);
        assert_eq!(read.lvb(), Some(Lvb { block: ValueBlock::ZERO, valid: true }));
    });
}

/// Shows #unwritten-block-is-not-marked.
#[test]
fn a_block_that_was_never_written_is_not_marked() {
    for (is_first, found) in [(true, ValueBlock::ZERO), (false, OLD)] {
        on_three(|cluster, [one, two, _three]| {
            let writer = lock(cluster, &one, Mode::Ex);
            if is_first {
                writer.convert(Mode::Nl).start(|_| {}).unwrap();
            } else {
                writer.convert(Mode::Nl).write_lvb(OLD).start(|_| {}).unwrap();
            }
            let _keeper = lock(cluster, &one, Mode::Nl);
            let other = lock(cluster, &two, Mode::Ex);
            // Done as far as node 2 knows, and node 1 does not know of it.
            other.convert(Mode::Pr).write_lvb(NEW).start(|_| {}).unwrap();
            two.dispatch().unwrap();
            assert_eq!(other.mode(), Some(Mode::Pr));
            cluster.node(2).crash();
            cluster.settle();
            let read = lock(cluster, &one, Mode::Pr);
            assert_eq!(read.lvb(), Some(Lvb { block: found, valid: is_first }));
        });
    }
}
