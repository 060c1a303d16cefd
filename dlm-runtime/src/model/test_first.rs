//! Turns of requests for new locks: one at a time among threads and open devices.

use std::sync::Arc;
use std::time::Duration;

use dlm_proto::LockspaceName;
use shuttle::thread;

use super::stage::{Stage, check};
use crate::ErrorKind;
use crate::driver::device::{Device, LockspaceDevice};
use crate::driver::first::{FirstRequests, KeepApart};
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::now;

fn open(name: &LockspaceName) -> (Device, FirstRequests) {
    let device = LockspaceDevice::open_within(name, None, Duration::ZERO).unwrap();
    let device = Device::of_kernel(device);
    let first = FirstRequests::new(KeepApart::Always, &device);
    (device, first)
}

#[test]
fn one_request_at_a_time_has_its_turn_and_a_deadline_ends_the_wait() {
    check(|| {
        let stage = Stage::new();
        let name = LockspaceName::new(b"model").unwrap();
        let opens = [open(&name), open(&name)];
        let is_writing = Arc::new(AtomicBool::new(false));
        let write = |at: usize, deadline| {
            let (device, first) = &opens[at];
            let turn = first.enter(device, &name, deadline, || Ok(()))?;
            assert!(!is_writing.swap(true, Ordering::SeqCst), "two have their turn");
            thread::yield_now();
            is_writing.store(false, Ordering::SeqCst);
            drop(turn);
            Ok(())
        };
        thread::scope(|scope| {
            scope.spawn(|| write(0, None).unwrap());
            scope.spawn(|| write(1, None).unwrap());
            scope.spawn(|| match write(0, Some(now() + Duration::from_millis(1))) {
                Ok(()) | Err(ErrorKind::TimedOut(_)) => {}
                Err(kind) => panic!("{kind}"),
            });
        });
        // Whoever gave up has left nothing behind.
        (0..opens.len()).for_each(|at| write(at, Some(now())).unwrap());
        drop(opens);
        stage.finish(&[]);
    });
}
