//! The scenarios of `tests/scenarios` of which the kernel warns in its log.

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use dlm_tests::scenario::{Devices, rerecord, run, scenario};

fn on_kernel(name: &str) {
    if std::env::var_os("DLM_SCENARIOS").is_some_and(|value| value == "print") {
        print!("{}", rerecord(Devices::new(), &scenario(name)).expect("it can be done"));
        return;
    }
    if let Err(error) = run(Devices::new(), &scenario(name)) {
        panic!("{error}");
    }
}

include!(concat!(env!("OUT_DIR"), "/kernel_warns.rs"));
