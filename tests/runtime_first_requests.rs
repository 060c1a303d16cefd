//! First requests for a resource at the same time: kernels since 6.10 can grant EX to several, see
//! `kernel_first_requests`, unless the requests are serialised.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;

use dlm_runtime::{Lockspace, LockspaceOptions, Mode};
use dlm_tests::Meeting;

const ROUNDS: usize = 100;

/// A thread for each of these asks for EX on the same fresh name at the same time, round after
/// round. Checks that each round one and only one of them gets it.
#[track_caller]
fn exclude_each_other(parties: &[&Lockspace]) {
    let (meeting, grants) = (Meeting::of(parties.len()), AtomicUsize::new(0));
    thread::scope(|scope| {
        for lockspace in parties {
            scope.spawn(|| {
                for round in 0..ROUNDS {
                    let request = lockspace.lock(format!("r{round}"), Mode::Ex).no_queue();
                    meeting.meet();
                    let answer = request.wait();
                    match &answer {
                        Ok(_) => _ = grants.fetch_add(1, SeqCst),
                        Err(error) => assert!(error.would_block(), "{error}"),
                    }
                    meeting.meet();
                    // The count goes on: one more holder in each round.
                    assert_eq!(grants.load(SeqCst), round + 1, "after round {round}");
                    meeting.meet();
                }
            });
        }
    });
}

fn serialized() -> LockspaceOptions {
    LockspaceOptions::new().serialize_new_requests()
}

#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn serialized_requests_of_two_open_lockspaces_exclude_each_other() {
    let first = serialized().create("first-opened").unwrap();
    let second = serialized().open("first-opened").unwrap();
    exclude_each_other(&[&first, &second]);
    second.close().unwrap();
    first.release().unwrap();
}

#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn serialized_requests_of_threads_that_share_a_lockspace_exclude_each_other() {
    let lockspace = serialized().create("first-shared").unwrap();
    exclude_each_other(&[&lockspace, &lockspace]);
    lockspace.release().unwrap();
}
