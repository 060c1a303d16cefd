//! Threads that are cancelled while they wait, and ASTs that end their thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dlm_runtime::model::{Exclusive, Stage, check};
use shuttle::rand::{Rng, thread_rng};
use shuttle::thread;

use super::client::{Ask, Client, EUNLOCK, EX, NL, NONE, PR, finish};
use super::routine::Routine;
use crate::Flavour;

/// Whether the thread is left now.
fn by_chance() -> bool {
    thread_rng().gen_bool(0.3)
}

/// What it has waited for is granted to nobody, and others go on.
#[test]
fn a_thread_is_cancelled_while_it_waits_for_a_lock() {
    for flavour in [Flavour::Threaded, Flavour::Light] {
        check(move || {
            let stage = Stage::new();
            let (client, other) = (Client::open(flavour), Client::open(flavour));
            let held = other.held(EX);
            let exclusive = Exclusive::default();
            thread::scope(|scope| {
                for _ in 0..2 {
                    scope.spawn(|| {
                        let block = client.block();
                        let ask = Ask::new("a", EX);
                        if let Some(answer) = client.lock_wait_unless(&block, &ask, by_chance) {
                            assert_eq!(answer, Ok(0));
                            exclusive.work();
                            assert_eq!(client.unlock_wait(&block, NONE), Ok(EUNLOCK));
                        }
                    });
                }
                scope.spawn(|| client.pass("a", &exclusive));
                scope.spawn(|| assert_eq!(other.unlock_wait(&held, NONE), Ok(EUNLOCK)));
            });
            client.pass("a", &exclusive);
            finish(stage, &[&client, &other]);
        });
    }
}

/// An AST that runs in a turn ends the thread. What the turn was about to do is left to others.
#[test]
fn an_ast_ends_a_thread_that_dispatches() {
    check(|| {
        let stage = Stage::new();
        let client = Client::open(Flavour::Light);
        let asts = ["a", "b", "c"].map(|name| {
            let block = client.block();
            let ast = {
                let (client, block) = (Arc::clone(&client), Arc::clone(&block));
                Routine::new(move || {
                    if block.take() == 0 {
                        client.unlock(&block, NONE).unwrap();
                    }
                })
            };
            client.lock(&block, &Ask::new(name, EX).ast(&ast)).unwrap();
            ast
        });
        let dispatcher = client.dispatcher();
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    if let Some(answer) = client.dispatch_unless(by_chance) {
                        answer.unwrap();
                    }
                });
            }
        });
        // It is told of whatever is left.
        asts.iter().for_each(|ast| ast.await_runs(2));
        dispatcher.stop().unwrap();
        finish(stage, &[&client]);
        assert_eq!(asts.map(|ast| ast.runs()), [2, 2, 2]);
    });
}

/// The lock stays, in its old mode or in the new one.
#[test]
fn a_thread_is_cancelled_while_it_waits_for_a_conversion() {
    check(|| {
        let stage = Stage::new();
        let (client, other) = (Client::open(Flavour::Threaded), Client::open(Flavour::Threaded));
        let (held, own) = (other.held(PR), client.held(PR));
        thread::scope(|scope| {
            scope.spawn(|| {
                let answer = client.lock_wait_unless(&own, &Ask::convert(EX), by_chance);
                assert!(answer.is_none_or(|answer| answer == Ok(0)), "{answer:?}");
            });
            scope.spawn(|| assert_eq!(other.unlock_wait(&held, NONE), Ok(EUNLOCK)));
        });
        client.convert_late(&own, NL);
        assert_eq!(client.unlock_wait(&own, NONE), Ok(EUNLOCK));
        finish(stage, &[&client, &other]);
    });
}

/// An AST that runs in a waiting call ends the thread. The other ASTs are run by others.
#[test]
fn an_ast_ends_a_thread_that_waits() {
    check(|| {
        let stage = Stage::new();
        let (client, other) = (Client::open(Flavour::Light), Client::open(Flavour::Light));
        let held = other.held(EX);
        let left = Arc::new(AtomicUsize::new(0));
        let asts = ["b", "c"].map(|name| {
            let (block, left) = (client.block(), Arc::clone(&left));
            let ast = {
                let (client, block) = (Arc::clone(&client), Arc::clone(&block));
                Routine::new(move || {
                    if block.take() == 0 {
                        client.unlock(&block, NONE).unwrap();
                        left.fetch_add(1, Ordering::Relaxed);
                    }
                })
            };
            client.lock(&block, &Ask::new(name, EX).ast(&ast)).unwrap();
            ast
        });
        let exclusive = Exclusive::default();
        thread::scope(|scope| {
            scope.spawn(|| {
                let block = client.block();
                let mut seen = left.load(Ordering::Relaxed);
                let has_run = || {
                    let before = std::mem::replace(&mut seen, left.load(Ordering::Relaxed));
                    before != seen
                };
                let answer = client.lock_wait_unless(&block, &Ask::new("a", EX), has_run);
                if let Some(answer) = answer {
                    assert_eq!(answer, Ok(0));
                    assert_eq!(client.unlock_wait(&block, NONE), Ok(EUNLOCK));
                }
            });
            scope.spawn(|| client.pass("d", &exclusive));
            scope.spawn(|| assert_eq!(other.unlock_wait(&held, NONE), Ok(EUNLOCK)));
        });
        let dispatcher = client.dispatcher();
        asts.iter().for_each(|ast| ast.await_runs(2));
        other.pass("a", &exclusive);
        dispatcher.stop().unwrap();
        finish(stage, &[&client, &other]);
        assert_eq!(asts.map(|ast| ast.runs()), [2, 2]);
    });
}
