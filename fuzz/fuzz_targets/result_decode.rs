//! `dlm_proto::fuzzing::result_decode` under libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| dlm_proto::fuzzing::result_decode(bytes));
