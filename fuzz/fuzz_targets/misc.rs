//! `dlm_sys::fuzzing::misc` under libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| dlm_sys::fuzzing::misc(bytes));
