//! The scenarios of `tests/scenarios` on the engine, as each kernel.

use dlm_tests::scenario::on_engine;

include!(concat!(env!("OUT_DIR"), "/engine.rs"));
