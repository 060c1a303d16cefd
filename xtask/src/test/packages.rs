//! The packages as a user of crates.io gets them, a small program built against them, and the program
//! `dlm` installed from them; and dlm-runtime with each of its features alone.

use anyhow::{Context, Result, ensure};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use dlm_lab::cargo::cargo;
use dlm_lab::vm::store::workspace_root;

use super::tally::Tally;

/// The packages that can be published, each after those that it needs.
const PACKAGES: [&str; 8] = [
    "dlm-proto",
    "dlm-sys",
    "dlm-random",
    "dlm-core",
    "dlm-engine",
    "dlm-runtime",
    "dlm-capi",
    TOOL,
];

/// The one that is installed.
const TOOL: &str = "dlm-cli";

/// Sets of features of dlm-runtime. (They meet in nothing but the set of all, which the lints see.)
const FEATURES: [&str; 6] = ["", "engine", "tokio", "async-io", "tracing", "serde"];

/// The program.
const PROGRAM: &str = include_str!("packages/program.rs");

pub(super) fn run(tally: &mut Tally) {
    println!("=== packages: cargo package, and a program built against them");
    match build() {
        Ok(()) => tally.check("packages", true),
        Err(error) => tally.fail(format!("packages: {error:#}")),
    }
    for features in FEATURES {
        let name = format!("features of dlm-runtime: {features:?}");
        println!("=== {name}");
        let line =
            ["clippy", "--quiet", "-p", "dlm-runtime", "--no-default-features", "--features"];
        match succeed(cargo(&line).args([features, "--", "-D", "warnings"])) {
            Ok(()) => tally.check(&name, true),
            Err(error) => tally.fail(format!("{name}: {error:#}")),
        }
    }
}

fn build() -> Result<()> {
    let target = std::env::var_os("CARGO_TARGET_DIR");
    let target = target.map_or_else(|| workspace_root().join("target"), Into::into);
    let folder = workspace_root().join("target/packages");
    // Without a lock file, for which cargo would ask the registry.
    let mut package = cargo(&["package", "--quiet", "--allow-dirty", "--no-verify"]);
    package.arg("--exclude-lockfile").args(PACKAGES.iter().flat_map(|name| ["-p", name]));
    succeed(&mut package)?;
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(folder.join("src"))?;
    let version = env!("CARGO_PKG_VERSION");
    let mut manifest = format!(
        "[package]\nname = \"program\"\nedition = \"2024\"\n\n[workspace]\n\
         members = [\"{TOOL}-{version}\"]\n\n[dependencies]\n\
         dlm-runtime = {{ version = \"{version}\", features = [\"engine\", \"tracing\"] }}\n\
         dlm-capi = \"{version}\"\n\
         tracing = {{ version = \"0.1.40\", default-features = false }}\n\n[patch.crates-io]\n"
    );
    for name in PACKAGES {
        let packed = format!("{name}-{version}");
        let archive = target.join("package").join(format!("{packed}.crate"));
        succeed(Command::new("tar").arg("-xzf").arg(&archive).arg("-C").arg(&folder))?;
        for file in ["README.md", "LICENSE-MIT", "LICENSE-APACHE"] {
            has_text(&folder.join(&packed).join(file))?;
        }
        writeln!(manifest, "{name} = {{ path = \"{packed}\" }}")?;
    }
    fs::write(folder.join("Cargo.toml"), manifest)?;
    fs::write(folder.join("src/main.rs"), PROGRAM)?;
    // The versions that everything else is tested with.
    fs::copy(workspace_root().join("Cargo.lock"), folder.join("Cargo.lock"))?;
    let built = target.join("packages/target");
    let mut program = cargo(&["run", "--quiet"]);
    succeed(program.current_dir(&folder).env("CARGO_TARGET_DIR", &built))?;
    // As from crates.io, but with the versions of the lock file, which the first has made fit.
    let mut install =
        cargo(&["install", "--quiet", "--locked", "--debug", "--no-track", "--force"]);
    install.args(["--path", &format!("{TOOL}-{version}"), "--root"]).arg(built.join("installed"));
    succeed(install.current_dir(&folder).env("CARGO_TARGET_DIR", &built))?;
    succeed(Command::new(built.join("installed/bin/dlm")).args(["--engine", "why", "disk0"]))
}

fn has_text(file: &Path) -> Result<()> {
    let text = fs::read_to_string(file).with_context(|| format!("no {}", file.display()))?;
    ensure!(text.len() > 100, "{} says nothing", file.display());
    Ok(())
}

fn succeed(command: &mut Command) -> Result<()> {
    let line = format!("{command:?}");
    let status = command.status().with_context(|| format!("cannot run {line}"))?;
    ensure!(status.success(), "{line}: {status}");
    Ok(())
}
