//! Requests for a resource that does not exist yet, at the same time: kernels since 6.10 make two
//! resources of one name then, and grant EX on both.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use dlm_proto::{LockFlags, LockStatus, Mode};
use dlm_sys::{Errno, LockspaceDevice};
use dlm_tests::{Kernel, Lockspace, PATIENCE, Session, SpinBarrier, as_nobody};

/// As many as the guest has processors.
const PARTIES: usize = 2;
const ROUNDS: usize = 200;

const NONE: LockFlags = LockFlags::empty();
const NOW: LockFlags = LockFlags::NOQUEUE;

/// How a party comes to its EX lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// It asks for it.
    Asks,
    /// It asks for it, and another lock, in NL, has been on the resource before.
    AsksLater,
    /// It asks for NL and converts that: the requests for NL are the first.
    Converts,
    /// It asks for it while it has the lock on the node.
    AsksInTurn,
}

impl Way {
    /// Whether EX is granted now.
    fn goes(self, session: &Session<'_>, name: &str) -> bool {
        match self {
            Self::Asks | Self::AsksLater => _ = session.lock(name, Mode::Ex, NOW, 1),
            Self::AsksInTurn => {
                while !session.device().try_lock_node().unwrap() {
                    thread::yield_now();
                }
                session.lock(name, Mode::Ex, NOW, 1);
                session.device().unlock_node();
            }
            Self::Converts => {
                let lock = session.granted(name, Mode::Nl, NONE, 1);
                session.convert(lock, Mode::Ex, NOW, 1);
            }
        }
        session.next().status == LockStatus::Granted
    }
}

/// All parties go for the same fresh name at the same time, round after round. Nobody unlocks.
/// Returns in how many rounds more than one had EX.
fn rounds_with_two_holders(way: Way, rounds: usize) -> usize {
    // The processors are for one race at a time.
    static RACE: Mutex<()> = Mutex::new(());
    let _race = RACE.lock().unwrap_or_else(PoisonError::into_inner);
    let space = Lockspace::new("first");
    let (keeper, meeting) = (space.open(), SpinBarrier::of(PARTIES));
    let name = |round| format!("r{round}");
    if way == Way::AsksLater {
        (0..rounds).for_each(|round| _ = keeper.granted(&name(round), Mode::Nl, NONE, 2));
    }
    let holders: Vec<_> = (0..rounds).map(|_| AtomicUsize::new(0)).collect();
    let (space, meeting, all) = (&space, &meeting, &holders);
    thread::scope(|scope| {
        for _ in 0..PARTIES {
            scope.spawn(move || {
                let session = space.open();
                for (round, holders) in all.iter().enumerate() {
                    let name = name(round);
                    meeting.meet();
                    if way.goes(&session, &name) {
                        holders.fetch_add(1, SeqCst);
                    }
                }
                // Its close unlocks: not before the others are done.
                meeting.meet();
            });
        }
    });
    let holders: Vec<_> = holders.into_iter().map(AtomicUsize::into_inner).collect();
    assert!(!holders.contains(&0), "{way:?}: in some round nobody was granted EX: {holders:?}");
    holders.into_iter().filter(|&holders| holders > 1).count()
}

/// Whether it happens at all: once is enough.
fn two_can_hold(way: Way) -> bool {
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        let count = rounds_with_two_holders(way, ROUNDS);
        eprintln!("{way:?}: two held EX in {count} of {ROUNDS} rounds");
        if count > 0 {
            return true;
        }
        if Kernel::running() == Kernel::V6_1 {
            break;
        }
    }
    false
}

/// When this fails on a new kernel because one is the answer, the kernel was repaired: then the
/// manual in dlm-runtime, which names the kernels, wants to know, and `first_requests_can_meet`.
/// Shows #two-resources-of-one-name.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn first_requests_at_the_same_time_can_all_be_granted_ex_since_6_10() {
    assert_eq!(two_can_hold(Way::Asks), Kernel::pick(false, true));
}

/// Shows #two-resources-of-one-name.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn a_null_lock_of_each_does_not_help() {
    assert_eq!(two_can_hold(Way::Converts), Kernel::pick(false, true));
}

/// Shows #two-resources-of-one-name.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn one_null_lock_that_was_there_before_helps() {
    assert_eq!(rounds_with_two_holders(Way::AsksLater, ROUNDS), 0);
}

/// Shows #two-resources-of-one-name.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn requests_that_are_written_in_turn_do_not_meet() {
    assert_eq!(rounds_with_two_holders(Way::AsksInTurn, ROUNDS), 0);
}

#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn the_kernel_shows_whether_first_requests_can_meet() {
    assert_eq!(dlm_sys::first_requests_can_meet(), Kernel::pick(false, true));
    // What would tell if the release did not: Debian's kernels are built with both, since 5.11 with the
    // types of modules.
    let seen = Some(Kernel::pick(false, true));
    let by_types = seen.filter(|_| Path::new("/sys/kernel/btf/dlm").exists());
    assert_eq!(dlm_sys::hash_table_seen(), [by_types, seen], "by types, by symbols");
}

#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn the_lock_on_the_node_is_one_and_ends_with_its_owner() {
    let space = Lockspace::new("first-lock");
    let (one, two) = (space.open(), space.open());
    assert!(one.device().try_lock_node().unwrap());
    assert!(!two.device().try_lock_node().unwrap());
    one.device().unlock_node();
    assert!(two.device().try_lock_node().unwrap());
    drop(two);
    assert!(one.device().try_lock_node().unwrap());
    // The nodes of lockspaces are root's.
    let other = as_nobody(|| LockspaceDevice::open(space.name(), Some(space.minor())));
    assert_eq!(other.unwrap_err().errno(), Some(Errno::EACCES));
}
