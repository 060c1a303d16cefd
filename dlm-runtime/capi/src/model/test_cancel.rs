//! Cancels of what may be granted at the same time.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use dlm_proto::LockFlags;
use dlm_runtime::model::{Stage, check};
use libc::{EAGAIN, EINVAL, ENOENT};
use shuttle::thread;

use super::block::{Block, FORMER};
use super::client::{Ask, Client, ECANCEL, EUNLOCK, EX, NL, NONE, PR, finish};
use super::routine::Routine;
use crate::Flavour;
use crate::errno::Errno;

/// The cancel was too late, or somebody else's is under way.
fn is_late(errno: Errno) -> bool {
    matches!(errno, Errno(ENOENT | EINVAL))
}

/// Cancels what waits, in two threads at once while its holder lets go, and tells with which status it
/// has ended. Who cancels learns that too, once, unless nothing was in flight.
fn cancel_twice(
    client: &Arc<Client>,
    block: &Arc<Block>,
    ask: Ask<'_>,
    release: impl FnOnce() + Send,
) -> i32 {
    let ended = Arc::new(AtomicI32::new(FORMER));
    let ast = {
        let (block, ended) = (Arc::clone(block), Arc::clone(&ended));
        Routine::new(move || ended.store(block.take(), Ordering::Relaxed))
    };
    let dispatcher = client.dispatcher();
    client.lock(block, &ask.ast(&ast)).unwrap();
    let id = block.id();
    let cancel = || {
        let canceller = client.block_for(id);
        let answer = client.unlock(&canceller, LockFlags::CANCEL);
        answer.map(|()| canceller)
    };
    let cancellers = thread::scope(|scope| {
        let threads = [scope.spawn(cancel), scope.spawn(cancel)];
        scope.spawn(release);
        threads.map(|thread| thread.join().unwrap())
    });
    ast.await_runs(1);
    dispatcher.stop().unwrap();
    let status = ended.load(Ordering::Relaxed);
    for canceller in cancellers {
        match canceller {
            Ok(canceller) => {
                let told = canceller.take();
                assert!(told == FORMER || told == status, "{told} for {status}");
            }
            Err(errno) => assert!(is_late(errno), "{errno:?}"),
        }
    }
    assert_eq!(ast.runs(), 1);
    status
}

#[test]
fn a_request_is_cancelled_while_it_is_granted() {
    check(|| {
        let stage = Stage::new();
        let (client, other) = (Client::open(Flavour::Threaded), Client::open(Flavour::Threaded));
        let held = other.held(EX);
        let block = client.block();
        let release = || assert_eq!(other.unlock_wait(&held, NONE), Ok(EUNLOCK));
        match cancel_twice(&client, &block, Ask::new("a", EX), release) {
            0 => {
                // Called again by this, the AST would find that the block is lent no more.
                client.convert_late(&block, NL);
                assert_eq!(client.unlock_wait(&block, NONE), Ok(EUNLOCK));
            }
            status => assert_eq!(status, ECANCEL),
        }
        finish(stage, &[&client, &other]);
    });
}

#[test]
fn a_conversion_is_cancelled_while_it_is_granted() {
    check(|| {
        let stage = Stage::new();
        let (client, other) = (Client::open(Flavour::Threaded), Client::open(Flavour::Threaded));
        let held = other.held(PR);
        let block = client.held(PR);
        let release = || assert_eq!(other.unlock_wait(&held, NONE), Ok(EUNLOCK));
        let status = cancel_twice(&client, &block, Ask::convert(EX), release);
        assert!(matches!(status, 0 | ECANCEL), "{status}");
        client.convert_late(&block, NL);
        assert_eq!(client.unlock_wait(&block, NONE), Ok(EUNLOCK));
        finish(stage, &[&client, &other]);
    });
}

/// It is not written: the canceller is told of the end that comes by itself.
#[test]
fn a_request_that_ends_by_itself_is_cancelled() {
    check(|| {
        let stage = Stage::new();
        let (client, other) = (Client::open(Flavour::Threaded), Client::open(Flavour::Threaded));
        stage.space().keep_elsewhere("a");
        let held = other.held(EX);
        let block = client.block();
        let release = || assert_eq!(other.unlock_wait(&held, NONE), Ok(EUNLOCK));
        let ask = Ask::new("a", EX).flags(LockFlags::NOQUEUE);
        match cancel_twice(&client, &block, ask, release) {
            0 => {
                client.convert_late(&block, NL);
                assert_eq!(client.unlock_wait(&block, NONE), Ok(EUNLOCK));
            }
            status => assert_eq!(status, EAGAIN),
        }
        finish(stage, &[&client, &other]);
    });
}

/// All three wait. Nobody dispatches.
#[test]
fn a_thread_cancels_what_another_one_waits_for() {
    check(|| {
        let stage = Stage::new();
        let (client, other) = (Client::open(Flavour::Light), Client::open(Flavour::Light));
        let held = other.held(EX);
        let block = client.block();
        thread::scope(|scope| {
            let waiter = scope.spawn(|| match client.lock_wait(&block, &Ask::new("a", EX)) {
                Ok(0) => {
                    assert_eq!(client.unlock_wait(&block, NONE), Ok(EUNLOCK));
                    0
                }
                answer => {
                    assert_eq!(answer, Ok(ECANCEL));
                    ECANCEL
                }
            });
            let canceller = scope.spawn(|| {
                while block.id() == 0 {
                    thread::yield_now();
                }
                let canceller = client.block_for(block.id());
                client.unlock_wait(&canceller, LockFlags::CANCEL)
            });
            scope.spawn(|| assert_eq!(other.unlock_wait(&held, NONE), Ok(EUNLOCK)));
            let (status, told) = (waiter.join().unwrap(), canceller.join().unwrap());
            match told {
                Ok(told) => assert!(told == status || told == 0, "{told} for {status}"),
                Err(errno) => assert!(is_late(errno), "{errno:?}"),
            }
        });
        finish(stage, &[&client, &other]);
    });
}
