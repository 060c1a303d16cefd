//! Messages that must be read although the process ends at once.
//!
//! The test harness keeps what the print macros print until the test has ended, which one that
//! exits never does. What is written here it does not see.

use std::fmt::Display;
use std::io::Write;

use dlm_tests::Place;

/// Writes a line to standard error.
pub(crate) fn tell(line: impl Display) {
    // Nowhere is left to complain to.
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

/// What repeats the choices of this run, on a machine that has this workspace.
pub(crate) fn command(place: &Place, seed: u64, operations: u64) -> String {
    let rest = if place.is_kernel() {
        let kernel = place.pick("6.1", "6.12");
        format!("xtask test --kernel {kernel} isolated::stress")
    } else {
        let profile = place.pick("6_1", "6_12");
        format!("test -p dlm-tests --test isolated stress::on_engine_{profile}")
    };
    format!("DLM_SEED={seed} DLM_OPERATIONS={operations} cargo {rest}")
}
