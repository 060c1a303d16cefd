//! Sequences of calls, with the checks of the fuzz target: those kept for the fuzzer in
//! `fuzz/corpus/engine`, and random ones.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod support;

use std::fs;
use std::path::Path;

use dlm_engine::fuzzing;
use dlm_random::Random;

#[test]
fn inputs_for_engine() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/engine");
    let files = fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut count = 0;
    for file in files {
        let path = file.unwrap().path();
        println!("{}", path.display());
        fuzzing::engine(&fs::read(&path).unwrap());
        count += 1;
    }
    assert!(count > 0, "{} is empty", folder.display());
}

#[test]
fn random_sequences() {
    let rounds = std::env::var("DLM_ENGINE_ROUNDS").ok().and_then(|it| it.parse().ok());
    for seed in 0..rounds.unwrap_or(2_000) {
        let mut numbers = Random::new(seed << 32);
        let bytes: Vec<u8> = (0..1 + 6 * 60).map(|_| numbers.byte()).collect();
        println!("seed {seed}");
        fuzzing::engine(&bytes);
    }
}
