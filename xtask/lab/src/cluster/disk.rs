//! The disk that all nodes of a cluster share.

use crate::vm::store::Store;
use anyhow::Result;
use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

/// The disk on the nodes. It is zeros at first.
pub const SHARED_DISK: &str = "/dev/vda";

/// What is not written takes no room.
const SIZE: u64 = 16 << 20;

/// A file without a name, which ends with this process.
#[derive(Debug)]
pub(super) struct Disk {
    /// Keeps it.
    _file: File,
    path: PathBuf,
}

impl Disk {
    pub(super) fn new(store: &Store) -> Result<Self> {
        let scratch = store.scratch("disk")?;
        let file = File::options().read(true).write(true).create_new(true).open(&scratch)?;
        fs::remove_file(&scratch)?;
        file.set_len(SIZE)?;
        let path = format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd()).into();
        Ok(Self { _file: file, path })
    }

    /// Where QEMU finds it, as often as a node is switched on.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}
