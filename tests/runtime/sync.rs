//! Ready-made coordination on one node: threads and tasks of two owners.

mod bell;
mod counted;
mod crowd;
mod data;
mod given_up;
mod leader;

use std::io;

use dlm_runtime::sync::Record;
use dlm_runtime::{DeliveryThread, Lockspace};
use dlm_tests::{Place, block_on};

/// Two owners on a node, whose results are read.
struct Two {
    one: Lockspace,
    two: Lockspace,
    deliveries: [DeliveryThread; 2],
}

impl Two {
    fn new(place: &Place, name: &str) -> Self {
        let (one, two) = place.open_twice(name);
        let deliveries = [&one, &two].map(|space| space.start_delivery().unwrap());
        Self { one, two, deliveries }
    }

    /// Nothing of what was done is left.
    fn end(self) {
        let Self { one, two, deliveries } = self;
        for space in [&one, &two] {
            block_on(space.flush_drops()).unwrap();
            assert_eq!(space.lock_count(), 0);
        }
        drop(deliveries);
        two.close().unwrap();
        one.release().unwrap();
    }
}

/// A record that cannot be written.
#[derive(Debug)]
struct Broken;

impl Record for Broken {
    fn last(&self) -> io::Result<u64> {
        Ok(0)
    }

    fn record(&self, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::StorageFull.into())
    }
}
