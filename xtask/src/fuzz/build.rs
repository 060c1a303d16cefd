//! Gets cargo-fuzz and builds the fuzzers with it.
//!
//! AddressSanitizer and coverage are unstable options of the compiler. They are in the stable one
//! too, as is the sanitizer's runtime, and `RUSTC_BOOTSTRAP=1` lets them through. So the fuzzers
//! are built by the compiler that builds everything else here, and a nightly one is not needed.

use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use dlm_lab::cargo::cargo;
use dlm_lab::vm::progress::slow;
use dlm_lab::vm::store::workspace_root;

/// What the options below were tried with.
const CARGO_FUZZ: &str = "0.13.2";

/// The machines that this workspace is developed on; its virtual machines are such as well.
const TRIPLE: &str = "x86_64-unknown-linux-gnu";

/// The fuzzers, built.
#[derive(Debug)]
pub(super) struct Fuzzers {
    folder: PathBuf,
}

impl Fuzzers {
    /// Builds what is not built yet.
    pub(super) fn build() -> Result<Self> {
        let program = cargo_fuzz()?;
        let place = place();
        let _slow = slow("building the fuzzers with AddressSanitizer");
        let output = Command::new(program)
            .args(["fuzz", "build", "--release", "--debug-assertions"])
            .args(["--sanitizer", "address", "--target", TRIPLE])
            .arg("--fuzz-dir")
            .arg(workspace_root().join("fuzz"))
            .arg("--target-dir")
            .arg(&place)
            .current_dir(workspace_root())
            .env("RUSTC_BOOTSTRAP", "1")
            .env("RUSTFLAGS", "-D warnings")
            .output()
            .context("cannot run cargo-fuzz")?;
        if !output.status.success() {
            bail!("the fuzzers do not build:\n{}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(Self { folder: place.join(TRIPLE).join("release") })
    }

    pub(super) fn program(&self, target: &str) -> PathBuf {
        self.folder.join(target)
    }
}

/// The folder of everything that fuzzing builds and finds.
pub(super) fn place() -> PathBuf {
    workspace_root().join("target/fuzz")
}

/// The committed inputs of a target.
pub(super) fn seeds(target: &str) -> PathBuf {
    workspace_root().join("fuzz/corpus").join(target)
}

/// The names of all targets, in order.
pub(super) fn targets() -> Result<Vec<String>> {
    let folder = workspace_root().join("fuzz/fuzz_targets");
    let files = fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))?;
    let mut names: Vec<_> = files
        .flatten()
        .map(|file| file.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
        .collect();
    names.sort();
    Ok(names)
}

/// The program, installed below `target` in the first run.
fn cargo_fuzz() -> Result<PathBuf> {
    let root = place().join(format!("cargo-fuzz-{CARGO_FUZZ}"));
    let program = root.join("bin/cargo-fuzz");
    if !program.exists() {
        let _slow = slow(format!("installing cargo-fuzz {CARGO_FUZZ} in {}", root.display()));
        install(&root)?;
    }
    Ok(program)
}

fn install(root: &Path) -> Result<()> {
    let output = cargo(&["install", "--locked", "--quiet", "cargo-fuzz", "--version", CARGO_FUZZ])
        .arg("--root")
        .arg(root)
        .stdin(Stdio::null())
        .output()
        .context("cannot run cargo install")?;
    if !output.status.success() {
        bail!(
            "cannot install cargo-fuzz {CARGO_FUZZ} from crates.io:\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(())
}
