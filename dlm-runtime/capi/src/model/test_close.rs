//! The end of a lockspace that is in use.

use std::sync::Arc;

use dlm_proto::LockFlags;
use dlm_runtime::model::{Exclusive, Stage, check};
use libc::{EBADF, ENOENT};
use shuttle::thread;

use super::client::{Ask, Client, EUNLOCK, EX, NONE, finish};
use super::routine::Routine;
use crate::Flavour;
use crate::errno::Errno;
use crate::session;

/// What a closed lockspace, or a lock that went with it, is told as.
const fn is_end(errno: Errno) -> bool {
    matches!(errno, Errno(EBADF | ENOENT))
}

fn close_in_use(flavour: Flavour, flags: LockFlags) {
    check(move || {
        let stage = Stage::new();
        let (client, other) = (Client::open(flavour), Client::open(flavour));
        let held = other.held(EX);
        let dispatcher = client.dispatcher();
        let (block, waiting) = (client.block(), client.block());
        let ast = {
            let block = Arc::clone(&block);
            Routine::new(move || assert_ne!(block.take(), 0))
        };
        let ask = Ask::new("a", EX).flags(flags);
        thread::scope(|scope| {
            scope.spawn(|| {
                if let Err(errno) = client.lock(&block, &ask.ast(&ast)) {
                    assert!(is_end(errno), "{errno:?}");
                }
            });
            scope.spawn(|| match client.lock_wait(&waiting, &ask) {
                Err(errno) => assert!(is_end(errno), "{errno:?}"),
                answer => assert!(answer != Ok(0), "{answer:?}"),
            });
            scope.spawn(|| assert!(session::close(&client.session)));
        });
        assert_eq!(dispatcher.join(), Err(Errno(EBADF)));
        // He who closes a lockspace gives up its ASTs: what has not ended by then is told to nobody.
        if block.is_lent() {
            assert!(block.is_in_flight());
            block.take_back();
        }
        assert!(ast.runs() <= 1);
        assert_eq!(other.unlock_wait(&held, NONE), Ok(EUNLOCK));
        other.pass("a", &Exclusive::default());
        finish(stage, &[&other]);
        client.assert_untouched();
    });
}

#[test]
fn a_lockspace_is_closed_in_which_threads_wait() {
    close_in_use(Flavour::Threaded, NONE);
}

#[test]
fn a_lockspace_is_closed_in_which_persistent_requests_wait() {
    close_in_use(Flavour::Light, LockFlags::PERSISTENT);
}
