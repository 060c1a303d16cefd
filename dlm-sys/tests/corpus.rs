//! Replays the inputs kept for the fuzzer in `fuzz/corpus/misc`, with the same checks.
//!
//! `cargo test -p dlm-sys --test corpus -- --ignored` writes the seeds there. An input that once
//! broke something is to be added by hand, under a name that says what it was.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::fs;
use std::path::{Path, PathBuf};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/misc")
}

/// A list as a Debian kernel with a lockspace shows it, and what could stand in one.
const LISTS: [(&str, &str, &str); 8] = [
    ("found", "one", "121 dlm_one\n 58 dlm-monitor\n  7 dlm-control\n235 autofs\n"),
    ("device", "dlm-control", "121 dlm_one\n  7 dlm-control\n183 hw_random\n"),
    ("blanks", "a b", "263 dlm_a b\n264 dlm_a\n"),
    ("twice", "x", "1 dlm_x\n2 dlm_x\n3 x\n"),
    ("prefix-only", "", "58 dlm_\n59 \n"),
    ("large", "x", "1048575 dlm_x\n4294967295 x\n4294967296 dlm_x\n"),
    ("no-number", "x", "-1 dlm_x\n+1 x\n 1x dlm_x\nx y\n\n 12\n"),
    ("empty", "x", ""),
];

/// The input that asks for this name in this list; see `fuzzing::misc`.
fn input(name: &str, list: &str) -> Vec<u8> {
    let len = u8::try_from(name.len()).unwrap();
    [&[len], name.as_bytes(), &300_u32.to_ne_bytes(), list.as_bytes()].concat()
}

#[test]
fn inputs_for_misc() {
    let folder = folder();
    let files = fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut count = 0;
    for file in files {
        let path = file.unwrap().path();
        // Shown if the body panics.
        println!("{}", path.display());
        dlm_sys::fuzzing::misc(&fs::read(&path).unwrap());
        count += 1;
    }
    assert!(count > 0, "{} is empty", folder.display());
}

#[test]
#[cfg_attr(target_endian = "big", ignore = "the files were written on a little-endian machine")]
fn seeds_are_up_to_date() {
    for (seed, name, list) in LISTS {
        let path = folder().join(seed);
        let bytes = fs::read(&path).unwrap_or_default();
        assert!(bytes == input(name, list), "{} is old: see the top of this file", path.display());
    }
}

#[test]
#[ignore = "writes fuzz/corpus/misc"]
fn write_seeds() {
    fs::create_dir_all(folder()).unwrap();
    for (seed, name, list) in LISTS {
        fs::write(folder().join(seed), input(name, list)).unwrap();
    }
}
