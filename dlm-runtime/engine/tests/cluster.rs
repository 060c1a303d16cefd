//! Several nodes: what is on its way, and what is left when a node crashes.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod support;

use std::cell::RefCell;

use dlm_engine::{Config, Engine, Errno, Profile};
use dlm_proto::{
    Abi, LockFlags, LockRequest, LockStatus, LockspaceFlags, Minor, Mode, NodeId, RemoveFlags,
    Request, StatusFlags, ValueBlock,
};
use support::{NONE, Session, World, cookies, encode};

const BLOCK: ValueBlock = ValueBlock([7; 32]);

/// A lockspace on each of some nodes.
struct Cluster {
    world: World,
}

impl Cluster {
    fn new(profile: Profile, nodes: u32, seed: u64) -> Self {
        let config = Config { profile, abi: Abi::V6_64, seed, nodes };
        let mut engine = Engine::new(config);
        let create = Request::CreateLockspace { name: b"test", flags: LockspaceFlags::empty() };
        let minors: Vec<_> = (1..=nodes)
            .map(|node| engine.control(NodeId(node), &encode(&create)).unwrap())
            .collect();
        let minor = Minor(u32::try_from(minors[0]).unwrap());
        Self { world: World { engine: RefCell::new(engine), minor, profile } }
    }

    /// Runs a test on each profile, with some seeds.
    fn each(nodes: u32, test: impl Fn(&Self)) {
        for profile in Profile::ALL {
            for seed in 0..8 {
                test(&Self::new(profile, nodes, seed));
            }
        }
    }

    fn open(&self, node: u32) -> Session<'_> {
        let id = self.engine(|it| it.open(NodeId(node), self.world.minor)).unwrap();
        Session { world: &self.world, id }
    }

    fn engine<T>(&self, call: impl FnOnce(&mut Engine) -> T) -> T {
        let mut engine = self.world.engine.borrow_mut();
        let answer = call(&mut engine);
        assert_eq!(engine.check(), Ok(()));
        answer
    }

    fn settle(&self) {
        while self.engine(Engine::step).is_some() {}
    }

    /// A lock on a node that is not its resource's master, which node 1 is from then on.
    fn remote<'c>(&'c self, mode: Mode) -> (Session<'c>, Session<'c>, dlm_proto::LockId) {
        let (master, holder) = (self.open(1), self.open(2));
        master.granted("r", Mode::Nl, NONE, 1);
        let lock = holder.waiting("r", mode, NONE, 2);
        self.settle();
        holder.next().completes(2, LockStatus::Granted);
        (master, holder, lock)
    }
}

#[test]
fn a_lock_of_another_node_is_granted_when_the_master_answers() {
    Cluster::each(2, |cluster| {
        let (master, holder, lock) = cluster.remote(Mode::Pr);
        let waiting = master.waiting("r", Mode::Ex, NONE, 3);
        holder.none();
        cluster.settle();
        holder.next().blocks(2, Mode::Ex);
        holder.unlock(lock, 2);
        holder.none();
        cluster.settle();
        holder.next().completes(2, LockStatus::Unlocked);
        assert_eq!(master.next().completes(3, LockStatus::Granted).lock, waiting);
        assert_eq!(holder.try_unlock(lock, NONE, 2), Err(Errno::ENOENT));
    });
}

/// Shows #noqueue-leaves-a-dead-id and #alternate-modes.
#[test]
fn a_request_of_another_node_can_be_refused_or_get_another_mode() {
    Cluster::each(2, |cluster| {
        let (master, holder) = (cluster.open(1), cluster.open(2));
        master.granted("r", Mode::Pr, NONE, 1);
        let lock = holder.lock("r", Mode::Ex, LockFlags::NOQUEUE, 2);
        cluster.settle();
        holder.next().completes(2, LockStatus::Again);
        assert_eq!(holder.try_unlock(lock, NONE, 2), Err(Errno::ENOENT));
        let lock = holder.lock("r", Mode::Ex, LockFlags::ALTPR, 3);
        cluster.settle();
        assert_eq!(holder.next().completes(3, LockStatus::Granted).flags, StatusFlags::ALTMODE);
        holder.unlock(lock, 3);
        cluster.settle();
        holder.next().completes(3, LockStatus::Unlocked);
    });
}

/// Shows #conversions-with-a-remote-master.
#[test]
fn a_second_conversion_waits_for_the_first_and_one_down_is_granted_at_once() {
    Cluster::each(2, |cluster| {
        let (_master, holder, lock) = cluster.remote(Mode::Nl);
        holder.convert(lock, Mode::Ex, NONE, 2);
        assert_eq!(holder.try_convert(lock, Mode::Ex, NONE, 2), Err(Errno::EBUSY));
        cluster.settle();
        holder.next().completes(2, LockStatus::Granted);
        holder.converted(lock, Mode::Cr, NONE, 2);
        cluster.settle();
        holder.none();
    });
}

/// Shows #unlock-during-an-operation.
#[test]
fn an_unlock_before_the_answer_is_refused_unless_by_force() {
    Cluster::each(2, |cluster| {
        let (master, holder) = (cluster.open(1), cluster.open(2));
        master.granted("r", Mode::Nl, NONE, 1);
        let lock = holder.waiting("r", Mode::Ex, NONE, 2);
        assert_eq!(holder.try_unlock(lock, NONE, 2), Err(Errno::EBUSY));
        assert_eq!(holder.try_unlock(lock, LockFlags::FORCEUNLOCK, 2), Ok(()));
        assert_eq!(holder.try_unlock(lock, LockFlags::FORCEUNLOCK, 2), Err(Errno::EINVAL));
        cluster.settle();
        holder.next().completes(2, LockStatus::Granted);
        holder.next().completes(2, LockStatus::Unlocked);
        // Of a request that was queued only the end is told.
        master.granted("s", Mode::Ex, NONE, 3);
        let lock = holder.waiting("s", Mode::Ex, NONE, 4);
        assert_eq!(holder.try_unlock(lock, LockFlags::FORCEUNLOCK, 4), Ok(()));
        cluster.settle();
        holder.next().completes(4, LockStatus::Unlocked);
        holder.none();
    });
}

/// Shows #cancel-loses-the-race.
#[test]
fn a_cancel_comes_too_late_for_what_is_granted() {
    Cluster::each(2, |cluster| {
        let (master, holder) = (cluster.open(1), cluster.open(2));
        master.granted("r", Mode::Nl, NONE, 1);
        let lock = holder.waiting("r", Mode::Ex, NONE, 2);
        assert_eq!(holder.try_cancel(lock, 2), Ok(()));
        cluster.settle();
        holder.next().completes(2, LockStatus::Granted);
        holder.none();
        master.granted("s", Mode::Ex, NONE, 3);
        let lock = holder.waiting("s", Mode::Ex, NONE, 4);
        assert_eq!(holder.try_cancel(lock, 4), Ok(()));
        cluster.settle();
        holder.next().completes(4, LockStatus::Cancelled);
        holder.none();
    });
}

/// Shows #waiting-lock-is-unlocked and #converting-lock-is-unlocked.
#[test]
fn waiting_and_converting_locks_of_another_node_are_unlocked() {
    Cluster::each(2, |cluster| {
        let (master, holder) = (cluster.open(1), cluster.open(2));
        master.granted("r", Mode::Pr, NONE, 1);
        let waiting = holder.waiting("r", Mode::Ex, NONE, 2);
        cluster.settle();
        holder.unlock(waiting, 2);
        cluster.settle();
        holder.next().completes(2, LockStatus::Unlocked);
        let lock = holder.lock("r", Mode::Pr, NONE, 3);
        cluster.settle();
        holder.next().completes(3, LockStatus::Granted);
        holder.convert(lock, Mode::Ex, NONE, 3);
        cluster.settle();
        assert_eq!(holder.try_convert(lock, Mode::Ex, NONE, 3), Err(Errno::EBUSY));
        holder.unlock(lock, 3);
        cluster.settle();
        holder.next().completes(3, LockStatus::Unlocked);
        holder.none();
    });
}

#[test]
fn blocks_travel_between_nodes() {
    Cluster::each(2, |cluster| {
        let (master, holder, lock) = cluster.remote(Mode::Nl);
        let write = |mode, block: &ValueBlock| {
            let request = LockRequest::convert(lock, mode, cookies(2)).with_lvb(block);
            assert_eq!(holder.send(&Request::Lock(request)), Ok(0));
            cluster.settle();
            holder.next().completes(2, LockStatus::Granted)
        };
        assert_eq!(write(Mode::Ex, &ValueBlock::ZERO).lvb, Some(ValueBlock::ZERO));
        assert_eq!(write(Mode::Nl, &BLOCK).lvb, None);
        let read = LockRequest::new(b"r", Mode::Pr, cookies(3)).with(LockFlags::VALBLK);
        master.send(&Request::Lock(read)).unwrap();
        assert_eq!(master.next().lvb, Some(BLOCK));
    });
}

#[test]
fn a_close_on_another_node_ends_locks_there() {
    Cluster::each(2, |cluster| {
        let (master, holder, _) = cluster.remote(Mode::Ex);
        master.waiting("r", Mode::Ex, NONE, 3);
        cluster.settle();
        holder.close();
        cluster.settle();
        master.next().completes(3, LockStatus::Granted);
        master.close();
        cluster.settle();
        assert_eq!(cluster.engine(|it| it.size()), 2);
    });
}

#[test]
fn orphans_of_another_node_are_purged_by_a_message() {
    Cluster::each(2, |cluster| {
        let (one, two) = (cluster.open(1), cluster.open(2));
        two.lock("r", Mode::Ex, LockFlags::PERSISTENT, 1);
        cluster.settle();
        two.close();
        cluster.settle();
        one.waiting("r", Mode::Ex, NONE, 2);
        cluster.settle();
        one.none();
        assert_eq!(one.purge(9, 0), Err(Errno::ENOBUFS));
        assert_eq!(one.purge(2, 0), Ok(0));
        cluster.settle();
        one.next().completes(2, LockStatus::Granted);
    });
}

/// Node 1 holds EX and has written the block before; nodes 2 and 3 have null locks, of which one
/// has read the block, and wait for PR.
fn crash_of_the_holder(cluster: &Cluster, master: u32) {
    let sessions = [1, 2, 3].map(|node| cluster.open(node));
    let [one, two, three] = sessions;
    let done = |session: Session<'_>, n, status| {
        cluster.settle();
        session.next().completes(n, status)
    };
    let first = cluster.open(master);
    first.granted("r", Mode::Nl, NONE, 9);
    let [writer, reader, _] = sessions.map(|session| {
        let lock = session.lock("r", Mode::Nl, LockFlags::VALBLK, 1);
        done(session, 1, LockStatus::Granted);
        lock
    });
    let convert = |session: Session<'_>, lock, mode, block: &ValueBlock| {
        let request = LockRequest::convert(lock, mode, cookies(2)).with_lvb(block);
        assert_eq!(session.send(&Request::Lock(request)), Ok(0));
        done(session, 2, LockStatus::Granted)
    };
    convert(one, writer, Mode::Ex, &ValueBlock::ZERO);
    convert(one, writer, Mode::Nl, &BLOCK);
    assert_eq!(convert(two, reader, Mode::Nl, &ValueBlock::ZERO).lvb, Some(BLOCK));
    convert(one, writer, Mode::Ex, &ValueBlock::ZERO);
    let [held, _] = [two, three].map(|session| {
        let lock = session.waiting("r", Mode::Pr, LockFlags::VALBLK, 3);
        cluster.settle();
        session.none();
        lock
    });
    cluster.engine(|it| it.crash(NodeId(1)));
    assert!(cluster.engine(|it| it.stopped(two.id)));
    assert_eq!(two.try_lock("r", Mode::Nl, NONE, 4), Err(Errno::STOPPED));
    assert_eq!(one.try_lock("r", Mode::Nl, NONE, 4), Err(Errno::EBADF));
    for session in [two, three] {
        let granted = done(session, 3, LockStatus::Granted);
        assert_eq!((granted.flags, granted.lvb), (StatusFlags::VALNOTVALID, Some(BLOCK)));
        assert!(!cluster.engine(|it| it.stopped(session.id)));
    }
    // A write makes the block valid again.
    three.close();
    cluster.settle();
    convert(two, held, Mode::Ex, &ValueBlock::ZERO);
    convert(two, held, Mode::Pr, &ValueBlock([8; 32]));
    let read = convert(two, reader, Mode::Pr, &ValueBlock::ZERO);
    assert_eq!((read.flags, read.lvb), (StatusFlags::empty(), Some(ValueBlock([8; 32]))));
}

/// Shows #dead-node-invalidates-the-block.
#[test]
fn a_node_with_ex_and_the_block_crashes_and_its_master_with_it() {
    Cluster::each(3, |cluster| crash_of_the_holder(cluster, 1));
}

#[test]
fn a_node_with_ex_and_the_block_crashes_and_the_master_stays() {
    Cluster::each(3, |cluster| crash_of_the_holder(cluster, 2));
}

#[test]
fn what_was_on_its_way_to_a_crashed_master_is_sent_again() {
    Cluster::each(3, |cluster| {
        let (one, two, three) = (cluster.open(1), cluster.open(2), cluster.open(3));
        one.granted("r", Mode::Pr, NONE, 1);
        let lock = two.lock("r", Mode::Pr, NONE, 2);
        let third = three.lock("r", Mode::Nl, NONE, 3);
        cluster.settle();
        two.next().completes(2, LockStatus::Granted);
        three.next().completes(3, LockStatus::Granted);
        two.convert(lock, Mode::Ex, NONE, 2);
        three.waiting("r", Mode::Ex, NONE, 4);
        three.unlock(third, 3);
        cluster.engine(|it| it.crash(NodeId(1)));
        cluster.settle();
        // In one order or the other both are granted.
        let ends = |session: Session<'_>, n| {
            let own = move |it: &support::Outcome| it.addr == cookies(n).completion_addr;
            session.all().into_iter().filter(own).map(|it| it.status).collect::<Vec<_>>()
        };
        let (converted, requested) = (ends(two, 2), three.all());
        let status = |n| {
            let own = move |it: &&support::Outcome| it.addr == cookies(n).completion_addr;
            requested.iter().find(own).map(|it| it.status)
        };
        assert_eq!(status(3), Some(LockStatus::Unlocked));
        assert_eq!((converted, status(4)), (vec![LockStatus::Granted], None));
        two.unlock(lock, 2);
        cluster.settle();
        assert_eq!(ends(two, 2), [LockStatus::Unlocked]);
        three.next().completes(4, LockStatus::Granted);
    });
}

#[test]
fn a_cut_or_a_frozen_node_delays_messages_and_loses_none() {
    Cluster::each(2, |cluster| {
        let (master, holder) = (cluster.open(1), cluster.open(2));
        master.granted("r", Mode::Nl, NONE, 1);
        cluster.engine(|it| it.partition(&[&[NodeId(1)], &[NodeId(2)]]));
        let lock = holder.waiting("r", Mode::Ex, NONE, 2);
        cluster.settle();
        holder.none();
        cluster.engine(Engine::heal);
        cluster.settle();
        holder.next().completes(2, LockStatus::Granted);
        cluster.engine(|it| it.freeze(NodeId(1)));
        assert_eq!(master.try_lock("s", Mode::Nl, NONE, 3), Err(Errno::STOPPED));
        holder.unlock(lock, 2);
        cluster.settle();
        holder.none();
        cluster.engine(|it| it.thaw(NodeId(1)));
        cluster.settle();
        holder.next().completes(2, LockStatus::Unlocked);
    });
}

#[test]
fn what_a_frozen_node_had_sent_does_not_overtake_what_it_sent_before() {
    Cluster::each(2, |cluster| {
        let (master, holder) = (cluster.open(1), cluster.open(2));
        let first = master.granted("r", Mode::Ex, NONE, 1);
        let lock = holder.waiting("r", Mode::Pr, NONE, 2);
        cluster.engine(Engine::step);
        // The request is queued, and the answer on its way; the grant is behind it.
        master.unlock(first, 1);
        cluster.engine(|it| it.freeze(NodeId(1)));
        cluster.engine(Engine::step);
        cluster.engine(|it| it.thaw(NodeId(1)));
        cluster.settle();
        assert_eq!(holder.next().completes(2, LockStatus::Granted).lock, lock);
    });
}

#[test]
fn a_stopped_lockspace_holds_up_requests_and_closes() {
    Cluster::each(2, |cluster| {
        let minor = cluster.world.minor;
        let (master, holder, lock) = cluster.remote(Mode::Pr);
        cluster.engine(|it| it.stop(NodeId(1), minor));
        assert_eq!(master.try_lock("r", Mode::Nl, NONE, 3), Err(Errno::STOPPED));
        assert_eq!(master.adopt("r", Mode::Nl, NONE, 3), Err(Errno::ENOENT));
        holder.unlock(lock, 2);
        cluster.settle();
        holder.none();
        master.close();
        cluster.engine(|it| it.start(NodeId(1), minor));
        cluster.settle();
        holder.next().completes(2, LockStatus::Unlocked);
        holder.close();
        assert_eq!(cluster.engine(|it| it.size()), 2);
    });
}

#[test]
fn a_lockspace_that_is_removed_by_force_is_gone_for_the_others() {
    Cluster::each(2, |cluster| {
        let minor = cluster.world.minor;
        let (master, holder, lock) = cluster.remote(Mode::Pr);
        let remove = |flags| {
            let request = encode(&Request::RemoveLockspace { minor, flags });
            cluster.engine(|it| it.control(NodeId(1), &request))
        };
        assert_eq!(remove(RemoveFlags::empty()), Err(Errno::EBUSY));
        assert_eq!(remove(RemoveFlags::FORCEFREE), Ok(0));
        assert!(cluster.engine(|it| it.removed(master.id)));
        cluster.settle();
        holder.converted(lock, Mode::Ex, NONE, 2);
    });
}

#[test]
fn a_node_that_crashed_comes_back_without_locks() {
    Cluster::each(2, |cluster| {
        let (_master, holder, _) = cluster.remote(Mode::Ex);
        cluster.engine(|it| it.crash(NodeId(2)));
        let create =
            encode(&Request::CreateLockspace { name: b"test", flags: LockspaceFlags::empty() });
        let again = |engine: &mut Engine| engine.control(NodeId(2), &create);
        assert_eq!(cluster.engine(again), Err(Errno::ENODEV));
        assert_eq!(holder.try_lock("r", Mode::Nl, NONE, 2), Err(Errno::EBADF));
        cluster.settle();
        cluster.engine(|it| it.restart(NodeId(2)));
        assert!(cluster.engine(again).is_ok());
        let back = cluster.open(2);
        back.lock("r", Mode::Ex, NONE, 3);
        cluster.settle();
        back.next().completes(3, LockStatus::Granted);
    });
}

#[test]
fn a_session_has_the_lowest_slot_that_no_open_session_has() {
    Cluster::each(2, |cluster| {
        let slots = |sessions: &[Session<'_>]| -> Vec<_> {
            sessions.iter().map(|session| session.id.slot()).collect()
        };
        let open = [cluster.open(1), cluster.open(2), cluster.open(1), cluster.open(2)];
        assert_eq!(slots(&open), [0, 1, 2, 3]);
        let [first, _, third, _] = open;
        // A close that is held up keeps its slot until it is done.
        third.close();
        cluster.engine(|it| it.stop(NodeId(1), cluster.world.minor));
        first.close();
        let next = [cluster.open(2), cluster.open(2)];
        assert_eq!(slots(&next), [2, 4]);
        cluster.engine(|it| it.start(NodeId(1), cluster.world.minor));
        assert_eq!(slots(&[cluster.open(1), cluster.open(1)]), [0, 5]);
        // A second close of one session frees nothing.
        first.close();
        // With a node, all its sessions go.
        cluster.engine(|it| it.crash(NodeId(2)));
        let left: Vec<_> = (0..5).map(|_| cluster.open(1)).collect();
        assert_eq!(slots(&left), [1, 2, 3, 4, 6]);
    });
}

#[test]
fn a_run_repeats_exactly_from_its_seed() {
    let run = |seed| {
        let cluster = Cluster::new(Profile::Linux6_12, 3, seed);
        let sessions: Vec<_> = (1..=3).map(|node| cluster.open(node)).collect();
        for n in 0..30 {
            let session = &sessions[usize::from(n) % 3];
            let _answer = session.try_lock(["a", "b"][usize::from(n) % 2], Mode::Ex, NONE, n);
        }
        cluster.engine(|it| it.advance(400));
        cluster.engine(|it| it.crash(NodeId(1)));
        cluster.settle();
        let results: Vec<_> = sessions[1..].iter().flat_map(Session::all).collect();
        (results, cluster.engine(|it| it.now()))
    };
    assert_eq!(run(5), run(5));
    assert_ne!(run(5).1, run(6).1);
}
