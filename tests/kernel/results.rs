//! Unread results: how many are kept, in which order, and with whose words.

use dlm_proto::{LockFlags, LockStatus, Mode};
use dlm_tests::{Kernel, Lockspace, Outcome, Session, cookies};

const NONE: LockFlags = LockFlags::empty();

fn all(session: &Session<'_>) -> Vec<Outcome> {
    std::iter::from_fn(|| session.now()).collect()
}

/// Shows #unread-results-of-a-lock.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn of_13_unread_completions_6_1_keeps_six_and_6_12_all() {
    let space = Lockspace::new("results");
    let session = space.open();
    let lock = session.lock("r", Mode::Ex, NONE, 0);
    for n in 1..13 {
        session.convert(lock, Mode::Ex, NONE, n);
    }
    let results = all(&session);
    assert_eq!(results.len(), Kernel::pick(6, 13));
    for result in results {
        assert_eq!((result.lock, result.status), (lock, LockStatus::Granted));
    }
    // The lock itself has not suffered.
    session.converted(lock, Mode::Nl, NONE, 1);
    session.unlocked(lock, 1);
}

/// Shows #order-of-results.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn unread_results_of_two_locks_are_grouped_on_6_1_and_in_order_on_6_12() {
    let space = Lockspace::new("results");
    let session = space.open();
    let a = session.lock("a", Mode::Ex, NONE, 1);
    let b = session.lock("b", Mode::Ex, NONE, 2);
    session.convert(a, Mode::Nl, NONE, 1);
    session.convert(b, Mode::Nl, NONE, 2);
    let locks: Vec<_> = all(&session).into_iter().map(|result| result.lock).collect();
    assert_eq!(locks, Kernel::pick([a, a, b, b], [a, b, a, b]));
}

/// Shows #words-of-unread-results.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn unread_results_have_the_last_words_on_6_1_and_their_own_on_6_12() {
    let space = Lockspace::new("results");
    let session = space.open();
    let lock = session.lock("r", Mode::Ex, NONE, 1);
    session.convert(lock, Mode::Nl, NONE, 2);
    session.unlock(lock, 3);
    let words: Vec<_> = all(&session).into_iter().map(|it| (it.param, it.lksb)).collect();
    let wanted = Kernel::pick([3, 3, 3], [1, 2, 3]);
    assert_eq!(words, wanted.map(|n| (cookies(n).completion_param, cookies(n).lksb)));
}

/// Shows #reuse-of-ids.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn an_id_is_reused_before_its_last_result_is_read_on_6_12_only() {
    let space = Lockspace::new("results");
    let session = space.open();
    let first = session.granted("r", Mode::Ex, NONE, 1);
    session.unlock(first, 1);
    let second = session.lock("s", Mode::Ex, NONE, 2);
    assert_eq!(second == first, Kernel::pick(false, true));
    session.next().completes(1, LockStatus::Unlocked);
    session.next().completes(2, LockStatus::Granted);
    session.unlocked(second, 2);
    assert_eq!(session.granted("t", Mode::Ex, NONE, 3), first);
}

#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn results_of_two_devices_do_not_mix() {
    let space = Lockspace::new("two");
    let (left, right) = (space.open(), space.open());
    let a = left.lock("a", Mode::Ex, NONE, 1);
    let b = right.lock("b", Mode::Ex, NONE, 2);
    assert_ne!(a, b);
    assert_eq!(right.next().completes(2, LockStatus::Granted).lock, b);
    assert_eq!(left.next().completes(1, LockStatus::Granted).lock, a);
    left.none();
    right.none();
}
