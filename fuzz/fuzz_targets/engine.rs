//! `dlm_engine::fuzzing::engine` under libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| dlm_engine::fuzzing::engine(bytes));
