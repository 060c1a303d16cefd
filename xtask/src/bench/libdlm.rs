//! The C libraries, and ours in their place, and the benchmark's program for them. Theirs are fetched from Debian's archive,
//! not installed: nothing else on this machine shall find them.

use anyhow::{Context, Result};
use std::fs;
use std::path::Path;
use std::process::Command;

use dlm_lab::vm::apt::output;
use dlm_lab::vm::store::workspace_root;
use dlm_lab::vm::unpacked;

/// Where the packages put libraries.
const LIBRARIES: &str = "usr/lib/x86_64-linux-gnu";

/// Programs to build: their names, which are those of the libraries, and what it takes beside that.
const PROGRAMS: [(&str, &[&str]); 2] = [("libdlm_lt", &[]), ("libdlm", &["-DTHREADED"])];

/// Puts the programs into a folder, and the libraries into its folder `lib`.
pub(super) fn build(folder: &Path) -> Result<()> {
    let root = unpacked::libdlm()?;
    let (headers, libraries) = (root.join("usr/include"), root.join(LIBRARIES));
    let source = workspace_root().join("dlm-runtime/benches/libdlm.c");
    fs::create_dir_all(folder.join("lib"))?;
    for (name, more) in PROGRAMS {
        output(
            Command::new("cc")
                .args(["-std=gnu11", "-O2", "-pthread", "-Wall", "-Wextra", "-Werror"])
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
            .with_context(|| format!("package libdlm3 has no {library}"))?;
    }
    // Ours, for the same programs.
    let ours = crate::capi::build()?;
    fs::create_dir_all(folder.join("capi"))?;
    for (name, _) in PROGRAMS {
        let library = format!("{name}.so.3");
        fs::copy(ours.join(&library), folder.join("capi").join(&library))?;
    }
    Ok(())
}
