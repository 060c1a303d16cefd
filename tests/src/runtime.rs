//! Lockspaces of dlm-runtime.

use dlm_runtime::Lockspace;

/// Creates a lockspace and opens it once more: two owners that compete for locks.
///
/// # Panics
///
/// If the kernel refuses.
#[must_use]
#[track_caller]
pub fn open_twice(name: &str) -> (Lockspace, Lockspace) {
    match (Lockspace::create(name), Lockspace::open(name)) {
        (Ok(first), Ok(second)) => (first, second),
        (Err(error), _) | (_, Err(error)) => panic!(
            "this test needs a DLM device and root; cargo xtask test runs it in a VM\n  {error}"
        ),
    }
}
