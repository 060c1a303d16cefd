//! ASTs that make calls.

use std::sync::Arc;

use dlm_runtime::model::{Exclusive, Stage, check};
use shuttle::thread;

use super::block::Block;
use super::client::{Ask, Client, EUNLOCK, EX, NONE, finish};
use super::routine::Routine;
use crate::Flavour;

/// The commonest AST: it unlocks what was granted, and is called once more for that.
fn unlocking(client: &Arc<Client>, block: &Arc<Block>, _: &str) -> Arc<Routine> {
    let (client, block) = (Arc::clone(client), Arc::clone(block));
    Routine::new(move || match block.take() {
        0 => client.unlock(&block, NONE).unwrap(),
        status => assert_eq!(status, EUNLOCK),
    })
}

/// An AST that waits: for another lock, which nobody holds who may run the AST, and for the unlock of
/// its own, for which it is called again.
fn waiting(client: &Arc<Client>, block: &Arc<Block>, name: &'static str) -> Arc<Routine> {
    let is_held = std::sync::atomic::AtomicBool::new(false);
    let (client, block) = (Arc::clone(client), Arc::clone(block));
    Routine::new(move || {
        if is_held.swap(true, std::sync::atomic::Ordering::Relaxed) {
            return;
        }
        assert_eq!(block.take(), 0);
        client.pass(name, &Exclusive::default());
        assert_eq!(client.unlock_wait(&block, NONE), Ok(EUNLOCK));
    })
}

type Make = fn(&Arc<Client>, &Arc<Block>, &'static str) -> Arc<Routine>;

/// The AST may run, and unlock, before the write of the request has returned
/// (#ended-before-its-write-returned).
fn with_dispatchers(flavour: Flavour, make: Make) {
    check(move || {
        let stage = Stage::new();
        let client = Client::open(flavour);
        let dispatchers = [client.dispatcher(), client.dispatcher()];
        let blocks = [client.block(), client.block()];
        let asts = [make(&client, &blocks[0], "b"), make(&client, &blocks[1], "d")];
        for (name, (block, ast)) in ["a", "c"].into_iter().zip(blocks.iter().zip(&asts)) {
            client.lock(block, &Ask::new(name, EX).ast(ast)).unwrap();
        }
        asts.iter().for_each(|ast| ast.await_runs(2));
        for dispatcher in dispatchers {
            dispatcher.stop().unwrap();
        }
        finish(stage, &[&client]);
        assert_eq!(asts.map(|ast| ast.runs()), [2, 2]);
    });
}

/// Nobody dispatches: ASTs run in the calls of threads that wait.
fn in_waiting_calls(flavour: Flavour, make: Make) {
    check(move || {
        let stage = Stage::new();
        let client = Client::open(flavour);
        let block = client.block();
        let ast = make(&client, &block, "c");
        let exclusive = Exclusive::default();
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| client.pass("b", &exclusive));
            }
            scope.spawn(|| client.lock(&block, &Ask::new("a", EX).ast(&ast)).unwrap());
        });
        client.dispatch_until(&ast, 2);
        finish(stage, &[&client]);
        assert_eq!(ast.runs(), 2);
    });
}

#[test]
fn an_ast_unlocks() {
    with_dispatchers(Flavour::Threaded, unlocking);
}

#[test]
fn an_ast_that_runs_in_a_waiting_call_unlocks() {
    in_waiting_calls(Flavour::Threaded, unlocking);
}

#[test]
fn an_ast_waits() {
    with_dispatchers(Flavour::Light, waiting);
}

#[test]
fn an_ast_that_runs_in_a_waiting_call_waits() {
    in_waiting_calls(Flavour::Light, waiting);
}
