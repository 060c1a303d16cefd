//! Sequences of actions with the checks of the fuzz target: those kept for the fuzzer in
//! `fuzz/corpus/core`, and random ones.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::fs;
use std::path::Path;

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

/// Numbers that look random and are the same in each run.
struct Numbers(u64);

impl Numbers {
    fn byte(&mut self) -> u8 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let [.., byte, _, _, _] = mixed.to_le_bytes();
        byte
    }
}

#[test]
fn random_actions() {
    let number = |name: &str| std::env::var(name).ok().and_then(|it| it.parse().ok());
    let first: u64 = number("DLM_CORE_SEED").unwrap_or(0);
    for seed in first..first + number("DLM_CORE_ROUNDS").unwrap_or(3_000) {
        let mut numbers = Numbers(seed << 32);
        let bytes: Vec<u8> = (0..3 + 6 * 80).map(|_| numbers.byte()).collect();
        println!("seed {seed}");
        dlm_core_fuzzing::core(&bytes);
    }
}
