//! Debian's compiler, with its standard library for another machine.
//!
//! The package `rustc-web` is kept up to date in all releases. It is unpacked and not installed, as it
//! would get in the way of the compiler that this machine has. Of one version there are libraries for
//! all machines, in the suite that has it for its own sake.

use anyhow::{Context, Result, bail};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::machines::Machine;
use crate::cargo::cargo;
use crate::vm::apt::{Apt, Package};
use crate::vm::progress::slow;
use crate::vm::provision;
use crate::vm::store::{Access, Store, remove_all, workspace_root};
use crate::vm::unpacked::unpack;

const COMPILER: &str = "rustc-web";
const LIBRARY: &str = "libstd-rust-web-dev";

/// The suite with the library for all machines.
const SUITE: &str = "trixie";

/// Where the compiler keeps libraries of machines.
const LIBRARIES: &str = "usr/lib/rustlib";

/// A compiler for another machine.
#[derive(Debug)]
pub struct Toolchain {
    machine: &'static Machine,
    rustc: PathBuf,
}

impl Toolchain {
    /// Fetches what is not there yet, and installs the linker and the emulator.
    ///
    /// # Errors
    ///
    /// When packages cannot be fetched or installed (then with the command to run by hand), or there is
    /// no library for the version of the compiler.
    pub fn prepare(machine: &'static Machine) -> Result<Self> {
        let store = Store::open()?;
        let _guard = store.lock(Access::Alone)?;
        let place = store.path("rust");
        let compiler = place.join(COMPILER);
        if !compiler.exists() {
            fetch_compiler(&store, &place)?;
        }
        let mut packages = machine.packages();
        packages.push(read(&place, "needs")?);
        let packages: Vec<_> = packages.iter().map(String::as_str).collect();
        provision::ensure_packages(&store, &packages)?;
        let library = place.join(machine.name);
        if !library.exists() {
            fetch_library(&store, machine, &read(&place, "version")?, &library)?;
        }
        let link = compiler.join(LIBRARIES).join(machine.target);
        if !link.exists() {
            remove_all(&link)?;
            symlink(library.join(LIBRARIES).join(machine.target), &link)?;
        }
        Ok(Self { machine, rustc: place.join("rustc") })
    }

    /// A cargo command that builds for the machine with this compiler, and runs what it builds under
    /// emulation. In a folder of its own, as what this machine runs meanwhile is built anew, too.
    #[must_use]
    pub fn cargo(&self, arguments: &[&str]) -> Command {
        let machine = self.machine;
        let mut command = cargo(arguments);
        command
            .env("RUSTC", &self.rustc)
            .env("CARGO_BUILD_TARGET", machine.target)
            .env("CARGO_TARGET_DIR", workspace_root().join("target/machines"))
            .env(machine.variable("LINKER"), machine.linker())
            .env(machine.variable("RUNNER"), machine.runner())
            // For tests that start programs themselves.
            .env("DLM_RUNNER", machine.runner())
            // Of all these programs it would be gigabytes.
            .env("CARGO_PROFILE_DEV_DEBUG", "0")
            .env("CARGO_INCREMENTAL", "0");
        command
    }
}

fn read(place: &Path, what: &str) -> Result<String> {
    let file = place.join(what);
    fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))
}

/// The compiler, for this machine, and beside it what is to be known about it.
fn fetch_compiler(store: &Store, place: &Path) -> Result<()> {
    let apt = Apt::for_machine(store, None)?;
    let lists = slow("downloading the package lists".to_owned());
    // A source of somebody else that does not answer need not matter.
    let update = apt.update();
    drop(lists);
    let Ok(compiler) = apt.package(COMPILER) else {
        update?;
        bail!("the package sources of this machine have no {COMPILER}");
    };
    let upstream = upstream(&compiler);
    let runtime = named_in(&apt.package(LIBRARY)?, "libstd-rust-web-")?;
    let needs = named_in(&apt.package(&runtime)?, "libllvm")?;
    let folder = place.join(COMPILER);
    fs::create_dir_all(place)?;
    fs::write(place.join("version"), upstream)?;
    fs::write(place.join("needs"), needs)?;
    let rustc = place.join("rustc");
    fs::write(&rustc, script(&folder))?;
    fs::set_permissions(&rustc, fs::Permissions::from_mode(0o755))?;
    unpack(store, &apt, &[COMPILER, LIBRARY, &runtime], &folder)
}

/// Starts the compiler in a folder, which does not look for its libraries there by itself.
fn script(folder: &Path) -> String {
    let folder = folder.display();
    format!(
        "#!/bin/sh\n\
         export LD_LIBRARY_PATH='{folder}/usr/lib/x86_64-linux-gnu'\n\
         exec '{folder}/usr/bin/rustc' \"$@\"\n"
    )
}

/// The standard library for a machine, of the same version.
fn fetch_library(store: &Store, machine: &Machine, version: &str, folder: &Path) -> Result<()> {
    let apt = Apt::for_suite_of(store, SUITE, machine.architecture)?;
    let lists = slow(format!("downloading the package lists of {SUITE} for {}", machine.name));
    apt.update()?;
    drop(lists);
    let library = apt.package(LIBRARY)?;
    if upstream(&library) != version {
        bail!(
            "the compiler for other machines is of version {version}, and the library for {} of \
             {}: remove target/vm/rust and try again, or wait until Debian has updated both",
            machine.name,
            library.version
        );
    }
    unpack(store, &apt, &[LIBRARY], folder)
}

/// The version without what Debian adds to it.
fn upstream(package: &Package) -> String {
    package.version.split(['+', '-', '~']).next().unwrap_or_default().to_owned()
}

/// The package among those that one depends on whose name begins so.
fn named_in(package: &Package, begin: &str) -> Result<String> {
    let found = package.depends.iter().find(|name| name.starts_with(begin));
    found.cloned().with_context(|| format!("{} depends on no {begin}*", package.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_both_suites_are_the_same() {
        let package = |version: &str| Package {
            name: COMPILER.to_owned(),
            version: version.to_owned(),
            size: 0,
            depends: vec!["libc6".to_owned(), "libllvm22".to_owned()],
        };
        let [one, other] = ["1.96.0+dfsg1-1~deb12u2", "1.96.0+dfsg1-1~deb13u1+b1"].map(package);
        assert_eq!((upstream(&one).as_str(), upstream(&other).as_str()), ("1.96.0", "1.96.0"));
        assert_eq!(named_in(&one, "libllvm").unwrap(), "libllvm22");
        assert!(named_in(&one, "libstd").is_err());
    }
}
