//! The bodies of the fuzz targets: properties of any bytes and any values.
//!
//! A body takes bytes and panics if, and only if, an invariant is broken. The programs in `fuzz/`
//! feed it from libFuzzer, `tests/corpus.rs` replays the inputs kept in `fuzz/corpus`, and
//! `tests/properties.rs` holds values of its own making against the same checks. Lengths, offsets
//! and rules are stated here a second time, from the kernel's header files and from what this
//! crate's documentation promises, not from its code.
//!
//! Hidden because no program but a test has a use for it; always compiled because integration
//! tests and the fuzzers' own workspace cannot ask for a test build. What is not called is not
//! linked.

mod bytes;
mod debugfs;
mod decode;
mod encode;
mod names;
mod version;

pub use debugfs::debugfs;
pub use decode::{event, request_decode, result_decode};
pub use encode::{request_encodes, result_encodes, round_trip};
pub use names::names;
pub use version::version;

/// A target's name and its body.
pub type Target = (&'static str, fn(&[u8]));

/// Every target of this crate. A name is that of the program in `fuzz/fuzz_targets` and of the
/// folder in `fuzz/corpus`.
pub const TARGETS: [Target; 6] = [
    ("debugfs", debugfs),
    ("names", names),
    ("request_decode", request_decode),
    ("result_decode", result_decode),
    ("round_trip", round_trip),
    ("version", version),
];
