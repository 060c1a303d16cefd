//! The scenarios of `tests/scenarios` on the kernel that runs, but for those that make it warn.

use dlm_tests::scenario::on_kernel;

include!(concat!(env!("OUT_DIR"), "/kernel.rs"));
