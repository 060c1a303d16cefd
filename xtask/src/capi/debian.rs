//! Debian's packages of libdlm, unpacked where nothing but we find them.

use anyhow::Result;
use std::path::PathBuf;

use dlm_lab::vm::unpacked;

/// Where they are.
#[derive(Debug)]
pub(super) struct Debian {
    pub(super) headers: PathBuf,
    pub(super) libraries: PathBuf,
}

impl Debian {
    pub(super) fn fetch() -> Result<Self> {
        let root = unpacked::libdlm()?;
        let libraries = root.join("usr/lib/x86_64-linux-gnu");
        Ok(Self { headers: root.join("usr/include"), libraries })
    }
}
