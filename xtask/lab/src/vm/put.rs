//! Puts files of this machine into the guest.

use crate::vm::link::Call;
use anyhow::{Context, Result};
use dlm_guest::wire::{CHUNK, Entry, Request};
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Sends a file given as bytes.
pub(crate) fn bytes(call: &Call, path: &Path, mode: u32, content: &[u8]) -> Result<()> {
    let path = path.as_os_str().as_bytes().to_vec();
    call.send(&Request::Entry(Entry::File { path, mode }))?;
    for part in content.chunks(CHUNK) {
        call.send(&Request::Data(part.to_vec()))?;
    }
    Ok(())
}

/// Sends a file of this machine with its mode.
pub(crate) fn file(call: &Call, from: &Path, to: &Path) -> Result<()> {
    let mut file = File::open(from).with_context(|| format!("cannot read {}", from.display()))?;
    let mode = file.metadata()?.permissions().mode() & 0o7777;
    let path = to.as_os_str().as_bytes().to_vec();
    call.send(&Request::Entry(Entry::File { path, mode }))?;
    loop {
        let mut part = vec![0; CHUNK];
        let length = file.read(&mut part)?;
        if length == 0 {
            return Ok(());
        }
        part.truncate(length);
        call.send(&Request::Data(part))?;
    }
}

/// Sends a folder with all that is in it: folders, files and links. `each` sees every file.
/// Sockets, pipes and devices have no use in the guest and are left out.
pub(crate) fn folder(
    call: &Call,
    from: &Path,
    to: &Path,
    each: &mut dyn FnMut(&Path) -> Result<()>,
) -> Result<()> {
    let metadata = fs::metadata(from).with_context(|| format!("cannot read {}", from.display()))?;
    let (path, mode) = (to.as_os_str().as_bytes().to_vec(), metadata.permissions().mode() & 0o7777);
    call.send(&Request::Entry(Entry::Folder { path, mode }))?;
    let entries = fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))?;
    for entry in entries {
        let entry = entry?;
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type()?;
        if kind.is_dir() {
            folder(call, &from, &to, each)?;
        } else if kind.is_symlink() {
            let path = to.as_os_str().as_bytes().to_vec();
            let target = fs::read_link(&from)?.as_os_str().as_bytes().to_vec();
            call.send(&Request::Entry(Entry::Link { path, target }))?;
        } else if kind.is_file() {
            each(&from)?;
            file(call, &from, &to)?;
        }
    }
    Ok(())
}
