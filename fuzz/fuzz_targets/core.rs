//! `dlm_core_fuzzing::core` under libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| dlm_core_fuzzing::core(bytes));
