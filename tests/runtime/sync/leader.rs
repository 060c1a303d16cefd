//! Elections and sequences.

use std::collections::BTreeSet;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use dlm_runtime::Mode;
use dlm_runtime::sync::{Election, Error, Sequence};
use dlm_tests::{Kept, PATIENCE, Place, WAYS, block_on};

use super::{Broken, Two};

dlm_tests::everywhere! {
    a_challenged_leader_resigns_for_the_next_in_line,
    a_term_follows_one_that_was_lost,
    a_record_that_fails_elects_nobody,
    a_name_that_others_use_is_told,
    numbers_come_once,
    numbers_follow_those_that_were_lost,
}

fn a_challenged_leader_resigns_for_the_next_in_line(place: &Place) {
    let spaces = Two::new(place, "sync-election");
    let record = Arc::new(Kept::default());
    let join = |space| Election::open(space, "e", Arc::clone(&record)).wait().unwrap();
    let (one, two) = (join(&spaces.one), join(&spaces.two));
    for way in WAYS {
        let before = record.all().len();
        let leadership = way.of(one.campaign()).unwrap();
        assert!(leadership.is_leader());
        assert!(way.of(two.try_campaign()).unwrap().is_none());
        let late = way.of(two.campaign().timeout(Duration::from_millis(1))).unwrap_err();
        assert!(late.is_timed_out(), "{late}");
        thread::scope(|scope| {
            let next = scope.spawn(|| way.of(two.campaign()).unwrap());
            way.of(leadership.challenged().timeout(PATIENCE)).unwrap();
            // Told again while it lasts.
            way.of(leadership.challenged()).unwrap();
            let term = leadership.term();
            way.of(leadership.resign()).unwrap();
            let next = next.join().unwrap();
            assert!(next.is_leader() && next.term() == term + 1);
            let late = way.of(next.challenged().timeout(Duration::from_millis(1))).unwrap_err();
            assert!(late.is_timed_out(), "{late}");
            drop(next);
        });
        assert_eq!(record.all().len(), before + 2);
    }
    assert!(one.is_valid());
    drop((one, two));
    spaces.end();
}

fn a_term_follows_one_that_was_lost(place: &Place) {
    let spaces = Two::new(place, "sync-term");
    let record = Arc::new(Kept::default());
    let join = |space| Election::open(space, "e", Arc::clone(&record)).wait().unwrap();
    let one = join(&spaces.one);
    assert_eq!(one.campaign().wait().unwrap().term(), 1);
    // It dies in office.
    let third = place.open("sync-term").unwrap();
    let lost = join(&third).campaign().wait().unwrap();
    assert_eq!(lost.term(), 2);
    third.close().unwrap();
    assert!(!lost.is_leader());
    let lvb = spaces.two.lock("e", Mode::Nl).with_lvb().wait().unwrap().lvb().unwrap();
    assert!(!lvb.valid);
    let next = one.campaign().wait().unwrap();
    assert_eq!(next.term(), 3);
    drop((one, lost, next));
    spaces.end();
}

fn a_record_that_fails_elects_nobody(place: &Place) {
    let spaces = Two::new(place, "sync-record");
    let one = Election::open(&spaces.one, "e", Broken).wait().unwrap();
    let numbers = Sequence::open(&spaces.one, "s", NonZeroU64::MIN, Broken).wait().unwrap();
    for way in WAYS {
        assert!(matches!(way.of(one.campaign()), Err(Error::Record(_))));
        assert!(matches!(way.of(numbers.next()), Err(Error::Record(_))));
    }
    // Nothing is held, and nothing was stored.
    let two = Election::open(&spaces.two, "e", Kept::default()).wait().unwrap();
    assert_eq!(two.campaign().timeout(PATIENCE).wait().unwrap().term(), 1);
    drop((one, two, numbers));
    spaces.end();
}

fn a_name_that_others_use_is_told(place: &Place) {
    let spaces = Two::new(place, "sync-kind");
    let election = Election::open(&spaces.one, "x", Kept::default()).wait().unwrap();
    let numbers =
        Sequence::open(&spaces.two, "x", NonZeroU64::MIN, Kept::default()).wait().unwrap();
    drop(election.campaign().wait().unwrap());
    let error = numbers.next().wait().unwrap_err();
    assert!(matches!(error, Error::OtherKind { .. }), "{error}");
    assert_eq!(election.campaign().wait().unwrap().term(), 2);
    drop((election, numbers));
    spaces.end();
}

fn numbers_come_once(place: &Place) {
    const EACH: u64 = 100;
    let spaces = Two::new(place, "sync-numbers");
    let record = Arc::new(Kept::default());
    let join = |space, batch| {
        let batch = NonZeroU64::new(batch).unwrap();
        Sequence::open(space, "s", batch, Arc::clone(&record)).wait().unwrap()
    };
    let (one, two) = (join(&spaces.one, 7), join(&spaces.two, 1));
    let numbers: Vec<u64> = thread::scope(|scope| {
        let parts = [(&one, WAYS[0]), (&one, WAYS[1]), (&two, WAYS[0]), (&two, WAYS[1])];
        let threads = parts.map(|(sequence, way)| {
            scope.spawn(move || {
                let numbers = (0..EACH).map(|_| way.of(sequence.next()).unwrap());
                numbers.collect::<Vec<_>>()
            })
        });
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let different: BTreeSet<u64> = numbers.iter().copied().collect();
    assert_eq!(different.len(), numbers.len());
    // Batches are used up: what is left out is what is at hand at the end.
    let last = *record.all().last().unwrap();
    assert!(last < 4 * EACH + 7, "{last}");
    drop((one, two));
    spaces.end();
}

fn numbers_follow_those_that_were_lost(place: &Place) {
    let spaces = Two::new(place, "sync-lost-numbers");
    let record = Arc::new(Kept::default());
    let batch = NonZeroU64::new(10).unwrap();
    let join = |space| Sequence::open(space, "s", batch, Arc::clone(&record)).wait().unwrap();
    let one = join(&spaces.one);
    assert_eq!([one.next().wait().unwrap(), one.next().wait().unwrap()], [1, 2]);
    // Somebody dies with the lock, and all who keep the block are gone.
    let third = place.open("sync-lost-numbers").unwrap();
    let held = third.lock("s", Mode::Ex).with_lvb().wait().unwrap();
    third.close().unwrap();
    drop((one, held));
    block_on(spaces.one.flush_drops()).unwrap();
    let two = join(&spaces.two);
    assert_eq!(two.next().wait().unwrap(), 11);
    drop(two);
    spaces.end();
}
