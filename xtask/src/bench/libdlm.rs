//! The C libraries and the benchmark's program for them. They are fetched from Debian's archive,
//! not installed: nothing else on this machine shall find them.

use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::vm::apt::{self, Apt, output};
use crate::vm::progress::slow;
use crate::vm::store::{Access, Store, remove_all, workspace_root};

/// The libraries, and the header with what it takes to link them.
const PACKAGES: [&str; 2] = ["libdlm3", "libdlm-dev"];

/// Where the packages put libraries.
const LIBRARIES: &str = "usr/lib/x86_64-linux-gnu";

/// Programs to build: their names, which are those of the libraries, and what it takes beside that.
const PROGRAMS: [(&str, &[&str]); 2] =
    [("libdlm_lt", &[]), ("libdlm", &["-DTHREADED", "-pthread"])];

/// Puts the programs into a folder, and the libraries into its folder `lib`.
pub(super) fn build(folder: &Path) -> Result<()> {
    let root = fetch()?;
    let (headers, libraries) = (root.join("usr/include"), root.join(LIBRARIES));
    let source = workspace_root().join("dlm-runtime/benches/libdlm.c");
    fs::create_dir_all(folder.join("lib"))?;
    for (name, more) in PROGRAMS {
        output(
            Command::new("cc")
                .args(["-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror"])
                .args(more)
                .arg("-I")
                .arg(&headers)
                .arg("-o")
                .args([&folder.join(name), &source])
                .arg("-L")
                .arg(&libraries)
                .arg(name.replacen("lib", "-l", 1)),
        )?;
        let library = format!("{name}.so.3");
        fs::copy(libraries.join(&library), folder.join("lib").join(&library))
            .with_context(|| format!("package {} has no {library}", PACKAGES[0]))?;
    }
    Ok(())
}

/// The folder of the unpacked packages.
fn fetch() -> Result<PathBuf> {
    let store = Store::open()?;
    let folder = store.path("libdlm");
    // It comes into being as a whole, and nothing of it is ever changed.
    if folder.exists() {
        return Ok(folder);
    }
    let _guard = store.lock(Access::Alone)?;
    let work = store.scratch("libdlm")?;
    fs::create_dir_all(&work)?;
    // That of this machine, whose compiler is to link it and whose C library the guest has.
    let suite = apt::codename()?;
    let apt = Apt::for_suite(&store, &suite)?;
    let _slow = slow(format!("downloading {} from {suite}", PACKAGES.join(" and ")));
    apt.update()?;
    let tree = work.join("tree");
    for name in PACKAGES {
        let package = apt.package(name)?;
        apt.download(&package, &work)?;
        for file in fs::read_dir(&work)? {
            let file = file?.path();
            if file.extension().is_some_and(|extension| extension == "deb") {
                output(Command::new("dpkg-deb").arg("-x").args([&file, &tree]))?;
                fs::remove_file(file)?;
            }
        }
    }
    remove_all(&folder)?;
    fs::rename(tree, &folder)?;
    remove_all(&work)?;
    Ok(folder)
}
