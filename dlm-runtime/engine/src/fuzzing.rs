//! The body of the fuzz target `engine`: properties of any sequence of calls.
//!
//! It panics if, and only if, an invariant is broken. The program in `fuzz/` feeds it from
//! libFuzzer, and `tests/corpus.rs` replays the inputs kept in `fuzz/corpus` and sequences of its
//! own making. Hidden because no program but a test has a use for it; see `dlm_proto::fuzzing`.

mod calls;
mod differential;
mod ledger;

use calls::Calls;
use differential::Differential;

/// Two engines are given the same calls, one of which walks all queues where the other one looks at
/// counts. They answer the same; all is consistent after each call; on 6.12 each operation that is
/// taken completes once or is pending; nothing is left when all is closed.
///
/// The first byte chooses the profile. Each call takes six bytes.
pub fn engine(bytes: &[u8]) {
    let (first, rest) = bytes.split_first().unwrap_or((&0, &[]));
    let mut differential = Differential::new(first % 2 == 1);
    for call in Calls::new(rest) {
        differential.make(call);
    }
    differential.end();
}
