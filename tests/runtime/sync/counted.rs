//! Semaphores.

use std::num::NonZeroU16;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use dlm_runtime::Lockspace;
use dlm_runtime::sync::{Error, Semaphore};
use dlm_tests::{PATIENCE, Place, WAYS};

use super::Two;

dlm_tests::everywhere! {
    so_many_permits_are_out_and_no_more,
    a_permit_that_comes_back_is_the_next_ones,
    a_semaphore_of_another_size_is_told,
}

fn semaphore(space: &Lockspace, permits: u16) -> Semaphore {
    Semaphore::open(space, "s", NonZeroU16::new(permits).unwrap()).wait().unwrap()
}

fn so_many_permits_are_out_and_no_more(place: &Place) {
    let spaces = Two::new(place, "sync-permits");
    let (one, two) = (semaphore(&spaces.one, 2), semaphore(&spaces.two, 2));
    let (out, most) = (AtomicU32::new(0), AtomicU32::new(0));
    thread::scope(|scope| {
        for (semaphore, way) in [(&one, WAYS[0]), (&one, WAYS[1]), (&two, WAYS[0]), (&two, WAYS[1])]
        {
            let (out, most) = (&out, &most);
            scope.spawn(move || {
                for _ in 0..25 {
                    let permit = way.of(semaphore.acquire()).unwrap();
                    let now = out.fetch_add(1, Ordering::SeqCst) + 1;
                    most.fetch_max(now, Ordering::SeqCst);
                    thread::yield_now();
                    out.fetch_sub(1, Ordering::SeqCst);
                    way.of(permit.release()).unwrap();
                }
            });
        }
    });
    assert!(most.into_inner() <= 2);
    drop((one, two));
    spaces.end();
}

fn a_permit_that_comes_back_is_the_next_ones(place: &Place) {
    let spaces = Two::new(place, "sync-permit");
    let (one, two) = (semaphore(&spaces.one, 3), semaphore(&spaces.two, 3));
    for way in WAYS {
        let permits: Vec<_> = (0..3).map(|_| way.of(one.acquire()).unwrap()).collect();
        let numbers: Vec<_> = permits.iter().map(|permit| permit.number()).collect();
        assert_eq!(numbers, [0, 1, 2]);
        assert!(way.of(two.try_acquire()).unwrap().is_none());
        let late = way.of(two.acquire().timeout(Duration::from_millis(1))).unwrap_err();
        assert!(late.is_timed_out(), "{late}");
        // Any of them will do.
        let mut permits = permits;
        thread::scope(|scope| {
            let next = scope.spawn(|| way.of(two.acquire().timeout(PATIENCE)).unwrap());
            drop(permits.remove(1));
            let next = next.join().unwrap();
            assert!(next.is_valid() && next.number() == 1);
        });
    }
    drop((one, two));
    spaces.end();
}

fn a_semaphore_of_another_size_is_told(place: &Place) {
    let spaces = Two::new(place, "sync-size");
    let (one, two) = (semaphore(&spaces.one, 2), semaphore(&spaces.two, 3));
    drop(one.acquire().wait().unwrap());
    for way in WAYS {
        let error = way.of(two.acquire()).unwrap_err();
        assert!(matches!(error, Error::Mismatch { theirs: 2, ours: 3, .. }), "{error}");
        assert!(way.of(two.try_acquire()).is_err());
    }
    drop((one, two));
    spaces.end();
}
