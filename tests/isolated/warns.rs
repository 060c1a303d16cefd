//! Requests that the kernel refuses with a warning and a stack trace in its log.
//!
//! They stand apart because such a warning is a failure elsewhere. Programs must never cause one:
//! a kernel may be set to panic on warnings.

use dlm_proto::{LockFlags, LockId, LockStatus, Mode, NodeId, Request};
use dlm_sys::Errno;
use dlm_tests::{Lockspace, Session};

const NONE: LockFlags = LockFlags::empty();

fn converting(first: &Session<'_>, second: &Session<'_>) -> LockId {
    let lock = first.granted("r", Mode::Pr, NONE, 1);
    second.granted("r", Mode::Pr, NONE, 2);
    first.convert(lock, Mode::Ex, NONE, 1);
    first.none();
    second.next().blocks(2, Mode::Ex);
    lock
}

/// Shows #quecvt-pairs.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn quecvt_is_refused_for_conversions_that_give_something_up() {
    let space = Lockspace::new("warns");
    let (session, other) = (space.open(), space.open());
    let pairs = Mode::ALL.into_iter().flat_map(|from| Mode::ALL.map(|to| (from, to)));
    for (from, to) in pairs.filter(|&(from, to)| !from.allows_quecvt(to)) {
        let lock = session.granted("r", from, NONE, 1);
        let answer = session.try_convert(lock, to, LockFlags::QUECVT, 1);
        assert_eq!(answer, Err(Errno::EINVAL), "{from} to {to}");
        session.none();
        assert_eq!(other.mode_on("r"), from, "{from} to {to}");
        session.unlocked(lock, 1);
    }
}

/// Shows #cancelled-conversion.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn a_second_cancel_is_refused_until_the_lock_is_converted_again() {
    let space = Lockspace::new("warns");
    let (first, second) = (space.open(), space.open());
    let lock = converting(&first, &second);
    first.cancel(lock, 1);
    first.next().completes(1, LockStatus::Cancelled);
    assert_eq!(first.try_cancel(lock, 1), Err(Errno::EINVAL));
    first.none();
    first.convert(lock, Mode::Ex, NONE, 1);
    first.none();
    first.cancel(lock, 1);
    first.next().completes(1, LockStatus::Cancelled);
    first.unlocked(lock, 1);
}

/// Shows #purge-of-an-unknown-node.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn a_purge_of_an_unknown_node_has_no_buffer() {
    let space = Lockspace::new("warns");
    let session = space.open();
    for node in [2, 99] {
        let request = Request::Purge { node: NodeId(node), pid: 0 };
        assert_eq!(session.send(&request), Err(Errno::ENOBUFS), "node {node}");
    }
    session.granted("r", Mode::Ex, NONE, 1);
}

mod scenarios {
    //! Those of `tests/scenarios`.

    use dlm_tests::scenario::on_kernel;

    include!(concat!(env!("OUT_DIR"), "/kernel_warns.rs"));
}
