//! `dlm_proto::fuzzing::debugfs` under libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| dlm_proto::fuzzing::debugfs(bytes));
