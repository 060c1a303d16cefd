//! The scenarios of `tests/scenarios` that make the kernel log a warning and a stack trace.
//!
//! They stand apart because such a warning is a failure elsewhere. Programs must never cause one:
//! a kernel may be set to panic on warnings.

use dlm_tests::scenario::on_kernel;

include!(concat!(env!("OUT_DIR"), "/kernel_warns.rs"));
