//! Debian's cluster programs, fetched once and unpacked, not installed.

use crate::vm::unpacked::unpacked_from;
use anyhow::Result;
use std::path::PathBuf;

/// The suite that they come from, whatever this machine runs.
const SUITE: &str = "bookworm";

/// The programs and every library of theirs that not each Debian has.
const PACKAGES: [&str; 26] = [
    "corosync",
    "dlm-controld",
    "libcap2",
    "libcfg7",
    "libcmap4",
    "libcorosync-common4",
    "libcpg4",
    "libdlm3",
    "libdlmcontrol3",
    "libgcrypt20",
    "libgpg-error0",
    "libknet1",
    "liblz4-1",
    "liblzma5",
    "libnl-3-200",
    "libnl-route-3-200",
    "libnozzle1",
    "libqb100",
    "libquorum5",
    "libssl3",
    "libstatgrab10",
    "libsystemd0",
    "libuuid1",
    "libvotequorum8",
    "libzstd1",
    "zlib1g",
];

/// The folder that they were unpacked into. The caller does not hold the store alone.
///
/// # Errors
///
/// When the archive cannot be reached or does not have one of them.
pub(super) fn fetch() -> Result<PathBuf> {
    unpacked_from(SUITE, "cluster-packages", &PACKAGES)
}
