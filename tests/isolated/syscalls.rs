//! The number of system calls of an operation, counted by strace in a second process.

use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dlm_runtime::cache::LockCache;
use dlm_runtime::{CompletionHandler, LockspaceOptions, Mode};
use dlm_tests::{Kernel, PATIENCE};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// Set in the process that is counted.
const COUNTED: &str = "DLM_TESTS_COUNTED";
const OPERATIONS: usize = 200;

/// The most calls for meeting a thread that has just been started: one that yields does so seven times.
const BEGINNING: usize = 20;

/// Runs this test once more under strace and returns the calls between the two marks.
fn count(test: &str) -> BTreeMap<String, usize> {
    let log = format!("/tmp/strace.{}.{}", function(test), std::process::id());
    let output = Command::new("strace")
        .args(["-f", "-o", &log, "--"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--include-ignored", "--test-threads=1"])
        .env(COUNTED, "1")
        .output()
        .expect("strace is part of the guest");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let log = std::fs::read_to_string(log).unwrap();
    let marks: Vec<_> = log.lines().filter(|line| line.contains(" getppid(")).collect();
    let [start, end] = marks[..] else { panic!("two marks in {log}") };
    let task = start.split(' ').next().unwrap();
    let mut counts = BTreeMap::new();
    let calls = log.lines().skip_while(|line| *line != start).skip(1);
    for line in calls.take_while(|line| *line != end) {
        let (who, call) = line.split_once(' ').unwrap();
        let call = call.trim_start();
        // The second half of a call that another thread interrupted in the log.
        if who == task && !call.starts_with("<... ") {
            let name = call.split('(').next().unwrap();
            *counts.entry(name.to_owned()).or_default() += 1;
        }
    }
    counts
}

/// The last part of the name of a test.
fn function(test: &str) -> &str {
    test.rsplit_once("::").map_or(test, |(_, function)| function)
}

fn is_counted() -> bool {
    std::env::var_os(COUNTED).is_some()
}

/// What new locks cost on kernels that need nothing done for them, on any kernel.
fn without_turns() -> LockspaceOptions {
    LockspaceOptions::new().concurrent_new_requests()
}

/// A call that nothing else makes.
fn mark() {
    nix::unistd::getppid();
}

fn expect(counts: &BTreeMap<String, usize>, wanted: &[(&str, usize)]) {
    let wanted = wanted.iter().map(|&(name, count)| (name.to_owned(), count)).collect();
    assert_eq!(counts, &wanted, "calls for {OPERATIONS} operations");
}

#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn a_blocking_operation_is_one_write_and_one_read() {
    let test = dlm_tests::test_name!(a_blocking_operation_is_one_write_and_one_read);
    if !is_counted() {
        return expect(&count(test), &[("read", OPERATIONS), ("write", OPERATIONS)]);
    }
    let ls = without_turns().create("sc-blocking").unwrap();
    ls.lock("r", Mode::Ex).wait().unwrap().unlock().wait().unwrap();
    mark();
    for _ in 0..OPERATIONS / 4 {
        let lock = ls.lock("r", Mode::Ex).with_lvb().wait().unwrap();
        lock.convert(Mode::Nl).wait().unwrap();
        lock.convert(Mode::Pr).wait().unwrap();
        lock.unlock().wait().unwrap();
    }
    mark();
    ls.release().unwrap();
}

/// A quarter of the operations are requests for new locks, the others conversions and unlocks.
fn count_turns(test: &str, options: &LockspaceOptions, has_turns: bool) {
    if !is_counted() {
        let mut wanted = vec![("read", OPERATIONS), ("write", OPERATIONS)];
        if has_turns {
            wanted.push(("flock", 2 * OPERATIONS / 4));
        }
        return expect(&count(test), &wanted);
    }
    let ls = options.create(function(test)).unwrap();
    ls.lock("r", Mode::Ex).wait().unwrap().unlock().wait().unwrap();
    mark();
    for _ in 0..OPERATIONS / 4 {
        let lock = ls.lock("r", Mode::Ex).wait().unwrap();
        lock.convert(Mode::Nl).wait().unwrap();
        lock.convert(Mode::Pr).wait().unwrap();
        lock.unlock().wait().unwrap();
    }
    mark();
    ls.release().unwrap();
}

#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn serialized_requests_cost_two_calls_more_and_conversions_none() {
    let test = dlm_tests::test_name!(serialized_requests_cost_two_calls_more_and_conversions_none);
    count_turns(test, &LockspaceOptions::new().serialize_new_requests(), true);
}

#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn by_default_requests_are_serialized_where_the_kernel_needs_it() {
    let test = dlm_tests::test_name!(by_default_requests_are_serialized_where_the_kernel_needs_it);
    count_turns(test, &LockspaceOptions::new(), Kernel::pick(false, true));
}

#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn a_delivery_thread_costs_blocking_operations_nothing() {
    let test = dlm_tests::test_name!(a_delivery_thread_costs_blocking_operations_nothing);
    if !is_counted() {
        let mut counts = count(test);
        // The thread may still be on its way to its poll, with a mutex in hand for a moment.
        counts.retain(|call, n| !(["futex", "sched_yield"].contains(&&**call) && *n <= BEGINNING));
        return expect(&counts, &[("read", OPERATIONS), ("write", OPERATIONS)]);
    }
    let ls = without_turns().create("sc-thread").unwrap();
    let delivery = ls.start_delivery().unwrap();
    ls.lock("r", Mode::Ex).wait().unwrap().unlock().wait().unwrap();
    mark();
    for _ in 0..OPERATIONS / 2 {
        ls.lock("r", Mode::Ex).wait().unwrap().unlock().wait().unwrap();
    }
    mark();
    delivery.stop(PATIENCE).unwrap();
    ls.release().unwrap();
}

#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn a_cached_lock_costs_no_calls() {
    let test = dlm_tests::test_name!(a_cached_lock_costs_no_calls);
    if !is_counted() {
        return expect(&count(test), &[]);
    }
    let ls = without_turns().create("sc-cache").unwrap();
    let cache = LockCache::builder(&ls).idle_time(None).start().unwrap();
    let disk = cache.resource("r").unwrap();
    drop(disk.exclusive().wait().unwrap());
    mark();
    for _ in 0..OPERATIONS {
        drop(disk.exclusive().wait().unwrap().downgrade());
        drop(disk.shared().timeout(Duration::from_secs(1)).wait().unwrap());
        drop(cache.lock("r").exclusive().wait().unwrap());
    }
    mark();
    drop(disk);
    cache.close(PATIENCE).unwrap();
    drop(cache);
    ls.release().unwrap();
}

#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn an_operation_by_poll_and_dispatch_is_one_write_one_poll_and_one_read() {
    let test =
        dlm_tests::test_name!(an_operation_by_poll_and_dispatch_is_one_write_one_poll_and_one_read);
    if !is_counted() {
        let wanted = [("poll", OPERATIONS), ("read", OPERATIONS), ("write", OPERATIONS)];
        return expect(&count(test), &wanted);
    }
    let ls = without_turns().create("sc-dispatch").unwrap();
    // The first look at the descriptor makes it what it is.
    let fd = ls.as_fd();
    let await_one = || {
        let mut fds = [PollFd::new(fd, PollFlags::POLLIN)];
        poll(&mut fds, PollTimeout::NONE).unwrap();
        assert_eq!(ls.dispatch().unwrap(), 1);
    };
    mark();
    for _ in 0..OPERATIONS / 2 {
        let lock = ls.lock("r", Mode::Ex).start(|done| assert!(done.is_granted())).unwrap();
        await_one();
        lock.unlock().start(|_| ()).unwrap();
        await_one();
    }
    mark();
    ls.release().unwrap();
}

#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn an_operation_by_a_waiting_dispatch_is_one_write_and_one_read() {
    let test = dlm_tests::test_name!(an_operation_by_a_waiting_dispatch_is_one_write_and_one_read);
    if !is_counted() {
        return expect(&count(test), &[("read", OPERATIONS), ("write", OPERATIONS)]);
    }
    let ls = without_turns().create("sc-until").unwrap();
    let handler: CompletionHandler =
        Arc::new(|tag, done| assert_eq!(done.mode.is_some(), tag == 1));
    mark();
    for _ in 0..OPERATIONS / 2 {
        let lock = ls.lock("r", Mode::Ex).start_with(&handler, 1).unwrap();
        assert_eq!(ls.dispatch_until(None).unwrap(), 1);
        lock.unlock().start_with(&handler, 2).unwrap();
        assert_eq!(ls.dispatch_until(None).unwrap(), 1);
    }
    mark();
    // Nothing comes any more: the deadline ends the wait.
    let deadline = Instant::now() + Duration::from_millis(20);
    assert_eq!(ls.dispatch_until(Some(deadline)).unwrap(), 0);
    assert!(Instant::now() >= deadline);
    ls.release().unwrap();
}
