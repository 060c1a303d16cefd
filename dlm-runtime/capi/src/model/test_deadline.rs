//! Deadlines, and grants that come later.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use dlm_proto::LockFlags;
use dlm_runtime::driver::now;
use dlm_runtime::model::{Exclusive, Stage, check, while_time_passes};
use libc::ETIMEDOUT;
use shuttle::thread;

use super::block::FORMER;
use super::client::{Ask, Client, EUNLOCK, EX, NONE, PR, finish};
use super::routine::Routine;
use crate::Flavour;

const PATIENCE: Duration = Duration::from_secs(1);

/// A request with a value block and a deadline.
fn soon(mode: u32) -> Ask<'static> {
    Ask::new("a", mode).flags(LockFlags::VALBLK).until(now() + PATIENCE)
}

/// The status block is the caller's again when the call returns, whatever comes later.
#[test]
fn a_call_returns_at_its_deadline_and_a_late_grant_is_unlocked() {
    check(|| {
        let stage = Stage::new();
        let (client, other) = (Client::open(Flavour::Threaded), Client::open(Flavour::Threaded));
        stage.space().keep_elsewhere("a");
        stage.space().freeze(true);
        while_time_passes(|| {
            thread::scope(|scope| {
                for _ in 0..2 {
                    scope.spawn(|| {
                        let block = client.block();
                        assert_eq!(client.lock_wait(&block, &soon(PR)), Ok(ETIMEDOUT));
                        assert_eq!(block.id(), 0);
                    });
                }
            });
        });
        stage.space().freeze(false);
        // Nobody calls or reads for the client meanwhile.
        other.pass("a", &Exclusive::default());
        finish(stage, &[&client, &other]);
    });
}

/// There is no thread for it: the next calls see to it.
#[test]
fn the_next_call_unlocks_a_late_grant() {
    check(|| {
        let stage = Stage::new();
        let (client, other) = (Client::open(Flavour::Light), Client::open(Flavour::Light));
        stage.space().keep_elsewhere("a");
        stage.space().freeze(true);
        let block = client.block();
        while_time_passes(|| assert_eq!(client.lock_wait(&block, &soon(EX)), Ok(ETIMEDOUT)));
        stage.space().freeze(false);
        let exclusive = Exclusive::default();
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| client.pass("a", &exclusive));
            }
        });
        other.pass("a", &exclusive);
        finish(stage, &[&client, &other]);
    });
}

#[test]
fn an_ast_is_called_once_at_the_deadline() {
    check(|| {
        let stage = Stage::new();
        let (client, other) = (Client::open(Flavour::Threaded), Client::open(Flavour::Threaded));
        stage.space().keep_elsewhere("a");
        let held = other.held(EX);
        stage.space().freeze(true);
        let dispatcher = client.dispatcher();
        let (block, ended) = (client.block(), Arc::new(AtomicI32::new(FORMER)));
        let ast = {
            let (block, ended) = (Arc::clone(&block), Arc::clone(&ended));
            Routine::new(move || ended.store(block.take(), Ordering::Relaxed))
        };
        client.lock(&block, &soon(EX).ast(&ast)).unwrap();
        while_time_passes(|| ast.await_runs(1));
        assert_eq!(ended.load(Ordering::Relaxed), ETIMEDOUT);
        dispatcher.stop().unwrap();
        stage.space().freeze(false);
        assert_eq!(other.unlock_wait(&held, NONE), Ok(EUNLOCK));
        other.pass("a", &Exclusive::default());
        finish(stage, &[&client, &other]);
        assert_eq!(ast.runs(), 1);
    });
}

/// Either comes first.
#[test]
fn a_deadline_passes_while_the_lock_is_granted() {
    for flavour in [Flavour::Threaded, Flavour::Light] {
        check(move || {
            let stage = Stage::new();
            let (client, other) = (Client::open(flavour), Client::open(flavour));
            let held = other.held(EX);
            let block = client.block();
            thread::scope(|scope| {
                scope.spawn(|| match client.lock_wait(&block, &soon(EX)) {
                    Ok(0) => assert_eq!(client.unlock_wait(&block, NONE), Ok(EUNLOCK)),
                    answer => assert_eq!(answer, Ok(ETIMEDOUT)),
                });
                scope.spawn(|| dlm_runtime::model::advance(PATIENCE));
                scope.spawn(|| assert_eq!(other.unlock_wait(&held, NONE), Ok(EUNLOCK)));
            });
            client.pass("a", &Exclusive::default());
            finish(stage, &[&client, &other]);
        });
    }
}
