//! First requests for a resource at the same time: kernels since 6.10 can grant EX to several, see
//! `kernel::first_requests`, unless the requests are written one after the other. They are, unless a
//! program does without.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use dlm_proto::LockspaceName;
use dlm_runtime::{ErrorKind, Lockspace, LockspaceOptions, Mode};
use dlm_sys::{Call, Errno, LockspaceDevice};
use dlm_tests::process::{self, Child};
use dlm_tests::{Kernel, PATIENCE, PROMPT, SpinBarrier};

const ROUNDS: usize = 100;

/// A thread for each of these asks for EX on the same fresh name at the same time, round after
/// round. Returns in how many rounds more than one got it.
#[track_caller]
fn rounds_with_two_holders(parties: &[&Lockspace]) -> usize {
    // The processors are for one race at a time.
    static RACE: Mutex<usize> = Mutex::new(0);
    let mut races = RACE.lock().unwrap_or_else(PoisonError::into_inner);
    *races += 1;
    let (race, meeting) = (*races, SpinBarrier::of(parties.len()));
    let holders: Vec<_> = (0..ROUNDS).map(|_| AtomicUsize::new(0)).collect();
    thread::scope(|scope| {
        for lockspace in parties {
            scope.spawn(|| {
                let mut granted = Vec::new();
                for (round, holders) in holders.iter().enumerate() {
                    let request = lockspace.lock(format!("r{race}-{round}"), Mode::Ex).no_queue();
                    meeting.meet();
                    match request.wait() {
                        Ok(lock) => {
                            holders.fetch_add(1, SeqCst);
                            granted.push(lock);
                        }
                        Err(error) => assert!(error.would_block(), "{error}"),
                    }
                }
                // Nobody unlocks before the others are done.
                meeting.meet();
            });
        }
    });
    let holders: Vec<_> = holders.into_iter().map(AtomicUsize::into_inner).collect();
    assert!(!holders.contains(&0), "in some round nobody was granted EX: {holders:?}");
    holders.into_iter().filter(|&holders| holders > 1).count()
}

/// Two open lockspaces, as two programs have them.
#[track_caller]
fn opened_twice(options: &LockspaceOptions, name: &str, check: impl FnOnce(&[&Lockspace])) {
    let (first, second) = (options.create(name).unwrap(), options.open(name).unwrap());
    check(&[&first, &second]);
    second.close().unwrap();
    first.release().unwrap();
}

/// Guards against #two-resources-of-one-name.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn by_default_two_open_lockspaces_exclude_each_other() {
    opened_twice(&LockspaceOptions::new(), "first-opened", |both| {
        assert_eq!(rounds_with_two_holders(both), 0);
    });
}

/// Guards against #two-resources-of-one-name.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn by_default_threads_that_share_a_lockspace_exclude_each_other() {
    let lockspace = Lockspace::create("first-shared").unwrap();
    assert_eq!(rounds_with_two_holders(&[&lockspace, &lockspace]), 0);
    lockspace.release().unwrap();
}

/// Shows #two-resources-of-one-name.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn who_does_without_can_have_two_holders_since_6_10() {
    let options = LockspaceOptions::new().concurrent_new_requests();
    opened_twice(&options, "first-without", |both| {
        let start = Instant::now();
        let mut count = rounds_with_two_holders(both);
        // Once is enough.
        while Kernel::pick(false, count == 0) && start.elapsed() < PATIENCE {
            count = rounds_with_two_holders(both);
        }
        eprintln!("two held EX in {count} of {ROUNDS} rounds");
        assert_eq!(count > 0, Kernel::pick(false, true));
    });
}

/// Keeps the lock on a lockspace's node in another process until that is killed.
fn keep_the_node(test: &str, lockspace: &Lockspace) -> Child {
    let mut keeper = process::spawn(test, "keeper", &lockspace.name().to_string(), None);
    assert_eq!(keeper.line(), "has it");
    keeper
}

/// What the other process does.
fn play_keeper() -> bool {
    let Some(role) = process::role() else { return false };
    let name = LockspaceName::new(role.argument.as_bytes()).unwrap();
    let device = LockspaceDevice::open(&name, None).unwrap();
    assert!(device.try_lock_node().unwrap());
    process::say("has it");
    loop {
        thread::park();
    }
}

#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn a_process_that_keeps_the_node_holds_requests_up_for_a_time() {
    if play_keeper() {
        return;
    }
    let test = dlm_tests::test_name!(a_process_that_keeps_the_node_holds_requests_up_for_a_time);
    let lockspace = LockspaceOptions::new().serialize_new_requests().create("first-kept").unwrap();
    let keeper = keep_the_node(test, &lockspace);
    let start = Instant::now();
    let error = lockspace.lock("r", Mode::Ex).wait().unwrap_err();
    assert!(start.elapsed() >= Duration::from_secs(10));
    let ErrorKind::Device(device) = &error.kind else { panic!("{error}") };
    assert_eq!((device.call, device.errno()), (Call::SerialiseRequests, Some(Errno::EBUSY)));
    assert!(error.to_string().contains("/proc/locks"), "{error}");
    // The lock ends with who has it.
    let waits = thread::scope(|scope| {
        let waits = scope.spawn(|| lockspace.lock("r", Mode::Ex).wait());
        thread::sleep(Duration::from_millis(50));
        assert!(!waits.is_finished());
        drop(keeper);
        waits.join().unwrap()
    });
    drop(waits.unwrap());
    lockspace.release().unwrap();
}

#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn a_request_that_waits_for_its_turn_ends_with_the_lockspace() {
    if play_keeper() {
        return;
    }
    let test = dlm_tests::test_name!(a_request_that_waits_for_its_turn_ends_with_the_lockspace);
    let lockspace = LockspaceOptions::new().serialize_new_requests().create("first-ended").unwrap();
    let keeper = keep_the_node(test, &lockspace);
    let start = Instant::now();
    thread::scope(|scope| {
        let waits = scope.spawn(|| lockspace.lock("r", Mode::Ex).wait());
        let name = lockspace.name().to_string();
        // It waits until the keeper and we have closed the device.
        let removes = scope.spawn(move || LockspaceOptions::new().remove(name));
        let error = waits.join().unwrap().unwrap_err();
        assert!(error.is_closed(), "{error}");
        drop(keeper);
        removes.join().unwrap().unwrap();
    });
    assert!(start.elapsed() < PROMPT, "{:?}", start.elapsed());
}
