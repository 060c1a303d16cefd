//! Sequences of actions with the checks of the fuzz target: those kept for the fuzzer in
//! `fuzz/corpus/core`, and random ones.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::fs;
use std::path::Path;

use dlm_random::Random;

#[test]
fn inputs_for_core() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../fuzz/corpus/core");
    let files = fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut count = 0;
    for file in files {
        let path = file.unwrap().path();
        println!("{}", path.display());
        dlm_core_fuzzing::core(&fs::read(&path).unwrap());
        count += 1;
    }
    assert!(count > 0, "{} is empty", folder.display());
}

#[test]
fn random_actions() {
    let number = |name: &str| std::env::var(name).ok().and_then(|it| it.parse().ok());
    let first: u64 = number("DLM_CORE_SEED").unwrap_or(0);
    for seed in first..first + number("DLM_CORE_ROUNDS").unwrap_or(3_000) {
        let mut numbers = Random::new(seed << 32);
        let bytes: Vec<u8> = (0..3 + 6 * 80).map(|_| numbers.byte()).collect();
        println!("seed {seed}");
        dlm_core_fuzzing::core(&bytes);
    }
}
