//! Random programs that keep the rules: the monitor has nothing to report.
//!
//! Each has several threads, whose writes overlap, and some devices. A program follows the
//! rules of `dlm_engine::strict`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod program;
#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeMap;

use dlm_engine::Profile;
use program::Program;

/// What each program does now and then.
const TRIED: [&str; 9] = [
    "locks",
    "conversions",
    "cancels",
    "forced",
    "unlocks",
    "refused",
    "early",
    "blocks",
    "closed",
];

#[test]
fn programs_that_keep_the_rules_are_not_reported() {
    let rounds = std::env::var("DLM_ENGINE_ROUNDS").ok().and_then(|it| it.parse().ok());
    let mut seen = BTreeMap::new();
    for seed in 0..rounds.unwrap_or(400) {
        for profile in Profile::ALL {
            println!("seed {seed}, {profile:?}");
            let mut program = Program::new(profile, seed);
            for _ in 0..300 {
                program.step();
            }
            for device in &mut program.devices {
                assert_eq!(device.strict().reported(), []);
            }
            for (what, count) in program.seen {
                *seen.entry(what).or_insert(0) += count;
            }
        }
    }
    println!("{seen:?}");
    for what in TRIED {
        assert!(seen.get(what) > Some(&400), "{what} is hardly tried: {seen:?}");
    }
}
