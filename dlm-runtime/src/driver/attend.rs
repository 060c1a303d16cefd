//! What the thread does that reads for tasks when nobody else does. It runs no callback.

use std::sync::{Arc, Weak};
use std::time::Instant;

use super::device::Device;
use super::face::Face;
use super::shared::Driver;
use super::signal::{AsFd, Signal, wait_any};
use super::sleep::{SLICE, earliest};
use crate::threads::atomic::Ordering;
use crate::threads::deadline_after;

impl<F: Face> Driver<F> {
    /// One round of the thread. `None`: the thread ends. Otherwise until when it may sleep.
    fn attend_once(&self) -> Option<(Arc<Device>, Option<Instant>)> {
        if let Err(kind) = self.serve_alarms().and_then(|()| self.read_all()) {
            self.end_reading(&kind);
        }
        loop {
            for waker in self.due.take_wakers() {
                self.guarded(|| waker.wake());
            }
            let device = self.slot.get().ok();
            let is_needed = || {
                self.due.has_wakers()
                    || device.is_some() && !self.others_read() && self.has_waiting_tasks()
            };
            if self.task_reader.ends(|| !is_needed()) {
                return None;
            }
            if let Some(device) = device.filter(|_| !self.due.has_wakers()) {
                return Some((device, self.next_alarm()));
            }
        }
    }
}

/// The thread.
pub(crate) fn attend<F: Face>(driver: &Weak<Driver<F>>, bell: &Signal) {
    while let Some(strong) = driver.upgrade() {
        let Some((device, until)) = strong.attend_once() else { return };
        let is_short = strong.is_read_short.swap(false, Ordering::Relaxed);
        // The driver may go while this thread sleeps.
        drop(strong);
        let slept = sleep(&device, bell, until, is_short);
        bell.clear();
        drop(device);
        let Some(strong) = driver.upgrade() else { return };
        if slept.unwrap_or(true) {
            if let Err(kind) = strong.check_removed() {
                strong.end_reading(&kind);
            }
        }
        if slept.is_err() {
            // Another one is started when a task waits anew.
            strong.task_reader.ends(|| true);
            return;
        }
    }
}

/// Sleeps until there is something to do, and tells whether the lockspace may have been removed.
fn sleep(
    device: &Device,
    bell: &Signal,
    until: Option<Instant>,
    is_short: bool,
) -> nix::Result<bool> {
    let mut sources = heapless::Vec::<_, 3>::new();
    let _ = sources.push(bell.as_fd());
    let watch = device.removal().ok();
    let _ = sources.extend_from_slice(watch.as_slice());
    // Results that cannot be read for want of memory must not keep it from sleeping.
    if !is_short {
        let _ = sources.push(device.results());
    }
    let slice = if is_short || watch.is_none() { deadline_after(SLICE) } else { None };
    let [_, is_removed, ..] = wait_any(&sources, earliest(until, slice))?;
    Ok(is_removed || watch.is_none())
}
