//! Conversions: over results that nobody has read, and those that are refused.

use std::sync::Arc;

use dlm_proto::{LockFlags, Request};
use dlm_runtime::model::{Stage, check};
use dlm_sys::Errno as Number;
use libc::{EBUSY, ENOMEM};
use shuttle::thread;

use super::block::Block;
use super::client::{Ask, Client, EUNLOCK, EX, NL, NONE, PR, finish};
use super::routine::Routine;
use crate::Flavour;
use crate::errno::Errno;

/// An AST that finds this status.
fn told(block: &Arc<Block>, expected: i32) -> Arc<Routine> {
    let block = Arc::clone(block);
    Routine::new(move || assert_eq!(block.take(), expected))
}

/// The conversion comes before anybody has dispatched the end of the request. Each AST is called once,
/// and the one of the conversion again for the unlock.
#[test]
fn a_conversion_is_made_over_an_unread_result() {
    for dispatchers in 0..2 {
        check(move || {
            let stage = Stage::new();
            let client = Client::open(Flavour::Threaded);
            let dispatchers: Vec<_> = (0..dispatchers).map(|_| client.dispatcher()).collect();
            let block = client.block();
            let granted = told(&block, 0);
            client.lock(&block, &Ask::new("a", EX).ast(&granted)).unwrap();
            let second = client.block_for(block.id());
            let converted = {
                let (granted, second) = (Arc::clone(&granted), Arc::clone(&second));
                Routine::new(move || {
                    assert!(matches!(second.take(), 0 | EUNLOCK));
                    assert_eq!(granted.runs(), 1, "the request ends before the conversion");
                })
            };
            loop {
                match client.lock(&second, &Ask::convert(PR).ast(&converted)) {
                    Ok(()) => break,
                    Err(errno) => assert_eq!(errno, Errno(EBUSY)),
                }
                thread::yield_now();
            }
            // Two that dispatch may change the order.
            let await_runs = |runs| match dispatchers.is_empty() {
                true => client.dispatch_until(&converted, runs),
                false => converted.await_runs(runs),
            };
            await_runs(1);
            client.unlock(&second, NONE).unwrap();
            await_runs(2);
            for dispatcher in dispatchers {
                dispatcher.stop().unwrap();
            }
            finish(stage, &[&client]);
            assert_eq!((granted.runs(), converted.runs()), (1, 2));
        });
    }
}

const fn is_conversion(request: &Request<'_>) -> bool {
    matches!(request, Request::Lock(lock) if lock.flags.contains(LockFlags::CONVERT))
}

/// The kernel refuses a conversion with ASTs of its own: those of before are called for the unlock.
#[test]
fn a_conversion_that_is_refused_leaves_the_asts_as_they_were() {
    check(|| {
        let stage = Stage::new();
        let client = Client::open(Flavour::Threaded);
        let dispatcher = client.dispatcher();
        let block = client.block();
        let former = {
            let block = Arc::clone(&block);
            Routine::new(move || assert!(matches!(block.take(), 0 | EUNLOCK)))
        };
        let never = Routine::new(|| panic!("an AST of a call that was refused"));
        client.lock(&block, &Ask::new("a", EX).ast(&former).bast(&never)).unwrap();
        former.await_runs(1);
        let refuse = || stage.space().refuse(1, Number::ENOMEM, is_conversion);
        let convert = Ask::convert(NL).ast(&never);
        let refused = Err(Errno(ENOMEM));
        refuse();
        assert_eq!(client.lock(&client.block_for(block.id()), &convert), refused);
        refuse();
        let answer = client.lock_wait(&client.block_for(block.id()), &convert);
        assert_eq!(answer.map(drop), refused);
        client.unlock(&block, NONE).unwrap();
        former.await_runs(2);
        dispatcher.stop().unwrap();
        finish(stage, &[&client]);
        assert_eq!((former.runs(), never.runs()), (2, 0));
    });
}

/// One of them may be refused, for the other one, and then its AST is not called.
#[test]
fn two_threads_convert_one_lock() {
    check(|| {
        let stage = Stage::new();
        let client = Client::open(Flavour::Threaded);
        let dispatcher = client.dispatcher();
        let block = client.held(EX);
        let convert = |mode| {
            let own = client.block_for(block.id());
            let ast = told(&own, 0);
            match client.lock(&own, &Ask::convert(mode).ast(&ast)) {
                Ok(()) => {
                    ast.await_runs(1);
                    assert_eq!(ast.runs(), 1);
                }
                Err(errno) => {
                    assert_eq!(errno, Errno(EBUSY));
                    assert_eq!(ast.runs(), 0);
                }
            }
            ast
        };
        let asts = thread::scope(|scope| {
            let threads = [scope.spawn(|| convert(PR)), scope.spawn(|| convert(NL))];
            threads.map(|thread| thread.join().unwrap())
        });
        // Whose AST it is that this calls is chance: a conversion without one.
        assert_eq!(client.lock_wait(&block, &Ask::convert(NL)), Ok(0));
        let before = asts.each_ref().map(|ast| ast.runs());
        assert_eq!(client.unlock_wait(&block, NONE), Ok(EUNLOCK));
        dispatcher.stop().unwrap();
        finish(stage, &[&client]);
        assert_eq!(asts.map(|ast| ast.runs()), before);
    });
}

/// The kernel refuses the first of two conversions, and the second may be made before the first one's
/// caller knows: the ASTs of the second stay.
#[test]
fn a_conversion_that_is_refused_leaves_the_asts_of_another_one() {
    check(|| {
        let stage = Stage::new();
        let client = Client::open(Flavour::Threaded);
        let dispatcher = client.dispatcher();
        let held = client.held(EX);
        stage.space().refuse(1, Number::ENOMEM, is_conversion);
        let convert = |mode| {
            let own = client.block_for(held.id());
            let ast = {
                let own = Arc::clone(&own);
                Routine::new(move || assert!(matches!(own.take(), 0 | EUNLOCK)))
            };
            match client.lock(&own, &Ask::convert(mode).ast(&ast)) {
                Ok(()) => {
                    ast.await_runs(1);
                    Some((own, ast))
                }
                Err(errno) => {
                    assert!(matches!(errno, Errno(ENOMEM | EBUSY)), "{errno:?}");
                    None
                }
            }
        };
        let converted = thread::scope(|scope| {
            let threads = [scope.spawn(|| convert(PR)), scope.spawn(|| convert(NL))];
            threads.map(|thread| thread.join().unwrap())
        });
        let mut converted = converted.into_iter().flatten();
        match (converted.next(), converted.next()) {
            (Some((own, ast)), None) => {
                client.unlock(&own, NONE).unwrap();
                ast.await_runs(2);
            }
            (None, None) => assert_eq!(client.unlock_wait(&held, NONE), Ok(EUNLOCK)),
            _ => panic!("one of them is refused"),
        }
        dispatcher.stop().unwrap();
        finish(stage, &[&client]);
    });
}
