//! `dlm_runtime::inspect::fuzz_dump` under libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| dlm_runtime::inspect::fuzz_dump(bytes));
