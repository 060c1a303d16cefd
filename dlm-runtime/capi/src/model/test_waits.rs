//! Threads that wait for locks.

use std::time::Duration;

use dlm_runtime::model::{Exclusive, Stage, check};
use shuttle::thread;

use super::client::{Ask, Client, EX, NONE, finish};
use super::routine::Routine;
use crate::Flavour;

#[test]
fn one_thread_at_a_time_has_an_exclusive_lock() {
    for flavour in [Flavour::Threaded, Flavour::Light] {
        check(move || {
            let stage = Stage::new();
            let (client, other) = (Client::open(flavour), Client::open(flavour));
            let exclusive = Exclusive::default();
            thread::scope(|scope| {
                for client in [&client, &client, &other] {
                    scope.spawn(|| client.pass("a", &exclusive));
                }
            });
            finish(stage, &[&client, &other]);
        });
    }
}

#[test]
fn threads_wait_beside_the_one_that_runs_asts() {
    check(|| {
        let stage = Stage::new();
        let client = Client::open(Flavour::Threaded);
        client.start_delivery();
        let exclusive = Exclusive::default();
        let block = client.block();
        let ast = {
            let (client, block) = (std::sync::Arc::clone(&client), std::sync::Arc::clone(&block));
            Routine::new(move || {
                if block.take() == 0 {
                    client.unlock(&block, NONE).unwrap();
                }
            })
        };
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| client.pass("a", &exclusive));
            }
            scope.spawn(|| client.lock(&block, &Ask::new("a", EX).ast(&ast)).unwrap());
        });
        ast.await_runs(2);
        client.session.stop_delivery(Duration::MAX);
        finish(stage, &[&client]);
    });
}
