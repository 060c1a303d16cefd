//! What must be read although the process ends at once.
//!
//! The test harness keeps what the print macros print until the test has ended, which one that
//! exits never does. What is written here it does not see.

use std::fmt::Display;
use std::io::Write;

use dlm_tests::Kernel;

/// Writes a line to standard error.
pub(crate) fn tell(line: impl Display) {
    // Nowhere is left to complain to.
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

/// What repeats the choices of this run, on a machine that has this workspace.
pub(crate) fn command(seed: u64, operations: u64) -> String {
    let kernel = Kernel::pick("6.1", "6.12");
    format!(
        "DLM_SEED={seed} DLM_OPERATIONS={operations} cargo xtask test --kernel {kernel} \
         runtime_stress"
    )
}
