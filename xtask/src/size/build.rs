//! Builds the static program and its counterparts in C, with symbols and stripped.

use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use dlm_lab::cargo;
use dlm_lab::vm::store::workspace_root;

/// One program, built.
#[derive(Debug)]
pub struct Built {
    /// What it is, for a table.
    pub what: &'static str,
    /// Its file name.
    pub name: &'static str,
    /// With symbols and line table.
    pub full: PathBuf,
    /// With neither.
    pub stripped: PathBuf,
}

/// Every program.
#[derive(Debug)]
pub struct Programs {
    /// The one in Rust.
    pub rust: Built,
    /// The same in C: with a C library, and without.
    pub c: [Built; 2],
    /// Another one in Rust, which goes through all of what dlm-proto does.
    pub records: Built,
    /// One that drives dlm-core. It has an allocator.
    pub core: Built,
}

impl Programs {
    /// All of them, in the order of the table.
    pub fn all(&self) -> impl Iterator<Item = &Built> {
        std::iter::once(&self.rust).chain(&self.c).chain([&self.records, &self.core])
    }
}

/// Without start code and C library. The linker's options are those of the Rust program, see
/// `dlm-sys/static/.cargo/config.toml`; the others keep gcc from adding what rustc does not.
const BARE: &[&str] = &[
    "-flto",
    "-nostdlib",
    "-ffreestanding",
    "-fno-stack-protector",
    "-fno-asynchronous-unwind-tables",
    "-Wl,--build-id=none,-z,noseparate-code,-z,norelro",
    "by_hand.c",
    "bare.c",
];

/// The folder of the package.
#[must_use]
pub fn folder() -> PathBuf {
    workspace_root().join("dlm-sys/static")
}

/// A cargo command for the package. It is run in its folder, whose configuration makes the program
/// static; options from the environment would replace those.
#[must_use]
pub fn cargo_there(arguments: &[&str]) -> Command {
    let mut command = cargo::cargo(arguments);
    command
        .current_dir(folder())
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env_remove("CARGO_BUILD_TARGET");
    command
}

/// Builds them all.
///
/// # Errors
///
/// When one does not build, or there is no C compiler.
pub fn build() -> Result<Programs> {
    let out = workspace_root().join("target/static/size");
    fs::create_dir_all(&out).with_context(|| format!("cannot create {}", out.display()))?;
    let built = cargo::build_with(cargo_there(&["build", "--release"]))?;
    let in_rust = |what, name| -> Result<Built> {
        let program = built.iter().find(|program| program.name == name);
        let full = program.with_context(|| format!("cargo built no {name}"))?.path.clone();
        let stripped = strip(&full, &out.join(name))?;
        Ok(Built { what, name, full, stripped })
    };
    let c = [
        in_c("C, static glibc", "c-glibc", &["by_hand.c"], &out)?,
        in_c("C, no C library", "c-bare", BARE, &out)?,
    ];
    let rust = in_rust("Rust, no C library", "dlm-static")?;
    let records = in_rust("Rust, all of dlm-proto", "dlm-records")?;
    let core = in_rust("Rust, dlm-core", "dlm-core-static")?;
    Ok(Programs { rust, c, records, core })
}

fn in_c(what: &'static str, name: &'static str, arguments: &[&str], out: &Path) -> Result<Built> {
    let full = out.join(format!("{name}.full"));
    let status = Command::new("cc")
        .args(["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-static", "-Os"])
        .args(["-ffunction-sections", "-Wl,--gc-sections"])
        .args(arguments)
        .arg("-o")
        .arg(&full)
        .current_dir(folder().join("c"))
        .status()
        .context("cannot run cc (package gcc)")?;
    ensure!(status.success(), "cc failed on {name} ({})", arguments.join(" "));
    let stripped = strip(&full, &out.join(name))?;
    Ok(Built { what, name, full, stripped })
}

fn strip(from: &Path, to: &Path) -> Result<PathBuf> {
    let status = Command::new("strip")
        .args(["--strip-all", "-o"])
        .args([to, from])
        .status()
        .context("cannot run strip (package binutils)")?;
    ensure!(status.success(), "strip failed on {}", from.display());
    Ok(to.to_path_buf())
}
