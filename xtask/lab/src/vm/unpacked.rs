//! Packages of Debian's archive, unpacked into the store and not installed: nothing else on this
//! machine shall find them.

use anyhow::Result;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::vm::apt::{self, Apt, output};
use crate::vm::image::merged;
use crate::vm::progress::slow;
use crate::vm::store::{Access, Store, remove_all};

/// The folder with what is in the packages, fetched when it is not there. It has the given name
/// in the store.
///
/// The packages are those of this machine's release, whose compiler is to link what is in them
/// and whose C library they need.
///
/// # Errors
///
/// When they cannot be fetched or unpacked.
pub fn unpacked(name: &str, packages: &[&str]) -> Result<PathBuf> {
    unpacked_from(&apt::codename()?, name, packages)
}

/// As [`unpacked`], for packages of this release.
///
/// # Errors
///
/// When they cannot be fetched or unpacked.
pub fn unpacked_from(suite: &str, name: &str, packages: &[&str]) -> Result<PathBuf> {
    let store = Store::open()?;
    let folder = store.path(name);
    // It comes into being as a whole, and nothing of it is ever changed.
    if folder.exists() {
        return Ok(folder);
    }
    let _guard = store.lock(Access::Alone)?;
    // Perhaps made by another process in the meantime.
    if folder.exists() {
        return Ok(folder);
    }
    let apt = Apt::for_suite(&store, suite)?;
    let lists = slow(format!("downloading the package lists of {suite}"));
    apt.update()?;
    drop(lists);
    unpack(&store, &apt, packages, &folder)?;
    Ok(folder)
}

/// Downloads packages, and unpacks them into a folder, which comes into being as a whole. The caller
/// holds the store alone.
///
/// # Errors
///
/// When they cannot be fetched or unpacked.
pub(crate) fn unpack(store: &Store, apt: &Apt, packages: &[&str], folder: &Path) -> Result<()> {
    let work = store.scratch("packages")?;
    let tree = work.join("tree");
    fs::create_dir_all(&tree)?;
    for name in packages {
        let package = apt.package(name)?;
        let _slow = slow(format!("downloading {name} ({} MiB)", package.size / (1 << 20)));
        apt.download(&package, &work)?;
        for file in fs::read_dir(&work)? {
            let file = file?.path();
            if file.extension().is_some_and(|extension| extension == "deb") {
                output(Command::new("dpkg-deb").arg("-x").args([&file, &tree]))?;
                fs::remove_file(file)?;
            }
        }
    }
    if let Some(parent) = folder.parent() {
        fs::create_dir_all(parent)?;
    }
    remove_all(folder)?;
    fs::rename(tree, folder)?;
    remove_all(&work)
}

/// Where a guest has a library of packages that were unpacked into this folder, or one of this
/// machine.
#[must_use]
pub fn place_in_guest(packages: &Path, library: &Path) -> String {
    let own = library.strip_prefix(packages).map(|path| Path::new("/").join(path));
    merged(&own.unwrap_or_else(|_| library.to_path_buf()))
}

/// C libdlm of Debian: its libraries, its header, and its manual.
///
/// # Errors
///
/// As for [`unpacked`].
pub fn libdlm() -> Result<PathBuf> {
    unpacked("libdlm", &["libdlm3", "libdlm-dev"])
}
