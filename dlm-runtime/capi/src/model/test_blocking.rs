//! Blocking ASTs that give way to another owner.

use std::sync::Arc;

use dlm_runtime::model::{Exclusive, Stage, check};
use libc::{EBUSY, EINVAL, ENOENT};
use shuttle::thread;

use super::block::Block;
use super::client::{Ask, Client, EUNLOCK, EX, NL, NONE, finish};
use super::routine::Routine;
use crate::Flavour;
use crate::errno::Errno;

/// How an owner gives way, by a call on a lock's id.
type GiveWay = fn(&Client, &Block);

/// A lock has this blocking AST while another owner wants it. The AST may run before its owner knows
/// of the grant, or of the id, and after he has unlocked.
fn give_way(flavour: Flavour, dispatchers: usize, way: GiveWay) {
    check(move || {
        let stage = Stage::new();
        let (client, other) = (Client::open(flavour), Client::open(flavour));
        let dispatchers: Vec<_> = (0..dispatchers).map(|_| client.dispatcher()).collect();
        let block = client.block();
        let bast = {
            let (client, block) = (Arc::clone(&client), Arc::clone(&block));
            Routine::new(move || way(&client, &client.block_for(block.id())))
        };
        let exclusive = Exclusive::default();
        thread::scope(|scope| {
            scope.spawn(|| other.pass("a", &exclusive));
            scope.spawn(|| {
                assert_eq!(client.lock_wait(&block, &Ask::new("a", EX).bast(&bast)), Ok(0));
                // Here the blocking AST may run, too.
                client.pass("b", &Exclusive::default());
                unlock(&client, &client.block_for(block.id()));
            });
        });
        for dispatcher in dispatchers {
            dispatcher.stop().unwrap();
        }
        finish(stage, &[&client, &other]);
    });
}

/// Unlocks, unless another thread does.
fn unlock(client: &Client, block: &Block) {
    loop {
        match client.unlock_wait(block, NONE) {
            Ok(EUNLOCK) | Err(Errno(ENOENT | EINVAL)) => return,
            Err(Errno(EBUSY)) => thread::yield_now(),
            answer => panic!("{answer:?}"),
        }
    }
}

/// Unlocks if that can be done now.
fn try_unlock(client: &Client, block: &Block) {
    match client.unlock_wait(block, NONE) {
        Ok(EUNLOCK) | Err(Errno(ENOENT | EINVAL | EBUSY)) => {}
        answer => panic!("{answer:?}"),
    }
}

fn convert(client: &Client, block: &Block) {
    match client.lock_wait(block, &Ask::convert(NL)) {
        Ok(0) | Err(Errno(ENOENT | EINVAL | EBUSY)) => {}
        answer => panic!("{answer:?}"),
    }
}

#[test]
fn a_blocking_ast_unlocks() {
    give_way(Flavour::Threaded, 2, try_unlock);
}

#[test]
fn a_blocking_ast_that_runs_in_a_waiting_call_unlocks() {
    give_way(Flavour::Light, 0, try_unlock);
}

#[test]
fn a_blocking_ast_converts() {
    give_way(Flavour::Light, 1, convert);
}

#[test]
fn a_blocking_ast_that_runs_in_a_waiting_call_converts() {
    give_way(Flavour::Threaded, 0, convert);
}
