//! What the examples share: the lock manager that they are to use. One of them has no
//! prelude of `std`.

use std::boxed::Box;
use std::error::Error;
use std::sync::Arc;

use dlm_runtime::backend::{Backend, Kernel};
use dlm_runtime::engine::Cluster;

pub(crate) type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// The kernel's lock manager; with the argument `--engine` one in this process.
pub(crate) fn backend() -> Result<Arc<dyn Backend>> {
    match std::env::args().nth(1).as_deref() {
        None => Ok(Arc::new(Kernel)),
        Some("--engine") => Ok(Arc::new(Cluster::default().node(1))),
        Some(other) => {
            Err(std::format!("what is {other}? (--engine does without a kernel)").into())
        }
    }
}
