//! The scenarios of `tests/scenarios` on the engine, as each kernel.

#![allow(clippy::panic, reason = "tests")]

use dlm_tests::Kernel;
use dlm_tests::scenario::{EngineDevices, run, scenario};

fn on_engine(name: &str) {
    for kernel in [Kernel::V6_1, Kernel::V6_12] {
        if let Err(error) = run(EngineDevices::new(kernel), &scenario(name)) {
            panic!("as {kernel:?}: {error}");
        }
    }
}

include!(concat!(env!("OUT_DIR"), "/engine.rs"));
