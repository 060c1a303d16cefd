//! The configuration of an engine.

use dlm_proto::Abi;

/// The kernel that an engine behaves like, where kernels differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Profile {
    /// Linux 6.1: six unread results a lock, read grouped by lock with the words of the moment of
    /// reading; a lock's id is in use until its last result is read.
    Linux6_1,
    /// Linux 6.12: any number of unread results, read in their order with the words of the moment
    /// of queueing; a lock's id is free when the lock is gone.
    Linux6_12,
}

impl Profile {
    /// Every profile.
    pub const ALL: [Self; 2] = [Self::Linux6_1, Self::Linux6_12];
}

/// The configuration of an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// The kernel to behave like.
    pub profile: Profile,
    /// The generation of layouts that the devices speak. In version 6 the width makes no
    /// difference: as on a 64-bit kernel, each session's requests say whether they are 64-bit ones.
    pub abi: Abi,
    /// All randomness comes from this number. One node uses none.
    pub seed: u64,
    /// The number of nodes of the cluster; they have the ids from 1 on.
    pub nodes: u32,
}

impl Config {
    /// One node of the given profile, with the layouts of today's kernels.
    #[must_use]
    pub const fn single(profile: Profile) -> Self {
        Self { profile, abi: Abi::V6_64, seed: 0, nodes: 1 }
    }
}
