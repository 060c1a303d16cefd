//! Sleeping until there is something to read.

use std::time::{Duration, Instant};

use dlm_sys::Errno;

use super::device::Device;
use super::face::Face;
use super::host::Host;
use super::shared::Driver;
use super::signal::Source;
use crate::error::ErrorKind;
use crate::threads::{atomic::Ordering, deadline_after};

/// The longest time that a thread sleeps that cannot be woken for want of a descriptor, or
/// cannot read results for want of memory.
pub(crate) const SLICE: Duration = Duration::from_millis(20);

/// How often a thread that cannot watch for it looks whether the lockspace was removed.
const LOOK_AROUND: Duration = Duration::from_secs(1);

impl<F: Face> Driver<F> {
    /// Sleeps until one of these is readable, the lockspace is removed, or time is up: the results
    /// of the device, if they are wanted, and others. Tells whether the first of the others is.
    pub(crate) async fn sleep(
        &self,
        host: &impl Host<F>,
        device: &Device,
        wants_results: bool,
        others: &[Source<'_>],
        until: Option<Instant>,
    ) -> Result<bool, ErrorKind> {
        let mut sources = heapless::Vec::<Source<'_>, 6>::new();
        let mut limit = None;
        // Results that cannot be read for want of memory must not keep it from sleeping.
        if self.is_read_short.swap(false, Ordering::Relaxed) {
            limit = Some(SLICE);
        } else if wants_results {
            let _ = sources.push(device.results());
        }
        let first = sources.len();
        let _ = sources.extend_from_slice(others);
        let watch = sources.len();
        match device.removal() {
            Ok(removal) => _ = sources.push(removal),
            // Without a descriptor for it, this looks from time to time.
            Err(error) => {
                if error.errno() == Some(Errno::ENODEV) {
                    self.check_removed()?;
                }
                limit = limit.or(Some(LOOK_AROUND));
            }
        }
        let until = earliest(until, limit.and_then(deadline_after));
        let ready = host.sleep(&sources, until).await?;
        let is_ready = |at: usize| ready.get(at).copied().unwrap_or(false);
        if watch == sources.len() || is_ready(watch) {
            self.check_removed()?;
        }
        Ok(!others.is_empty() && is_ready(first))
    }
}

/// The earlier one of two points in time.
pub(crate) fn earliest(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}
