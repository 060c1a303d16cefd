//! What a user polls: one descriptor for all that a lockspace has to report.

use nix::errno::Errno;

use crate::device::Slot;
use crate::error::ErrorKind;
use crate::signal::{AsFd, PollSet, Signal, Source};
use crate::sync::{Mutex, lock};

/// Whether the device is among what is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Device {
    /// Nobody has asked for the descriptor yet. Being looked at costs the kernel some work for each
    /// result, which those who only make blocking calls need not pay.
    Left,
    Watched,
    Failed(Errno),
}

/// A descriptor that is readable while a lockspace has something to report.
pub(crate) struct Lookout {
    set: PollSet,
    device: Mutex<Device>,
    /// Makes the descriptor readable when the device cannot be looked at.
    failure: Signal,
}

impl Lookout {
    /// `others`: what else makes it readable.
    pub(crate) fn new(others: &[Source<'_>]) -> nix::Result<Self> {
        let (set, failure) = (PollSet::new(others)?, Signal::new()?);
        set.add(&failure.as_fd())?;
        Ok(Self { set, device: Mutex::new(Device::Left), failure })
    }

    /// The descriptor. If it cannot be had as it should be it is readable for ever, and
    /// [`Lookout::check`] tells why.
    pub(crate) fn source(&self, slot: &Slot) -> Source<'_> {
        let mut state = lock(&self.device);
        if *state == Device::Left {
            // Without a device it is readable because of that.
            if let Ok(device) = slot.get() {
                let added = [device.results(), device.removal()];
                *state = match added.iter().try_for_each(|source| self.set.add(source)) {
                    Ok(()) => Device::Watched,
                    Err(errno) => {
                        self.failure.set();
                        Device::Failed(errno)
                    }
                };
            }
        }
        self.set.as_fd()
    }

    /// Whether the descriptor shows what it should.
    pub(crate) fn check(&self) -> Result<(), ErrorKind> {
        match *lock(&self.device) {
            Device::Failed(errno) => Err(errno.into()),
            Device::Left | Device::Watched => Ok(()),
        }
    }
}
