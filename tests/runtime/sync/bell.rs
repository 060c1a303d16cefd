//! Doorbells and barriers.

use std::num::NonZeroU32;
use std::thread;
use std::time::Duration;

use dlm_runtime::Mode;
use dlm_runtime::sync::{Barrier, Doorbell, Error};
use dlm_tests::{PATIENCE, Place, WAYS, block_on, eventually};

use super::Two;

dlm_tests::everywhere! {
    the_last_ring_is_heard_by_all,
    a_ring_that_was_lost_is_heard_once,
    all_reach_a_barrier_before_any_goes_on,
    an_arrival_is_taken_back_at_the_deadline,
    a_lost_count_is_told,
}

const SHORT: Duration = Duration::from_millis(1);

fn the_last_ring_is_heard_by_all(place: &Place) {
    const RINGS: u64 = 20;
    let spaces = Two::new(place, "sync-bell");
    let [one, two] = [&spaces.one, &spaces.two].map(|it| Doorbell::open(it, "b").wait().unwrap());
    for (round, way) in (0..).zip(WAYS) {
        let mut listeners: Vec<_> = [&one, &one, &two, &two]
            .into_iter()
            .map(|bell| way.of(bell.listen()).unwrap())
            .collect();
        let silent = way.of(listeners[0].hear().timeout(SHORT)).unwrap_err();
        assert!(silent.is_timed_out(), "{silent}");
        let last = (round + 1) * RINGS;
        thread::scope(|scope| {
            for mut listener in listeners.drain(..) {
                scope.spawn(move || {
                    let mut heard = round * RINGS;
                    while heard < last {
                        let ring = way.of(listener.hear().timeout(PATIENCE)).unwrap();
                        let number = ring.number().unwrap();
                        assert!(number > heard && number <= last, "{number} after {heard}");
                        heard = number;
                    }
                    // Nothing is heard twice.
                    let silent = way.of(listener.hear().timeout(SHORT)).unwrap_err();
                    assert!(silent.is_timed_out(), "{silent}");
                });
            }
            for ring in 1..=RINGS {
                let number = way.of([&one, &two][usize::from(ring % 2 == 0)].ring()).unwrap();
                assert_eq!(number, round * RINGS + ring);
            }
        });
    }
    drop((one, two));
    spaces.end();
}

fn a_ring_that_was_lost_is_heard_once(place: &Place) {
    let spaces = Two::new(place, "sync-lost-ring");
    let [one, two] = [&spaces.one, &spaces.two].map(|it| Doorbell::open(it, "b").wait().unwrap());
    for way in WAYS {
        let before = way.of(one.ring()).unwrap();
        let mut listener = way.of(two.listen()).unwrap();
        // Somebody dies who was about to ring.
        let third = place.open("sync-lost-ring").unwrap();
        let held = third.lock("b", Mode::Ex).with_lvb().wait().unwrap();
        third.close().unwrap();
        assert_eq!(way.of(listener.hear().timeout(PATIENCE)).unwrap().number(), None);
        let silent = way.of(listener.hear().timeout(SHORT)).unwrap_err();
        assert!(silent.is_timed_out(), "{silent}");
        // Not a number that somebody may have heard.
        let next = way.of(one.ring()).unwrap();
        assert!(next > before + 1);
        assert_eq!(way.of(listener.hear().timeout(PATIENCE)).unwrap().number(), Some(next));
        drop(held);
    }
    drop((one, two));
    spaces.end();
}

fn barrier(space: &dlm_runtime::Lockspace, parties: u32) -> Barrier {
    Barrier::open(space, "b", NonZeroU32::new(parties).unwrap()).wait().unwrap()
}

fn all_reach_a_barrier_before_any_goes_on(place: &Place) {
    use std::sync::atomic::{AtomicU32, Ordering};
    const ROUNDS: u64 = 10;
    let spaces = Two::new(place, "sync-barrier");
    let (one, two) = (barrier(&spaces.one, 4), barrier(&spaces.two, 4));
    let (arrived, lasts) = (AtomicU32::new(0), AtomicU32::new(0));
    thread::scope(|scope| {
        for (barrier, way) in [(&one, WAYS[0]), (&one, WAYS[1]), (&two, WAYS[0]), (&two, WAYS[1])] {
            let (arrived, lasts) = (&arrived, &lasts);
            scope.spawn(move || {
                for round in 1..=ROUNDS {
                    arrived.fetch_add(1, Ordering::SeqCst);
                    let passed = way.of(barrier.arrive().timeout(PATIENCE)).unwrap();
                    assert_eq!(passed.generation(), round);
                    assert!(u64::from(arrived.load(Ordering::SeqCst)) >= 4 * round);
                    lasts.fetch_add(u32::from(passed.was_last()), Ordering::SeqCst);
                }
            });
        }
    });
    assert_eq!(u64::from(lasts.into_inner()), ROUNDS);
    drop((one, two));
    spaces.end();
}

fn an_arrival_is_taken_back_at_the_deadline(place: &Place) {
    let spaces = Two::new(place, "sync-arrival");
    let (one, two) = (barrier(&spaces.one, 2), barrier(&spaces.two, 2));
    let other = barrier(&spaces.two, 3);
    for (round, way) in (1..).zip(WAYS) {
        for _ in 0..3 {
            let late = way.of(one.arrive().timeout(SHORT)).unwrap_err();
            assert!(late.is_timed_out(), "{late}");
        }
        let error = way.of(other.arrive()).unwrap_err();
        assert!(round == 1 || matches!(error, Error::Mismatch { .. }), "{error}");
        thread::scope(|scope| {
            let first = scope.spawn(|| way.of(two.arrive().timeout(PATIENCE)).unwrap());
            let waits = || spaces.two.locks().iter().any(|it| it.mode == Some(Mode::Pr));
            eventually("it has arrived", waits);
            let last = way.of(one.arrive().timeout(PATIENCE)).unwrap();
            let first = first.join().unwrap();
            assert!(last.was_last() && !first.was_last());
            assert_eq!((first.generation(), last.generation()), (round, round));
        });
    }
    drop((one, two, other));
    spaces.end();
}

fn a_lost_count_is_told(place: &Place) {
    let spaces = Two::new(place, "sync-count");
    let (one, two) = (barrier(&spaces.one, 2), barrier(&spaces.two, 2));
    thread::scope(|scope| {
        let waiting = scope.spawn(|| one.arrive().timeout(PATIENCE).wait());
        let waits = || spaces.one.locks().iter().any(|it| it.mode == Some(Mode::Pr));
        eventually("it has arrived", waits);
        let third = place.open("sync-count").unwrap();
        let held = third.lock("b", Mode::Ex).with_lvb().timeout(PATIENCE).wait().unwrap();
        third.close().unwrap();
        assert!(matches!(waiting.join().unwrap(), Err(Error::Lost)));
        assert!(matches!(two.arrive().wait(), Err(Error::Lost)));
        drop(held);
    });
    // When all have left it is as new.
    drop((one, two));
    for space in [&spaces.one, &spaces.two] {
        block_on(space.flush_drops()).unwrap();
    }
    let one = barrier(&spaces.one, 1);
    assert_eq!(one.arrive().wait().unwrap().generation(), 1);
    drop(one);
    spaces.end();
}
