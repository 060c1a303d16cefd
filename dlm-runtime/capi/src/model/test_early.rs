//! Unlocks of requests whose end nobody has read.

use std::sync::Arc;

use dlm_proto::LockFlags;
use dlm_runtime::model::{Stage, check};
use libc::{EAGAIN, EBUSY, EINVAL, ENOENT};
use shuttle::thread;

use super::client::{Ask, Client, EUNLOCK, EX, NONE, finish};
use super::routine::Routine;
use crate::Flavour;
use crate::errno::Errno;

/// A thread unlocks what another one has requested with these flags, while its holder lets go.
fn unlock_early(flavour: Flavour, flags: LockFlags, dispatchers: usize) {
    check(move || {
        let stage = Stage::new();
        stage.space().allow_overlap();
        let (client, other) = (Client::open(flavour), Client::open(flavour));
        let held = other.held(EX);
        let dispatchers: Vec<_> = (0..dispatchers).map(|_| client.dispatcher()).collect();
        let block = client.block();
        let ast = {
            let block = Arc::clone(&block);
            Routine::new(move || {
                // A request that an unlock was written over ends with that, and is not told.
                if block.is_lent() && !block.is_in_flight() {
                    let status = block.take();
                    assert!(matches!(status, 0 | EAGAIN), "{status}");
                }
            })
        };
        let answer = thread::scope(|scope| {
            scope.spawn(|| assert_eq!(other.unlock_wait(&held, NONE), Ok(EUNLOCK)));
            let unlocking = scope.spawn(|| {
                client.lock(&block, &Ask::new("a", EX).flags(flags).ast(&ast)).unwrap();
                loop {
                    match client.unlock_wait(&client.block_for(block.id()), NONE) {
                        // Its master has not answered.
                        Err(Errno(EBUSY)) if !flags.contains(LockFlags::NOQUEUE) => {}
                        answer => return answer,
                    }
                    thread::yield_now();
                }
            });
            unlocking.join().unwrap()
        });
        for dispatcher in dispatchers {
            dispatcher.stop().unwrap();
        }
        client.dispatch_all();
        let expected = match answer {
            Ok(status) => {
                assert_eq!(status, EUNLOCK);
                // Once for the grant, unless the unlock was faster, and once for the unlock.
                1 + usize::from(!block.is_lent())
            }
            Err(errno) => {
                // It has failed, and has no id any more.
                assert!(matches!(errno, Errno(ENOENT | EINVAL)), "{errno:?}");
                assert_eq!(flags, LockFlags::NOQUEUE);
                1
            }
        };
        assert_eq!(ast.runs(), expected);
        if block.is_lent() {
            assert!(block.is_in_flight() && !flags.contains(LockFlags::NOQUEUE));
            block.take_back();
        }
        finish(stage, &[&client, &other]);
        assert_eq!(ast.runs(), expected);
    });
}

#[test]
fn an_unlock_waits_for_a_request_that_ends_by_itself() {
    unlock_early(Flavour::Light, LockFlags::NOQUEUE, 0);
}

#[test]
fn an_unlock_waits_for_a_request_whose_end_a_dispatcher_reads() {
    unlock_early(Flavour::Threaded, LockFlags::NOQUEUE, 1);
}

#[test]
fn a_request_that_waits_is_unlocked() {
    unlock_early(Flavour::Threaded, NONE, 0);
}

#[test]
fn a_request_that_waits_is_unlocked_beside_a_dispatcher() {
    unlock_early(Flavour::Light, NONE, 1);
}
