//! The transactions of locks, as inspection shows them.

use dlm_runtime::Mode;
use dlm_runtime::inspect::merge;
use dlm_tests::Place;

dlm_tests::everywhere! {
    a_lock_shows_its_transaction_until_somebody_adopts_it,
}

fn a_lock_shows_its_transaction_until_somebody_adopts_it(place: &Place) {
    let (ls, other) = place.open_twice("transactions");
    let shown = || -> Vec<u64> {
        let all = merge(&[place.snapshot()]);
        let resource = all.iter().find(|it| it.lockspace == "transactions").unwrap();
        let mut numbers: Vec<_> = resource.locks.iter().map(|lock| lock.transaction).collect();
        // The kernel has the strongest first.
        numbers.sort_unstable();
        numbers
    };
    let lock = ls.lock("r", Mode::Pr).transaction(7).wait().unwrap();
    assert_eq!(shown(), [7]);
    let second = other.lock("r", Mode::Pr).transaction(u64::MAX).wait().unwrap();
    assert_eq!(shown(), [7, u64::MAX]);
    // A conversion is of the same one, even if it is refused.
    lock.convert(Mode::Cr).wait().unwrap();
    second.convert(Mode::Ex).no_queue().wait().unwrap_err();
    assert_eq!(shown(), [7, u64::MAX]);
    second.unlock().wait().unwrap();
    // Who adopts it names none.
    let left = other.lock("r", Mode::Cr).transaction(9).wait().unwrap();
    lock.unlock().wait().unwrap();
    left.persist().unwrap();
    assert_eq!(shown(), [9]);
    left.leak();
    other.close().unwrap();
    let adopted = ls.adopt("r", Mode::Cr).take().unwrap();
    assert_eq!(shown(), [0]);
    adopted.unlock().wait().unwrap();
    ls.release().unwrap();
}
