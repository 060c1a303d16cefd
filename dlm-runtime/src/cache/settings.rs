//! What a cache goes by.

use std::time::Duration;

/// What a cache goes by.
#[derive(Debug, Clone)]
pub(super) struct Options {
    pub(super) capacity: usize,
    pub(super) idle: Option<Duration>,
    pub(super) minimum_hold: Duration,
    pub(super) longest_hold: Duration,
    pub(super) pause: Duration,
    pub(super) value_blocks: bool,
    pub(super) workers: usize,
    pub(super) has_delivery: bool,
}
