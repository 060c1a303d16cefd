//! `dlm_proto::fuzzing::version` under libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| dlm_proto::fuzzing::version(bytes));
